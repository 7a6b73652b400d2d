"""A backup is one instant of a database that goes on; what is restored of it is the same again."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedded_db import (
    Corruption,
    DatabaseClosed,
    EmbeddedDB,
    FormatTooNew,
    InvalidInput,
)
from embedded_db.testing import FakeModel


@pytest.fixture
def filled(path):
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        fill(db)
        yield db


def fill(db):
    chat = db.create_chat(id="trip", title="Trip")
    chat.add_messages(
        [{"content": f"Message {n} of Ann", "sender": "Ann", "id": f"m{n}"} for n in range(50)]
    )
    db.create_node({"id": "ann", "label": "Person", "properties": {"age": 41}})
    db.create_edge({"id": "likes", "source": "ann", "target": "trip", "type": "LIKES"})
    db.update_edge("likes", {"weight": 2.0})
    db.set_embeddings(["ann"], np.float32([[1, 2, 3]]), space="own")
    db.create_index("Person", "age")
    db.namespace("other").create_node({"id": "far", "label": "Person"})


def held(path):
    with EmbeddedDB(path, read_only=True, ml=None) as db:
        return db.logical_hash()


def test_there_and_back(filled, tmp_path):
    before = filled.logical_hash()
    report = filled.backup(tmp_path / "monday")
    assert (report.nodes, report.edges, report.embeddings, report.namespaces) == (53, 100, 1, 2)
    assert report.path == str(tmp_path / "monday")
    assert report.bytes == (tmp_path / "monday" / "data.mdb").stat().st_size
    filled.delete_node("ann")
    restored = EmbeddedDB.restore(tmp_path / "monday", tmp_path / "again.db")
    assert (restored.lsn, restored.nodes) == (report.lsn, report.nodes)
    with EmbeddedDB(tmp_path / "again.db", ml=None) as again:
        assert again.logical_hash() == before != filled.logical_hash()
        assert [edge.weight for edge in again.edge_history("likes")] == [1.0, 2.0]
        assert again.get_embedding_for_node("ann", "own").vector.tolist() == [1, 2, 3]
        assert again.query(text_query={"text": "49"})[0].node.id == "m49"
        assert again.get_node("m0").next.id == "m1"
        assert [index.state for index in again.indexes()] == ["ready"]
        assert again.namespace("other").exists("far")
        again.get_node("trip").add_message("It goes on")
        assert again.verify()["ok"]
    assert filled.verify()["ok"]


def test_of_whatever_is_open(filled, tmp_path):
    """Of a handle on a namespace, of one that reads, of a database in memory: always the whole."""
    before = filled.logical_hash()
    filled.namespace("other").backup(tmp_path / "one")
    with EmbeddedDB(filled.path, read_only=True, config=filled.config) as reader:
        reader.backup(str(tmp_path / "two"))
    with EmbeddedDB(":memory:", ml=None) as memory:
        memory.create_node({"id": "only", "label": "X"})
        memory.backup(tmp_path / "three")
        memory_held = memory.logical_hash()
    for name, expected in [("one", before), ("two", before), ("three", memory_held)]:
        EmbeddedDB.restore(tmp_path / name, tmp_path / f"{name}.db")
        assert held(tmp_path / f"{name}.db") == expected
    filled.close()
    with pytest.raises(DatabaseClosed):
        filled.backup(tmp_path / "four")
    assert not (tmp_path / "four").exists()


def test_beside_a_writer_in_another_process(path, tmp_path, spawn):
    program = """
        import sys
        from embedded_db import EmbeddedDB
        with EmbeddedDB(sys.argv[1], ml=None) as db:
            n = 0
            while True:
                db.create_nodes([{"id": f"a{n}", "label": "A"}, {"id": f"b{n}", "label": "B"}])
                n += 1
                if n == 20:
                    print("writing", flush=True)
    """
    writer = spawn(program, path)
    assert writer.stdout.readline() == "writing\n"
    counts = []
    with EmbeddedDB(path, read_only=True, ml=None) as db:
        for n in range(3):
            db.backup(tmp_path / str(n))
            EmbeddedDB.restore(tmp_path / str(n), tmp_path / f"{n}.db")
            with EmbeddedDB(tmp_path / f"{n}.db", read_only=True, ml=None) as copy:
                assert copy.count("A") == copy.count("B") >= 20
                counts.append(copy.count("A"))
    assert writer.poll() is None, "the writer went on"
    assert counts == sorted(counts)


def test_progress_is_told_and_may_end_it(filled, tmp_path):
    told = []
    filled.backup(tmp_path / "whole", progress=lambda *how_far: told.append(how_far))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 150
    restored = []
    EmbeddedDB.restore(
        tmp_path / "whole", tmp_path / "whole.db", progress=lambda *far: restored.append(far)
    )
    size = (tmp_path / "whole" / "data.mdb").stat().st_size
    assert restored[0] == (0, size)
    assert restored[-1] == (size, size)

    class Enough(Exception):
        pass

    def stop(done, total):
        raise Enough(f"{done} of {total}")

    with pytest.raises(Enough, match="^0 of"):
        filled.backup(tmp_path / "part", progress=stop)
    with pytest.raises(Enough, match="^0 of"):
        EmbeddedDB.restore(tmp_path / "whole", tmp_path / "part.db", progress=stop)
    assert sorted(os.listdir(tmp_path)) == ["memory.db", "whole", "whole.db"]


@pytest.mark.parametrize("call", ["backup", "restore"])
def test_ctrl_c_removes_what_was_begun(filled, tmp_path, spawn, call):
    filled.backup(tmp_path / "whole")
    program = """
        import sys, time
        from embedded_db import EmbeddedDB
        path, root, call = sys.argv[1:]
        def told(done, total):
            print("begun", flush=True)
            while True:  # a signal just before one long wait would be seen after it
                time.sleep(0.01)
        try:
            if call == "backup":
                with EmbeddedDB(path, read_only=True, ml=None) as db:
                    db.backup(root + "/part", progress=told)
            else:
                EmbeddedDB.restore(root + "/whole", root + "/part", progress=told)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    child = spawn(program, filled.path, tmp_path, call)
    assert child.stdout.readline() == "begun\n"
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert child.wait(timeout=60) == 0
    assert sorted(os.listdir(tmp_path)) == ["memory.db", "whole"]


