"""Several processes write to one database at once, whichever of them ends, stops or is killed."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from embedded_db import (
    AlreadyExists,
    AsyncEmbeddedDB,
    DatabaseClosed,
    DatabaseLocked,
    DbError,
    EmbeddedDB,
    ForkedHandle,
    InvalidInput,
    ModelUnavailable,
    OutcomeUnknown,
    ReadOnly,
)
from embedded_db.testing import FakeModel
from harness.waiting import eventually, interrupted

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets")

PATIENT = 60.0

HOLDER = """
import sys
from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

ml = FakeModel() if "model" in sys.argv[2:] else None
db = EmbeddedDB(sys.argv[1], ml=ml, shared=True)
print("ready", flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    exec(line)
    print("done", flush=True)
db.close()
print("closed", flush=True)
"""


def begin(spawn, path, *options):
    child = spawn(HOLDER, path, *options)
    assert child.stdout.readline() == "ready\n"
    return child


def tell(child, line):
    child.stdin.write(line + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "done\n"


def end(child):
    child.stdin.write("end\n")
    child.stdin.flush()
    assert child.stdout.readline() == "closed\n"


def stop(child):
    os.kill(child.pid, signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)


@pytest.fixture
def holder(spawn, path):
    """Another process that holds the right to write."""
    return begin(spawn, path)


@pytest.fixture
def guest(holder, path):
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=PATIENT) as db:
        yield db


def role(db):
    return db.stats()["shared"]["role"]


def test_a_handle_says_who_writes(holder, guest, path):
    assert guest.stats()["shared"] == {"role": "forwards", "pid": holder.pid, "connections": None}
    assert repr(guest) == f"EmbeddedDB({str(path)!r}, shared=True, forwards)"
    end(holder)
    guest.create_node({"label": "X"})
    assert guest.stats()["shared"] == {"role": "holds", "pid": os.getpid(), "connections": 0}
    assert repr(guest) == f"EmbeddedDB({str(path)!r}, shared=True, holds)"
    with EmbeddedDB(":memory:", ml=None) as other:
        assert other.stats()["shared"] is None
        assert "shared" not in repr(other)


WRITER = """
import sys
from embedded_db import EmbeddedDB, OutcomeUnknown, AlreadyExists

path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
db = EmbeddedDB(path, ml=None, shared=True, lock_timeout=60)
print("ready", flush=True)
sys.stdin.readline()
for n in range(count):
    message = {"id": f"{name}-{n}", "sender": name, "content": f"number {n}", "n": n}
    try:
        db.create_message("all", **message)
    except OutcomeUnknown:
        # Its id tells whether it was done.
        try:
            db.create_message("all", **message)
        except AlreadyExists:
            pass
    print(n, flush=True)
print("over", flush=True)
sys.stdin.readline()
db.close()
"""


def test_four_processes_write_at_once(path, spawn):
    count = 150
    writers = [spawn(WRITER, path, f"w{n}", count) for n in range(4)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        assert [writer.stdout.readline() for _ in range(count)] == [f"{n}\n" for n in range(count)]
    with EmbeddedDB(path, ml=None, shared=True) as db:
        said = [(message.sender, message["n"]) for message in db.get_node("all").messages()]
        assert len(said) == 4 * count
        for n in range(4):
            own = [number for sender, number in said if sender == f"w{n}"]
            assert own == list(range(count)), "in the order of its writer, none lost or twice"
        assert db.verify()["ok"]


def test_threads_of_one_process_forward_at_once(guest, in_threads):
    def write(name):
        for n in range(20):
            guest.create_message("all", f"number {n}", sender=name, id=f"{name}-{n}")
            assert guest.get_node(f"{name}-{n}").content == f"number {n}"

    in_threads(*[lambda name=f"t{n}": write(name) for n in range(24)])
    said = [(message.sender, message.content) for message in guest.get_node("all").messages()]
    assert len(said) == 24 * 20
    for n in range(24):
        own = [content for sender, content in said if sender == f"t{n}"]
        assert own == [f"number {k}" for k in range(20)]


def test_a_holder_is_killed_and_another_takes_over(path, spawn, capsys):
    holder = begin(spawn, path)
    others = [begin(spawn, path) for _ in range(3)]
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=PATIENT) as db:
        db.create_node({"id": "before", "label": "X"})
        holder.kill()
        begun = time.monotonic()
        db.create_node({"id": "after", "label": "X"})
        took = time.monotonic() - begun
        with capsys.disabled():
            print(f"\ntaken over after {took * 1000:.0f} ms")
        assert took < PATIENT
        assert db.exists("before")
        shared = db.stats()["shared"]
        assert shared["pid"] in {os.getpid(), *(other.pid for other in others)}
        for n, other in enumerate(others):
            tell(other, f"db.create_node({{'id': 'other{n}', 'label': 'X'}})")
        assert db.count("X") == 5


def test_who_only_waits_takes_over_as_well(path, spawn):
    holder, other = begin(spawn, path, "model"), begin(spawn, path, "model")
    tell(holder, "db.weaver.pause(); db.create_message('c', 'Alice met Bob', id='m')")
    holder.kill()
    # Nobody calls it to: the weaver goes on there.
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        both = {"Alice", "Bob"}
        eventually(lambda: {e.label for e in db.nodes("Entity")} == both, "entities of both")
    # It lets others in a moment after its weaver has begun.
    tell(other, "while db.stats()['shared']['role'] != 'holds': pass")


def test_the_holder_closes_while_others_write(path, spawn):
    holder = begin(spawn, path)
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=PATIENT) as db:
        ended, numbers = threading.Event(), []

        def write():
            while not ended.is_set() or len(numbers) < 50:
                # No call fails: one that had not begun is made again by whoever writes then.
                db.create_node({"id": f"n{len(numbers)}", "label": "X"})
                numbers.append(len(numbers))

        writer = threading.Thread(target=write)
        writer.start()
        eventually(lambda: len(numbers) > 20, "some writes")
        end(holder)
        ended.set()
        writer.join()
        assert role(db) == "holds"
        assert db.count("X") == len(numbers)


def test_a_guest_that_is_killed_in_a_transaction_leaves_nothing(guest, path, spawn):
    other = begin(spawn, path)
    tell(other, "tx = db.transaction().__enter__(); tx.create_node({'id': 'half', 'label': 'X'})")
    other.kill()
    other.wait()
    assert not guest.exists("half")
    guest.create_node({"id": "half", "label": "X"})


def test_a_guest_that_stands_still_hinders_nobody(guest, path, spawn):
    guest.create_node({"id": "n", "label": "X", "properties": {"n": 0}})
    other = begin(spawn, path)
    tell(other, "tx = db.transaction().__enter__(); n = tx.get_node('n')['n']")
    tell(other, "tx.update_node('n', {'n': n + 1})")
    stop(other)
    guest.update_node("n", {"n": 10})
    with guest.transaction() as tx:
        tx.update_node("n", {"n": 11})
    os.kill(other.pid, signal.SIGCONT)
    tell(other, "import pytest, embedded_db")
    tell(other, "with pytest.raises(embedded_db.Conflict): tx.__exit__(None, None, None)")
    assert guest.get_node("n")["n"] == 11


def test_a_holder_that_stands_still_is_told_of(holder, path):
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=0.5) as db:
        db.create_node({"id": "before", "label": "X"})
        assert db.exists("before")
        stop(holder)
        assert db.count("X") == 1, "reads go on"
        with pytest.raises((OutcomeUnknown, DatabaseLocked), match=str(holder.pid)):
            db.create_node({"id": "during", "label": "X"})
        with pytest.raises(DatabaseLocked, match=str(holder.pid)) as caught:
            db.create_node({"id": "later", "label": "X"})
        assert caught.value.pid == holder.pid
        assert not db.exists("later")
        os.kill(holder.pid, signal.SIGCONT)
        eventually(lambda: _accepted(db), "a write that is accepted")
        assert not db.exists("later")
        assert db.count("X") in {2, 3}, "the first may have been done since"


def _accepted(db):
    try:
        db.create_node({"id": "after", "label": "X"})
    except DbError as error:
        # It may have been done by the call before.
        return error.code == "AlreadyExists"
    return True


def test_ctrl_c_ends_a_wait_for_the_holder(holder, path):
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=PATIENT) as db:
        stop(holder)
        interrupted(lambda: db.create_node({"label": "X"}))
        os.kill(holder.pid, signal.SIGCONT)
        db.create_node({"label": "Y"})


def test_a_holder_that_does_not_share_is_waited_for(path, spawn):
    with EmbeddedDB(path, ml=None):
        code = """
        import sys
        from embedded_db import EmbeddedDB, DatabaseLocked
        for timeout, shared in ((0.3, True), (60, True)):
            try:
                db = EmbeddedDB(sys.argv[1], ml=None, lock_timeout=timeout, shared=shared)
            except DatabaseLocked as error:
                print(error.pid, error.hint, flush=True)
        print(db.stats()["shared"]["role"], flush=True)
        """
        child = spawn(code, path)
        pid, hint = child.stdout.readline().split(maxsplit=1)
        assert (int(pid), "shared=True as well" in hint) == (os.getpid(), True)
    assert child.stdout.readline() == "holds\n"


def test_who_does_not_share_is_refused(guest, path, run_python):
    refused = run_python(
        """
        import sys
        from embedded_db import DatabaseLocked, EmbeddedDB
        try:
            EmbeddedDB(sys.argv[1], ml=None, lock_timeout=0.2)
        except DatabaseLocked as error:
            print("shared=True" in str(error), error.pid)
        with EmbeddedDB(sys.argv[1], ml=None, read_only=True) as db:
            print(db.count("X"))
        """,
        path,
    )
    pid = guest.stats()["shared"]["pid"]
    assert refused.stdout == f"True {pid}\n0\n", refused.stderr


def test_all_agree_on_what_counts(spawn, path):
    begin(spawn, path, "model")
    cases = [
        ({"durability": "relaxed"}, "durability is relaxed here and durable"),
        ({"language": "none"}, 'language is "none" here'),
        ({"quota": {"max_nodes": 3}}, "quota is "),
        ({"changes_retention": 1}, "changes_retention is "),
    ]
    for options, said in cases:
        with pytest.raises(InvalidInput, match="open it with the same") as caught:
            EmbeddedDB(path, ml=None, shared=True, **options)
        assert said in str(caught.value)
    other = FakeModel(dim=24)
    with pytest.raises(InvalidInput, match=r"the model is .*24 dimensions.*here"):
        EmbeddedDB(path, ml=other, shared=True)
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=1, metrics=False) as db:
        assert role(db) == "forwards"
    for options in ({"read_only": True}, {}):
        with pytest.raises(InvalidInput, match="leave it out"):
            EmbeddedDB(":memory:" if not options else path, ml=None, shared=True, **options)


def test_what_the_holder_alone_can_do_is_refused(holder, guest):
    for call in (guest.compact, guest.scrub):
        with pytest.raises(DatabaseLocked, match="only that process can") as caught:
            call()
        assert caught.value.pid == holder.pid


def test_enrichment_is_done_by_the_holder_then_here(path, spawn):
    holder = begin(spawn, path, "model")
    with EmbeddedDB(path, ml=FakeModel(), shared=True, lock_timeout=PATIENT) as db:
        message = db.create_message("chat", "Alice met Bob", id="m")
        db.wait_for(message, "entities", timeout=PATIENT)
        db.flush(timeout=PATIENT)
        assert {entity.label for entity in message.entities()} == {"Alice", "Bob"}
        assert db.weaver_status()["per_job"]["embedding"]["done"] == 1
        found = db.query(semantic_query={"text": "Alice"}, labels=["Message"], wait=5)
        assert [result.node.id for result in found] == ["m"]
        holder.kill()
        db.create_message("chat", "Bob met Carol", id="m2")
        db.flush(timeout=PATIENT)
        assert role(db) == "holds"
        assert {e.label for e in db.get_node("m2").entities()} == {"Bob", "Carol"}


def test_a_pause_ends_with_who_asked_for_it(path, spawn):
    begin(spawn, path, "model")
    other = begin(spawn, path)
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=PATIENT) as db:
        tell(other, "db.weaver.pause()")
        db.create_message("chat", "Alice met Bob", id="m")
        with pytest.raises(DbError, match="jobs left"):
            db.flush(timeout=0.3)
        other.kill()
        db.flush(timeout=PATIENT)


def test_a_child_does_not_keep_what_its_parent_held(path, spawn):
    holder = begin(spawn, path)
    fork = "import os, time; pid = os.fork(); pid or (time.sleep(300), os._exit(0)); print(pid)"
    holder.stdin.write(fork + "\n")
    holder.stdin.flush()
    child = int(holder.stdout.readline())
    assert holder.stdout.readline() == "done\n"
    try:
        with EmbeddedDB(path, ml=None, shared=True, lock_timeout=PATIENT) as db:
            assert role(db) == "forwards"
            holder.kill()
            holder.wait()
            db.create_node({"label": "X"})
            assert role(db) == "holds"
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_of_a_guest_is_refused(guest):
    guest.create_node({"label": "X"})
    pid = os.fork()
    if pid == 0:
        try:
            guest.create_node({"label": "X"})
        except ForkedHandle:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    guest.create_node({"label": "X"})
    assert guest.count("X") == 2


@pytest.mark.parametrize("ending", ["", "import os; os._exit(0)", "del db", "raise SystemExit(3)"])
def test_however_a_process_ends_the_next_goes_on(path, spawn, run_python, ending):
    holder = begin(spawn, path)
    code = (
        "import sys; from embedded_db import EmbeddedDB\n"
        "db = EmbeddedDB(sys.argv[1], ml=None, shared=True)\n"
        "db.create_node({'id': 'guest', 'label': 'X'})\n" + ending
    )
    ended = run_python(code, path)
    assert ended.returncode == (3 if "3" in ending else 0), ended.stderr
    assert ended.stderr == ""
    end(holder)
    assert holder.wait() == 0
    last = run_python(code.replace("guest", "last"), path)
    assert last.returncode == (3 if "3" in ending else 0), last.stderr
    with EmbeddedDB(path, ml=None, shared=True) as db:
        assert (db.exists("guest"), db.exists("last"), role(db)) == (True, True, "holds")


def test_the_socket_is_for_its_user_and_goes_with_the_holder(path):
    with EmbeddedDB(path, ml=None, shared=True):
        mode = (path / "writer.socket").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not (path / "writer.socket").exists()
    # What was left by one that was killed, or lies there, is no hindrance.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path / "writer.socket"))
    with EmbeddedDB(path, ml=None, shared=True) as db:
        db.create_node({"label": "X"})


def test_a_long_path_is_no_hindrance(tmp_path, spawn):
    path = tmp_path / ("long" * 30) / ("path" * 30) / "db"
    path.parent.mkdir(parents=True)
    begin(spawn, path)
    with EmbeddedDB(path, ml=None, shared=True) as db:
        db.create_node({"label": "X"})
        assert role(db) == "forwards"


def test_nonsense_on_the_socket_is_no_hindrance(path, guest):
    for sent in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, (9).to_bytes(8, "little") + b"x"):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(path / "writer.socket"))
            line.sendall(sent)
            guest.create_node({"label": "X"})
    assert guest.count("X") == 4


def test_handles_of_one_process_share_their_part(guest, path):
    with EmbeddedDB(path, ml=None, shared=True, lock_timeout=PATIENT) as again:
        again.create_node({"id": "a", "label": "X"})
        assert guest.exists("a")
    with EmbeddedDB(path, ml=None, read_only=True, lock_timeout=PATIENT) as reader:
        assert reader.exists("a")
        with pytest.raises(ReadOnly):
            reader.create_node({"label": "X"})
    with pytest.raises(InvalidInput, match="another Config"):
        EmbeddedDB(path, ml=None, lock_timeout=PATIENT)
    guest.create_node({"id": "b", "label": "X"})
    guest.close()
    with pytest.raises(DatabaseClosed):
        guest.create_node({"label": "X"})


def test_a_snapshot_stays_as_it_is_when_its_process_takes_over(holder, guest):
    guest.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(20)])
    pages = guest.query(labels=["X"], limit=5)
    with guest.snapshot() as snapshot, guest.transaction() as tx:
        tx.create_node({"id": "t", "label": "X"})
        guest.create_node({"id": "later", "label": "X"})
        holder.kill()
        guest.delete_node("n0")
        assert role(guest) == "holds"
        guest.create_nodes([{"id": f"m{n}", "label": "X"} for n in range(500)])
        assert snapshot.count("X") == 20
        assert snapshot.exists("n0")
        assert len(guest.query(labels=["X"], limit=50, after=pages.cursor)) == 15
    assert guest.exists("t")
    assert guest.verify(deep=True)["ok"]
    assert guest.compact()


def test_an_asynchronous_handle_shares(holder, path):
    async def main():
        async with AsyncEmbeddedDB(path, ml=None, shared=True) as db:
            assert "forwards" in repr(db)
            await db.create_node({"id": "a", "label": "X"})
            async with db.transaction() as tx:
                await tx.create_node({"id": "b", "label": "X"})
            with pytest.raises(AlreadyExists):
                await db.create_node({"id": "a", "label": "X"})
            assert await db.count("X") == 2

    asyncio.run(main())


def test_two_servers_serve_one_database(path, tmp_path):
    from embedded_db.client import Client

    config = tmp_path / "config.toml"
    config.write_text('ml = "none"\n')
    command = ["serve", str(path), "--port", "0", "--shared", "--config", str(config)]
    servers = [
        subprocess.Popen(
            [sys.executable, "-m", "embedded_db.cli", *command], stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        urls = [server.stderr.readline().split()[-1] for server in servers]
        for n, url in enumerate(urls):
            with Client(url) as client:
                client.create_node({"id": f"n{n}", "label": "X"})
        servers[0].kill()
        with Client(urls[1]) as client:
            client.create_node({"id": "after", "label": "X"})
            assert client.count("X") == 3
    finally:
        for server in servers:
            server.kill()
            server.communicate()


def test_a_guest_with_a_model_is_told_that_the_holder_has_none(holder, path):
    with EmbeddedDB(path, ml=FakeModel(), shared=True) as db:
        message = db.create_message("chat", "Alice met Bob")
        waits = [lambda: db.flush(timeout=60), lambda: db.wait_for(message, "embedding", 60)]
        for wait in waits:
            with pytest.raises(ModelUnavailable, match=rf"pid {holder.pid}\) .*ml=None"):
                wait()
        end(holder)
        db.create_node({"label": "X"})
        db.flush(timeout=60)
        assert message.status.embedding == "ready"
