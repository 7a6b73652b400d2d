"""Many threads share a database: objects end in any of them, iterating sees one instant, and
indexes come and go under load.
"""

import gc
import threading

import pytest

from embedded_db import AlreadyExists, Conflict, EmbeddedDB
from embedded_db.testing import FakeModel


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


def test_databases_may_end_in_another_thread_while_their_model_works(
    tmp_path, in_threads, thorough
):
    """The end of a handle waits for its weaver, which needs the interpreter of the collector."""
    rounds = 15 if thorough else 3
    ended = set()
    opened = []

    class Holder:
        def __init__(self, *held):
            self.held = held
            self.cycle = self

        def __del__(self):
            ended.add(threading.get_ident())

    def make(number):
        def run():
            for n in range(rounds):
                db = EmbeddedDB(tmp_path / f"{number}-{n}.db", ml=FakeModel())
                chat = db.create_chat()
                chat.add_messages([{"content": f"Alice met Bob {m}"} for m in range(50)])
                Holder(db, chat, db.namespace("other"), db.snapshot(), db.nodes())
                opened.append(n)

        return run

    done = threading.Event()

    def collect():
        ending = False
        while not ending:
            # Once more behind the last of them, in case none was there before.
            ending = done.is_set()
            gc.collect()

    collector = threading.Thread(target=collect)
    gc.disable()
    try:
        collector.start()
        in_threads(make(0), make(1))
    finally:
        done.set()
        gc.enable()
    collector.join(60)
    assert not collector.is_alive(), "no handle waits for ever"
    gc.collect()
    assert len(opened) == 2 * rounds
    assert collector.ident in ended, "some ended in the thread of the collector"
    for number in range(2):
        with EmbeddedDB(tmp_path / f"{number}-{rounds - 1}.db", ml=None, lock_timeout=60) as db:
            assert db.count("Message") == 50
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


def test_deleting_what_a_lazy_iterator_has_yet_to_give(db):
    """Each iterator keeps to one instant, whatever goes while it is read."""
    db.create_nodes([{"id": f"n{n:04}", "label": "X", "properties": {"n": n}} for n in range(2000)])
    db.create_node({"id": "hub", "label": "Y"})
    db.create_edges([{"source": "hub", "target": f"n{n:04}", "type": "T"} for n in range(2000)])
    chat = db.create_chat(id="chat")
    chat.add_messages([{"content": f"{n}"} for n in range(500)])
    lazily = {
        "nodes": (db.nodes("X"), 2000),
        "neighbors": (db.neighbors("hub"), 2000),
        "edges": (db.edges("hub"), 2000),
        "traverse": (db.traverse("hub", limit=3000), 2001),
        "messages": (chat.messages(), 500),
    }
    firsts = {name: next(iterator) for name, (iterator, _) in lazily.items()}
    with db.transaction() as tx:
        for node in ["hub", chat, *db.nodes("X")]:
            tx.delete_node(node)
    assert (db.count(), db.count_edges()) == (0, 0)
    for name, (iterator, most) in lazily.items():
        rest = [each for each in iterator if each is not None]
        assert len(rest) < most, name
        ids = [getattr(each, "id", None) or each.node.id for each in [firsts[name], *rest]]
        assert len(set(ids)) == len(ids), f"{name}: none twice"
    assert db.verify()["ok"]


def test_indexes_come_and_go_under_load(db, in_threads):
    """Whatever index there is at the moment, a query finds exactly what is there."""
    db.create_nodes(
        [{"id": f"n{n}", "label": "X", "properties": {"p": n % 10, "u": n}} for n in range(3000)]
    )
    stopped = threading.Event()
    turns = {"index": 0, "write": 0, "query": 0}

    def change_indexes():
        try:
            # As long as it takes the others to have their turns, too.
            while turns["index"] < 12 or min(turns.values()) <= 5:
                db.create_index("X", "p")
                db.create_index("X", "u", unique=True)
                db.flush(timeout=60)
                assert {(each.property, each.state) for each in db.indexes()} == {
                    ("p", "ready"),
                    ("u", "ready"),
                }
                db.drop_index("X", "p")
                db.drop_index("X", "u")
                turns["index"] += 1
        finally:
            stopped.set()

    def write():
        number = 0
        while not stopped.is_set():
            # Whoever moves does so in one step: there are 300 of each at any instant.
            one, other = f"n{number % 3000}", f"n{(number + 1) % 3000}"
            with db.transaction() as tx:
                first, second = tx.get_node(one)["p"], tx.get_node(other)["p"]
                tx.update_node(one, {"p": second})
                tx.update_node(other, {"p": first})
            number += 7
            turns["write"] += 1

    def query():
        while not stopped.is_set():
            for value in range(10):
                where = [{"property": "p", "operator": "Equals", "value": value}]
                assert len(db.query(structural_filters=where, labels=["X"], limit=1000)) == 300
            where = [{"property": "u", "operator": "Between", "value": [100, 199]}]
            assert len(db.query(structural_filters=where, labels=["X"], limit=1000)) == 100
            turns["query"] += 1

    in_threads(change_indexes, write, query)
    assert turns["index"] >= 12
    assert min(turns.values()) > 5, turns
    db.create_index("X", "u", unique=True)
    db.flush(timeout=60)
    with pytest.raises(AlreadyExists, match="u is unique"):
        db.create_node({"id": "twin", "label": "X", "properties": {"u": 7}})
    assert not db.exists("twin")
    assert db.verify()["ok"]
