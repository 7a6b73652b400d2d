"""Chats, messages, entities and summaries are objects that know their neighbours.

Changes are stored by ``save``, which never overwrites what someone else changed meanwhile.
"""

import copy
import re
from datetime import UTC, datetime

import pytest

from embedded_db import (
    DELETE,
    Chat,
    Conflict,
    Document,
    EmbeddedDB,
    Entity,
    Fact,
    InvalidInput,
    Message,
    NotFound,
    Summary,
)


def test_a_chat_and_its_messages(db):
    chat = db.create_chat(title="Project Discussion", topic="Rust Database", colour="red")
    assert isinstance(chat, Chat)
    assert (chat.title, chat.topic, chat["colour"]) == (
        "Project Discussion",
        "Rust Database",
        "red",
    )
    m1 = chat.add_message(
        sender="Alice", content="We should use Rust for performance", role="user", mood="glad"
    )
    m2 = db.create_message(chat_id=chat.id, content="Alice met Bob in Paris", metadata={"a": [1]})
    assert isinstance(m1, Message)
    assert (m1.sender, m1.role, m1.chat_id) == ("Alice", "user", chat.id)
    assert m1.mood == m1["mood"] == "glad"
    assert m2.sender is None
    assert m2.metadata == {"a": [1]}
    assert list(chat.messages()) == [m1, m2]
    assert m1.next == m2
    assert m2.chat == chat
    assert db.get_node(m1.id) == m1
    assert isinstance(db.get_node(m1.id), Message)
    assert [type(node) for node in db.neighbors(chat.id, "CONTAINS")] == [Message, Message]
    found = db.query(
        structural_filters=[{"property": "chat_id", "operator": "Equals", "value": chat.id}]
    )
    assert {type(result.node) for result in found} == {Message}
    assert chat.summary() is None


def test_an_unknown_chat_is_made(db):
    message = db.create_message(chat_id="chat_1", content="Hello")
    assert message.chat.id == "chat_1"
    assert isinstance(db.get_node("chat_1"), Chat)
    second = db.create_message(chat_id="chat_1", content="Again")
    assert message.next == second
    assert db.count("Chat") == 1


def test_changes_are_stored_by_save(db):
    message = db.create_message("chat", "before", sender="Ann", mood="calm")
    message.content = "after"
    message["mood"] = "glad"
    message["new"] = 1
    del message["sender"]
    assert message.changed
    assert message.content == "after"
    assert "sender" not in message
    assert db.get_node(message.id).content == "before"
    message.save()
    assert not message.changed
    assert message.version == 2
    again = db.get_node(message.id)
    assert again == message
    assert (again.content, again.mood, again.new, again.sender) == ("after", "glad", 1, None)
    version = message.version
    message.save()
    assert message.version == version, "nothing to save is no write"


def test_an_object_does_not_overwrite_one_made_again_under_its_id(db):
    mine = db.create_message("chat", "first", id="m")
    mine.content = "mine"
    db.delete_node("m")
    other = db.create_message("chat", "another", id="m")
    assert mine.version == other.version == 1
    with pytest.raises(Conflict):
        mine.save()
    assert db.get_node("m").content == "another"
    mine.refresh()
    assert mine.content == "another"
    with db.transaction() as tx:
        read = tx.get_node("m")
        read["mood"] = "glad"
        tx.delete_node("m")
        tx.create_node({"id": "m", "label": "Message"})
        with pytest.raises(Conflict):
            read.save()


def test_an_outdated_object_does_not_overwrite(db):
    mine = db.create_message("chat", "first")
    theirs = db.get_node(mine.id)
    theirs.content = "theirs"
    theirs.save()
    mine.content = "mine"
    with pytest.raises(Conflict) as caught:
        mine.save()
    assert caught.value.id == mine.id
    assert db.get_node(mine.id).content == "theirs"
    assert mine.content == "mine", "the change is kept for another try"
    mine.refresh()
    assert mine.content == "theirs"
    assert not mine.changed
    theirs.content = "again"
    theirs.save()
    mine.content = "forced"
    mine.save(force=True)
    assert db.get_node(mine.id).content == "forced"


