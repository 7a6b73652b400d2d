"""A question in plain words finds what it is about, and says what it was taken to mean.

The scores themselves are held to their formulas in `test_search_matches_reference.py`.
"""

import inspect
import math
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from embedded_db import (
    EmbeddedDB,
    InvalidQuery,
    ModelUnavailable,
    NotFound,
    Snapshot,
    Timeout,
    Transaction,
)

WORDS_ALONE = {"semantic": 0}


def at(month, day, hour=12, year=2023):
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def chats(db):
    """Two days of two people, and a chat of others."""
    first = db.create_chat(id="first", title="Alice and Bob")
    first.add_messages(
        [
            {"content": "How was the support group?", "sender": "Alice", "timestamp": at(5, 8)},
            {"content": "It helped me a lot", "sender": "Bob", "timestamp": at(5, 8)},
            {"content": "I painted a lake", "sender": "Alice", "timestamp": at(7, 3)},
            {"content": "I adopted a dog", "sender": "Bob", "timestamp": at(7, 3)},
        ]
    )
    second = db.create_chat(id="second", title="Strangers")
    second.add_messages(
        [
            {"content": "The lake was cold", "sender": "José Díaz", "timestamp": at(7, 4)},
            {"content": "A dog barked", "sender": "王小明", "timestamp": at(9, 9)},
        ]
    )
    return db


def asked(db, text, *args, **options):
    return db.search(text, *args, weights=WORDS_ALONE, **options)


def contents(results):
    return [result.node.content for result in results]


def test_a_question_finds_its_answer(chats):
    results = asked(chats, "What did Bob adopt?")
    assert contents(results)[0] == "I adopted a dog"
    assert results.analysis["profile"] == "conversation"
    assert results.analysis["terms"] == ["bob", "adopt"]
    assert results.analysis["names"] == ["Bob"]
    assert results.analysis["embedded"] is None, "meaning has no weight"
    shares = results[0].shares
    assert list(shares) == [
        "text",
        "semantic",
        "neighbors",
        "session",
        "sender",
        "date",
        "question",
    ]
    assert sum(shares.values()) == pytest.approx(results[0].score)
    assert results[0].text_score > 0
    assert results[0].ranks == {"text": 1}
    assert results[0].to_dict()["shares"] == shares


def test_an_answer_is_found_beside_the_words(chats):
    """The turn after the one that asked holds none of the words."""
    found = contents(asked(chats, "the support group", profile="window"))
    assert "It helped me a lot" in found[:2]


def test_chats_restrict(chats):
    first = chats.get_node("first")
    everywhere = set(contents(asked(chats, "lake")))
    assert {"I painted a lake", "The lake was cold"} <= everywhere
    for chat in ("first", first, ["first"], [first], ("first",), {"first"}):
        assert all(result.node.chat_id == "first" for result in asked(chats, "lake", chat))
    both = asked(chats, "lake", ["first", "second"])
    assert set(contents(both)) == everywhere
    for wrong in ([], 5, [None], "", [""]):
        with pytest.raises(InvalidQuery, match="chat"):
            asked(chats, "lake", wrong)


def test_a_chat_that_does_not_exist_is_not_found(chats):
    chats.create_node({"id": "ann", "label": "Person"})
    chats.create_chat(id="empty")
    assert len(asked(chats, "lake", "empty")) == 0
    gone = chats.create_chat()
    gone.delete()
    for chat in ("nope", ["first", "nope"], gone, "ann", chats.get_node("ann")):
        with pytest.raises(NotFound, match="no chat has the id") as raised:
            asked(chats, "lake", chat)
        assert raised.value.id in ("nope", gone.id, "ann")
        assert "check the id" in raised.value.hint
    with chats.snapshot() as early:
        chats.create_chat(id="late")
        with pytest.raises(NotFound, match="late"):
            asked(early, "lake", "late")
        chats.delete_node("first")
        assert len(asked(early, "lake", "first")) > 0
    with pytest.raises(NotFound, match="first"):
        asked(chats, "lake", "first")
    with pytest.raises(NotFound, match="second"):
        asked(chats.namespace("other"), "lake", "second")


def test_who_is_no_candidate_is_no_name(chats):
    assert asked(chats, "What did José see?", "first").analysis["names"] == []
    assert asked(chats, "What did JOSE's dog do?", "second").analysis["names"] == ["José Díaz"]
    assert asked(chats, "王小明的狗").analysis["names"] == ["王小明"]
    assert asked(chats, "josé díaz").analysis["names"] == ["José Díaz"]
    assert asked(chats, "Bobby and malice").analysis["names"] == []


