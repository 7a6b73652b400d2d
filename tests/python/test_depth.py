"""However deep or wide something is: it is done without recursion, or refused by its depth.

A stack overflow would end the process, so each test would end with it.
"""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from embedded_db import (
    Config,
    ConvergedQuery,
    EmbeddedDB,
    InvalidInput,
    InvalidQuery,
    Message,
    MLConfig,
    NodeModel,
)
from embedded_db.fields import Condition
from embedded_db.importers import import_file
from embedded_db.testing import FakeModel
from harness.lengths import more

DEEP = 100_000


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedDB]:
    """Nodes in one line, and back to the first."""
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(DEEP)])
        db.create_edges(
            [
                {"source": f"n{n}", "target": f"n{(n + 1) % DEEP}", "type": "NEXT"}
                for n in range(DEEP)
            ]
        )
        yield db


@pytest.mark.parametrize("depth_first", [False, True])
@pytest.mark.parametrize("direction", ["out", more("in")])
def test_a_walk_along_a_long_chain(chain, depth_first, direction):
    walk = chain.traverse(
        "n0", direction=direction, max_depth=DEEP, limit=DEEP, depth_first=depth_first
    )
    seen = [(visit.node.id, visit.depth) for visit in walk]
    assert len({id for id, _ in seen}) == len(seen) == DEEP
    assert [depth for _, depth in seen] == list(range(DEEP))


def test_a_path_along_a_long_chain(chain):
    path = chain.find_shortest_path("n0", f"n{DEEP - 1}", direction="out")
    assert [node.id for node in path.nodes] == [f"n{n}" for n in range(DEEP)]
    assert len(path.edges) == DEEP - 1
    assert len(chain.find_shortest_path("n0", f"n{DEEP // 2}", direction="any").edges) == DEEP // 2


def test_a_query_along_a_long_chain(chain):
    query: Any = {"start": "n0", "direction": "out", "min_hops": 1000, "max_hops": 1000}
    assert [r.node.id for r in chain.query(graph_filter=query)] == ["n1000"]
    with pytest.raises(InvalidQuery, match=r"max_hops is 100000.* 0 to 1000"):
        chain.query(graph_filter={"start": "n0", "max_hops": DEEP})
    steps = [{"edge_types": ["NEXT"], "direction": "out"}] * 2000
    found = chain.query(graph_filter={"start": "n0", "steps": steps})
    assert [r.node.id for r in found] == ["n2000"]


def test_a_long_chain_of_messages(db, thorough):
    chat, length = db.create_chat(id="chat"), 20_000 if thorough else 5_000
    for first in range(0, length, 5000):
        chat.add_messages([{"content": f"{n}", "id": f"m{n}"} for n in range(first, first + 5000)])
    walk = db.traverse("m0", "NEXT", max_depth=DEEP, limit=DEEP, depth_first=True)
    assert sum(1 for _ in walk) == length
    chat.delete()
    assert db.count() == 0
    assert db.verify()["ok"]


# --- conditions -----------------------------------------------------------------------------------


def nested(wrap: Callable[[Any], Any], inner: Any, depth: int = DEEP) -> Any:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


CONDITION = {"property": "p", "operator": "Equals", "value": 1}
WRAPS: dict[str, Callable[[Any], Any]] = {
    "not": lambda inner: {"not": inner},
    "any": lambda inner: {"any": [inner]},
    "all": lambda inner: {"all": [inner]},
    "both": lambda inner: {"all": [CONDITION, {"any": [inner, CONDITION]}]},
}


class Thing(NodeModel, label="Thing"):
    p: int = 0


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS.keys())
def test_conditions_are_64_deep_at_most(db, wrap):
    db.create_node({"id": "a", "label": "X", "properties": {"p": 1}})
    deep = nested(wrap, CONDITION)
    for ask in (
        lambda: db.query(structural_filters=[deep]),
        lambda: db.query(structural_filters=[deep], labels=["X"], limit=1, explain=True),
        lambda: db.query(graph_filter={"start": "a", "edge_filters": [deep]}),
        lambda: ConvergedQuery.from_dict({"structural_filters": [deep]}),
        lambda: ConvergedQuery(structural_filters=[deep]),
        lambda: db.search("text", structural_filters=[deep], weights={"semantic": 0}),
    ):
        with pytest.raises(InvalidQuery, match="deeper than 64 levels.*Flatten"):
            ask()
    shallow = nested(wrap, CONDITION, 30)
    assert [r.node.id for r in db.query(structural_filters=[shallow])] == ["a"]


