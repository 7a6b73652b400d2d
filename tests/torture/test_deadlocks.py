"""No lock of ours is waited for by somebody who holds the interpreter, whatever threads do.

For a minute, at full length, threads do everything at once to one database: write, read, query,
open and close others, have functions of models and others call the database again, collect garbage,
and hold the interpreter. A watchdog that needs no interpreter ends the process, with the stacks of
all threads, when nothing was done for too long.
"""

import time

import pytest

from embedded_db import EmbeddedDB
from harness.lengths import length
from harness.waiting import eventually

SECONDS = length(0.7, 5.0, 60.0)

STRESS = """
import faulthandler, gc, os, random, sys, threading, time
import numpy as np
from embedded_db import Conflict, EmbeddedDB, NotFound
from embedded_db.testing import FakeModel

class Asking(FakeModel):
    '''Functions that use the database which calls them.'''

    def embed(self, texts):
        beat()
        own.count()
        gc.collect(0)
        return super().embed(texts)

    def entities(self, texts):
        beat()
        own.exists("chat")
        return super().entities(texts)

class Key(str):
    '''A name whose end uses the database too.'''

    def __del__(self):
        own.count()

own = EmbeddedDB(path, ml=Asking(), durability="memory", map_size_max=1 << 33)
ending, done, errors = threading.Event(), [0] * 12, []
BUSY, STUCK = 0.005, 30

def beat():
    # A thread of C: it needs no interpreter to see that nothing moves.
    faulthandler.dump_traceback_later(STUCK, exit=True)

def write(rng, n):
    own.create_node({"label": "X", "properties": {Key("n"): n}})

def message(rng, n):
    own.create_message(f"chat{n % 7}", f"Alice met Bob {n}")

def change(rng, n):
    with own.transaction() as tx:
        tx.create_node({"label": "X"})
        if rng.random() < 0.3:
            raise ZeroDivisionError

def conflict(rng, n):
    own.run(lambda tx: tx.update_node("counter", {"n": tx.get_node("counter")["n"] + 1}))

def read(rng, n):
    for node in own.nodes("X"):
        node["n"] if "n" in node else None
        if rng.random() < 0.1:
            break

def query(rng, n):
    own.query(text_query={"text": "Alice"}, semantic_query={"text": "Bob"}, limit=5)

def rerank(rng, n):
    own.query(text_query={"text": "Alice"}, limit=5, rerank=score)

def score(results):
    return [float(own.count()) for _ in results]

def snapshot(rng, n):
    with own.snapshot() as seen:
        assert seen.count() == seen.count()

def delete(rng, n):
    nodes = [node.id for node, _ in zip(own.nodes("X"), range(20))]
    if nodes:
        try:
            own.delete_node(rng.choice(nodes))
        except NotFound:
            pass

def other(rng, n):
    with EmbeddedDB(f"{path}.{n % 2}", ml=Asking(), durability="memory") as db:
        db.create_message("chat", "Alice")

def hold(rng, n):
    end = time.perf_counter() + BUSY
    while time.perf_counter() < end:
        pass
    gc.collect()

def index(rng, n):
    own.create_index("X", "n")
    own.drop_index("X", "n")

own.create_node({"id": "counter", "label": "Counter", "properties": {"n": 0}})
works = [write, message, change, conflict, read, query, rerank, snapshot, delete, other, hold]
works.append(index)

def work(number):
    rng = random.Random(number)
    while not ending.is_set():
        try:
            works[number](rng, done[number])
        except (ZeroDivisionError, Conflict):
            pass
        except Exception as error:
            errors.append(f"{works[number].__name__}: {error!r}")
            return
        done[number] += 1
        beat()

sys.setswitchinterval(0.0005)
threads = [threading.Thread(target=work, args=(number,)) for number in range(len(works))]
for thread in threads:
    thread.start()
"""


@pytest.mark.timeout(600)
def test_everything_at_once(path, nursery):
    child = nursery.alone()
    child.patience(500)
    child.run(STRESS, path=str(path))
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(0.1)
        assert child.run("result = errors") == []
    # A busy machine may have kept one of them from beginning until now.
    eventually(lambda: child.run("result = errors or min(done) > 0"), "a turn of every thread")
    done = child.run(
        """
        ending.set()
        for thread in threads:
            thread.join()
        beat()
        own.flush(timeout=300)
        beat()
        assert errors == []
        assert own.verify()["ok"]
        beat()
        own.close()
        faulthandler.cancel_dump_traceback_later()
        result = {work.__name__: count for work, count in zip(works, done)}
        """
    )
    print(done)
    assert min(done.values()) > 0, "every kind of work was done"
    assert child.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        assert db.get_node("counter")["n"] == done["conflict"]


def test_the_watchdog_bites(path, nursery):
    """A process in which nothing moves is ended."""
    child = nursery.alone()
    code = STRESS.replace("STUCK = 0.005, 30", "STUCK = 0.005, 1").split("sys.setswitchinterval")[0]
    child.run(code, path=str(path))
    child.tell("run", "beat()\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", {})
    assert child.end() == 1, "ended by the watchdog: others end with 0, or by a signal"
