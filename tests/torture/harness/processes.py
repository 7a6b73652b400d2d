"""Children as the tests see them: told what to do, heard, killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import wire
from .child import Broke, Done, Refused
from .model import Content, Model, words_of
from .operations import Operation

__all__ = ["Child", "Dead", "Nursery"]

HERE = Path(__file__).parents[1]
PATIENCE = 90.0
"""Seconds for one answer: a child that takes longer hangs."""


class Dead(Exception):
    """The child ended instead of answering."""


def _state(task: Path) -> str:
    try:
        told = (task / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended just now
        return "X"
    return told.rsplit(")", 1)[1].split()[0]


class Child:
    """Another process; `sock` leads to it, `wait` waits for its end and tells its exit code."""

    def __init__(self, sock: socket.socket, pid: int, wait: Callable[[], int]) -> None:
        self.pid = pid
        self._sock = sock
        self._wait = wait
        self._status: int | None = None
        sock.settimeout(PATIENCE)

    def patience(self, seconds: float) -> None:
        """How long to wait for one answer."""
        self._sock.settimeout(seconds)

    def fileno(self) -> int:
        """For waiting until it says something."""
        return self._sock.fileno()

    def tell(self, what: str, *given: Any, lane: int = 0) -> None:
        """Tell it to do something, without waiting; each lane does one thing after the other."""
        try:
            wire.send(self._sock, (lane, what, *[given]))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Dead(what) from error

    def hear(self) -> tuple[int, Done | Refused | Broke]:
        """Wait for the next answer of any lane."""
        try:
            lane, answer = wire.receive(self._sock)
        except (EOFError, ConnectionResetError) as error:
            raise Dead from error
        assert not isinstance(answer, Broke), answer.text
        return lane, answer

    def ask(self, what: str, *given: Any) -> Done | Refused:
        """Tell it to do something, and wait for the answer."""
        self.tell(what, *given)
        return self.hear()[1]

    def must(self, what: str, *given: Any) -> Any:
        """The same; it must be done."""
        answer = self.ask(what, *given)
        assert isinstance(answer, Done), answer
        return answer.value

    def open(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Open a database."""
        self.must("open", os.fspath(path), options)

    def do(self, operation: Operation) -> Done | Refused:
        """Do one thing to it."""
        return self.ask("do", operation)

    def look(self, model: Model) -> Content:
        """Read everything."""
        return self.must("look", words_of(model))

    def run(self, code: str, **given: Any) -> Any:
        """Run a program, which finds `db`; the value of its `result`."""
        return self.must("run", code, given)

    def threads(self) -> str:
        """Give what its threads do, a letter each: `S` waits, `T` is stopped; see proc(5)."""
        return "".join(map(_state, Path(f"/proc/{self.pid}/task").iterdir()))

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.pid, how)

    def ended(self) -> bool:
        """Whether its end was waited for."""
        return self._status is not None

    def end(self) -> int:
        """Let it end by itself, or wait until it has; its exit code."""
        if self._status is None:
            self._sock.close()
            self._status = self._wait()
        return self._status


class Nursery:
    """Makes children: forked ones in milliseconds, others that need a beginning of their own."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        self._children: list[Child] = []

    def child(self) -> Child:
        """A new child, forked of a process that has done nothing but to import."""
        if self._sock is None:
            self._sock, other = socket.socketpair()
            self._process = _python("harness.nursery", other)
        own, other = socket.socketpair()
        wire.send(self._sock, ("start", 0))
        socket.send_fds(self._sock, [b"x"], [other.fileno()])
        other.close()
        pid = wire.receive(self._sock)
        return self._known(Child(own, pid, lambda: self._wait(pid)))

    def alone(self, environment: Mapping[str, str] | None = None) -> Child:
        """A new child that was not forked, with a larger environment."""
        own, other = socket.socketpair()
        process = _python("harness.alone", other, environment)
        return self._known(Child(own, process.pid, lambda: process.wait(PATIENCE)))

    def _known(self, child: Child) -> Child:
        self._children.append(child)
        return child

    def _wait(self, pid: int) -> int:
        assert self._sock is not None
        wire.send(self._sock, ("wait", pid))
        return wire.receive(self._sock)

    def sweep(self) -> None:
        """End what is left of the children."""
        for child in self._children:
            if not child.ended():
                child.kill(signal.SIGKILL)
                child.end()
        self._children.clear()

    def close(self) -> None:
        """End them all, and what they are forked of."""
        self.sweep()
        if self._sock is not None:
            self._sock.close()
            self._process.wait(PATIENCE)


def _python(
    module: str, sock: socket.socket, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    # One thread: what is forked of it must not wait for others.
    own = {"PYTHONPATH": str(HERE), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with sock:
        return subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", module, str(sock.fileno())],
            env={**os.environ, **own, **(environment or {})},
            pass_fds=[sock.fileno()],
        )