def test_conditions_of_models_may_be_long_but_not_deep(db):
    db.add(Thing(p=1))
    negated = nested(lambda inner: ~inner, Thing.p == 1)
    with pytest.raises(InvalidQuery, match="deeper than 64"):
        list(Thing.where(negated).on(db))
    one = Thing.p == 1
    turning = nested(lambda inner: (inner | one) & one, one)
    with pytest.raises(InvalidQuery, match="deeper than 64"):
        Thing.where(turning).on(db).count()
    chained = nested(lambda inner: inner & (Thing.p == 1), Thing.p == 1, 3_000)
    assert Thing.where(chained).on(db).count() == 1
    either = nested(lambda inner: inner | (Thing.p == 2), Thing.p == 1, 3_000)
    assert Thing.where(either).on(db).count() == 1


def test_a_condition_that_holds_itself_is_refused(db):
    loop: Any = {"all": []}
    loop["all"].append(loop)
    negated: Any = {}
    negated["not"] = negated
    value: Any = []
    value.append(value)
    for bad in (loop, negated, {"property": "p", "operator": "Equals", "value": value}):
        with pytest.raises(InvalidQuery, match="deeper than 64"):
            db.query(structural_filters=[bad])


def test_deep_conditions_are_shown_and_pickled_or_refused():
    """Neither comes to the end of Python's stack, whatever the depth."""
    one = Thing.p == 1
    loop: Any = {"all": []}
    loop["all"].append(Condition(loop))
    deep = [
        nested(lambda inner: ~inner, one),
        nested(lambda inner: (inner | one) & one, one, 3_000),
        nested(lambda inner: Condition({"any": [inner]}), one, 3_000),
        Condition(nested(lambda inner: {"not": inner}, CONDITION, 3_000)),
        Message.role == nested(lambda inner: [inner], 1, 3_000),
        Condition(loop),
        nested(lambda inner: ~(inner & ~inner), one, 300),  # all that it holds, twice
    ]
    for condition in deep:
        assert len(repr(condition)) <= 1_001
        assert len(repr(Thing.where(condition))) <= 1_001
        for take in (pickle.dumps, copy.deepcopy):
            with pytest.raises(InvalidQuery, match="nested deeper than 64 levels.*Flatten"):
                take(condition)
    with pytest.raises(InvalidQuery, match="neither true nor false"):
        bool(deep[0])
    assert repr(deep[0]).startswith("Condition(not Condition(not ")
    assert repr(deep[0]).endswith("…")
    assert len(repr(Thing.p.in_(range(100_000)))) < 200
    with pytest.raises(InvalidQuery, match="Thing.p is compared with"):
        _ = Thing.p == nested(lambda inner: [inner], 1, 3_000)
    flat = Message.role == nested(lambda inner: [inner], 1, 60)
    assert pickle.loads(pickle.dumps(flat)) == flat
    # As deep as a query takes them, and no deeper.
    for wrap in WRAPS.values():
        for depth in (30, 64, 65):
            condition = Condition(nested(wrap, CONDITION, depth))
            try:
                ConvergedQuery(structural_filters=[condition])
            except InvalidQuery:
                with pytest.raises(InvalidQuery):
                    pickle.dumps(condition)
            else:
                assert pickle.loads(pickle.dumps(condition)) == condition
                assert copy.deepcopy(condition) == condition
                assert repr(pickle.loads(pickle.dumps(condition))) == repr(condition)


# --- values ---------------------------------------------------------------------------------------

NESTS: dict[str, Any] = {
    "dicts": nested(lambda inner: {"a": inner}, 1),
    "lists": nested(lambda inner: [inner], 1),
    "tuples": nested(lambda inner: (inner,), 1),
    "both": nested(lambda inner: {"a": [inner]}, 1),
}


@pytest.mark.parametrize("deep", NESTS.values(), ids=NESTS.keys())
def test_values_are_64_deep_at_most(db, deep):
    db.create_node({"id": "a", "label": "X"})
    lsn = db.stats()["lsn"]
    for store in (
        lambda: db.create_node({"label": "X", "properties": {"p": deep}}),
        lambda: db.create_nodes([{"label": "X"}, {"label": "X", "properties": {"p": deep}}]),
        lambda: db.update_node("a", {"p": deep}),
        lambda: db.create_edge(
            {"source": "a", "target": "a", "type": "T", "properties": {"p": deep}}
        ),
        lambda: db.create_message("chat", "text", metadata={"p": deep}),
        lambda: db.create_chat(season=deep),
        lambda: db.run(lambda tx: tx.update_node("a", {"p": deep})),
        lambda: db.query(
            structural_filters=[{"property": "p", "operator": "Equals", "value": deep}]
        ),
    ):
        with pytest.raises(InvalidInput, match="deeper than 64 levels"):
            store()
    assert db.stats()["lsn"] == lsn
    fits = nested(lambda inner: [inner], 1, 63)
    db.update_node("a", {"p": fits})
    assert db.get_node("a")["p"] == fits
    with pytest.raises(InvalidInput, match="deeper than 64"):
        db.update_node("a", {"p": nested(lambda inner: [inner], 1, 65)})
    assert db.verify()["ok"]


