"""Texts that would take a careless search for ever, or all memory: they are answered, rightly.

What is asked is taken as words, never as a pattern. The time that a query takes is bounded by its
length and by `timeout`; a test that does not end is ended by its time limit.
"""

from collections.abc import Callable
from typing import Any

import pytest

from embedded_db import EmbeddedDB, InvalidQuery, Timeout
from embedded_db.testing import FakeModel

COUNT = 3000

# Each for a number of words.
BOMBS: dict[str, Callable[[int], str]] = {
    "ten thousand words": lambda _: " ".join(f"word{n}" for n in range(10_000)),
    "ten thousand OR": lambda _: " OR ".join(f"word{n}" for n in range(10_000)),
    "ten thousand AND NOT": lambda _: " AND NOT ".join(f"word{n}" for n in range(10_000)),
    "a megabyte of one word": lambda _: "x" * 1_000_000,
    "one word again and again": lambda many: "common " * many,
    "different words": lambda many: " ".join(f"w{n}" for n in range(many)),
    "a leading wildcard": lambda _: "*ommon",
    "wildcards alone": lambda _: "*" * 10_000,
    "a pattern that backtracks": lambda _: "(a+)+$",
    "what such a pattern meets": lambda _: "a" * 50 + "(a+)+$",
    "nested groups": lambda _: "(" * 50_000 + "a" + ")" * 50_000,
    "quotes": lambda _: '"' * 100_000,
    "an open quote": lambda _: '"word1 common',
    "a field": lambda _: "content:word1",
    "a range": lambda _: "[a TO z]",
    "nearness": lambda _: '"a b"~1000000000',
    "a fuzzy word": lambda _: "word1~9",
    "a boost": lambda _: "word1^1000000000",
    "SQL": lambda _: "'; DROP TABLE nodes; --",
    "a format": lambda _: "{0.__class__} %s %n ${x}",
    "a letter under a million accents": lambda _: "e" + "\u0301" * 1_000_000,
    "marks of direction": lambda _: "\u202e" * 100_000,
    "words without spaces": lambda _: "漢字" * 100_000,
    "emoji": lambda _: "🙂" * 100_000,
    "NUL": lambda _: "word1\0word2",
    "blanks in all the ways": lambda _: "\u3000\u00a0\t\n word1 \u2028",
    "nothing but signs": lambda _: "!!! ??? ---",
}

# Words of the bombs that stand in the texts; all else is no word of them.
WORDS = {f"word{n}" for n in range(COUNT)} | {"common"}


@pytest.fixture(params=BOMBS.values(), ids=BOMBS.keys())
def bomb(request, thorough):
    return request.param(150_000 if thorough else 20_000)


@pytest.fixture(scope="module")
def texts():
    with EmbeddedDB(":memory:", ml=FakeModel(dim=8), warm_up=False) as db:
        db.weaver.pause()
        chat = db.create_chat(id="chat")
        chat.add_messages(
            [{"id": f"m{n}", "content": f"word{n} common {'a' * 40}!"} for n in range(COUNT)]
        )
        yield db


def test_a_text_query_takes_words_as_words(texts, bomb):
    found = texts.query(text_query={"text": bomb}, labels=["Message"], limit=10_000)
    ids = {result.node.id for result in found}
    asked = WORDS & set(bomb.replace("*", " ").split())
    if "common" in asked:
        assert len(ids) == COUNT
    else:
        assert {f"m{word[4:]}" for word in asked} <= ids
    if not any(word in bomb for word in ("word", "common", "a" * 40)):
        assert ids == set()
    assert all(0 < result.text_score < 1e6 for result in found)


def test_a_search_does_too(texts, bomb):
    for weights in ({"semantic": 0}, None):
        found = texts.search(bomb, limit=10, weights=weights)
        assert len(found) <= 10


def test_conditions_compare_texts_as_they_are(texts, bomb):
    for operator in ("Contains", "StartsWith", "EndsWith", "Equals", "In"):
        value: Any = [bomb] if operator == "In" else bomb
        where = [{"property": "content", "operator": operator, "value": value}]
        found = texts.query(structural_filters=where, labels=["Message"], limit=10_000)
        assert len(found) == 0, "no text holds it"
    where = [{"property": "content", "operator": "Contains", "value": "word77 "}]
    assert [r.node.id for r in texts.query(structural_filters=where)] == ["m77"]


def test_they_can_be_stored_and_found_too(texts, bomb):
    id = texts.create_message("bombs", bomb)
    assert texts.get_node(id).content == bomb
    texts.create_message("bombs", f"needle{len(bomb)} {bomb[:1000]}")
    found = texts.query(text_query={"text": f"needle{len(bomb)}"}, labels=["Message"])
    assert len(found) >= 1
    texts.get_node("bombs").delete()
    assert texts.count("Message") == COUNT


def test_a_time_limit_is_kept_whatever_is_asked(texts, bomb):
    for ask in (
        lambda: texts.query(text_query={"text": bomb}, timeout=1e-9),
        lambda: texts.search(bomb, timeout=1e-9),
    ):
        with pytest.raises(Timeout, match="1e-9|0.000000001|took longer") as caught:
            ask()
        assert caught.value.retryable


def test_what_is_too_much_for_a_query_is_named(texts):
    for bad in ("", "   ", "\u3000"):
        with pytest.raises(InvalidQuery, match="text_query"):
            texts.query(text_query={"text": bad})
    wide = {"any": [{"property": "p", "operator": "Equals", "value": n} for n in range(10_000)]}
    assert len(texts.query(structural_filters=[wide], labels=["Message"])) == 0
    with pytest.raises(Timeout):
        texts.query(structural_filters=[wide] * 30, labels=["Message"], timeout=0.05)
    assert texts.verify()["ok"]
