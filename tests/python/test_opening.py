"""Opening one path never stands in the way of another, or of a forked child."""

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from embedded_db import DatabaseClosed, EmbeddedDB

WRITER = """
import sys
from embedded_db import EmbeddedDB

db = EmbeddedDB(sys.argv[1], ml=None)
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def taken(path, spawn):
    """A path that another process writes to."""
    writer = spawn(WRITER, path)
    assert writer.stdout.readline() == "ready\n"
    yield path
    writer.communicate("\n")


@pytest.fixture
def waiting(path, spawn):
    """A thread of this process that waits for a path that another process writes to."""
    writer = spawn(WRITER, path)
    assert writer.stdout.readline() == "ready\n"
    outcome: list[object] = []

    def wait() -> None:
        try:
            EmbeddedDB(path, ml=None, lock_timeout=60).close()
            outcome.append("opened")
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)  # it has begun to wait; if not, the tests prove less but fail never
    assert thread.is_alive(), outcome
    yield thread
    writer.communicate("\n")
    thread.join(60)
    assert outcome == ["opened"]


def test_waiting_for_a_writer_holds_nobody_up(waiting, tmp_path):
    begun = time.monotonic()
    with EmbeddedDB(tmp_path / "other.db", ml=None) as db:
        db.create_node({"id": "a", "label": "X"})
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_node({"id": "a", "label": "X"})
    assert waiting.is_alive(), time.monotonic() - begun


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_forked_while_a_thread_waits_can_open(run_python, taken, tmp_path):
    run = run_python(
        """
        import os, signal, sys, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
        from embedded_db import DatabaseClosed, DatabaseLocked, EmbeddedDB

        def wait():
            try:
                EmbeddedDB(sys.argv[1], ml=None, lock_timeout=2)
            except DatabaseLocked:
                print("locked", flush=True)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        child = os.fork()
        if child == 0:
            signal.alarm(90)  # ends a child that hangs
            with EmbeddedDB(sys.argv[2], ml=None) as db:
                db.create_node({"id": "child", "label": "X"})
            try:
                # The thread that was opening this path is not in the child.
                EmbeddedDB(sys.argv[1], ml=None, lock_timeout=0)
            except DatabaseLocked:
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        thread.join()
        print(status)
        """,
        taken,
        tmp_path / "other.db",
    )
    assert run.stdout == "locked\n0\n", run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_children_forked_while_threads_open_and_close_never_hang(run_python, tmp_path):
    run = run_python(
        """
        import os, signal, sys, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
        from embedded_db import EmbeddedDB

        ended = threading.Event()
        opened = [0, 0]

        def churn(number):
            while not ended.is_set():
                EmbeddedDB(f"{sys.argv[1]}/{number}", ml=None, durability="memory").close()
                opened[number] += 1

        threads = [threading.Thread(target=churn, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        failed = forks = 0
        # On a busy machine the threads may need more.
        while forks < 60 or min(opened) <= 5:
            forks += 1
            child = os.fork()
            if child == 0:
                signal.alarm(90)  # ends a child that hangs
                EmbeddedDB(f"{sys.argv[1]}/child", ml=None, durability="memory").close()
                os._exit(0)
            _, status = os.waitpid(child, 0)
            failed += status != 0
        ended.set()
        for thread in threads:
            thread.join()
        assert min(opened) > 5, opened
        print(failed)
        """,
        tmp_path,
    )
    assert run.stdout == "0\n", run.stderr


def test_threads_that_open_one_path_share_it(path):
    handles: list[EmbeddedDB] = []
    start = threading.Barrier(8)

    def open_it() -> None:
        start.wait()
        handles.append(EmbeddedDB(path, ml=None, lock_timeout=0))

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == 8
    handles[0].create_node({"id": "a", "label": "X"})
    assert all(handle.exists("a") for handle in handles)
    for handle in handles:
        handle.close()
    with EmbeddedDB(path, ml=None, lock_timeout=0) as again:
        assert again.exists("a")


def test_what_is_half_used_ends_with_close(path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"id": f"n{n}", "label": "Note"} for n in range(3000)])
        iterator = db.nodes("Note")
        first = next(iter(iterator))
        snapshot = db.snapshot()
        transaction = db.transaction().__enter__()
        transaction.create_node({"id": "never", "label": "Note"})
    with EmbeddedDB(path, ml=None, lock_timeout=0) as again:
        assert again.count("Note") == 3000
        for use in (
            lambda: list(iterator),
            lambda: snapshot.get_node("n0"),
            lambda: transaction.get_node("n0"),
        ):
            with pytest.raises(DatabaseClosed):
                use()
        assert not again.exists("never")
    assert first.id == "n0"


@pytest.fixture
def public():
    """A directory whose parents everybody may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


NOBODY = """
import fcntl, os, sys
from pathlib import Path
from embedded_db import DatabaseLocked, EmbeddedDB, StorageError

def unwritable(path):
    for entry in [path, *path.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)

def give_up_root():
    if os.getuid() == 0:
        os.setuid(65534)  # root may write everywhere

path = Path(sys.argv[1]) / "memory.db"
with EmbeddedDB(path, ml=None) as db:
    db.create_node({"id": "kept", "label": "X"})
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
@pytest.mark.parametrize("lock_file", ["there", "gone"])
def test_a_directory_that_cannot_be_written_can_be_read(run_python, public, lock_file):
    run = run_python(
        NOBODY
        + """
if sys.argv[2] == "gone":
    next(path.rglob("lock.mdb")).unlink()
unwritable(path)
give_up_root()
try:
    EmbeddedDB(path, ml=None)
except StorageError as error:
    print("read_only=True" in str(error))
with EmbeddedDB(path, ml=None, read_only=True) as db:
    print(db.exists("kept"), db.count("X"))
    # It keeps writers out: they would overwrite what it reads.
    child = os.fork()
    if child == 0:
        with (path / "writer.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os._exit(0)
        os._exit(1)
    print(os.waitpid(child, 0)[1])
""",
        public,
        lock_file,
    )
    assert run.stdout == "True\nTrue 1\n0\n", run.stderr


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
def test_a_reader_that_cannot_register_is_refused_beside_a_writer(run_python, public):
    run = run_python(
        NOBODY
        + """
ready, say = os.pipe()
child = os.fork()
if child == 0:
    os.read(ready, 1)
    give_up_root()
    try:
        EmbeddedDB(path, ml=None, read_only=True, lock_timeout=0)
    except StorageError as error:
        os._exit(0 if "lock.mdb" in str(error) else 2)
    os._exit(1)
with EmbeddedDB(path, ml=None) as writer:
    unwritable(path)
    os.write(say, b"!")
    print(os.waitpid(child, 0)[1])
""",
        public,
    )
    assert run.stdout == "0\n", run.stderr


def test_too_little_address_space_is_an_error_with_its_remedy(run_python, path):
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_AS
    run = run_python(
        """
        import resource, sys
        from embedded_db import EmbeddedDB, StorageError
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        try:
            EmbeddedDB(sys.argv[1], ml=None)
        except StorageError as error:
            print("ulimit -v" in str(error), "map_size_max" in str(error))
        with EmbeddedDB(sys.argv[1], ml=None, map_size_max=1 << 30) as db:
            print(db.create_node({"id": "a", "label": "X"}))
        """,
        path,
    )
    assert run.stdout == "True True\na\n", run.stderr
