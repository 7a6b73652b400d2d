"""Whoever is called by the database may call the database: it works, or is refused; it never hangs.

The functions here are called in the middle of a call or of the weaver's work: model functions,
rerank functions, functions of transactions, conversions of values. A hang would be ended by the
time limit of the test.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from embedded_db import Conflict, DatabaseClosed, DbError, EmbeddedDB, InvalidInput
from embedded_db.testing import FakeModel

QUICK: Any = {"max_attempts": 2, "first_delay": 0.01, "max_delay": 0.02}


class Calling(FakeModel):
    """A model one of whose functions calls back, once."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function
        self.call: Callable[[], Any] | None = None
        self.outcome: list[Any] = []
        self.thread: int | None = None

    def _begin(self, function: str, texts: Any) -> Any:
        if function == self.function and self.call is not None:
            call, self.call = self.call, None
            self.thread = threading.get_ident()
            try:
                self.outcome.append(call())
            except Exception as error:
                self.outcome.append(error)
        return super()._begin(function, texts)


CALLS: dict[str, Callable[[EmbeddedDB], Any]] = {
    "reads": lambda db: (db.count(), list(db.nodes()), db.get_node("a"), db.stats(), db.verify()),
    "writes": lambda db: db.create_node({"id": "made", "label": "X"}),
    "a message": lambda db: db.create_message("chat", "Carol met Dave", id="inner"),
    "a transaction": lambda db: db.run(lambda tx: tx.update_node("a", {"n": 1})),
    "a snapshot": lambda db: db.snapshot().query(labels=["X"]),
    "a text query": lambda db: len(db.query(text_query={"text": "Alice"})),
    "a query by meaning": lambda db: len(db.query(semantic_query={"text": "Alice"})),
    "a search": lambda db: len(db.search("Alice")),
    "a query that waits": lambda db: db.query(semantic_query={"text": "Alice"}, wait=0.05),
    "an index": lambda db: db.create_index("X", "n"),
    "the status": lambda db: (db.weaver_status(), db.weaver.dead_letters()),
    "a level": lambda db: db.set_activity_level("Normal"),
    "a pause and its end": lambda db: (db.weaver.pause(), db.weaver.resume()),
    "the message itself, gone": lambda db: db.delete_node("m"),
    "another database": lambda db: other_database(),
    "a second handle": lambda db: second_handle(db),
}


def other_database() -> int:
    with EmbeddedDB(":memory:", ml=FakeModel()) as other:
        other.create_message("chat", "Alice")
        other.flush(timeout=60)
        return other.count("Entity")


def second_handle(db: EmbeddedDB) -> int:
    with EmbeddedDB(db.path, config=db.config) as same:
        return same.count("X")


@pytest.fixture
def calling(path, request):
    """A database with a message for the weaver, and the model that will call it back."""
    model = Calling(getattr(request, "param", "enrich"))
    with EmbeddedDB(path, ml=model, weaver=QUICK) as db:
        db.create_node({"id": "a", "label": "X"})
        db.weaver.pause()
        db.create_message("chat", "Alice met Bob", id="m")
        yield db, model


@pytest.mark.parametrize("calling", ["enrich", "summarize"], indirect=True)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_the_weavers_functions_may_use_the_database(calling, call):
    db, model = calling
    model.call = lambda: call(db)
    db.weaver.resume()
    db.flush(timeout=60)
    assert len(model.outcome) == 1, "the function was called, and came back"
    assert not isinstance(model.outcome[0], Exception), model.outcome
    assert model.thread != threading.get_ident()
    assert db.verify()["ok"]
    message = db.get_node("m")
    assert message is None or message.status.embedding == "ready"


WAITS: dict[str, Callable[[EmbeddedDB], Any]] = {
    "flush": lambda db: db.flush(),
    "flush with a bar": lambda db: db.flush(progress=True),
    "wait_for": lambda db: db.wait_for("m", "embedding"),
    "wait_for of another": lambda db: db.wait_for("chat", "summary"),
}


