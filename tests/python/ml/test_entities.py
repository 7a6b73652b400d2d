"""Names are found in sloppy chat as well as in clean text, and offsets are always right."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db.ml import Functions
from embedded_db.ml.head import LABELS, TAGS, Head, best_tags
from embedded_db.ml.rules import RULE_LABELS


def found(functions: Functions, text: str) -> list[tuple[str, str]]:
    return [(each["text"], each["label"]) for each in functions.extract_entities(text)]


MET = [("Alice", "PERSON"), ("Bob", "PERSON"), ("Paris", "GPE")]


@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_people_and_places_in_any_casing(functions: Functions, change: Any) -> None:
    expected = [(change(name), label) for name, label in MET]
    assert found(functions, change("Alice met Bob in Paris")) == expected


@pytest.mark.parametrize(
    "line",
    [
        *("Okay.", "Roger that.", "I'm so excited!", "Thanks!", "", "   ", "\r\n", "…", "🚆", "I"),
        *("Yes, I will.", "Sure", "How are you?", "Good morning", "The weather is nice"),
        *("See you on Monday", "What did you do in June?", "It works. Nice!", "Absolutely"),
        "Can you send the report by Friday?",
        "Wow, that's amazing!",
        "Mark it as done",
        "The database is slow",
        "My kids are so excited about summer break!",
    ],
)
def test_chat_lines_without_names(functions: Functions, line: str) -> None:
    assert found(functions, line) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Hey Mel! Good to see you!", [("Mel", "PERSON")]),
        ("i live in new york", [("new york", "GPE")]),
        ("Who is the CEO of Microsoft?", [("Microsoft", "ORG")]),
        ("@bob can you look at this?", [("@bob", "HANDLE")]),
        ("email bob@example.com please", [("bob@example.com", "EMAIL")]),
        ("Ich wohne in München", [("München", "GPE")]),
        ("Caroline joined in May", [("Caroline", "PERSON")]),
        ("lunch with Jose\u0301 🚆 today", [("Jose\u0301", "PERSON")]),
        ("ask Anna\r\nor Peter", [("Anna", "PERSON"), ("Peter", "PERSON")]),
    ],
)
def test_chat_lines_with_names(
    functions: Functions, line: str, expected: list[tuple[str, str]]
) -> None:
    assert found(functions, line) == expected


PIECES = [
    *("Alice", "bob", "Paris", "NEW YORK", "Jose\u0301", "İstanbul", "Zoë", "O'Brien", "U.S."),
    *("שלום", "דניאל", "محمد", "東京", "мария", "ﬁona", "Straße", "@bob", "#Berlin", "a@b.c"),
    *("met", "in", ".", ",", '"', "(", "👩\u200d👩\u200d👧", "🇫🇷", "❤\ufe0f", "[SEP]", "\x00", "_"),
    *(" ", "  ", "\r\n", "\n", "\t", "\u00a0", "\u200b", "\u202e", "\u0301"),
]
messy = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.text(st.characters(codec="utf-8"), max_size=60),
)


@given(st.lists(st.tuples(messy, messy), max_size=6))
def test_offsets_give_the_entity(functions: Functions, batch: list[tuple[str, str]]) -> None:
    texts = [prefix + content for prefix, content in batch]
    starts = [len(prefix) for prefix, _ in batch]
    every = [True] * len(batch)
    _, owner, entities = functions.enrich(texts, starts, every, every)
    assert set(owner.tolist()) == set(range(len(batch)))
    for (_, content), each in zip(batch, entities, strict=True):
        end = 0
        for entity in each:
            assert entity["label"] in (*LABELS, *RULE_LABELS)
            assert end <= entity["start"] < entity["end"] <= len(content)
            assert content[entity["start"] : entity["end"]] == entity["text"]
            assert type(entity["start"]) is int
            end = entity["end"]


@given(st.lists(messy, min_size=1, max_size=6))
def test_a_batch_changes_nothing(functions: Functions, texts: list[str]) -> None:
    every = [True] * len(texts)
    _, _, together = functions.enrich(texts, [0] * len(texts), [False] * len(texts), every)
    assert together == [functions.extract_entities(text) for text in texts]


def test_the_sender_is_not_mentioned(functions: Functions) -> None:
    _, _, entities = functions.enrich(
        ["Alice: I met Bob", "Alice: ok"], [7, 7], [True] * 2, [True] * 2
    )
    assert entities == [[{"text": "Bob", "label": "PERSON", "start": 6, "end": 9}], []]


def test_every_part_of_a_long_text_is_searched(functions: Functions) -> None:
    filler = "and then we talked about the weather and the food for a while . "
    sentence = "Alice met Bob in Paris . "
    text = (sentence + filler * 5) * 30
    entities = functions.extract_entities(text)
    at = {each["start"] for each in entities if each["text"] == "Paris"}
    assert at == {i for i in range(len(text)) if text.startswith("Paris", i)}


def test_one_very_long_word(functions: Functions) -> None:
    assert functions.extract_entities("x" * 5000 + " Alice met Bob")[-1]["text"] == "Bob"


tags_count = len(TAGS)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 4), max_size=5), st.floats(0, 20))
def test_viterbi_finds_the_best_sequence(seed: int, lengths: list[int], outside: float) -> None:
    rng = np.random.default_rng(seed)
    head = random_head(rng)
    scores = rng.normal(size=(sum(lengths), tags_count)).astype(np.float32) * 3
    scores[:, 0] += outside * rng.random(len(scores)).astype(np.float32)
    tags = best_tags(head, scores, lengths)
    at = 0
    for length in lengths:
        if length:
            part = scores[at : at + length]
            got = worth(head, part, tags[at : at + length].tolist())
            best = max(worth(head, part, list(each)) for each in candidates(part, length))
            assert got >= best - 1e-3
        at += length


def candidates(scores: Any, length: int) -> Any:
    """All sequences of up to 3 words; beyond, those over each word's best five tags."""
    if length <= 3:
        return itertools.product(range(tags_count), repeat=length)
    return itertools.product(*(np.argsort(-row)[:5].tolist() for row in scores))


def worth(head: Head, scores: Any, tags: list[int]) -> float:
    total = float(head.begin[tags[0]])
    total += sum(float(scores[i, tag]) for i, tag in enumerate(tags))
    return total + sum(float(head.moves[a, b]) for a, b in itertools.pairwise(tags))


def random_head(rng: np.random.Generator) -> Head:
    none = np.zeros((1, 1), np.float32)
    moves = rng.normal(size=(tags_count, tags_count)).astype(np.float32) * 2
    begin = rng.normal(size=tags_count).astype(np.float32) * 2
    return Head(none, none, none, none[0], none, none[0], moves, begin)
