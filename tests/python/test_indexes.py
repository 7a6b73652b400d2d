"""Indexes made on demand.

An index makes queries quicker and never different. It is there for old nodes and new ones, survives
the end of the process at any point, and a unique one refuses a second node with the same value,
whoever writes it.
"""

import json
import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from typer.testing import CliRunner

from embedded_db import (
    DELETE,
    AlreadyExists,
    EmbeddedDB,
    InvalidInput,
    NotFound,
    ReadOnly,
    Transaction,
)
from embedded_db.cli.app import app

START = datetime(2026, 1, 1, tzinfo=UTC)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**53, 2**53 + 1, 2**53 - 1, 2**63 - 1, -(2**63)]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.5, float(2**53), math.nan, math.inf, -math.inf]),
    st.text("ab\0é", max_size=3),
    st.builds(lambda n, end: "x" * n + end, st.integers(197, 203), st.text("a\0", max_size=3)),
    st.binary(max_size=3),
    st.sampled_from([b"", b"\0", b"\xff", b"\0\xff", b"y" * 201, b"y" * 202]),
    st.integers(-3, 3).map(lambda days: START + timedelta(days=days)),
)
values = st.one_of(scalars, st.lists(scalars, max_size=2), st.just({"in": 1}))
comparisons = st.sampled_from(
    ["Equals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual", "NotEquals"]
)
operations = st.one_of(
    st.tuples(comparisons, values),
    st.tuples(st.just("In"), st.lists(values, min_size=1, max_size=3)),
    st.tuples(st.just("StartsWith"), st.text("ab\0éx", max_size=2)),
    st.tuples(st.just("StartsWith"), st.integers(198, 203).map(lambda n: "x" * n)),
    st.tuples(st.just("Exists"), st.none()),
    st.tuples(st.just("NotExists"), st.none()),
)
paths = st.sampled_from(["value", "deep.value"])


def node(flat: dict[str, Any]) -> dict[str, Any]:
    """A node whose properties are written beside its id and labels."""
    own = {name: flat.pop(name) for name in ("id", "label", "labels") if name in flat}
    return {**own, "properties": flat}


def condition_of(path: str, test: tuple[str, object]) -> dict[str, Any]:
    """One condition on a property, as a filter."""
    operator, value = test
    if operator in ("Exists", "NotExists"):
        return {"property": path, "operator": operator}
    return {"property": path, "operator": operator, "value": value}


filters = st.recursive(
    st.builds(condition_of, paths, operations),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=4,
)
"""Conditions of every operator that an index may answer, and of those that it may not."""


class Twins(RuleBasedStateMachine):
    """Each node is stored under a label with indexes and one without; what is found is equal."""

    def __init__(self) -> None:
        super().__init__()
        self.db = EmbeddedDB(":memory:", ml=None)
        self.ids: list[int] = []
        self.made = 0
        self.has: set[str] = set()

    def teardown(self) -> None:
        self.db.close()

    def _properties(self, value: object, deep: object) -> dict[str, Any]:
        return {"value": value, "deep": {"value": deep}}

    @rule(path=paths)
    def create_index(self, path: str) -> None:
        self.db.create_index("Fast", path)
        self.has.add(path)

    @rule(path=paths)
    def drop_index(self, path: str) -> None:
        if path in self.has:
            self.db.drop_index("Fast", path)
            self.has.remove(path)

    @rule(rows=st.lists(st.tuples(values, values), min_size=1, max_size=6))
    def create(self, rows: list[tuple[object, object]]) -> None:
        for value, deep in rows:
            properties = self._properties(value, deep)
            for label in ("Fast", "Slow"):
                self.db.create_node(
                    node({"id": f"{label}{self.made}", "label": label, **properties})
                )
            self.ids.append(self.made)
            self.made += 1

    @rule(data=st.data(), value=st.one_of(values, st.just(DELETE)), deep=values)
    def update(self, data: st.DataObject, value: object, deep: object) -> None:
        if self.ids:
            n = data.draw(st.sampled_from(self.ids))
            with self.db.transaction() as tx:
                for label in ("Fast", "Slow"):
                    tx.update_node(f"{label}{n}", self._properties(value, deep))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.ids:
            n = data.draw(st.sampled_from(self.ids))
            self.ids.remove(n)
            for label in ("Fast", "Slow"):
                self.db.delete_node(f"{label}{n}")

    @rule(condition=filters)
    def ask(self, condition: dict[str, Any]) -> None:
        found = {
            label: self.db.query(structural_filters=[condition], labels=[label], limit=1000)
            for label in ("Fast", "Slow")
        }
        fast, slow = ([int(hit.node.id[4:]) for hit in hits] for hits in found.values())
        assert sorted(fast) == sorted(slow)
        both = self.db.query(structural_filters=[condition], labels=["Fast", "Slow"], limit=1000)
        assert len(both) == len(fast) + len(slow)

    @rule(low=scalars, high=scalars)
    def ask_between(self, low: object, high: object) -> None:
        condition = {"property": "value", "operator": "Between", "value": [low, high]}
        try:
            slow = self.db.query(structural_filters=[condition], labels=["Slow"], limit=1000)
        except InvalidInput:
            return
        fast = self.db.query(structural_filters=[condition], labels=["Fast"], limit=1000)
        assert sorted(h.node.id[4:] for h in fast) == sorted(h.node.id[4:] for h in slow)

    @invariant()
    def agrees(self) -> None:
        assert self.db.verify()["problems"] == []


