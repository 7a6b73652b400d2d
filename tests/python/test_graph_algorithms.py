"""What the algorithms say of a graph is what networkx says, or the definition.

Random graphs with loops, parallel edges, weights, edges that were taken back and nodes that were
deleted; the former edges must not count.
"""

import math
import threading
from typing import NamedTuple

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, InvalidInput, NotFound, Timeout

NODES = 9
node = st.integers(0, NODES - 1)
weights = st.integers(0, 6).map(lambda n: n / 2)
edge = st.tuples(node, node, weights, st.sampled_from(["kept", "kept", "gone", "retracted"]))


class Stored(NamedTuple):
    db: EmbeddedDB
    graph: nx.MultiDiGraph


@st.composite
def graphs(draw):
    """A database, and what networkx is to make of it."""
    edges = draw(st.lists(edge, max_size=40))
    deleted = draw(st.sets(node, max_size=3))
    db, graph = EmbeddedDB(":memory:", ml=None), nx.MultiDiGraph()
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(NODES)])
    graph.add_nodes_from(f"n{n}" for n in range(NODES) if n not in deleted)
    for a, b, weight, fate in edges:
        ends = {"source": f"n{a}", "target": f"n{b}"}
        id = db.create_edge({**ends, "type": "R", "weight": weight})
        if fate == "gone":
            db.delete_edge(id)
        elif fate == "retracted":
            db.retract_edge(id)
        elif not deleted & {a, b}:
            graph.add_edge(ends["source"], ends["target"], key=id, weight=weight)
    for n in deleted:
        db.delete_node(f"n{n}")
    # What is about other nodes, or of another type, is left out.
    db.create_nodes([{"id": "y0", "label": "Y"}, {"id": "y1", "label": "Y"}])
    extra = [("y0", "y1", "R"), ("y0", "y1", "S")]
    if graph:
        extra.append((next(iter(graph)), "y0", "R"))
    db.create_edges([{"source": a, "target": b, "type": t} for a, b, t in extra])
    return Stored(db, graph)


ONLY = {"labels": "X", "edge_types": ["R"]}


def simple(graph: nx.MultiDiGraph) -> nx.Graph:
    plain = nx.Graph(graph)
    plain.remove_edges_from(list(nx.selfloop_edges(plain)))
    return plain


def facing(graph: nx.MultiDiGraph, direction: str) -> nx.MultiDiGraph:
    if direction == "in":
        return graph.reverse()
    return graph if direction == "out" else graph.to_undirected().to_directed()


def groups(partition):
    found = [partition.members(n) for n in range(len(partition.sizes))]
    assert [len(group) for group in found] == partition.sizes.tolist()
    assert partition.sizes.tolist() == sorted(partition.sizes, reverse=True)
    return {frozenset(group) for group in found}


@given(graphs(), st.sampled_from(["out", "in", "any"]), st.booleans(), st.floats(0, 0.9))
def test_pagerank(stored, direction, weighted, damping):
    db, graph = stored
    options = {"damping": damping, "weighted": weighted, "tolerance": 1e-13}
    options |= {"direction": direction, "max_iterations": 2000, **ONLY}
    ids = list(graph)
    found = db.pagerank(**options)
    assert list(found.ids) == sorted(ids)
    for start in [None, *ids[:2]]:
        if start is not None:
            found = db.pagerank(personalization={start: 3}, **options)
        # The ranks that stand still, by linear algebra.
        weight = "weight" if weighted else "one"
        turned = facing(graph, direction)
        ways = nx.to_numpy_array(turned, ids, weight=weight) if ids else np.zeros((0, 0))
        begin = np.array([1 / len(ids) if start is None else float(id == start) for id in ids])
        for row in ways:
            row[:] = row / row.sum() if row.sum() > 0 else begin
        system = np.eye(len(ids)) - damping * ways.T
        wanted = np.linalg.solve(system, (1 - damping) * begin)
        assert [found[id] for id in ids] == pytest.approx(wanted.tolist(), abs=1e-9)


@given(graphs())
def test_what_counts_neighbours(stored):
    db, graph = stored
    plain = simple(graph)
    assert dict(db.triangles(**ONLY)) == nx.triangles(plain)
    assert dict(db.clustering(**ONLY)) == pytest.approx(nx.clustering(plain))
    assert dict(db.k_core(**ONLY)) == nx.core_number(plain)
    directed = db.clustering(directed=True, **ONLY)
    for id in graph:
        near = plain.subgraph(plain[id])
        arcs = {(a, b) for a, b, _ in graph.edges if a in near and b in near and a != b}
        assert directed[id] == pytest.approx(len(arcs) / max(1, len(near) * (len(near) - 1)))
    for weight in (None, "weight"):
        for direction, degrees in (
            ("any", graph.degree),
            ("out", graph.out_degree),
            ("in", graph.in_degree),
        ):
            found = db.degree(direction=direction, weighted=weight is not None, **ONLY)
            assert dict(found) == dict(degrees(weight=weight))


