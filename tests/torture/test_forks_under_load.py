"""A child that is forked at any moment of a busy parent is born without a lock that stays taken.

The parent's threads write, read, open and close databases, and its weaver works, while it forks.
Each child lets go of the parent's database, works with one of its own and ends; none hangs, and the
parent notices nothing.
"""

from importlib.util import find_spec

import pytest

from embedded_db import EmbeddedDB
from harness.lengths import length, longer
from harness.waiting import eventually

FORKS = length(10, 60, 1_000)

PARENT = """
import os, signal, sys, threading, warnings
from embedded_db import EmbeddedDB, ForkedHandle
from embedded_db.testing import FakeModel

warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
own = EmbeddedDB(path, ml=FakeModel(), durability="memory")
ending = threading.Event()
turns = [0] * 4

def until_the_end(number, work):
    while not ending.is_set():
        work(turns[number])
        turns[number] += 1

def write(n):
    own.create_message("chat", f"Alice met Bob {n}")

def read(n):
    own.query(text_query={"text": "Alice"}, limit=3)
    with own.snapshot() as snapshot:
        snapshot.count()

def open_and_close(n):
    with EmbeddedDB(path + ".other", ml=FakeModel(), durability="memory") as other:
        other.create_node({"label": "X"})

def in_memory(n):
    with EmbeddedDB(":memory:", ml=None) as other:
        other.create_node({"label": "X"})

works = [write, read, open_and_close, in_memory]
threads = [threading.Thread(target=until_the_end, args=each) for each in enumerate(works)]
for thread in threads:
    thread.start()

def in_child(number):
    signal.alarm(120)  # it hangs then: the system ends it
    try:
        own.count()
    except ForkedHandle:
        pass
    else:
        return 2
    own.close()
    with EmbeddedDB(path + f".child{number % 5}", ml=FakeModel(), durability="memory") as mine:
        mine.create_message("chat", "Carol met Dave")
        mine.flush(timeout=60)
        if mine.count("Message") != number // 5 + 1:
            return 3
    return 0

def fork(number):
    child = os.fork()
    if child:
        return child
    status = 4
    try:
        status = in_child(number)
    finally:
        os._exit(status)
"""


@pytest.mark.timeout(900)
def test_forks_of_a_busy_process(path, nursery):
    parent = nursery.alone()
    parent.patience(800)
    parent.run(PARENT, path=str(path))
    ends = parent.run(
        """
        ends = {}
        for number in range(forks):
            status = os.waitstatus_to_exitcode(os.waitpid(fork(number), 0)[1])
            ends[status] = ends.get(status, 0) + 1
        result = ends
        """,
        forks=FORKS,
    )
    assert ends == {0: FORKS}
    # A busy machine may have kept one of them from its first turn until now.
    eventually(lambda: parent.run("result = min(turns)") > 0, "a turn of every thread")
    parent.run("ending.set()\nfor thread in threads:\n    thread.join()")
    # What its threads have added takes a busy machine minutes.
    turns = parent.run("own.flush(timeout=700)\nown.close()\nresult = turns")
    print(f"{FORKS} forks beside {turns} turns of the parent's threads")
    assert parent.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Message") == turns[0]
        assert db.verify()["ok"]


def test_a_fork_waits_for_what_is_being_loaded(nursery):
    """Loading is half done when the fork begins; the child never sees it so."""
    parent = nursery.alone()
    seen = parent.run(
        """
        import os, threading, time
        from embedded_db.ml.loading import LOADING
        half, forking, loaded = threading.Event(), threading.Event(), []
        # What was registered last is done first, so before the fork begins to wait.
        os.register_at_fork(before=forking.set)

        def load():
            with LOADING:
                half.set()
                forking.wait()
                time.sleep(0.2)  # a fork that does not wait is done by now
                loaded.append(True)

        thread = threading.Thread(target=load)
        thread.start()
        half.wait()
        began_half = not loaded
        child = os.fork()
        if child == 0:
            os._exit(0 if loaded and LOADING.acquire(blocking=False) else 1)
        thread.join()
        result = began_half, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        """
    )
    assert seen == (True, 0)
    assert parent.end() == 0


@longer
@pytest.mark.parametrize("moment", [0.03 * n for n in range(length(1, 4, 12))])
def test_a_fork_while_the_models_are_loaded(path, nursery, moment):
    """They are imported in the background; a child has them wholly, or loads them itself."""
    for package in ("embedded_db_minilm", "onnxruntime", "tokenizers"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make build, or embedded-db[local]")
    parent = nursery.alone()
    parent.run("import os, signal, time\nfrom embedded_db import EmbeddedDB")
    status = parent.run(
        """
        own = EmbeddedDB(path)
        time.sleep(moment)
        child = os.fork()
        if child == 0:
            signal.alarm(90)
            status = 1
            try:
                with EmbeddedDB(path + ".child") as mine:
                    mine.create_message("chat", "Alice met Bob in Paris")
                    mine.flush(timeout=50)
                    status = 0 if mine.count("Entity") else 2
            finally:
                os._exit(status)
        result = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        """,
        path=str(path),
        moment=moment,
    )
    assert status == 0
    parent.run("own.create_message('chat', 'Carol met Dave')\nown.flush(timeout=50)\nown.close()")
    assert parent.end() == 0
