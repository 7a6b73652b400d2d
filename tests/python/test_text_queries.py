"""A query in the syntax finds the texts that say so, all of them and no others.

Each answer is compared with the plain way: every text is cut into words and looked at, whether it
has just been written, was changed, or lies in a file since long.
"""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import ConvergedQuery, EmbeddedDB, Highlight, InvalidQuery, Message
from harness.waiting import eventually

WORDS = ["rust", "Rusty", "performance", "performs", "perfect", "low", "latency", "lake", "laek"]
STEMS = {"performance": "perform", "performs": "perform", "latency": "latenc", "rusty": "rusti"}


def stem(word: str) -> str:
    return STEMS.get(word.lower(), word.lower())


def edits(a: str, b: str) -> int:
    """Optimal string alignment."""
    table = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(
                table[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
            )
            if i > 1 and j > 1 and a[i - 2 : i] == b[j - 1] + b[j - 2]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


# A clause: how it is written, and whether the words of a text match.
Clause = tuple[str, object]


def word(word):
    return word, lambda words: any(stem(word) == stem(own) for own in words)


def phrase(words):
    wanted, size = [stem(word) for word in words], len(words)

    def holds(text):
        stems = [stem(word) for word in text]
        return any(stems[at : at + size] == wanted for at in range(len(stems)))

    return f'"{" ".join(words)}"', holds


def prefix(beginning):
    return f"{beginning}*", lambda words: any(own.lower().startswith(beginning) for own in words)


def fuzzy(word, most):
    asked = {word.lower(), stem(word)}
    return f"{word}~{most}", lambda words: any(
        edits(way, stem(own)) <= most for way in asked for own in words
    )


def both(one, other):
    return f"({one[0]} AND {other[0]})", lambda words: one[1](words) and other[1](words)


def either(one, other):
    return f"({one[0]} OR {other[0]})", lambda words: one[1](words) or other[1](words)


def without(one, other):
    return f"({one[0]} NOT {other[0]})", lambda words: one[1](words) and not other[1](words)


LEAF = st.one_of(
    st.sampled_from(WORDS).map(word),
    st.lists(st.sampled_from(WORDS), min_size=2, max_size=3).map(phrase),
    st.sampled_from(["r", "per", "perf", "performa", "performs", "la", "lowest"]).map(prefix),
    st.builds(fuzzy, st.sampled_from(WORDS), st.integers(1, 2)),
)
CLAUSE = st.recursive(
    LEAF,
    lambda inner: st.one_of(*(st.builds(join, inner, inner) for join in (both, either, without))),
    max_leaves=5,
)
TEXT = st.lists(st.sampled_from(WORDS), max_size=6)
CHANGE = st.tuples(st.integers(0, 11), st.none() | TEXT)


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(CHANGE, max_size=40), clauses=st.lists(CLAUSE, min_size=1, max_size=4))
def test_random_texts_and_queries(changes, clauses):
    texts: dict[str, list[str]] = {}
    with EmbeddedDB(":memory:", ml=None) as db:
        db.declare_label("Note", text=["title", "body"])
        for number, words in changes:
            key = f"n{number}"
            if words is None:
                if texts.pop(key, None) is not None:
                    db.delete_node(key)
            elif key in texts:
                db.update_node(key, {"body": " ".join(words)})
                texts[key] = words
            else:
                properties = {"title": "", "body": " ".join(words)}
                db.create_node({"id": key, "label": "Note", "properties": properties})
                texts[key] = words
        for query, holds in clauses:
            found = db.query(text_query={"query": query}, limit=100)
            expected = {key for key, words in texts.items() if holds(words)}
            assert {result.node.id for result in found} == expected, query
            scores = [result.score for result in found]
            assert scores == sorted(scores, reverse=True)
            few = db.query(text_query={"query": query}, limit=2)
            assert [r.node.id for r in few] == [r.node.id for r in found][:2]
            for result in found:
                for highlight in result.highlights:
                    marked = [highlight.text[a:b] for a, b in highlight.spans]
                    assert all(one in WORDS for one in marked)


