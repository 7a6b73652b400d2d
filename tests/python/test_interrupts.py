"""Ctrl-C ends a long call, and what was begun is rolled back.

No call here would end by itself before its time limit. Python alone would raise `KeyboardInterrupt`
only once a native call has returned; here the call itself has to end with it.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, MLConfig
from embedded_db.testing import FakeModel
from harness.waiting import interrupted

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")

LIMIT = 120.0


@pytest.fixture
def held(woven: EmbeddedDB, model: FakeModel) -> Iterator[EmbeddedDB]:
    """A database whose model does not answer until the end of the test."""
    model.hold()
    woven.create_message("chat", "never embedded", id="never")
    yield woven
    model.release()
    woven.flush(timeout=60)
    assert woven.verify()["ok"]


@pytest.fixture
def large(db: EmbeddedDB) -> EmbeddedDB:
    """A database over which the query `SLOW` takes many seconds."""
    for first in range(0, 100_000, 10_000):
        db.create_nodes(
            [{"label": "X", "properties": {"n": n}} for n in range(first, first + 10_000)]
        )
    return db


SLOW = {"any": [{"property": "n", "operator": "Equals", "value": -n} for n in range(1, 5001)]}


def for_ever(call: Callable[[], Any]) -> None:
    """One call alone may be over before anybody presses a key."""
    while True:
        call()


def waiting_query(db: EmbeddedDB, model: FakeModel) -> Any:
    vector = [1.0] + [0.0] * (model.dim - 1)
    return db.query(semantic_query={"vector": vector}, labels=["Message"], wait=LIMIT)


def test_a_query_that_waits(held, model):
    interrupted(lambda: waiting_query(held, model))


def test_a_query_that_computes(large):
    interrupted(lambda: for_ever(lambda: large.query(structural_filters=[SLOW], timeout=LIMIT)))
    assert large.count("X") == 100_000
    with large.snapshot() as snapshot:
        asking = lambda: snapshot.query(structural_filters=[SLOW], timeout=LIMIT)  # noqa: E731
        interrupted(lambda: for_ever(asking))
        assert snapshot.count("X") == 100_000


def test_a_flush_and_a_wait_for_one_message(held):
    interrupted(lambda: held.flush(timeout=LIMIT))
    interrupted(lambda: held.wait_for("never", "embedding", timeout=LIMIT))


def test_the_wait_for_another_writer(path, spawn):
    writer = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(sys.argv[1], ml=None)
        print("ready", flush=True)
        sys.stdin.readline()
        """,
        path,
    )
    assert writer.stdout.readline() == "ready\n"
    interrupted(lambda: EmbeddedDB(path, ml=None, lock_timeout=LIMIT))
    writer.communicate("\n")
    with EmbeddedDB(path, ml=None, lock_timeout=0) as db:
        assert db.count() == 0


def test_a_transaction_is_rolled_back(held, model):
    def write_and_wait():
        with held.transaction() as tx:
            tx.create_node({"id": "lost", "label": "X"})
            waiting_query(held, model)

    interrupted(write_and_wait)
    assert not held.exists("lost")
    with held.transaction() as tx:
        tx.create_node({"id": "kept", "label": "X"})
    assert held.exists("kept")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ZeroDivisionError])
def test_whatever_ends_a_transaction_rolls_it_back(db, error):
    db.create_node({"id": "a", "label": "X", "properties": {"n": 1}})
    lsn = db.stats()["lsn"]

    def write_and_raise(tx):
        tx.update_node("a", {"n": 2})
        tx.create_node({"id": "lost", "label": "X"})
        raise error

    with pytest.raises(error):
        db.run(write_and_raise)
    with pytest.raises(error), db.transaction() as tx:
        write_and_raise(tx)
    assert (db.get_node("a")["n"], db.exists("lost")) == (1, False)
    assert db.stats()["lsn"] == lsn
    with db.transaction() as tx:
        tx.update_node("a", {"n": 3})
    assert db.get_node("a")["n"] == 3
    assert db.verify()["ok"]


def raise_(error: type[BaseException]) -> None:
    raise error


# --- while a model function runs ------------------------------------------------------------------


def hanging_until(ended: threading.Event) -> Callable[[list[str]], Any]:
    def embed(texts: list[str]) -> Any:
        if not ended.wait(LIMIT):
            raise TimeoutError("the test is over")
        return [[1.0, 2.0] for _ in texts]

    embed.dim = 2  # type: ignore[attr-defined]
    return embed


@pytest.mark.parametrize("ask", ["query", "search"])
def test_a_model_function_that_a_query_waits_for(path, ask):
    ended = threading.Event()
    ml = MLConfig(embedding=hanging_until(ended), entities=None, summary=None)
    with EmbeddedDB(path, ml=ml, warm_up=False) as db:
        db.create_node({"id": "a", "label": "X"})
        if ask == "query":
            interrupted(lambda: db.query(semantic_query={"text": "Paris"}))
        else:
            db.weaver.pause()
            db.create_message("chat", "Paris")
            interrupted(lambda: db.search("Paris"))
        ended.set()
        assert db.query(semantic_query={"text": "Paris"}).pending == (ask == "search")
        assert db.verify()["ok"]


def test_a_model_function_that_opening_asks_for_its_dimension(path):
    ended = threading.Event()
    embed = hanging_until(ended)
    del embed.dim  # type: ignore[attr-defined]
    ml = MLConfig(embedding=embed, entities=None, summary=None)
    interrupted(lambda: EmbeddedDB(path, ml=ml))
    ended.set()
    with EmbeddedDB(path, ml=ml, lock_timeout=0) as db:
        assert db.spaces()[0]["dim"] == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_a_program_is_no_failure_of_the_function_that_a_query_called(path, error):
    def embed(texts):
        if "Paris" in texts:
            raise error("as the user wishes")
        return [[1.0, 2.0] for _ in texts]

    embed.dim = 2
    ml = MLConfig(embedding=embed, entities=None, summary=None)
    with EmbeddedDB(path, ml=ml, warm_up=False) as db:
        with pytest.raises(error, match="as the user wishes"):
            db.query(semantic_query={"text": "Paris"})
        assert len(db.query(semantic_query={"text": "London"})) == 0
    failing = MLConfig(embedding=lambda texts: raise_(ZeroDivisionError), entities=None)
    failing.embedding.dim = 2
    with (
        EmbeddedDB(":memory:", ml=failing, warm_up=False) as db,
        pytest.raises(EnrichmentFailed, match="ZeroDivisionError"),
    ):
        db.query(semantic_query={"text": "Paris"})


def test_a_long_verification(large):
    interrupted(lambda: for_ever(large.verify))
    assert large.verify()["ok"]


def test_an_algorithm_over_a_graph(large):
    interrupted(lambda: large.pagerank(max_iterations=1_000_000, tolerance=0))
