"""Transactions are apart from each other as snapshot isolation says, and reads by id are checked.

Plain dicts are kept beside two interleaved transactions. What is stated: a transaction sees the
state of its beginning and its own writes, a query in it the beginning alone; the first committer
wins; a node or edge that was read by its id, or as a neighbour, may not have changed at the commit,
so that write skew is a conflict. What only a query found is not checked, nor whether it would find
more (a phantom). The tests look at the order of events, never at time.
"""

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import AlreadyExists, Conflict, ConvergedQuery, EmbeddedDB, NotFound

IDS = ["a", "b", "c", "d"]
operations = st.tuples(
    st.sampled_from([0, 1]),
    st.sampled_from(["read", "write", "write", "create", "delete", "tie", "look", "ask"]),
    st.sampled_from(IDS),
    st.sampled_from(IDS),
)


class Side:
    """What one transaction has to see, and what it has to have checked at its end."""

    def __init__(self, committed):
        self.base = dict(committed)
        self.own = dict(committed)
        self.seen = set()
        self.wrote = False

    def see(self, id):
        self.seen.add(id)
        return self.own.get(id)

    def may_commit(self, committed):
        return not self.wrote or all(committed.get(id) == self.base.get(id) for id in self.seen)

    def over(self, committed):
        """The committed state with the own changes."""
        changed = {id for id in IDS if self.own.get(id) != self.base.get(id)}
        kept = {id: value for id, value in committed.items() if id not in changed}
        return kept | {id: self.own[id] for id in changed if id in self.own}


def act(tx, side, name, id, other, stamp):
    """One operation, in the transaction and in the reference; they agree on what is refused."""
    if name == "ask":
        found = {r.node.id: r.node["v"] for r in tx.query(labels=["X"])}
        assert found == side.base, "a query sees the state of the beginning"
        return
    value = side.see(id)
    if name == "read":
        found = tx.get_node(id)
        assert (None if found is None else found["v"]) == value
    elif name == "write":
        if value is None:
            with pytest.raises(NotFound):
                tx.update_node(id, {"v": stamp})
        else:
            tx.update_node(id, {"v": stamp})
            side.own[id], side.wrote = stamp, True
    elif name == "create":
        if value is not None:
            with pytest.raises(AlreadyExists):
                tx.create_node({"id": id, "label": "X", "properties": {"v": stamp}})
        else:
            tx.create_node({"id": id, "label": "X", "properties": {"v": stamp}})
            side.own[id], side.wrote = stamp, True
    elif name == "delete":
        if value is None:
            with pytest.raises(NotFound):
                tx.delete_node(id)
        else:
            tx.delete_node(id)
            del side.own[id]
            side.wrote = True
    elif name == "tie":
        if value is None or side.see(other) is None:
            with pytest.raises(NotFound):
                tx.create_edge({"source": id, "target": other, "type": "T"})
        else:
            tx.create_edge({"source": id, "target": other, "type": "T"})
            side.wrote = True
            near = {node.id for node in tx.neighbors(id, "T")}
            assert other in near, "neighbours are seen with the own edges"
            side.seen |= near
    elif name == "look":
        if value is None:
            with pytest.raises(NotFound):
                tx.neighbors(id, "T", "both")
        else:
            side.seen |= {node.id for node in tx.neighbors(id, "T", "both")}


@settings(max_examples=2 * settings.default.max_examples)
@given(
    st.sets(st.sampled_from(IDS)),
    st.lists(operations, min_size=2, max_size=14),
    st.sampled_from([(0, 1), (1, 0)]),
)
def test_two_interleaved_transactions(present, steps, order):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes(
            [{"id": id, "label": "X", "properties": {"v": 0}} for id in sorted(present)]
        )
        committed = dict.fromkeys(sorted(present), 0)
        sides = [Side(committed), Side(committed)]
        begun = [begin_apart(db), begin_apart(db)]
        for stamp, (which, name, id, other) in enumerate(steps, 1):
            act(begun[which], sides[which], name, id, other, stamp)
        for which in order:
            allowed = sides[which].may_commit(committed)
            if allowed:
                begun[which].__exit__(None, None, None)
                committed = sides[which].over(committed)
            else:
                with pytest.raises(Conflict) as caught:
                    begun[which].__exit__(None, None, None)
                assert caught.value.retryable
            held = {node.id: node["v"] for node in db.nodes("X")}
            assert held == committed, "all of a transaction, or nothing"
        assert db.verify()["ok"]


