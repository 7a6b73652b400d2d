"""A node that was given a time to live is gone from then on, for everybody and everywhere.

What has expired is hidden first and deleted soon after. The tests look at both: a process that
only reads deletes nothing, one that writes does. Both must show what they would show if the node
had been deleted by hand.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from embedded_db import AlreadyExists, Conflict, EmbeddedDB, InvalidInput, Message, NotFound
from embedded_db.testing import FakeModel

TTL = 1000
"""Seconds; a test moves the clock, so that its own time does not count."""


def after_expiry(clock):
    clock.move(TTL + 1)


# ---------------------------------------------------------------------- times that can be given


WAYS = {
    "node": lambda db, ttl: db.get_node(db.create_node({"label": "Note", "ttl": ttl})),
    "nodes": lambda db, ttl: db.get_node(db.create_nodes([{"label": "Note", "ttl": ttl}])[0]),
    "chat": lambda db, ttl: db.create_chat("Trip", ttl=ttl),
    "message": lambda db, ttl: db.create_chat().add_message("Hello", ttl=ttl),
    "messages": lambda db, ttl: db.create_chat().add_messages([{"content": "Hi", "ttl": ttl}])[0],
    "by chat id": lambda db, ttl: db.create_message("chat", "Hello", ttl=ttl),
    "document": lambda db, ttl: db.add_document("Some text", count_tokens=len, ttl=ttl),
    "fact": lambda db, ttl: db.remember("Ann lives in Oslo", ttl=ttl),
    "set": lambda db, ttl: db.set_ttl(db.create_node({"label": "Note"}), ttl),
    "in a transaction": lambda db, ttl: in_transaction(db, ttl),
}


def in_transaction(db, ttl):
    with db.transaction() as tx:
        id = tx.create_node({"label": "Note"})
        tx.set_ttl(id, ttl)
        assert tx.get_node(id).expires_at > datetime.now(UTC)
    return db.get_node(id)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ttl", [90, 90.0, timedelta(seconds=90), np.float64(90)])
def test_a_time_to_live_is_seconds_or_a_timedelta(db, way, ttl):
    before = datetime.now(UTC)
    node = WAYS[way](db, ttl)
    after = datetime.now(UTC)
    assert node.expires_at.tzinfo is UTC
    assert before <= node.expires_at - timedelta(seconds=90) <= after
    assert db.get_node(node.id).expires_at == node.expires_at


BAD = [
    0,
    -1,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    "60",
    10**400,
    1e300,
    [60],
    31_536_000_001,
]
BAD_TIMES = [timedelta(0), timedelta(seconds=-1), timedelta.max, datetime.now(UTC)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ttl", BAD + BAD_TIMES, ids=lambda ttl: repr(ttl)[:20])
def test_what_is_no_time_to_live_is_refused_and_nothing_is_stored(db, way, ttl):
    with pytest.raises(InvalidInput, match="seconds or a timedelta") as caught:
        WAYS[way](db, ttl)
    assert "ttl is" in str(caught.value)
    stored = [node for node in db.nodes() if not {"Chat", "Note"} & set(node.labels)]
    assert stored == []
    assert all(node.expires_at is None for node in db.nodes())


def test_two_times_at_once_are_refused(db):
    at = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(InvalidInput, match="both given"):
        db.create_node({"label": "Note", "ttl": 5, "expires_at": at})
    assert db.get_node(db.create_node({"label": "Note", "expires_at": at})).expires_at == at
    with pytest.raises(InvalidInput, match="time zone"):
        db.create_node({"label": "Note", "expires_at": datetime(2100, 1, 1)})
    with pytest.raises(NotFound):
        db.set_ttl("nobody", 5)


def test_the_longest_time_to_live_can_be_stored_and_read(db):
    node = db.set_ttl(db.create_node({"label": "Note"}), timedelta(days=365_000))
    assert node.expires_at.year > 3000


def test_setting_a_time_is_a_change_of_the_node(db):
    message = db.create_chat().add_message("Hello")
    assert message.expires_at is None
    timed = db.set_ttl(message, 60)
    assert (timed.version, timed.content) == (2, "Hello")
    assert timed.updated_at >= message.updated_at
    assert timed.to_dict()["expires_at"] == timed.expires_at
    message.content = "Other"
    with pytest.raises(Conflict):
        message.save()
    message.refresh()
    message.content = "Other"
    message.save()
    assert message.expires_at == timed.expires_at, "a change of properties leaves it"
    message.append("!")
    assert db.get_node(message.id).expires_at == timed.expires_at
    later = db.set_ttl(message, 3600)
    assert later.expires_at > timed.expires_at
    assert db.set_ttl(message, None).expires_at is None
    assert db.verify()["ok"]


def test_a_time_that_was_taken_away_or_moved_does_not_come(db, clock):
    for id in ("kept", "later", "gone"):
        db.create_node({"id": id, "label": "Note", "ttl": TTL})
    db.set_ttl("kept", None)
    db.set_ttl("later", 5 * TTL)
    after_expiry(clock)
    assert [node.id for node in db.nodes()] == ["kept", "later"]
    db.flush(timeout=30)
    assert [node.id for node in db.nodes()] == ["kept", "later"]
    clock.move(5 * TTL)
    assert [node.id for node in db.nodes()] == ["kept"]


# ---------------------------------------------------------------------- as if it had been deleted

IDS = ["c", "old", "thing", "kept", "tied", *(f"m{n}" for n in range(8)), "o0", "o1"]
EDGES = ["e1", "e2", "e3", "e4"]
GONE = ["m2", "m3", "m7", "thing", "old", "tied"]
"""In the order of their times."""
SAID = [
    "Alice met Bob in Paris",
    "Bob likes Rust",
    "Carol went to London",
    "Carol likes Paris",
    "Alice likes Rust",
    "Bob went to Berlin",
    "Alice and Bob like Rust",
    "Dave likes Rust",
]


def build(path, *, timed):
    """Two chats, nodes and edges; with `timed`, what the other one is to delete by hand expires."""
    ttl = {id: TTL - 100 + at for at, id in enumerate(GONE)} if timed else {}
    with EmbeddedDB(path, ml=FakeModel()) as db:
        db.create_index("Thing", "name", unique=True)
        chat = db.create_chat("Trip", id="c")
        for at, content in enumerate(SAID):
            sender = "Ann" if at % 2 else "Eve"
            chat.add_message(content, sender, id=f"m{at}", ttl=ttl.get(f"m{at}"))
        old = db.create_chat("Old", id="old", ttl=ttl.get("old"))
        old.add_messages([{"id": f"o{n}", "content": f"Dave saw {n} Alice"} for n in range(2)])
        for id, name in (("thing", "one"), ("kept", "two"), ("tied", "three")):
            properties = {"name": name, "text": f"a {name}"}
            db.create_node(
                {"id": id, "label": "Thing", "properties": properties, "ttl": ttl.get(id)}
            )
        for id, source, target in (
            ("e1", "thing", "kept"),
            ("e2", "kept", "thing"),
            ("e3", "kept", "m0"),
            ("e4", "tied", "tied"),
        ):
            db.create_edge({"id": id, "source": source, "target": target, "type": "KNOWS"})
        rows = np.eye(3, dtype=np.float32)
        db.set_embeddings(["thing", "kept", "tied"], rows, space="mine")
        db.flush(timeout=60)
        assert db.get_node("c").summary() is not None
        assert db.get_node("old").summary() is not None
    if not timed:
        with EmbeddedDB(path, ml=None) as db:
            for id in GONE:
                db.delete_node(id)
    return path


def name(node):
    if "Entity" in node.labels:
        return f"entity {node['label']}"
    return "summary of " + node["chat_id"] if "Summary" in node.labels else node.id


def names(nodes):
    return sorted(name(node) for node in nodes)


def tried(read):
    try:
        return read()
    except NotFound:
        return "not found"


def everything(db):
    """What every kind of read says, by names that do not depend on ids that were made."""
    labels = ("Chat", "Message", "Entity", "Summary", "Thing")
    types = ("CONTAINS", "MENTIONS", "SUMMARIZES", "KNOWS")  # NEXT: the deletion makes an edge
    vector = FakeModel().embed(["Carol likes Rust in Paris"])[0]
    trip = db.get_node("c")

    def ids(**query):
        return [name(result.node) for result in db.query(limit=100, **query)]

    def walk(start, **how):
        return [(name(visit.node), visit.depth) for visit in db.traverse(start, **how)]

    def path(start, end, types):
        found = db.find_shortest_path(start, end, types)
        return None if found is None else names(found.nodes)

    return {
        "count": db.count(),
        "counts": {label: db.count(label) for label in labels},
        "edges": {type: db.count_edges(type) for type in types},
        "nodes": names(db.nodes()),
        "labelled": {label: names(db.nodes(label)) for label in labels},
        "exist": [id for id in IDS if db.exists(id)],
        "get": [id for id in IDS if db.get_node(id) is not None],
        "many": [node is None for node in db.get_many(IDS)],
        "neighbors": {
            (id, way): tried(lambda id=id, way=way: names(db.neighbors(id, direction=way)))
            for id in IDS
            for way in ("in", "out", "both")
        },
        "edges at": {
            (id, type): tried(lambda id=id, type=type: len(list(db.edges(id, type, "both"))))
            for id in IDS
            for type in types
        },
        "edge": [db.get_edge(id) is None for id in EDGES],
        "history": [tried(lambda id=id: len(db.edge_history(id))) for id in EDGES],
        "embedding": [
            tried(lambda id=id: db.get_embedding_for_node(id, "mine") is not None) for id in IDS
        ],
        "embeddings": [tried(lambda id=id: len(db.get_embeddings_for_node(id))) for id in IDS],
        "entities": [tried(lambda id=id: names(db.get_entities_mentioned_in(id))) for id in IDS],
        "walk": sorted(walk("c", max_depth=5, direction="any")),
        "chain": walk("m0", edge_types="NEXT", max_depth=20),
        "path": path("m1", "m4", ["CONTAINS"]),
        "over what is gone": path("kept", "thing", ["KNOWS"]) if db.exists("thing") else None,
        "messages": [message.id for message in trip.messages()],
        "after": [message.id for message in trip.messages(after="m1")],
        "next": [message.next and message.next.id for message in trip.messages()],
        "previous": [message.previous and message.previous.id for message in trip.messages()],
        "summary": trip.summary() is None,
        "openai": trip.to_openai(),
        "by property": ids(
            structural_filters=[{"property": "sender", "operator": "Equals", "value": "Eve"}]
        ),
        "not": sorted(
            ids(
                structural_filters=[{"property": "sender", "operator": "NotEquals", "value": "Eve"}]
            )
        ),
        "by index": ids(
            labels=["Thing"],
            structural_filters=[{"property": "name", "operator": "GreaterThan", "value": "a"}],
        ),
        "by graph": sorted(ids(graph_filter={"start": "c", "direction": "any", "max_hops": 3})),
        "excluded": sorted(
            ids(graph_filter={"start": "c", "direction": "any", "max_hops": 1, "exclude": True})
        ),
        "by words": sorted(ids(text_query={"text": "Carol Paris Rust London Dave"})),
        "by meaning": ids(semantic_query={"vector": vector}),
        "own vectors": ids(semantic_query={"vector": [1.0, 0.5, 0.1], "space": "mine"}),
        "both": sorted(
            ids(semantic_query={"vector": vector}, text_query={"text": "Paris"}, labels=["Message"])
        ),
        "groups": Message.where().on(db).group_count("sender"),
        "counted": Message.where(Message.sender == "Eve").on(db).count(),
        "search": [
            name(result.node)
            for result in db.search("Where did Carol go?", weights={"semantic": 0}, limit=50)
        ],
        "start": tried(lambda: ids(graph_filter={"start": "thing", "max_hops": 1})),
        **(all_else(db) if isinstance(db, EmbeddedDB) else {}),
    }


ELSE = ("context", "stats", "status")


def all_else(db):
    """What a snapshot does not say."""
    count = {"count_tokens": lambda text: len(text.split())}
    return {
        "context": db.get_node("c").context("Carol", 30, **count),
        "stats": (db.stats()["nodes"], db.stats()["edges"] - db.count_edges("NEXT")),
        "status": [tried(lambda id=id: db.get_node(id).status.to_dict()) for id in ("c", "m0")],
    }


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for read in expected:
        assert found[read] == expected[read], read


@pytest.fixture(scope="module")
def deleted(tmp_path_factory):
    """What a database shows in which everything was deleted by hand."""
    path = build(tmp_path_factory.mktemp("deleted") / "memory.db", timed=False)
    with EmbeddedDB(path, ml=None) as db:
        shown = everything(db)
        counts = {node["label"]: node["mention_count"] for node in db.nodes("Entity")}
    assert "entity Carol" not in shown["nodes"], "only what is gone mentions her"
    assert "entity Dave" not in shown["nodes"]
    assert "entity Paris" in shown["nodes"]
    assert shown["next"] == ["m1", "m4", "m5", "m6", None]
    return shown, counts


def test_what_has_expired_is_hidden_from_every_read_as_if_it_had_been_deleted(path, clock, deleted):
    build(path, timed=True)
    with EmbeddedDB(path, ml=None, read_only=True) as db, db.snapshot() as early:
        assert all(db.exists(id) for id in IDS)
        before = everything(early)
        after_expiry(clock)
        assert_equal(everything(db), deleted[0])
        with db.snapshot() as late:
            expected = {read: shown for read, shown in deleted[0].items() if read not in ELSE}
            assert_equal(everything(late), expected)
        assert_equal(everything(early), before)
        assert db.stats()["tables"]["expiry"] == len(GONE), "it is hidden, not deleted"
        assert db.verify()["ok"]


def test_what_has_expired_is_deleted_with_all_that_follows(path, clock, deleted):
    build(path, timed=True)
    after_expiry(clock)
    with EmbeddedDB(path, ml=None) as db:
        bytes_before = db.stats()["tables"]
        db.flush(timeout=60)
        shown, counts = deleted
        assert_equal(everything(db), shown)
        assert {node["label"]: node["mention_count"] for node in db.nodes("Entity")} == counts
        tables = db.stats()["tables"]
        assert tables["expiry"] == 0
        assert tables["embeddings"] <= bytes_before["embeddings"]
        assert tables["nodes"] == db.count()
        job = db.weaver_status()["per_job"]["expire"]
        # The messages of the chat that expired go with it, and are not counted.
        assert (job["pending"], job["done"]) == (0, len(GONE))
        report = db.verify()
        assert report["ok"], report["problems"]
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        assert_equal(everything(db), shown)


def test_each_deletion_is_a_change(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"id": f"n{n}", "label": "Note", "ttl": TTL} for n in range(600)])
        before = db.stats()["lsn"]
        after_expiry(clock)
        db.flush(timeout=60)
        assert db.stats()["lsn"] == before + 600
        assert db.count() == db.stats()["tables"]["nodes"] == 0


def test_a_weaver_that_is_paused_or_busy_keeps_nothing_alive(path, clock):
    model = FakeModel()
    with EmbeddedDB(path, ml=model) as db:
        db.weaver.pause()
        chat = db.create_chat()
        chat.add_message("Alice met Bob", id="m", ttl=TTL)
        after_expiry(clock)
        assert list(chat.messages()) == []
        db.weaver.resume()
        db.flush(timeout=60)
        assert db.stats()["tables"]["nodes"] == 1, "neither the message nor an entity of it"
        assert db.verify()["ok"]


# ---------------------------------------------------------------------- queries give their k


@pytest.mark.parametrize("k", [1, 10, 40, 100])
def test_a_query_gives_its_k_whenever_k_are_there(path, clock, k):
    rng = np.random.default_rng(7)
    with EmbeddedDB(path, ml=None) as db:
        db.declare_label("Note", text=["text"])
        nodes = [
            {
                "id": f"n{n}",
                "label": "Note",
                "properties": {"text": f"rust {n}", "even": n % 2 == 0},
                # The best by every leg are among those that expire.
                **({"ttl": TTL} if n < 150 else {}),
            }
            for n in range(200)
        ]
        db.create_nodes(nodes)
        vectors = rng.standard_normal((200, 8)).astype(np.float32)
        vectors[:150] += np.float32(5)
        db.set_embeddings([node["id"] for node in nodes], vectors, space="mine")
    query = {"vector": np.ones(8), "space": "mine"}
    even = [{"property": "even", "operator": "Equals", "value": True}]
    after_expiry(clock)
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        for restricted, there in (({}, 50), ({"structural_filters": even}, 25)):
            for legs in (
                {"semantic_query": query},
                {"text_query": {"text": "rust"}},
                {"semantic_query": query, "text_query": {"text": "rust"}},
                {"labels": ["Note"]},
            ):
                found = db.query(limit=k, **legs, **restricted)
                assert len(found) == min(k, there), legs
                assert all(int(result.node.id[1:]) >= 150 for result in found)
        best = sorted(range(150, 200), key=lambda n: -cosine(vectors[n], np.ones(8)))[:k]
        exact = db.query(semantic_query=query, limit=k)
        assert [result.node.id for result in exact] == [f"n{n}" for n in best]


@pytest.mark.parametrize("k", [1, 10, 100])
def test_an_index_gives_its_k_whenever_k_are_there(path, clock, k):
    with EmbeddedDB(path, ml=None) as db:
        for name in ("n", "name"):
            db.create_index("Note", name)
        # The first by every order expire, and some in between.
        gone = {n for n in range(3000) if n < 1000 or n % 3 == 0 or n >= 2900}
        for first in range(0, 3000, 1000):
            db.create_nodes(
                [
                    {
                        "id": f"n{n}",
                        "label": "Note",
                        "properties": {"n": n, "name": f"{n:05}", "plain": n},
                        **({"ttl": TTL} if n in gone else {}),
                    }
                    for n in range(first, first + 1000)
                ]
            )
        db.flush(timeout=60)
    left = [n for n in range(3000) if n not in gone]
    after_expiry(clock)
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        for labels in (None, ["Note"]):
            for property, value in (("n", 10), ("name", "00010"), ("plain", 10)):
                above = [{"property": property, "operator": "GreaterThan", "value": value}]
                found = db.query(labels=labels, structural_filters=above, limit=k)
                assert [r.node["n"] for r in found] == left[:k]
                for way, expected in (("asc", left), ("desc", left[::-1])):
                    found = db.query(
                        labels=labels,
                        structural_filters=above,
                        order_by=[(property, way)],
                        limit=k,
                    )
                    assert [r.node["n"] for r in found] == expected[:k]
        found = db.query(labels=["Note"], limit=k)
        assert [r.node["n"] for r in found] == left[:k]


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_range_of_times_gives_its_k_whenever_k_are_there(path, clock, k):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat(id="chat")
        chat.add_messages(
            [
                {
                    "id": f"m{n}",
                    "content": f"message {n}",
                    "timestamp": begin + timedelta(minutes=n),
                    # The first by every order expire, and some in between.
                    **({"ttl": TTL} if n < 1000 or n % 3 == 0 or n >= 2900 else {}),
                }
                for n in range(3000)
            ]
        )
    left = [f"m{n}" for n in range(1000, 2900) if n % 3]
    after_expiry(clock)
    later = [{"property": "timestamp", "operator": "GreaterThan", "value": begin}]
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        for labels in (None, ["Message"]):
            found = db.query(labels=labels, structural_filters=later, limit=k)
            assert [r.node.id for r in found] == left[:k]
            more = db.query(labels=labels, structural_filters=later, limit=k, after=found.cursor)
            assert [r.node.id for r in more] == left[k : 2 * k]
            for way, expected in (("asc", left), ("desc", left[::-1])):
                order = [("timestamp", way)]
                found = db.query(labels=labels, structural_filters=later, order_by=order, limit=k)
                assert [r.node.id for r in found] == expected[:k]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# ---------------------------------------------------------------------- instants


def test_a_snapshot_and_a_cursor_go_on_seeing_what_was_live_at_their_instant(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"id": f"n{n}", "label": "Note", "ttl": TTL} for n in range(30)])
        page = db.query(labels=["Note"], limit=10)
        pages = db.nodes("Note")
        with db.snapshot() as early:
            after_expiry(clock)
            assert db.count() == 0
            assert (early.count(), early.exists("n3")) == (30, True)
            db.flush(timeout=60)
            assert db.stats()["tables"]["nodes"] == 0
            assert (early.count(), early.exists("n3")) == (30, True)
            assert len(early.query(labels=["Note"], limit=100)) == 30
        rest = db.query(labels=["Note"], limit=100, after=page.cursor)
        assert [int(result.node.id[1:]) for result in rest] == list(range(10, 30))
        assert len(list(pages)) == 30


def test_a_snapshot_does_not_lose_what_expires_while_it_is_held(path, clock):
    build(path, timed=True)
    with EmbeddedDB(path, ml=None, read_only=True) as db, db.snapshot() as early:
        after_expiry(clock)
        # Views are loaded by whoever asks first; they serve those who came earlier too.
        assert "m2" not in [r.node.id for r in db.query(text_query={"text": "Carol"})]
        found = [r.node for r in early.query(text_query={"text": "Carol"})]
        assert names(found) == ["entity Carol", "m2", "m3"]
        entities = early.get_entities_mentioned_in("m2")
        assert names(entities) == ["entity Carol", "entity London"]


# ---------------------------------------------------------------------- ids and values are free


def test_the_ids_of_what_has_expired_can_be_given_again(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        for again in range(3):
            db.create_nodes([{"id": id, "label": "Note", "ttl": TTL} for id in ("a", "b")])
            db.create_node({"id": "keeper", "label": "Note"})
            for id, source, target in (("e", "a", "keeper"), ("f", "keeper", "b")):
                edge = {"id": id, "source": source, "target": target, "type": "T"}
                db.create_edge(edge)
            db.create_embedding({"id": "v", "node_id": "a", "vector": [1.0], "space": "s"})
            db.create_message("chat", f"round {again}", id="m", ttl=TTL)
            db.set_ttl("chat", TTL)
            with pytest.raises(AlreadyExists):
                db.create_node({"id": "a", "label": "Note"})
            after_expiry(clock)
            # Edges and vectors are free as soon as their node is.
            db.create_node({"id": "c", "label": "Note"})
            db.create_edge({"id": "e", "source": "c", "target": "keeper", "type": "T"})
            db.create_embedding({"id": "v", "node_id": "c", "vector": [1.0], "space": "s"})
            with db.transaction() as tx:
                assert tx.get_node("b") is None
                tx.create_node({"id": "b", "label": "Note"})
            assert db.get_node("b").version == 1
            assert list(db.neighbors("b", direction="both")) == []
            for id in ("b", "c", "keeper"):
                db.delete_node(id)
        assert db.verify()["ok"]


def test_a_unique_value_is_free_again(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_index("Person", "name", unique=True)
        db.create_node({"id": "x", "label": "Person", "properties": {"name": "Ann"}, "ttl": TTL})
        with pytest.raises(AlreadyExists):
            db.create_node({"label": "Person", "properties": {"name": "Ann"}})
        after_expiry(clock)
        new = db.create_node({"id": "y", "label": "Person", "properties": {"name": "Ann"}})
        other = db.create_node({"label": "Person", "properties": {"name": "Bob"}})
        with pytest.raises(AlreadyExists):
            db.update_node(other, {"name": "Ann"})
        assert db.exists(new)
        assert db.verify()["ok"]


def test_what_has_expired_does_not_stand_in_the_way_of_a_unique_index(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        people = [
            {
                "label": "Person",
                "properties": {"name": f"p{n % 10}"},
                **({"ttl": TTL} if n >= 10 else {}),
            }
            for n in range(300)
        ]
        db.create_nodes(people)
        with pytest.raises(AlreadyExists):
            db.create_index("Person", "name", unique=True)
        after_expiry(clock)
        db.create_index("Person", "name", unique=True)
        assert db.count("Person") == 10
        assert db.verify()["ok"]


def test_writes_do_not_find_what_has_expired(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "kept", "label": "Note", "properties": {"n": 1}})

        def expired():
            for id in ("a", "b"):
                db.create_node({"id": id, "label": "Note", "properties": {"n": 1}, "ttl": TTL})
            edge = {"id": "e", "source": "a", "target": "kept", "type": "T"}
            db.create_edge(edge)
            db.create_embedding({"id": "v", "node_id": "a", "vector": [1.0], "space": "s"})
            after_expiry(clock)

        link = {"source": "kept", "target": "a", "type": "T"}
        for write in (
            lambda: db.update_node("a", {"n": 2}),
            lambda: db.delete_node("a"),
            lambda: db.set_ttl("a", 60),
            lambda: db.create_edge(link),
            lambda: db.update_edge("e", {"weight": 2.0}),
            lambda: db.retract_edge("e"),
            lambda: db.delete_edge("e"),
            lambda: db.create_embedding({"node_id": "a", "vector": [1.0], "space": "s"}),
            lambda: db.update_embedding("v", [2.0]),
            lambda: db.delete_embedding("v"),
        ):
            expired()
            with pytest.raises(NotFound):
                write()
        expired()
        from embedded_db import ConvergedQuery

        all_notes = ConvergedQuery(labels=["Note"])
        assert db.update_matching(all_notes, {"n": 5}) == 1
        assert db.delete_matching(all_notes) == 1
        assert db.count() == 0
        assert db.verify()["ok"]


def test_a_chat_that_has_expired_is_made_anew_by_its_next_message(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_chat("First", id="c", ttl=TTL).add_message("before", id="m")
        after_expiry(clock)
        assert not db.exists("m")
        db.create_message("c", "after")
        assert [message.content for message in db.get_node("c").messages()] == ["after"]
        assert db.get_node("c").title is None
        assert db.verify()["ok"]


def test_a_message_that_follows_what_has_expired_follows_what_was_before(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat(id="c")
        chat.add_message("one", id="m1")
        chat.add_message("two", id="m2", ttl=TTL)
        after_expiry(clock)
        chat.add_message("three", id="m3")
        for _ in ("hidden, or deleted already", "deleted"):
            assert db.get_node("m1").next.id == "m3"
            assert db.get_node("m3").previous.id == "m1"
            assert [message.id for message in chat.messages(after="m1")] == ["m3"]
            with db.transaction() as tx:
                assert [node.id for node in tx.neighbors("m1", "NEXT")] == ["m3"]
            db.flush(timeout=60)


# ---------------------------------------------------------------------- transactions


def test_what_expires_during_a_transaction_is_a_conflict(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "a", "label": "Note", "ttl": TTL})

        def late():
            with db.transaction() as tx:
                tx.update_node("a", {"n": 1})
                after_expiry(clock)
                assert tx.get_node("a")["n"] == 1, "the transaction sees its own instant"

        with pytest.raises(Conflict):
            late()
        assert db.count() == 0

        def put(tx):
            if tx.get_node("a") is None:
                tx.create_node({"id": "a", "label": "Note", "ttl": TTL})
            tx.update_node("a", {"n": 2})

        db.run(put)
        assert db.get_node("a")["n"] == 2
        assert db.get_node("a").expires_at is not None


def test_a_transaction_that_is_rolled_back_sets_no_time(db):
    id = db.create_node({"label": "Note"})

    def broken():
        with db.transaction() as tx:
            tx.set_ttl(id, 60)
            assert tx.get_node(id).expires_at is not None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert db.get_node(id).expires_at is None
    with db.transaction() as tx:
        tx.set_ttl(id, 60)
        tx.set_ttl(id, None)
        assert tx.get_node(id).expires_at is None
    assert db.get_node(id).expires_at is None


# ---------------------------------------------------------------------- clocks


def test_a_clock_that_goes_back_brings_nothing_back_and_keeps_nothing_for_ever(path, clock):
    with EmbeddedDB(path, ml=None) as db, db.snapshot():
        db.create_nodes(
            [
                {"id": "early", "label": "Note", "ttl": TTL},
                {"id": "late", "label": "Note", "ttl": 9 * TTL},
            ]
        )
        after_expiry(clock)
        assert [node.id for node in db.nodes()] == ["late"]
        clock.move(-86_400)
        assert [node.id for node in db.nodes()] == ["late"]
        made = db.get_node(db.create_node({"id": "new", "label": "Note", "ttl": TTL}))
        assert made.expires_at - made.created_at == timedelta(seconds=TTL)
        assert made.created_at >= db.get_node("late").created_at
        clock.move(86_400 + TTL)
        assert [node.id for node in db.nodes()] == ["late"]
        clock.move(9 * TTL)
        assert db.count() == 0
        db.flush(timeout=60)


def test_what_was_set_while_the_clock_was_far_ahead_still_expires(path, clock):
    """The store's time cannot go back; but it goes on, so that a time to live comes to its end."""
    clock.move(10 * 365 * 86_400)
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "a", "label": "Note"})
        clock.move(-10 * 365 * 86_400)
        db.create_node({"id": "b", "label": "Note", "ttl": 0.4})
        assert db.exists("b")
        limit = datetime.now(UTC) + timedelta(seconds=60)
        while db.exists("b"):
            assert datetime.now(UTC) < limit, "it should be gone within a second"
        db.flush(timeout=60)
        assert db.stats()["tables"]["nodes"] == 1


