"""A snapshot that is held keeps old pages: the growth is shown, bounded, and ends with its reader.

What a snapshot sees is not overwritten, so the file grows by what is written meanwhile. A snapshot
that is too old is refused; one whose process was killed is forgotten by the next writer.
"""

import time

import pytest

from embedded_db import EmbeddedDB, SnapshotExpired
from harness.child import Done, Refused
from harness.lengths import length, longer
from harness.waiting import eventually

ROUNDS = length(100, 300, 3_000)
SIZE = 20_000


def rewrite(db: EmbeddedDB, times: int) -> int:
    """Write the same thing again and again; by how many times its size the file has grown."""
    before = db.stats()["file_bytes"]
    for number in range(times):
        db.update_node("large", {"text": str(number % 10) * SIZE})
    return (db.stats()["file_bytes"] - before) // SIZE


def large(path, **options) -> EmbeddedDB:
    db = EmbeddedDB(path, ml=None, durability="memory", **options)
    db.create_node({"id": "large", "label": "X", "properties": {"text": "x" * SIZE}})
    rewrite(db, 10)
    return db


def test_what_a_held_snapshot_costs_is_shown_and_ends_with_it(path):
    with large(path) as db:
        assert rewrite(db, ROUNDS) <= ROUNDS // 4, "pages are used again"
        with db.snapshot() as snapshot:
            seen = snapshot.get_node("large")["text"]
            grown = rewrite(db, ROUNDS)
            assert grown >= ROUNDS * 0.9, f"{grown}: what the snapshot sees is not overwritten"
            assert snapshot.get_node("large")["text"] == seen
        assert rewrite(db, ROUNDS * 2) <= ROUNDS // 4, "what it kept is used again"
        assert db.verify()["ok"]


def test_a_snapshot_that_is_too_old_is_refused_and_its_pages_are_free(path, nursery):
    large(path).close()
    reader = nursery.child()
    reader.open(path, read_only=True, max_snapshot_age=0.05)
    reader.run("kept = db.snapshot()")
    reader.run("import time\ntime.sleep(0.1)")
    refused = reader.ask("run", "kept.count()", {})
    assert isinstance(refused, Refused)
    assert refused.code == "SnapshotExpired"
    assert "max_snapshot_age" in refused.message
    assert reader.ask("run", "result = db.count()", {}) == Done(1), "a new one can be had"
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        rewrite(db, 10)
        assert rewrite(db, ROUNDS) <= ROUNDS // 4, "nobody keeps anything"


@pytest.mark.parametrize("whose", ["its own", "another process"])
@pytest.mark.parametrize(
    "limit",
    [{"max_snapshot_growth": 1 << 20}, {"max_snapshot_age": 0.3}],
    ids=lambda it: next(iter(it)),
)
def test_a_forgotten_snapshot_ends_though_nobody_reads_it(path, nursery, whose, limit):
    with large(path, **limit) as db:
        if whose == "its own":
            forgotten = db.snapshot()
        else:
            reader = nursery.child()
            reader.open(path, read_only=True, **limit)
            reader.run("kept = db.snapshot()")
        grown = rewrite(db, ROUNDS) * SIZE
        assert grown >= limit.get("max_snapshot_growth", 0) * 0.9, (
            "until then it keeps what it sees"
        )
        eventually(lambda: rewrite(db, ROUNDS) <= ROUNDS // 4, "nothing is kept any more")
        if whose == "its own":
            with pytest.raises(SnapshotExpired, match=next(iter(limit))) as caught:
                forgotten.count()
            assert caught.value.retryable
        else:
            refused = reader.ask("run", "kept.count()", {})
            assert isinstance(refused, Refused)
            assert refused.code == "SnapshotExpired"
            assert next(iter(limit)) in refused.message


def test_a_forgotten_snapshot_costs_as_much_as_its_age_allows(path):
    with large(path, max_snapshot_age=0.05) as db:
        forgotten = db.snapshot()
        time.sleep(0.1)
        rewrite(db, 10)
        assert rewrite(db, ROUNDS) <= ROUNDS // 4, "whoever writes ends it"
        with pytest.raises(SnapshotExpired):
            forgotten.count()


def test_a_snapshot_of_a_killed_process_is_forgotten(path, nursery):
    with large(path) as db:
        for number in range(length(1, 3, 20)):
            reader = nursery.child()
            reader.open(path, read_only=True)
            reader.run("kept = db.snapshot()\nresult = kept.count()")
            grown = rewrite(db, 64)
            assert grown >= 55 or number > 0, f"{grown}: it keeps what it sees"
            reader.kill()
            reader.end()
            # The writer looks for the dead every 64 groups.
            rewrite(db, 64)
            assert rewrite(db, ROUNDS) <= ROUNDS // 4, "the dead keep nothing"
    reader = nursery.child()
    reader.open(path, read_only=True)
    reader.run("kept = db.snapshot()\nresult = kept.count()")
    reader.kill()
    reader.end()
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        assert rewrite(db, 64) <= 20, "whoever opens for writing looks too"


@longer
@pytest.mark.parametrize("who", ["who has it open", "who opens it"])
def test_killed_readers_leave_their_places_to_other_readers(path, nursery, who):
    """There are 4,096 places, and nobody writes, who would look for the dead."""
    EmbeddedDB(path, ml=None).close()
    # As long as it lives LMDB does not begin the table anew.
    living = nursery.child()
    living.open(path, read_only=True)
    readers = []
    # Sixteen transactions at the most see the same state.
    hold = "kept = [db.snapshot() for _ in range(20)]"
    for _ in range(300):
        readers.append(nursery.child())
        answer = readers[-1].ask("open", str(path), {"read_only": True})
        if answer == Done():
            answer = readers[-1].ask("run", hold, {})
        if isinstance(answer, Refused):
            assert answer.code == "QuotaExceeded"
            break
    assert isinstance(answer, Refused), "the table is full"
    for reader in readers:
        reader.kill()
        reader.end()
    if who == "who has it open":
        living.run("assert db.count() == 0")
    else:
        with EmbeddedDB(path, ml=None, read_only=True) as db:
            assert db.count() == 0
