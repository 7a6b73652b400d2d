"""The context of a chat and the embeddings of messages are those of the transaction that asks."""

# ruff: noqa: PT012 - a conflict shows at the end of the block, which is the point

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, InvalidInput, NotFound

from .shared import Never, words


def shown(context):
    return [message["content"] for message in context]


def test_the_context_is_that_of_the_transaction(db):
    chat = db.create_chat(id="chat")
    chat.add_messages([{"content": text, "id": text} for text in "abc"])
    old = db.remember("d", id="d", chat_id="chat")
    with pytest.raises(Never), db.snapshot() as snapshot, db.transaction() as tx:
        chat.add_message("not seen")
        mine = tx.get_node("chat")
        mine.add_message("e", id="e")
        tx.get_node("a").delete()
        tx.update_node("b", {"content": "B"})
        assert shown(mine.context(count_tokens=len)) == ["B", "c", "d", "e"]
        tx.remember("other", supersedes=old)
        assert shown(mine.context(count_tokens=len)) == ["B", "c", "e"]
        assert shown(mine.context(token_budget=2, count_tokens=len)) == ["c", "e"]
        assert shown(snapshot.get_node("chat").context(count_tokens=len)) == list("abcd")
        new = tx.create_chat("New")
        new.add_message("first")
        assert shown(new.context(count_tokens=len)) == ["first"]
        tx.delete_node("chat")
        with pytest.raises(NotFound, match="chat 'chat'"):
            mine.context(count_tokens=len)
        raise Never


texts = st.lists(st.sampled_from(["rust", "rust is fast", "who?", "a b c d", "tea"]), max_size=12)


@given(texts, st.integers(1, 20), st.sampled_from([None, "rust", "tea"]))
def test_the_context_is_the_same_within_and_outside(said, budget, query):
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat(id="chat")
        roles = ["system", "user", "assistant", "tool"]
        chat.add_messages([{"content": t, "role": roles[n % 4]} for n, t in enumerate(said)])
        arguments = {"query": query, "token_budget": budget, "count_tokens": words}
        outside = chat.context(**arguments)
        with db.transaction() as tx, db.snapshot() as snapshot:
            assert tx.get_node("chat").context(**arguments) == outside
            assert snapshot.get_node("chat").context(**arguments) == outside


def vector(x, y):
    return pytest.approx([x, y])


def test_embeddings_are_those_of_the_transaction(db):
    chat = db.create_chat()
    a, b, c = chat.add_messages([{"content": text, "id": text} for text in "abc"])
    db.set_embeddings([a, b, c], [[1, 0], [0.9, 0.1], [0, 1]])
    with pytest.raises(Never), db.snapshot() as snapshot, db.transaction() as tx:
        db.set_embeddings([a], [[0, 1]])
        mine = tx.get_node("a")
        assert mine.embedding().vector == vector(1, 0)
        assert [found.node.id for found in mine.similar(limit=1)] == ["b"]
        past = snapshot.get_node("a")
        assert past.embedding().vector == vector(1, 0)
        assert [found.node.id for found in past.similar(limit=1)] == ["b"]
        with pytest.raises(NotFound, match="space"):
            mine.embedding("rgb")
        with pytest.raises(NotFound, match='"nobody"'):
            tx.get_embedding_for_node("nobody")
        new = tx.create_message(chat, "new")
        assert new.embedding() is None
        with pytest.raises(NotFound, match="state that it was read from"):
            new.similar()
        tx.create_embedding({"node_id": new, "vector": [0, 1]})
        tx.create_embedding({"node_id": new, "vector": [1, 2, 3], "space": "rgb"})
        assert new.embedding().vector == vector(0, 1)
        assert list(new.embedding("rgb").vector) == [1, 2, 3]
        assert (new.embedding().space, new.embedding().node_id) == ("default", new.id)
        assert [found.node.id for found in new.similar(limit=1)] == ["c"]
        tx.create_embedding({"node_id": "b", "vector": [1, 1], "id": "mine"})
        assert tx.get_node("b").embedding().id == "mine"
        tx.delete_embedding("mine")
        tx.delete_embedding(tx.get_node("c").embedding().id)
        assert tx.get_node("c").embedding() is None
        tx.update_node("a", {"content": "another"})
        assert tx.get_node("a").embedding() is not None, "what a user has set stays"
        tx.delete_node("a")
        tx.create_node({"id": "a", "label": "Message"})
        assert tx.get_node("a").embedding() is None
        with pytest.raises(InvalidInput, match="tells of what is committed"):
            _ = mine.status
        raise Never


def test_a_changed_text_has_no_embedding_in_its_transaction(woven):
    woven.declare_label("Book", embed=["title"])
    book = woven.create_node({"label": "Book", "properties": {"title": "Norway"}})
    message = woven.create_chat().add_message("Alice met Bob", sender="Carol")
    woven.flush(timeout=60)
    with woven.transaction() as tx:
        mine = tx.get_node(message)
        mine["mood"] = "glad"
        mine.save()
        tx.update_node(book, {"pages": 3})
        assert mine.embedding().vector.tolist() == message.embedding().vector.tolist()
        assert tx.get_embedding_for_node(book) is not None
        mine.content = "Alice met Dave"
        mine.save()
        tx.update_node(book, {"title": "Spain"})
        assert mine.embedding() is None
        assert tx.get_embedding_for_node(book) is None
    woven.flush(timeout=60)
    assert message.embedding() is not None