def test_what_is_no_place_for_it(filled, tmp_path):
    filled.backup(tmp_path / "whole")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    for place, why in [
        (tmp_path / "full", "is not empty"),
        (tmp_path / "full" / "mine", "is a file"),
        (tmp_path / "whole", "holds a backup"),
        (Path(filled.path) / "copy", "in the directory of the database itself"),
    ]:
        with pytest.raises(InvalidInput, match=why) as refused:
            filled.backup(place)
        assert "choose" in refused.value.hint
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    with pytest.raises(InvalidInput, match="is a link"):
        EmbeddedDB.restore(tmp_path / "whole", tmp_path / "link")
    (tmp_path / "link").unlink()
    (tmp_path / "empty").rmdir()
    with pytest.raises(InvalidInput, match="databases in memory"):
        EmbeddedDB.restore(tmp_path / "whole", ":memory:")
    for place in (filled.path, tmp_path / "full"):
        with pytest.raises(InvalidInput, match="is not empty"):
            EmbeddedDB.restore(tmp_path / "whole", place)
    with pytest.raises(InvalidInput, match="it has no MANIFEST"):
        EmbeddedDB.restore(tmp_path / "full", tmp_path / "again")
    with pytest.raises(InvalidInput, match="it has no MANIFEST"):
        EmbeddedDB.restore(tmp_path / "nowhere", tmp_path / "again")
    for wrong in ("", None, 7, b"x"):
        with pytest.raises(InvalidInput):
            filled.backup(wrong)
        with pytest.raises(InvalidInput):
            EmbeddedDB.restore(wrong, tmp_path / "again")
        with pytest.raises(InvalidInput):
            EmbeddedDB.restore(tmp_path / "whole", wrong)
    assert sorted(os.listdir(tmp_path)) == ["full", "memory.db", "whole"]


