"""A query finds exactly what plain Python finds.

Random small graphs are stored, and every operator, every nesting and every graph filter is
compared with an evaluation that is too simple to be wrong. The rules it states:

- a value equals another when both are of one kind (number, text, …) and equal; ``1 == 1.0``;
- an order exists only between values of one kind;
- ``Contains`` looks for a part of a text, an item of a list, a name of a dict;
- what is missing satisfies ``NotExists``, ``NotEquals`` and ``NotIn``, and nothing else.
"""

import math
from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB

NAMES = ["a", "b", "c", "d"]
TIMES = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]

BOUNDS = [
    [None, None],
    [False, True],
    [-1, 0.5],
    [-math.inf, math.inf],
    [0, math.nan],
    ["", "ab"],
    ["a", "a"],
    [b"", b"a"],
    [TIMES[0], TIMES[1]],
    [[], [1]],
]
"""Lower and upper bounds of one kind: others are refused."""

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-0.5, 0.0, 0.5, 1.0, 2.5, math.inf, -math.inf, math.nan]),
    st.sampled_from(["", "a", "ab", "abc", "b", "äb", "B"]),
    st.sampled_from([b"", b"a", b"ab"]),
    st.sampled_from(TIMES),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3))
nested = st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2)
properties = st.dictionaries(st.sampled_from(NAMES), st.one_of(values, nested), max_size=4)
paths = st.sampled_from([*NAMES, "a.x", "b.y", "missing"])


def condition(operator, operand):
    return st.fixed_dictionaries(
        {"property": paths, "operator": st.sampled_from(operator), "value": operand}
    )


conditions = st.one_of(
    condition(["Equals", "NotEquals"], st.one_of(values, nested)),
    condition(["GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual"], scalars),
    condition(["Between"], st.sampled_from(BOUNDS)),
    condition(["In"], st.lists(scalars, min_size=1, max_size=3)),
    condition(["NotIn"], st.lists(scalars, max_size=3)),
    condition(["Contains"], scalars),
    condition(["StartsWith", "EndsWith"], st.sampled_from(["", "a", "b", "ab", "ä"])),
    st.fixed_dictionaries(
        {"property": paths, "operator": st.sampled_from(["Exists", "NotExists"])}
    ),
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)

# ------------------------------------------------------------------ the reference

MISSING = object()


def kind(value):
    for number, types in enumerate(
        [(type(None),), (bool,), (int, float), (datetime,), (str,), (bytes,), (list,), (dict,)]
    ):
        if isinstance(value, types):
            return number
    raise AssertionError(value)