def test_a_deleted_object_is_gone(db):
    chat = db.create_chat()
    first, second, third = chat.add_messages([{"content": text} for text in "abc"])
    second.delete()
    assert db.get_node(second.id) is None
    assert [message.id for message in chat.messages()] == [first.id, third.id]
    assert first.next == third, "the chain closes over the gap"
    for call in (second.refresh, second.delete):
        with pytest.raises(NotFound, match=second.id):
            call()
    second.content = "x"
    with pytest.raises(NotFound):
        second.save()


def test_a_deleted_chat_takes_no_messages(db):
    chat = db.create_chat(title="Trip")
    stale = db.get_node(chat.id)
    chat.delete()
    for add in (
        lambda: stale.add_message("late"),
        lambda: stale.add_messages([{"content": "late"}, {"content": "later"}]),
        lambda: stale.add_messages([]),
    ):
        with pytest.raises(NotFound, match=rf"chat '{chat.id}' does not exist any more") as raised:
            add()
        assert raised.value.id == chat.id
        assert "deleted" in raised.value.hint
    assert db.count() == 0
    made = db.create_message(chat.id, "anew")
    assert (made.chat.id, made.chat.title) == (chat.id, None), "by id a chat is made"
    assert stale.add_message("again").chat == made.chat


def test_a_deleted_chat_takes_its_messages(db):
    chat = db.create_chat()
    messages = chat.add_messages([{"content": text} for text in "abc"])
    kept = db.create_message("other", "kept")
    chat.delete()
    assert db.get_many(messages) == [None, None, None]
    assert db.get_node(chat.id) is None
    assert db.get_node(kept.id) == kept
    assert db.count_edges() == 1
    assert db.verify()["ok"]


def test_attributes_that_are_none(db):
    message = db.create_message("chat", "text")
    with pytest.raises(AttributeError, match="Did you mean 'content'"):
        message.contnet  # noqa: B018
    with pytest.raises(AttributeError):
        message.contnet = "text"
    with pytest.raises(InvalidInput, match="chat_id"):
        message.chat_id = "other"
    with pytest.raises(InvalidInput, match="chat_id"):
        message["chat_id"] = "other"
    assert not hasattr(message, "nothing")
    copy.copy(message)


def test_equality_and_representation(db):
    message = db.create_message("chat", "<b>bold</b>", sender="Ann")
    same = db.get_node(message.id)
    assert message == same
    assert hash(message) == hash(same)
    same.content = "other"
    assert message != same
    other = db.namespace("other").create_message("chat", "<b>bold</b>", id=message.id)
    assert message != other
    assert repr(message).startswith(f"Message(id={message.id!r}, chat_id='chat', sender='Ann'")
    assert repr(same).startswith("Message*(")
    assert "<b>" not in message._repr_html_()
    assert "&lt;b&gt;" in message._repr_html_()
    assert message.to_dict()["properties"]["content"] == "<b>bold</b>"
    results = db.query(labels=["Message"])
    assert "<b>" not in results._repr_html_()
    assert repr(results).startswith("Results(1 found)")
    assert results.to_dicts()[0]["id"] == message.id
    assert results[-1].node == results[:1][0].node == message
    with pytest.raises(IndexError):
        results[1]


def test_what_enrichment_adds(woven):
    chat = woven.create_chat(title="Trip")
    m1 = chat.add_message("Alice met Bob in Paris", sender="Carol")
    m2 = chat.add_message("Bob likes Paris", sender="Dave")
    m3 = chat.add_message("Something else entirely", sender="Dave")
    woven.flush(timeout=60)
    for message in (m1, m2, m3):
        assert message.status.to_dict() == {
            "embedding": "ready",
            "entities": "ready",
            "links": "ready",
        }
        assert message.status.error("embedding") is None
        assert message.version == 1, "enrichment is no change by a user"
    assert {e.label for e in m1.entities()} == {"Alice", "Bob", "Paris"}
    assert m3.entities() == []
    paris = next(e for e in m1.entities() if e.label == "Paris")
    assert isinstance(paris, Entity)
    assert paris.entity_type == "GPE"
    assert paris.mention_count == 2
    assert {message.id for message in paris.messages()} == {m1.id, m2.id}
    assert woven.get_entities_mentioned_in(m2) == m2.entities()
    assert m1.embedding().dim == 256
    similar = m2.similar(limit=1)
    assert [result.node.id for result in similar] == [m1.id]
    assert m2.id not in {result.node.id for result in m2.similar(limit=10)}
    summary = chat.summary()
    assert isinstance(summary, Summary)
    assert summary.chat == chat
    assert "Alice met Bob in Paris" in summary.text
    assert (summary.first_message, summary.last_message) == (m1.id, m3.id)
    assert chat.status.summary == "ready"
    path = woven.find_shortest_path(*(e.id for e in m1.entities()[:2]))
    assert path is not None
    assert len(path) == 2 or isinstance(path.nodes[1], Message)