def test_a_short_time_to_live_ends_by_itself(db):
    id = db.create_node({"label": "Note", "ttl": 0.2})
    end = db.get_node(id).expires_at
    while datetime.now(UTC) < end:
        pass
    assert not db.exists(id)
    limit = datetime.now(UTC) + timedelta(seconds=60)
    while db.stats()["tables"]["nodes"]:
        assert datetime.now(UTC) < limit, "nobody has to write or ask for it to be deleted"


def test_threads_read_and_write_while_things_expire(path):
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        chat = db.create_chat(id="chat")
        db.create_node({"id": "hub", "label": "Hub"})

        def write(thread):
            for n in range(150):
                id = f"t{thread}n{n}"
                db.create_node({"id": id, "label": "Note", "ttl": 0.001 * (1 + n % 40)})
                edge = {"source": "hub", "target": id, "type": "T"}
                with suppress(NotFound):  # it may have gone already
                    db.create_edge(edge)
                chat.add_message(f"message {n} of {thread}", ttl=0.002 * (1 + n % 20))

        def read(_):
            for _ in range(100):
                with db.snapshot() as s:
                    notes = {node.id for node in s.nodes("Note")}
                    assert s.count("Note") == len(notes)
                    assert {node.id for node in s.neighbors("hub")} <= notes
                    assert {edge.target for edge in s.edges("hub")} <= notes
                    assert {r.node.id for r in s.query(labels=["Note"], limit=1000)} == notes
                    messages = [node.id for node in s.neighbors("chat", "CONTAINS")]
                    chain = (
                        [visit.node.id for visit in s.traverse(messages[0], "NEXT")]
                        if messages
                        else []
                    )
                    assert set(chain) <= set(messages)

        with ThreadPoolExecutor(6) as pool:
            jobs = [pool.submit(write, n) for n in range(3)]
            jobs += [pool.submit(read, n) for n in range(3)]
            for job in jobs:
                job.result(timeout=120)
        end = max(node.expires_at or node.created_at for node in db.nodes())
        while datetime.now(UTC) <= end:
            pass
        db.flush(timeout=60)
        assert names(db.nodes()) == ["chat", "hub"]
        assert db.stats()["tables"]["nodes"] == 2
        assert db.verify()["ok"]