def test_an_index_changes_no_result() -> None:
    run_state_machine_as_test(Twins, settings=settings(max_examples=40, stateful_step_count=25))


def steps(db: EmbeddedDB, **query: Any) -> list[dict[str, Any]]:
    plan = db.query(explain=True, **query).plan
    assert plan is not None
    return plan["steps"]


def people(db: EmbeddedDB, count: int) -> None:
    db.create_nodes(
        [
            node({"label": "Person", "id": f"p{n}", "age": n % 100, "name": f"name {n}"})
            for n in range(count)
        ]
    )


def test_the_plan_tells_the_access_and_estimates(db: EmbeddedDB) -> None:
    people(db, 300)
    grown = {"property": "age", "operator": "GreaterThanOrEqual", "value": 90}
    query = {"structural_filters": [grown], "labels": ["Person"]}
    plain = {step["step"]: step for step in steps(db, **query, limit=100)}
    assert plain["filter"]["access"] == "scan"
    assert plain["filter"]["estimate"] == 300
    assert "age (no index): read from 300 nodes" in plain["filter"]["detail"]
    assert plain["labels"]["access"] == "label"

    db.create_index("Person", "age")
    db.create_index("Person", "name")
    found = {step["step"]: step for step in steps(db, **query, limit=100)}
    assert "filter" not in found
    assert (found["index"]["access"], found["index"]["estimate"]) == ("index range", 30)
    for operator, value, access in [
        ("Equals", "name 7", "index equality"),
        ("In", ["name 7", "name 8"], "index equality"),
        ("StartsWith", "name 7", "index prefix"),
    ]:
        test = {"property": "name", "operator": operator, "value": value}
        found = {
            s["step"]: s for s in steps(db, structural_filters=[test], labels=["Person"], limit=9)
        }
        assert found["index"]["access"] == access


def test_an_index_answers_only_for_its_label(db: EmbeddedDB) -> None:
    people(db, 3)
    db.create_node(node({"label": "Dog", "id": "d", "age": 1}))
    db.create_node(node({"labels": ["Dog", "Person"], "id": "both", "age": 1}))
    db.create_index("Person", "age")
    one = [{"property": "age", "operator": "Equals", "value": 1}]
    assert {r.node.id for r in db.query(structural_filters=one)} == {"p1", "d", "both"}
    assert {r.node.id for r in db.query(structural_filters=one, labels=["Dog"])} == {"d", "both"}
    assert {r.node.id for r in db.query(structural_filters=one, labels=["Person"])} == {
        "p1",
        "both",
    }
    both = db.query(structural_filters=one, labels=["Person", "Dog"])
    assert {r.node.id for r in both} == {"p1", "d", "both"}


