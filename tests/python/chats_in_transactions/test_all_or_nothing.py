"""What a transaction writes is there at its commit, all or nothing; so it is with each call in it.

Until the commit there is nothing of it for anybody else, nor for the weaver.
"""

# ruff: noqa: PT012 - a conflict shows at the end of the block, which is the point

import pytest

from embedded_db import AlreadyExists, Conflict, DbError, Entity, Fact, Field, NodeModel

from .shared import Knows, Never, Person, contents, everything, words


def test_all_of_it_is_there_at_the_commit_and_nothing_before(db):
    with db.transaction() as tx:
        chat = everything(tx)
        assert contents(chat) == ["To Paris?", "Gladly!", "When?", "In May"]
        assert db.count() == 0
    assert contents(db.get_node("chat")) == ["To Paris?", "Gladly!", "When?", "In May"]
    assert [m.id for m in db.get_node("made").messages()] == ["m5"]
    assert db.get_node("doc").text == "One. Two."
    assert [fact.id for fact in db.get_node("f2").supersedes()] == ["f1"]
    assert [node.id for node in db.neighbors("f1", "DERIVED_FROM")] == ["m1"]
    assert [edge.since for edge in Knows.of(db.get(Person, "ann"))] == [2020]
    assert db.verify()["ok"]


@pytest.mark.parametrize("end", ["exception", "conflict"])
def test_nothing_of_it_is_left_otherwise(db, end):
    db.create_node({"id": "read", "label": "Thing"})
    with pytest.raises(Never if end == "exception" else Conflict), db.transaction() as tx:
        everything(tx)
        if end == "exception":
            raise Never
        tx.get_node("read")
        db.update_node("read", {"n": 1})
    assert db.count() == 1
    assert db.count_edges() == 0
    assert db.verify()["ok"]


def test_the_edges_are_those_that_the_database_makes(db):
    with db.transaction() as tx:
        everything(tx)
    for message, before in {"m1": None, "m2": "m1", "m3": "m2", "m4": "m3", "m5": None}.items():
        edges = list(db.edges(message, direction="in", type=["CONTAINS", "NEXT"]))
        assert all(edge.derived and edge.weight == 1.0 for edge in edges)
        assert [e.source for e in edges if e.type == "NEXT"] == ([before] if before else [])
    # So they are kept by the database: the chain closes up.
    db.get_node("m2").delete()
    assert db.get_node("m1").next.id == "m3"


def add_to_a_chat_that_is_gone(tx):
    chat = tx.create_chat()
    chat.delete()
    chat.add_message("x", id="new")


REFUSED = {
    "an end that is missing": lambda tx: tx.remember("x", id="new", about="missing"),
    "a source that is missing": lambda tx: tx.remember("x", id="new", source=Person(name="?")),
    "what is no fact": lambda tx: tx.remember("x", id="new", supersedes="chat"),
    "itself": lambda tx: tx.remember("x", id="new", supersedes="new"),
    "an id twice": lambda tx: tx.get_node("chat").add_messages(
        [{"content": "x", "id": "new"}, {"content": "y", "id": "new"}]
    ),
    "a message without a text": lambda tx: tx.get_node("chat").add_messages(
        [{"content": "x", "id": "new"}, {"content": None}]
    ),
    "an id that is none": lambda tx: tx.create_message("new", "x", id=""),
    "a time that is none": lambda tx: tx.create_message("new", "x", ttl=-1),
    "an edge to nowhere": lambda tx: tx.add_all(
        [new := Person(id="new", name="x"), Knows(source=new, target="missing")]
    ),
    "no object": lambda tx: tx.add_all([Person(id="new", name="x"), "y"]),
    "an id that is taken": lambda tx: tx.add_document("x", id="chat", count_tokens=words),
    "a change of what is kept": lambda tx: Fact.where().on(tx).update(superseded_by="x"),
    "a chat that is gone": add_to_a_chat_that_is_gone,
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_a_call_that_is_refused_leaves_nothing_behind(db, refused):
    db.create_chat(id="chat").add_message("a", id="a")
    with db.transaction() as tx:
        tx.get_node("chat").add_message("b", id="b")
        with pytest.raises(DbError):
            refused(tx)
        assert tx.get_node("new") is None
        assert contents(tx.get_node("chat")) == ["a", "b"]
        tx.remember("The transaction goes on", id="fact")
    assert db.get_node("new") is None
    assert contents(db.get_node("chat")) == ["a", "b"]
    assert db.exists("fact")
    assert db.verify()["ok"]


def test_unique_values_count_at_the_commit(db):
    class Town(NodeModel, label="Town"):
        name: str = Field(unique=True)

    db.add(Town(name="Oslo"))
    with pytest.raises(AlreadyExists), db.transaction() as tx:
        tx.create_chat("Trip")
        tx.add(Town(name="Oslo"))
    assert db.count("Chat") == 0


def test_enrichment_begins_at_the_commit(woven):
    with woven.transaction() as tx:
        message = tx.create_message("chat", "Alice met Bob in Paris")
        woven.flush(timeout=60)
        assert woven.count("Entity") == 0
    woven.flush(timeout=60)
    assert sorted(entity.label for entity in message.entities()) == ["Alice", "Bob", "Paris"]
    assert message.status.embedding == "ready"
    assert [entity.label for entity in Entity.where(Entity.label == "Paris").on(woven)] == ["Paris"]