# ---------------------------------------------------------------------- processes


def test_what_expired_while_the_database_was_closed_is_gone_at_once(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"label": "Note", "ttl": TTL} for _ in range(1000)])
        db.create_node({"id": "kept", "label": "Note", "ttl": 100 * TTL})
    after_expiry(clock)
    with EmbeddedDB(path, ml=None) as db:
        assert [node.id for node in db.nodes()] == ["kept"]
        db.flush(timeout=60)
        assert db.stats()["tables"]["nodes"] == 1
        assert db.verify()["ok"]


READER = """
import sys
from embedded_db import EmbeddedDB

db = EmbeddedDB(sys.argv[1], ml=None, read_only=True)
print("ready", flush=True)
for line in sys.stdin:
    sys.modules["embedded_db._native"]._shift_clock(int(line) * 1_000_000)
    print(db.count(), db.exists("a"), db.stats()["tables"]["nodes"], flush=True)
"""


def test_a_process_that_only_reads_hides_by_its_own_clock(path, spawn):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"id": id, "label": "Note", "ttl": TTL} for id in ("a", "b")])
        db.create_node({"id": "kept", "label": "Note"})
        reader = spawn(READER, path)
        assert reader.stdout.readline() == "ready\n"

        def ask(moved):
            reader.stdin.write(f"{moved}\n")
            reader.stdin.flush()
            return reader.stdout.readline().split()

        assert ask(0) == ["3", "True", "3"]
        assert ask(TTL + 1) == ["1", "False", "3"]
        # A commit of the writer, whose clock is behind, brings nothing back.
        db.create_node({"id": "new", "label": "Note"})
        assert ask(0) == ["2", "False", "4"]
        assert ask(-2 * TTL) == ["2", "False", "4"]
        db.set_ttl("a", 10 * TTL)
        assert ask(0) == ["3", "True", "4"]


