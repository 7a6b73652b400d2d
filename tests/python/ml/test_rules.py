"""What has a form is found by it: addresses, handles, dates, amounts, percentages."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, MLConfig
from embedded_db.ml import Functions
from embedded_db.ml.rules import RULE_LABELS, find

SOME = {
    "Mail ann.b+x@example.co.uk, please": [("ann.b+x@example.co.uk", "EMAIL")],
    "bob@example.com.": [("bob@example.com", "EMAIL")],
    "<müller@bücher.example>": [("müller@bücher.example", "EMAIL")],
    "neither a@b nor @ nor x@y@z nor foo@.com": [],
    "@ann and @bob_2: see @carol.": [
        ("@ann", "HANDLE"),
        ("@bob_2", "HANDLE"),
        ("@carol", "HANDLE"),
    ],
    "no@handle @a.b": [],
    "see https://example.com/a_(b)?c=d#e, or (http://x.example/y).": [
        ("https://example.com/a_(b)?c=d#e", "URL"),
        ("http://x.example/y", "URL"),
    ],
    "www.example.org! http:// www. file:///etc": [("www.example.org", "URL")],
    "https://ann@example.com/mail": [("https://ann@example.com/mail", "URL")],
    "on 2023-05-07T10:00, 7 May 2023 and May 7th, 2023": [
        ("2023-05-07", "DATE"),
        ("7 May 2023", "DATE"),
        ("May 7th, 2023", "DATE"),
    ],
    "the 1st of June, Sept. 5, June 2021, 25.12.20": [
        ("1st of June", "DATE"),
        ("Sept. 5", "DATE"),
        ("June 2021", "DATE"),
        ("25.12.20", "DATE"),
    ],
    "12/25/2020 or 25/12/2020": [("12/25/2020", "DATE"), ("25/12/2020", "DATE")],
    "2023-13-01 1.2.3.4 v2024-01-01x 10:30 99/99/2020 may 5 march 10 yesterday": [],
    "$20, € 1,200.50, £3bn and ₹500": [
        ("$20", "MONEY"),
        ("€ 1,200.50", "MONEY"),
        ("£3bn", "MONEY"),
        ("₹500", "MONEY"),
    ],
    "3 million dollars, 5k USD, 20 bucks, 7 €": [
        ("3 million dollars", "MONEY"),
        ("5k USD", "MONEY"),
        ("20 bucks", "MONEY"),
        ("7 €", "MONEY"),
    ],
    "12.5 % of it, 3 percent, 100%": [
        ("12.5 %", "PERCENT"),
        ("3 percent", "PERCENT"),
        ("100%", "PERCENT"),
    ],
    "$HOME US$ 20 times 5kg v1.2% x50%": [],
    "🎉 pay\r\n€5 to @zoë é@é.fr": [("€5", "MONEY"), ("@zoë", "HANDLE"), ("é@é.fr", "EMAIL")],
}


@pytest.mark.parametrize("text", SOME)
def test_what_has_a_form_is_found(text: str) -> None:
    assert [(text[begin:end], label) for begin, end, label in find(text)] == SOME[text]


PIECES = [
    *" @.,:/-()$€%1a5é",
    "@ann",
    "may ",
    "May ",
    "7th",
    "2023",
    "http://",
    "www.",
    "x.y",
    "\n",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)), st.integers(0, 20))
def test_any_text_has_spans_in_order(text: str, start: int) -> None:
    spans = find(text, min(start, len(text)))
    for begin, end, label in spans:
        assert min(start, len(text)) <= begin < end <= len(text)
        assert label in RULE_LABELS
        assert not text[begin].isspace()
        assert not text[end - 1].isspace()
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_what_stands_before_the_start_is_not_searched(text: str) -> None:
    assert find(f"{text} {'x'} ", len(text) + 1) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "piece",
    ["a", "@", "1", "1,", "a@", "a.", "$", "jan ", "1 ", "http://", "(", "www.", "1/", "%", "é@é."],
)
def test_long_texts_end_soon(piece: str) -> None:
    find(piece * (600_000 // len(piece)))
    find("http://" + piece * (600_000 // len(piece)) + ")" * 200_000)


def test_names_and_forms_stand_side_by_side(functions: Functions) -> None:
    text = "Alice paid $20 to @bob on May 7, 2023. Mail alice@example.com in Paris"
    found = functions.extract_entities(text)
    assert [(it["text"], it["label"]) for it in found] == [
        ("Alice", "PERSON"),
        ("$20", "MONEY"),
        ("@bob", "HANDLE"),
        ("May 7, 2023", "DATE"),
        ("alice@example.com", "EMAIL"),
        ("Paris", "GPE"),
    ]
    assert all(text[it["start"] : it["end"]] == it["text"] for it in found)
    prefixed = functions.enrich(["@ann: see @bob"], [6], [False], [True])[2]
    assert [(it["text"], it["start"]) for it in prefixed[0]] == [("@bob", 4)]


def test_a_database_knows_them(real_models: None) -> None:
    with EmbeddedDB(":memory:", ml=MLConfig()) as db:
        message = db.create_message("chat", "Alice, mail bob@example.com before 2024-05-07")
        db.flush(timeout=120)
        types = {entity.label: entity.entity_type for entity in message.entities()}
        assert types == {"Alice": "PERSON", "bob@example.com": "EMAIL", "2024-05-07": "DATE"}