@given(graphs(), st.integers(0, 1000), st.floats(0.3, 2))
def test_groups(stored, seed, resolution):
    db, graph = stored
    components = {frozenset(each) for each in nx.weakly_connected_components(graph)}
    assert groups(db.connected_components(**ONLY)) == components
    options = {"seed": seed, "resolution": resolution, "weighted": True, **ONLY}
    found = db.communities(**options)
    assert np.array_equal(found.values, db.communities(**options).values)
    # Edges there and back are two: a graph made of the other would take one for both.
    ties = nx.MultiGraph()
    ties.add_nodes_from(graph)
    edges = graph.edges(data="weight")
    ties.add_edges_from((a, b, {"weight": weight}) for a, b, weight in edges if weight)
    for group in groups(found):
        assert nx.is_connected(ties.subgraph(group))
    if ties.number_of_edges():
        wanted = nx.community.modularity(ties, groups(found), resolution=resolution)
        assert found.modularity == pytest.approx(wanted)
        louvain = nx.community.louvain_communities(ties, resolution=resolution, seed=seed)
        best = nx.community.modularity(ties, louvain, resolution=resolution)
        assert found.modularity >= best - 0.02 * abs(best) - 1e-9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "make",
    [
        lambda seed: nx.karate_club_graph(),
        lambda seed: nx.les_miserables_graph(),
        lambda seed: nx.planted_partition_graph(8, 25, 0.3, 0.02, seed=seed),
        lambda seed: nx.powerlaw_cluster_graph(300, 4, 0.5, seed=seed),
        lambda seed: nx.watts_strogatz_graph(300, 6, 0.1, seed=seed),
        lambda seed: nx.LFR_benchmark_graph(
            250, 3, 1.5, 0.1, average_degree=5, min_community=20, seed=10
        ),
    ],
)
def test_communities_are_as_good_as_those_of_louvain(make, seed):
    graph = make(seed)
    graph = nx.Graph(nx.relabel_nodes(graph, {n: f"n{n}" for n in graph}))
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"id": id, "label": "X"} for id in graph])
        db.create_edges(
            [
                {"source": a, "target": b, "type": "R", "weight": float(weight)}
                for a, b, weight in graph.edges(data="weight", default=1)
            ]
        )
        found = db.communities(seed=seed, weighted=True)
        ranks = db.pagerank(weighted=True, direction="any", tolerance=1e-10)
    best = nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=seed))
    assert found.modularity >= 0.98 * best
    assert all(nx.is_connected(graph.subgraph(group)) for group in groups(found))
    assert math.isclose(ranks.values.sum(), 1)


@given(graphs(), st.sampled_from(["out", "in", "any"]), st.integers(1, 4))
def test_distances_and_cheapest_paths(stored, direction, most):
    db, graph = stored
    turned = facing(graph, direction)
    for start in list(graph)[:3]:
        found = db.distances(start, direction=direction, **ONLY)
        assert dict(found) == nx.single_source_shortest_path_length(turned, start)
        least = nx.single_source_dijkstra_path_length(turned, start)
        found = db.distances(start, direction=direction, weighted=True, **ONLY)
        assert dict(found) == pytest.approx(least)
        hops = {(start): 0.0}
        bounded = {start: 0.0}
        for _ in range(most):
            for a, b, weight in turned.edges(data="weight"):
                if a in hops:
                    bounded[b] = min(bounded.get(b, math.inf), hops[a] + weight)
            hops = dict(bounded)
        for end in graph:
            options = {"edge_types": "R", "direction": direction, "weighted": True}
            path = db.find_shortest_path(start, end, **options)
            assert (math.inf if path is None else path.cost) == least.get(end, math.inf)
            path = db.find_shortest_path(start, end, max_hops=most, **options)
            assert (math.inf if path is None else path.cost) == hops.get(end, math.inf)
            if path is not None:
                assert len(path.edges) <= most
                assert sum(each.weight for each in path.edges) == path.cost
                ids = [each.id for each in path.nodes]
                assert (ids[0], ids[-1]) == (start, end)
                for a, b, between in zip(ids, ids[1:], path.edges, strict=False):
                    assert {a, b} == {between.source, between.target}


@given(graphs(), st.integers(0, 3), st.sampled_from(["out", "in", "any"]))
def test_subgraphs(stored, hops, direction):
    db, graph = stored
    for start in list(graph)[:2]:
        reached = nx.single_source_shortest_path_length(facing(graph, direction), start, hops)
        found = db.subgraph([start], hops, direction=direction, edge_types="R")
        inside = {each.id for each in found.nodes} - {"y0", "y1"}
        assert inside == set(reached)
        wanted = {key for a, b, key in graph.edges if a in reached and b in reached}
        assert {each.id for each in found.edges if "y0" not in (each.source, each.target)} == wanted
        depths = [reached[each.id] for each in found.nodes if each.id in reached]
        assert depths == sorted(depths)


def algorithms(reads):
    return {
        "pagerank": reads.pagerank,
        "connected_components": reads.connected_components,
        "communities": reads.communities,
        "label_propagation": reads.label_propagation,
        "degree": reads.degree,
        "triangles": reads.triangles,
        "clustering": reads.clustering,
        "k_core": reads.k_core,
        "distances": lambda **options: reads.distances("a", **options),
    }