KILLED = """
import sys
from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

db = EmbeddedDB(sys.argv[1], ml=FakeModel())
shift = sys.modules["embedded_db._native"]._shift_clock
chat = db.create_chat(id="chat") if not db.exists("chat") else db.get_node("chat")
round = sys.argv[2]
print("ready", flush=True)
for n in range(10_000):
    chat.add_messages(
        [
            {"content": f"Alice {n} saw Bob {i}", "ttl": 1 + i, "id": f"r{round}n{n}i{i}"}
            for i in range(20)
        ]
    )
    chat.add_message(f"Carol stays {n}", id=f"r{round}k{n}")
    print(n, flush=True)
    shift(30_000_000)
"""


def test_a_process_that_is_killed_while_it_deletes_leaves_everything_whole(
    path, spawn, clock, thorough
):
    kept = []
    for turn in range(12 if thorough else 4):
        child = spawn(KILLED, path, turn)
        assert child.stdout.readline() == "ready\n"
        for _ in range(3 + turn % 5):
            kept.append(f"r{turn}k{child.stdout.readline().strip()}")
        child.kill()
        child.wait()
        # The child's clock ran ahead.
        clock.move(600)
        with EmbeddedDB(path, ml=None, read_only=True) as db:
            report = db.verify()
            assert report["ok"], report["problems"]
    clock.move(3600)
    with EmbeddedDB(path, ml=None) as db:
        db.flush(timeout=60)
        assert all(db.exists(id) for id in kept)
        assert all("stays" in message.content for message in db.get_node("chat").messages())
        assert db.stats()["tables"]["expiry"] == 0
        report = db.verify()
        assert report["ok"], report["problems"]


