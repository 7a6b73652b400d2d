"""Many threads share a database: objects end in any of them, and iterating sees one instant."""

import gc
import threading

import pytest

from embedded_db import Conflict


def test_objects_may_end_in_another_thread(db, in_threads):
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(50)])
    done = threading.Event()
    made = []

    class Holder:
        """Part of a cycle, so that only the collector ends it, in whatever thread that runs."""

        ended: set[int] = set()  # noqa: RUF012 - shared on purpose

        def __init__(self, *held):
            self.held = held
            self.cycle = self

        def __del__(self):
            Holder.ended.add(threading.get_ident())

    def make():
        for n in range(200):
            transaction = db.transaction()
            transaction.__enter__()
            transaction.create_node({"label": "Y"})
            Holder(db.snapshot(), db.get_node(f"n{n % 50}"), db.nodes(), transaction)
            made.append(n)
            transaction.__exit__(ValueError, ValueError(), None)
        done.set()

    def collect():
        while not done.is_set():
            gc.collect()

    gc.disable()
    try:
        in_threads(make, collect, collect)
    finally:
        gc.enable()
    gc.collect()
    assert len(made) == 200
    assert Holder.ended, "the objects did end"
    assert db.count("Y") == 0
    assert db.verify()["ok"]


def test_deleting_while_iterating_in_one_thread(db):
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(1500)])
    db.create_node({"id": "hub", "label": "Y"})
    db.create_edges([{"source": "hub", "target": f"n{n}", "type": "T"} for n in range(1500)])
    seen = []
    for node in db.neighbors("hub"):
        seen.append(node.id)
        db.delete_node(node)
    assert len(set(seen)) == 1500, "what was there at the call is seen"
    assert db.count("X") == 0
    assert db.count_edges() == 0
    assert db.verify()["ok"]


def test_deleting_while_another_thread_iterates(db, in_threads):
    ids = db.create_nodes([{"label": "X", "properties": {"n": n}} for n in range(3000)])
    begun = threading.Barrier(3)
    counts = []

    def iterate():
        begun.wait()
        for _ in range(5):
            found = [node["n"] for node in db.nodes("X")]
            assert found == sorted(found)
            counts.append(len(found))

    def delete():
        begun.wait()
        for id in ids[::2]:
            db.delete_node(id)

    in_threads(iterate, iterate, delete)
    assert all(1500 <= count <= 3000 for count in counts)
    assert db.count("X") == 1500
    assert db.verify()["ok"]


def test_deleting_what_a_transaction_has_read(db, in_threads):
    db.create_node({"id": "a", "label": "X"})

    def update_too_late():
        with db.transaction() as tx:
            tx.update_node("a", {"n": 1})
            in_threads(lambda: db.delete_node("a"))

    with pytest.raises(Conflict, match="a"):
        update_too_late()
    assert not db.exists("a")
    assert db.verify()["ok"]
