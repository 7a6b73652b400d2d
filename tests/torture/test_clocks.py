"""The clock of the machine is set back by a day, forward by ten years, and right again.

faketime does it to a child while that has a database open. Times that the database gives never go
back, what is made later comes later, what has expired does not come back, and work that waits for
its time does not wait for the clock: neither for a day, nor for ten years. Nothing spins meanwhile.
"""

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel
from harness.content import check_woven
from harness.lengths import length
from harness.model import Model
from harness.operations import AddMessages, CreateEdge, CreateNode, Declare, Revise
from harness.processes import Child, Nursery

DAY = 86_400
YEAR = 365 * DAY
JUMPS = [0, -DAY, 10 * YEAR, 0, -2 * DAY, -3 * YEAR, DAY, 0]
"""How far the clock is off, one after the other."""


class Clock:
    """The clock of a child, as it sees it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """By how much it is off from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        os.replace(new, self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed: scripts/install-test-tools")
    return Clock(tmp_path / "clock")


@pytest.fixture
def child(tmp_path: Path, clock: Clock, nursery: Nursery) -> Child:
    """A child whose clock can be set; a clock that only ticks is as it is."""
    asked = ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"]
    library = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return nursery.alone(environment)


SEEN = """
import time
node = db.get_node(id)
message = db.get_node(message)
edge = db.edge_history(edge)
result = {
    "clock": time.time(),
    "made": db.create_node({"label": "Made"}),
    "created": node.created_at.timestamp(),
    "updated": db.update_node(id, {"n": 1}).updated_at.timestamp(),
    "recorded": [each.recorded_at.timestamp() for each in edge],
    "said": message.created_at.timestamp(),
    "lag": db.weaver_status()["lag_seconds"],
}
"""


def test_whatever_the_clock_does(path, clock, child):
    model = Model().after(Declare(), CreateNode("a"), CreateNode("b"), CreateEdge("e", "a", "b"))
    child.open(path, ml="fake", warm_up=False)
    for operation in (Declare(), CreateNode("a"), CreateNode("b"), CreateEdge("e", "a", "b")):
        child.must("do", operation)
    child.run("db.create_node({'id': 'hour', 'label': 'Short'})\ndb.set_ttl('hour', 3600)")
    seen, gone = [], False
    for number, jump in enumerate(JUMPS * length(1, 2, 10)):
        clock.set(jump)
        if number % 3 == 2:
            child.must("close")
            child.open(path, ml="fake", warm_up=False)
        name = f"j{number}"
        steps = CreateNode(name), AddMessages("chat", (name + "m",)), Revise("e", float(number))
        for operation in steps:
            child.must("do", operation)
            operation.apply(model)
        child.run("db.flush(timeout=60)")
        seen.append(child.run(SEEN, id=name, message=name + "m", edge="e"))
        model = model.after()
        model.graphs["default"].things[name] = 0
        child.run("db.update_node(name, {'n': 0})", name=name)
        found = child.run("result = db.exists('hour')")
        gone |= jump > 3600
        assert found != gone, "what has expired does not come back"
    # The clock of the child did what it was told.
    assert min(each["clock"] for each in seen) < seen[0]["clock"] - 2 * YEAR
    assert max(each["clock"] for each in seen) > seen[0]["clock"] + 9 * YEAR
    for earlier, later in pairwise(seen):
        for time in ("created", "updated", "said"):
            assert later[time] >= earlier[time], f"{time} went back"
        assert later["recorded"] == sorted(later["recorded"])
        assert later["updated"] >= later["created"]
        assert later["lag"] >= 0
    made = child.run("result = [node.id for node in db.nodes('Made')]")
    assert made == [each["made"] for each in seen], "the order in which they were made"
    assert len(set(made)) == len(made)
    clock.set(0)
    child.must("close")
    assert child.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        for each in made:
            db.delete_node(each)
    with EmbeddedDB(path, ml=FakeModel()) as db:
        check_woven(db, model)


@pytest.mark.parametrize("reopened", [False, True], ids=["open", "reopened"])
@pytest.mark.parametrize("jump", [-DAY, -10 * YEAR], ids=["a day", "ten years"])
def test_work_that_has_failed_does_not_wait_for_the_clock(path, clock, child, jump, reopened):
    child.run(
        """
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        model = FakeModel()
        weaver = {"first_delay": 0.1, "max_delay": 0.2, "max_attempts": 1000}
        options = {"ml": model, "weaver": weaver, "warm_up": False}
        """
    )
    child.run("own = EmbeddedDB(path, **options)\nmodel.fail('raise')", path=str(path))
    child.run(
        """
        import select
        message = own.create_message("chat", "Alice")
        while own.weaver_status()["per_job"]["embedding"]["failed"] < 2:
            select.select([], [], [], 0.01)  # faketime does not know how Python sleeps
        """
    )
    # It was wrong until now, and is set right.
    clock.set(jump)
    if reopened:
        child.run("own.close()\nown = EmbeddedDB(path, **options)", path=str(path))
    child.run("model.recover()\nown.flush(timeout=60)")
    assert child.run("result = own.get_node(message.id).status.embedding") == "ready"
    child.run("own.close()")
    assert child.end() == 0


def test_nothing_spins_when_the_clock_is_wrong(path, clock, child):
    child.open(path, ml="fake", warm_up=False)
    child.run("db.create_node({'id': 'hour', 'label': 'Short'})\ndb.set_ttl('hour', 3600)")
    child.run("db.create_message('chat', 'Alice')\ndb.flush(timeout=60)")
    for jump in (-DAY, 10 * YEAR, -10 * YEAR):
        clock.set(jump)
        worked, passed = child.run(
            """
            import select
            from time import perf_counter, process_time
            db.create_node({"label": "X"})
            begun, at = process_time(), perf_counter()
            select.select([], [], [], 0.3)
            result = process_time() - begun, perf_counter() - at
            """
        )
        assert worked < passed / 2, f"{worked} of {passed} s at work with nothing to do"
    child.must("close")
    assert child.end() == 0
