"""A long chat has a summary of each of its weeks, or days, that follows what was said in it.

One is made where a chat goes on for more than one of them, again as it grows, and goes with what it
was made of, in the same transaction. What is still true is not made again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from embedded_db import Chat, Config, EmbeddedDB, InvalidInput, Summary, WeaverConfig
from embedded_db.testing import FakeModel

MONDAY = datetime(2024, 5, 6, tzinfo=UTC)


class Told(FakeModel):
    """Notes of what it was asked for summaries."""

    def __init__(self) -> None:
        super().__init__(dim=8)
        self.told: list[list[str]] = []

    def summarize(self, messages: list[str], vectors: Any) -> str:
        self.told.append(list(messages))
        return " / ".join(messages)


def opened(model: FakeModel | None = None, **weaver: Any) -> EmbeddedDB:
    weaver.setdefault("summary_span", "week")
    ml = Told() if model is None else model
    return EmbeddedDB(":memory:", config=Config(ml=ml, weaver=WeaverConfig(**weaver)))


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture
def db(model: Told) -> Iterator[EmbeddedDB]:
    with opened(model) as db:
        yield db


def said(chat: Chat, day: float, text: str) -> str:
    return chat.add_message(text, timestamp=MONDAY + timedelta(days=day)).id


def spans(db: EmbeddedDB, chat: Chat) -> list[tuple[int, str]]:
    """Days from the first Monday, and what is told of the span that begins there."""
    db.flush(timeout=60)
    assert db.verify(deep=True)["ok"]
    return [(days(summary), summary.text) for summary in chat.span_summaries()]


def days(summary: Summary) -> int:
    assert summary.begins_at is not None
    return (summary.begins_at - MONDAY).days


def test_each_week_of_a_chat_is_told(db: EmbeddedDB) -> None:
    chat = db.create_chat()
    first, last = said(chat, 0, "a"), said(chat, 6.99, "b")
    said(chat, 7, "c")
    said(chat, 21, "d")
    assert spans(db, chat) == [(0, "a / b"), (7, "c"), (21, "d")]
    week = chat.span_summaries()[0]
    assert (week.span, week.message_count, week.chat_id) == ("week", 2, chat.id)
    assert (week.first_message, week.last_message) == (first, last)
    [edge] = db.edges(week, "SUMMARIZES", direction="out")
    assert (edge.target, edge.sources, edge.derived) == (chat.id, [chat.id], True)
    whole = chat.summary()
    assert whole is not None
    assert (whole.text, whole.span, whole.begins_at) == ("a / b / c / d", None, None)


def test_days_begin_at_midnight_and_before_1970_too() -> None:
    with opened(summary_span="day") as db:
        chat = db.create_chat()
        said(chat, 0, "a")
        said(chat, 0.999, "b")
        said(chat, 1, "c")
        long_ago = MONDAY - timedelta(days=20_000)  # a Wednesday of 1969
        chat.add_message("z", timestamp=long_ago + timedelta(hours=23))
        assert spans(db, chat) == [(-20_000, "z"), (0, "a / b"), (1, "c")]


def test_a_chat_within_a_week_has_its_summary_alone(db: EmbeddedDB, model: Told) -> None:
    chat = db.create_chat()
    said(chat, 0, "a")
    said(chat, 1, "b")
    assert spans(db, chat) == []
    assert model.told == [["a", "b"]]
    later = said(chat, 8, "c")
    assert spans(db, chat) == [(0, "a / b"), (7, "c")]
    db.delete_node(later)
    assert spans(db, chat) == [], "it is within a week again"


def test_only_what_has_grown_is_told_again(db: EmbeddedDB, model: Told) -> None:
    chat = db.create_chat()
    for day, text in [(0, "a"), (7, "b"), (14, "c")]:
        said(chat, day, text)
    before = spans(db, chat)
    ids = [summary.id for summary in chat.span_summaries()]
    model.told.clear()
    said(chat, 15, "d")
    assert spans(db, chat) == [*before[:2], (14, "c / d")]
    assert model.told == [["c", "d"], ["a", "b", "c", "d"]]
    assert [summary.id for summary in chat.span_summaries()] == ids


def test_what_was_said_late_counts_for_its_own_week(db: EmbeddedDB) -> None:
    chat = db.create_chat()
    for day, text in [(0, "a"), (14, "b"), (1, "c")]:
        said(chat, day, text)
    assert spans(db, chat) == [(0, "a / c"), (14, "b")]


@pytest.mark.parametrize("how", ["edit", "delete", "expire"])
def test_a_week_goes_with_what_it_was_made_of(db: EmbeddedDB, model: Told, how: str) -> None:
    chat = db.create_chat()
    said(chat, 0, "a")
    ttl = timedelta(seconds=2) if how == "expire" else None
    gone = chat.add_message("xyzzy", timestamp=MONDAY + timedelta(days=1), ttl=ttl).id
    said(chat, 7, "c")
    said(chat, 14, "d")
    assert spans(db, chat) == [(0, "a / xyzzy"), (7, "c"), (14, "d")]
    db.weaver.pause()
    model.told.clear()
    if how == "edit":
        db.update_node(gone, {"content": "b"})
    elif how == "delete":
        db.delete_node(gone)
    end = datetime.now(UTC) + timedelta(seconds=30)
    while how == "expire" and db.exists(gone):
        assert datetime.now(UTC) < end
    assert [days(summary) for summary in chat.span_summaries()] == [7, 14]
    db.weaver.resume()
    now = "a / b" if how == "edit" else "a"
    assert spans(db, chat) == [(0, now), (7, "c"), (14, "d")]
    assert len(model.told) == 2, "that week, and the whole"


def test_a_message_may_be_of_another_week(db: EmbeddedDB) -> None:
    chat = db.create_chat()
    moved = said(chat, 0, "a")
    said(chat, 1, "b")
    said(chat, 7, "c")
    assert spans(db, chat) == [(0, "a / b"), (7, "c")]
    db.weaver.pause()
    db.update_node(moved, {"timestamp": MONDAY + timedelta(days=8)})
    assert [days(summary) for summary in chat.span_summaries()] == [7]
    assert chat.summary() is not None, "what was said is the same"
    db.weaver.resume()
    assert spans(db, chat) == [(0, "b"), (7, "a / c")]


def test_the_chat_takes_them_along(db: EmbeddedDB) -> None:
    chat = db.create_chat()
    for day in range(0, 50, 5):
        said(chat, day, f"day {day}")
    assert len(spans(db, chat)) == 7
    db.delete_node(chat)
    assert db.count("Summary") == 0
    assert db.verify(deep=True)["ok"]


def test_they_can_be_switched_off_and_changed(path: Any) -> None:
    def at(span: str | None) -> EmbeddedDB:
        weaver = WeaverConfig(summary_span=span)  # type: ignore[arg-type]
        return EmbeddedDB(path, config=Config(ml=Told(), weaver=weaver))

    with at(None) as db:
        chat = db.create_chat(id="chat")
        said(chat, 0, "a")
        said(chat, 7, "b")
        assert spans(db, chat) == []
    for number, (span, wanted) in enumerate([("week", [0, 7]), ("day", [0, 7, 8]), (None, [])]):
        with at(span) as db:
            again = db.get_node("chat")
            assert isinstance(again, Chat)
            said(again, 7 + min(number, 1), f"more {number}")
            assert [begin for begin, _ in spans(db, again)] == wanted
    with pytest.raises(InvalidInput, match=r"weaver\.summary_span"):
        WeaverConfig(summary_span="month")  # type: ignore[arg-type]
