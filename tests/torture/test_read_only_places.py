"""What may not be written can be read, and whoever wants to write is told what helps.

The tests that take permissions away run their children as another user when they are run by root,
who may write anything.
"""

import os
import shutil
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB
from harness.base import MODEL
from harness.child import Done, Refused
from harness.content import check
from harness.disks import in_memory, make_image, mounted, remount
from harness.lengths import longer
from harness.model import differences
from harness.operations import CreateNode
from harness.processes import Child, Nursery

NOBODY = 65534


@pytest.fixture
def place(path: Path, base: Path) -> Path:
    """A copy of the base that another user owns, where root runs the tests."""
    shutil.copytree(base, path)
    if os.geteuid() == 0:
        os.chmod(path.parent, 0o755)
        os.chmod(path.parent.parent, 0o755)
        for each in (path, *path.rglob("*")):
            os.chown(each, NOBODY, NOBODY)
    return path


def somebody(nursery: Nursery) -> Child:
    """A child to whom permissions matter."""
    child = nursery.child()
    if os.geteuid() == 0:
        child.run(f"import os\nos.setgroups([])\nos.setresgid(*[{NOBODY}] * 3)")
        child.run(f"os.setresuid(*[{NOBODY}] * 3)")
    return child


def may_not_write(path: Path, what: str) -> None:
    """Take the right to write away from everything, or from one thing in it."""
    for each in (path, *path.rglob("*")) if what == "everything" else (path / what,):
        each.chmod(each.stat().st_mode & 0o555)


def reads(child: Child, path: Path) -> None:
    child.open(path, read_only=True)
    assert not differences(child.look(MODEL), MODEL.content())
    refused = child.do(CreateNode("new"))
    assert isinstance(refused, Refused)
    assert refused.code == "ReadOnly"
    child.must("close")


def writes(child: Child, path: Path) -> None:
    child.open(path)
    assert child.do(CreateNode("new")) == Done()
    child.must("close")
    with EmbeddedDB(path, ml=None) as db:
        check(db, MODEL.after(CreateNode("new")))


def changed_at(path: Path) -> dict[Path, int]:
    """When each file was written; whoever holds the lock may have written its name there."""
    return {each: each.stat().st_mtime_ns for each in path.rglob("*") if each.name != "writer.lock"}


WHAT = ["everything", ".", "gen-0000000001", "gen-0000000001/data.mdb", "gen-0000000001/lock.mdb"]
WHAT += ["writer.lock", "CURRENT"]
HARMLESS = {".", "gen-0000000001", "CURRENT"}
"""Nothing has to be made or changed there once a database is in use."""


@pytest.mark.parametrize("what", WHAT)
def test_without_permission_to_write(place, nursery, what):
    may_not_write(place, what)
    child = somebody(nursery)
    reads(child, place)
    if what in HARMLESS:
        writes(child, place)
        return
    before = changed_at(place)
    for _ in range(2):
        refused = child.ask("open", str(place), {})
        assert isinstance(refused, Refused)
        assert refused.code == "StorageError"
        for word in (str(place), "ermission denied", "read_only=True", "write permission"):
            assert word in refused.message, refused
    assert changed_at(place) == before
    # Two at a time, with nothing that they could register themselves in.
    other = somebody(nursery)
    child.open(place, read_only=True)
    reads(other, place)
    child.must("close")


def test_without_permission_to_read(place, nursery):
    data = place / "gen-0000000001" / "data.mdb"
    data.chmod(0)
    child = somebody(nursery)
    for options in ({}, {"read_only": True}):
        refused = child.ask("open", str(place), options)
        assert isinstance(refused, Refused)
        assert refused.code == "StorageError"
        assert "data.mdb" in refused.message
        assert "ermission denied" in refused.message
    data.chmod(0o600)
    writes(child, place)


def test_a_directory_in_which_nothing_may_be_made(path, nursery):
    path.mkdir()
    path.chmod(0o555)
    if os.geteuid() == 0:
        os.chmod(path.parent, 0o755)
        os.chmod(path.parent.parent, 0o755)
    child = somebody(nursery)
    for place in (path, path / "inside.db"):
        refused = child.ask("open", str(place), {})
        assert isinstance(refused, Refused)
        assert refused.code == "StorageError"
        assert "ermission denied" in refused.message
    assert list(path.iterdir()) == []


@longer
@pytest.mark.usefixtures("needs_mounts")
@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_a_file_system_that_is_read_only(tmp_path, base, nursery, kind):
    disk = tmp_path / "disk"
    image = make_image(tmp_path / "image", 16 << 20) if kind == "ext4" else None
    mounting = mounted(image, disk) if image else in_memory(disk, 16 << 20)
    with mounting:
        path = disk / "memory.db"
        shutil.copytree(base, path)
        remount(disk, "ro")
        child, other = nursery.child(), nursery.child()
        child.open(path, read_only=True)
        reads(other, path)
        child.must("close")
        refused = child.ask("open", str(path), {})
        assert isinstance(refused, Refused)
        assert refused.code == "StorageError"
        for word in (str(path), "Read-only file system", "read_only=True"):
            assert word in refused.message, refused
        remount(disk, "rw")
        writes(child, path)
