"""A message that names a chat is in it, by whatever way it was made.

The chat lists it at the end, the chain of `NEXT` leads to it, and its `chat_id` can be relied on. A
message that names none is in none, and what an import brings has its edges with it.
"""

import pyarrow as pa
import pytest

from embedded_db import AlreadyExists, EmbeddedDB, InvalidInput


def said(content, chat="c", **more):
    properties = {"chat_id": chat, "content": content}
    return {"label": "Message", "properties": properties, **more}


def by_message(db, texts):
    for text in texts:
        db.create_message("c", text)


def by_node(db, texts):
    for text in texts:
        db.create_node(said(text))


def by_nodes(db, texts):
    db.create_nodes([said(text) for text in texts])


def by_transaction(db, texts):
    with db.transaction() as tx:
        for text in texts:
            made = tx.create_node(said(text))
            message = tx.get_node(made)
            assert message.chat.id == "c"
            assert [found.content for found in tx.get_node("c").messages()][-1] == text
            assert message.timestamp.tzinfo is not None


def by_batch(db, texts):
    with db.batch(size=2) as batch:
        for text in texts:
            batch.create_node(said(text))


def by_batch_of_messages(db, texts):
    with db.batch(size=2) as batch:
        for text in texts:
            batch.create_message("c", text)


def by_arrow(db, texts):
    columns = {"label": ["Message"] * len(texts), "content": texts, "chat_id": ["c"] * len(texts)}
    db.load_arrow(nodes=pa.table(columns))


WAYS = [by_message, by_node, by_nodes, by_transaction, by_batch, by_batch_of_messages, by_arrow]


def state(db):
    """What can be seen of the chat, without ids and times."""
    chat = db.get_node("c")
    messages = list(chat.messages())
    edges = [db.edges(m, direction="in", type=["CONTAINS", "NEXT"]) for m in messages]
    return (
        [(m.content, m.labels, m.version, m.chat_id, m.role) for m in messages],
        [m.next.content if m.next else None for m in messages],
        [[(edge.type, edge.derived) for edge in each] for each in edges],
        chat.context(count_tokens=len),
        db.stats()["edges"],
        db.verify()["ok"],
    )


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_all_ways_agree(way, existing):
    states = []
    for each in (by_message, way):
        with EmbeddedDB(":memory:", ml=None) as db:
            if existing:
                db.create_chat(id="c", title="Trip").add_message("before")
            each(db, ["one", "two", "three"])
            db.get_node("c").add_message("after")
            states.append(state(db))
    assert states[0] == states[1]
    assert len(states[0][0]) == 4 + existing


def test_a_chat_may_come_behind_its_messages_in_one_call(db):
    chat = {"label": "Chat", "id": "c", "properties": {"title": "Trip"}}
    db.create_nodes([said("one", id="m1"), chat, said("two"), said("elsewhere", chat="d")])
    assert db.get_node("c").title == "Trip"
    assert [message.content for message in db.get_node("c").messages()] == ["one", "two"]
    assert [message.content for message in db.get_node("d").messages()] == ["elsewhere"]


def test_what_names_no_chat_is_in_none(db):
    for named in ({}, {"chat_id": 7}, {"chat_id": None}, {"chat_id": ""}):
        properties = {"content": "x", **named}
        id = db.create_node({"label": "Message", "properties": properties})
        assert db.get_node(id).properties == properties
    db.create_node({"label": "Note", "properties": {"chat_id": "c"}})
    assert (db.count_edges(), db.exists("c")) == (0, False)
    fact = db.remember("Ann is here", chat_id="c")
    assert [found.id for found in db.get_node("c").messages()] == [fact.id]


def test_labels_and_time_are_kept(db):
    with db.transaction() as tx:
        properties = {"chat_id": "c", "content": "x"}
        one = tx.create_node({"labels": ["Odd", "Message"], "properties": properties, "ttl": 60})
    [message] = db.get_node("c").messages()
    assert (message.id, message.labels) == (one, ["Odd", "Message"])
    assert message.expires_at is not None


def test_what_cannot_be_is_refused_whole(db):
    db.create_node({"label": "City", "id": "oslo"})
    for wrong in ("oslo", "x" * 256):
        for make in (
            lambda wrong=wrong: db.create_node(said("x", chat=wrong)),
            lambda wrong=wrong: db.create_nodes([said("x", chat="new"), said("x", chat=wrong)]),
            lambda wrong=wrong: db.run(lambda tx: tx.create_node(said("x", chat=wrong))),
        ):
            with pytest.raises(InvalidInput) as caught:
                make()
            assert caught.value.property == "chat_id"
    with pytest.raises(AlreadyExists):
        db.create_node(said("x", chat="new", id="oslo"))
    with db.transaction() as tx:
        with pytest.raises(AlreadyExists):
            tx.create_node(said("x", chat="new", id="oslo"))
        assert tx.get_node("new") is None
    assert (db.count(), db.count_edges()) == (1, 0)
    assert db.verify()["ok"]


def test_an_import_brings_its_own_edges(db, tmp_path):
    by_node(db, ["one", "two"])
    db.export(tmp_path / "out")
    with EmbeddedDB(":memory:", ml=None) as other:
        other.create_node({"label": "X"})  # so that it is merged
        other.import_(tmp_path / "out")
        assert [found.content for found in other.get_node("c").messages()] == ["one", "two"]
        assert other.count_edges() == db.count_edges() == 3
        assert other.verify()["ok"]
