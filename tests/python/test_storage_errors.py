"""What the disk, the clock and the user can do to an open database, and what it says then.

Each test provokes one error of the storage, reads its message (what was wrong, the value, the
remedy), and then shows that nothing was half written and what still works.
"""

import time
from pathlib import Path

import pytest

from embedded_db import (
    Corruption,
    DimensionMismatch,
    EmbeddedDB,
    FormatTooNew,
    NonFiniteVector,
    SnapshotExpired,
    StorageFull,
)
from embedded_db.testing import FakeModel

PLANTED = "the-planted-value-that-is-unique"


def content(directory: Path) -> dict[str, bytes]:
    """Every file of a database but the lock, which names the process that opened it."""
    files = [file for file in directory.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in files
        if file.name not in {"writer.lock", "lock.mdb"}
    }


def test_a_later_format_is_left_untouched(path):
    EmbeddedDB(path, ml=None).close()
    current = path / "CURRENT"
    first, rest = current.read_text().split("\n", 1)
    assert first == "embedded-db format 1"
    current.write_text(f"embedded-db format 99\n{rest}whatever a later version writes\n")
    before = content(path)
    for read_only in (False, True):
        with pytest.raises(FormatTooNew, match=r"format 99.*up to 1.*newer") as caught:
            EmbeddedDB(path, ml=None, read_only=read_only)
        assert (caught.value.found, caught.value.supported) == (99, 1)
    assert content(path) == before


def test_a_damaged_current_file_is_named(path):
    EmbeddedDB(path, ml=None).close()
    current = path / "CURRENT"
    current.write_text(current.read_text().replace("generation 1", "generation 2"))
    with pytest.raises(Corruption, match=r"CURRENT.*checksum.*backup"):
        EmbeddedDB(path, ml=None)


def test_a_lost_current_file_never_costs_the_data(path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "kept", "label": "Note"})
    current = path / "CURRENT"
    saved = current.read_bytes()
    current.unlink()
    before = content(path)
    with pytest.raises(Corruption, match=r"CURRENT.*missing.*gen-0000000001.*put the file back"):
        EmbeddedDB(path, ml=None)
    assert content(path) == before
    current.write_bytes(saved)
    with EmbeddedDB(path, ml=None) as db:
        assert db.exists("kept")


def test_a_flipped_bit_is_damage_and_never_a_wrong_value(path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "hit", "label": "Note", "properties": {"text": PLANTED}})
        # Damage reaches as far as its page.
        db.create_nodes([{"label": "Note", "properties": {"text": "x" * 500}}] * 20)
        db.create_node({"id": "spared", "label": "Note", "properties": {"text": "unharmed"}})
    file = path / "gen-0000000001" / "data.mdb"
    data = bytearray(file.read_bytes())
    places = [at for at in range(len(data)) if data.startswith(PLANTED.encode(), at)]
    assert places, "the value stands in the file"
    for at in places:
        data[at + 4] ^= 1
    file.write_bytes(data)
    with EmbeddedDB(path, ml=None) as db:
        with pytest.raises(Corruption, match=r"nodes.*checksum mismatch"):
            db.get_node("hit")
        assert db.get_node("spared")["text"] == "unharmed"


def test_an_expired_snapshot_says_its_age_and_limit(path):
    with EmbeddedDB(path, ml=None, max_snapshot_age=0.01) as db:
        db.create_node({"id": "n", "label": "Note"})
        with db.snapshot() as snapshot:
            time.sleep(0.05)
            with pytest.raises(SnapshotExpired, match="max_snapshot_age"):
                snapshot.get_node("n")
        assert db.get_node("n") is not None


def test_a_full_map_refuses_the_write_and_nothing_else(path):
    with EmbeddedDB(path, ml=None, map_size_max=1 << 20) as db:
        written: list[str] = []

        def fill() -> None:
            for number in range(10_000):
                node = {"id": f"n{number}", "label": "Note", "properties": {"text": "x" * 2000}}
                written.append(db.create_node(node))

        with pytest.raises(StorageFull, match=r"data\.mdb.*map_size_max.*1048576.*raise"):
            fill()
        assert len(written) > 10
        assert not db.exists(f"n{len(written)}"), "what was refused is not there"
        assert db.count("Note") == len(written)
        for id in written[: len(written) // 2]:
            db.delete_node(id)
        assert db.create_node({"id": "again", "label": "Note"}) == "again"
        assert db.verify()["ok"]
    with EmbeddedDB(path, ml=None) as db:
        assert db.exists("again")
        assert db.count("Note") == len(written) - len(written) // 2 + 1


def test_whoever_waits_for_results_that_find_no_room_is_told(path, capsys):
    options = {"map_size_max": 1 << 20, "warm_up": False}
    with EmbeddedDB(path, ml=FakeModel(), **options) as db:
        db.weaver.pause()
        messages = [db.create_message("chat", f"Alice {number}") for number in range(20)]

        def fill(size: int) -> None:
            while True:
                db.create_node({"label": "Note", "properties": {"text": "x" * size}})

        for size in (2000, 1):
            with pytest.raises(StorageFull):
                fill(size)
        db.weaver.resume()
        with pytest.raises(StorageFull, match=r"map_size_max.*1048576.*raise"):
            db.flush()
        with pytest.raises(StorageFull, match="map_size_max"):
            db.flush(progress=True)
        with pytest.raises(StorageFull, match="map_size_max"):
            db.wait_for(messages[-1], "embedding")
        assert messages[-1].status.embedding == "pending", "it is no fault of the message"
    with EmbeddedDB(path, ml=FakeModel()) as db:
        db.flush(timeout=60)
        assert {db.get_node(message.id).status.embedding for message in messages} == {"ready"}
        assert db.verify()["ok"]


def test_vectors_that_cannot_be_stored(db):
    db.create_node({"id": "a", "label": "Note"})
    db.create_embedding({"node_id": "a", "vector": [0.1, 0.2, 0.3]})
    with pytest.raises(DimensionMismatch, match=r"default.*3 dimensions.*2") as caught:
        db.create_embedding({"node_id": "a", "vector": [0.1, 0.2]})
    assert (caught.value.expected, caught.value.got) == (3, 2)
    with pytest.raises(NonFiniteVector, match=r"index 1.*finite") as infinite:
        db.create_embedding({"node_id": "a", "vector": [0.1, float("nan"), 0.3]})
    assert infinite.value.index == 1
    assert len(db.get_embeddings_for_node("a")) == 1
