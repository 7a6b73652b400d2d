"""Whatever a method is given, it works or raises an error of ours or a TypeError, and never half.

Every public method of every handle is called once for each of its arguments and each bad value,
with sound values for the other arguments: as the argument itself, and inside it where it is a dict
or a list. A call that raises has changed nothing, and the database verifies clean afterwards.
"""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from embedded_db import (
    BadText,
    DbError,
    EmbeddedDB,
    InternalError,
    InvalidInput,
    NotFound,
    ValueTooLarge,
)

NAIVE = datetime(2026, 1, 31)


class Meddling(tzinfo):
    """A time zone that changes a dict or a list whenever it is asked for its offset."""

    asked = 0

    def __init__(self, change: Callable[[int], Any]) -> None:
        self.change = change

    def utcoffset(self, when: datetime | None) -> timedelta:
        self.change(Meddling.asked)
        Meddling.asked += 1
        return timedelta(0)

    def __deepcopy__(self, memo: object) -> "Meddling":
        return self


def growing_dict() -> dict[str, Any]:
    grown: dict[str, Any] = {"first": 1}
    zone = Meddling(lambda n: grown.update({f"new{n}": n}))
    grown["when"] = datetime(2026, 1, 1, tzinfo=zone)
    grown.update({f"rest{n}": n for n in range(20)})
    return grown


def shrinking_list() -> list[Any]:
    items: list[Any] = [1]
    items.append(datetime(2026, 1, 1, tzinfo=Meddling(lambda _: items.clear())))
    items += range(20)
    return items


class LyingDict(dict[str, Any]):
    """What its methods say is not what it holds."""

    def items(self) -> Any:
        return [("a",), 7, None]

    def keys(self) -> Any:
        raise RuntimeError("no keys today")

    def __len__(self) -> int:
        return 1 << 40

    def __iter__(self) -> Any:
        return iter((1, 2, 3))


class OddMapping(Mapping[str, Any]):
    """A mapping whose items are no pairs."""

    def __getitem__(self, key: str) -> Any:
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(["label", "content"])

    def __len__(self) -> int:
        return 2

    def items(self) -> Any:
        return [("label", "X", 3)]


