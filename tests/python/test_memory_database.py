"""``":memory:"`` is a private database that leaves nothing behind."""

import os
import signal
from pathlib import Path

import pytest

from embedded_db import DatabaseClosed, EmbeddedDB, InvalidInput


def test_two_handles_share_nothing():
    with EmbeddedDB(":memory:", ml=None) as one, EmbeddedDB(":memory:", ml=None) as other:
        one.create_node({"id": "a", "label": "X"})
        assert not other.exists("a")
        assert one.path != other.path


def test_it_does_everything_a_database_does():
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat(title="Memory")
        chat.add_message("Kept as long as it is open")
        assert [r.node.content for r in db.query(text_query={"text": "kept"})]
        assert db.verify()["ok"]
        with db.transaction() as tx:
            tx.create_node({"id": "a", "label": "X"})
        assert db.namespace("other").count() == 0


def test_nothing_is_left_after_closing():
    db = EmbeddedDB(":memory:", ml=None)
    db.create_node({"label": "X"})
    assert Path(db.path).exists()
    db.close()
    assert not Path(db.path).exists()


def test_nothing_is_left_after_the_end_of_the_process(run_python):
    run = run_python(
        """
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(":memory:", ml=None)
        db.create_node({"label": "X"})
        print(db.path)
        """
    )
    assert run.returncode == 0, run.stderr
    assert not Path(run.stdout.strip()).exists()


def test_what_a_killed_process_left_is_swept_by_the_next(spawn):
    child = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(":memory:", ml=None)
        db.create_node({"label": "X"})
        print(db.path, flush=True)
        sys.stdin.read()
        """
    )
    left = Path(child.stdout.readline().strip())
    assert left.exists()
    with EmbeddedDB(":memory:", ml=None):
        assert left.exists(), "a directory in use is not swept"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    # It left the directory. Any process of this machine may sweep it now; the next one does.
    with EmbeddedDB(":memory:", ml=None):
        assert not left.exists()


def test_a_new_database_is_small_and_quick(tmp_path):
    with EmbeddedDB(tmp_path / "new", ml=None) as db:
        db.count()
        size = sum(
            os.stat(file).st_blocks * 512 for file in Path(db.path).rglob("*") if file.is_file()
        )
    assert size <= 1 << 20


def test_messages_call_it_as_the_user_does():
    db = EmbeddedDB(":memory:", ml=None)
    hidden = db.path
    assert repr(db) == "EmbeddedDB(':memory:')"
    other = db.namespace("other")
    for n in range(600):
        db.create_node({"id": f"n{n}", "label": "X"})
    snapshot, nodes = db.snapshot(), db.nodes()
    node = db.get_node("n1")
    with db.transaction(), pytest.raises(InvalidInput, match=":memory:") as nested:
        db.transaction().__enter__()
    db.close()
    calls = [db.count, other.count, snapshot.count, lambda: list(nodes), lambda: db.get_node("n1")]
    for call in calls:
        with pytest.raises(DatabaseClosed, match=":memory:") as raised:
            call()
        assert hidden not in str(raised.value)
        assert raised.value.path == ":memory:"
    assert hidden not in str(nested.value)
    assert hidden not in repr([db, other])
    assert node.id == "n1"
