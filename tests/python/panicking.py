"""A defect of native code is an `InternalError`; `test_panics` runs this in its own process."""

import threading

import pytest

from embedded_db import InternalError


@pytest.mark.parametrize("released", [False, True])
def test_a_panic_in_a_database(db, released, capfd):
    db.create_node({"id": "a", "label": "X"})
    for _ in range(3):
        with pytest.raises(InternalError, match="a defect for a test.*report"):
            db._native._panic_for_test(released)
    assert "a defect for a test" in capfd.readouterr().err, "it did panic"
    db.create_node({"id": "b", "label": "X"})
    assert db.count("X") == 2
    assert db.verify()["ok"]


def test_a_panic_in_a_snapshot_does_not_keep_its_lock(db):
    db.create_node({"id": "a", "label": "X"})
    with db.snapshot() as snapshot:
        with pytest.raises(InternalError, match="a defect for a test"):
            snapshot._native._panic_for_test(True)
        assert snapshot.count("X") == 1
    assert db.verify()["ok"]


def test_a_panic_in_another_thread_is_that_threads_error(db):
    caught = []

    def work():
        try:
            db._native._panic_for_test(True)
        except InternalError as error:
            caught.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caught) == 8
    assert {error.code for error in caught} == {"InternalError"}
    db.create_node({"label": "X"})
    assert db.verify()["ok"]


def test_panics_beside_writers_and_readers_cost_nobody_anything(db):
    """They meet the locks that everybody shares: none stays locked, and no work is lost."""
    db.create_node({"id": "a", "label": "X"})
    ended = threading.Event()
    written, panicked, errors = [], [], []

    def guarded(work):
        def run():
            try:
                while not ended.is_set():
                    work()
            except BaseException as error:
                errors.append(error)

        return threading.Thread(target=run)

    def panic():
        for read in (db, db.snapshot()):
            with pytest.raises(InternalError):
                read._native._panic_for_test(True)
            panicked.append(1)

    def write():
        with db.transaction() as tx:
            id = tx.create_node({"label": "Y", "properties": {"text": "Alice"}})
        written.append(id)

    def read():
        db.query(labels=["Y"], limit=5)
        db.query(text_query={"text": "Alice"}, limit=5)

    threads = [guarded(work) for work in (panic, panic, write, read)]
    for thread in threads:
        thread.start()
    while len(panicked) < 200 or len(written) < 20:
        assert not errors, errors
    ended.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert errors == []
    assert db.count("Y") == len(written)
    assert db.verify()["ok"]


def test_a_panic_inside_a_transaction_rolls_it_back(db):
    def write_and_panic():
        with db.transaction() as tx:
            tx.create_node({"id": "lost", "label": "X"})
            db._native._panic_for_test(True)

    with pytest.raises(InternalError):
        write_and_panic()
    assert not db.exists("lost")
    with db.transaction() as tx:
        tx.create_node({"id": "kept", "label": "X"})
    assert db.exists("kept")


def test_the_process_goes_on_and_ends_as_it_should(run_python, path):
    run = run_python(
        """
        import sys
        from embedded_db import DbError, EmbeddedDB, InternalError
        db = EmbeddedDB(sys.argv[1], ml=None)
        for released in (False, True) * 10:
            try:
                db._native._panic_for_test(released)
            except Exception as error:  # not only BaseException, as what PyO3 makes of a panic
                assert type(error) is InternalError and isinstance(error, DbError)
                assert error.code == "InternalError" and not error.retryable and error.hint
        print(db.create_node({"id": "a", "label": "X"}))
        """,
        path,
    )
    assert (run.stdout, run.returncode) == ("a\n", 0), run.stderr
    assert run.stderr.count("panicked") == 20, "it did panic"