class Mute:
    """Nothing can be said of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no name")

    __str__ = __repr__


def itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def deep() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(100_000):
        inner = {"a": inner}
    return inner


DEEP = deep()
WIDE = {f"k{n}": n for n in range(20_000)}

BAD: dict[str, Callable[[], Any]] = {
    "lone surrogate": lambda: "\ud800",
    "NUL": lambda: "a\0b",
    "empty": lambda: "",
    "300 bytes": lambda: "x" * 300,
    "200 kB": lambda: "é" * 100_000,
    "-1": lambda: -1,
    "0": lambda: 0,
    "2**63": lambda: 2**63,
    "2**70": lambda: 2**70,
    "10**5000": lambda: 10**5000,
    "True": lambda: True,
    "None": lambda: None,
    "NaN": lambda: math.nan,
    "infinity": lambda: math.inf,
    "growing dict": growing_dict,
    "shrinking list": shrinking_list,
    "lying dict": lambda: LyingDict(label="X", content="text"),
    "odd mapping": OddMapping,
    "itself": itself,
    "100,000 deep": lambda: DEEP,
    "20,000 keys": lambda: WIDE,
    "Decimal": lambda: Decimal("1.5"),
    "naive datetime": lambda: NAIVE,
    "object": object,
    "mute": Mute,
    "bytes": lambda: b"\xff",
    "array": lambda: np.zeros((2, 0, 3)),
}

# A sound value for each parameter, by its name.
SOUND: dict[str, Callable[[], Any]] = {
    "after": lambda: None,
    "artefact": lambda: "embedding",
    "attempts": lambda: 2,
    "chat_id": lambda: "chat",
    "content": lambda: "text",
    "edge": lambda: {"source": "a", "target": "b", "type": "T"},
    "edges": lambda: [{"source": "a", "target": "b", "type": "T"}],
    "embedding": lambda: {"node_id": "a", "vector": [1.0, 2.0], "space": "s"},
    "end_id": lambda: "b",
    "function": lambda: lambda tx: tx.get_node("a"),
    "id": lambda: "a",
    "ids": lambda: ["a", "b"],
    "level": lambda: "Normal",
    "message": lambda: "message",
    "messages": lambda: [{"content": "text"}],
    "name": lambda: "other",
    "new_edge": lambda: {"valid_from": datetime(2100, 1, 1, tzinfo=UTC)},
    "node": lambda: {"label": "X", "properties": {"p": 1}},
    "nodes": lambda: [{"label": "X", "properties": {"p": 1}}],
    "query": lambda: None,
    "start": lambda: "a",
    "start_id": lambda: "a",
    "timeout": lambda: 0.01,
    "updates": lambda: {"p": 1},
    "vector": lambda: [1.0, 2.0],
    "vectors": lambda: [[1.0, 2.0], [3.0, 4.0]],
}

# Where a bad value may stand inside an argument.
INSIDE: dict[str, list[Callable[[Any], Any]]] = {
    "node": [
        lambda bad: {"label": bad},
        lambda bad: {"labels": ["X", bad]},
        lambda bad: {"id": bad, "label": "X"},
        lambda bad: {"label": "X", "properties": bad},
        lambda bad: {"label": "X", "properties": {"p": bad}},
        lambda bad: {"label": "X", "properties": {"p": [{"q": bad}]}},
        lambda bad: {"label": "X", "properties": {"p": {bad: 1}}},
        lambda bad: {"label": "X", "properties": {bad: 1}},
        lambda bad: {"label": "X", bad: 1},
        lambda bad: {"label": "X", "ttl": bad},
        lambda bad: {"label": "X", "expires_at": bad},
    ],
    "edge": [
        lambda bad: {"source": bad, "target": "b", "type": "T"},
        lambda bad: {"source": "a", "target": "b", "type": bad},
        *(
            lambda bad, name=name: {"source": "a", "target": "b", "type": "T", name: bad}
            for name in ("id", "properties", "weight", "valid_from", "valid_to", "sources")
        ),
        lambda bad: {"source": "a", "target": "b", "type": "T", "properties": {"p": bad}},
    ],
    "embedding": [
        lambda bad: {"node_id": bad, "vector": [1.0, 2.0], "space": "s"},
        lambda bad: {"node_id": "a", "vector": bad, "space": "s"},
        lambda bad: {"node_id": "a", "vector": [1.0, bad], "space": "s"},
        lambda bad: {"node_id": "a", "vector": [1.0, 2.0], "space": bad},
        lambda bad: {"id": bad, "node_id": "a", "vector": [1.0, 2.0], "space": "s"},
    ],
    "messages": [
        lambda bad: [{"content": bad}],
        lambda bad: [{"content": "text"}, {"content": "text", "sender": bad}],
        lambda bad: [{"content": "text", "timestamp": bad}],
        lambda bad: [{"content": "text", "p": bad}],
    ],
    "updates": [
        lambda bad: {"p": bad},
        lambda bad: {bad: 1},
        lambda bad: {"weight": bad},
        lambda bad: {"valid_from": bad},
    ],
    "ids": [lambda bad: ["a", bad]],
    "edge_types": [lambda bad: ["T", bad]],
    "type": [lambda bad: ["T", bad]],
    "labels": [lambda bad: ["X", bad]],
    "vector": [lambda bad: [1.0, bad]],
    "vectors": [lambda bad: [[1.0, 2.0], bad], lambda bad: [[1.0, 2.0], [3.0, bad]]],
    "structural_filters": [
        lambda bad: [bad],
        lambda bad: [{"property": bad, "operator": "Equals", "value": 1}],
        lambda bad: [{"property": "p", "operator": bad, "value": 1}],
        *(
            lambda bad, operator=operator: [{"property": "p", "operator": operator, "value": bad}]
            for operator in ("Equals", "LessThan", "In", "Between", "StartsWith", "Contains")
        ),
        lambda bad: [{"any": [{"not": bad}]}],
        lambda bad: [{"all": bad}],
    ],
    "graph_filter": [
        lambda bad: {"start": bad},
        *(
            lambda bad, name=name: {"start": "a", name: bad}
            for name in (
                *("edge_types", "direction", "min_hops", "max_hops", "exclude"),
                *("valid_at", "known_at"),
            )
        ),
    ],
    "semantic_query": [
        lambda bad: {"vector": bad, "space": "s"},
        lambda bad: {"vector": [1.0, bad], "space": "s"},
        lambda bad: {"text": bad},
        *(
            lambda bad, name=name: {"vector": [1.0, 2.0], "space": "s", name: bad}
            for name in ("space", "threshold", "recall")
        ),
    ],
    "text_query": [lambda bad: {"text": bad}],
    "rank": [lambda bad: {"text": bad}, lambda bad: {bad: 1.0}],
}
INSIDE["new_edge"] = INSIDE["edge"]
INSIDE["nodes"] = [
    lambda bad, inner=inner: [SOUND["node"](), inner(bad)] for inner in INSIDE["node"]
]
INSIDE["edges"] = [
    lambda bad, inner=inner: [SOUND["edge"](), inner(bad)] for inner in INSIDE["edge"]
]

# Methods that end what they are called on.
ENDING = {"close", "commit", "rollback"}


def public_methods(handle: object) -> list[str]:
    return [
        name
        for name, method in inspect.getmembers(type(handle), inspect.isroutine)
        if not name.startswith("_") and name not in ENDING
    ]


def fill(database: EmbeddedDB) -> EmbeddedDB:
    database.create_node({"id": "a", "label": "X", "properties": {"p": 1}})
    database.create_node({"id": "b", "label": "X"})
    database.create_edge({"id": "e", "source": "a", "target": "b", "type": "T"})
    database.create_embedding({"id": "v", "node_id": "a", "vector": [1.0, 2.0], "space": "s"})
    database.create_message("chat", "text", id="message")
    return database


def state(database: EmbeddedDB) -> object:
    nodes = sorted((n.id, n.version, repr(n.properties)) for n in database.nodes())
    edges = sorted(
        (e.id, e.version, e.weight, repr(e.properties))
        for id, *_ in nodes
        for e in database.edges(id)
    )
    vectors = [
        (
            id,
            space["name"],
            [v.vector.tolist() for v in database.get_embeddings_for_node(id, space["name"])],
        )
        for id, *_ in nodes
        for space in database.spaces()
    ]
    return nodes, edges, vectors, database.namespaces()


def bad_calls(method: Callable[..., Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each call: what is bad about it, and its arguments."""
    parameters = inspect.signature(method).parameters.values()
    for parameter in parameters:
        sound = {
            other.name: SOUND[other.name]()
            for other in parameters
            if other.default is other.empty
            and other.kind is not other.VAR_KEYWORD
            and other.name in SOUND
        }
        if method.__name__ == "query":
            sound["labels"] = ["X"]
        if method.__name__ in ("flush", "wait_for", "query"):
            sound["timeout"] = 0.01
        name = "p" if parameter.kind is parameter.VAR_KEYWORD else parameter.name
        for what, make in BAD.items():
            places = [lambda bad: bad, *INSIDE.get(name, [])]
            for place, wrap in enumerate(places):
                try:
                    value = wrap(make())
                except TypeError:  # as the key of a dict, an unhashable value is no case
                    continue
                yield f"{name}: {what} (place {place})", {**sound, name: value}