def test_an_equal_index_is_made_once(db: EmbeddedDB) -> None:
    first = db.create_index("Person", "age")
    assert db.create_index("Person", "age") == first
    assert db.indexes() == [first]
    with pytest.raises(AlreadyExists, match=r"Person\.age is not unique; drop it"):
        db.create_index("Person", "age", unique=True)
    db.drop_index("Person", "age")
    assert db.create_index("Person", "age", unique=True).unique
    with pytest.raises(AlreadyExists, match="is unique; drop it"):
        db.create_index("Person", "age")


def test_wrong_indexes_are_refused(db: EmbeddedDB) -> None:
    with pytest.raises(InvalidInput, match="needs no index"):
        db.create_index("Person", "id")
    with pytest.raises(InvalidInput):
        db.create_index("", "age")
    with pytest.raises(InvalidInput, match="unique is 1"):
        db.create_index("Person", "age", unique=1)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match=r"Person\.age"):
        db.drop_index("Person", "age")
    assert db.indexes() == []


def test_each_namespace_has_its_own(db: EmbeddedDB) -> None:
    other = db.namespace("other")
    db.create_index("Person", "age", unique=True)
    db.create_node(node({"label": "Person", "age": 1}))
    other.create_nodes([node({"label": "Person", "age": 1}), node({"label": "Person", "age": 1})])
    assert other.indexes() == []
    other.create_index("Person", "age")
    db.drop_namespace("other")
    assert db.verify()["ok"]
    assert [index.entries for index in db.indexes()] == [1]


# ---------------------------------------------------------------------- unique


def test_present_duplicates_are_listed(db: EmbeddedDB) -> None:
    db.create_nodes(
        [node({"label": "P", "id": f"{name}{n}", "name": name}) for name in "ab" for n in range(2)]
    )
    db.create_node(node({"label": "P", "id": "c", "name": "c"}))
    with pytest.raises(AlreadyExists) as raised:
        db.create_index("P", "name", unique=True)
    message = str(raised.value)
    assert all(id in message for id in ("a0", "a1", "b0", "b1"))
    assert '"c"' not in message
    assert db.indexes() == []
    db.create_node(node({"label": "P", "name": "a"}))  # nothing is unique


def test_duplicates_far_apart_are_listed_and_leave_nothing(db: EmbeddedDB) -> None:
    people(db, 5000)
    db.update_node("p4999", {"name": "name 0"})
    with pytest.raises(AlreadyExists, match='"p4999"') as raised:
        db.create_index("Person", "name", unique=True)
    assert '"p0"' in str(raised.value)
    db.flush()
    assert db.indexes() == []
    db.update_node("p4999", {"name": "other"})
    assert db.create_index("Person", "name", unique=True).state == "ready"
    assert db.verify()["ok"]


def test_a_node_among_duplicates_is_named_by_its_id(db: EmbeddedDB) -> None:
    for id in ('"one" \\', "two"):
        db.create_node(node({"label": "P", "id": id, "email": "a@b"}))
    with pytest.raises(AlreadyExists, match="several nodes have") as raised:
        db.create_index("P", "email", unique=True)
    assert raised.value.id == '"one" \\'


def test_a_taken_value_names_property_value_and_node(db: EmbeddedDB) -> None:
    db.create_index("P", "email", unique=True)
    db.create_node(node({"label": "P", "id": "ann", "email": "a@b"}))
    with pytest.raises(AlreadyExists, match=r'P\.email.*"ann".*"a@b"') as raised:
        db.create_node(node({"label": "P", "id": "bob", "email": "a@b"}))
    assert raised.value.id == "ann"
    db.create_node(node({"label": "Other", "email": "a@b"}))
    db.create_node(node({"label": "P", "id": "bob", "email": "b@b"}))
    with pytest.raises(AlreadyExists):
        db.update_node("bob", {"email": "a@b"})
    assert db.get_node("bob")["email"] == "b@b"  # type: ignore[index]
    db.update_node("ann", {"email": "a@b", "age": 3})  # its own
    db.delete_node("ann")
    db.update_node("bob", {"email": "a@b"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0.0, -0.0),
        ("x" * 250, "x" * 250),
        (b"\0", b"\0"),
        ("a\0b", "a\0b"),
        (START, START),
    ],
)
def test_equal_values_are_taken(db: EmbeddedDB, one: object, other: object) -> None:
    db.create_index("P", "value", unique=True)
    db.create_node(node({"label": "P", "value": one}))
    with pytest.raises(AlreadyExists):
        db.create_node(node({"label": "P", "value": other}))


