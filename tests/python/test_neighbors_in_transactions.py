"""`tx.neighbors` is `db.neighbors` with the own writes of the transaction: order, pages, times."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import DbError, EmbeddedDB, InvalidInput
from harness.waiting import moment

FIRST = datetime(2020, 1, 1, tzinfo=UTC)
YEARS = [FIRST + timedelta(days=365 * n) for n in range(4)]


@pytest.fixture
def cities(db):
    db.create_nodes([{"id": id, "label": "City"} for id in "abcdef"])
    for to in "bcd":
        db.create_edge({"id": f"road-{to}", "source": "a", "target": to, "type": "ROAD"})
    return db


def ids(nodes):
    return [node.id for node in nodes]


def outcome(call):
    try:
        return ids(call())
    except DbError as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"limit": limit} for limit in (-1, 0, 1, True, "x", 1.5, 10**30, None)),
        *(
            {"after": after}
            for after in ("", "nope", "b", 3, "a\0", "x" * 300, b"b", [], "0.1.2.3")
        ),
        *({"direction": way} for way in ("both", "sideways", None)),
        *({"type": of} for of in ("ROAD", "NONE", 5, [], ["ROAD", "RIVER"])),
        *({name: YEARS[0]} for name in ("valid_at", "known_at")),
        *({name: datetime(2020, 1, 1)} for name in ("valid_at", "known_at")),
        *({name: "now"} for name in ("valid_at", "known_at")),
    ],
    ids=lambda arguments: "-".join(f"{name}={value!r:.20}" for name, value in arguments.items()),
)
def test_the_same_arguments_do_the_same(cities, arguments):
    outside = outcome(lambda: cities.neighbors("a", **arguments))
    with cities.transaction() as tx:
        assert outcome(lambda: tx.neighbors("a", **arguments)) == outside


def pages(where, limit, **arguments):
    found, after = [], None
    while True:
        page = where.neighbors("a", limit=limit, after=after, **arguments)
        found.append(ids(page))
        after = page.cursor
        if after is None:
            return found


def test_pages_go_on_where_they_ended(cities):
    with cities.transaction() as tx:
        cursor = tx.neighbors("a", limit=2).cursor
        tx.delete_edge("road-c")
        for of in ("NEW", "ROAD", "RAIL"):
            tx.create_edge({"source": "a", "target": "e", "type": of})
            tx.create_edge({"source": "f", "target": "a", "type": of})
        assert pages(tx, 2) == [["b", "d"], ["e", "e"], ["e"]]
        assert pages(tx, 3, direction="both") == [["b", "d", "e"], ["e", "e", "f"], ["f", "f"]]
        assert ids(tx.neighbors("a", "ROAD", after=cursor)) == ["d", "e"]
        assert ids(tx.neighbors("a", after=cities.neighbors("a", limit=1).cursor)) == list("deee")
    assert pages(cities, 2) == [["b", "d"], ["e", "e"], ["e"]]


def test_a_cursor_of_own_edges_means_nothing_outside(cities):
    with cities.transaction() as tx:
        tx.create_edge({"source": "a", "target": "e", "type": "NEW"})
        tx.create_edge({"source": "a", "target": "f", "type": "NEW"})
        cursor = tx.neighbors("a", limit=4).cursor
        with pytest.raises(InvalidInput, match="is no cursor of this call"):
            cities.neighbors("a", after=cursor)


def test_only_what_was_given_counts_as_read(cities):
    with cities.transaction() as tx:
        assert ids(tx.neighbors("a", limit=1)) == ["b"]
        tx.create_node({"label": "X"})
        cities.update_node("c", {"n": 1})
    assert cities.count("X") == 1


def test_own_writes_count_by_their_times(cities):
    before = moment()
    with cities.transaction() as tx:
        tx.update_edge("road-b", {"valid_from": YEARS[1]})
        tx.create_edge(
            {
                "source": "a",
                "target": "e",
                "type": "ROAD",
                "valid_from": YEARS[1],
                "valid_to": YEARS[2],
            }
        )
        tx.retract_edge("road-c")
        tx.delete_edge("road-d")
        valid = [ids(tx.neighbors("a", valid_at=year)) for year in YEARS]
        assert valid == [[], ["b", "e"], ["b"], ["b"]]
        # As it was known before, but for what has lost its history.
        assert ids(tx.neighbors("a", known_at=before)) == ["b", "c"]
        assert ids(tx.neighbors("a", known_at=before, valid_at=YEARS[0])) == ["b", "c"]
        assert ids(tx.neighbors("a", known_at=FIRST)) == []
        later = datetime.now(UTC) + timedelta(days=1)
        assert ids(tx.neighbors("a", known_at=later)) == ["b", "e"]
    assert [ids(cities.neighbors("a", valid_at=year)) for year in YEARS] == valid
    assert ids(cities.neighbors("a", known_at=before)) == ["b", "c"]
    assert ids(cities.neighbors("a", known_at=later)) == ["b", "e"]


calls = st.lists(
    st.tuples(
        st.sampled_from(["create", "retract", "delete", "update", "forget"]),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.sampled_from(["ROAD", "RAIL", "NEW"]),
        st.sampled_from(YEARS),
    ),
    max_size=12,
)


def do(where, step):
    at, (name, source, target, of, year) = step
    edges = known(where, at)
    try:
        if name == "create":
            edge = {"id": f"e{at}", "source": source, "target": target, "type": of}
            where.create_edge({**edge, "valid_from": year})
        elif name == "forget":
            where.delete_node(source)
            where.create_node({"id": source, "label": "City"})
        elif edges:
            edge = edges[at % len(edges)]
            if name == "update":
                where.update_edge(edge, {"valid_to": year + timedelta(days=400)})
            else:
                getattr(where, f"{name}_edge")(edge)
    except DbError:
        pass


def known(where, at):
    return [f"e{n}" for n in range(at) if where.get_edge(f"e{n}") is not None]


@given(stored=calls, own=calls)
def test_the_transaction_sees_what_there_will_be(stored, own):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"id": id, "label": "City"} for id in "abc"])
        for step in enumerate(stored):
            do(db, step)
        before = moment()
        asked = [
            {"direction": way, "limit": limit, **times}
            for way in ("out", "in", "both")
            for limit in (1, None)
            for times in (
                {},
                {"valid_at": YEARS[1]},
                {"known_at": before},
                {"known_at": before, "valid_at": YEARS[2]},
                {"known_at": before + timedelta(days=1)},
            )
        ]

        def answers(where):
            return [ids(where.neighbors(id, **each)) for id in "abc" for each in asked]

        with db.transaction() as tx:
            for step in enumerate(own, len(stored)):
                do(tx, step)
            within = answers(tx)
        assert answers(db) == within
