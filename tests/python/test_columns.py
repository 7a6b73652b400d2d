"""Numbers, truth values and times of an index are also kept in a column, by node.

A column makes comparisons and ``order_by`` quicker and never different: each node here has the
same value in a property with an index, in ``timestamp``, which is indexed from the start, and in
one without an index, and whatever is asked of one is asked of all three. There are enough different
values that the planner does not do with postings.
"""

import math
import random
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from embedded_db import DELETE, Config, ConvergedQuery, EmbeddedDB

START = datetime(2026, 1, 1, tzinfo=UTC)
MISSING = object()

SPECIAL: list[Any] = [
    None,
    True,
    False,
    0,
    -0.0,
    0.0,
    1,
    1.0,
    math.nan,
    -math.nan,
    math.inf,
    -math.inf,
    2**53,
    2**53 + 1,
    float(2**53),
    float(2**53 + 2),
    2**63 - 1,
    -(2**63),
    2.0**63,
    -(2.0**63),
    START,
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, tzinfo=UTC),
    "",
    "a",
    "x" * 250,
    "x" * 250 + "y",
    b"",
    b"a",
    [],
    [1],
    {"in": 1},
    MISSING,
]


def drawn(rng: random.Random) -> Any:
    """A value of any type; most are numbers and times near each other, so that some are equal."""
    kind = rng.random()
    if kind < 0.35:
        return rng.randint(-200, 200)
    if kind < 0.5:
        return rng.randint(-400, 400) / 2
    if kind < 0.75:
        return START + timedelta(seconds=rng.randint(-200, 200))
    if kind < 0.85:
        return f"text {rng.randint(0, 60)}"
    return rng.choice(SPECIAL)


def row(value: Any, other: int) -> dict[str, Any]:
    own = {} if value is MISSING else {"v": value, "timestamp": value, "plain": value}
    return {"label": "Row", "properties": {**own, "tenth": other % 10, "other": other % 3}}


seeds = st.integers(0, 2**32 - 1)
operands = st.one_of(
    seeds.map(lambda seed: drawn(random.Random(seed))), st.sampled_from(SPECIAL)
).filter(lambda value: value is not MISSING)


def comparable(low: Any, high: Any) -> bool:
    try:
        return type(low) is not bool and low <= high and type(high) is not bool
    except TypeError:
        return False


tests = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                "Equals",
                "NotEquals",
                "GreaterThan",
                "GreaterThanOrEqual",
                "LessThan",
                "LessThanOrEqual",
            ]
        ),
        operands,
    ),
    st.tuples(st.sampled_from(["In", "NotIn"]), st.lists(operands, min_size=1, max_size=20)),
    st.tuples(
        st.just("Between"),
        st.tuples(operands, operands).filter(lambda pair: comparable(*pair)).map(list),
    ),
    st.tuples(st.just("Between"), st.sampled_from([[False, True], [None, None], [-150, 150.5]])),
    st.tuples(st.sampled_from(["Exists", "NotExists"]), st.none()),
)