NAMES = list(algorithms(EmbeddedDB))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_graph_and_a_bounded_one(db, name):
    if name != "distances":
        assert dict(algorithms(db)[name]()) == {}
    db.create_nodes([{"id": id, "label": "X"} for id in "abc"])
    algorithm = algorithms(db)[name]
    assert len(algorithm(max_visited=3)) in (1, 3)
    with pytest.raises(Timeout, match="more than 2 nodes"):
        algorithm(max_visited=2)
    db.create_nodes([{"label": "X"} for _ in range(1000)])
    with pytest.raises(Timeout, match="longer than 0"):
        algorithm(timeout=0.0)
    if name != "distances":
        assert dict(algorithm(labels="Nobody")) == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_stays_as_it_was(db, name):
    db.create_nodes([{"id": id, "label": "X"} for id in "abc"])
    db.create_edge({"source": "a", "target": "b", "type": "R"})
    with db.snapshot() as snapshot:
        before = algorithms(snapshot)[name]()
        db.create_node({"id": "d", "label": "X"})
        db.create_edge({"source": "b", "target": "c", "type": "R"})
        db.delete_node("a")
        again = algorithms(snapshot)[name]()
    assert list(again.ids) == list(before.ids)
    assert np.array_equal(again.values, before.values)


def test_unknown_nodes_and_what_is_out_of_range(db):
    db.create_nodes([{"id": id, "label": id.upper()} for id in "ab"])
    db.create_edge({"id": "e", "source": "a", "target": "b", "type": "R", "weight": -1.0})
    for call in (
        lambda: db.distances("nobody"),
        lambda: db.pagerank(personalization="nobody"),
        lambda: db.pagerank(personalization={"a": 1, "nobody": 1}),
        lambda: db.subgraph(["a", "nobody"]),
        lambda: db.find_shortest_path("a", "nobody", weighted=True),
    ):
        with pytest.raises(NotFound, match="nobody"):
            call()
    with pytest.raises(InvalidInput, match='"a" is not in the graph.*labels'):
        db.distances("a", labels="B")
    for call in (
        lambda: db.distances("a", weighted=True),
        lambda: db.pagerank(weighted=True),
        lambda: db.communities(weighted=True),
        lambda: db.degree(weighted=True),
        lambda: db.find_shortest_path("a", "b", weighted=True),
    ):
        with pytest.raises(InvalidInput, match='edge "e" has the weight -1'):
            call()
    assert db.distances("a")["b"] == 1
    for wrong in (
        {"damping": 1.0},
        {"damping": "high"},
        {"max_iterations": -1},
        {"tolerance": math.nan},
        {"personalization": {}},
        {"personalization": {"a": 0}},
        {"personalization": {"a": -1}},
        {"personalization": 7},
        {"direction": "up"},
        {"labels": []},
        {"edge_types": 7},
    ):
        with pytest.raises(InvalidInput):
            db.pagerank(**wrong)
    with pytest.raises(InvalidInput, match="group is 9.* 0 to 0"):
        db.connected_components().members(9)
    with pytest.raises(InvalidInput, match="seed is -1"):
        db.communities(seed=-1)


def test_values_are_read_like_a_dict(db):
    nodes = db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(50)])
    db.create_edges([{"source": "n7", "target": f"n{n}", "type": "R"} for n in range(40)])
    degrees = db.degree(direction="out")
    assert degrees["n7"] == degrees[db.get_node("n7")] == 40
    assert db.get_node("n7") in degrees
    assert "nobody" not in degrees
    assert 7 not in degrees
    with pytest.raises(KeyError, match="nobody"):
        degrees["nobody"]
    assert dict(degrees) == dict(degrees.items()) == {id: 40 * (id == "n7") for id in nodes}
    assert degrees.top(2) == [("n7", 40), ("n0", 0)]
    assert degrees.ids[-1] == "n49"
    with pytest.raises(ValueError, match="read-only"):
        degrees.values[0] = 1
    reached = db.distances("n7")
    assert len(reached) == 40
    assert "n45" not in reached
    assert "n39" in reached
    assert reached.get("n45") is None


def test_what_has_expired_is_as_if_it_were_deleted(db, clock):
    """The chain of a chat closes up over a message whose time has come, for walks too."""
    chat = db.create_chat()
    one, two, three = chat.add_messages([{"content": text} for text in "abc"])
    db.set_ttl(two, 60)
    clock.move(120)
    assert dict(db.distances(one, edge_types="NEXT")) == {one.id: 0, three.id: 1}
    assert two.id not in db.degree()
    assert {node.id for node in db.subgraph(chat).nodes} == {chat.id, one.id, three.id}


def test_other_threads_go_on_meanwhile(db):
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(1000)])
    ended = []

    def endless():
        with pytest.raises(Timeout, match="longer than 0.5"):
            db.pagerank(max_iterations=1_000_000, tolerance=0, timeout=0.5)
        ended.append(True)

    thread = threading.Thread(target=endless)
    thread.start()
    turns = 0
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert ended
    assert turns > 10
