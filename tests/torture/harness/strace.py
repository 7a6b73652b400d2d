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

__all__ = ["CHANGES", "KINDS", "SYNCS", "WRITES", "Tracing", "says_kind", "tracing", "why_not"]

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

KINDS = {
    "NFS": 0x6969,
    "SMB": 0xFE534D42,
    "AFS": 0x5346414F,
    "ext4": 0xEF53,
    "tmpfs": 0x01021994,
    "FUSE": 0x65735546,
    "Btrfs": 0x9123683E,
}
"""What `statfs` says of file systems."""

CALL = re.compile(r"^(?:(\d+) +)?(\w+)\(")
LONGEST = 60.0


@dataclass
class Tracing:
    """What strace wrote down."""

    log: Path

    def lines(self, call: str | None = None) -> list[str]:
        """A line for each call, or for each of one name."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if call is None or f" {call}(" in f" {line}"]

    def calls(self) -> dict[str, int]:
        """How often the calls were made: of each name by the thread that made most."""
        counts: Counter[tuple[str, str]] = Counter()
        for line in self.lines():
            if match := CALL.match(line):
                counts[match.group(2), match.group(1) or ""] += 1
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


def says_kind(kind: str) -> str:
    """A fault: what `statfs` tells, its first field, in the byte order of this machine."""
    return f"statfs:poke_exit=@arg2={KINDS[kind].to_bytes(8, 'little').hex()}"


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
    child: Child,
    log: Path,
    calls: tuple[str, ...] = CHANGES,
    inject: str | None = None,
    *,
    follow: bool = True,
    only: Path | None = None,
) -> Iterator[Tracing]:
    """Watch a child's calls meanwhile, with a fault befalling them.

    Args:
        child: the process.
        log: where strace writes to.
        calls: which calls.
        inject: which of them, what happens, and when: ``fdatasync:error=EIO:when=1``.
        follow: watch all of its threads, not the one alone that does what it is asked for.
        only: of these, only calls that concern this file.
    """
    log.unlink(missing_ok=True)
    watched = ",".join(f"?{call}" for call in calls)
    command = ["strace", "-y", "-o", str(log), "-e", f"trace={watched}", "-e", "signal=KILL"]
    if follow:
        command.append("-f")
    if only is not None:
        command += ["-P", str(only)]
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