def begin_apart(db):
    """Begin a transaction in a thread of its own, since one thread has one at a time."""
    made = []

    def begin():
        tx = db.transaction()
        tx.__enter__()
        made.append(tx)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    return made[0]


ACCOUNTS = ["a", "b", "c", "d", "e"]
TOTAL = ConvergedQuery(labels=["Account"], limit=100)

READER = """
import sys
from embedded_db import ConvergedQuery, EmbeddedDB

query = ConvergedQuery(labels=["Account"], limit=100)
with EmbeddedDB(sys.argv[1], read_only=True) as db:
    print("ready", flush=True)
    looks = 0
    for line in sys.stdin:
        for _ in range(20):
            found = [r.node["sum"] for r in db.execute_query(query)]
            assert (len(found), sum(found)) == (5, 500), found
            with db.snapshot() as snapshot:
                found = [snapshot.get_node(id)["sum"] for id in "abcde"]
                assert sum(found) == 500, found
            looks += 1
        print(looks, sum(node["moves"] for node in db.nodes("Account")), flush=True)
"""


def test_no_update_is_lost_and_no_sum_seen_half_done(db, path, spawn, in_threads):
    """Threads move amounts, others look, and so does a process that reads."""
    start = {"sum": 100, "moves": 0}
    db.create_nodes([{"id": id, "label": "Account", "properties": start} for id in ACCOUNTS])
    reader = spawn(READER, path)
    assert reader.stdout.readline() == "ready\n"
    rounds, done = 40, threading.Event()
    moved = []

    def work(seed):
        rng = random.Random(seed)
        for _ in range(rounds):
            source, target = rng.sample(ACCOUNTS, 2)
            amount = rng.randint(1, 30)

            def move(tx, source=source, target=target, amount=amount):
                for id, change in ((source, -amount), (target, amount)):
                    node = tx.get_node(id)
                    tx.update_node(id, {"sum": node["sum"] + change, "moves": node["moves"] + 1})
                    assert tx.get_node(id)["sum"] == node["sum"] + change
                assert sum(r.node["sum"] for r in tx.execute_query(TOTAL)) == 500

            db.run(move, attempts=10_000)
            moved.append(amount)

    def look():
        while not done.is_set():
            assert sum(r.node["sum"] for r in db.execute_query(TOTAL)) == 500
            with db.snapshot() as snapshot:
                assert sum(snapshot.get_node(id)["sum"] for id in ACCOUNTS) == 500

    def write():
        try:
            in_threads(*(lambda seed=seed: work(seed) for seed in range(4)))
        finally:
            done.set()

    def ask_the_process():
        while not done.is_set():
            reader.stdin.write("look\n")
            reader.stdin.flush()
            assert reader.stdout.readline(), "the reading process found something half done"

    in_threads(write, look, ask_the_process)
    assert len(moved) == 4 * rounds
    assert sum(db.get_node(id)["moves"] for id in ACCOUNTS) == 2 * len(moved)
    assert sum(db.get_node(id)["sum"] for id in ACCOUNTS) == 500
    reader.stdin.write("look\n")
    reader.stdin.flush()
    assert reader.stdout.readline().split()[1] == str(2 * len(moved)), "it sees the last commit"