def test_what_equals_nothing_is_never_taken(db: EmbeddedDB) -> None:
    db.create_index("P", "value", unique=True)
    free = [None, None, math.nan, math.nan, True, 1, "1", b"1", "x" * 250, "x" * 250 + "y"]
    db.create_nodes([node({"label": "P", "value": value}) for value in free])
    db.create_nodes([node({"label": "P"}), node({"label": "P"})])
    with pytest.raises(InvalidInput, match="a list or a dict"):
        db.create_node(node({"label": "P", "value": [1]}))
    assert db.verify()["ok"]


def test_batches_and_transactions_are_all_or_nothing(db: EmbeddedDB) -> None:
    db.create_index("P", "n", unique=True)
    with pytest.raises(AlreadyExists):
        db.create_nodes([node({"label": "P", "n": n}) for n in (1, 2, 1)])
    assert db.count("P") == 0

    def twice(tx: Transaction) -> None:
        tx.create_node(node({"label": "P", "n": 1}))
        tx.create_node(node({"label": "P", "n": 1}))

    with pytest.raises(AlreadyExists, match=r"P\.n is unique"):
        db.run(twice)
    assert db.count("P") == 0
    with db.transaction() as tx:
        gone = tx.create_node(node({"label": "P", "n": 1}))
        tx.delete_node(gone)
        tx.create_node(node({"label": "P", "n": 1}))
    assert db.count("P") == 1
    assert db.indexes()[0].entries == 1


def test_of_racing_writers_one_wins(db: EmbeddedDB) -> None:
    db.create_index("P", "n", unique=True)
    barrier = threading.Barrier(4)
    won: list[int] = []

    def write(writer: int) -> None:
        barrier.wait()
        for n in range(50):
            try:
                if writer % 2:
                    db.create_node(node({"label": "P", "n": n}))
                else:
                    with db.transaction() as tx:
                        tx.create_node(node({"label": "P", "n": n}))
                won.append(n)
            except AlreadyExists:
                pass

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(50))
    assert db.verify()["ok"]


# ---------------------------------------------------------------------- in the background


def test_it_is_built_beside_writes(db: EmbeddedDB) -> None:
    people(db, 20_000)
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            db.update_node(f"p{n * 37 % 10_000}", {"age": 1000})
            db.create_node(node({"label": "Person", "age": 1000}))
            if n < 10_000:
                db.delete_node(f"p{19_999 - n}")
            n += 1

    thread = threading.Thread(target=write)
    thread.start()
    assert db.create_index("Person", "age").state == "building"
    old = [{"property": "age", "operator": "Equals", "value": 1000}]
    seen = db.query(structural_filters=old, labels=["Person"], limit=10_000, explain=True)
    assert seen.plan is not None  # right while it is being built
    db.flush()
    stop.set()
    thread.join()
    assert [index.state for index in db.indexes()] == ["ready"]
    assert db.verify()["problems"] == []