def consume(result: object) -> None:
    """Read what a call gives lazily."""
    if isinstance(result, Iterator):
        for _ in zip(range(5), result, strict=False):
            pass


def check_method(handle: Any, name: str, database: EmbeddedDB) -> None:
    for what, arguments in bad_calls(getattr(handle, name)):
        lsn = database.stats()["lsn"]
        raised: BaseException | None = None
        try:
            consume(getattr(handle, name)(**arguments))
        except BaseException as error:  # a panic of native code is no Exception
            raised = error
        if raised is not None:
            call = f"{name}({what}) raised {type(raised).__name__}: {raised!s:.300}"
            assert isinstance(raised, DbError | TypeError), call
            assert not isinstance(raised, InternalError), call
            assert len(str(raised)) < 5_000, call
            assert database.stats()["lsn"] == lsn, f"{call}, and wrote"
        elif says_when_to_go(arguments):
            stay(handle if isinstance(handle, EmbeddedDB) else database)


def says_when_to_go(arguments: dict[str, Any]) -> bool:
    """Whether a call may have stored something that is deleted later, by itself."""
    given = [arguments, *arguments.values()]
    given += [item for value in given if type(value) is list for item in value]
    return any(type(each) is dict and ("ttl" in each or "expires_at" in each) for each in given)


