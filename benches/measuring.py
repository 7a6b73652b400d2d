"""Figures: how they are taken, and how they are shown."""

import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One measured figure."""

    name: str
    microseconds: float
    goal: str = ""
    peer: str = ""
    peer_microseconds: float | None = None
    note: str = ""

    def __str__(self) -> str:
        peer = ratio = ""
        if self.peer_microseconds is not None:
            peer = f"{self.peer} {shown(self.peer_microseconds)}"
            ratio = f"{self.microseconds / self.peer_microseconds:.2f} ×"
        remark = f"  {self.note}" if self.note else ""
        return (
            f"{self.name:<44} {shown(self.microseconds):>10}  {self.goal:<14} {peer:<28} "
            f"{ratio:>8}{remark}"
        )


def shown(microseconds: float) -> str:
    if microseconds < 1:
        return f"{microseconds * 1000:.0f} ns"
    if microseconds < 1000:
        return f"{microseconds:.1f} µs"
    if microseconds < 1e6:
        return f"{microseconds / 1000:.2f} ms"
    return f"{microseconds / 1e6:.2f} s"


def timed(call: Call, inner: int = 1) -> float:
    """Microseconds of one call, over `inner` calls in a row."""
    begun = time.perf_counter_ns()
    for _ in range(inner):
        call()
    return (time.perf_counter_ns() - begun) / inner / 1000


def median(*calls: Call, rounds: int, inner: int = 1, warm: int = 3) -> list[float]:
    """Medians of several calls, measured in turns."""
    for call in calls:
        for _ in range(warm):
            call()
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, sample in zip(calls, samples, strict=True):
            sample.append(timed(call, inner))
    return [statistics.median(sample) for sample in samples]


@contextmanager
def scratch() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="embedded-db-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@contextmanager
def syncs(directory: Path) -> Iterator[Call]:
    """A call that writes 2 KB into a file that has its place on the disk, and syncs it."""
    path, size, place = directory / "sync.bin", 4 << 20, 0
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    os.pwrite(file, bytes(size), 0)
    os.fsync(file)

    def sync() -> None:
        nonlocal place
        os.pwrite(file, bytes(range(256)) * 8, place)
        os.fdatasync(file)
        place = (place + 2048) % size

    try:
        yield sync
    finally:
        os.close(file)
        path.unlink()