def equal(a, b):
    if kind(a) != kind(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    return a == b


def not_nan(value):
    return not (isinstance(value, float) and math.isnan(value))


def order(a, b):
    """-1, 0 or 1: by kind, lists by their first items that differ, NaN behind all numbers."""
    if kind(a) != kind(b):
        return -1 if kind(a) < kind(b) else 1
    if a is None:
        return 0
    if isinstance(a, list):
        unequal = (order(x, y) for x, y in zip(a, b, strict=False))
        return next(filter(None, unequal), (len(a) > len(b)) - (len(a) < len(b)))
    if not (not_nan(a) and not_nan(b)):
        return not_nan(b) - not_nan(a)
    return (a > b) - (a < b)


def comparable(a, b):
    return kind(a) == kind(b) and not_nan(a) and not_nan(b)


def less(a, b):
    return comparable(a, b) and order(a, b) < 0


def at_most(a, b):
    return comparable(a, b) and order(a, b) <= 0


def test_the_order_of_lists():
    rising = [[], [None], [None, None], [True], [-1], [0.5], [math.inf], [math.nan], ["a"]]
    for at, value in enumerate(rising):
        assert [order(value, other) for other in rising] == [
            (at > place) - (at < place) for place in range(len(rising))
        ]


def find(properties, path):
    value = properties
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def holds(properties, condition):
    if "any" in condition:
        return any(holds(properties, inner) for inner in condition["any"])
    if "all" in condition:
        return all(holds(properties, inner) for inner in condition["all"])
    if "not" in condition:
        return not holds(properties, condition["not"])
    value = find(properties, condition["property"])
    operator, operand = condition["operator"], condition.get("value")
    if operator == "Exists":
        return value is not MISSING
    if operator in ("NotExists", "NotEquals", "NotIn") and value is MISSING:
        return True
    if value is MISSING or operator == "NotExists":
        return False
    match operator:
        case "Equals":
            return equal(value, operand)
        case "NotEquals":
            return not equal(value, operand)
        case "GreaterThan":
            return less(operand, value)
        case "GreaterThanOrEqual":
            return at_most(operand, value)
        case "LessThan":
            return less(value, operand)
        case "LessThanOrEqual":
            return at_most(value, operand)
        case "Between":
            return at_most(operand[0], value) and at_most(value, operand[1])
        case "In":
            return any(equal(value, item) for item in operand)
        case "NotIn":
            return not any(equal(value, item) for item in operand)
        case "Contains" if isinstance(value, str):
            return isinstance(operand, str) and operand in value
        case "Contains" if isinstance(value, dict):
            return isinstance(operand, str) and operand in value
        case "Contains":
            return isinstance(value, list) and any(equal(item, operand) for item in value)
        case "StartsWith":
            return isinstance(value, str) and value.startswith(operand)
        case "EndsWith":
            return isinstance(value, str) and value.endswith(operand)
    raise AssertionError(operator)


def distances(edges, start, types, direction):
    reached = dict.fromkeys(start, 0)
    queue = list(start)
    for node in queue:
        for source, target, kind_ in edges:
            if types is not None and kind_ not in types:
                continue
            for here, there, way in ((source, target, "out"), (target, source, "in")):
                if here == node and direction in (way, "any", "both") and there not in reached:
                    reached[there] = reached[node] + 1
                    queue.append(there)
    return reached


def ids(results):
    return {result.node.id for result in results}


# ------------------------------------------------------------------ the comparisons


@settings(max_examples=2 * settings.default.max_examples)
@given(st.lists(properties, min_size=1, max_size=8), st.lists(filters, min_size=1, max_size=8))
def test_filters(stored, asked):
    with EmbeddedDB(":memory:", ml=None) as db:
        made = db.create_nodes([{"label": "X", "properties": each} for each in stored])
        for condition in asked:
            found = db.query(structural_filters=[condition], limit=100)
            expected = {id for id, each in zip(made, stored, strict=True) if holds(each, condition)}
            assert ids(found) == expected, condition
        both = db.query(structural_filters=asked, limit=100)
        assert ids(both) == {
            id
            for id, each in zip(made, stored, strict=True)
            if all(holds(each, condition) for condition in asked)
        }


indexed = st.fixed_dictionaries(
    {},
    optional={
        "chat_id": st.sampled_from(["c1", "c2", 1, None]),
        "sender": st.sampled_from(["Ann", "Anna", "Bob", "", 2]),
        "role": st.sampled_from(["user", "assistant"]),
        "timestamp": st.sampled_from([*TIMES, "2026", 5]),
    },
)


@given(
    st.lists(indexed, min_size=1, max_size=12),
    st.lists(
        st.one_of(
            st.fixed_dictionaries(
                {
                    "property": st.sampled_from(["chat_id", "sender", "role"]),
                    "operator": st.sampled_from(["Equals", "NotEquals", "StartsWith", "EndsWith"]),
                    "value": st.sampled_from(["c1", "c2", "Ann", "Bob", "user", ""]),
                }
            ),
            st.fixed_dictionaries(
                {
                    "property": st.sampled_from(["timestamp", "sender"]),
                    "operator": st.sampled_from(["In", "NotIn"]),
                    "value": st.lists(st.sampled_from([*TIMES, "Ann"]), min_size=2, max_size=2),
                }
            ),
            st.fixed_dictionaries(
                {
                    "property": st.sampled_from(["timestamp", "sender"]),
                    "operator": st.just("Between"),
                    "value": st.sampled_from([TIMES[:2], [TIMES[1], TIMES[1]], ["Ann", "Bob"]]),
                }
            ),
            st.fixed_dictionaries(
                {
                    "property": st.just("timestamp"),
                    "operator": st.sampled_from(["GreaterThan", "LessThanOrEqual", "Equals"]),
                    "value": st.sampled_from([*TIMES, 5]),
                }
            ),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_properties_indexed_from_the_start(stored, asked):
    """The same rules hold where an index answers, also after changes and deletions."""
    with EmbeddedDB(":memory:", ml=None) as db:
        made = db.create_nodes([{"label": "X", "properties": each} for each in stored])
        db.update_node(made[0], {"sender": "Bob", "timestamp": TIMES[2]})
        state = dict(zip(made, stored, strict=True))
        state[made[0]] = {**stored[0], "sender": "Bob", "timestamp": TIMES[2]}
        if len(made) > 2:
            db.delete_node(made[-1])
            del state[made[-1]]
        for condition in asked:
            found = db.query(structural_filters=[condition], limit=100)
            assert ids(found) == {id for id, each in state.items() if holds(each, condition)}


nodes = st.integers(0, 6)
edges = st.lists(st.tuples(nodes, nodes, st.sampled_from(["T", "U"])), max_size=14)


@settings(max_examples=2 * settings.default.max_examples)
@given(
    edges,
    st.lists(nodes, min_size=1, max_size=2, unique=True),
    st.sampled_from([None, ["T"], ["U"], ["T", "U"], ["NONE"]]),
    st.sampled_from(["out", "in", "any", "both"]),
    st.integers(0, 2),
    st.integers(0, 4),
    st.booleans(),
)
def test_graph_reach(edges, start, types, direction, least, more, exclude):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes(
            [{"id": f"n{i}", "label": "Even" if i % 2 == 0 else "Odd"} for i in range(7)]
        )
        db.create_edges(
            [{"source": f"n{a}", "target": f"n{b}", "type": kind_} for a, b, kind_ in edges]
        )
        graph = {
            "start": [f"n{i}" for i in start],
            "direction": direction,
            "min_hops": least,
            "max_hops": least + more,
            "exclude": exclude,
        }
        if types is not None:
            graph["edge_types"] = types
        inside: dict[str, int] = {}
        for each in start:
            for i, far in distances(edges, [each], types, direction).items():
                if least <= far <= least + more:
                    inside[f"n{i}"] = min(far, inside.get(f"n{i}", far))
        expected = {f"n{i}" for i in range(7)} - set(inside) if exclude else set(inside)
        found = db.query(graph_filter=graph, limit=100)
        assert ids(found) == expected
        if not exclude:
            assert {r.node.id: r.graph_distance for r in found} == inside
        even = db.query(graph_filter=graph, labels=["Even"], limit=100)
        assert ids(even) == {id for id in expected if int(id[1:]) % 2 == 0}


@given(edges, nodes, nodes, st.sampled_from(["out", "in", "any"]), st.none() | st.integers(0, 4))
def test_shortest_paths(edges, start, end, direction, most):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"id": f"n{i}", "label": "X"} for i in range(7)])
        db.create_edges(
            [{"source": f"n{a}", "target": f"n{b}", "type": kind_} for a, b, kind_ in edges]
        )
        expected = distances(edges, [start], None, direction).get(end)
        path = db.find_shortest_path(f"n{start}", f"n{end}", direction=direction, max_hops=most)
        if expected is None or (most is not None and expected > most):
            assert path is None
            return
        assert path is not None
        assert path.cost == len(path.edges) == expected
        assert len(path) == len(path.nodes) == expected + 1
        assert (path.nodes[0].id, path.nodes[-1].id) == (f"n{start}", f"n{end}")
        for before, edge, after in zip(path.nodes, path.edges, path.nodes[1:], strict=False):
            ends = (edge.source, edge.target)
            allowed = {"out": [(before.id, after.id)], "in": [(after.id, before.id)]}
            allowed["any"] = allowed["out"] + allowed["in"]
            assert ends in allowed[direction]


@given(edges, nodes, st.sampled_from(["out", "in", "any"]), st.integers(0, 4), st.booleans())
def test_traversals(edges, start, direction, depth, depth_first):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"id": f"n{i}", "label": "X"} for i in range(7)])
        db.create_edges(
            [{"source": f"n{a}", "target": f"n{b}", "type": kind_} for a, b, kind_ in edges]
        )
        reached = distances(edges, [start], None, direction)
        visits = list(
            db.traverse(f"n{start}", direction=direction, max_depth=depth, depth_first=depth_first)
        )
        found = [visit.node.id for visit in visits]
        assert found[0] == f"n{start}"
        assert len(found) == len(set(found)), "each node once"
        expected = {f"n{i}": far for i, far in reached.items() if far <= depth}
        assert set(found) == set(expected)
        if depth_first:
            assert all(visit.depth <= depth for visit in visits)
        else:
            assert {visit.node.id: visit.depth for visit in visits} == expected
            assert [visit.depth for visit in visits] == sorted(visit.depth for visit in visits)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.sampled_from([None, -1.0, 0.0, 0.3]),
    st.integers(1, 12),
    st.booleans(),
)
def test_vectors(seed, count, threshold, limit, only_even):
    """The k nearest are the true k nearest, filtered or not, with their raw cosine."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 6)).astype(np.float32)
    query = rng.standard_normal(6).astype(np.float32)
    with EmbeddedDB(":memory:", ml=None) as db:
        made = db.create_nodes(
            [{"label": "X", "properties": {"even": i % 2 == 0}} for i in range(count)]
        )
        db.set_embeddings(made, vectors, space="s")
        cosine = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
        rows = [i for i in range(count) if not only_even or i % 2 == 0]
        rows = [i for i in rows if threshold is None or cosine[i] >= threshold]
        expected = sorted(rows, key=lambda i: -cosine[i])[:limit]
        found = db.query(
            semantic_query={"vector": query, "space": "s", "threshold": threshold},
            structural_filters=[{"property": "even", "operator": "Equals", "value": True}]
            if only_even
            else [],
            limit=limit,
        )
        assert [r.node.id for r in found] == [made[i] for i in expected]
        np.testing.assert_allclose([r.similarity_score for r in found], cosine[expected], atol=1e-5)
        assert [r.ranks["semantic"] for r in found] == list(range(1, len(expected) + 1))
        assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
        assert found.pending == 0


WORDS = ["rust", "database", "performance", "paris", "graph", "memory"]


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), min_size=1, max_size=12),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True),
)
def test_words(texts, asked):
    """Every text with one of the words is found, ranked by BM25 (k1 0.9, b 0.4)."""
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat(id="chat")
        made = [m.id for m in chat.add_messages([{"content": " ".join(text)} for text in texts])]
        found = db.query(text_query={"text": " ".join(asked)}, labels=["Message"], limit=100)
        expected = {id for id, text in zip(made, texts, strict=True) if set(text) & set(asked)}
        assert ids(found) == expected
        mean = sum(map(len, texts)) / len(texts)
        for result in found:
            text = texts[made.index(result.node.id)]
            score = 0.0
            for word in asked:
                having = sum(word in each for each in texts)
                often = text.count(word)
                rarity = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
                length = 0.9 * (1 - 0.4 + 0.4 * len(text) / mean)
                score += rarity * often * 1.9 / (often + length) if often else 0.0
            result_score = result.text_score
            assert result_score > 0
            # Implementations differ by the constant factor (k1 + 1); the order may not.
            assert math.isclose(result_score, score, rel_tol=1e-3) or math.isclose(
                result_score, score / 1.9, rel_tol=1e-3
            )


def test_both_ranking_legs_are_fused_and_shown(woven):
    chat = woven.create_chat(id="chat")
    texts = [
        "Rust makes the database fast",
        "Paris in spring",
        "The database sleeps",
        "Nothing of interest",
    ]
    made = [message.id for message in chat.add_messages([{"content": text} for text in texts])]
    woven.flush(timeout=60)
    found = woven.query(
        text_query={"text": "Rust database"},
        semantic_query={"text": "Rust database"},
        labels=["Message"],
    )
    assert found[0].node.id == made[0]
    assert found[0].ranks == {"semantic": 1, "text": 1}
    assert {r.node.id for r in found if r.text_score is not None} == {made[0], made[2]}
    only_text = woven.query(
        text_query={"text": "Rust database"},
        semantic_query={"text": "Rust database"},
        labels=["Message"],
        rank={"text": 1.0, "semantic": 0.0, "neighbors": 0.0},
    )
    assert [r.node.id for r in only_text[:2]] == [made[0], made[2]]
    explained = woven.query(labels=["Message"], explain=True)
    assert explained.plan
    assert found.plan is None
    exact = woven.query(semantic_query={"text": "spring"}, labels=["Message"], exact=True)
    assert exact[0].node.id == made[1]


def test_the_newest_write_is_found_at_once(db):
    chat = db.create_chat(id="chat")
    for number in range(50):
        message = chat.add_message(f"unique{number} words")
        found = db.query(text_query={"text": f"unique{number}"})
        assert [r.node.id for r in found] == [message.id]
        db.create_embedding({"node_id": message.id, "vector": np.eye(50)[number], "space": "s"})
        near = db.query(semantic_query={"vector": np.eye(50)[number], "space": "s"}, limit=1)
        assert [r.node.id for r in near] == [message.id]
    message.content = "changed entirely"
    message.save()
    assert len(db.query(text_query={"text": "unique49"})) == 0
    assert len(db.query(text_query={"text": "entirely"})) == 1
    message.delete()
    assert len(db.query(text_query={"text": "entirely"})) == 0
    assert len(db.query(semantic_query={"vector": np.eye(50)[49], "space": "s"}, limit=50)) == 49
