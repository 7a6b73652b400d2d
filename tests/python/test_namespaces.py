"""Namespaces are apart: ids, edges and queries of one are not those of another."""

import pytest

from embedded_db import DatabaseClosed, EmbeddedDB, InvalidInput, NotFound


def test_the_same_id_lives_in_every_namespace(db):
    one, two = db.namespace("user-1"), db.namespace("user-2")
    one.create_node({"id": "a", "label": "X", "properties": {"of": 1}})
    two.create_node({"id": "a", "label": "X", "properties": {"of": 2}})
    assert one.get_node("a")["of"] == 1
    assert two.get_node("a")["of"] == 2
    assert not db.exists("a")
    assert (one.count(), two.count(), db.count()) == (1, 1, 0)
    assert {"user-1", "user-2"} <= set(db.namespaces())
    one.delete_node("a")
    assert two.exists("a")


def test_edges_and_queries_stay_inside(db):
    one, two = db.namespace("user-1"), db.namespace("user-2")
    one.create_node({"id": "a", "label": "X"})
    two.create_node({"id": "b", "label": "X"})
    with pytest.raises(NotFound):
        one.create_edge({"source": "a", "target": "b", "type": "T"})
    one.create_message("chat", "Words of the first user")
    two.create_message("chat", "Words of the second user")
    found = one.query(text_query={"text": "words user"})
    assert [result.node.content for result in found] == ["Words of the first user"]
    assert len(db.query(labels=["X"])) == 0


def test_a_namespace_is_enriched_apart(woven):
    one, two = woven.namespace("user-1"), woven.namespace("user-2")
    first = one.create_message("chat", "Alice met Bob in Paris")
    second = two.create_message("chat", "Alice stayed in London")
    woven.flush(timeout=60)
    assert {e.label for e in first.entities()} == {"Alice", "Bob", "Paris"}
    assert {e.label for e in second.entities()} == {"Alice", "London"}
    alice = next(e for e in second.entities() if e.label == "Alice")
    assert [message.id for message in alice.messages()] == [second.id]
    found = two.query(semantic_query={"text": "Paris"}, labels=["Message"])
    assert [result.node.id for result in found] == [second.id]


def test_a_namespace_can_be_dropped(db):
    one, two = db.namespace("user-1"), db.namespace("user-2")
    for handle in (one, two):
        handle.create_message("chat", "Words")
    db.drop_namespace("user-1")
    assert "user-1" not in db.namespaces()
    assert two.count("Message") == 1
    assert db.namespace("user-1").count() == 0
    assert db.verify()["ok"]
    with pytest.raises(NotFound, match="never"):
        db.drop_namespace("never")
    with pytest.raises(InvalidInput):
        db.namespace("")


def test_namespaces_are_kept(path):
    with EmbeddedDB(path, ml=None) as db:
        db.namespace("user-1").create_node({"id": "a", "label": "X"})
    with EmbeddedDB(path, ml=None) as db:
        assert db.namespace("user-1").exists("a")
        assert repr(db.namespace("user-1")) == f"EmbeddedDB({db.path!r}, namespace='user-1')"


def test_closing(db):
    one = db.namespace("user-1")
    one.close()
    with pytest.raises(DatabaseClosed):
        one.count()
    db.create_node({"id": "a", "label": "X"})
    two = db.namespace("user-2")
    db.close()
    with pytest.raises(DatabaseClosed):
        two.count()


def test_a_snapshot_of_a_dropped_namespace_still_shows_it(db):
    user = db.namespace("user-1")
    message = user.create_message("chat", "rust")
    user.create_embedding({"node_id": message.id, "vector": [1.0, 0.0], "space": "s"})
    near = {"vector": [1.0, 0.0], "space": "s"}
    with user.snapshot() as snapshot:
        first = user.query(semantic_query=near, labels=["Message"], limit=1)
        db.drop_namespace("user-1")
        assert snapshot.get_node(message.id).content == "rust"
        assert [r.node.id for r in snapshot.query(text_query={"text": "rust"})] == [message.id]
        assert [r.node.id for r in snapshot.query(semantic_query=near)] == [message.id]
    assert [r.node.id for r in first] == [message.id]


def test_a_snapshot_knows_the_embedding_spaces_of_its_time(db):
    db.create_node({"id": "a", "label": "X"})
    with db.snapshot() as snapshot:
        db.create_embedding({"node_id": "a", "vector": [1.0, 0.0], "space": "late"})
        with pytest.raises(NotFound, match="late"):
            snapshot.query(semantic_query={"vector": [1.0, 0.0], "space": "late"})
    assert len(db.query(semantic_query={"vector": [1.0, 0.0], "space": "late"})) == 1
