"""However many snapshots and cursors are held, reading and writing go on.

Each transaction of the store takes a place in a table that all processes share. So holders of one
state share a few of them, forgotten cursors give way to newer ones, and a snapshot for which there
is no place is refused by an error that says what to do, while everything else works.
"""

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded_db import EmbeddedDB, QuotaExceeded, SnapshotExpired

MANY = 4_500  # more than the store has places


@pytest.fixture
def db():
    with EmbeddedDB(":memory:", ml=None) as opened:
        yield opened


def fill(db, count=3):
    db.create_nodes(
        [{"id": f"n{at}", "label": "Thing", "properties": {"v": at}} for at in range(count)]
    )


def test_holders_of_one_state_share_places(db):
    fill(db)
    held = [db.snapshot() for _ in range(MANY)]
    pages = [db.query(labels=["Thing"], limit=1) for _ in range(MANY)]
    assert all(snapshot.count() == 3 for snapshot in held)
    assert db.get_node("n1") is not None
    for page in (pages[0], pages[-1]):
        assert [r.node.id for r in db.query(labels=["Thing"], limit=5, after=page.cursor)] == [
            "n1",
            "n2",
        ]
    db.create_node({"id": "later", "label": "Thing"})
    assert db.count() == 4
    assert {snapshot.count() for snapshot in held} == {3}
    # One that ends takes nothing from those that it shared with.
    for snapshot in held[1:]:
        snapshot.close()
    assert held[0].count() == 3
    assert len(list(db.query(labels=["Thing"], limit=5, after=pages[7].cursor))) == 2


def test_the_oldest_cursors_give_way(db):
    pages = []
    fill(db, 2)
    for at in range(1_100):
        pages.append(db.query(labels=["Thing"], limit=1))
        db.update_node("n0", {"v": at})
    with pytest.raises(SnapshotExpired, match="gave way to newer") as caught:
        db.query(labels=["Thing"], limit=1, after=pages[0].cursor)
    assert "db.snapshot()" in caught.value.hint
    for page in (pages[101], pages[-1]):
        assert [r.node.id for r in db.query(labels=["Thing"], limit=1, after=page.cursor)] == ["n1"]
    # A snapshot is worth more than a cursor that nobody may come back to.
    with db.snapshot() as snapshot:
        assert snapshot.count() == 2
    assert db.get_node("n0")["v"] == 1_099


def test_a_snapshot_without_a_place_is_refused_and_all_else_goes_on(db):
    fill(db)
    held = []

    def hold():
        for at in range(2_000):
            held.append(db.snapshot())
            db.update_node("n0", {"v": at})

    with pytest.raises(QuotaExceeded, match="close some") as caught:
        hold()
    assert caught.value.used == caught.value.limit == len(held)
    assert "max_snapshot_age" in caught.value.hint
    with pytest.raises(QuotaExceeded), db.transaction():
        raise AssertionError("it begins nothing")
    # Those that are held, plain reads, queries and writes know nothing of it.
    assert held[0].get_node("n0")["v"] == 0
    assert held[1].get_node("n0")["v"] == 0
    assert held[9].get_node("n0")["v"] == 8
    assert db.get_node("n0")["v"] == len(held) - 1
    assert db.count() == 3
    assert [n.id for n in db.nodes(label="Thing")] == ["n0", "n1", "n2"]
    assert len(db.query(labels=["Thing"], limit=10)) == 3
    db.create_edge({"source": "n0", "target": "n1", "type": "T"})
    assert [n.id for n in db.neighbors("n0")] == ["n1"]
    # The results of a page are there; only what comes behind them has no place.
    page = db.query(labels=["Thing"], limit=2)
    assert [r.node.id for r in page] == ["n0", "n1"]
    with pytest.raises(QuotaExceeded, match="close some"):
        db.query(labels=["Thing"], limit=2, after=page.cursor)
    held.pop().close()
    with db.snapshot() as snapshot:
        assert snapshot.get_node("n0")["v"] == len(held)
    # Those that are dropped give their places back too.
    del held[10:]
    gc.collect()
    with db.transaction() as tx:
        tx.update_node("n1", {"v": 7})
    assert db.get_node("n1")["v"] == 7


def test_what_changes_no_node_is_another_state(db):
    """Namespaces and indexes have no number among the changes, but they are part of a state."""
    held = [db.snapshot() for _ in range(40)]
    user = db.namespace("user-1")
    assert user.snapshot().count() == 0
    assert {snapshot.count() for snapshot in held} == {0}


def test_one_that_shares_an_old_place_is_as_young_as_it_is(tmp_path):
    # A machine that is too busy to ask in time gets more time.
    for age in (1.0, 2.0, 4.0, 8.0, 16.0):
        with EmbeddedDB(tmp_path / f"{age}.db", ml=None, max_snapshot_age=age) as db:
            fill(db)
            first = time.monotonic()
            old = [db.snapshot() for _ in range(40)]
            time.sleep(max(0.0, first + age / 2 - time.monotonic()))
            taken = time.monotonic()
            young = db.snapshot()
            time.sleep(max(0.0, first + age + 0.1 - time.monotonic()))
            with pytest.raises(SnapshotExpired):
                old[0].count()
            try:
                assert young.count() == 3
                return
            except SnapshotExpired:
                assert time.monotonic() >= taken + age, "it was too old"
    raise AssertionError("the machine never asked in time")


def test_threads_read_what_they_share(db):
    fill(db, 500)
    held = [db.snapshot() for _ in range(64)]
    begin = threading.Barrier(4)

    def read(at):
        begin.wait(timeout=60)
        return [len(held[i].query(labels=["Thing"], limit=400)) for i in range(at, 64, 4)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [[400] * 16] * 4
