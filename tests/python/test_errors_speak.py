"""Every error says what was wrong, the value, and the remedy, and nothing is half-written.

Each case is a call that fails, the class of its error, and words its message must have: the
thing, the value, the remedy.
"""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from embedded_db import Config, ConvergedQuery, EmbeddedDB, MLConfig, errors
from embedded_db.errors import (
    AlreadyExists,
    BadText,
    Conflict,
    DatabaseClosed,
    DatabaseLocked,
    DbError,
    DimensionMismatch,
    EnrichmentFailed,
    InvalidInput,
    InvalidQuery,
    ModelUnavailable,
    NonFiniteVector,
    NotFound,
    ReadOnly,
    Timeout,
    ValueTooLarge,
)

NAIVE = datetime(2026, 1, 31)
CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: list[Any] = []
for _ in range(70):
    DEEP = [DEEP]


@dataclass
class Case:
    name: str
    call: Callable[[EmbeddedDB], Any]
    error: type[DbError]
    words: tuple[str, ...]


def node(**properties: Any) -> dict[str, Any]:
    return {"label": "X", "properties": properties}


def filtered(**condition: Any) -> Callable[[EmbeddedDB], Any]:
    return lambda db: db.query(structural_filters=[condition])


CASES = [
    # nodes
    Case("no label", lambda db: db.create_node({}), InvalidInput, ("label",)),
    Case("empty labels", lambda db: db.create_node({"labels": []}), InvalidInput, ("label",)),
    Case(
        "labels a number", lambda db: db.create_node({"labels": 7}), InvalidInput, ("labels", "7")
    ),
    Case("empty label", lambda db: db.create_node({"label": ""}), InvalidInput, ("label",)),
    Case(
        "unknown key",
        lambda db: db.create_node({"label": "X", "propertys": {}}),
        InvalidInput,
        ("propertys", "properties"),
    ),
    Case(
        "properties not a dict",
        lambda db: db.create_node({"label": "X", "properties": [1]}),
        InvalidInput,
        ("properties", "dict"),
    ),
    Case("node not a dict", lambda db: db.create_node("X"), InvalidInput, ("dict",)),
    Case(
        "taken id",
        lambda db: db.create_node({"id": "a", "label": "X"}),
        AlreadyExists,
        ("a", "another id"),
    ),
    Case("empty id", lambda db: db.create_node({"id": "", "label": "X"}), InvalidInput, ("id",)),
    Case(
        "long id",
        lambda db: db.create_node({"id": "é" * 200, "label": "X"}),
        ValueTooLarge,
        ("400", "255"),
    ),
    Case(
        "NUL in id",
        lambda db: db.create_node({"id": "a\0b", "label": "X"}),
        BadText,
        ("NUL",),
    ),
    Case("number as id", lambda db: db.create_node({"id": 7, "label": "X"}), InvalidInput, ("7",)),
    Case(
        "lone surrogate",
        lambda db: db.create_node(node(text="a\ud800")),
        BadText,
        ("text", "surrogate"),
    ),
    Case(
        "lone surrogate in a name",
        lambda db: db.create_node(node(**{"a\ud800": 1})),
        BadText,
        ("surrogate",),
    ),
    Case(
        "naive time",
        lambda db: db.create_node(node(when=NAIVE)),
        InvalidInput,
        ("when", "2026", "time zone"),
    ),
    Case(
        "integer over 64 bits",
        lambda db: db.create_node(node(big=2**63)),
        InvalidInput,
        ("big", "9223372036854775808", "64"),
    ),
    Case(
        "a set as value",
        lambda db: db.create_node(node(tags={"a"})),
        InvalidInput,
        ("tags", "set", "list"),
    ),
    Case(
        "an object as value",
        lambda db: db.create_node(node(thing=object())),
        InvalidInput,
        ("thing", "object"),
    ),
    Case(
        "a name that is no text",
        lambda db: db.create_node({"label": "X", "properties": {1: 2}}),
        InvalidInput,
        ("1",),
    ),
    Case(
        "a value that holds itself",
        lambda db: db.create_node(node(loop=CYCLE)),
        InvalidInput,
        ("loop", "64"),
    ),
    Case(
        "a value too deep", lambda db: db.create_node(node(deep=DEEP)), InvalidInput, ("deep", "64")
    ),
    Case(
        "a value too large",
        lambda db: db.create_node(node(text="x" * (65 << 20))),
        ValueTooLarge,
        (str(64 << 20),),
    ),
    Case(
        "update of a missing node",
        lambda db: db.update_node("missing", {"a": 1}),
        NotFound,
        ("missing",),
    ),
    Case(
        "update with a bad value",
        lambda db: db.update_node("a", {"good": 1, "when": NAIVE}),
        InvalidInput,
        ("when", "time zone"),
    ),
    Case("not an id", lambda db: db.get_node(7), InvalidInput, ("7", "id")),
    # edges
    Case(
        "edge to nowhere",
        lambda db: db.create_edge({"source": "a", "target": "missing", "type": "T"}),
        NotFound,
        ("missing",),
    ),
    Case(
        "edge without type",
        lambda db: db.create_edge({"source": "a", "target": "a"}),
        InvalidInput,
        ("type",),
    ),
    Case(
        "edge with an unknown key",
        lambda db: db.create_edge({"source": "a", "target": "a", "type": "T", "wieght": 1}),
        InvalidInput,
        ("wieght", "weight"),
    ),
    Case(
        "weight that is no number",
        lambda db: db.create_edge({"source": "a", "target": "a", "type": "T", "weight": "x"}),
        InvalidInput,
        ("weight", "x"),
    ),
    Case("no direction", lambda db: db.neighbors("a", direction="up"), InvalidInput, ("up", "out")),
    Case("bad types", lambda db: db.neighbors("a", type=[]), InvalidInput, (r"\[\]", "None")),
    Case("bad limit", lambda db: db.neighbors("a", limit=0), InvalidInput, ("0",)),
    # embeddings
    Case(
        "wrong dimension",
        lambda db: db.create_embedding({"node_id": "b", "vector": [1.0], "space": "s"}),
        DimensionMismatch,
        ("1", "2", "'s'|\"s\""),
    ),
    Case(
        "NaN in a vector",
        lambda db: db.create_embedding({"node_id": "b", "vector": [0.0, np.nan], "space": "s"}),
        NonFiniteVector,
        ("1", "finite"),
    ),
    Case(
        "empty vector",
        lambda db: db.create_embedding({"node_id": "b", "vector": [], "space": "t"}),
        InvalidInput,
        ("dimension|vector",),
    ),
    Case(
        "huge vector",
        lambda db: db.create_embedding(
            {"node_id": "b", "vector": np.ones(70_000, np.float32), "space": "t"}
        ),
        InvalidInput,
        ("70000|70,000|70_000", "4096"),
    ),
    Case(
        "vectors of another shape",
        lambda db: db.set_embeddings(["a", "b"], np.zeros((3, 2)), "s"),
        InvalidInput,
        (r"\(3, 2\)", "2 ids"),
    ),
    Case(
        "query vector of another dimension",
        lambda db: db.query(semantic_query={"vector": [1.0, 2.0, 3.0], "space": "s"}),
        DimensionMismatch,
        ("3", "2"),
    ),
    Case(
        "query vector with infinity",
        lambda db: db.query(semantic_query={"vector": [1.0, np.inf], "space": "s"}),
        NonFiniteVector,
        (r"vector\[1\]", "inf", "finite"),
    ),
    Case(
        "unknown space",
        lambda db: db.query(semantic_query={"vector": [1.0, 2.0], "space": "nowhere"}),
        NotFound,
        ("nowhere",),
    ),
    # chats
    Case(
        "message without content",
        lambda db: db.create_chat().add_messages([{"sender": "Ann"}]),
        InvalidInput,
        ("content",),
    ),
    Case(
        "content that is no text",
        lambda db: db.create_message("chat", 7),
        InvalidInput,
        ("content", "7"),
    ),
    Case(
        "message of another chat",
        lambda db: db.create_chat(id="c").add_messages([{"content": "x", "chat_id": "d"}]),
        InvalidInput,
        ("chat_id", "'d'", "'c'"),
    ),
    Case(
        "timestamp that is no time",
        lambda db: db.create_chat().add_messages(
            [{"content": "x"}, {"content": "y", "timestamp": 3}]
        ),
        InvalidInput,
        ("timestamp", "message 1", "3"),
    ),
    Case(
        "message at a naive time",
        lambda db: db.create_message("chat", "x", timestamp=NAIVE),
        InvalidInput,
        ("timestamp", "time zone"),
    ),
    # queries
    Case("empty query", lambda db: db.query(), InvalidQuery, ("empty", "labels")),
    Case(
        "misspelt operator",
        filtered(property="a", operator="Equal", value=1),
        InvalidQuery,
        ("structural_filters", "Equal", "'Equals'"),
    ),
    Case(
        "no operator", filtered(property="a", value=1), InvalidQuery, ("operator", "None", "Equals")
    ),
    Case(
        "no property",
        filtered(operator="Equals", value=1),
        InvalidQuery,
        ("property", "None"),
    ),
    Case("no value", filtered(property="a", operator="Equals"), InvalidQuery, ("no value", "add")),
    Case(
        "a value too many",
        filtered(property="a", operator="Exists", value=1),
        InvalidQuery,
        ("value", "Exists"),
    ),
    Case(
        "naive time in a filter",
        filtered(property="a", operator="Equals", value=NAIVE),
        InvalidQuery,
        ("2026", "time zone"),
    ),
    Case(
        "half a range",
        filtered(property="a", operator="Between", value=[1]),
        InvalidQuery,
        (r"\[1\]", "low, high"),
    ),
    Case(
        "In without a list",
        filtered(property="a", operator="In", value="abc"),
        InvalidQuery,
        ("abc", "list"),
    ),
    Case(
        "unknown key in a condition",
        filtered(property="a", operatr="Equals", value=1),
        InvalidQuery,
        ("operatr", "'operator'"),
    ),
    Case("empty any", filtered(any=[]), InvalidQuery, ("any", "list")),
    Case(
        "conditions that are no list",
        lambda db: db.query(structural_filters={"property": "a"}),
        InvalidQuery,
        ("structural_filters", "list"),
    ),
    Case(
        "limit zero", lambda db: db.query(labels=["X"], limit=0), InvalidQuery, ("limit", "0", "1")
    ),
    Case(
        "limit too large",
        lambda db: db.query(labels=["X"], limit=10_001),
        InvalidQuery,
        ("10001", "10000"),
    ),
    Case(
        "hops that contradict",
        lambda db: db.query(graph_filter={"start": "a", "min_hops": 3, "max_hops": 1}),
        InvalidQuery,
        ("min_hops", "3", "1"),
    ),
    Case("no start", lambda db: db.query(graph_filter={"max_hops": 1}), InvalidQuery, ("start",)),
    Case(
        "start that is missing",
        lambda db: db.query(graph_filter={"start": "missing"}),
        NotFound,
        ("missing",),
    ),
    Case(
        "misspelt graph field",
        lambda db: db.query(graph_filter={"start": "a", "edge_type": ["T"]}),
        InvalidQuery,
        ("edge_type", "'edge_types'"),
    ),
    Case(
        "text and vector",
        lambda db: db.query(semantic_query={"text": "a", "vector": [1.0]}),
        InvalidQuery,
        ("both", "one"),
    ),
    Case(
        "neither text nor vector",
        lambda db: db.query(semantic_query={"threshold": 0.5}),
        InvalidQuery,
        ("neither", "one"),
    ),
    Case(
        "threshold over 1",
        lambda db: db.query(semantic_query={"text": "a", "threshold": 70}),
        InvalidQuery,
        ("threshold", "70", "1"),
    ),
    Case("no words", lambda db: db.query(text_query={"text": "  "}), InvalidQuery, ("text_query",)),
    Case(
        "unknown weight",
        lambda db: db.query(text_query={"text": "a"}, rank={"vector": 1.0}),
        InvalidQuery,
        ("vector", "semantic"),
    ),
    Case(
        "not a query",
        lambda db: db.execute_query({"limit": 1}),
        InvalidInput,
        ("limit", "ConvergedQuery"),
    ),
    Case(
        "unknown field of a query",
        lambda db: ConvergedQuery.from_dict({"lables": ["X"]}),
        InvalidQuery,
        ("lables", "'labels'"),
    ),
    Case(
        "text without a model",
        lambda db: db.query(semantic_query={"text": "database"}),
        ModelUnavailable,
        ("model", "ml"),
    ),
    # configuration
    Case(
        "misspelt option",
        lambda db: EmbeddedDB("never", durabilty="memory"),
        InvalidInput,
        ("durabilty", "'durability'"),
    ),
    Case(
        "wrong durability",
        lambda db: EmbeddedDB("never", durability="durabel"),
        InvalidInput,
        ("durabel", "'durable'"),
    ),
    Case(
        "misspelt weaver option",
        lambda db: Config.from_dict({"weaver": {"batchsize": 3}}),
        InvalidInput,
        ("batchsize", "'batch_size'"),
    ),
    Case(
        "activity level",
        lambda db: db.set_activity_level("Sleep"),
        InvalidInput,
        ("Sleep", "'SleepMode'"),
    ),
    Case(
        "unknown provider",
        lambda db: MLConfig(embedding="minilm"),
        InvalidInput,
        ("minilm", "minilm-onnx"),
    ),
    Case(
        "an option of another kind",
        lambda db: Config(lock_timeout="soon"),
        InvalidInput,
        ("lock_timeout", "soon", "seconds"),
    ),
    Case(
        "missing configuration file",
        lambda db: Config.from_file("missing.toml"),
        InvalidInput,
        ("missing.toml", "exist"),
    ),
    Case(
        "a private database that only reads",
        lambda db: EmbeddedDB(":memory:", read_only=True, ml=None),
        InvalidInput,
        ("memory", "read_only"),
    ),
    Case(
        "the default namespace",
        lambda db: db.drop_namespace("default"),
        InvalidInput,
        ("default",),
    ),
    Case(
        "messages after one of another chat",
        lambda db: db.create_chat().messages(after="a"),
        NotFound,
        ("a", "message of"),
    ),
    Case(
        "a walk that meets too much",
        lambda db: list(db.traverse("a", max_visited=1)),
        Timeout,
        ("1 nodes", "max_visited"),
    ),
    Case(
        "a path that is not found in time",
        lambda db: db.find_shortest_path("a", "b", direction="in", max_visited=0),
        Timeout,
        ("0 nodes", "max_visited"),
    ),
    Case(
        "a negative depth",
        lambda db: db.traverse("a", max_depth=-1),
        InvalidInput,
        ("max_depth", "-1", "0 to 4294967295"),
    ),
    Case("lone surrogate in an id", lambda db: db.get_node("\ud800"), BadText, ("surrogate",)),
    Case(
        "more properties than a node has",
        lambda db: db.create_node(node(**{f"p{n}": n for n in range(10_001)})),
        InvalidInput,
        ("10001", "10000", "one property"),
    ),
    Case("empty path", lambda db: EmbeddedDB(""), InvalidInput, ("path", "directory")),
    Case(
        "same path, other options",
        lambda db: EmbeddedDB(db.path, ml=None, language="none"),
        InvalidInput,
        ("memory.db",),
    ),
    Case("missing namespace", lambda db: db.drop_namespace("missing"), NotFound, ("missing",)),
    Case(
        "missing database",
        lambda db: EmbeddedDB(db.path + ".missing", read_only=True, ml=None),
        InvalidInput,
        ("missing", "no database", "read_only"),
    ),
]