def test_everything_else_of_a_query_restricts_too(chats):
    bobs = [{"property": "sender", "operator": "Equals", "value": "Bob"}]
    assert {r.node.sender for r in asked(chats, "dog", structural_filters=bobs)} == {"Bob"}
    late = [{"property": "timestamp", "operator": "GreaterThan", "value": at(7, 1)}]
    assert contents(asked(chats, "lake", "first", structural_filters=late)) == [
        "I painted a lake",
        "I adopted a dog",
    ]
    reached = {"start": "second", "edge_types": ["CONTAINS"], "direction": "out"}
    found = asked(chats, "lake", graph_filter=reached)
    assert {r.node.chat_id for r in found} == {"second"}
    assert {r.graph_distance for r in found} == {1}
    with pytest.raises(NotFound):
        asked(chats, "lake", graph_filter={"start": "nowhere"})


@pytest.mark.parametrize(
    ("question", "dates", "first"),
    [
        ("What happened on 8 May?", ["8 May"], {"first"}),
        ("What happened on May 8th, 2023?", ["8 May 2023"], {"first"}),
        ("what was in september", ["September"], {"second"}),
        ("on 2023-09-09", ["9 September 2023"], {"second"}),
        ("lake, on 4 July", ["4 July"], {"second"}),
        ("What happened on the 3rd of July?", ["3 July"], {"first"}),
        ("May I ask of the lake", [], {"first", "second"}),
    ],
)
def test_dates(chats, question, dates, first):
    results = asked(chats, question)
    assert results.analysis["dates"] == dates
    assert results[0].node.chat_id in first
    if dates:
        assert results[0].shares["date"] >= 0.5
        off = chats.search(question, weights={**WORDS_ALONE, "date": 0.0}, profile="window")
        assert all(result.shares["date"] == 0 for result in off)


def test_days_are_counted_from_now(db, clock):
    # At noon: no midnight comes in between.
    now = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12)
    clock.move(round((now - datetime.now(UTC)).total_seconds()))
    db.create_message("old", "we met", sender="Ann", timestamp=now - timedelta(days=300))
    db.create_message("new", "we met", sender="Ann", timestamp=now - timedelta(days=1))
    assert asked(db, "who met yesterday")[0].node.chat_id == "new"
    assert asked(db, "who met last week").analysis["dates"][0].count(" to ") == 1


def test_weights(chats):
    question = "What did Bob adopt in July?"
    whole = asked(chats, question)[0]
    assert min(whole.shares[part] for part in ("text", "session", "sender", "date")) > 0
    for part in ("text", "session", "sender", "date"):
        found = chats.search(question, weights={**WORDS_ALONE, part: 0.0})
        assert all(result.shares[part] == 0 for result in found)
    double = chats.search(question, weights={**WORDS_ALONE, "date": 2.0})[0]
    assert double.shares["date"] == pytest.approx(2 * whole.shares["date"])


def test_what_is_wrong_is_named(chats):
    with pytest.raises(InvalidQuery, match="profile") as raised:
        chats.search("lake", profile="conversations")
    assert "'conversation'" in str(raised.value)
    with pytest.raises(InvalidQuery, match="plain"):
        chats.search("lake", profile="associative")
    with pytest.raises(InvalidQuery, match="sesion") as raised:
        chats.search("lake", weights={"sesion": 1.0})
    assert "'session'" in str(raised.value)
    for weight in (-1, math.nan, math.inf, True, "much", None, 1e9):
        with pytest.raises(InvalidQuery, match="weights"):
            chats.search("lake", weights={"text": weight})
    for text in ("", "  \n", None, 5, b"lake"):
        with pytest.raises(InvalidQuery, match="text"):
            chats.search(text)
    for limit in (0, -1, 10_001, 1.5):
        with pytest.raises(InvalidQuery, match="limit"):
            chats.search("lake", limit=limit)
    with pytest.raises(InvalidQuery, match="structural_filters"):
        chats.search("lake", structural_filters="x")
    with pytest.raises(Timeout):
        asked(chats, "lake", timeout=0.0)


def test_without_a_model_words_alone_answer(chats):
    with pytest.raises(ModelUnavailable, match="semantic"):
        chats.search("lake")
    assert len(asked(chats, "lake")) > 0
    assert asked(chats, "lake").pending == 0