def stay(database: EmbeddedDB) -> None:
    """Let nothing be deleted while other calls are watched."""
    for node in database.nodes():
        if node.expires_at is not None:
            with contextlib.suppress(NotFound):
                database.set_ttl(node.id, None)
    database.flush(timeout=60)


def check(handle: Any, database: EmbeddedDB) -> None:
    names = public_methods(handle)
    assert len(names) > 10, "the methods were found"
    for name in names:
        check_method(handle, name, database)
    assert database.verify()["ok"]


def test_methods_of_a_database(db):
    check(fill(db), db)


def test_methods_of_a_namespace(db):
    check(fill(db.namespace("ns")), db)


def test_methods_of_a_snapshot(db):
    with fill(db).snapshot() as snapshot:
        before = state(db)
        check(snapshot, db)
    assert state(db) == before


def test_methods_of_a_transaction(db):
    before = state(fill(db))
    with contextlib.suppress(ZeroDivisionError), db.transaction() as tx:
        check(tx, db)
        raise ZeroDivisionError
    assert state(db) == before, "what was refused, and what was rolled back, left nothing"


def test_methods_of_stored_objects(db):
    fill(db)
    for handle in (db.get_node("message"), db.get_node("chat")):
        # Reads come first: they would take long over the megabytes that are added.
        for name in sorted(public_methods(handle), key=lambda name: name.startswith("a")):
            if name not in ("delete", "refresh"):
                check_method(handle, name, db)
    for handle in (db.get_node("a"), db.get_edge("e")):
        for make in BAD.values():
            for read in (handle.get, handle.__contains__, handle.__getitem__):
                with contextlib.suppress(DbError, TypeError, KeyError):
                    read(make())
    assert db.verify()["ok"]


def test_what_is_refused_is_refused_by_name(db):
    fill(db)
    with pytest.raises(BadText, match="surrogate"):
        db.get_node("\ud800")
    with pytest.raises(BadText, match="surrogate"):
        db.namespace("\udfff")
    with pytest.raises(InvalidInput, match=r"max_depth is -1.* 0 to 4294967295"):
        db.traverse("a", max_depth=-1)
    with pytest.raises(InvalidInput, match=r"max_hops is 1180591620717411303424.* 0 to"):
        db.find_shortest_path("a", "b", max_hops=2**70)
    with pytest.raises(InvalidInput, match=r"limit is -1.* 0 to"):
        db.traverse("a", limit=-1)
    with pytest.raises(InvalidInput, match=r"max_visited is True.* 0 to"):
        db.traverse("a", max_visited=True)
    with pytest.raises(InvalidInput, match="timeout is nan"):
        db.flush(timeout=math.nan)
    with pytest.raises(TypeError):
        db.traverse("a", max_depth=1.5)
    with pytest.raises(TypeError):
        db.count(7)
    with pytest.raises(InvalidInput, match="10000|10,000"):
        db.create_node({"label": "X", "properties": WIDE})
    with pytest.raises(InvalidInput, match="deeper than 64"):
        db.create_node({"label": "X", "properties": {"p": DEEP}})
    with pytest.raises(ValueTooLarge, match="255"):
        db.create_node({"label": "X" * 300})


def test_what_changes_while_it_is_read_is_stored_as_it_was(db):
    asked = Meddling.asked
    given = growing_dict()
    before = dict(given)
    id = db.create_node({"label": "X", "properties": given})
    assert Meddling.asked > asked, "the dict was changed while it was read"
    assert len(given) > len(before)
    assert db.get_node(id).properties == before
    nested = growing_dict()
    before = dict(nested)
    db.update_node(id, {"inner": nested})
    assert db.get_node(id)["inner"] == before
    items = shrinking_list()
    before = list(items)
    db.update_node(id, {"items": items})
    assert items == []
    assert db.get_node(id)["items"] == before
    assert db.verify()["ok"]
