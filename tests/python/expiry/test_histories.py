"""Any history of nodes with a time to live agrees with a plain model of it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from embedded_db import AlreadyExists, EmbeddedDB, NotFound


class Histories(RuleBasedStateMachine):
    """Nodes in a plain dict with the time at which they go, and edges between them."""

    path = None
    clock = None

    @initialize()
    def begin(self):
        self.rounds = Histories.rounds = getattr(Histories, "rounds", 0) + 1
        self.place = self.path / f"{self.rounds}.db"
        self.start = self.clock.moved
        self.now = self.latest = 0
        self.nodes = {}
        self.edges = {}
        self.held = None
        self.db = self.open()

    def open(self):
        return EmbeddedDB(self.place, ml=None, durability="memory")

    ids = st.sampled_from("abcdef")
    # The machine itself takes less than a hundred seconds.
    times = st.sampled_from([None, 1000, 2000, 5000])

    def live(self):
        return {id for id, end in self.nodes.items() if end is None or end > self.latest}

    def sweep(self):
        live = self.live()
        self.nodes = {id: end for id, end in self.nodes.items() if id in live}
        self.edges = {id: ends for id, ends in self.edges.items() if live >= set(ends)}

    def end(self, ttl):
        return None if ttl is None else self.latest + ttl

    @rule(id=ids, ttl=times)
    def create(self, id, ttl):
        self.sweep()
        draft = {"id": id, "label": "Note", "properties": {"text": id}, "ttl": ttl}
        if id in self.nodes:
            with pytest.raises(AlreadyExists):
                self.db.create_node(draft)
        else:
            self.db.create_node(draft)
            self.nodes[id] = self.end(ttl)

    @rule(id=ids, ttl=times)
    def set_ttl(self, id, ttl):
        self.sweep()
        if id not in self.nodes:
            with pytest.raises(NotFound):
                self.db.set_ttl(id, ttl)
        else:
            self.db.set_ttl(id, ttl)
            self.nodes[id] = self.end(ttl)

    @rule(id=ids)
    def delete(self, id):
        self.sweep()
        if id not in self.nodes:
            with pytest.raises(NotFound):
                self.db.delete_node(id)
        else:
            self.db.delete_node(id)
            del self.nodes[id]
            self.sweep()

    @rule(ends=st.tuples(ids, ids), id=st.sampled_from("xyz"))
    def link(self, ends, id):
        self.sweep()
        source, target = ends
        edge = {"id": id, "source": source, "target": target, "type": "T"}
        missing = {source, target} - self.nodes.keys()
        if missing or id in self.edges:
            with pytest.raises((NotFound, AlreadyExists)):
                self.db.create_edge(edge)
        else:
            self.db.create_edge(edge)
            self.edges[id] = (source, target)

    @rule(ids=st.lists(ids, min_size=1, max_size=3, unique=True), ttl=times, fails=st.booleans())
    def transaction(self, ids, ttl, fails):
        self.sweep()

        def write():
            with self.db.transaction() as tx:
                for id in ids:
                    if tx.get_node(id) is None:
                        tx.create_node({"id": id, "label": "Note", "properties": {"text": id}})
                    tx.set_ttl(id, ttl)
                assert not fails

        if fails:
            with pytest.raises(AssertionError):
                write()
        else:
            write()
            self.nodes.update(dict.fromkeys(ids, self.end(ttl)))

    @rule(seconds=st.sampled_from([500, 1500, 4000, -700, -3000]))
    def jump(self, seconds):
        self.move(seconds)
        # Nobody knows of a time at which nobody looked at the clock.
        self.db.namespace("time").create_node({"label": "Tick"})

    def move(self, seconds):
        self.clock.move(seconds)
        self.now += seconds
        self.latest = max(self.latest, self.now)

    @precondition(lambda self: self.held is None)
    @rule()
    def pin(self):
        self.sweep()
        self.held = (self.db.snapshot(), set(self.nodes), set(self.edges))

    @precondition(lambda self: self.held is not None)
    @rule()
    def release(self):
        self.held[0].close()
        self.held = None

    @rule()
    def flush(self):
        self.sweep()
        self.db.flush(timeout=60)
        ticks = self.db.namespace("time").count()
        assert self.db.stats()["tables"]["nodes"] == len(self.nodes) + ticks

    @precondition(lambda self: self.held is None)
    @rule(read_only=st.booleans())
    def reopen(self, read_only):
        self.db.close()
        # How late it was before the clock went back, nobody knows who comes later.
        self.move(self.latest - self.now)
        if read_only:
            with EmbeddedDB(self.place, ml=None, durability="memory", read_only=True) as db:
                self.same(db)
        self.db = self.open()

    def same(self, db):
        self.sweep()
        assert {node.id for node in db.nodes()} == set(self.nodes)
        assert db.count() == db.count("Note") == len(self.nodes)
        assert db.count_edges() == db.count_edges("T") == len(self.edges)
        assert {id for id in "xyz" if db.get_edge(id) is not None} == set(self.edges)
        for id in "abcdef":
            assert db.exists(id) == (id in self.nodes)
        for id in self.nodes:
            out = {target for source, target in self.edges.values() if source == id}
            assert {node.id for node in db.neighbors(id)} == out
        found = db.query(labels=["Note"], limit=100)
        assert {result.node.id for result in found} == set(self.nodes)

    @invariant()
    def agrees(self):
        if not hasattr(self, "db"):
            return
        self.same(self.db)
        if self.held is not None:
            snapshot, nodes, edges = self.held
            assert {node.id for node in snapshot.nodes()} == nodes
            assert {id for id in "xyz" if snapshot.get_edge(id) is not None} == edges

    def teardown(self):
        if hasattr(self, "db"):
            report = self.db.verify()
            self.db.close()
            assert report["ok"], report["problems"]
            self.clock.move(self.start - self.clock.moved)


def test_random_histories_agree_with_a_plain_model(tmp_path, clock, thorough):
    class Machine(Histories):
        pass

    Machine.path, Machine.clock = tmp_path, clock
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=150 if thorough else 25, stateful_step_count=30, deadline=None
        ),
    )