@pytest.mark.parametrize("profile", ["auto", "conversation", "window", "plain"])
def test_odd_questions(chats, profile):
    """Words that say little alone are looked for; what holds no word finds nothing."""
    assert "It helped me a lot" in contents(
        asked(chats, "me?", profile=profile, labels=["Message"])
    )
    for text in ("???", "😀", "\0", "zzz", "'s", "of", "\u202e", "-" * 1000):
        assert len(asked(chats, text, profile=profile)) == 0
    assert len(asked(chats, "Bob", profile=profile)) > 0


def test_facts_documents_and_declared_texts_are_found_beside_messages(chats):
    chats.declare_label("Recipe", text=["steps"])
    chats.create_node({"label": "Recipe", "properties": {"steps": "Fish from the lake, fried"}})
    chats.create_node({"label": "Note", "properties": {"steps": "No text of the lake is declared"}})
    fact = chats.remember("Alice fears every lake")
    chats.add_document("The lake is forty metres deep.", title="Waters")
    results = asked(chats, "lake")
    assert results.analysis["profile"] == "conversation"
    texts = [result.node.get("content") or result.node.get("steps") for result in results]
    assert set(texts) > {
        "I painted a lake",
        "The lake was cold",
        "Alice fears every lake",
        "The lake is forty metres deep.",
        "Fish from the lake, fried",
    }
    assert "No text of the lake is declared" not in texts
    found = next(result for result in results if result.node.id == fact.id)
    assert found.shares["text"] > 0, "its words count"
    assert found.shares["session"] > 0, "and count again, for it is its own session"
    messages = asked(chats, "lake", labels=["Message"])
    assert messages.analysis["profile"] == "conversation", "one fact does not make it plain"
    assert contents(asked(chats, "lake", labels=["Fact"], profile="window")) == [fact.content]
    fact.delete()
    assert fact.id not in [result.node.id for result in asked(chats, "lake")]


def test_profiles_of_their_own_accord(chats):
    chats.create_node({"label": "Entity", "properties": {"label": "Lake Geneva"}})
    assert asked(chats, "lake").analysis["profile"] == "conversation"
    assert asked(chats, "lake", labels=["Message"]).analysis["profile"] == "conversation"
    entities = asked(chats, "lake", labels=["Entity"])
    assert entities.analysis["profile"] == "plain"
    assert [result.node.label for result in entities] == ["Lake Geneva"]
    assert list(entities[0].shares) == ["text", "semantic"]
    mixed = asked(chats, "lake", labels=["Entity", "Message"])
    assert mixed.analysis["profile"] == "plain"
    assert len(mixed) == 3
    assert len(asked(chats, "lake", profile="plain")) == 3
    assert len(asked(chats, "lake", labels=["Entity"], profile="window")) == 0
    assert len(asked(chats, "lake", labels=["Nothing"])) == 0
    with EmbeddedDB(":memory:", ml=None) as empty:
        assert len(asked(empty, "lake")) == 0
        assert len(asked(empty, "lake", profile="window")) == 0


def test_an_instant_stays_as_it_was(chats):
    """What is written after a snapshot shows in none of its parts: words, names, sessions."""
    question = "What did Bob and Zoe say of the dog?"
    before = [(r.node.id, r.score) for r in asked(chats, question)]
    with chats.snapshot() as early:
        chats.create_message("first", "A dog, a dog!", sender="Zoe", timestamp=at(7, 3, 13))
        chats.delete_node(before[0][0])
        now = asked(chats, question)
        assert now.analysis["names"] == ["Bob", "Zoe"]
        assert now[0].node.sender == "Zoe"
        for _ in range(2):
            then = asked(early, question)
            assert [(r.node.id, r.score) for r in then] == before
            assert then.analysis["names"] == ["Bob"]
        with chats.snapshot() as late:
            assert [(r.node.id, r.score) for r in asked(late, question)] == [
                (r.node.id, r.score) for r in now
            ]


def test_a_transaction_asks_the_instant_of_its_beginning(chats):
    question = "What did Bob and Zoe say of the dog?"
    before = [(r.node.id, r.score) for r in asked(chats, question)]
    with chats.transaction() as tx:
        tx.create_node({"label": "Note"})
        chats.create_message("first", "A dog, a dog!", sender="Zoe", timestamp=at(7, 3, 13))
        found = asked(tx, question, ["first", "second"], limit=10)
        assert [(r.node.id, r.score) for r in found] == before
        found[0].node["seen"] = True
        found[0].node.save()
    assert chats.get_node(before[0][0])["seen"] is True


