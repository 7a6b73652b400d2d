"""Promise: what the files of the log have lost is told; no older state takes its place unsaid."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded_db import Corruption, EmbeddedDB, RecoveryNeeded

COUNT = 30
PROGRAM = """
import os, signal, sys
from embedded_db import EmbeddedDB
db = EmbeddedDB(sys.argv[1], ml=None)
for n in range(int(sys.argv[2])):
    db.create_node({"id": f"n{n}", "label": "Thing", "properties": {"n": n}})
os.kill(os.getpid(), signal.SIGKILL)
"""
Damage = Callable[[Path], None]


def generation(path: Path) -> Path:
    [found] = path.glob("gen-*")
    return found


def killed(path: Path) -> None:
    """A database of a process that was killed behind its last write."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, path, str(COUNT)], check=False)
    assert ended.returncode == -signal.SIGKILL


def without(*names: str) -> Damage:
    def remove(files: Path) -> None:
        for name in names:
            (files / name).unlink()

    return remove


def cut(name: str, length: int) -> Damage:
    return lambda files: os.truncate(files / name, length)


def flipped(name: str, *places: int) -> Damage:
    def flip(files: Path) -> None:
        content = bytearray((files / name).read_bytes())
        for place in places:
            content[place] ^= 0x10
        (files / name).write_bytes(content)

    return flip


def emptied(files: Path) -> None:
    for name in ("log.0", "log.1"):
        content = (files / name).read_bytes()
        (files / name).write_bytes(content[:64] + bytes(len(content) - 64))


def exchanged(files: Path) -> None:
    first, second = ((files / name).read_bytes() for name in ("log.0", "log.1"))
    (files / "log.0").write_bytes(second)
    (files / "log.1").write_bytes(first)


def of_another(files: Path) -> None:
    other = files.parent.parent / "other"
    killed(other)
    for name in ("log.0", "log.1"):
        shutil.copyfile(generation(other) / name, files / name)
    shutil.rmtree(other)


BOTH_PLACES = (70, 4096 + 70)
DAMAGES: dict[str, Damage] = {
    "no checkpoints": without("ckpt"),
    "both checkpoints damaged": flipped("ckpt", *BOTH_PLACES),
    "no log": without("log.0", "log.1"),
    "no first file": without("log.0"),
    "no second file": without("log.1"),
    "first file cut off": cut("log.0", 100),
    "second file cut off": cut("log.1", 0),
    "first file of something else": flipped("log.0", 0),
    "emptied": emptied,
    "exchanged": exchanged,
    "of another database": of_another,
    "one checkpoint damaged": flipped("ckpt", BOTH_PLACES[0]),
    "the other checkpoint damaged": flipped("ckpt", BOTH_PLACES[1]),
}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in its place", "copied"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_all_is_there_or_the_damage_is_told(tmp_path: Path, damage: Damage, elsewhere: bool):
    path = tmp_path / "db"
    killed(path)
    if elsewhere:
        path = shutil.copytree(path, tmp_path / "copy")
    damage(generation(path))
    for read_only in (True, False):
        with contextlib.suppress(Corruption, *[RecoveryNeeded] * (read_only and elsewhere)):
            with EmbeddedDB(path, ml=None, read_only=read_only) as db:
                found = {node["n"] for node in db.nodes(label="Thing")}
            assert found == set(range(COUNT))


ALWAYS_TOLD = ["no checkpoints", "both checkpoints damaged", "no log", "emptied", "exchanged"]


@pytest.mark.parametrize("name", [*ALWAYS_TOLD, "of another database"])
def test_these_are_always_told(tmp_path: Path, name: str):
    killed(tmp_path / "db")
    # In its place the data file may have all of it.
    path = shutil.copytree(tmp_path / "db", tmp_path / "copy")
    DAMAGES[name](generation(path))
    with pytest.raises(Corruption, match=r"log\.|ckpt"):
        EmbeddedDB(path, ml=None)


@pytest.mark.parametrize("name", ["no checkpoints", "both checkpoints damaged", "no log"])
def test_what_reads_is_saved(tmp_path: Path, name: str):
    path = tmp_path / "db"
    killed(path)
    DAMAGES[name](generation(path))
    EmbeddedDB.repair(path, tmp_path / "saved")
    with EmbeddedDB(tmp_path / "saved", ml=None) as db:
        assert {node["n"] for node in db.nodes(label="Thing")} <= set(range(COUNT))


def test_a_closed_database_needs_no_log(tmp_path: Path):
    path = tmp_path / "db"
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "n", "label": "Thing"})
    without("log.0", "log.1")(generation(path))
    with EmbeddedDB(path, ml=None) as db:
        assert db.exists("n")
