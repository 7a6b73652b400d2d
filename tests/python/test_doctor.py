"""The doctor looks at a database and at what it lies on: each of its findings is provoked once.

What cannot be provoked without being root, such as a file system on a network, is judged in tests
in Rust.
"""

import fcntl
import os
import shutil
import signal
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, InvalidInput
from embedded_db.testing import FakeModel
from harness.waiting import eventually

GENERATION = Path("gen-0000000001")
DATA = GENERATION / "data.mdb"
SUMS = GENERATION / "data.sums"
PAGE = 4096


@pytest.fixture
def filled(path):
    """A closed database."""
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        db.create_chat(id="trip").add_messages([{"content": f"Message {n}"} for n in range(50)])
    return path


def look(path):
    return {finding.about: finding for finding in EmbeddedDB.doctor(path).findings}


def only(path, about):
    """Give the one finding that is not as it should be."""
    report = EmbeddedDB.doctor(path)
    found = [finding for finding in report.findings if finding.level != "ok"]
    assert [finding.about for finding in found] == [about], found
    assert found[0].remedy, "it says what to do"
    assert report.level == found[0].level
    return found[0]


def overwrite(file, at, content):
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(content)


def state_of(path):
    return {
        file: (file.stat().st_mtime_ns, file.read_bytes())
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_a_database_that_is_well(filled):
    before = state_of(filled)
    report = EmbeddedDB.doctor(filled)
    assert report.ok, report
    assert report.path == str(filled)
    assert state_of(filled) == before, "nothing is written"
    found = look(filled)
    assert list(found) == [
        "database",
        "data",
        "sums",
        "log",
        "size",
        "file system",
        "free space",
        "limits",
        "versions",
        "lock",
        "readers",
        "leftovers",
        "jobs",
    ]
    assert (found["database"].facts["generation"], len(found["database"].facts["identity"])) == (
        1,
        32,
    )
    assert found["data"].facts["lsn"] > 100
    size = found["size"].facts
    assert size["bytes"] == (filled / DATA).stat().st_size
    assert size["nodes"] >= PAGE
    tables = sum(size[name] for name in size if name not in ("bytes", "reclaimable"))
    assert tables + size["reclaimable"] <= size["bytes"]
    assert found["free space"].facts["bytes"] > found["free space"].facts["data"]
    assert found["limits"].facts["open_files"] is None or found["limits"].facts["open_files"] > 0
    versions = found["versions"].facts
    assert versions["embedded_db"] in found["versions"].text
    assert versions["python"].startswith("CPython 3.")
    assert {"format", "lmdb", "kernel", "numpy"} <= set(versions)
    assert found["lock"].facts == {"held": False}
    assert found["readers"].facts["count"] == 0
    assert found["jobs"].facts == {"waiting": 101, "retried": 0, "failed": 0}


def test_what_is_no_database(filled, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine").write_text("x")
    with EmbeddedDB(filled, ml=None) as db:
        db.backup(tmp_path / "backup")
    shutil.copytree(tmp_path / "backup", tmp_path / "part")
    (tmp_path / "part" / "MANIFEST").unlink()
    for name, why, remedy in [
        ("nowhere", "No such file", "check the path"),
        ("file", "is a file", "name the directory"),
        ("empty", "no database", "name the directory"),
        ("foreign", "no database", "name the directory"),
        ("backup", "is a backup", "embedded-db restore"),
        ("part", "was broken off", "delete it"),
    ]:
        found = only(tmp_path / name, "database")
        assert (found.level, why in found.text, remedy in found.remedy) == ("error", True, True), (
            found
        )
    for wrong in ("", None, 7):
        with pytest.raises(InvalidInput):
            EmbeddedDB.doctor(wrong)


def test_a_database_that_cannot_be_opened(filled):
    current = (filled / "CURRENT").read_bytes()
    for content, remedy in [
        (current[:-3] + b"xx\n", "embedded-db repair"),
        (b"", "embedded-db repair"),
        (b"embedded-db format 7\n", "install a newer"),
    ]:
        (filled / "CURRENT").write_bytes(content)
        found = only(filled, "database")
        assert (found.level, remedy in found.remedy) == ("error", True), found
    (filled / "CURRENT").write_bytes(current)
    whole = (filled / DATA).read_bytes()
    for content, why in [
        (whole[: len(whole) // 2], "cut off"),
        (b"x" * len(whole), "meta page"),
        (whole[: 2 * PAGE] + bytes(len(whole) - 2 * PAGE), "page"),
    ]:
        (filled / DATA).write_bytes(content)
        found = look(filled)["data"]
        assert (found.level, why in found.text, "embedded-db repair" in found.remedy) == (
            "error",
            True,
            True,
        ), found
    (filled / DATA).unlink()
    assert "missing" in only(filled, "database").text


def test_a_meta_page_that_is_damaged(filled):
    whole, levels = (filled / DATA).read_bytes(), set()
    for page in range(2):
        overwrite(filled / DATA, page * PAGE, bytes(PAGE))
        levels.add(only(filled, "data").level)
        (filled / DATA).write_bytes(whole)
    assert levels == {"warning", "error"}, "the older one, and the one that is needed"


def test_sums_that_say_nothing(filled):
    sums = (filled / SUMS).read_bytes()
    (filled / SUMS).unlink()
    assert "is missing" in only(filled, "sums").text
    (filled / SUMS).write_bytes(b"x" * len(sums))
    assert "does not begin" in only(filled, "sums").text
    (filled / SUMS).write_bytes(sums[:100])
    assert "cut off" in only(filled, "sums").text
    # In use, at another place: as after a power cut, or in a copy.
    (filled / SUMS).write_bytes(sums)
    overwrite(filled / SUMS, 32, (1).to_bytes(4, "little") + bytes(4) + bytes(40))
    assert "in use" in only(filled, "sums").text
    with EmbeddedDB(filled, ml=None):
        pass
    assert EmbeddedDB.doctor(filled).ok, "as it says, opening for writing helps"


def test_room_that_could_be_given_back(path):
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        ids = db.create_nodes([{"label": "X", "properties": {"b": bytes(1 << 20)}}] * 20)
        for id in ids:
            db.delete_node(id)
        db.create_node({"label": "X"})
    found = only(path, "size")
    assert found.facts["reclaimable"] > 16 << 20
    assert "embedded-db compact" in found.remedy
    with EmbeddedDB(path, ml=None) as db:
        db.compact()
    assert EmbeddedDB.doctor(path).ok


def test_less_room_than_data(filled):
    """The data is made long without taking room."""
    free = look(filled)["free space"].facts["bytes"]
    with (filled / DATA).open("r+b") as file:
        file.truncate(free + (1 << 32))
    found = only(filled, "free space")
    assert (found.level, "compact" in found.remedy) == ("warning", True)


@pytest.mark.parametrize(
    ("limit", "least", "level", "remedy"),
    [
        ("NOFILE", 40, "warning", "ulimit -n"),
        ("AS", 16 << 30, "error", "ulimit -v"),
        ("FSIZE", 100_000, "error", "ulimit -f"),
    ],
)
def test_limits(filled, spawn, limit, least, level, remedy):
    child = spawn(
        """
        import resource, sys
        from embedded_db import EmbeddedDB
        path, limit, least = sys.argv[1:]
        least = int(least)
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (least, least))
        for found in EmbeddedDB.doctor(path).findings:
            if found.about == "limits":
                print(found.level, found.remedy, flush=True)
        """,
        filled,
        limit,
        least,
    )
    line = child.stdout.readline()
    assert (line.split()[0], remedy in line) == (level, True), line


READER = """
    import sys
    from embedded_db import EmbeddedDB
    with EmbeddedDB(sys.argv[1], ml=None, read_only=True) as db, db.snapshot() as s:
        print("held", flush=True)
        sys.stdin.readline()
"""


def test_who_writes_and_who_reads(filled, spawn):
    readers = [spawn(READER, filled) for _ in range(2)]
    assert [reader.stdout.readline() for reader in readers] == ["held\n"] * 2
    # Without a log: that of a writer holds the state of its last checkpoint.
    with EmbeddedDB(filled, ml=None, durability="memory") as db:
        for n in range(5):
            db.create_node({"id": f"n{n}", "label": "X"})
        found = look(filled)
        assert found["lock"].facts["pid"] == os.getpid()
        assert found["lock"].facts["alive"] is True
        assert found["readers"].facts["oldest_behind"] >= 5

        def are_two():
            told = look(filled)["readers"].facts
            return (told["count"], told["processes"], told["dead"]) == (2, 2, 0)

        eventually(are_two, "two readers, and none of what this process does for itself")
        # Looking has not made this process forget its own readers, nor the others them.
        with db.snapshot() as snapshot:
            assert look(filled)["readers"].facts["processes"] == 3
            with_another = spawn(READER, filled)
            assert with_another.stdout.readline() == "held\n"
            assert look(filled)["readers"].facts["processes"] == 4
            assert snapshot.count("X") == 5
        readers[0].kill()
        readers[0].wait(timeout=60)
        found = only(filled, "readers")
        assert str(readers[0].pid) in found.text
        assert found.facts["dead"] == 1
    with EmbeddedDB(filled, ml=None):
        assert look(filled)["readers"].facts["dead"] == 0, "as it says, opening helps"


def test_a_writer_on_another_machine(filled):
    """What a shared file system would show."""
    with (filled / "writer.lock").open("r+") as file:
        file.truncate()
        file.write("4711 elsewhere\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        found = only(filled, "lock")
    assert (found.facts["pid"], found.facts["host"], found.facts["alive"]) == (
        4711,
        "elsewhere",
        None,
    )


def test_beside_a_writer_that_never_rests(path, spawn):
    writer = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        with EmbeddedDB(sys.argv[1], ml=None, durability="memory") as db:
            n = 0
            while True:
                db.create_nodes([{"id": f"{n}-{i}", "label": "X"} for i in range(20)])
                n += 1
                if n == 20:
                    print("writing", flush=True)
        """,
        path,
    )
    assert writer.stdout.readline() == "writing\n"
    for _ in range(5):
        found = look(path)
        assert {finding.level for finding in found.values()} == {"ok"}, found
        assert found["lock"].facts["pid"] == writer.pid
    assert writer.poll() is None


def test_what_was_left_half_done(filled, tmp_path):
    shutil.copytree(filled / GENERATION, filled / "gen-0000000009")
    assert "generation 9" in only(filled, "leftovers").text
    with EmbeddedDB(filled, ml=None):
        assert look(filled)["leftovers"].facts == {"count": 0}, "as it says, opening helps"
        shutil.copytree(filled / GENERATION, filled / "gen-0000000009")
        found = look(filled)["leftovers"]
        assert (found.level, found.facts) == ("ok", {"count": 1}), "a compaction may be under way"
    shutil.rmtree(filled / "gen-0000000009")
    shutil.copytree(filled, tmp_path / f".embedded-db-restoring_{'0' * 32}")
    assert ".embedded-db-restoring_" in only(filled, "leftovers").text


def test_work_that_waits_and_work_that_failed(path):
    model = FakeModel()
    weaver = {"max_attempts": 1, "first_delay": 0.0, "max_delay": 0.0}
    with EmbeddedDB(path, ml=model, weaver=weaver, durability="memory") as db:
        model.fail("raise")
        chat = db.create_chat()
        chat.add_message("Alice met Bob")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
    found = only(path, "jobs")
    assert found.facts["failed"] >= 1
    assert "retry_failed" in found.remedy
    with EmbeddedDB(path, ml=None) as db:
        db.get_node(chat.id).add_message("Alice met Carol")
    assert look(path)["jobs"].facts["waiting"] >= 2
    model.recover()


def test_a_reader_that_was_stopped_is_alive(filled, spawn):
    reader = spawn(READER, filled)
    assert reader.stdout.readline() == "held\n"
    reader.send_signal(signal.SIGSTOP)
    assert look(filled)["readers"].facts["dead"] == 0
    reader.send_signal(signal.SIGCONT)
