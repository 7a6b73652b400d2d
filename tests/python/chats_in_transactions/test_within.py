"""A transaction sees chats, messages and facts where they will be, and nobody else sees them."""

import pytest

from embedded_db import AlreadyExists, Fact, InvalidInput, NotFound

from .shared import contents, words


def test_the_transaction_sees_what_it_has_written(db):
    chat = db.create_chat(id="chat")
    chat.add_messages([{"content": text, "id": text} for text in "abc"])
    with db.transaction() as tx:
        mine = tx.get_node("chat")
        d = mine.add_message("d", id="d")
        assert contents(mine) == list("abcd")
        assert contents(mine, newest_first=True) == list("dcba")
        assert contents(mine, after="b", limit=1) == ["c"]
        assert contents(mine, after=d, newest_first=True, limit=2) == ["c", "b"]
        assert d.chat == mine
        assert (d.previous.id, d.next, tx.get_node("c").next.id) == ("c", None, "d")
        tx.get_node("c").delete()
        assert contents(mine) == list("abd")
        assert (d.previous.id, tx.get_node("b").next.id) == ("b", "d")
        d.append("!")
        assert (d.content, tx.get_node("d").content, contents(mine)[-1]) == ("d!", "d!", "d!")
        assert [part.content for part in mine.messages(newest_first=True, limit=1)] == ["d!"]
        with pytest.raises(NotFound, match="no message of chat"):
            mine.messages(after="c")
        with pytest.raises(InvalidInput, match="newest_first"):
            mine.messages(newest_first="yes")
        assert contents(chat) == list("abc"), "outside nothing has happened"
    assert contents(chat) == ["a", "b", "d!"]
    assert db.get_node("d").version == 2


def test_facts_within_a_transaction(db):
    old = db.remember("Ann lives in Oslo", id="old")
    with db.transaction() as tx:
        new = tx.remember("Ann lives in Rome", supersedes="old", source="call", id="new")
        newest = tx.remember("Ann lives in Bonn", supersedes=new, source="call", id="newest")
        assert [tx.get_node(id).superseded_by for id in ("old", "new")] == ["new", "newest"]
        with pytest.raises(InvalidInput, match="superseded by 'new'"):
            tx.remember("Ann lives in Paris", supersedes="old")
        assert tx.forget(new) == 1
        assert tx.get_node("old").superseded_by == "newest", "its heir takes its place"
        assert [fact.id for fact in newest.supersedes()] == ["old"]
        assert tx.forget(source="call") == 1
        assert tx.get_node("old").current
        assert tx.forget(source="call") == 0
    old.refresh()
    assert old.current
    assert list(Fact.where().on(db)) == [old]
    assert db.verify()["ok"]


def test_forgetting_a_source_within_a_transaction(db):
    """What had the source when the transaction began, as far as it still has, and what got it."""
    words_of = {"max_tokens": 2, "count_tokens": words}
    document = db.add_document("One two. Three four.", source="s", id="doc", **words_of)
    kept = db.remember("kept", source="s")
    with db.transaction() as tx:
        tx.update_node(kept, {"source": "t"})
        mine = tx.remember("mine", source="s")
        own = tx.add_document("Five six. Seven eight.", source="s", **words_of)
        moved = tx.remember("moved", source="u")
        tx.update_node(moved, {"source": "s"})
        assert tx.forget(source="s") == 8, "two documents, two parts of each, two facts"
        for gone in (document, mine, own, moved):
            assert tx.get_node(gone) is None
        assert [fact.content for fact in (tx.get_node(kept),)] == ["kept"]
        for arguments in ({}, {"id": kept, "source": "s"}):
            with pytest.raises(InvalidInput, match="forget was given"):
                tx.forget(**arguments)
        with pytest.raises(NotFound):
            tx.forget(document)
    assert [node.id for node in db.nodes()] == [kept.id]


def test_a_chat_that_is_made_by_its_first_message_is_there(db):
    with db.transaction() as tx:
        message = tx.create_message("team", "Hello")
        assert message.chat.id == "team"
        assert message.chat.title is None
        with pytest.raises(AlreadyExists):
            tx.create_chat(id="team")
        person = tx.create_node({"label": "Person"})
        with pytest.raises(InvalidInput, match="no Chat"):
            tx.create_message(person, "Hello")
        tx.delete_node("team")
        assert tx.get_node(message) is None
        tx.create_message("team", "again")
    assert contents(db.get_node("team")) == ["again"]