def test_deleting_a_message_takes_what_was_derived_from_it(woven):
    chat = woven.create_chat()
    m1 = chat.add_message("Alice met Bob")
    m2 = chat.add_message("Bob slept")
    woven.flush(timeout=60)
    alice, bob = sorted(m1.entities(), key=lambda e: e.label)
    m1.delete()
    woven.flush(timeout=60)
    assert woven.get_node(alice.id) is None, "an entity that no one mentions goes"
    assert woven.get_node(bob.id).mention_count == 1
    assert [message.id for message in bob.messages()] == [m2.id]
    assert "Alice" not in chat.summary().text
    assert woven.verify()["ok"]


def test_changing_a_text_makes_what_was_derived_stale(woven, model):
    message = woven.create_message("chat", "Alice met Bob")
    woven.flush(timeout=60)
    old = message.embedding().vector.copy()
    model.hold()
    message.content = "Carol went to Paris"
    message.save()
    assert message.status.embedding == "pending"
    assert message.embedding() is None, "an old vector is not shown"
    assert message.entities() == []
    model.release()
    woven.flush(timeout=60)
    assert {e.label for e in message.entities()} == {"Carol", "Paris"}
    assert (message.embedding().vector != old).any()


def test_a_message_without_embedding_is_similar_to_nothing_yet(db):
    message = db.create_message("chat", "text")
    with pytest.raises(NotFound, match=message.id):
        message.similar()


def test_a_vector_set_by_hand_is_never_overwritten(woven):
    message = woven.create_message("chat", "Alice")
    woven.flush(timeout=60)
    space = message.embedding().space
    mine = [1.0] * 256
    woven.create_embedding({"node_id": message.id, "vector": mine, "space": space})
    message["note"] = "changed"
    message.save()
    woven.flush(timeout=60)
    assert message.embedding().vector.tolist() == mine


def test_times(db):
    when = datetime(1970, 4, 13, 3, 7, 53, tzinfo=UTC)
    message = db.create_message("chat", "Houston", timestamp=when)
    assert db.get_node(message.id).timestamp == when
    assert message.created_at > when


def test_a_status_says_what_pending_work_waits_for(db, path, model):
    message = db.create_message("chat", "Alice in Paris")
    db.flush(timeout=60)
    status = message.status
    assert (status.embedding, status.waits_for) == (
        "pending",
        "a model, for the database is open with ml=None",
    )
    assert "ml=None" in repr(status)
    assert "ml=None" in status._repr_html_()
    assert db.get_node("chat").status.waits_for == status.waits_for
    with pytest.raises(NotFound, match="ml=None"):
        message.similar()
    db.close()
    with EmbeddedDB(path, read_only=True, ml=None) as reader:
        assert "only reads" in reader.get_node(message.id).status.waits_for
    with EmbeddedDB(path, ml=model) as woven:
        assert woven.get_node(message.id).status.waits_for is None
        woven.flush(timeout=60)
        assert woven.get_node(message.id).status.embedding == "ready"
    with EmbeddedDB(path, ml=None) as later:
        done = later.get_node(message.id).status
        assert (done.embedding, done.waits_for) == ("ready", None)
        assert "waits_for" not in repr(done)


def test_what_a_query_found_can_be_changed_where_it_stands(db):
    db.create_chat().add_messages([{"content": "Rust is fast"}, {"content": "Rust is safe"}])
    results = db.query(text_query={"text": "rust"})
    results[0].node["read"] = True
    results[0].node.save()
    assert db.get_node(results[-2].node.id)["read"] is True
    for result in results:
        assert result.node.get("read", False) is (result is results[0])


