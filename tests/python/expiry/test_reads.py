"""What has expired is gone for everybody and everywhere, as if it had been deleted by hand.

It is hidden first and deleted soon after. The tests look at both: a process that only reads deletes
nothing, one that writes does. Both must show what they would show if the node had been deleted by
hand; a snapshot and a cursor go on seeing what was live at their instant.
"""

import numpy as np
import pytest

from embedded_db import EmbeddedDB, Message, NotFound
from embedded_db.testing import FakeModel

from .shared import TTL, after_expiry, name, names

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