@pytest.mark.parametrize("deep", NESTS.values(), ids=NESTS.keys())
def test_whatever_else_takes_dicts_refuses_deep_ones(db, deep):
    for call in (
        lambda: Config.from_dict({"weaver": deep}),
        lambda: Config.from_dict({"ml": deep}),
        lambda: MLConfig(embedding=deep),
        lambda: ConvergedQuery.from_dict(deep if isinstance(deep, dict) else {"labels": deep}),
        lambda: ConvergedQuery.from_dict({"graph_filter": {"start": "a", "steps": deep}}),
        lambda: ConvergedQuery.from_dict({"semantic_query": {"vector": deep}}),
        lambda: db.create_message("chat", deep),
        lambda: db.create_message("chat", [{"type": "text", "text": deep}]),
        lambda: db.create_node(deep),
        lambda: db.create_embedding({"node_id": "a", "vector": deep}),
        lambda: db.set_embeddings(["a"], deep),
        lambda: db.get_node(deep),
        lambda: FakeModel().fail(deep),
    ):
        with pytest.raises((InvalidInput, TypeError)) as caught:
            call()
        assert len(str(caught.value)) < 5000
    assert db.count() == 0


# --- values that JSON or Python have and a database has not ---------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "9223372036854775808.*64"),
        (-(2**63) - 1, "-9223372036854775809.*64"),
        (10**5000, "64"),
        (Decimal("1.5"), "Decimal"),
        (datetime(2026, 1, 1), "time zone"),
        (date(2026, 1, 1), "date"),
        (1j, "complex"),
        ({1: 2}, "1"),
        ({None: 2}, "None"),
        ({("a",): 2}, "a"),
        ({1, 2}, "set"),
        (frozenset(), "set"),
        (range(3), "range"),
        ((n for n in range(3)), "generator"),
        (object(), "object"),
        (int, "type"),
        (lambda: None, "function"),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_values_of_other_kinds_are_refused_by_name(db, value, words):
    db.create_node({"id": "a", "label": "X", "properties": {"p": 1}})
    for place in (value, [value], {"inner": [value]}):
        with pytest.raises(InvalidInput, match=rf'"?p"?.*({words})|({words})') as caught:
            db.update_node("a", {"kept": 1, "p": place})
        assert "p" in str(caught.value)
    assert db.get_node("a").properties == {"p": 1}
    assert db.get_node("a").version == 1


def test_the_edges_of_64_bits_are_stored(db):
    values = {"least": -(2**63), "most": 2**63 - 1, "big": 1e308, "small": 5e-324, "zero": -0.0}
    id = db.create_node({"label": "X", "properties": values})
    assert repr(db.get_node(id).properties) == repr(values)
    nan = db.create_node({"label": "X", "properties": {"p": [float("nan"), float("-inf")]}})
    assert repr(db.get_node(nan)["p"]) == "[nan, -inf]"


LINES = {
    "deep lists": "[" * DEEP + "]" * DEEP,
    "deep dicts": '{"a":' * DEEP + "1" + "}" * DEEP,
    "a deep value": '{"content": "x", "metadata": {"a": ' + "[" * DEEP + "]" * DEEP + "}}",
    "a value just too deep": '{"content": "x", "metadata": {"a": ' + "[" * 70 + "]" * 70 + "}}",
    "an integer over 64 bits": '{"content": "x", "metadata": {"a": 9223372036854775808}}',
    "an integer of 10,000 digits": '{"content": "x", "metadata": {"a": ' + "9" * 10_000 + "}}",
    "half a character": '{"content": "\\ud800"}',
    "a key twice": '{"content": "one", "content": "two"}',
    "a key twice inside": '{"content": "x", "metadata": {"a": 1, "a": 2}}',
    "no JSON": '{"content": "x"',
    "no object": '"content"',
    "another field": '{"content": "x", "kontent": "y"}',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_lines_of_json_that_cannot_be_stored(db, tmp_path, line):
    file = tmp_path / "messages.jsonl"
    file.write_text(json.dumps({"content": "fine"}) + "\n" + line + "\n")
    with pytest.raises(InvalidInput, match="line 2") as caught:
        import_file(db, file)
    assert len(str(caught.value)) < 2000
    report = import_file(db, file, skip_bad=True)
    assert (report.messages + report.skipped, report.bad) == (1, 1)
    assert [message.content for message in db.nodes("Message")] == ["fine"]
    assert db.verify()["ok"]
