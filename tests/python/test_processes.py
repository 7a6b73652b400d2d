"""One process writes, any number read beside it, and each says plainly what it may not do."""

import os
import signal
import socket
import time

import pytest

from embedded_db import DatabaseLocked, EmbeddedDB, InvalidInput, ReadOnly

WRITER = """
import sys
from embedded_db import EmbeddedDB

db = EmbeddedDB(sys.argv[1], ml=None)
chat = db.create_chat(id="chat")
print("ready", flush=True)
for first in range(0, 10_000, 50):
    if first % 1000 == 0:
        sys.stdin.readline()
    # Sender, number and text of a batch agree, and batches of 50 come whole.
    chat.add_messages(
        [
            {"content": f"message number {n}", "sender": f"batch{first}", "n": n}
            for n in range(first, first + 50)
        ]
    )
print("done", flush=True)
sys.stdin.readline()
"""


def start_writer(spawn, path):
    writer = spawn(WRITER, path)
    assert writer.stdout.readline() == "ready\n"
    return writer


def tell(child, lines=1):
    """Let a writer write so many more thousands of messages, or end after the last."""
    child.stdin.write("\n" * lines)
    child.stdin.flush()


def test_a_reader_sees_whole_batches_while_ten_thousand_messages_are_written(
    path, spawn, run_python
):
    writer = start_writer(spawn, path)
    seen = []
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        told, deadline = 0, time.monotonic() + 90
        while not seen or seen[-1] < 10_000:
            assert time.monotonic() < deadline, seen[-3:]
            with reader.snapshot() as snapshot:
                count = snapshot.count("Message")
                assert count % 50 == 0, "a batch is seen whole"
                if count:
                    sender = f"batch{count - 50}"
                    filters = [{"property": "sender", "operator": "Equals", "value": sender}]
                    newest = snapshot.query(structural_filters=filters, limit=100)
                    assert sorted(r.node["n"] for r in newest) == list(range(count - 50, count))
                    words = snapshot.query(
                        text_query={"text": f"number {count - 1}"}, labels=["Message"], limit=1
                    )
                    assert words[0].node["n"] == count - 1
                    assert snapshot.count("Message") == count, "a snapshot stands still"
                    assert len(list(snapshot.edges("chat", "CONTAINS"))) == count
            seen.append(count)
            # It goes on while we read, but never far ahead of what we have seen.
            more = min(10, count // 1000 + 2) - told
            tell(writer, more)
            told += more
        assert seen == sorted(seen)
        assert len(set(seen)) > 5, "reading went on beside the writing"
        assert writer.stdout.readline() == "done\n"
        third = run_python(
            """
            import sys
            from embedded_db import DatabaseLocked, EmbeddedDB
            try:
                EmbeddedDB(sys.argv[1], ml=None, lock_timeout=0.2)
            except DatabaseLocked as error:
                print(error.pid, str(error.pid) in str(error))
            """,
            path,
        )
        assert third.stdout == f"{writer.pid} True\n", third.stderr


def test_a_second_writer_waits_for_the_first(path, spawn):
    writer = start_writer(spawn, path)
    second = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        print("waiting", flush=True)
        with EmbeddedDB(sys.argv[1], ml=None, lock_timeout=60) as db:
            db.create_node({"id": "second", "label": "X"})
        print("written", flush=True)
        """,
        path,
    )
    assert second.stdout.readline() == "waiting\n"
    tell(writer, 10 + 1)
    assert second.stdout.readline() == "written\n"
    with EmbeddedDB(path, ml=None) as db:
        assert db.exists("second")
        assert db.count("Message") == 10_000


def test_a_killed_writer_leaves_no_lock(path, spawn):
    writer = start_writer(spawn, path)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    with EmbeddedDB(path, ml=None, lock_timeout=0.5) as db:
        assert db.exists("chat")


HOLDER = """
import sys
from embedded_db import EmbeddedDB

db = EmbeddedDB(sys.argv[1], ml=None)
print("ready", flush=True)
for line in sys.stdin:
    db.create_node({"id": line.strip(), "label": "X"})
    print("written", flush=True)
"""


def test_two_processes_never_both_write(path, spawn):
    holder = spawn(HOLDER, path)
    assert holder.stdout.readline() == "ready\n"
    for n in range(20):
        with pytest.raises(DatabaseLocked, match=r"memory\.db.*lock_timeout") as caught:
            EmbeddedDB(path, ml=None, lock_timeout=0)
        assert (caught.value.pid, caught.value.host) == (holder.pid, socket.gethostname())
        assert caught.value.retryable
        # Who was refused took nothing away from the holder.
        holder.stdin.write(f"n{n}\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "written\n"
        with EmbeddedDB(path, ml=None, read_only=True) as reader:
            assert reader.count("X") == n + 1
            with pytest.raises(ReadOnly):
                reader.create_node({"label": "X"})
    holder.communicate()
    with EmbeddedDB(path, ml=None, lock_timeout=0) as db:
        assert db.count("X") == 20
        assert db.verify()["ok"]


def test_a_lock_file_that_names_a_living_process_locks_nothing(path, spawn):
    killed = spawn(HOLDER, path)
    assert killed.stdout.readline() == "ready\n"
    with pytest.raises(DatabaseLocked):
        EmbeddedDB(path, ml=None, lock_timeout=0)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    lock = path / "writer.lock"
    assert lock.read_text().split()[0] == str(killed.pid), "it is left behind"
    # The number of the dead process now belongs to a living one.
    for living in (os.getpid(), os.getppid(), 1):
        lock.write_text(f"{living} {socket.gethostname()}\n")
        with EmbeddedDB(path, ml=None, lock_timeout=0) as db:
            assert lock.read_text().split()[0] == str(os.getpid())
            db.create_node({"label": "X"})
            assert db.verify()["ok"]


@pytest.mark.parametrize("left", ["", "no number at all", "99999999999999999999 host", "\0" * 4096])
def test_a_lock_file_that_says_nothing_locks_nothing(path, left):
    EmbeddedDB(path, ml=None).close()
    (path / "writer.lock").write_text(left)
    with EmbeddedDB(path, ml=None, lock_timeout=0) as db:
        db.create_node({"label": "X"})


def test_the_same_path_is_shared_in_one_process(path):
    with EmbeddedDB(path, ml=None) as one, EmbeddedDB(str(path), ml=None) as two:
        one.create_node({"id": "a", "label": "X"})
        assert two.exists("a")
        with pytest.raises(InvalidInput):
            EmbeddedDB(path, ml=None, language="none")
        one.close()
        two.create_node({"id": "b", "label": "X"})
        assert two.exists("b")
    with EmbeddedDB(path, ml=None) as again:
        assert again.count("X") == 2


def test_importing_is_light(run_python):
    run = run_python(
        """
        import sys
        import embedded_db
        heavy = {"onnxruntime", "tokenizers", "torch", "transformers", "spacy", "typer", "rich",
                 "embedded_db_minilm", "pytest", "embedded_db.ml"}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    assert run.stdout == "[]\n", run.stderr
