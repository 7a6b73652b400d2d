"""A database that is used for long."""

import random
from collections import Counter
from typing import Any

import pytest

from embedded_db import ConvergedQuery, DatabaseClosed, EmbeddedDB

from .comparison import check_all, check_derived, check_reads, check_vectors
from .space import Space
from .state import State
from .values import LABELS


class History:
    """A database, its namespaces, and the snapshots and cursors that are kept."""

    def __init__(self, path, seed, ml):
        self.path = path
        self.rng = random.Random(seed)
        self.ml = ml
        self.states = {"default": State(), "user": State()}
        self.counts: Counter[str] = Counter()
        self.open()

    def open(self):
        weaver = {"first_delay": 0.01, "max_delay": 0.02}
        self.db = EmbeddedDB(self.path, ml=self.ml, weaver=weaver, durability="memory")
        self.snapshots: list[Any] = []
        self.cursors: list[Any] = []

    def space(self, name):
        handle = self.db if name == "default" else self.db.namespace(name)
        return Space(handle, self.states[name], self.rng, self.counts)

    def step(self):
        name = self.rng.choice(["default", "default", "user"])
        steps = {self.work: 100, self.snapshot: 4, self.cursor: 4, self.reopen: 0.1, self.drop: 0.1}
        step = self.rng.choices(list(steps), weights=list(steps.values()))[0]
        if step != self.work:  # its kinds are counted for themselves
            self.counts[step.__name__] += 1
        step(name)

    def work(self, name):
        self.space(name).any()

    def snapshot(self, name):
        """Take one, or look at one that was taken long ago."""
        if len(self.snapshots) < 3:
            space = self.space(name)
            self.snapshots.append((space.db.snapshot(), space.state.copy()))
        at = self.rng.randrange(len(self.snapshots))
        held, state = self.snapshots[at]
        check_reads(held, state, self.rng)
        check_vectors(held, state, self.rng)
        if self.rng.random() < 0.3:
            check_all(held, state)
            held.close()
            del self.snapshots[at]

    def cursor(self, name):
        """Begin a query in pages, or go on with one that began before later writes."""
        space = self.space(name)
        label = self.rng.choice(LABELS)
        query = ConvergedQuery(labels=[label], order_by=[("n", "desc"), "s"], limit=4)
        if len(self.cursors) < 4:
            whole = {id: space.state.nodes[id] for id in space.state.labelled(label)}
            self.cursors.append([space.db, query, None, whole])
            at = len(self.cursors) - 1
        else:
            at = self.rng.randrange(len(self.cursors))
        db, query, after, left = self.cursors[at]
        found = db.execute_query(query, after=after)
        for result in found:
            assert result.node.properties == left.pop(result.node.id).properties
        self.cursors[at][2] = found.cursor
        assert (found.cursor is None) == (not left)
        if found.cursor is None:
            del self.cursors[at]

    def reopen(self, name):
        self.db.close()
        for held, _ in self.snapshots:
            with pytest.raises(DatabaseClosed):
                held.get_node("n1")
        for db, query, after, _ in self.cursors:
            with pytest.raises(DatabaseClosed):
                db.execute_query(query, after=after)
        self.open()
        self.check()

    def drop(self, name):
        if self.states["user"].nodes:
            self.cursors = [kept for kept in self.cursors if kept[0].namespace_name == "default"]
            self.db.drop_namespace("user")
            self.states["user"] = State()
            assert "user" not in self.db.namespaces()

    def check(self):
        for name in self.states:
            space = self.space(name)
            check_all(space.db, space.state)
        report = self.db.verify()
        assert report["ok"], report["problems"]

    def check_derived(self):
        self.db.flush(timeout=60)
        for name in self.states:
            space = self.space(name)
            self.counts["mentions"] += check_derived(space.db, space.state)
