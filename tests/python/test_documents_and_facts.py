"""Documents are kept in parts that are the text, facts with where they are from.

Both are found as messages are; both can be forgotten by where they came from, with all that was
derived from them.
"""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import (
    AlreadyExists,
    ConvergedQuery,
    Document,
    EmbeddedDB,
    Fact,
    InvalidInput,
    Message,
    NotFound,
    Part,
)
from embedded_db.splitting import split


def words(text):
    return len(text.split())


# --- splitting ------------------------------------------------------------------------------------

prose = st.lists(
    st.sampled_from(
        [
            "Alice",
            "met",
            "Bob.",
            "Dr. ",
            "e.g. ",
            "\n\n",
            "\n",
            " ",
            "\uff01",
            "a" * 30,
            "🙂",
            "“Hi!”",
        ]
    ),
    max_size=60,
).map(" ".join)


@given(text=prose | st.text(), most=st.integers(1, 12), count=st.sampled_from([words, len]))
def test_the_parts_are_the_text_and_fit(text, most, count):
    spans = split(text, most, count)
    if not text.strip():
        assert spans == []
        return
    assert spans[0].start == 0
    assert spans[-1].end == len(text)
    assert all(a.end == b.start for a, b in pairwise(spans))
    for start, end in spans:
        if count is words:
            assert text[start:end].strip()
        assert start < end
        assert count(text[start:end]) <= most


def cut(text, most):
    return [text[start:end].strip() for start, end in split(text, most, words)]


def test_parts_end_where_a_reader_would_end_them():
    assert cut("One two. Three four. Five six.", 4) == ["One two. Three four.", "Five six."]
    assert cut("Mr. Lee met Dr. No. They left at 5.30 p.m. today.", 6) == [
        "Mr. Lee met Dr. No.",
        "They left at 5.30 p.m. today.",
    ]
    assert cut("One two three.\n\nFour five. Six seven.", 5) == [
        "One two three.",
        "Four five. Six seven.",
    ]
    assert cut("- first item\n- second item\n- third", 3) == [
        "- first item",
        "- second item",
        "- third",
    ]
    assert cut("one two three four five", 2) == ["one two", "three four", "five"]
    assert [end - start for start, end in split("x" * 25, 10, len)] == [10, 10, 5]
    assert [end - start for start, end in split("我爱你。你好吗\uff1f很好\uff01", 4, len)] == [
        4,
        4,
        3,
    ]


def test_a_character_too_dear_is_named():
    with pytest.raises(InvalidInput, match="'a'.*max_tokens"):
        split("abc", 1, lambda text: 2 * len(text))


@pytest.mark.usefixtures("real_models")
def test_parts_by_the_models_tokens(db):
    from embedded_db.token_count import count_tokens

    text = " ".join(f"Sentence number {n} says something about subject {n}." for n in range(200))
    document = db.add_document(text)
    sizes = [count_tokens(part.content) for part in document.parts()]
    assert max(sizes) <= 200
    assert min(sizes[:-1]) > 150
    assert document.text == text


# --- documents ------------------------------------------------------------------------------------

TEXT = "Alice founded the firm in Paris.\n\nBob joined in London. Carol never did."


def test_a_document_is_found_by_its_parts(woven):
    document = woven.add_document(
        TEXT, title="History", source="https://example.org/h", max_tokens=6, count_tokens=words,
        metadata={"lang": "en"}, pages=3,
    )  # fmt: skip
    assert isinstance(document, Document)
    assert isinstance(woven.get_node(document.id), Document)
    assert (document.title, document.source) == ("History", "https://example.org/h")
    assert (document.metadata, document["pages"]) == ({"lang": "en"}, 3)
    assert document.text == TEXT
    parts = list(document.parts())
    assert [type(part) for part in parts] == [Part] * 3
    assert [TEXT[part.start : part.end] for part in parts] == [part.content for part in parts]
    assert [part.next for part in parts] == [*parts[1:], None]
    assert parts[2].previous == parts[1]
    assert parts[0].document == parts[0].chat == document
    woven.flush(timeout=60)
    assert [part.status.embedding for part in parts] == ["ready"] * 3
    assert {entity.label for entity in parts[1].entities()} == {"Bob", "London"}
    assert parts[0].similar(limit=1)[0].node.id in {part.id for part in parts[1:]}
    [found] = woven.query(text_query={"text": "firm"}, labels=["Part"])
    assert found.node == parts[0]
    assert "Alice" in document.summary().text
    assert [part.id for part in Part.where(Part.chat_id == document.id)]
    document.delete()
    woven.flush(timeout=60)
    assert woven.count() == 0, "parts, entities and the summary go with it"
    assert woven.verify()["ok"]