def test_texts_in_files_and_after_them(path):
    chance = random.Random(7)
    texts = {
        f"m{n}": [chance.choice(WORDS) for _ in range(chance.randrange(1, 8))] for n in range(6000)
    }

    def check(db):
        for query, holds in [
            both(word("rust"), phrase(["low", "latency"])),
            without(prefix("performa"), word("lake")),
            either(fuzzy("lake", 1), phrase(["rust", "rust", "rust"])),
            without(fuzzy("lake", 2), phrase(["rust", "low"])),
        ]:
            found = db.query(text_query={"query": query}, limit=10_000, explain=True)
            expected = {key for key, words in texts.items() if holds(words)}
            assert {result.node.id for result in found} == expected, query

    with EmbeddedDB(path, ml=None) as db:
        rows = [{"id": key, "content": " ".join(words)} for key, words in texts.items()]
        db.create_chat().add_messages(rows)
        check(db)
        eventually(lambda: list(path.glob("gen-*/segments/sessions-*")) or None, "files of texts")
    with EmbeddedDB(path, ml=None) as db:
        check(db)
        for n in range(0, 300, 3):
            texts[f"m{n}"] = ["rust", "low", "latency", "latency"]
            db.update_node(f"m{n}", {"content": "Rust: low latency! Latency?"})
        for n in range(1, 300, 3):
            del texts[f"m{n}"]
            db.delete_node(f"m{n}")
        check(db)
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        check(reader)


def contents(db, query, **more):
    return [result.node.content for result in db.query(text_query={"query": query}, **more)]


def test_the_same_in_every_form(db):
    db.create_chat().add_messages(
        [{"content": "Rust has low latency"}, {"content": "Low is the latency of Java"}]
    )
    query = '+latency "low latency" -java'
    expected = ["Rust has low latency"]
    assert contents(db, query) == expected
    value = ConvergedQuery(text_query={"query": query, "k1": 1.2, "b": 0.75})
    again = ConvergedQuery.from_dict(value.to_dict())
    assert again == value
    assert again.to_dict()["text_query"] == {"query": query, "k1": 1.2, "b": 0.75}
    assert [result.node.content for result in db.execute_query(again)] == expected
    fluent = Message.where().on(db).matching(query=query)
    assert [message.content for message in fluent] == expected
    with db.snapshot() as snapshot:
        assert contents(snapshot, query) == expected


def test_words_of_text_have_no_syntax(db):
    db.create_chat().add_messages([{"content": "lake"}, {"content": "NOT and lake"}])
    for text in ("NOT lake", '"lake', "(lake", "lake~9", "-lake"):
        assert len(db.query(text_query={"text": text})) == 2, text


def test_a_phrase_ends_with_its_text(db):
    db.declare_label("Book", text=["title", "tags"])
    properties = {"title": "On low", "tags": ["latency", "high hopes"]}
    db.create_node({"label": "Book", "properties": properties})
    for query, count in [('"low latency"', 0), ('"latency high"', 0), ('"high hopes"', 1)]:
        assert len(db.query(text_query={"query": query})) == count, query


def test_limits_and_filters_hide_nothing(db):
    chat = db.create_chat()
    chat.add_messages(
        [{"content": f"in the {'lake' if n % 10 else 'the in'} {n}", "sender": f"s{n % 4}"}
         for n in range(400)]
    )  # fmt: skip
    query = {"query": '"the in" NOT 20'}
    assert len(db.query(text_query=query, limit=100)) == 39
    by_s2 = [{"property": "sender", "operator": "Equals", "value": "s2"}]
    assert len(db.query(text_query=query, structural_filters=by_s2, limit=15)) == 15
    assert len(db.query(text_query=query, structural_filters=by_s2, limit=100)) == 20
    pages, cursor = [], None
    while True:
        page = db.query(text_query=query, limit=7, after=cursor)
        pages += [result.node.id for result in page]
        cursor = page.cursor
        if cursor is None:
            break
    assert len(pages) == len(set(pages)) == 39


def test_the_plan_tells_what_was_opened_and_read(db):
    db.create_chat().add_messages([{"content": text} for text in ("perform", "perfect", "lake")])
    plan = db.query(text_query={"query": 'perf* OR "lake of"'}, explain=True).plan
    [step] = [step for step in plan["steps"] if step["step"] == "text"]
    assert "perf* is 2 terms" in step["detail"]
    assert "texts may match" in step["detail"]


