"""File systems of our own, to be filled, cut off from the power, made read-only; only for root."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "in_memory",
    "leave_room",
    "make_image",
    "mounted",
    "remount",
    "seen_through",
    "why_not",
    "written_to",
]


def _run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def why_not(place: Path) -> str | None:
    """Why no file system can be mounted here; None when one can."""
    if os.geteuid() != 0:
        return "only root can mount file systems"
    for tool in ("mount", "losetup", "mkfs.ext4"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed: apt-get install mount e2fsprogs"
    try:
        with in_memory(place, 1 << 20):
            pass
        with mounted(make_image(place.with_suffix(".image"), 4 << 20), place):
            pass
    except AssertionError as error:
        return f"no file system can be mounted here: {error}"
    return None


@contextmanager
def _mounting(place: Path, *command: object) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    _run("mount", *command, place)
    try:
        yield place
    finally:
        _run("umount", place)


@contextmanager
def seen_through(directory: Path, place: Path) -> Iterator[Path]:
    """A directory at another place too, through a mount of its own."""
    with _mounting(place, "--bind", directory) as there:
        yield there


@contextmanager
def in_memory(place: Path, size: int) -> Iterator[Path]:
    """A file system in memory of this size."""
    with _mounting(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs") as there:
        yield there


def remount(place: Path, options: str) -> None:
    """Change a mounted file system: ``"ro"``, ``"size=…"``."""
    _run("mount", "-o", f"remount,{options}", place)


def leave_room(ballast: Path, room: int) -> None:
    """Fill a file system with a file, but for so many bytes."""
    ballast.write_bytes(b"")
    free = shutil.disk_usage(ballast.parent).free
    ballast.write_bytes(bytes(max(0, free - room)))


def make_image(image: Path, size: int) -> Path:
    """A file with an empty ext4 in it; it takes no more room than is written to it."""
    with image.open("wb") as file:
        file.truncate(size)
    _run("mkfs.ext4", "-q", "-F", image)
    return image


@contextmanager
def mounted(image: Path, place: Path, options: str = "") -> Iterator[Path]:
    """The file system in a file. What is not synced does not reach the file soon."""
    with _mounting(place, "-o", ",".join(["loop", "commit=600", *options.split()]), image) as there:
        yield there


def written_to(place: Path) -> str:
    """How much was written to the device of a file system so far, with nothing on the way."""
    device = os.stat(place).st_dev
    counters = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    while True:
        told = counters.read_text()
        if told.split()[8] == "0":
            return told
        time.sleep(0.001)