def test_write_skew_over_what_was_read_is_a_conflict(db):
    """Two doctors are on call, each may leave while the other stays; both may not."""
    for id in ("ann", "bob"):
        db.create_node({"id": id, "label": "Doctor", "properties": {"on_call": True}})
    first, second = begin_apart(db), begin_apart(db)
    for tx, leaving in ((first, "ann"), (second, "bob")):
        assert all(tx.get_node(id)["on_call"] for id in ("ann", "bob"))
        tx.update_node(leaving, {"on_call": False})
    first.__exit__(None, None, None)
    with pytest.raises(Conflict):
        second.__exit__(None, None, None)
    assert [db.get_node(id)["on_call"] for id in ("ann", "bob")] == [False, True]


def test_write_skew_over_neighbours_is_a_conflict(db):
    db.create_nodes([{"id": id, "label": "X"} for id in ("ward", "ann", "bob")])
    for id in ("ann", "bob"):
        db.create_edge({"id": f"of {id}", "source": "ward", "target": id, "type": "ON_CALL"})
    first, second = begin_apart(db), begin_apart(db)
    for tx, leaving in ((first, "ann"), (second, "bob")):
        assert len(list(tx.neighbors("ward", "ON_CALL"))) == 2
        tx.delete_edge(f"of {leaving}")
    first.__exit__(None, None, None)
    with pytest.raises(Conflict):
        second.__exit__(None, None, None)
    assert [node.id for node in db.neighbors("ward", "ON_CALL")] == ["bob"]


def test_phantoms_of_queries_are_no_conflict(db):
    """What a query found, or would find, is not checked; what is read by its id is."""
    db.create_node({"id": "ann", "label": "Doctor", "properties": {"on_call": True}})
    on_call = ConvergedQuery(
        structural_filters=[{"property": "on_call", "operator": "Equals", "value": True}]
    )
    with db.transaction() as tx:
        assert tx.count_matching(on_call) == 1
        db.create_node({"id": "bob", "label": "Doctor", "properties": {"on_call": True}})
        db.update_node("ann", {"on_call": False})
        assert tx.count_matching(on_call) == 1
        tx.create_node({"id": "count", "label": "Count", "properties": {"n": 1}})
    assert db.get_node("count")["n"] == 1
    tx = begin_apart(db)
    for found in tx.execute_query(on_call):
        assert tx.get_node(found.node.id) is not None
    tx.create_node({"id": "other", "label": "Count"})
    db.update_node("bob", {"on_call": False})
    with pytest.raises(Conflict):
        tx.__exit__(None, None, None)


def test_every_kind_of_write_passes_an_open_transaction(db, in_threads):
    """Each of them ends while the transaction is still open: the events come in that order."""
    db.create_nodes([{"id": id, "label": "X", "properties": {"v": 0}} for id in IDS])
    events = []

    def others():
        db.create_node({"id": "e", "label": "Y"})
        db.create_nodes([{"label": "Y"} for _ in range(100)])
        db.update_matching(ConvergedQuery(labels=["Y"]), {"v": 1})
        db.delete_matching(ConvergedQuery(labels=["Y"]))
        db.create_message("chat", "text")
        db.namespace("other").create_node({"label": "X"})
        db.drop_namespace("other")
        with db.transaction() as second:
            second.update_node("b", {"v": 2})
        events.append("others")

    with db.transaction() as tx:
        tx.update_node("a", {"v": tx.get_node("a")["v"] + 1})
        tx.create_node({"id": "made", "label": "X"})
        in_threads(others)
        events.append("transaction")
    assert events == ["others", "transaction"]
    assert [db.get_node(id)["v"] for id in ("a", "b")] == [1, 2]
    assert db.exists("made")


def test_transactions_on_several_databases_do_not_nest():
    """A transaction of another database, or of another one in memory, is no nested one."""
    with (
        EmbeddedDB(":memory:", ml=None) as one,
        EmbeddedDB(":memory:", ml=None) as two,
        one.transaction() as first,
        two.transaction() as second,
    ):
        first.create_node({"id": "a", "label": "X"})
        second.create_node({"id": "b", "label": "X"})
        assert first.get_node("b") is None