def test_all_or_nothing(db):
    for text in ("", " \n", None, 7):
        with pytest.raises(InvalidInput, match="document"):
            db.add_document(text)
    with pytest.raises(InvalidInput, match="max_tokens"):
        db.add_document("x", max_tokens=0)
    db.add_document("x", id="doc", count_tokens=words)
    with pytest.raises(AlreadyExists):
        db.add_document("One. Two. Three.", id="doc", max_tokens=1, count_tokens=words)
    with pytest.raises(InvalidInput):
        db.add_document("One. Two.", bad=object(), count_tokens=words)
    assert (db.count(), db.count_edges()) == (2, 1)
    with db.transaction() as tx:
        db.add_document("beside", count_tokens=words)
        tx.create_node({"label": "Other"})
    assert db.count("Document") == 2


def test_nodes_of_a_users_own_may_be_called_so(db):
    for label in ("Document", "Part", "Fact"):
        id = db.create_node({"label": label})
        assert not isinstance(db.get_node(id), Message | Document)


def test_a_long_document_is_stored_at_once(db):
    text = "\n\n".join(f"Paragraph {n} has a few words. It ends here." for n in range(2_000))
    document = db.add_document(text, max_tokens=10, count_tokens=words)
    assert sum(1 for _ in document.parts()) == 2_000
    assert document.text == text
    assert db.verify()["ok"]


# --- facts ----------------------------------------------------------------------------------------


def test_a_fact_knows_where_it_is_from_and_what_it_is_about(woven):
    chat = woven.create_chat()
    message = chat.add_message("I moved to Berlin", sender="Alice")
    ann, firm = woven.create_nodes([{"label": "Person"}, {"label": "Firm"}])
    fact = woven.remember("Alice lives in Berlin", source=message, about=[ann, firm], certain=0.9)
    assert isinstance(fact, Fact)
    assert fact.source == message.id
    assert [node.id for node in woven.neighbors(fact, "DERIVED_FROM")] == [message.id]
    assert [node.id for node in fact.about()] == [ann, firm]
    assert fact["certain"] == 0.9
    assert fact.current
    woven.flush(timeout=60)
    assert {entity.label for entity in fact.entities()} == {"Alice", "Berlin"}
    assert fact.status.embedding == "ready"
    assert Fact.where(Fact.source == message.id).first() == fact
    assert Fact.where().matching("berlin").first() == fact
    with pytest.raises(NotFound, match="no chat"):
        fact.chat  # noqa: B018
    assert woven.verify()["ok"]


def test_a_new_fact_takes_the_place_of_an_old_one(db):
    old = db.remember("Ann lives in Oslo", id="old")
    new = db.remember("Ann lives in Bergen", supersedes="old", source="letter")
    old.refresh()
    assert (old.current, old.superseded_by) == (False, new.id)
    assert [fact.content for fact in new.supersedes()] == ["Ann lives in Oslo"]
    assert list(Fact.where(Fact.superseded_by.missing())) == [new]
    with pytest.raises(InvalidInput, match=f"old.*{new.id}"):
        db.remember("Ann lives in Rome", supersedes=old)
    message = db.create_message("chat", "x")
    with pytest.raises(InvalidInput, match="no fact"):
        db.remember("x", supersedes=message)
    for wrong in ({"about": "nobody"}, {"supersedes": ["nobody"]}):
        with pytest.raises(NotFound, match="nobody"):
            db.remember("x", **wrong)
    for text in ("", None):
        with pytest.raises(InvalidInput, match="fact"):
            db.remember(text)
    assert db.count("Fact") == 2


