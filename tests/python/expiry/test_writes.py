"""Who writes does not find what has expired: its ids and values are free, and it is not changed."""

import pytest

from embedded_db import AlreadyExists, Conflict, EmbeddedDB, NotFound

from .shared import TTL, after_expiry


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