@pytest.mark.parametrize("name", ["search", "query", "execute_query", "count_matching"])
def test_whatever_can_be_asked_is_asked_alike(name):
    signatures = {
        inspect.signature(getattr(kind, name)) for kind in (EmbeddedDB, Snapshot, Transaction)
    }
    assert len(signatures) == 1


def test_namespaces_know_nothing_of_each_other(chats):
    other = chats.namespace("other")
    other.create_message("first", "Zoe has a dog", sender="Zoe")
    assert contents(asked(other, "dog")) == ["Zoe has a dog"]
    assert asked(other, "What did Bob adopt?").analysis["names"] == []
    assert asked(chats, "What did Zoe adopt?").analysis["names"] == []
    chats.drop_namespace("other")
    with pytest.raises(NotFound):
        asked(other, "dog")


def test_meaning_is_that_of_the_question_without_names(woven, model):
    woven.create_message("c", "Paris in spring", sender="Carol")
    woven.create_message("c", "Rust is quick", sender="Dave")
    woven.flush(timeout=60)
    model.embedded.clear()
    results = woven.search("Carol's spring", explain=True)
    assert model.embedded == {"spring": 1}
    assert results.analysis["embedded"] == "spring"
    assert results[0].node.sender == "Carol"
    assert results[0].similarity_score is not None
    assert results.plan["analysis"] == results.analysis
    assert {"question", "words", "vectors", "score"} <= {s["step"] for s in results.plan["steps"]}
    assert woven.search("spring").plan is None
    with woven.snapshot() as snapshot:
        assert [(r.node.id, r.score) for r in snapshot.search("Carol's spring")] == [
            (r.node.id, r.score) for r in results
        ]


def test_what_is_not_embedded_yet_is_counted_and_awaited(woven, model):
    woven.create_message("c", "Paris in spring", sender="Carol")
    woven.flush(timeout=60)
    model.fail("raise", containing="autumn", times=1)
    woven.create_message("c", "London in autumn", sender="Carol")
    woven.create_message("d", "Berlin in autumn", sender="Dave")
    results = woven.search("spring", "c", wait=60.0)
    assert results.pending == 0
    assert {result.similarity_score is None for result in results} == {False}


def test_a_model_that_fails_is_an_error(woven, model):
    woven.create_message("c", "Paris in spring", sender="Carol")
    woven.flush(timeout=60)
    for how in ("raise", "nan", "wrong_shape"):
        model.fail(how, containing="winter")
        with pytest.raises(Exception, match=r"winter|embedding|fails|finite|numbers"):
            woven.search("winter")
        model.recover()
    assert len(woven.search("winter")) == 1


def test_the_best_stay_the_best_however_many_are_asked_for(db):
    chat = db.create_chat(id="long")
    chat.add_messages(
        [{"content": f"word{n % 7} item{n} word{n % 3}", "sender": f"S{n % 5}"} for n in range(900)]
    )
    question = "word1 word2 item77 S3"
    few = [r.node.id for r in asked(db, question, limit=5)]
    assert [r.node.id for r in asked(db, question, limit=100)][:5] == few
    assert len(asked(db, question, limit=900)) == 900


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "(a+)+$" * 20_000,
        " ".join(f"word{n}" for n in range(10_000)),
        "June 5 " * 10_000,
        "Alice " * 20_000,
        "8 of " * 20_000,
        "é\u0301" * 50_000,
        "'" * 100_000,
        "2023-" * 20_000,
    ],
    ids=lambda text: text[:10],
)
def test_no_question_takes_long(chats, text):
    begun = time.thread_time()  # at work: waiting for a processor is no fault of the search
    for profile in ("conversation", "window", "plain"):
        asked(chats, text, profile=profile)
    assert time.thread_time() - begun < 10.0


def test_searches_beside_writes_see_whole_states(db):
    """Each write is one chat of three turns; whoever searches sees it whole or not at all."""
    stop = threading.Event()
    wrong = []

    def search():
        while not stop.is_set():
            found = asked(db, "needle", limit=1000)
            by_chat = {}
            for result in found:
                by_chat.setdefault(result.node.chat_id, set()).add(result.node.id)
            wrong.extend(chat for chat, ids in by_chat.items() if len(ids) != 3)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(60):
        chat = db.create_chat(id=f"chat{number}")
        chat.add_messages(
            [{"content": text, "sender": "Ann"} for text in ("before", "a needle", "after")]
        )
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(asked(db, "needle", limit=1000)) == 180