@pytest.fixture
def filled(db: EmbeddedDB) -> EmbeddedDB:
    db.create_node({"id": "a", "label": "X", "properties": {"n": 1}})
    db.create_node({"id": "b", "label": "X"})
    db.create_edge({"id": "e", "source": "a", "target": "b", "type": "T"})
    db.create_embedding({"node_id": "a", "vector": [1.0, 2.0], "space": "s"})
    return db


def contents(db: EmbeddedDB) -> object:
    nodes = [
        (n.id, n.version, n.properties)
        for n in db.nodes()
        if "Chat" not in n.labels and "X" in n.labels
    ]
    edges = [(e.id, e.version) for n in db.nodes() for e in db.edges(n)]
    vectors = [(s["name"], db.get_embedding_for_node("a", s["name"]) is None) for s in db.spaces()]
    return nodes, edges, vectors, db.count_edges()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_error_names_the_thing_the_value_and_the_remedy(filled, case):
    before = contents(filled)
    with pytest.raises(case.error) as caught:
        case.call(filled)
    error = caught.value
    for words in case.words:
        assert caught.match(words)
    assert error.code == type(error).__name__
    assert len(str(error)) > len(error.code)
    assert contents(filled) == before
    assert filled.verify()["ok"]


def test_what_a_closed_handle_says(path):
    db = EmbeddedDB(path, ml=None)
    db.close()
    db.close()
    for call in (
        db.count,
        db.snapshot,
        db.weaver_status,
        db.stats,
        lambda: db.create_node({"label": "X"}),
        lambda: db.query(labels=["X"]),
        lambda: db.namespace("x"),
        lambda: db.nodes(),
        lambda: db.transaction().__enter__(),
    ):
        with pytest.raises(DatabaseClosed, match=r"memory\.db.*[Oo]pen it again"):
            call()