KILLED = """
    import os, signal, sys, threading
    from embedded_db import EmbeddedDB

    db = EmbeddedDB(sys.argv[1], ml=None)
    db.create_nodes([{"label": "P", "properties": {"n": n}} for n in range(30_000)])
    db.create_index("P", "n")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_building_goes_on_after_a_kill(tmp_path: Path, spawn: Callable[..., Any]) -> None:
    for turn in range(20):
        path = tmp_path / f"{turn}.db"
        assert spawn(KILLED, path).wait() == -9
        with EmbeddedDB(path, ml=None, read_only=True) as reader:
            [state] = reader.indexes()
        # It may have been built before its process was killed.
        if state.state == "building":
            break
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        assert (state.state, state.entries < 30_000) == ("building", True)  # the fault was there
        assert reader.verify()["problems"] == []
        seven = [{"property": "n", "operator": "Equals", "value": 7}]
        assert len(reader.query(structural_filters=seven, labels=["P"])) == 1
    with EmbeddedDB(path, ml=None) as db:
        db.flush()
        assert [(i.state, i.entries) for i in db.indexes()] == [("ready", 30_000)]
        assert db.verify()["problems"] == []


def test_dropping_frees_the_room_in_the_background(db: EmbeddedDB) -> None:
    before = db.stats()["tables"]["postings"]
    people(db, 9_000)
    with_nodes = db.stats()["tables"]["postings"]
    db.create_index("Person", "name")
    db.flush()
    assert db.stats()["tables"]["postings"] == with_nodes + 9_000
    db.drop_index("Person", "name")
    assert db.indexes() == []
    db.delete_node("p8999")
    assert db.verify()["problems"] == []
    db.flush()
    assert before < db.stats()["tables"]["postings"] <= with_nodes
    assert db.verify()["problems"] == []


def test_readers_in_another_process_use_it(path: Path, db: EmbeddedDB, spawn: Any) -> None:
    people(db, 100)
    db.create_index("Person", "age")
    child = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB

        with EmbeddedDB(sys.argv[1], read_only=True) as db:
            test = {"property": "age", "operator": "Equals", "value": 7}
            found = db.query(structural_filters=[test], labels=["Person"], explain=True)
            assert len(found) == 1
            assert [s["access"] for s in found.plan["steps"]][:2] == ["label", "index equality"]
            assert db.indexes()[0].entries == 100
        """,
        path,
    )
    assert child.wait() == 0, child.stderr and child.stderr.read()
    with EmbeddedDB(path, ml=None, read_only=True) as reader, pytest.raises(ReadOnly):
        reader.create_index("Person", "name")


def test_what_the_weaver_counts_is_followed(woven: EmbeddedDB) -> None:
    woven.create_index("Entity", "mention_count")
    chat = woven.create_chat(title="Trip")
    for _ in range(3):
        chat.add_message("Alice met Bob in Paris", sender="Carol")
    woven.flush()
    thrice = [{"property": "mention_count", "operator": "Equals", "value": 3}]
    found = woven.query(structural_filters=thrice, labels=["Entity"])
    assert found
    assert all(result.node["mention_count"] == 3 for result in found)
    assert woven.verify()["problems"] == []


def test_the_command_lists_them(path: Path, db: EmbeddedDB) -> None:
    people(db, 3)
    db.create_index("Person", "age")
    db.namespace("other").create_index("Person", "name", unique=True)
    result = CliRunner().invoke(app, ["indexes", "--db", str(path), "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)
    assert [(r["namespace"], r["property"], r["unique"], r["entries"]) for r in rows] == [
        ("default", "age", False, 3),
        ("other", "name", True, 0),
    ]
    table = CliRunner().invoke(app, ["indexes", "--db", str(path)])
    assert "age" in table.output


@given(data=st.data())
@settings(max_examples=10)
def test_unique_matches_a_model(data: st.DataObject) -> None:
    """Random writes of few values: the database refuses exactly what a dict would."""
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_index("P", "v", unique=True)
        has: dict[str, Any] = {}
        choices = [None, 0, 0.0, 1, True, "a", "a\0", "x" * 230, "x" * 230 + "y", b"a", START]
        ids = st.sampled_from([f"n{n}" for n in range(6)])
        for id, value in data.draw(st.lists(st.tuples(ids, st.sampled_from(choices)), max_size=30)):
            taken = any(
                other != id and value is not None and equal(known, value)
                for other, known in has.items()
            )
            write = db.update_node if id in has else None
            try:
                if write is None:
                    db.create_node(node({"id": id, "label": "P", "v": value}))
                else:
                    write(id, {"v": value})
                assert not taken
                has[id] = value
            except AlreadyExists:
                assert taken
        assert db.verify()["problems"] == []


def equal(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
