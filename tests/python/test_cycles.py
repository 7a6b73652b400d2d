"""Graphs with cycles, self loops and parallel edges: every walk ends, and gives each node once.

What is reached, and over how many hops, is compared with a plain search over the list of edges.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, Timeout

NODES = 8
Edges = list[tuple[int, int, str]]

edges_ = st.lists(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1), st.sampled_from("AB")),
    max_size=40,
)
directions = st.sampled_from(["out", "in", "any"])
types_ = st.sampled_from([None, ["A"], ["B"], ["A", "B"]])


def stored(edges: Edges) -> EmbeddedDB:
    db = EmbeddedDB(":memory:", ml=None)
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(NODES)])
    db.create_edges([{"source": f"n{a}", "target": f"n{b}", "type": t} for a, b, t in edges])
    return db


def hops(edges: Edges, direction: str, types: Sequence[str] | None, start: int) -> dict[int, int]:
    """How far each node is that can be reached."""
    beside: dict[int, set[int]] = {n: set() for n in range(NODES)}
    for a, b, type_ in edges:
        if types is None or type_ in types:
            if direction != "in":
                beside[a].add(b)
            if direction != "out":
                beside[b].add(a)
    found = {start: 0}
    queue = deque([start])
    while queue:
        at = queue.popleft()
        for other in beside[at] - found.keys():
            found[other] = found[at] + 1
            queue.append(other)
    return found


def bounded(items: Iterator[object], most: int = 1000) -> list[object]:
    """All that an iterator gives, if it ends."""
    found = []
    for item in items:
        found.append(item)
        assert len(found) <= most, "it goes on for ever"
    return found


@settings(max_examples=2 * settings.default.max_examples)
@given(edges_, directions, types_, st.integers(0, NODES - 1), st.integers(0, NODES + 2))
def test_a_walk_gives_each_node_once(edges, direction, types, start, depth):
    expected = {n: d for n, d in hops(edges, direction, types, start).items() if d <= depth}
    with stored(edges) as db:
        for depth_first in (False, True):
            walk = db.traverse(
                f"n{start}",
                types,
                direction=direction,
                max_depth=depth,
                depth_first=depth_first,
            )
            visits = bounded(walk)
            ids = [visit.node.id for visit in visits]
            assert len(set(ids)) == len(ids), "each once"
            if depth_first:
                assert set(ids) <= {f"n{n}" for n in expected}
                if depth >= NODES:
                    assert set(ids) == {f"n{n}" for n in expected}
            else:
                assert {visit.node.id: visit.depth for visit in visits} == {
                    f"n{n}": d for n, d in expected.items()
                }


@settings(max_examples=2 * settings.default.max_examples)
@given(edges_, directions, types_, st.integers(0, NODES - 1), st.integers(0, NODES - 1))
def test_a_shortest_path_has_no_cycle(edges, direction, types, start, end):
    far = hops(edges, direction, types, start).get(end)
    with stored(edges) as db:
        path = db.find_shortest_path(f"n{start}", f"n{end}", types, direction=direction)
        if far is None:
            assert path is None
            return
        assert path is not None
        ids = [node.id for node in path.nodes]
        assert (ids[0], ids[-1], len(path.edges)) == (f"n{start}", f"n{end}", far)
        assert len(set(ids)) == len(ids), "each once"


@settings(max_examples=2 * settings.default.max_examples)
@given(edges_, directions, types_, st.integers(0, NODES - 1), st.integers(0, 3), st.integers(0, 9))
def test_a_query_finds_each_node_once(edges, direction, types, start, least, more):
    far = hops(edges, direction, types, start)
    graph = {"start": f"n{start}", "direction": direction, "min_hops": least}
    graph["max_hops"] = least + more
    if types is not None:
        graph["edge_types"] = types
    with stored(edges) as db:
        found = db.query(graph_filter=graph, limit=100)
        ids = [result.node.id for result in found]
        assert len(set(ids)) == len(ids), "each once"
        near = {f"n{n}" for n, d in far.items() if least <= d <= least + more}
        assert near <= set(ids) | ({f"n{start}"} if least else set())
        assert set(ids) <= {f"n{n}" for n in far}
        steps = [{"edge_types": types or ["A", "B"], "direction": direction}] * 12
        walked = db.query(graph_filter={"start": f"n{start}", "steps": steps}, limit=100)
        assert len({result.node.id for result in walked}) == len(walked) <= NODES


@given(edges_, directions, st.integers(0, NODES - 1))
def test_neighbours_and_edges_of_any_node(edges, direction, node):
    with stored(edges) as db:
        near = [each.id for each in bounded(db.neighbors(f"n{node}", direction=direction))]
        one_hop = {
            f"n{b if a == node else a}"
            for a, b, _ in edges
            if (a == node and direction != "in") or (b == node and direction != "out")
        }
        assert set(near) == one_hop
        own = [
            edge
            for edge in edges
            if (edge[0] == node and direction != "in") or (edge[1] == node and direction != "out")
        ]
        listed = [each.id for each in bounded(db.edges(f"n{node}", direction=direction))]
        assert len(set(listed)) == len(listed) == len(own), "a self loop once, parallel edges all"
        db.delete_node(f"n{node}")
        left = [edge for edge in edges if node not in edge[:2]]
        assert db.count_edges() == len(left)
        assert db.verify()["ok"]


@pytest.mark.parametrize("depth_first", [False, True])
def test_a_clique_with_itself_is_walked_in_the_number_of_its_nodes(db, depth_first):
    """With walks of all lengths, a depth of 50 would mean 40 to the power of 50 of them."""
    size = 40
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(size)])
    db.create_edges(
        [
            {"source": f"n{a}", "target": f"n{b}", "type": "T"}
            for a in range(size)
            for b in range(size)
            for _ in range(2)
        ]
    )
    walk = bounded(db.traverse("n0", max_depth=50, depth_first=depth_first))
    assert len({visit.node.id for visit in walk}) == len(walk) == size
    graph = {"start": "n0", "min_hops": 1, "max_hops": 50}
    assert len(db.query(graph_filter=graph, limit=1000)) in (size - 1, size)
    steps = [{"edge_types": ["T"], "direction": "out", "min_hops": 0, "max_hops": 50}] * 20
    assert len(db.query(graph_filter={"start": "n0", "steps": steps}, limit=1000)) == size


def test_a_walk_of_any_depth_over_a_graph_of_all_edges_ends():
    with EmbeddedDB(":memory:", ml=None) as db:
        ids = [f"n{n}" for n in range(60)]
        db.create_nodes([{"id": id, "label": "X"} for id in ids])
        db.create_edges(
            [{"source": a, "target": b, "type": "T"} for a in ids for b in ids if a != b]
        )
        for depth_first in (False, True):
            walked = db.traverse("n0", max_depth=50, depth_first=depth_first)
            assert sorted(node.id for node, _ in walked) == sorted(ids)
        path = db.find_shortest_path("n0", "n59")
        assert path is not None
        assert [node.id for node in path.nodes] == ["n0", "n59"]
        with pytest.raises(Timeout, match="59"):
            list(db.traverse("n0", max_depth=50, max_visited=59))
        near = {"start": "n0", "steps": [{"edge_types": ["T"], "max_hops": 10}] * 3}
        assert {hit.node.id for hit in db.query(graph_filter=near, limit=100)} == set(ids)
