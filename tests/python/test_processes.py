"""One process writes, any number read beside it, and each says plainly what it may not do."""

import os
import signal
import time

import pytest

from embedded_db import EmbeddedDB, InvalidInput

WRITER = """
import sys
from embedded_db import EmbeddedDB

db = EmbeddedDB(sys.argv[1], ml=None)
chat = db.create_chat(id="chat")
print("ready", flush=True)
sys.stdin.readline()
for first in range(0, 10_000, 50):
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


def tell(child):
    child.stdin.write("\n")
    child.stdin.flush()


def test_a_reader_sees_whole_batches_while_ten_thousand_messages_are_written(
    path, spawn, run_python
):
    writer = start_writer(spawn, path)
    seen = []
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        tell(writer)
        deadline = time.monotonic() + 90
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
        assert seen == sorted(seen)
        assert len(set(seen)) > 2, "reading went on beside the writing"
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
    tell(writer)
    tell(writer)
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


def test_a_handle_does_not_work_in_a_forked_child(run_python, path):
    run = run_python(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
        from embedded_db import EmbeddedDB, ForkedHandle
        db = EmbeddedDB(sys.argv[1], ml=None)
        db.create_node({"id": "a", "label": "X"})
        child = os.fork()
        if child == 0:
            for call in (lambda: db.get_node("a"), lambda: db.create_node({"label": "X"}),
                         lambda: db.query(labels=["X"])):
                try:
                    call()
                except ForkedHandle as error:
                    assert str(os.getppid()) in str(error) and "open" in str(error).lower()
                else:
                    os._exit(1)
            db.close()
            sys.exit(0)  # the child's exit hooks run, and must leave the parent's files alone
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        db.create_node({"id": "b", "label": "X"})
        assert db.count("X") == 2
        db.close()
        with EmbeddedDB(sys.argv[1], ml=None) as again:
            assert again.count("X") == 2 and again.verify()["ok"]
        print("done")
        """,
        path,
    )
    assert run.stdout == "done\n", run.stderr
    assert run.returncode == 0


def test_a_program_may_end_without_closing(run_python, path):
    for number in range(20):
        run = run_python(
            """
            import sys
            from embedded_db import EmbeddedDB
            from embedded_db.testing import FakeModel
            db = EmbeddedDB(sys.argv[1], ml=FakeModel())
            chat = db.create_chat()
            chat.add_messages([{"content": f"Alice met Bob {n}"} for n in range(200)])
            other = db.namespace("other")
            if sys.argv[2] == "1":
                raise SystemExit(0)
            """,
            path,
            number % 2,
        )
        assert (run.returncode, run.stderr) == (0, "")
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Message") == 4000
        assert db.verify()["ok"]


def test_a_program_may_end_by_an_exception(run_python, path):
    run = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        db = EmbeddedDB(sys.argv[1], ml=FakeModel())
        db.create_message("chat", "kept")
        raise RuntimeError("the program's own")
        """,
        path,
    )
    assert run.returncode == 1
    assert "the program's own" in run.stderr
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Message") == 1


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
