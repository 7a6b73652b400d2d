"""A thousand signals a second are not noticed: no call fails, nothing waits for ever."""

import pytest

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel
from harness.content import check_woven
from harness.lengths import length
from harness.load import Load
from harness.operations import CreateIndex, DropIndex
from harness.strace import WRITES, tracing

STORM = """
import signal
told = [0]


def handle(number, frame):
    told[0] += 1


signal.signal(signal.SIGALRM, handle)  # calls that it meets are not begun again by themselves
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
"""


def test_a_storm_of_signals(path, nursery, rng):
    with EmbeddedDB(path, ml=None) as db:
        load = Load.start(rng, 2, db)
    child = nursery.child()
    child.run(STORM)
    operations = 0
    for _ in range(length(2, 10, 50)):
        child.open(path, ml="fake", warm_up=False)
        for index in (CreateIndex(), DropIndex()):
            child.must("do", index)
        # In the main thread, which the signals are for.
        for _ in range(20):
            operation = load.next(1)
            child.must("do", operation)
            operation.apply(load.model)
            operations += 1
        child.run("db.flush(timeout=60)")
        assert child.look(load.model) == load.model.content()
        child.must("close")
    signals = child.run("signal.setitimer(signal.ITIMER_REAL, 0)\nresult = told[0]")
    print(f"{signals} signals in {operations} operations")
    assert signals > operations / 4
    assert child.end() == 0
    with EmbeddedDB(path, ml=FakeModel()) as db:
        check_woven(db, load.model)


@pytest.mark.usefixtures("needs_strace")
@pytest.mark.parametrize("call", ["writev", *length([], [], ["pwrite64"])])
def test_a_write_that_a_signal_ends(path, nursery, rng, call):
    with EmbeddedDB(path, ml=None) as db:
        load = Load.start(rng, 2, db)
    child = nursery.child()
    child.open(path)
    # Every third call: strace has it end before anything was written.
    with tracing(
        child, path.with_suffix(".strace"), WRITES, f"{call}:error=EINTR:when=1+3"
    ) as told:
        # Several share a commit.
        for _ in range(40):
            operation = load.next(1)
            child.must("do", operation)
            operation.apply(load.model)
    assert told.injected() > 3
    assert child.look(load.model) == load.model.content()
    child.must("close")
    assert child.end() == 0
