"""A defect of native code is an `InternalError`, and the database goes on."""

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