@pytest.fixture(params=["database", "transaction"])
def keep(request, db):
    """Call a method of the database, or of a transaction that is committed then."""

    def call(name, *given, **arguments):
        if request.param == "database":
            return getattr(db, name)(*given, **arguments)
        with db.transaction() as tx:
            return getattr(tx, name)(*given, **arguments)

    return call


def test_a_fact_and_a_document_have_the_time_that_is_given(db, keep):
    told = datetime(2000, 1, 1, tzinfo=UTC)
    assert keep("remember", "x", id="f", timestamp=told).timestamp == told
    document = keep("add_document", "One. Two.", max_tokens=1, count_tokens=words, timestamp=told)
    assert [part.timestamp for part in document.parts()] == [told, told]
    assert db.get_node("f").timestamp == document["timestamp"] == told
    assert keep("remember", "y").timestamp > datetime.now(UTC) - timedelta(hours=1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"timestamp": datetime(2000, 1, 1)}, "no time zone"),
        ({"timestamp": "2000-01-01"}, "timestamp of the fact is '2000-01-01'"),
        ({"timestamp": 5}, "timestamp of the fact is 5"),
        ({"content": "y"}, "content of the fact cannot be given.* the fact itself"),
        ({"superseded_by": "nobody"}, "superseded_by of the fact .* kept by the database"),
    ],
)
def test_what_a_fact_cannot_be_told_with(db, keep, arguments, match):
    with pytest.raises(InvalidInput, match=match):
        keep("remember", "x", **arguments)
    assert db.count() == 0


@pytest.mark.parametrize(
    ("timestamp", "match"),
    [(datetime(2000, 1, 1), "no time zone"), ("now", "the document is 'now'")],
)
def test_a_document_has_a_time_that_is_one(db, keep, timestamp, match):
    with pytest.raises(InvalidInput, match=match):
        keep("add_document", "One.", count_tokens=words, timestamp=timestamp)
    assert db.count() == 0


def current(db):
    return {fact.id for fact in Fact.where(Fact.superseded_by.missing()).on(db)}


def agree(db):
    """What a fact says of who took its place is true, and is what the edges say."""
    for fact in db.nodes("Fact"):
        after = list(db.neighbors(fact.id, "SUPERSEDES", "in"))
        assert [each.id for each in after] == [fact.superseded_by] * (not fact.current)
    assert db.verify()["problems"] == []


FORGET = {
    "forget": lambda db, id: db.forget(id),
    "its source": lambda db, id: db.forget(source=f"of {id}"),
    "delete_node": lambda db, id: db.delete_node(id),
    "the object": lambda db, id: db.get_node(id).delete(),
    "transaction": lambda db, id: db.run(lambda tx: tx.delete_node(id)),
    "matching": lambda db, id: db.delete_matching(
        ConvergedQuery(
            structural_filters=[{"property": "source", "operator": "Equals", "value": f"of {id}"}]
        )
    ),
}


@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
def test_what_a_forgotten_fact_took_the_place_of_is_current_again(db, forget):
    for id, before in (("a", ()), ("b", "a"), ("c", "b"), ("other", ()), ("d", ["c", "other"])):
        db.remember(f"fact {id}", id=id, source=f"of {id}", supersedes=before)
    assert current(db) == {"d"}
    # One in the middle: what it replaced is no truer for that.
    forget(db, "b")
    assert (current(db), db.get_node("a").superseded_by) == ({"d"}, "c")
    assert [fact.id for fact in db.get_node("c").supersedes()] == ["a"]
    agree(db)
    forget(db, "d")
    assert current(db) == {"c", "other"}
    agree(db)
    # It can be superseded once more.
    db.remember("fact e", id="e", source="of e", supersedes="other")
    forget(db, "c")
    assert current(db) == {"a", "e"}
    # The older one takes nothing along.
    forget(db, "other")
    assert current(db) == {"a", "e"}
    agree(db)


