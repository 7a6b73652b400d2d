"""Where the system gives no more files, no larger ones, or no address space, the error says so.

Nothing that was acknowledged is lost, nothing stays held, and when the limit is raised the database
goes on, without opening anew where it was open.
"""

import signal

import pytest

from embedded_db import EmbeddedDB
from harness.child import Done, Refused
from harness.content import check, content
from harness.lengths import length
from harness.load import Load
from harness.model import Model, differences, words_of
from harness.operations import CreateNode, CreateNodes
from harness.processes import Dead

LIMIT = """
import resource
limit = getattr(resource, "RLIMIT_" + name)
resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
"""
NO_LIMIT = "resource.setrlimit(limit, (resource.getrlimit(limit)[1],) * 2)"
FILES = "import os\nresult = sorted(map(int, os.listdir('/proc/self/fd')))[:-1]"
"""Descriptors in use; the last one is that of the listing."""
ADDRESS_SPACE = """
result = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if "VmSize" in line)
"""


def refused(answer: Done | Refused, code: str, *words: str) -> None:
    assert isinstance(answer, Refused), answer
    assert answer.code == code, answer
    for word in words:
        assert word in answer.message, answer


# ---------------------------------------------------------------------- files that may not grow


BEYOND = [5_000, *length([], [12_288], [1, 4_096, 12_288, 70_001])]
"""By so many bytes the file may still grow."""


@pytest.mark.parametrize("beyond", BEYOND)
def test_a_file_that_may_not_grow(path, nursery, rng, beyond):
    with EmbeddedDB(path, ml=None) as db:
        load = Load.start(rng, 2, db)
    child = nursery.child()
    child.open(path)
    size = (path / "gen-0000000001" / "data.mdb").stat().st_size
    child.run(LIMIT, name="FSIZE", value=size + beyond)
    full = 0
    for number in range(200):
        operation = CreateNodes(tuple(f"big{number}x{n}" for n in range(20)))
        answer = child.do(operation)
        if answer == Done():
            operation.apply(load.model)
            continue
        refused(answer, "StorageFull", str(path), "nothing was stored")
        full += 1
        if full == 3:
            break
    assert full == 3, "the limit was met"
    assert not differences(child.look(load.model), load.model.content())
    child.run(NO_LIMIT)
    for number in range(3):
        operation = CreateNode(f"after{number}")
        assert child.do(operation) == Done(), "it goes on by itself"
        operation.apply(load.model)
    child.must("close")
    assert child.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        check(db, load.model)


def test_a_program_that_does_not_ignore_the_signal_loses_nothing(path, nursery):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "kept", "label": "X"})
    child = nursery.child()
    child.open(path)
    child.run("import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)")
    child.run(LIMIT, name="FSIZE", value=(path / "gen-0000000001" / "data.mdb").stat().st_size)
    child.tell("run", "db.create_nodes([{'label': 'X'} for _ in range(1000)])", {})
    assert child.end() == -25, "SIGXFSZ"
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("X") == 1
        assert db.verify()["ok"]


# ---------------------------------------------------------------------- too many open files


def test_opening_with_any_number_of_files(path, nursery):
    refusals = 0
    for there in (False, True):
        for more in range(12):
            child = nursery.child()
            held = child.run(FILES)
            # The listing of them needs none that is not closed again.
            child.run(LIMIT, name="NOFILE", value=max(held) + 1 + more)
            answer = child.ask("open", str(path), {})
            if isinstance(answer, Refused):
                refused(answer, "StorageError", str(path), "Too many open files")
                refusals += 1
                child.run(NO_LIMIT)
                assert child.run(FILES) == held, "it let go of what it had opened"
                child.open(path)
            child.must("do", CreateNode(f"n{there}{more}"))
            child.must("close")
            assert child.end() == 0
    assert refusals > 4
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Thing") == 24
        assert db.verify()["ok"]


def test_an_open_database_needs_no_more_files(path, nursery):
    child = nursery.child()
    child.open(path, ml="fake")
    child.must("do", CreateNode("first"))
    child.run("db.create_message('chat', 'Bob')\ndb.flush(timeout=60)")
    child.run("import embedded_db.interchange, os\nheld = []")
    child.run(LIMIT, name="NOFILE", value=64)
    child.run(
        """
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            result = error.errno
        """
    )
    for number in range(50):
        child.must("do", CreateNode(f"n{number}"))
    child.run("db.create_message('chat', 'Alice')\ndb.flush(timeout=60)")
    answer = child.ask("run", "db.export(target)", {"target": str(path) + ".export"})
    refused(answer, "StorageError", "Too many open files")
    other = child.ask("run", "type(db)(path, ml=None)", {"path": str(path) + ".other"})
    refused(other, "StorageError", "Too many open files")
    child.must("close")
    child.run("for each in held:\n    os.close(each)")
    assert child.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Thing") == 51
        assert db.verify()["ok"]


# ---------------------------------------------------------------------- little address space


def test_a_map_that_has_no_room(path, nursery):
    child = nursery.child()
    # Room for other things, and for a map of 256 MB, but not for the one of 64 GiB.
    child.run(LIMIT, name="AS", value=child.run(ADDRESS_SPACE) + (1 << 30))
    answer = child.ask("open", str(path), {})
    refused(answer, "StorageError", "data.mdb", "address space", "ulimit -v", "map_size_max")
    child.open(path, map_size_max=1 << 28)
    for number in range(100):
        child.must("do", CreateNodes(tuple(f"n{number}x{n}" for n in range(20))))
    child.must("close")
    assert child.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Thing") == 2_000
        assert db.verify()["ok"]


# ---------------------------------------------------------------------- no memory


@pytest.mark.parametrize(
    "more", length([1 << 20], [0, 1 << 20, 4 << 20], [n << 18 for n in range(0, 40, 3)])
)
def test_memory_that_runs_out(path, nursery, more):
    """Whether what needed it is refused or the process ends: what was acknowledged is there."""
    model, ended = Model(), None
    child = nursery.child()
    child.open(path, map_size_max=1 << 28)
    child.run(LIMIT, name="AS", value=child.run(ADDRESS_SPACE) + more)
    for number in range(200):
        ids = tuple(f"l1n{number}x{n}" for n in range(100 << min(number, 10)))
        operation = CreateNodes(ids, number)
        try:
            answer = child.do(operation)
        except Dead:
            ended = "died"
        except AssertionError as error:
            if "MemoryError" not in str(error):
                raise
            ended = "said so"
        else:
            if answer == Done():
                operation.apply(model)
                continue
            ended = "refused"
        break
    assert ended is not None, "it ran out"
    print(f"{more} bytes: {ended} after {number}")
    if ended == "died":
        assert child.end() == -signal.SIGABRT, "it ends by itself"
    else:
        child.kill()
        child.end()
    with EmbeddedDB(path, ml=None) as db:
        model.settle([operation], content(db, words_of(model.after(operation))))
        check(db, model)
