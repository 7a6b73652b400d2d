"""What a transaction gave belongs to it, and from its commit on to the database."""

# ruff: noqa: PT012 - a conflict shows at the end of the block, which is the point

import contextlib

import pytest

from embedded_db import Conflict, InvalidInput

from .shared import Knows, Never, Person, contents, everything


def test_objects_go_over_to_the_database(db):
    with db.transaction() as tx:
        chat = everything(tx)
        message, fact = tx.get_node("m1"), tx.get_node("f1")
        document = tx.get_node("doc")
        eve = tx.get(Person, "eve")
        knows = tx.add(Knows(source="eve", target="ann"))
        chat["language"] = "de"  # not saved
    for held in (chat, message, fact, document):
        stored = db.get_node(held.id)
        assert (held.version, held.created_at) == (stored.version, stored.created_at)
        assert held.updated_at == stored.updated_at
    assert message == db.get_node("m1")
    assert (chat["language"], chat.changed) == ("de", True), "what was not saved still is not"
    chat.save()
    assert chat.add_message("Bon voyage").previous.id == "m4"
    message.content = "To Rome?"
    message.save()
    assert db.get_node("m1").content == "To Rome?"
    assert document.text == "One. Two."
    assert [fact.id for fact in fact.about()] == ["chat"]
    eve.age, knows.since = 3, 2021
    eve.save()
    knows.save()
    assert (db.get(Person, "eve").age, db.get_edge(knows.id)["since"]) == (3, 2021)
    assert knows.recorded_at == db.get_edge(knows.id).recorded_at
    chat.delete()
    assert db.get_node("m1") is None


def test_what_others_do_after_the_commit_is_not_overwritten(db):
    with db.transaction() as tx:
        chat = tx.create_chat("Trip", id="chat")
        stale = tx.get_node("chat")
        chat.title = "Journey"
        chat.save()
    db.update_node("chat", {"topic": "Paris"})
    for held in (chat, stale):
        held.title = "mine"
        with pytest.raises(Conflict):
            held.save()
    # An object that was outdated within the transaction is so behind it.
    with db.transaction() as tx:
        one, two = tx.get_node("chat"), tx.get_node("chat")
        one.title = "One"
        one.save()
    two.title = "Two"
    with pytest.raises(Conflict):
        two.save()
    one.title = "Three"
    one.save()
    assert db.get_node("chat").title == "Three"
    # One that was deleted and made anew under its id is another.
    with db.transaction() as tx:
        held = tx.create_chat(id="again")
    held.delete()
    db.create_chat(id="again")
    held.title = "x"
    with pytest.raises(Conflict):
        held.save()


def test_what_was_only_read_goes_over_too(db):
    chat = db.create_chat(id="chat")
    chat.add_message("one", id="m")
    with db.transaction() as tx:
        message = tx.get_node("m")
        [found] = tx.query(labels=["Message"])
        results = tx.query(labels=["Chat"])
    message.content = "two"
    message.save()
    assert results[0].node.add_message("three").previous.id == "m"
    with pytest.raises(Conflict):
        found.node["mood"] = "glad"
        found.node.save()


def test_what_is_iterated_over_after_the_commit_has_gone_over(db):
    with db.transaction() as tx:
        chat = everything(tx)
        of_another = tx.remember("older", id="f0")
        newer = tx.remember("newer", supersedes=of_another)
        given = {
            "m1": chat.messages(),
            "m4": chat.messages(newest_first=True),
            "m2": tx.neighbors("m1", "NEXT"),
            "f0": newer.supersedes(),
            "chat": tx.get_node("f1").about(),
        }
    for id, objects in given.items():
        held, stored = next(objects), db.get_node(id)
        assert (held, held.created_at) == (stored, stored.created_at)
        assert (held.updated_at, held.get("timestamp")) == (
            stored.updated_at,
            stored.get("timestamp"),
        )
    message = next(given["m1"])
    assert message.id == "m2"
    db.delete_node("m2")
    db.create_message("chat", "another", id="m2")
    message["mood"] = "glad"
    with pytest.raises(Conflict):
        message.save()
    assert "mood" not in db.get_node("m2")


@pytest.mark.parametrize("end", ["exception", "conflict"])
def test_after_a_rollback_objects_can_only_be_looked_at(db, end):
    db.create_chat("before", id="kept")
    with contextlib.suppress(Never, Conflict), db.transaction() as tx:
        chat = tx.create_chat("Trip")
        message = chat.add_message("Hello")
        kept = tx.get_node("kept")
        ann = tx.add(Person(id="ann", name="Ann"))
        if end == "exception":
            raise Never
        db.update_node("kept", {"topic": "x"})
    assert (chat.title, message.content, kept.title, ann.name) == ("Trip", "Hello", "before", "Ann")
    kept.title = "after"
    for use in (
        lambda: chat.add_message("x"),
        lambda: chat.messages(),
        lambda: kept.save(),
        lambda: kept.refresh(),
        lambda: message.delete(),
        lambda: message.chat,
        lambda: ann.delete(),
    ):
        with pytest.raises(InvalidInput, match="has ended. Read an object .* again"):
            use()
    assert (db.get_node("kept").title, db.count()) == ("before", 1)
    # An object of one's own can be stored after all.
    assert db.add(ann) is ann
    ann.age = 3
    ann.save()


def test_a_function_that_is_run_again_gives_the_objects_of_its_last_run(db):
    db.create_node({"id": "n", "label": "Counter", "properties": {"n": 0}})
    runs = []

    def work(tx):
        runs.append(tx.create_chat(f"run {len(runs)}"))
        n = tx.get_node("n")["n"]
        if len(runs) < 3:
            db.update_node("n", {"n": n + 1})
        tx.update_node("n", {"n": n + 1})
        return runs[-1]

    chat = db.run(work)
    assert (len(runs), chat.title, [found.id for found in db.nodes("Chat")]) == (
        3,
        "run 2",
        [chat.id],
    )
    chat.add_message("Hello")
    with pytest.raises(InvalidInput):
        runs[0].add_message("Hello")


def test_objects_of_the_database_stay_outside(db):
    chat = db.create_chat(id="chat")
    with pytest.raises(Never), db.transaction() as tx:
        chat.add_message("outside")
        tx.create_message(chat, "inside")
        raise Never
    assert contents(chat) == ["outside"]
