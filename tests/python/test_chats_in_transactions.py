"""Chats, messages, facts and documents in a transaction are those of the same calls outside of it.

They are all there at its commit, or none of them. Until then the transaction sees them where they
will be, and what it gave belongs to it; from then on it belongs to the database.
"""

# ruff: noqa: PT012 - a conflict shows at the end of the block, which is the point

import contextlib
import re
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import (
    AlreadyExists,
    Conflict,
    DbError,
    EdgeModel,
    EmbeddedDB,
    Entity,
    Fact,
    Field,
    InvalidInput,
    Message,
    NodeModel,
    NotFound,
)


class Person(NodeModel, label="Person"):
    name: str
    age: int | None = None


class Knows(EdgeModel, type="KNOWS"):
    since: int = 2000


def words(text):
    return len(text.split())


def contents(chat, **arguments):
    return [message.content for message in chat.messages(**arguments)]


class Never(Exception):
    """What ends a block that is to leave nothing."""


# ---------------------------------------------------------------------- all or nothing


def everything(tx):
    """Every kind of write, each by the object that the transaction gave."""
    chat = tx.create_chat("Trip", topic="Paris", id="chat")
    first = chat.add_message("To Paris?", sender="Ann", id="m1")
    tx.create_message(chat, "Gladly!", sender="Bob", id="m2")
    chat.add_messages([{"content": "When?", "id": "m3"}, {"content": "In May", "id": "m4"}])
    tx.create_message("made", "by its first message", id="m5")
    old = tx.remember("Bob lives in Oslo", source=first, id="f1", about=chat)
    tx.remember("Bob lives in Rome", supersedes=old, id="f2")
    tx.add_document("One. Two.", title="Note", id="doc", max_tokens=1, count_tokens=words)
    ann, bob = Person(id="ann", name="Ann"), Person(id="bob", name="Bob")
    tx.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
    tx.add(Person(id="eve", name="Eve"))
    return chat


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


# ---------------------------------------------------------------------- what one sees within


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


# ---------------------------------------------------------------------- one call, all or nothing


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


# ---------------------------------------------------------------------- whose the objects are


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


# ---------------------------------------------------------------------- context and vectors


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
    woven.flush(timeout=30)
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
    woven.flush(timeout=30)
    assert message.embedding() is not None


# ---------------------------------------------------------------------- beside others


def test_many_add_to_one_chat_and_nobody_has_to_wait(db):
    """No attempt is in vain, and the messages of one transaction stay together, in order."""
    chat = db.create_chat(id="chat")
    failed = []

    def work(who):
        try:
            for n in range(10):
                with db.transaction() as tx:
                    tx.create_message("chat", f"{who} {n} a", sender=who)
                    tx.get_node("chat").add_messages([{"content": f"{who} {n} b", "sender": who}])
                    tx.get_node("chat").add_message(f"{who} {n} c", sender=who)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    said = contents(chat)
    assert len(said) == 90
    for at in range(0, 90, 3):
        who, n, _ = said[at].split()
        assert said[at : at + 3] == [f"{who} {n} {which}" for which in "abc"]
    message, chain = next(iter(chat.messages())), []
    while message is not None:
        chain.append(message.content)
        message = message.next
    assert chain == said
    assert db.verify()["ok"]


def test_two_that_supersede_one_fact(db):
    old = db.remember("Ann lives in Oslo")
    with pytest.raises(Conflict), db.transaction() as tx:
        tx.remember("Ann lives in Rome", supersedes=old)
        other = db.remember("Ann lives in Bonn", supersedes=old)
    old.refresh()
    assert old.superseded_by == other.id
    assert db.count("Fact") == 2


# ---------------------------------------------------------------------- the same as outside

IDS = ["one", "two", "three", "four"]
ids = st.sampled_from(IDS)
call = st.one_of(
    st.tuples(st.just("create_chat"), ids),
    st.tuples(st.just("create_message"), ids, ids),
    st.tuples(st.just("add_messages"), ids, st.lists(ids, max_size=2)),
    st.tuples(st.just("remember"), ids, ids | st.none(), ids | st.none()),
    st.tuples(st.just("add_document"), ids),
    st.tuples(st.just("add_all"), st.lists(ids, max_size=2), ids, ids),
    st.tuples(st.just("forget"), ids),
    st.tuples(st.just("forget_source"), ids),
    st.tuples(st.just("save"), ids),
)