def test_k1_and_b_change_the_order(db):
    db.create_chat().add_messages(
        [{"content": "lake"}, {"content": "lake lake lake fog fog fog fog fog"}]
    )

    def first(**parameters):
        return db.query(text_query={"text": "lake", **parameters})[0].node.content

    assert first(k1=0.9, b=0.0).startswith("lake lake")
    assert first(k1=0.9, b=1.0) == "lake"
    scores = [r.text_score for r in db.query(text_query={"text": "lake", "k1": 0})]
    assert scores[0] == pytest.approx(scores[1])
    for bad in ({"k1": -1}, {"b": 1.5}, {"k1": float("nan")}, {"b": "x"}):
        with pytest.raises(InvalidQuery, match=next(iter(bad))):
            first(**bad)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("rust AND", 8),
        ('é 👍 "low', 2),
        ('rust "low', 5),
        ("(rust", 0),
        ("rust)", 4),
        ("-java", 0),
        ("rust OR -java", 8),
        ("pe*rf", 2),
        ("colour~3", 6),
        ("low-lat*", 0),
        ("a " * 300, 512),
    ],
)
def test_mistakes_are_named_by_their_place(db, query, place):
    with pytest.raises(InvalidQuery, match=f"at character {place}: "):
        db.query(text_query={"query": query})
    with pytest.raises(InvalidQuery, match=f"at character {place}: "):
        ConvergedQuery(text_query={"query": query})


def test_a_leg_is_of_one_kind(db):
    for leg in ({}, {"text": "a", "query": "b"}, {"query": " "}, {"query": 3}, {"words": "a"}):
        with pytest.raises(InvalidQuery, match="text_query"):
            db.query(text_query=leg)


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("🦀🦀 Rust’s 👩‍👩‍👧 lakes", "rust lake", ["Rust’s", "lakes"]),
        ("un cafe\u0301 noir", "café", ["cafe\u0301"]),
        ("one\r\nlow\r\nlatency", '"low latency"', ["low", "latency"]),
        ("low latency, low", '"low latency"', ["low", "latency"]),
        ("e\u0301\u0301 perfectly 漢字 performing", "perf*", ["perfectly", "performing"]),
        ("recieve", "receive~1", ["recieve"]),
        ("state-of-the-art", '"of the"', ["of", "the"]),
        ("ﬁne lines", "fine", ["ﬁne"]),
    ],
)
def test_spans_count_code_points(db, text, query, marked):
    db.create_chat().add_message(text, sender="Ann")
    [result] = db.query(text_query={"query": query})
    [highlight] = result.highlights
    assert (highlight.property, highlight.item, highlight.text) == ("content", None, text)
    assert [text[begin:end] for begin, end in highlight.spans] == marked


def test_highlights_of_words_lists_and_other_legs(db):
    db.declare_label("Book", text=["title", "tags"])
    properties = {"title": "The lake", "tags": ["fog", "by lakes", 3]}
    db.create_node({"label": "Book", "properties": properties})
    [result] = db.query(text_query={"text": "the lake"})
    assert result.highlights == [
        Highlight("title", None, "The lake", ((4, 8),)),
        Highlight("tags", 1, "by lakes", ((3, 8),)),
    ]
    [result] = db.query(labels=["Book"])
    assert result.highlights == []
    db.create_chat().add_message("lake", sender="Lake")
    [found] = db.search("lake", labels=["Message"], weights={"semantic": 0})
    assert [highlight.property for highlight in found.highlights] == ["sender", "content"]


@given(
    words=st.lists(st.sampled_from(["lake", "fog", "🦀", "e\u0301", "\r\n"]), max_size=40),
    length=st.integers(1, 60),
)
def test_snippets_are_parts_of_the_text(words, length):
    text = " ".join(words)
    spans = tuple((m.start(), m.end()) for m in re.finditer("lake", text))
    snippet = Highlight("content", None, text, spans).snippet(length, before="[", after="]")
    plain = snippet.replace("[", "").replace("]", "")
    assert plain.removeprefix("…").removesuffix("…") in text
    assert len(plain.strip("…")) <= max(length, 4)
    if spans:
        assert "[lake]" in snippet
    if len(text) <= length:
        assert snippet == text.replace("lake", "[lake]")
