"""Every call that writes does through another process what it does in the process that writes.

The same calls are made of two databases, of one through a process that holds it; what they give and
how they are refused has to be the same, and what is stored in the end.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedded_db import (
    DELETE,
    AlreadyExists,
    ConvergedQuery,
    DbError,
    EmbeddedDB,
    MLConfig,
    NodeModel,
    NotFound,
)

ROOT = Path(__file__).resolve().parents[2]
T0 = datetime(2026, 1, 1, tzinfo=UTC)
MARKED = re.compile(r"\[([^|\]]+)\|P\]")

HOLDER = """
import sys
from embedded_db import EmbeddedDB
from tests.python.test_shared_calls import OPTIONS

db = EmbeddedDB(sys.argv[1], shared=True, **OPTIONS)
print("ready", flush=True)
sys.stdin.readline()
"""


def names_in(texts: list[str]) -> list[list[dict[str, object]]]:
    """Find marked names."""
    return [
        [
            {"text": m[1], "label": "PERSON", "start": m.start(1), "end": m.end(1)}
            for m in MARKED.finditer(text)
        ]
        for text in texts
    ]


OPTIONS: dict[str, Any] = {
    "ml": MLConfig(embedding="hashing", entities=names_in, summary=None),
    "quota": {"max_nodes": 400},
}


@pytest.fixture
def both(path, spawn):
    """A database of our own, and one that another process holds."""
    holder = spawn(HOLDER, path)
    assert holder.stdout.readline() == "ready\n"
    with (
        EmbeddedDB(path, shared=True, **OPTIONS) as guest,
        EmbeddedDB(path.with_name("own.db"), **OPTIONS) as own,
    ):
        assert guest.stats()["shared"]["role"] == "forwards"
        yield own, guest
        assert guest.stats()["shared"]["pid"] == holder.pid
        for db in (own, guest):
            report = db.verify()
            assert report["ok"], report["problems"]


class City(NodeModel):
    """A label of a user's."""

    name: str
    size: int = 0


