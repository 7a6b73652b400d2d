"""The black box tells what a database did last, however its process ended.

A child tells after each write what it has stored, and is killed, or kills itself by a segmentation
fault or a panic. What it had told must be in the black box, which is read without opening the
database; what it had not is at most the one operation that it was at.
"""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from embedded_db import (
    BlackBoxEvent,
    Corruption,
    EmbeddedDB,
    InvalidInput,
    NotFound,
    QuotaExceeded,
)
from embedded_db.testing import FakeModel

WRITER = """
    import sys
    from embedded_db import EmbeddedDB
    db = EmbeddedDB(sys.argv[1], ml=None, durability=sys.argv[2])
    while True:
        db.create_node({"label": "Thing"})
        print(db.stats()["lsn"], flush=True)
"""


def commits(events):
    return [event for event in events if event.what == "commit" and event.lsn]


def told(child, seconds):
    """Give the last number that a child printed before it was killed, and kill it."""
    lines = [child.stdout.readline()]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        lines.append(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.read().splitlines()
    assert child.wait() == -signal.SIGKILL
    return int([line for line in lines if line.strip()][-1])


@pytest.mark.parametrize("durability", ["durable", "relaxed", "memory"])
def test_the_last_event_is_at_most_one_operation_old_after_a_kill(
    tmp_path, spawn, durability, thorough
):
    for number in range(7 if thorough else 2):
        path = tmp_path / f"{number}.db"
        last = told(spawn(WRITER, path, durability), seconds=0.02 * number)
        events = EmbeddedDB.read_blackbox(path)
        newest = commits(events)[-1]
        assert last <= newest.lsn <= last + 1
        assert [event for event in events if event.ending == "running"] in ([], [events[-1]])
        assert {event.process for event in events} == {newest.process}
        assert (events[0].what, events[0].number) == ("open", 1) or events[0].number > 1
        with EmbeddedDB(path, ml=None) as db:
            assert db.stats()["lsn"] >= last
            later = [event for event in db.blackbox() if event.number > events[-1].number]
            assert later[0].what == "open", "it goes on"


def test_a_segmentation_fault_leaves_what_was_done_before(path, run_python):
    done = run_python(
        """
        import ctypes, sys
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(sys.argv[1], ml=None)
        for _ in range(10):
            db.create_node({"label": "Thing"})
        print(db.stats()["lsn"], flush=True)
        ctypes.string_at(0)
        """,
        path,
    )
    assert done.returncode == -signal.SIGSEGV
    assert commits(EmbeddedDB.read_blackbox(path))[-1].lsn == int(done.stdout)


def test_a_process_that_dies_in_a_call_leaves_the_call(path, run_python):
    """The model is asked by the query, in a call that never ends."""
    done = run_python(
        """
        import os, sys
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        class Dying(FakeModel):
            def embed(self, texts):
                os._exit(7)
        db = EmbeddedDB(sys.argv[1], ml=Dying(), warm_up=False)
        db.create_node({"label": "Thing"})
        db.query(semantic_query={"text": "hello"})
        """,
        path,
    )
    assert done.returncode == 7, done.stderr
    last = EmbeddedDB.read_blackbox(path)[-1]
    assert (last.what, last.ending, last.seconds) == ("query", "running", None)


def test_a_panic_is_an_event_that_names_its_place(path, run_python):
    done = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB, InternalError
        db = EmbeddedDB(sys.argv[1], ml=None)
        try:
            db._native._panic_for_test(True)
        except InternalError as error:
            assert "blackbox" in error.hint, error.hint
        db.create_node({"label": "Thing"})
        db.close()
        """,
        path,
    )
    assert done.returncode == 0, done.stderr
    events = EmbeddedDB.read_blackbox(path)
    (panic,) = [event for event in events if event.what == "panic"]
    assert panic.ending == "failed"
    assert ".rs:" in panic.detail
    assert "a defect for a test" not in panic.detail, "its text may hold what a user has stored"
    assert [event.what for event in events][-2:] == ["commit", "close"], "the database went on"


def test_events_say_what_was_done_and_how_it_ended(path, tmp_path):
    begun = datetime.now(UTC)
    with EmbeddedDB(path, ml=None, quota={"max_nodes": 1}) as db:
        db.create_node({"label": "Thing", "properties": {"text": "hello"}})
        with pytest.raises(QuotaExceeded):
            db.create_node({"label": "Thing"})
        db.query(text_query={"text": "hello"})
        db.verify()
        db.backup(tmp_path / "backup")
        events = db.blackbox()
        lsn = db.stats()["lsn"]
    assert all(isinstance(event, BlackBoxEvent) for event in events)
    assert [event.number for event in events] == sorted(event.number for event in events)
    by_user = [(event.what, event.ending, event.detail) for event in events]
    assert by_user[0] == ("open", "ok", "")
    assert by_user[-5:] == [
        ("commit", "ok", ""),
        ("commit", "failed", "QuotaExceeded"),
        ("query", "ok", ""),
        ("verify", "ok", ""),
        ("backup", "ok", ""),
    ]
    assert (events[-5].lsn, events[-5].entries, events[-4].lsn) == (lsn, 1, 0)
    for event in events:
        assert begun - timedelta(seconds=5) <= event.time <= datetime.now(UTC)
        assert 0 <= event.seconds < 60


def test_only_the_last_thousand_are_kept(path):
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        for _ in range(1200):
            db.create_node({"label": "Thing"})
        events = db.blackbox()
        assert len(events) == 1000
        assert [event.number for event in events] == list(
            range(events[0].number, events[0].number + 1000)
        )
        assert events[-1].lsn == db.stats()["lsn"]


def test_readers_of_other_processes_see_it_and_write_none(path, run_python):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"label": "Thing"})
        done = run_python(
            """
            import sys
            from embedded_db import EmbeddedDB
            with EmbeddedDB(sys.argv[1], ml=None, read_only=True) as db:
                db.query(text_query={"text": "hello"})
                print(db.blackbox()[-1].number)
            """,
            path,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) == db.blackbox()[-1].number
    assert EmbeddedDB.read_blackbox(path)[-1].what == "close"


def test_nothing_of_a_user_is_in_it(path):
    secret = "planted-secret"
    with EmbeddedDB(path, ml=FakeModel()) as db:
        db.create_node({"id": secret, "label": secret, "properties": {secret: secret}})
        db.create_chat(secret).add_message(secret)
        with pytest.raises(NotFound):
            db.update_node(f"x-{secret}", {secret: secret})
        db.flush(timeout=60)
        db.query(text_query={"text": secret})
        db.search(secret, weights={"semantic": 0})
    assert secret.encode() not in (path / "blackbox").read_bytes()


def test_a_damaged_or_missing_one_stops_nobody(path):
    EmbeddedDB(path, ml=None).close()
    file = path / "blackbox"
    file.write_bytes(b"nonsense")
    with pytest.raises(Corruption, match="black box"):
        EmbeddedDB.read_blackbox(path)
    with EmbeddedDB(path, ml=None) as db:
        assert db.blackbox()[0].what == "open"
    file.unlink()
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        assert db.blackbox() == []
    with pytest.raises(NotFound):
        EmbeddedDB.read_blackbox(path)
    file.mkdir()
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"label": "Thing"})
        found = {found.about: found for found in db.health().findings}["black box"]
        assert (found.level, "blackbox" in found.text) == ("warning", True)


def test_it_can_be_switched_off(path):
    with EmbeddedDB(path, ml=None, blackbox=False) as db:
        db.create_node({"label": "Thing"})
        assert db.blackbox() == []
    assert not (path / "blackbox").exists()


def test_a_database_in_memory_has_one(tmp_path):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_node({"label": "Thing"})
        assert db.blackbox()[-1].what == "commit"


def test_the_command_reads_what_cannot_be_opened(path, tmp_path):
    pytest.importorskip("typer")
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"label": "Thing"})
    (path / "CURRENT").write_bytes(b"embedded-db damaged")

    def run(*arguments):
        command = [sys.executable, "-m", "embedded_db.cli", "blackbox", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    plain, machine = run(path), run(path, "--json")
    assert (plain.returncode, machine.returncode) == (0, 0), plain.stderr
    events = json.loads(machine.stdout)
    assert [event["what"] for event in events][-2:] == ["commit", "close"]
    assert set(events[0]) == {
        *("number", "time", "seconds", "process", "thread", "what", "ending", "detail"),
        *("lsn", "entries"),
    }
    assert len(plain.stdout.splitlines()) == len(events) + 1
    assert len(run(path, "--last", 1).stdout.splitlines()) == 2
    assert run(tmp_path / "nowhere").returncode == 10
    (path / "blackbox").write_bytes(b"x")
    assert run(path).returncode == 25
    assert Path(path, "CURRENT").read_bytes() == b"embedded-db damaged"


def test_a_file_of_that_name_elsewhere_is_left_alone(path):
    path.mkdir()
    (path / "blackbox").write_bytes(b"somebody else's")
    with pytest.raises(InvalidInput, match="blackbox"):
        EmbeddedDB(path, ml=None)
    assert [(file.name, file.read_bytes()) for file in path.iterdir()] == [
        ("blackbox", b"somebody else's")
    ]