def test_objects_of_a_closed_handle_can_be_read(path):
    with EmbeddedDB(path, ml=None) as db:
        message = db.create_message("chat", "kept")
        plain = db.get_node(db.create_node(node(n=1)))
    assert message.content == "kept"
    assert plain["n"] == 1
    with pytest.raises(DatabaseClosed):
        message.refresh()


def test_what_a_reading_handle_says_to_writes(path):
    with EmbeddedDB(path, ml=None) as db:
        message = db.create_message("chat", "text")
        chat = message.chat
        db.create_node({"id": "a", "label": "X"})
        db.namespace("other").create_node({"label": "X"})
    with EmbeddedDB(path, ml=None, read_only=True) as reading:
        read = reading.get_node(message.id)
        read.content = "changed"
        for call in (
            lambda: reading.create_node({"label": "X"}),
            lambda: reading.update_node("a", {"n": 1}),
            lambda: reading.delete_node("a"),
            lambda: reading.create_message("chat", "text"),
            lambda: reading.get_node(chat.id).add_message("text"),
            lambda: reading.set_embeddings(["a"], [[1.0]], "s"),
            lambda: reading.drop_namespace("other"),
            lambda: reading.flush(timeout=1),
            read.save,
            read.delete,
        ):
            with pytest.raises(ReadOnly, match="read"):
                call()
        with pytest.raises(ReadOnly), reading.transaction() as tx:
            tx.create_node({"label": "X"})
        assert reading.get_node(message.id).content == "text"