def plain(value: Any) -> Any:
    """What can be compared: no times, no ids that were made."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in TIMES}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, str):
        return re.sub(r"_[0-9a-f]{32}", "", value)
    if hasattr(value, "labels"):
        return (plain(value.id), list(value.labels), plain(dict(value.properties)), value.version)
    if hasattr(value, "weight"):
        ends = (plain(value.source), value.type, plain(value.target))
        return (plain(value.id), ends, value.weight, value.properties, value.version)
    if hasattr(value, "vector"):
        return (plain(value.id), value.node_id, value.vector.tolist(), value.space)
    return value if isinstance(value, (int, float, bool, bytes, type(None))) else repr(value)


TIMES = {"timestamp", "created_at", "updated_at"}


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return ("gave", plain(call()))
    except DbError as error:
        place = (error.item, error.field, error.property, error.hint, error.retryable)
        more = {name: plain(getattr(error, name, None)) for name in ("id", "kind", "used", "limit")}
        return (type(error).__name__, plain(str(error)), place, more)


def calls(db: EmbeddedDB) -> list[Any]:
    """Make every call that writes, in ways that are accepted and that are refused."""
    made: list[Any] = []
    numbers = count()

    def call(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        told = outcome(lambda: function(*given, **named))
        made.append((next(numbers), function.__name__, told))
        return told

    thing = {"id": "a", "label": "Thing", "properties": {"n": 1, "deep": {"x": [1, None, "y"]}}}
    for node in (thing, thing, {"label": ""}, {"label": "Thing", "id": "b" * 300}, {"label": 3}):
        call(db.create_node, node)
    call(
        db.create_nodes,
        [{"id": f"n{n}", "label": "Thing", "properties": {"n": n}} for n in range(9)],
    )
    call(db.create_nodes, [{"label": "Thing"}, {"id": "n1", "label": "Thing"}])
    call(db.create_node, {"label": "Thing"})
    call(db.update_node, "a", {"n": 2, "deep": DELETE, "at": T0, "raw": b"\0\xff"})
    call(db.update_node, "nobody", {"n": 2})
    call(db.set_ttl, "n8", 3600)
    call(db.set_ttl, "n8", None)
    call(db.set_ttl, "nobody", 1)
    call(db.delete_node, "n7")
    call(db.delete_node, "n7")
    edge = {"id": "e", "source": "a", "target": "n1", "type": "KNOWS", "properties": {"w": 1}}
    for given in (
        edge,
        edge,
        {**edge, "id": "f", "target": "nobody"},
        {**edge, "weight": float("nan")},
    ):
        call(db.create_edge, given)
    times = {"valid_from": T0, "sources": ["letter"]}
    call(db.create_edges, [{**edge, **times, "id": f"e{n}", "target": f"n{n}"} for n in range(4)])
    call(db.create_edges, [{**edge, "id": "g"}, {**edge, "id": "e1"}])
    call(db.update_edge, "e", {"weight": 0.5, "w": 2, "valid_to": T0})
    call(db.update_edge, "no edge", {"weight": 0.5})
    call(db.supersede_edge, "e0", {"id": "e0b", "target": "n4"})
    call(db.supersede_edge, "no edge", {"target": "n4"})
    call(db.retract_edge, "e1")
    call(db.retract_edge, "e1")
    call(db.delete_edge, "e2")
    call(db.delete_edge, "e2")
    call(db.strengthen, ["e3"])
    call(db.strengthen, ["no edge"])
    call(lambda: sorted(db.strengths()))
    call(db.forget_strengths)
    vector = {"id": "v", "node_id": "a", "vector": [1.0, 0.0], "space": "s"}
    for given in (
        vector,
        {**vector, "id": "w", "node_id": "n1", "vector": [1.0]},
        {**vector, "id": "x"},
    ):
        call(db.create_embedding, given)
    call(db.update_embedding, "v", [0.0, 1.0])
    call(db.update_embedding, "v", [0.0, float("inf")])
    call(db.update_embedding, "nothing", [0.0])
    call(db.set_embeddings, ["n1", "n2"], np.eye(2, dtype=np.float32), space="s")
    call(db.set_embeddings, ["n1", "n1"], np.eye(2, dtype=np.float32), space="s")
    call(db.delete_embedding, "v")
    call(db.delete_embedding, "v")
    few = [{"property": "n", "operator": "GreaterThan", "value": 4}]
    query = ConvergedQuery(labels=["Thing"], structural_filters=few)
    call(db.update_matching, query, {"many": True})
    reach = {"start": ["a"], "edge_types": ["KNOWS"], "edge_filters": few}
    call(db.update_matching, ConvergedQuery(graph_filter=reach), {"near": 1})
    call(db.update_matching, ConvergedQuery(text_query={"text": "x"}), {"near": 1})
    nested = {"not": {"any": [{"property": "n", "operator": "In", "value": [5, 6, "x"]}]}}
    call(db.delete_matching, ConvergedQuery(labels=["Thing"], structural_filters=[*few, nested]))
    call(db.create_chat, id="chat", title="Trip", color="red")
    call(db.create_chat, id="chat")
    chat = db.get_node("chat")
    call(chat.add_message, "[Anna Berg|P] met [Bob Lund|P]", sender="u", id="m1")
    call(chat.add_message, "again", sender="u", id="m1")
    call(chat.add_messages, [{"content": f"[Anna Berg|P] said {n}", "id": f"m{n}"} for n in (2, 3)])
    call(chat.add_messages, [{"content": "x"}, {"content": 3}])
    call(db.create_message, "other", "a chat that is new", id="m4")
    call(
        db.create_node,
        {"id": "m5", "label": "Message", "properties": {"chat_id": "other", "content": "y"}},
    )
    call(lambda: db.flush(timeout=60))
    call(lambda: db.wait_for("m1", "entities", timeout=60))
    call(lambda: db.wait_for("nobody", "entities", timeout=60))
    call(lambda: sorted((node.label, node.mention_count) for node in db.nodes("Entity")))
    anna, bob = (entity(db, name) for name in ("Anna Berg", "Bob Lund"))
    call(lambda: db.merge_entities(anna, bob).mention_count)
    call(lambda: db.split_entity(anna, "Bob Lund").mention_count)
    call(lambda: db.split_entity(anna, "Carl").mention_count)
    call(db.merge_entities, "a", "n1")
    call(lambda: db.create_index("Thing", "n").property)
    call(lambda: db.create_index("Thing", "at", unique=True).state)
    call(lambda: db.create_index("Message", "content", unique=True).state)
    call(db.create_node, {"id": "twice", "label": "Thing", "properties": {"at": T0}})
    call(db.update_matching, ConvergedQuery(labels=["Message"]), {"content": "one"})
    call(db.drop_index, "Thing", "n")
    call(db.drop_index, "Thing", "n")
    call(db.declare_label, "Thing", text=["name"], embed=["name"])
    call(db.declare_label, "Message", text=["name"])
    call(db.remember, "The key is under the mat", subject="key", id="fact")
    call(lambda: len(db.add_document("word " * 900, title="Long").parts()))
    call(db.forget, "fact")
    call(db.forget, "fact")
    call(in_transaction, db)
    call(conflicting, db)
    call(objects, db)
    call(in_batch, db)
    call(namespaces, db)
    call(db.drop_space, "s")
    call(db.drop_space, "s")
    call(db.weaver.withdraw_proposals)
    call(db.weaver.retry_failed)
    call(db.set_activity_level, "Full")
    call(db.set_activity_level, "Never")
    call(lambda: db.flush(timeout=60))
    call(db.weaver.dead_letters)
    call(lambda: sorted(db.weaver_status()["per_job"]))
    call(lambda: db.create_nodes([{"label": "Thing"}] * 500))
    call(lambda: sum(1 for _ in db.nodes("Thing")))
    return made


def entity(db: EmbeddedDB, name: str) -> Any:
    [found] = [node for node in db.nodes("Entity") if node.label == name]
    return found


def in_transaction(db: EmbeddedDB) -> Any:
    with db.transaction() as tx:
        tx.create_node({"id": "t1", "label": "Thing", "properties": {"n": 1}})
        tx.update_node("t1", {"n": 5})
        tx.create_edge({"id": "te", "source": "t1", "target": "a", "type": "KNOWS"})
        tx.update_edge("te", {"weight": 2.0})
        tx.retract_edge("e3")
        tx.create_embedding({"node_id": "t1", "vector": [3.0, 4.0], "space": "s"})
        tx.create_message("chat", "within", id="tm")
        tx.create_message("made by it", "within", id="tn")
        tx.set_ttl("t1", 7200)
        tx.delete_node("n0")
        inside = plain([tx.get_node("t1"), tx.get_edge("te"), tx.get_node("n0")])
    outside = plain([db.get_node("t1"), db.get_edge("te"), db.get_node("n0")])
    assert [inside[0][:3], inside[1], inside[2]] == [outside[0][:3], outside[1], outside[2]]
    with pytest.raises(ZeroDivisionError):
        fails_in_a_transaction(db)
    return outside, db.exists("never")


def fails_in_a_transaction(db: EmbeddedDB) -> None:
    with db.transaction() as tx:
        tx.create_node({"id": "never", "label": "Thing"})
        _ = 1 // 0


def conflicting(db: EmbeddedDB) -> Any:
    with db.transaction() as tx:
        tx.get_node("n1")
        tx.update_node("n1", {"n": 100})
        db.update_node("n1", {"n": 200})


def objects(db: EmbeddedDB) -> Any:
    db.register(City)
    oslo = db.add(City(id="oslo", name="Oslo"))
    same = db.get(City, "oslo")
    oslo.size = 7
    oslo.save()
    same.size = 8
    stale = outcome(same.save)
    with db.transaction() as tx:
        inside = tx.get(City, "oslo")
        inside.size = 9
        inside.save()
    inside.size = 10
    inside.save()
    many = db.add_all([City(id=f"c{n}", name="x") for n in range(3)])
    many[0].delete()
    taken = outcome(lambda: db.add(City(id="c1", name="y")))
    return stale, taken, inside.size, db.get(City, "oslo").size, db.count("City")


def in_batch(db: EmbeddedDB) -> Any:
    with db.batch(size=3) as batch:
        for n in range(8):
            batch.create_node({"id": f"b{n}", "label": "Thing"})
        batch.create_edge({"source": "b0", "target": "b1", "type": "KNOWS"})
    return db.count("Thing")


def namespaces(db: EmbeddedDB) -> Any:
    other = db.namespace("other")
    other.create_node({"id": "a", "label": "Thing"})
    found = (sorted(db.namespaces()), other.count("Thing"), db.exists("a"))
    db.drop_namespace("other")
    with pytest.raises(NotFound):
        other.create_node({"id": "b", "label": "Thing"})
    with pytest.raises(NotFound):
        db.drop_namespace("other")
    db.namespace("other").create_node({"id": "a", "label": "Thing"})
    return found, sorted(db.namespaces())


def test_every_call_is_the_same_through_another_process(both):
    own, guest = both
    expected, found = calls(own), calls(guest)
    for (number, name, one), (_, _, other) in zip(expected, found, strict=True):
        assert one == other, (number, name)
    refused = {told[0] for _, _, told in expected} - {"gave"}
    assert {"AlreadyExists", "NotFound", "InvalidInput", "Conflict", "QuotaExceeded"} <= refused
    assert {"DimensionMismatch", "NonFiniteVector", "InvalidQuery"} <= refused
    states = [sorted((plain(node) for node in db.nodes("Thing")), key=repr) for db in (own, guest)]
    assert states[0] == states[1]


def test_what_was_exported_is_imported_through_another_process(both, tmp_path):
    own, guest = both
    own.create_nodes([{"id": f"n{n}", "label": "Thing", "properties": {"n": n}} for n in range(50)])
    own.create_edge({"id": "e", "source": "n1", "target": "n2", "type": "KNOWS"})
    own.update_edge("e", {"weight": 2.0})
    own.create_embedding({"node_id": "n1", "vector": [1.0, 2.0], "space": "s"})
    own.create_message("chat", "[Anna Berg|P] was here", id="m")
    own.set_ttl("n5", 3600)
    own.flush(timeout=60)
    own.export(tmp_path / "out.parquet")
    guest.import_(tmp_path / "out.parquet")
    guest.flush(timeout=60)
    assert guest.logical_hash() == own.logical_hash()


def test_every_call_is_made_here():
    """A call that a test does not make could be another one through another process."""
    text = (ROOT / "crates/engine/src/sharing/calls.rs").read_text()
    names = re.findall(r"^    ([A-Z]\w+) \{[^}]*\}\s+=>", text, re.MULTILINE)
    assert len(names) > 40
    engine = "".join(
        path.read_text()
        for path in (ROOT / "crates/engine/src").rglob("*.rs")
        if "sharing" not in path.parts
    )
    for name in names:
        asked = engine.count(f"forward!(self, {name} ") + engine.count(f"Call::{name} ")
        assert asked == 1, f"{name} is asked for by one method"


def test_a_reader_reads_what_it_wrote(both):
    _, guest = both
    for n in range(200):
        guest.create_node({"id": f"r{n}", "label": "Read"})
        assert guest.exists(f"r{n}")
        assert guest.count("Read") == n + 1
    with pytest.raises(AlreadyExists):
        guest.create_node({"id": "r0", "label": "Read"})