def do(where, name, *given):
    """Make a call on a database or a transaction; say what became of it."""
    try:
        if name == "create_chat":
            where.create_chat(f"chat {given[0]}", id=given[0])
        elif name == "create_message":
            where.create_message(given[0], f"says {given[1]}", id=given[1], sender="Ann")
        elif name == "add_messages":
            drafts = [{"content": "said", "id": id, "role": "assistant"} for id in given[1]]
            found = where.get_node(given[0])
            if found is None or "Chat" not in found.labels:
                return None
            return [message.id for message in found.add_messages(drafts)]
        elif name == "remember":
            id, about, old = given
            source = where.get_node(about) if about else None
            where.remember(
                "a fact",
                id=id,
                about=[about] if about else [],
                source=source or f"source {id}",
                supersedes=[old] if old else [],
            )
        elif name == "add_document":
            text = "First part.\n\nSecond part."
            where.add_document(
                text, id=given[0], source="source one", max_tokens=2, count_tokens=words
            )
        elif name == "add_all":
            people = [Person(id=id, name=id) for id in given[0]]
            where.add_all([*people, Knows(source=given[1], target=given[2])])
        elif name == "forget":
            return where.forget(given[0])
        elif name == "forget_source":
            return where.forget(source=f"source {given[0]}")
        elif name == "save":
            found = where.get_node(given[0])
            if isinstance(found, Message):
                found.content += "!"
                found.save()
    except DbError as error:
        # Several objects of one kind are a batch outside, which counts its items.
        return type(error), re.sub(r"^item \d+: ", "", str(error))
    return None


def dumped(db):
    """What is stored, told by the ids that were given, or by labels and texts."""
    names, nodes, edges = {}, [], []
    for node in db.nodes():
        node = getattr(node, "_node", node)
        properties = {key: value for key, value in node.properties.items() if key != "timestamp"}
        name = node.id if node.id in IDS else f"{node.labels} {properties.get('content')}"
        names[node.id] = name
        nodes.append((name, node.labels, properties, node.version))
    for id in names:
        edges += [
            (edge.type, names[edge.source], names[edge.target], edge.derived)
            for edge in db.edges(id)
        ]
    return sorted(map(repr, nodes)), sorted(edges)


@settings(max_examples=40)
@given(st.lists(call, min_size=1, max_size=12), st.integers(1, 12))
def test_a_transaction_does_what_the_same_calls_do_outside(calls, size):
    with EmbeddedDB(":memory:", ml=None) as db, EmbeddedDB(":memory:", ml=None) as other:
        for start in range(0, len(calls), size):
            with other.transaction() as tx:
                for one in calls[start : start + size]:
                    assert do(tx, *one) == do(db, *one)
                    for id in IDS:
                        within, outside = tx.get_node(id), db.get_node(id)
                        assert (within is None) == (outside is None)
                        if within is not None and "Chat" in within.labels:
                            assert contents(within) == contents(outside)
            assert dumped(other) == dumped(db)
        assert other.verify()["ok"]


def test_a_transaction_and_a_database_take_the_same_arguments():
    import inspect

    from embedded_db import Transaction

    for name in ("create_chat", "create_message", "add_document", "remember", "add", "add_all"):
        of = [inspect.signature(getattr(kind, name)) for kind in (EmbeddedDB, Transaction)]
        assert of[0] == of[1], name
    of = [inspect.signature(kind.neighbors).parameters for kind in (EmbeddedDB, Transaction)]
    assert len({tuple((p.name, p.kind, p.default) for p in each.values()) for each in of}) == 1
    assert {"limit", "after", "valid_at", "known_at"} <= of[0].keys()


@pytest.mark.parametrize("messages", [None, 5, Never])
def test_messages_are_a_list(db, messages):
    chat = db.create_chat(id="chat")
    with pytest.raises(InvalidInput, match=r"^the messages are .*Give a list of dicts"):
        chat.add_messages(messages)
    with db.transaction() as tx:
        chat = tx.get_node("chat")
        with pytest.raises(InvalidInput, match=r"^the messages are .*Give a list of dicts"):
            chat.add_messages(messages)
        chat.add_message("kept")
        assert contents(chat, limit=10**30) == ["kept"]
    assert contents(chat, limit=10**30) == ["kept"]


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
        woven.flush(timeout=30)
        assert woven.count("Entity") == 0
    woven.flush(timeout=30)
    assert sorted(entity.label for entity in message.entities()) == ["Alice", "Bob", "Paris"]
    assert message.status.embedding == "ready"
    assert [entity.label for entity in Entity.where(Entity.label == "Paris").on(woven)] == ["Paris"]
