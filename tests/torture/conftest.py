"""What the fault tests share; their faults and their children are in `harness`."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from embedded_db import EmbeddedDB
from harness import disks, strace
from harness.base import BASE, MODEL
from harness.content import check
from harness.processes import Nursery

QUICK = Path("/dev/shm")


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place in memory where there is one: its calls are the same, and nobody waits for a disk."""
    if not os.access(QUICK, os.W_OK):
        yield tmp_path_factory.mktemp("quick")
        return
    with TemporaryDirectory(dir=QUICK, prefix="embedded-db-torture-") as place:
        yield Path(place)


@pytest.fixture
def path(quick: Path) -> Iterator[Path]:
    """Where a test may put a database, with room for more beside it."""
    with TemporaryDirectory(dir=quick) as place:
        yield Path(place) / "memory.db"


@pytest.fixture
def rng() -> random.Random:
    """Chance, which can be had again by the seed that is shown when a test fails."""
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


@pytest.fixture(scope="session")
def base(quick: Path) -> Path:
    """A closed database with what `harness.base` puts into it."""
    path = quick / "base.db"
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        for operation in BASE:
            operation.perform(db)
        check(db, MODEL)
    # All files are there, whoever may make some later.
    EmbeddedDB(path, ml=None).close()
    return path


@pytest.fixture(scope="session")
def one_nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def nursery(one_nursery: Nursery) -> Iterator[Nursery]:
    """Makes children that end with the test."""
    yield one_nursery
    one_nursery.sweep()


@pytest.fixture(scope="session")
def _strace(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    return strace.why_not(tmp_path_factory.mktemp("strace") / "log")


@pytest.fixture
def needs_strace(_strace: str | None) -> None:
    """Skip, visibly, where strace is missing or may not do its work."""
    if _strace is not None:
        pytest.skip(_strace)


@pytest.fixture(scope="session")
def _mounts(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    return disks.why_not(tmp_path_factory.mktemp("mounts") / "disk")


@pytest.fixture
def needs_mounts(_mounts: str | None) -> None:
    """Skip, visibly, where file systems cannot be mounted."""
    if _mounts is not None:
        pytest.skip(_mounts)