@pytest.mark.parametrize("calling", ["enrich", "summarize"], indirect=True)
@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS.keys())
def test_a_function_that_would_wait_for_itself_is_told(calling, call):
    db, model = calling
    model.call = lambda: call(db)
    db.weaver.resume()
    db.flush(timeout=60)
    [told] = model.outcome
    assert isinstance(told, InvalidInput)
    assert "waits for the enrichment" in str(told)
    assert "return from it first" in told.hint
    assert db.get_node("m").status.embedding == "ready"


def test_a_function_may_close_the_database(calling):
    db, model = calling
    closed = threading.Event()
    model.call = lambda: (db.close(), closed.set())
    db.weaver.resume()
    assert closed.wait(60), "it did not hang"
    with pytest.raises(DatabaseClosed):
        db.count()
    with EmbeddedDB(db.path, ml=FakeModel(), lock_timeout=60) as again:
        again.flush(timeout=60)
        assert again.get_node("m").status.embedding == "ready"
        assert again.verify()["ok"]


@pytest.mark.parametrize("calling", ["embed"], indirect=True)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_the_function_that_embeds_a_query_may_use_the_database(calling, call):
    db, model = calling
    db.weaver.resume()
    db.flush(timeout=60)
    model.call = lambda: call(db)
    db.query(semantic_query={"text": "Alice"})
    assert len(model.outcome) == 1
    assert not isinstance(model.outcome[0], Exception), model.outcome
    assert model.thread == threading.get_ident()
    db.flush(timeout=60)
    assert db.verify()["ok"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_rerank_function_may_use_the_database(woven, call):
    woven.create_node({"id": "a", "label": "X"})
    woven.create_message("chat", "Alice met Bob", id="m")
    woven.flush(timeout=60)
    outcome = []

    def rerank(results):
        outcome.append(call(woven))
        return [1.0 for _ in results]

    woven.query(text_query={"text": "Alice"}, rerank=rerank)
    assert len(outcome) == 1
    woven.flush(timeout=60)
    assert woven.verify()["ok"]


def test_the_function_of_a_transaction_may_write_beside_it(db):
    db.create_node({"id": "a", "label": "X", "properties": {"n": 0}})
    attempts = []

    def change(tx):
        attempts.append(tx.get_node("a")["n"])
        if len(attempts) == 1:
            db.update_node("a", {"n": 10})
        tx.update_node("a", {"n": tx.get_node("a")["n"] + 1})

    db.run(change)
    assert attempts == [0, 10], "the first attempt met a conflict of its own making"
    assert db.get_node("a")["n"] == 11
    with pytest.raises(Conflict, match="a"):
        db.run(
            lambda tx: (tx.update_node("a", {"n": 1}), db.update_node("a", {"n": 2})), attempts=3
        )
    with pytest.raises(InvalidInput, match="do not nest"):
        db.run(lambda tx: db.run(lambda inner: None))


class Asking(tzinfo):
    """A time zone that uses the database whenever it is asked for its offset."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.asked = 0

    def utcoffset(self, when: datetime | None) -> timedelta:
        self.asked += 1
        self.call()
        return timedelta(0)


def test_values_that_use_the_database_while_they_are_stored(db):
    db.create_node({"id": "a", "label": "X"})
    zone = Asking(lambda: (db.create_node({"label": "Side"}), db.query(labels=["X"]), db.count()))
    when = datetime(2026, 1, 1, tzinfo=zone)
    utc = datetime(2026, 1, 1, tzinfo=UTC)
    db.update_node("a", {"when": when})
    with db.transaction() as tx:
        tx.create_node({"id": "b", "label": "X", "properties": {"when": when}})
    db.create_edge({"source": "a", "target": "b", "type": "T", "valid_from": when})
    found = db.query(
        structural_filters=[{"property": "when", "operator": "Equals", "value": when}], labels=["X"]
    )
    assert {each.node.id for each in found} == {"a", "b"}
    assert db.get_node("a")["when"] == utc
    assert zone.asked >= 4
    assert db.count("Side") == zone.asked
    zone.call = db.close
    with pytest.raises(DbError) as caught:
        db.update_node("a", {"when": when})
    assert isinstance(caught.value, DatabaseClosed)
