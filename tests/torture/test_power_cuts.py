"""A power cut loses nothing that was acknowledged, because it was on the disk by then.

A child writes to a file system of its own, which lies in a file. At a random moment it is stopped,
and the file is copied as it is: that is what a machine would find whose power was cut at this
moment, for what the system still had in memory is not in the file. The copy is mounted and opened,
and compared with what was acknowledged; then the child goes on. ``kill -9`` shows nothing of this
kind, because the system's memory outlives the process.

Without synchronisation the same must show losses; that is tested too, so that we know that the cuts
are some.
"""

import random
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded_db import DbError, EmbeddedDB
from embedded_db.testing import FakeModel
from harness.child import Done
from harness.content import check, check_woven
from harness.disks import make_image, mounted, written_to
from harness.lengths import length, longer
from harness.load import Load
from harness.model import Model
from harness.operations import CreateNode
from harness.processes import Child, Nursery
from harness.waiting import eventually

pytestmark = [longer, pytest.mark.usefixtures("needs_mounts"), pytest.mark.timeout(1800)]

CUTS = length(2, 10, 100)
LANES = 3
SIZE = 64 << 20
WINDOW = 0.010
"""What `relaxed_window_ms` is when nobody says another."""
LONGEST_SYNC = 0.5


def stop(child: Child) -> None:
    """Stop a process, and wait until none of its threads runs."""
    child.kill(signal.SIGSTOP)
    eventually(lambda: set(child.threads()) <= set("tTXZ"), "all of its threads stand still")


def cut(disk: Path, image: Path, copy: Path) -> None:
    """Copy what is in the file of a disk, as of one instant."""
    written = None
    while written is None or written != written_to(disk):
        written = written_to(disk)
        subprocess.run(["cp", "--sparse=always", image, copy], check=True)


def drain(load: Load, child: Child) -> None:
    """Hear what a child had acknowledged when it was stopped."""
    while select.select([child], [], [], 0)[0]:
        load.hear(child)


def cuts(tmp_path: Path, nursery: Nursery, rng: random.Random, durability: str) -> Iterator[Load]:
    """Cut the power again and again; each time the copy is mounted, with what it has to hold."""
    image, copy = make_image(tmp_path / "image", SIZE), tmp_path / "copy"
    with mounted(image, tmp_path / "disk") as disk:
        path = disk / "memory.db"
        with EmbeddedDB(path, ml=None) as db:
            load = Load.start(rng, LANES, db)
        child = nursery.child()
        child.open(path, ml="fake", warm_up=False, durability=durability)
        try:
            for _ in range(CUTS):
                until = time.monotonic() + rng.uniform(0.005, 0.05)
                enough = load.acknowledged + 2
                load.run(
                    child,
                    lambda until=until, enough=enough: (
                        time.monotonic() > until and load.acknowledged >= enough
                    ),
                )
                stop(child)
                drain(load, child)
                cut(disk, image, copy)
                with mounted(copy, tmp_path / "after"):
                    yield replace(load, model=load.model.after(), doing=dict(load.doing))
                child.kill(signal.SIGCONT)
        finally:
            child.kill()
            child.end()


def test_cuts_at_random(tmp_path, nursery, rng):
    in_the_middle = 0
    for load in cuts(tmp_path, nursery, rng, "durable"):
        with EmbeddedDB(tmp_path / "after" / "memory.db", ml=None) as db:
            in_the_middle += len(load.doing)
            load.settle(db)
            check(db, load.model)
        with EmbeddedDB(tmp_path / "after" / "memory.db", ml=FakeModel()) as db:
            check_woven(db, load.model)
    print(f"{CUTS} cuts of {load.acknowledged} lost 0; {in_the_middle} were in the middle")
    assert load.acknowledged > CUTS
    assert in_the_middle > 0


def test_a_relaxed_database_loses_the_newest_writes_only_and_those_of_a_moment(
    tmp_path, nursery, rng
):
    image, copy = make_image(tmp_path / "image", SIZE), tmp_path / "copy"
    acknowledged: list[float] = []
    losses: list[int] = []
    ages: list[float] = []

    def kept() -> tuple[int, float]:
        stop(child)
        cut_at = time.monotonic()
        cut(disk, image, copy)
        child.kill(signal.SIGCONT)
        with (
            mounted(copy, tmp_path / "after") as after,
            EmbeddedDB(after / "memory.db", ml=None) as db,
        ):
            numbers = sorted(node.properties["n"] for node in db.nodes("Thing"))
            assert numbers == list(range(len(numbers))), "a later write needs all before it"
            assert db.verify(deep=True)["problems"] == []
            return len(numbers), cut_at

    with mounted(image, tmp_path / "disk") as disk:
        child = nursery.child()
        child.open(disk / "memory.db", durability="relaxed")
        for _ in range(CUTS):
            until = time.monotonic() + rng.uniform(0.005, 0.05)
            while time.monotonic() < until:
                done = len(acknowledged)
                assert child.do(CreateNode(f"n{done}", done)) == Done()
                acknowledged.append(time.monotonic())
            there, cut_at = kept()
            lost = acknowledged[there:]
            losses.append(len(lost))
            ages.append(cut_at - lost[0] if lost else 0.0)
            # The window, and what it takes to sync: on a busy machine that is most of it.
            assert ages[-1] < WINDOW + LONGEST_SYNC
            # However slow this machine is: when nothing more is written, all of it gets there.
            while kept()[0] < len(acknowledged):
                time.sleep(0.05)
        child.kill()
        child.end()
    print(
        f"{CUTS} cuts of {len(acknowledged)} writes lost {sum(losses)}, at most {max(losses)} "
        f"at once; the oldest was acknowledged {max(ages) * 1000:.0f} ms before its cut"
    )
    assert any(losses), "some cuts are in a window"


def test_without_synchronisation_cuts_lose_something(tmp_path, nursery, rng):
    lost = 0
    for load in cuts(tmp_path, nursery, rng, "memory"):
        try:
            with EmbeddedDB(tmp_path / "after" / "memory.db", ml=None) as db:
                load.settle(db)
                check(db, load.model)
        except (AssertionError, DbError):
            lost += 1
    print(f"{lost} of {CUTS} cuts lost something")
    assert lost > 0


def test_a_cut_after_the_first_acknowledgement(tmp_path, nursery):
    image, copy = make_image(tmp_path / "image", SIZE), tmp_path / "copy"
    first = CreateNode("first")
    with mounted(image, tmp_path / "disk") as disk:
        for number in range(length(1, 3, 20)):
            directory = f"{number}" if number % 2 else f"{number}/deeper/still"
            child = nursery.child()
            child.open(disk / directory / "memory.db")
            child.must("do", first)
            cut(disk, image, copy)
            child.kill()
            child.end()
            with mounted(copy, tmp_path / "after") as after:
                path = after / directory / "memory.db"
                with EmbeddedDB(path, ml=None) as db:
                    check(db, Model().after(first))
