"""A history through a process that forwards its writes is as one of a process that writes.

The holder is another process, which is killed now and then, or closes; then this one writes by
itself, until it is opened again beside a new holder.
"""

import time

import pytest

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

from .history import History
from .test_histories import SEED

HOLDER = """
import sys
from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

weaver = {"first_delay": 0.01, "max_delay": 0.02}
db = EmbeddedDB(sys.argv[1], ml=FakeModel(), weaver=weaver, shared=True)
print("ready", flush=True)
sys.stdin.readline()
db.close()
print("closed", flush=True)
"""
EVERY = 120
STEPS = {True: 6_000, False: 1_500}
WHOLE = 500


class SharedHistory(History):
    """One beside a process that writes."""

    def __init__(self, path, seed, spawn):
        self.spawn = spawn
        self.holder = None
        self.steps = 0
        super().__init__(path, seed, FakeModel())

    def begin_holder(self):
        self.holder = self.spawn(HOLDER, self.path)
        assert self.holder.stdout.readline() == "ready\n"

    def open(self):
        if self.holder is None:
            self.begin_holder()
        weaver = {"first_delay": 0.01, "max_delay": 0.02}
        options = {"weaver": weaver, "shared": True, "lock_timeout": 60}
        self.db = EmbeddedDB(self.path, ml=self.ml, **options)
        while self.db.stats()["shared"]["role"] == "holds":
            # We were quicker than the other, who takes over when nobody holds it.
            self.db.close()
            time.sleep(0.05)
            self.db = EmbeddedDB(self.path, ml=self.ml, **options)
        assert self.db.stats()["shared"]["pid"] == self.holder.pid
        self.snapshots, self.cursors = [], []

    def step(self):
        self.steps += 1
        if self.steps % EVERY == 0:
            self.lose()
        super().step()

    def lose(self):
        """The holder ends, or another begins; what is held here goes on."""
        if self.holder is None:
            self.counts["begins again"] += 1
            self.begin_holder()
            # The new one takes over when this handle is closed.
            self.reopen("default")
            return
        if self.counts["killed"] <= 2 * self.counts["closed"]:
            self.counts["killed"] += 1
            self.holder.kill()
        else:
            self.counts["closed"] += 1
            self.holder.stdin.write("\n")
            self.holder.stdin.flush()
        self.holder.wait()
        self.holder = None

    def reopen(self, name):
        if self.holder is None:
            self.begin_holder()
        super().reopen(name)


@pytest.mark.parametrize("seed", [21, SEED], ids=["fixed", "random"])
def test_a_history_through_another_process(path, spawn, seed, thorough, capsys):
    history = SharedHistory(path, seed, spawn)
    done = 0
    try:
        while done < STEPS[thorough]:
            history.step()
            done += 1
            if done % WHOLE == 0:
                history.check()
                history.check_derived()
        history.check()
        assert history.db.verify()["ok"]
        for needed in ("killed", "closed", "begins again"):
            assert history.counts[needed], needed
    finally:
        with capsys.disabled():
            print(f"\n{done} steps of the seed {seed}: {dict(history.counts)}")
        history.db.close()
