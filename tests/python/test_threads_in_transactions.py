"""Several threads may use one transaction: each call counts as a whole, whatever others do."""

# ruff: noqa: PT012 - what ends a block is the point

import threading
from datetime import UTC, datetime, tzinfo

import pytest
from pydantic import field_serializer

from embedded_db import AlreadyExists, InvalidInput, NodeModel
from harness.waiting import PATIENCE as WAIT
from harness.waiting import interrupted


class Pause:
    """Where a thread stops until it is told to go on."""

    def __init__(self):
        self.reached, self.ended = threading.Event(), threading.Event()

    def stop(self):
        self.reached.set()
        assert self.ended.wait(WAIT)


class Zone(tzinfo):
    """A time zone that does something whenever it is asked: as a value is stored, so in a step."""

    def __init__(self, act):
        self.act = act

    def utcoffset(self, when):
        self.act()
        return UTC.utcoffset(when)


class Slow(NodeModel, label="Slow"):
    n: int = 0
    at: datetime | None = None

    @field_serializer("n")
    def _n(self, value):
        pauses.get(value, lambda: None)()
        return value


pauses = {}


@pytest.fixture
def shared(db):
    db.add(Slow(id="taken"))
    yield db
    pauses.clear()


class Thread(threading.Thread):
    """A thread that keeps what its function gave, or raised."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function, self.outcome = function, None
        self.start()

    def run(self):
        try:
            self.outcome = self.function()
        except Exception as error:
            self.outcome = error

    def end(self):
        self.join(WAIT)
        assert not self.is_alive()
        return self.outcome


def slow(act, **given):
    return Slow(at=datetime(2020, 1, 1, tzinfo=Zone(act)), **given)


def test_two_that_add_many_do_not_undo_each_other(shared):
    one, two = Pause(), Pause()
    pauses.update({1: one.stop, 2: two.stop})
    with shared.transaction() as tx:
        first = Thread(lambda: tx.add_all([Slow(id="p0"), Slow(id="p1", n=1), Slow(id="taken")]))
        assert one.reached.wait(WAIT)
        second = Thread(lambda: tx.add_all([Slow(id="q0"), Slow(id="q1", n=2), Slow(id="q2")]))
        assert two.reached.wait(WAIT)
        one.ended.set()
        assert isinstance(first.end(), AlreadyExists)
        two.ended.set()
        assert [node.id for node in second.end()] == ["q0", "q1", "q2"]
    assert [shared.exists(id) for id in ("p0", "p1", "q0", "q1", "q2")] == [False] * 2 + [True] * 3


@pytest.mark.parametrize(
    "call",
    [
        lambda tx: tx.create_node({"id": "mine", "label": "X"}),
        lambda tx: tx.remember("kept", id="mine"),
        lambda tx: tx.create_message("chat", "kept", id="mine"),
        lambda tx: tx.add(Slow(id="mine")),
    ],
)
def test_what_another_thread_writes_is_not_undone_with_a_call_that_fails(shared, call):
    pause = Pause()
    with shared.transaction() as tx:
        failing = [Slow(id="p0"), slow(pause.stop, id="p1"), Slow(id="taken")]
        first = Thread(lambda: tx.add_all(failing))
        assert pause.reached.wait(WAIT)
        second = Thread(lambda: call(tx))
        second.join(0.05)  # as far as it gets
        pause.ended.set()
        assert isinstance(first.end(), AlreadyExists)
        assert not isinstance(second.end(), Exception)
        assert tx.get_node("mine") is not None
    assert [shared.exists(id) for id in ("p0", "p1", "mine")] == [False, False, True]


def test_nobody_reads_half_a_call(shared):
    pause = Pause()
    with shared.transaction() as tx:
        writer = Thread(lambda: tx.add_all([Slow(id="p0"), slow(pause.stop, id="p1")]))
        assert pause.reached.wait(WAIT)
        reader = Thread(lambda: [tx.get_node(id) is not None for id in ("p0", "p1")])
        reader.join(0.05)
        pause.ended.set()
        assert reader.end() == [True, True]
        assert len(writer.end()) == 2


def test_nobody_commits_half_a_call(shared):
    pause = Pause()
    with shared.transaction() as tx:
        writer = Thread(lambda: tx.add_all([Slow(id="p0"), slow(pause.stop, id="p1")]))
        assert pause.reached.wait(WAIT)
        timer = threading.Timer(0.05, pause.ended.set)
        timer.start()
    p0, p1 = writer.end()
    assert shared.exists(p0)
    assert p1.created_at == shared.get(Slow, "p1").created_at
    timer.join()


def test_waiting_for_the_call_of_another_thread_ends_with_ctrl_c(shared):
    pause = Pause()
    with shared.transaction() as tx:
        writer = Thread(lambda: tx.add_all([Slow(id="p0"), slow(pause.stop, id="p1")]))
        assert pause.reached.wait(WAIT)
        interrupted(lambda: tx.get_node("p0"))
        pause.ended.set()
        assert len(writer.end()) == 2
    assert shared.exists("p1")


def test_a_value_may_use_the_transaction_that_stores_it(shared):
    with shared.transaction() as tx:
        found = []
        made = tx.add_all([Slow(id="p0"), slow(lambda: found.append(tx.get_node("p0")), id="p1")])
        assert [node.id for node in made] == ["p0", "p1"]
        assert all(node.id == "p0" for node in found)
        assert found
        with pytest.raises(AlreadyExists):
            tx.add_all([slow(lambda: tx.remember("within", id="within"), id="p2")] * 2)
    assert [shared.exists(id) for id in ("p0", "p1", "p2", "within")] == [True, True, False, False]


def test_a_rollback_ends_what_a_thread_is_at(shared):
    pause = Pause()
    with pytest.raises(ZeroDivisionError), shared.transaction() as tx:
        writer = Thread(lambda: tx.add_all([Slow(id="p0"), slow(pause.stop, id="p1")]))
        assert pause.reached.wait(WAIT)
        raise ZeroDivisionError
    pause.ended.set()
    outcome = writer.end()
    assert isinstance(outcome, InvalidInput)
    assert "has ended" in str(outcome)
    assert shared.count() == 1


def test_many_threads_in_one_transaction(db, in_threads):
    def add(thread, tx):
        for n in range(20):
            given = [Slow(id=f"{thread}-{n}-{i}") for i in range(3)]
            if n % 2:
                with pytest.raises(AlreadyExists):
                    tx.add_all([*given, Slow(id=f"{thread}-0-0")])
            else:
                tx.add_all(given)

    with db.transaction() as tx:
        in_threads(*(lambda thread=thread: add(thread, tx) for thread in range(4)))
    kept = {f"{thread}-{n}-{i}" for thread in range(4) for n in range(0, 20, 2) for i in range(3)}
    assert {node.id for node in db.nodes()} == kept
    assert db.verify()["ok"]
