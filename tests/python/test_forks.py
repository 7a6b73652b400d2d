"""A forked child never touches its parent's database, neither while it lives nor by its end."""

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

PARENT = """
import gc, multiprocessing, os, subprocess, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
from embedded_db import DatabaseLocked, EmbeddedDB, ForkedHandle
from embedded_db.testing import FakeModel

path = sys.argv[1]

def try_to_open():
    code = '''
import sys
from embedded_db import DatabaseLocked, EmbeddedDB
try:
    EmbeddedDB(sys.argv[1], ml=None, lock_timeout=0)
except DatabaseLocked as error:
    print(error.pid, end="")
else:
    print("opened", end="")
'''
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True).stdout

def refused(call):
    try:
        call()
    except ForkedHandle as error:
        text = str(error)
        assert str(os.getppid()) in text and "open" in text.lower() and path in error.path, text
        return 1
    return 0

db = EmbeddedDB(path, ml=FakeModel())
db.create_node({"id": "a", "label": "X"})
db.create_node({"id": "b", "label": "X"})
db.create_edge({"source": "a", "target": "b", "type": "T"})
db.create_message("chat", "Alice met Bob", id="m")
db.flush()
"""


def test_nothing_that_came_from_a_handle_works_in_a_child(run_python, path):
    run = run_python(
        PARENT
        + """
namespace = db.namespace("other")
snapshot = db.snapshot()
transaction = db.transaction().__enter__()
transaction.create_node({"id": "never", "label": "X"})
message = db.get_node("m")
nodes = db.nodes("X")
calls = [
    lambda: db.get_node("a"), lambda: db.get_many(["a"]), lambda: db.exists("a"), db.count,
    lambda: list(db.neighbors("a")), lambda: list(db.traverse("a")), db.stats, db.verify,
    lambda: db.create_node({"label": "X"}), lambda: db.create_nodes([{"label": "X"}]),
    lambda: db.update_node("a", {"n": 1}), lambda: db.delete_node("a"),
    lambda: db.create_message("chat", "x"), lambda: db.query(labels=["X"]),
    lambda: db.query(semantic_query={"text": "Alice"}), lambda: db.search("Alice"),
    db.snapshot, lambda: db.namespace("third"), lambda: db.get_embedding_for_node("m"),
    lambda: db.flush(timeout=5), db.weaver_status, lambda: db.create_index("X", "p"),
    lambda: namespace.count(), lambda: namespace.create_node({"label": "X"}),
    lambda: snapshot.get_node("a"), lambda: snapshot.query(labels=["X"]),
    lambda: transaction.get_node("a"), lambda: transaction.__exit__(None, None, None),
    message.entities, message.refresh, message.delete,
]
child = os.fork()
if child == 0:
    told = [refused(call) for call in calls]
    print(told.index(0) if 0 in told else "all", flush=True)
    os._exit(0)
print("child", os.waitpid(child, 0)[1], flush=True)
transaction.__exit__(ValueError, ValueError(), None)
assert snapshot.get_node("a") and not db.exists("never")
snapshot.close() if hasattr(snapshot, "close") else None
assert db.count("X") == 2 and db.verify()["ok"]
db.close()
""",
        path,
    )
    assert run.stdout == "all\nchild 0\n", run.stderr


ENDS = {
    "at once": "os._exit(0)",
    "with its exit hooks": "sys.exit(0)",
    "closing": "db.close(); sys.exit(0)",
    "dropping": "db = None; gc.collect(); sys.exit(0)",
    "failing": "sys.stderr = open(os.devnull, 'w'); raise ZeroDivisionError",
    "killed": "os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_the_end_of_a_child_neither_unlocks_nor_writes(run_python, path, end):
    run = run_python(
        PARENT
        + f"""
lsn = db.stats()["lsn"]
child = os.fork()
if child == 0:
    {end}
os.waitpid(child, 0)
assert try_to_open() == str(os.getpid()), "the lock is still the parent's"
assert db.stats()["lsn"] == lsn, "the child wrote nothing"
db.create_message("chat", "Carol met Dave", id="after")
db.flush(timeout=60)
assert db.get_node("after").status.embedding == "ready", "the weaver still works"
assert db.verify()["ok"]
db.close()
assert try_to_open() == "opened", "the parent's end alone sets it free"
print("done")
""",
        path,
    )
    assert run.stdout == "done\n", run.stderr


def test_a_living_child_does_not_keep_the_lock_of_a_parent_that_has_closed(run_python, path):
    run = run_python(
        PARENT
        + """
end, write = os.pipe()
child = os.fork()
if child == 0:
    os.close(write)
    os.read(end, 1)
    os._exit(0)
db.close()
print(try_to_open(), os.waitpid(child, os.WNOHANG)[0], flush=True)
os.close(write)
os.waitpid(child, 0)
""",
        path,
    )
    assert run.stdout == "opened 0\n", run.stderr


def test_children_of_multiprocessing(run_python, path):
    run = run_python(
        PARENT
        + """
def work(number):
    count = refused(db.count)
    with EmbeddedDB(f"{path}-{number}", ml=None) as own:
        own.create_node({"label": "X"})
        return count, own.count()

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(pool.map(work, range(6)))
    assert try_to_open() == str(os.getpid())
    db.create_node({"label": "X"})
    assert db.count("X") == 3 and db.verify()["ok"]
    db.close()
""",
        path,
    )
    assert run.stdout == f"{[(1, 1)] * 6}\n", run.stderr


def test_a_child_may_open_the_path_when_the_parent_has_closed_it(run_python, path):
    run = run_python(
        PARENT
        + """
kept = db.snapshot()
db.close()
child = os.fork()
if child == 0:
    with EmbeddedDB(path, ml=None, lock_timeout=0) as own:
        own.create_node({"label": "X"})
        assert own.count("X") == 3
    sys.exit(0)
print(os.waitpid(child, 0)[1])
with EmbeddedDB(path, ml=None) as again:
    assert again.count("X") == 3 and again.verify()["ok"]
""",
        path,
    )
    assert run.stdout == "0\n", run.stderr


def test_a_child_that_opens_what_its_parent_has_open_is_told(run_python, path):
    run = run_python(
        PARENT
        + """
from embedded_db import ForkedHandle
child = os.fork()
if child == 0:
    try:
        EmbeddedDB(path, ml=None, read_only=True, lock_timeout=1000)
    except ForkedHandle as error:
        print(error.code, "spawn" in error.hint, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
db.close()
""",
        path,
    )
    assert run.stdout == "ForkedHandle True\n0\n", run.stderr