def test_a_locked_database_names_the_holder(path, spawn):
    child = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(sys.argv[1], ml=None)
        print("open", flush=True)
        sys.stdin.read()
        """,
        path,
    )
    assert child.stdout.readline() == "open\n"
    with pytest.raises(DatabaseLocked, match="lock_timeout|read_only") as caught:
        EmbeddedDB(path, ml=None, lock_timeout=0.1)
    assert caught.value.pid == child.pid
    assert str(child.pid) in str(caught.value)
    assert caught.value.retryable


def test_failed_enrichment_lists_what_failed(woven, model):
    model.fail("raise", containing="poison")
    message = woven.create_message("chat", "poison")
    with pytest.raises(EnrichmentFailed, match="the test says so") as caught:
        woven.flush(timeout=60)
    assert message.id in {failure["id"] for failure in caught.value.failures}
    with pytest.raises(EnrichmentFailed, match=message.id):
        woven.wait_for(message, "embedding", timeout=60)
    with pytest.raises(InvalidInput, match="embeding.*'embedding'"):
        woven.wait_for(message, "embeding")


def test_time_limits(woven, model):
    model.hold()
    message = woven.create_message("chat", "slow")
    with pytest.raises(Timeout, match=r"0\.05 s") as caught:
        woven.flush(timeout=0.05)
    assert caught.value.retryable
    with pytest.raises(Timeout, match=r"embedding.*0\.05 s"):
        woven.wait_for(message, "embedding", timeout=0.05)


def test_a_search_that_gave_up_would_give_up_again(filled):
    for search in (
        lambda: filled.traverse("a", max_visited=1),
        lambda: filled.snapshot().traverse("a", max_visited=1),
        lambda: filled.find_shortest_path("a", "b", direction="in", max_visited=0),
    ):
        with pytest.raises(Timeout) as caught:
            search()
        assert not caught.value.retryable
        assert caught.value.limit in (0, 1)
        assert pickle.loads(pickle.dumps(caught.value)).retryable is False
    assert len(list(filled.traverse("a", max_visited=2))) == 2


def test_not_a_database(tmp_path):
    file = tmp_path / "file"
    file.write_text("a letter to my aunt")
    directory = tmp_path / "letters"
    directory.mkdir()
    (directory / "letter.txt").write_text("dear aunt")
    for place in (file, directory):
        with pytest.raises(DbError, match=place.name):
            EmbeddedDB(place, ml=None)
    assert file.read_text() == "a letter to my aunt"
    assert [each.name for each in directory.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    "kind", [getattr(errors, name) for name in errors.__all__], ids=lambda kind: kind.__name__
)
def test_every_error_survives_pickling_and_copying(kind):
    error = kind("the value is 7", hint="Give 8", path="memory.db", id="a", pid=7)
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == "the value is 7. Give 8"
        assert (again.message, again.hint, again.path) == ("the value is 7", "Give 8", "memory.db")
        assert (again.id, again.pid, again.code) == ("a", 7, kind.__name__)
    assert issubclass(kind, DbError)
    assert isinstance(kind.retryable, bool)


def test_one_conflict_says_which_versions(db):
    message = db.create_message("chat", "x")
    other = db.get_node(message.id)
    other.content = "y"
    other.save()
    message.content = "z"
    with pytest.raises(Conflict, match=f"{message.id}.*1.*2|{message.id}.*2.*1"):
        message.save()