# ---------------------------------------------------------------------- export and import


def test_times_come_back_from_an_export(path, tmp_path, clock):
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat(id="c")
        for n in range(4):
            chat.add_message(f"message {n}", id=f"m{n}", ttl=None if n in (0, 3) else n * TTL)
        times = {node.id: node.expires_at for node in db.nodes()}
        db.export(tmp_path / "export")
        db.set_ttl("m0", 5)
        db.set_ttl("m1", None)
        db.import_(tmp_path / "export", on_conflict="replace")
        assert {node.id: node.expires_at for node in db.nodes()} == times
    with EmbeddedDB(tmp_path / "copy.db", ml=None) as copy:
        copy.import_(tmp_path / "export")
        assert {node.id: node.expires_at for node in copy.nodes()} == times
        assert copy.verify()["ok"]
    after_expiry(clock)
    with EmbeddedDB(tmp_path / "late.db", ml=None) as late:
        late.import_(tmp_path / "export")
        assert names(late.nodes()) == ["c", "m0", "m2", "m3"]
        assert [m.id for m in late.get_node("c").messages(after="m0")] == ["m2", "m3"]
        late.flush(timeout=60)
        assert [m.id for m in late.get_node("c").messages(after="m0")] == ["m2", "m3"]
        assert late.verify()["ok"]
        late.export(tmp_path / "again")
    assert "m1" not in (tmp_path / "again" / "0000" / "nodes.jsonl").read_text()


