"""A snapshot of a disk holds each part of a file as of when it was last written back to the disk.

The data file and its sums are whole up to the last checkpoint; what was written since may be there
or not, each page of the sums as of another moment. The log tells all of it: nothing is lost, and
nothing is taken for damage.
"""

import random
import shutil
import signal
from itertools import count
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, RecoveryNeeded
from harness.content import check
from harness.disks import seen_through
from harness.lengths import length
from harness.load import Load
from harness.model import Model, differences
from harness.operations import CreateNode

PAGE = 4096


def mixed(files: list[bytes], rng: random.Random) -> bytes:
    """Each page as it was in one of the files; where that file was shorter, it was all zeros."""
    end = rng.choice([len(file) for file in files])
    parts = [rng.choice(files)[at : at + PAGE].ljust(PAGE, b"\0") for at in range(0, end, PAGE)]
    return b"".join(parts)


def test_sums_of_any_moment(path, nursery, rng):
    with EmbeddedDB(path, ml=None) as db:
        load = Load.start(rng, 1, db)
    child = nursery.child()
    child.open(path)
    generation = Path("gen-0000000001")
    moments, mixtures = [], 0
    rounds = length(4, 20, 100)
    for turn in count():
        # A checkpoint comes every second: a slow machine needs more rounds for two within one.
        if turn >= rounds and (mixtures or turn >= 10 * rounds):
            break
        checkpoint = (path / generation / "ckpt").read_bytes()
        moments.append((checkpoint, (path / generation / "data.sums").read_bytes()))
        until = load.acknowledged + rng.randrange(1, 20)
        load.run(child, lambda until=until: load.acknowledged >= until)
        while load.doing:
            load.hear(child)
        assert moments[-1][1] != (path / generation / "data.sums").read_bytes()
        copy = path.parent / "copy.db"
        # While no other checkpoint counts, nobody writes to the pages of this one.
        while True:
            checkpoint = (path / generation / "ckpt").read_bytes()
            shutil.copytree(path, copy)
            if (path / generation / "ckpt").read_bytes() == checkpoint:
                break
            shutil.rmtree(copy)
        since = [sums for of, sums in moments if of == checkpoint]
        if since:
            since.append((copy / generation / "data.sums").read_bytes())
            (copy / generation / "data.sums").write_bytes(mixed(since, rng))
            mixtures += 1
        with pytest.raises(RecoveryNeeded):
            EmbeddedDB(copy, ml=None, read_only=True)
        for read_only in (False, True):
            with EmbeddedDB(copy, ml=None, read_only=read_only) as db:
                check(db, load.model)
                assert db.verify(deep=True)["ok"]
        shutil.rmtree(copy)
    assert mixtures
    child.must("close")
    assert child.end() == 0


@pytest.mark.usefixtures("needs_mounts")
def test_a_database_in_use_is_seen_through_another_mount(path, tmp_path, nursery):
    """As from a container. Nobody takes it for one that was left by another boot."""
    writer, reader, heir = (nursery.child() for _ in range(3))
    writer.open(path)
    writer.must("do", CreateNode("first"))
    with seen_through(path.parent, tmp_path / "seen") as place:
        reader.open(place / path.name, read_only=True)
        model = Model().after(CreateNode("first"))
        assert not differences(reader.look(model), model.content())
        writer.kill(signal.SIGKILL)
        writer.end()
        # It has it open from before: nothing is put back under it.
        heir.open(place / path.name)
        heir.must("do", CreateNode("second"))
        model = model.after(CreateNode("second"))
        assert not differences(reader.look(model), model.content())
        for child in (reader, heir):
            child.must("close")
            assert child.end() == 0
