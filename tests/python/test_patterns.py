"""A graph pattern finds exactly what walking every edge by hand finds.

A step goes on from each node that the step before has found, along the shortest ways from there
that have the wanted number of hops, over the edges that pass the conditions; its labels restrict
where it ends. The distance of a result is the least number of hops of a way that fits. With
``known_at`` the edges are those that were held for true then, saying what they said.
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import DELETE, EmbeddedDB, InvalidQuery

DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 6)]
SIZE = 6

nodes = st.integers(0, SIZE - 1)
edges = st.lists(
    st.fixed_dictionaries(
        {
            "source": nodes,
            "target": nodes,
            "type": st.sampled_from(["T", "U"]),
            "weight": st.sampled_from([0.5, 1.0, 2.0]),
            "valid_from": st.none() | st.sampled_from(DAYS[:2]),
            "valid_to": st.none() | st.sampled_from(DAYS[2:]),
            "properties": st.sampled_from([{}, {"kind": "a"}, {"kind": "b"}]),
        }
    ),
    max_size=14,
)
steps = st.lists(
    st.fixed_dictionaries(
        {"min_hops": st.integers(0, 2), "direction": st.sampled_from(["out", "in", "any"])},
        optional={
            "edge_types": st.sampled_from([["T"], ["U"], ["T", "U"]]),
            "labels": st.sampled_from([["Even"], ["Odd"], ["Even", "Odd"]]),
            "edge_filters": st.sampled_from(
                [
                    [{"property": "weight", "operator": "GreaterThan", "value": 0.5}],
                    [{"property": "kind", "operator": "Equals", "value": "a"}],
                    [{"property": "kind", "operator": "NotExists"}],
                    [{"property": "valid_to", "operator": "Exists"}],
                ]
            ),
        },
    ),
    min_size=1,
    max_size=3,
)


def passes(edge, step, at):
    if at is not None and edge["valid_from"] is not None and edge["valid_from"] > at:
        return False
    if at is not None and edge["valid_to"] is not None and edge["valid_to"] <= at:
        return False
    if "edge_types" in step and edge["type"] not in step["edge_types"]:
        return False
    for condition in step.get("edge_filters", []):
        own = {**edge["properties"], "weight": edge["weight"]}
        if edge["valid_to"] is not None:
            own["valid_to"] = edge["valid_to"]
        name = condition["property"]
        match condition["operator"]:
            case "GreaterThan" if not own[name] > condition["value"]:
                return False
            case "Equals" if own.get(name) != condition["value"]:
                return False
            case "NotExists" if name in own:
                return False
            case "Exists" if name not in own:
                return False
    return True


def hops_from(start, edges, direction):
    reached, queue = {start: 0}, [start]
    for node in queue:
        for edge in edges:
            ends = (edge["source"], edge["target"])
            for here, there, way in ((*ends, "out"), (*reversed(ends), "in")):
                if here == node and direction in (way, "any") and there not in reached:
                    reached[there] = reached[node] + 1
                    queue.append(there)
    return reached


def walk(start, steps, edges, at):
    found = dict.fromkeys(start, 0)
    for step in steps:
        least = step["min_hops"]
        most = step.get("max_hops", max(1, least))
        taken = [edge for edge in edges if passes(edge, step, at)]
        further: dict[int, int] = {}
        for node, before in found.items():
            for there, hops in hops_from(node, taken, step["direction"]).items():
                label = "Even" if there % 2 == 0 else "Odd"
                if least <= hops <= most and label in step.get("labels", [label]):
                    further[there] = min(before + hops, further.get(there, before + hops))
        found = further
    return found


changes = st.lists(
    st.tuples(
        st.integers(0, 13),
        st.none()
        | st.fixed_dictionaries(
            {
                "weight": st.sampled_from([0.5, 1.0, 2.0]),
                "valid_from": st.none() | st.sampled_from(DAYS[:2]),
                "valid_to": st.none() | st.sampled_from(DAYS[2:]),
                "kind": st.none() | st.sampled_from(["a", "b"]),
            }
        ),
    ),
    max_size=6,
)


def change(db, edges, id, to):
    """Change an edge, or retract it (None), in the database and in what is expected of it."""
    if to is None:
        db.retract_edge(id)
        return {other: edge for other, edge in edges.items() if other != id}
    db.update_edge(id, {name: DELETE if value is None else value for name, value in to.items()})
    own = {name: to[name] for name in ("weight", "valid_from", "valid_to")}
    properties = {} if to["kind"] is None else {"kind": to["kind"]}
    return {**edges, id: {**edges[id], **own, "properties": properties}}


@settings(max_examples=2 * settings.default.max_examples)
@given(
    edges,
    changes,
    st.lists(nodes, min_size=1, max_size=3, unique=True),
    steps,
    st.integers(0, 2),
    st.none() | st.sampled_from(DAYS),
    st.booleans(),
)
def test_patterns(edges, changes, start, steps, more, at, exclude):
    steps = [{**step, "max_hops": step["min_hops"] + more} for step in steps]
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes(
            [{"id": f"n{i}", "label": "Even" if i % 2 == 0 else "Odd"} for i in range(SIZE)]
        )
        ids = db.create_edges(
            [
                {**edge, "source": f"n{edge['source']}", "target": f"n{edge['target']}"}
                for edge in edges
            ]
        )
        graph = {"start": [f"n{i}" for i in start], "steps": steps, "exclude": exclude}
        if at is not None:
            graph["valid_at"] = at
        now, moments = dict(zip(ids, edges, strict=True)), [datetime.now(UTC)]
        if ids:
            moments[0] = db.get_edge(ids[0]).recorded_at
        believed = {moments[0]: now}
        for place, to in changes:
            id = ids[place % len(ids)] if ids else None
            if id in now:
                now = change(db, now, id, to)
                last = db.edge_history(id)[-1]
                believed[last.retracted_at or last.recorded_at] = now
        expect(db, graph, start, steps, now.values(), at)
        for known_at, then in believed.items():
            expect(db, {**graph, "known_at": known_at}, start, steps, then.values(), at)
        before = {**graph, "known_at": min(believed) - timedelta(microseconds=1)}
        expect(db, before, start, steps, [], at)


def expect(db, graph, start, steps, edges, at):
    reached = {f"n{i}": hops for i, hops in walk(start, steps, edges, at).items()}
    found = db.query(graph_filter=graph, limit=100)
    if graph["exclude"]:
        everything = {f"n{i}" for i in range(SIZE)}
        assert {r.node.id for r in found} == everything - set(reached)
    else:
        assert {r.node.id: r.graph_distance for r in found} == reached
    if len(steps) == 1:
        single = {name: value for name, value in graph.items() if name != "steps"} | steps[0]
        again = db.query(graph_filter=single, limit=100)
        assert [r.node.id for r in again] == [r.node.id for r in found]


@given(
    edges,
    nodes,
    nodes,
    st.sampled_from(["out", "in", "any"]),
    st.sampled_from(DAYS),
    st.booleans(),
)
def test_walks_and_paths_at_a_time(edges, start, end, direction, at, depth_first):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"id": f"n{i}", "label": "Thing"} for i in range(SIZE)])
        db.create_edges(
            [
                {**edge, "source": f"n{edge['source']}", "target": f"n{edge['target']}"}
                for edge in edges
            ]
        )
        true = [edge for edge in edges if passes(edge, {}, at)]
        hops = hops_from(start, true, direction)
        options = {"direction": direction, "valid_at": at}
        walked = list(db.traverse(f"n{start}", max_depth=SIZE, depth_first=depth_first, **options))
        assert {visit.node.id for visit in walked} == {f"n{i}" for i in hops}
        if not depth_first:
            assert {visit.node.id: visit.depth for visit in walked} == {
                f"n{i}": n for i, n in hops.items()
            }
        path = db.find_shortest_path(f"n{start}", f"n{end}", **options)
        assert (None if path is None else path.cost) == hops.get(end)
        for edge in [] if path is None else path.edges:
            assert edge.valid_from is None or edge.valid_from <= at
            assert edge.valid_to is None or at < edge.valid_to


def test_messages_that_share_an_entity_with_a_neighbour_of_a_message(db):
    chat = db.create_chat(id="chat")
    first, second, third, fourth = chat.add_messages(
        [{"content": f"message {i}"} for i in range(4)]
    )
    paris = db.create_node({"label": "Entity", "properties": {"label": "Paris"}})
    for message in (second, fourth):
        db.create_edge({"source": message.id, "target": paris, "type": "MENTIONS"})
    found = db.query(
        graph_filter={
            "start": first,
            "steps": [
                {"edge_types": ["NEXT"], "direction": "any", "min_hops": 0, "max_hops": 1},
                {"edge_types": ["MENTIONS"], "direction": "out"},
                {"edge_types": ["MENTIONS"], "direction": "in", "labels": ["Message"]},
            ],
        }
    )
    assert {r.node.id for r in found} == {second.id, fourth.id}
    assert third.id not in {r.node.id for r in found}


@pytest.mark.parametrize(
    ("graph", "named"),
    [
        ({"start": "a", "steps": []}, "graph_filter.steps"),
        ({"start": "a", "steps": [{"hops": 1}]}, "graph_filter.steps[0]"),
        ({"start": "a", "steps": [{}, {"max_hops": -1}]}, "graph_filter.steps[1].max_hops"),
        ({"start": "a", "steps": [{}], "max_hops": 2}, "max_hops"),
        ({"start": "a", "edge_filters": [{"property": "x"}]}, "graph_filter.edge_filters[0]"),
        ({"start": "a", "valid_at": datetime(2026, 1, 1)}, "graph_filter.valid_at"),
        ({"start": "a", "valid_at": "2026"}, "graph_filter.valid_at"),
        ({"start": "a", "known_at": datetime(2026, 1, 1)}, "graph_filter.known_at"),
        ({"start": "a", "min_hops": 3, "max_hops": 2}, "min_hops"),
    ],
)
def test_what_cannot_be_meant_is_refused(db, graph, named):
    db.create_node({"id": "a", "label": "X"})
    with pytest.raises(InvalidQuery, match=named.replace("[", r"\[").replace("]", r"\]")):
        db.query(graph_filter=graph)