WRONG = [
    (Message, "content", 5, "a text"),
    (Message, "content", None, "a text"),
    (Message, "sender", ["Ann"], "a text or None"),
    (Message, "role", b"user", "a text"),
    (Message, "timestamp", "2024-05-01", "a datetime with a time zone"),
    (Message, "timestamp", 1714521600, "a datetime with a time zone"),
    (Message, "metadata", [("lang", "de")], "a dict or None"),
    (Message, "parts", 5, "a list of dicts or None"),
    (Message, "parts", ["Hello"], "a list of dicts or None"),
    (Message, "tool_calls", {"id": "c"}, "a list of dicts or None"),
    (Message, "name", True, "a text or None"),
    (Chat, "title", 5, "a text or None"),
    (Chat, "topic", object(), "a text or None"),
    (Entity, "label", None, "a text"),
    (Entity, "aliases", "Bob", "a list of texts"),
    (Entity, "aliases", ["Bob", 5], "a list of texts"),
    (Fact, "source", 5, "a text or None"),
    (Fact, "content", 5, "a text"),
    (Document, "title", 5, "a text or None"),
]


@pytest.mark.parametrize(
    ("model", "name", "value", "wanted"), WRONG, ids=[f"{m.__name__}.{n}" for m, n, *_ in WRONG]
)
def test_a_value_of_another_kind_is_refused(db, model, name, value, wanted):
    """As by users' own models: when it is set, and when many are changed at once."""
    chat = db.create_chat(title="Trip")
    chat.add_message("Hello", sender="Ann")
    db.create_node({"label": "Entity", "properties": {"label": "Paris", "aliases": []}})
    db.remember("Ann lives in Oslo", source="call")
    db.add_document("Oslo.", title="Note", count_tokens=lambda text: 1)
    lsn = db.stats()["lsn"]
    found = model.where().on(db).first()
    pattern = re.escape(f"It has to be {wanted}")
    with pytest.raises(InvalidInput, match=pattern):
        setattr(found, name, value)
    with pytest.raises(InvalidInput, match=pattern):
        found[name] = value
    assert not found.changed
    with pytest.raises(InvalidInput, match=rf"{model.__name__}\.{name} is .*{pattern}"):
        model.where().on(db).update(**{name: value})
    with db.transaction() as tx, pytest.raises(InvalidInput, match=pattern):
        model.where().on(tx).update(**{name: value})
    assert db.stats()["lsn"] == lsn


def test_new_objects_take_no_values_of_another_kind(db):
    chat = db.create_chat()
    for make, problem in (
        (lambda: db.create_chat(title=5), "title of the chat is 5"),
        (lambda: db.create_chat(topic=["Paris"]), "topic of the chat"),
        (lambda: chat.add_message("x", parts=5), "parts of message 0 is 5"),
        (lambda: chat.add_message("x", parts=["x"]), "parts of message 0"),
        (lambda: chat.add_message("x", tool_calls=[5]), "tool_calls of message 0"),
        (
            lambda: chat.add_messages([{"content": "x"}, {"content": "x", "id": 5}]),
            "id of message 1",
        ),
        (lambda: db.add_document("x", title=5, count_tokens=len), "title of the document is 5"),
        (lambda: db.remember("x", sender=5), "sender of the fact is 5"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            make()
    assert db.count() == 1


def test_values_that_fit_are_taken(db):
    chat = db.create_chat(title="Trip")
    message = chat.add_message("Hello", sender="Ann", mood="glad")
    message.sender, message.metadata, message.tool_calls = None, {"lang": "de"}, [{"id": "c"}]
    message.timestamp = datetime(2024, 5, 1, tzinfo=UTC)
    message.parts = [{"type": "text", "text": "Hello"}]
    message["mood"] = 5  # what the class does not declare may be anything
    del message["role"]
    message.save()
    assert (message.sender, message.role, message.mood) == (None, "user", 5)
    assert Message.where().on(db).update(sender="Bob", mood=["calm"], metadata=DELETE) == 1
    message.refresh()
    assert (message.sender, message.mood, message.metadata) == ("Bob", ["calm"], None)
    with pytest.raises(InvalidInput, match="kept by the database"):
        Message.where().on(db).update(chat_id="other")