def crc32c(content: bytes) -> int:
    """Castagnoli's checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def resealed(text: str) -> str:
    """A manifest with the checksum of what it says."""
    lines = text[: text.rindex("crc32c ")]
    return f"{lines}crc32c {crc32c(lines.encode()):08x}\n"


def test_a_manifest_that_was_resealed_is_compared_with_the_data(filled, tmp_path):
    filled.backup(tmp_path / "whole")
    data, manifest = tmp_path / "whole" / "data.mdb", tmp_path / "whole" / "MANIFEST"
    text = manifest.read_text()
    assert resealed(text) == text
    for told, wrong in [("nodes 53", "nodes 54"), ("namespaces 2", "namespaces 3")]:
        assert told in text
        manifest.write_text(resealed(text.replace(told, wrong)))
        with pytest.raises(Corruption, match="MANIFEST") as refused:
            EmbeddedDB.restore(tmp_path / "whole", tmp_path / "again")
        assert refused.value.path == str(tmp_path / "whole")
    # Damage behind right sums is still that of the backup.
    damaged = bytearray(data.read_bytes())
    damaged[4096 * 4 : 4096 * 5] = bytes(4096)
    data.write_bytes(damaged)
    before = next(line for line in text.splitlines() if line.startswith("file "))
    after = f"{before.rsplit(' ', 1)[0]} {hashlib.sha256(damaged).hexdigest()}"
    manifest.write_text(resealed(text.replace(before, after)))
    with pytest.raises(Corruption) as refused:
        EmbeddedDB.restore(tmp_path / "whole", tmp_path / "again")
    assert refused.value.path == str(data)
    assert sorted(os.listdir(tmp_path)) == ["memory.db", "whole"]


def test_a_backup_that_was_changed_is_refused_by_name(filled, tmp_path):
    filled.backup(tmp_path / "whole")
    data, manifest = tmp_path / "whole" / "data.mdb", tmp_path / "whole" / "MANIFEST"
    sound, text = data.read_bytes(), manifest.read_text()

    def refused(kind, why):
        with pytest.raises(kind, match=why):
            EmbeddedDB.restore(tmp_path / "whole", tmp_path / "again")
        assert sorted(os.listdir(tmp_path)) == ["memory.db", "whole"]
        data.write_bytes(sound)
        manifest.write_text(text)

    data.write_bytes(sound[:9000] + bytes([sound[9000] ^ 1]) + sound[9001:])
    refused(Corruption, "SHA-256")
    data.write_bytes(sound[:-4096])
    refused(Corruption, "bytes, not")
    data.unlink()
    refused(Corruption, "is missing")
    manifest.write_text(text.replace("nodes 53", "nodes 54"))
    refused(Corruption, "checksum")
    manifest.write_text(text.replace("backup 1", "backup 2"))
    refused(FormatTooNew, "format 2")
    EmbeddedDB.restore(tmp_path / "whole", tmp_path / "again")


def test_the_manifest_says_what_sha256sum_says(filled, tmp_path):
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum here")
    filled.backup(tmp_path / "whole")
    said = dict(
        line.split(" ", 1) for line in (tmp_path / "whole" / "MANIFEST").read_text().splitlines()
    )
    _, _, kind, digest = said["file"].split(" ")
    data = tmp_path / "whole" / "data.mdb"
    known = subprocess.run(["sha256sum", data], capture_output=True, text=True, check=True).stdout
    assert (kind, digest) == ("sha256", known.split()[0])


def test_a_restored_database_is_another(filled, tmp_path):
    """Both are written to; whoever follows one by its number of changes must see which it is."""
    filled.backup(tmp_path / "whole")
    for name in ("one", "two"):
        EmbeddedDB.restore(tmp_path / "whole", tmp_path / name)
    identities = {
        line
        for place in (Path(filled.path), tmp_path / "one", tmp_path / "two")
        for line in (place / "CURRENT").read_text().splitlines()
        if line.startswith("identity ")
    }
    assert len(identities) == 3
    assert held(tmp_path / "one") == held(tmp_path / "two") == filled.logical_hash()


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such permissions there")
def test_what_is_stored_is_for_its_owner_alone(path: Path, tmp_path: Path) -> None:
    with EmbeddedDB(path, ml=FakeModel()) as db:
        db.create_message("chat", "Alice met Bob")
        db.flush(timeout=60)
        db.verify(deep=True)
        db.backup(tmp_path / "backup")
    EmbeddedDB.restore(tmp_path / "backup", tmp_path / "restored")
    told = [path, tmp_path / "backup", tmp_path / "restored"]
    stored = [file for top in told for file in top.rglob("*") if file.is_file()]
    # Locks, names of generations, numbers and checksums are no secret.
    plain = {"writer.lock", "lock.mdb", "CURRENT", "MANIFEST", "ckpt", "data.sums"}
    secret = [file for file in stored if file.name not in plain]
    assert {"data.mdb", "log.0", "log.1", "blackbox"} <= {file.name for file in secret}
    assert [file for file in secret if file.stat().st_mode & 0o077] == []