# ---------------------------------------------------------------------- against a model


class Histories(RuleBasedStateMachine):
    """Nodes in a plain dict with the time at which they go, and edges between them."""

    path = None
    clock = None

    @initialize()
    def begin(self):
        self.rounds = Histories.rounds = getattr(Histories, "rounds", 0) + 1
        self.place = self.path / f"{self.rounds}.db"
        self.start = self.clock.moved
        self.now = self.latest = 0
        self.nodes = {}
        self.edges = {}
        self.held = None
        self.db = self.open()

    def open(self):
        return EmbeddedDB(self.place, ml=None, durability="memory")

    ids = st.sampled_from("abcdef")
    # The machine itself takes less than a hundred seconds.
    times = st.sampled_from([None, 1000, 2000, 5000])

    def live(self):
        return {id for id, end in self.nodes.items() if end is None or end > self.latest}

    def sweep(self):
        live = self.live()
        self.nodes = {id: end for id, end in self.nodes.items() if id in live}
        self.edges = {id: ends for id, ends in self.edges.items() if live >= set(ends)}

    def end(self, ttl):
        return None if ttl is None else self.latest + ttl

    @rule(id=ids, ttl=times)
    def create(self, id, ttl):
        self.sweep()
        draft = {"id": id, "label": "Note", "properties": {"text": id}, "ttl": ttl}
        if id in self.nodes:
            with pytest.raises(AlreadyExists):
                self.db.create_node(draft)
        else:
            self.db.create_node(draft)
            self.nodes[id] = self.end(ttl)

    @rule(id=ids, ttl=times)
    def set_ttl(self, id, ttl):
        self.sweep()
        if id not in self.nodes:
            with pytest.raises(NotFound):
                self.db.set_ttl(id, ttl)
        else:
            self.db.set_ttl(id, ttl)
            self.nodes[id] = self.end(ttl)

    @rule(id=ids)
    def delete(self, id):
        self.sweep()
        if id not in self.nodes:
            with pytest.raises(NotFound):
                self.db.delete_node(id)
        else:
            self.db.delete_node(id)
            del self.nodes[id]
            self.sweep()

    @rule(ends=st.tuples(ids, ids), id=st.sampled_from("xyz"))
    def link(self, ends, id):
        self.sweep()
        source, target = ends
        edge = {"id": id, "source": source, "target": target, "type": "T"}
        missing = {source, target} - self.nodes.keys()
        if missing or id in self.edges:
            with pytest.raises((NotFound, AlreadyExists)):
                self.db.create_edge(edge)
        else:
            self.db.create_edge(edge)
            self.edges[id] = (source, target)

    @rule(ids=st.lists(ids, min_size=1, max_size=3, unique=True), ttl=times, fails=st.booleans())
    def transaction(self, ids, ttl, fails):
        self.sweep()

        def write():
            with self.db.transaction() as tx:
                for id in ids:
                    if tx.get_node(id) is None:
                        tx.create_node({"id": id, "label": "Note", "properties": {"text": id}})
                    tx.set_ttl(id, ttl)
                assert not fails

        if fails:
            with pytest.raises(AssertionError):
                write()
        else:
            write()
            self.nodes.update(dict.fromkeys(ids, self.end(ttl)))

    @rule(seconds=st.sampled_from([500, 1500, 4000, -700, -3000]))
    def jump(self, seconds):
        self.move(seconds)
        # Nobody knows of a time at which nobody looked at the clock.
        self.db.namespace("time").create_node({"label": "Tick"})

    def move(self, seconds):
        self.clock.move(seconds)
        self.now += seconds
        self.latest = max(self.latest, self.now)

    @precondition(lambda self: self.held is None)
    @rule()
    def pin(self):
        self.sweep()
        self.held = (self.db.snapshot(), set(self.nodes), set(self.edges))

    @precondition(lambda self: self.held is not None)
    @rule()
    def release(self):
        self.held[0].close()
        self.held = None

    @rule()
    def flush(self):
        self.sweep()
        self.db.flush(timeout=60)
        ticks = self.db.namespace("time").count()
        assert self.db.stats()["tables"]["nodes"] == len(self.nodes) + ticks

    @precondition(lambda self: self.held is None)
    @rule(read_only=st.booleans())
    def reopen(self, read_only):
        self.db.close()
        # How late it was before the clock went back, nobody knows who comes later.
        self.move(self.latest - self.now)
        if read_only:
            with EmbeddedDB(self.place, ml=None, durability="memory", read_only=True) as db:
                self.same(db)
        self.db = self.open()

    def same(self, db):
        self.sweep()
        assert {node.id for node in db.nodes()} == set(self.nodes)
        assert db.count() == db.count("Note") == len(self.nodes)
        assert db.count_edges() == db.count_edges("T") == len(self.edges)
        assert {id for id in "xyz" if db.get_edge(id) is not None} == set(self.edges)
        for id in "abcdef":
            assert db.exists(id) == (id in self.nodes)
        for id in self.nodes:
            out = {target for source, target in self.edges.values() if source == id}
            assert {node.id for node in db.neighbors(id)} == out
        found = db.query(labels=["Note"], limit=100)
        assert {result.node.id for result in found} == set(self.nodes)

    @invariant()
    def agrees(self):
        if not hasattr(self, "db"):
            return
        self.same(self.db)
        if self.held is not None:
            snapshot, nodes, edges = self.held
            assert {node.id for node in snapshot.nodes()} == nodes
            assert {id for id in "xyz" if snapshot.get_edge(id) is not None} == edges

    def teardown(self):
        if hasattr(self, "db"):
            report = self.db.verify()
            self.db.close()
            assert report["ok"], report["problems"]
            self.clock.move(self.start - self.clock.moved)


def test_random_histories_agree_with_a_plain_model(tmp_path, clock, thorough):
    class Machine(Histories):
        pass

    Machine.path, Machine.clock = tmp_path, clock
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=150 if thorough else 25, stateful_step_count=30, deadline=None
        ),
    )
