"""A name that does not exist is answered with the call that was meant.

Whatever else asks an object for names (copies, notebooks, mocks) is answered as by any other
object, and what exists is never hidden.
"""

import copy
import re
from unittest import mock

import pytest

import embedded_db
from embedded_db import Batch, Chat, EmbeddedDB, Message, Result, Results, Snapshot, Transaction
from embedded_db.guesses import (
    CHAT,
    DATABASE,
    MESSAGE,
    RESULT,
    RESULTS,
    TRANSACTION,
    Guessing,
)

CLASSES = {
    "db": EmbeddedDB,
    "tx": Transaction,
    "chat": Chat,
    "message": Message,
    "result": Result,
    "results": Results,
}
TABLES = [
    (EmbeddedDB, DATABASE),
    (Transaction, TRANSACTION),
    (Chat, CHAT),
    (Message, MESSAGE),
    (Result, RESULT),
    (Results, RESULTS),
]
CALL = re.compile(r"\b(db|tx|chat|message|results?)\.([a-z]\w*)")


@pytest.mark.parametrize(("cls", "guesses"), TABLES, ids=lambda each: getattr(each, "__name__", ""))
def test_every_guess_leads_to_what_exists(cls, guesses):
    for name, instead in guesses.items():
        assert not hasattr(cls, name), f"{name} exists: it is no guess"
        for owner, called in CALL.findall(instead):
            assert hasattr(CLASSES[owner], called), f"{name}: {owner}.{called} does not exist"


@pytest.fixture
def objects(db):
    """One object of each class that guesses."""
    chat = db.create_chat()
    message = chat.add_message("Hello")
    results = db.query(text_query={"text": "hello"})
    with db.snapshot() as snapshot, db.transaction() as tx, db.batch() as batch:
        yield [db, snapshot, tx, batch, results, results[0], chat, message]


def test_guesses_are_answered(objects):
    db, snapshot, tx, batch, results, result, chat, message = objects
    for owner, name, said in [
        (db, "get_chat", r"EmbeddedDB has no 'get_chat'\. Use this: db\.get_node\(id\)"),
        (db, "chats", r"db\.nodes\(label\)"),
        (db, "messages", r"db\.nodes"),
        (db, "delete", r"db\.delete_node\(id\)"),
        (db, "create_nod", r"Did you mean 'create_node'"),
        (db, "colour", r"help\(\)"),
        (tx, "insert", r"tx\.create_node\(.*tx\.add\(obj\)"),
        (tx, "delete", r"tx\.delete_node\(id\)"),
        (tx, "create_nodes", r"tx\.create_node\({…}\) for each"),
        (tx, "stats", r"about what is committed: use db\.stats"),
        (snapshot, "create_node", r"Snapshot has no 'create_node'\. A snapshot only reads: use db"),
        (batch, "query", r"only writes.*use db\.query"),
        (batch, "create_nod", r"'create_node'"),
        (chat, "add", r"Chat 'chat_.*' has no property 'add'\. Use this: chat\.add_message"),
        (chat, "tilte", r"'title'"),
        (message, "text", r"message\.content"),
        (results, "first", r"results\[0\]"),
        (result, "content", r"result\.text"),
        (result, "scores", r"'score'"),
    ]:
        with pytest.raises(AttributeError, match=said) as caught:
            getattr(owner, name)
        assert caught.value.name == name
        assert not hasattr(owner, name)
        assert getattr(owner, name, "default") == "default"


def test_what_others_ask_of_any_object(objects):
    asked = ["__array_interface__", "_repr_png_", "_ipython_display_", "__array__", "_x"]
    for each in objects:
        for name in asked:
            assert not hasattr(each, name)
        # Asked of a copy that is not filled yet.
        shell = type(each).__new__(type(each))
        assert not hasattr(shell, "__setstate__")
        assert type(copy.copy(each)) is type(each)
        assert mock.create_autospec(type(each), instance=True) is not None


def test_a_property_that_fails_says_so_itself(db):
    class Odd(EmbeddedDB):
        @property
        def mood(self):
            return [].nothing

    with Odd(":memory:", ml=None) as odd, pytest.raises(AttributeError, match="'list' object"):
        _ = odd.mood


def test_public_classes_that_users_hold_guess():
    for cls in (EmbeddedDB, Transaction, Snapshot, Batch, Results, Result):
        assert issubclass(cls, Guessing)
    assert embedded_db.SearchResults._guesses is RESULTS