class Columns(RuleBasedStateMachine):
    """Whatever was written, the three properties answer alike."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "memory.db"
        self.db = self._open()
        self.ids: list[str] = []

    def _open(self) -> EmbeddedDB:
        return EmbeddedDB(self.path, ml=None, config=Config(durability="memory"))

    def teardown(self) -> None:
        self.db.close()
        self.directory.cleanup()

    @initialize(seed=seeds, first=st.booleans())
    def begin(self, seed: int, first: bool) -> None:
        if first:
            self.db.create_index("Row", "v")
        self._create(seed, 400)
        if not first:
            self.db.create_index("Row", "v")
            self.db.flush()

    @rule(seed=seeds, count=st.integers(1, 200))
    def create(self, seed: int, count: int) -> None:
        self._create(seed, count)

    def _create(self, seed: int, count: int) -> None:
        rng = random.Random(seed)
        self.ids += self.db.create_nodes([row(drawn(rng), n) for n in range(count)])

    @rule(seed=seeds, count=st.integers(1, 60))
    def update(self, seed: int, count: int) -> None:
        rng = random.Random(seed)
        with self.db.transaction() as tx:
            for id in rng.sample(self.ids, min(count, len(self.ids))):
                value = drawn(rng)
                value = DELETE if value is MISSING else value
                tx.update_node(id, {"v": value, "timestamp": value, "plain": value})

    @rule(seed=seeds, share=st.sampled_from([0.05, 0.5]))
    def delete(self, seed: int, share: float) -> None:
        rng = random.Random(seed)
        gone = set(rng.sample(self.ids, int(share * len(self.ids))))
        for id in gone:
            self.db.delete_node(id)
        self.ids = [id for id in self.ids if id not in gone]

    @rule()
    def index_anew(self) -> None:
        self.db.drop_index("Row", "v")
        self.db.create_index("Row", "v")
        self.db.flush()

    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.db = self._open()

    def ask(self, **query: Any) -> list[str]:
        return [hit.node.id for hit in self.db.query(labels=["Row"], **query)]

    @rule(
        test=tests,
        few=st.booleans(),
        wrap=st.sampled_from(["plain", "any", "not"]),
        limit=st.sampled_from([1, 7, 100, 10_000]),
    )
    def filter(self, test: tuple[str, Any], few: bool, wrap: str, limit: int) -> None:
        def asked(property: str) -> list[str]:
            condition: dict[str, Any] = {"property": property, "operator": test[0]}
            if test[0] not in ("Exists", "NotExists"):
                condition["value"] = test[1]
            if wrap == "any":
                lower = {"property": property, "operator": "LessThan", "value": -180}
                condition = {"any": [condition, lower]}
            elif wrap == "not":
                condition = {"not": condition}
            tenth = {"property": "tenth", "operator": "Equals", "value": 3}
            filters = [condition, tenth] if few else [condition]
            return self.ask(structural_filters=filters, limit=limit)

        plain = asked("plain")
        assert asked("v") == plain
        assert asked("timestamp") == plain
        unlabelled = {"property": "timestamp", "operator": "GreaterThan", "value": START}
        everywhere = self.db.query(structural_filters=[unlabelled], limit=limit)
        assert [hit.node.id for hit in everywhere] == self.ask(
            structural_filters=[{**unlabelled, "property": "plain"}], limit=limit
        )

    @rule(
        descending=st.booleans(),
        limit=st.one_of(st.integers(1, 40), st.integers(1, 1000)),
        then=st.sampled_from([None, "asc", "desc"]),
        few=st.booleans(),
    )
    def order(self, descending: bool, limit: int, then: str | None, few: bool) -> None:
        def asked(property: str) -> list[list[str]]:
            by: list[tuple[str, str]] = [(property, "desc" if descending else "asc")]
            if then is not None:
                by.append(("other", then))
            query: dict[str, Any] = {"labels": ["Row"], "order_by": by, "limit": limit}
            if few:
                tenth = {"property": "tenth", "operator": "Equals", "value": 3}
                query["structural_filters"] = [tenth]
            pages: list[list[str]] = []
            found = self.db.query(**query)
            pages.append([hit.node.id for hit in found])
            while found.cursor is not None and len(pages) < 4:
                found = self.db.query(**query, after=found.cursor)
                pages.append([hit.node.id for hit in found])
            return pages

        plain = asked("plain")
        assert asked("v") == plain
        assert asked("timestamp") == plain

    @invariant()
    def agrees(self) -> None:
        assert self.db.verify()["problems"] == []


def test_a_column_changes_no_result(thorough: bool) -> None:
    run_state_machine_as_test(
        Columns,
        settings=settings(max_examples=100 if thorough else 8, stateful_step_count=20),
    )


# ---------------------------------------------------------------------- the plan


def steps(db: EmbeddedDB, **query: Any) -> dict[str, dict[str, Any]]:
    plan = db.query(explain=True, **query).plan
    assert plan is not None
    return {step["step"]: step for step in plan["steps"]}


def messages(db: EmbeddedDB, count: int) -> None:
    db.create_chat(id="chat").add_messages(
        [
            {"content": "x", "sender": f"s{n % 500}", "timestamp": START + timedelta(minutes=n)}
            for n in range(count)
        ]
    )


def later(n: int) -> dict[str, Any]:
    return {
        "property": "timestamp",
        "operator": "GreaterThan",
        "value": START + timedelta(minutes=n),
    }


def test_times_of_messages_have_a_column_from_the_start(db: EmbeddedDB) -> None:
    messages(db, 3000)
    found = steps(db, structural_filters=[later(1000)], order_by=["timestamp"])
    assert "filter" not in found  # no node is read to compare it
    assert (found["index"]["access"], found["index"]["rows"]) == ("column scan", 1999)
    one = {"property": "sender", "operator": "Equals", "value": "s7"}
    found = steps(db, structural_filters=[later(1000), one], labels=["Message"])
    assert "filter" not in found
    assert (found["index"]["access"], found["index"]["rows"]) == ("column read", 4)


def test_without_an_order_the_first_that_match_are_enough(db: EmbeddedDB) -> None:
    messages(db, 3000)
    found = steps(db, structural_filters=[later(200)], limit=5)
    assert found["index"]["access"] == "column scan"
    assert found["index"]["rows"] < 300  # of 2799
    whole = [hit.node.id for hit in db.query(structural_filters=[later(200)], limit=10_000)]
    assert len(whole) == 2799
    paged: list[str] = []
    after = None
    while len(paged) < 900:
        page = db.query(structural_filters=[later(200)], limit=300, after=after)
        paged += [hit.node.id for hit in page]
        after = page.cursor
    assert paged == whole[:900]


def test_a_condition_is_compared_after_the_graph_has_left_few(db: EmbeddedDB) -> None:
    messages(db, 3000)
    first = db.query(labels=["Message"], order_by=["timestamp"], limit=1)[0].node.id
    near = {"start": first, "edge_types": ["NEXT"], "max_hops": 3}
    found = steps(db, graph_filter=near, structural_filters=[later(1)])
    assert list(found) == ["graph", "index", "order"]
    assert (found["index"]["access"], found["index"]["rows"]) == ("column read", 2)
    assert len(db.query(graph_filter=near, structural_filters=[later(1)])) == 2


def test_the_planner_takes_postings_for_few_values_and_the_column_for_many(
    db: EmbeddedDB,
) -> None:
    db.create_nodes([{"label": "N", "properties": {"n": n, "few": n % 5}} for n in range(3000)])
    db.create_index("N", "n")
    db.create_index("N", "few")
    db.flush()
    for property, least, access, rows in [
        ("few", 1, "index range", 2400),
        ("n", 2990, "index range", 10),
        ("n", 1000, "column scan", 2000),
    ]:
        many = {"property": property, "operator": "GreaterThanOrEqual", "value": least}
        found = steps(db, structural_filters=[many], labels=["N"], order_by=["n"])
        assert (found["index"]["access"], found["index"]["rows"]) == (access, rows), property


def test_order_by_reads_only_what_it_returns(db: EmbeddedDB) -> None:
    rng = random.Random(5)
    db.create_nodes(
        [
            {"label": "N", "properties": {"n": rng.random(), "name": f"name {rng.random()}"}}
            for _ in range(3000)
        ]
    )
    for property, access in [("n", "column scan"), ("name", "index order")]:
        for way in ("asc", "desc"):
            query: dict[str, Any] = {"labels": ["N"], "order_by": [(property, way)], "limit": 10}
            before, plain = steps(db, **query)["order"], db.query(**query)
            assert (before["access"], before["estimate"]) == ("scan", 3000)
            assert before["detail"] == f"{property}: read from 3000 nodes"
            db.create_index("N", property)
            db.flush()
            found, indexed = steps(db, **query)["order"], db.query(**query)
            assert (found["access"], found["estimate"]) == (access, 3000)
            assert found["detail"] == f"{property}: read from 11 nodes"  # one more tells of a page
            assert [hit.node.id for hit in indexed] == [hit.node.id for hit in plain]
            db.drop_index("N", property)
    assert db.verify()["problems"] == []


def test_each_label_of_a_query_needs_its_index(db: EmbeddedDB) -> None:
    """A node with both labels is in both columns, and comes once."""
    db.create_nodes(
        [
            {"id": f"{n}", "labels": labels, "properties": {"n": n % 40}}
            for n, labels in enumerate([["A"], ["B"], ["A", "B"]] * 100)
        ]
    )
    query: dict[str, Any] = {"labels": ["A", "B"], "order_by": [("n", "desc")], "limit": 25}
    plain = [hit.node.id for hit in db.query(**query)]
    db.create_index("A", "n")
    assert steps(db, **query)["order"]["access"] == "scan"
    db.create_index("B", "n")
    assert steps(db, **query)["order"]["access"] == "column scan"
    assert [hit.node.id for hit in db.query(**query)] == plain
    assert len(set(plain)) == 25


def test_dropping_an_index_removes_its_column(db: EmbeddedDB) -> None:
    db.create_nodes([{"label": "N", "properties": {"n": n}} for n in range(1000)])
    assert db.stats()["tables"]["columns"] == 0
    db.create_index("N", "n")
    db.flush()
    assert db.stats()["tables"]["columns"] == 8  # rows of 128 nodes
    db.drop_index("N", "n")
    db.flush()
    assert db.stats()["tables"]["columns"] == 0


def test_texts_are_in_no_column(db: EmbeddedDB) -> None:
    db.create_index("N", "name")
    db.create_nodes([{"label": "N", "properties": {"name": f"name {n}"}} for n in range(500)])
    assert db.stats()["tables"]["columns"] == 0


def test_what_a_matching_update_writes_is_compared_in_the_same_step(db: EmbeddedDB) -> None:
    messages(db, 300)
    late = ConvergedQuery(structural_filters=[later(99)], labels=["Message"])
    assert db.update_matching(late, {"timestamp": START}) == 200
    assert list(db.execute_query(late)) == []
    assert db.verify()["problems"] == []