def test_forgetting_a_source_undoes_what_it_said(db):
    db.remember("Ann lives in Oslo", id="old", source="letter")
    db.remember("Ann lives in Rome", id="lie", source="gossip", supersedes="old")
    db.remember("Ann lives in Bonn", id="more", source="gossip", supersedes="lie")
    version = db.get_node("old").version
    assert db.forget(source="gossip") == 2
    assert current(db) == {"old"}
    assert db.get_node("old").version > version
    agree(db)


def test_edges_of_a_users_own_make_nothing_current(db):
    db.create_nodes([{"id": id, "label": "Law"} for id in ("one", "two")])
    db.update_node("one", {"superseded_by": "somebody else"})
    db.create_edge({"source": "two", "target": "one", "type": "SUPERSEDES"})
    db.create_edge({"source": "two", "target": "two", "type": "SUPERSEDES"})
    db.delete_node("two")
    assert db.get_node("one").properties == {"superseded_by": "somebody else"}
    assert db.verify()["problems"] == []


def test_one_of_two_takes_the_place(db):
    old = db.remember("old")
    results = []

    def replace():
        try:
            results.append(db.remember("new", supersedes=old))
        except InvalidInput as error:
            results.append(error)

    threads = [threading.Thread(target=replace) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(result) for result in results].count(Fact) == 1
    assert db.count("Fact") == 2


# --- forgetting -----------------------------------------------------------------------------------


def test_forgetting_takes_what_was_derived(woven):
    letter = "letter of May"
    woven.remember("Alice met Bob", source=letter)
    woven.add_document("Alice and Carol went to Paris.", source=letter, count_tokens=words)
    kept = woven.remember("Bob met Dave", source="other")
    woven.flush(timeout=60)
    assert woven.forget(source=letter) == 3, "a fact, a document and its part"
    woven.flush(timeout=60)
    assert {entity.label for entity in kept.entities()} == {"Bob", "Dave"}
    assert woven.count("Entity") == 2
    assert woven.count("Message") == 1
    assert woven.forget(source=letter) == 0
    assert woven.forget(kept) == 1
    woven.flush(timeout=60)
    assert woven.count() == 0
    with pytest.raises(NotFound):
        woven.forget(kept.id)
    assert woven.verify()["ok"]


def test_forgetting_a_namespace(db):
    user = db.namespace("user-1")
    user.remember("one")
    user.create_message("chat", "two")
    kept = db.remember("kept")
    assert db.forget(namespace="user-1") == 3
    assert "user-1" not in db.namespaces()
    assert db.get_node(kept.id) == kept
    with pytest.raises(NotFound, match="user-2"):
        db.forget(namespace="user-2")
    assert "user-2" not in db.namespaces()


@pytest.mark.parametrize(
    ("arguments", "given"), [({}, "nothing"), ({"id": "a", "source": "b"}, "id and source")]
)
def test_forget_wants_one_thing(db, keep, arguments, given):
    with pytest.raises(InvalidInput, match=rf"^forget was given {given}\. Give one of id, source"):
        keep("forget", **arguments)


def test_forgetting_much(db):
    db.create_nodes([{"label": "Note", "properties": {"source": "bulk"}} for _ in range(10_050)])
    assert db.forget(source="bulk") == 10_050
    assert db.count() == 0


@given(text=prose.filter(str.strip))
def test_any_document_is_its_parts(text):
    with EmbeddedDB(":memory:", ml=None) as db:
        document = db.add_document(text, max_tokens=3, count_tokens=words)
        assert document.text == text


def test_a_fact_cannot_take_its_own_place(db):
    with pytest.raises(InvalidInput, match="own place"):
        db.remember("Ann lives in Oslo", id="ann", supersedes="ann")
    assert not db.exists("ann")
