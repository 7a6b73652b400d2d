"""Faults that befall system calls, by strace: it kills at a call, or makes the call fail.

Calls are counted by thread and by name, from when strace is there; so a point where a fault can
be is a name and a number.
"""

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .processes import Child

__all__ = ["CHANGES", "SYNCS", "WRITES", "Tracing", "tracing", "why_not"]

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "fallocate")
SYNCS = ("fdatasync", "fsync", "msync", "sync_file_range")
CHANGES = (
    *WRITES,
    *SYNCS,
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
    *("link", "linkat", "copy_file_range", "sendfile", "flock"),
    "sendto",  # the acknowledgement
)
"""Whatever changes files, and the acknowledgement."""

CALL = re.compile(r"^(\d+) +(\w+)\(")
LONGEST = 60.0


@dataclass
class Tracing:
    """What strace wrote down."""

    log: Path

    def lines(self) -> list[str]:
        """A line for each call."""
        return self.log.read_text(errors="replace").splitlines()

    def calls(self) -> dict[str, int]:
        """How often the calls were made: of each name by the thread that made most."""
        counts: Counter[tuple[str, str]] = Counter()
        for line in self.lines():
            if match := CALL.match(line):
                counts[match.group(2), match.group(1)] += 1
        most: dict[str, int] = {}
        for (name, _), count in counts.items():
            most[name] = max(most.get(name, 0), count)
        return most

    def injected(self) -> int:
        """How often a call was made to fail."""
        return sum("(INJECTED" in line for line in self.lines())

    def killed(self) -> bool:
        """Whether the process was killed."""
        return any("+++ killed by SIGKILL +++" in line for line in self.lines())


def why_not(log: Path) -> str | None:
    """Why strace cannot be used here; None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed: apt-get install strace"
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        tried = subprocess.Popen(
            ["strace", "-o", str(log), "-p", str(sleeper.pid)], stderr=subprocess.PIPE, text=True
        )
        assert tried.stderr is not None
        said = tried.stderr.readline()
        tried.send_signal(signal.SIGINT)
        tried.communicate()
    finally:
        sleeper.kill()
        sleeper.wait()
    return None if "attached" in said else f"strace may not look into processes here: {said}"


@contextmanager
def tracing(
    child: Child, log: Path, calls: tuple[str, ...] = CHANGES, inject: str | None = None
) -> Iterator[Tracing]:
    """Watch a child's calls meanwhile, with a fault befalling them.

    Args:
        child: the process; all of its threads are watched.
        log: where strace writes to.
        calls: which calls.
        inject: which of them, what happens, and when: ``fdatasync:error=EIO:when=1``.
    """
    log.unlink(missing_ok=True)
    watched = ",".join(f"?{call}" for call in calls)
    command = ["strace", "-f", "-y", "-o", str(log), "-e", f"trace={watched}", "-e", "signal=KILL"]
    if inject is not None:
        command += ["-e", f"inject={inject}"]
    strace = subprocess.Popen([*command, "-p", str(child.pid)], stderr=subprocess.PIPE, text=True)
    assert strace.stderr is not None
    said = strace.stderr.readline()
    if "attached" not in said:
        strace.communicate()
        raise AssertionError(said)
    try:
        yield Tracing(log)
    finally:
        _leave(strace, child)


def _leave(strace: "subprocess.Popen[str]", child: Child) -> None:
    with strace:
        if not child.ended():
            strace.send_signal(signal.SIGINT)
        strace.wait(LONGEST)
