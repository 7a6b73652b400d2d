"""Ctrl-C ends a long call at once, and what was begun is rolled back."""

import os
import signal
import threading
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")


@pytest.fixture
def interrupted():
    """Press Ctrl-C in a moment."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    yield timer.start
    timer.join()


def long_query(db, model):
    query = {"vector": [1.0] + [0.0] * (model.dim - 1)}
    return db.query(semantic_query=query, labels=["Message"], wait=60)


def test_a_query_that_waits(woven, model, interrupted):
    model.hold()
    woven.create_message("chat", "never embedded")
    begun = time.monotonic()
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        long_query(woven, model)
    assert time.monotonic() - begun < 30, "the interrupt, not the time limit, ended the query"
    model.release()
    woven.flush(timeout=60)
    assert woven.verify()["ok"]


def test_a_transaction_is_rolled_back(woven, model, interrupted):
    model.hold()
    woven.create_message("chat", "never embedded")
    interrupted()

    def write_and_wait():
        with woven.transaction() as tx:
            tx.create_node({"id": "lost", "label": "X"})
            long_query(woven, model)

    with pytest.raises(KeyboardInterrupt):
        write_and_wait()
    assert not woven.exists("lost")
    with woven.transaction() as tx:
        tx.create_node({"id": "kept", "label": "X"})
    assert woven.exists("kept")
    model.release()


def test_a_long_verification(db, interrupted):
    for _ in range(5):
        db.create_nodes([{"label": "X", "properties": {"p": "x" * 50}} for _ in range(10_000)])
    interrupted()

    def verify_for_ever():
        while True:
            assert db.verify()["ok"]

    with pytest.raises(KeyboardInterrupt):
        verify_for_ever()
    assert db.verify()["ok"]
