"""A database to ask, the command in a process of its own, and a terminal to run it on."""

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB

HOSTILE = "Bob\x1b]0;owned\x07\x1b[2J\u202e\nOslo"

# Gives a process the terminal it stands on, so that Ctrl-C there reaches it.
ON_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A database with a chat, in which an edge leads from a message to the next."""
    path = tmp_path / "memory.db"
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat("Trip", id="trip")
        for number, text in enumerate(["We go to Oslo", "By train", "I bring cake"]):
            chat.add_message(text, sender="Ann", id=f"m{number}")
        chat.add_message("Was it cold?", sender=HOSTILE, id="evil")
    (tmp_path / "config.toml").write_text('ml = "none"\n')
    return path


@pytest.fixture
def command(stored: Path, tmp_path: Path) -> list[str]:
    config = str(tmp_path / "config.toml")
    return ["-m", "embedded_db.cli", "repl", str(stored), "--config", config]


class Terminal:
    """A process on a terminal, which is told what to type and what to wait for."""

    def __init__(self, arguments: list[str], **environment: str) -> None:
        self._ours, theirs = os.openpty()
        known = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "100", "LINES": "40"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **known, **environment},
        )
        os.close(theirs)
        self.raw = b""
        self._waited = 0

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """Give what was shown since the last text that was waited for, until this one."""
        until = time.monotonic() + seconds
        while True:
            shown = plain(self.raw)[self._waited :]
            if (found := shown.find(text)) >= 0:
                self._waited += found + len(text)
                return shown[: found + len(text)]
            assert time.monotonic() < until, f"{text!r} is not in {shown!r}"
            assert self._read(), f"it ended with {shown!r}"

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += data
        return bool(data)

    def ended(self, seconds: float = 60) -> int:
        """Wait for the end of the process."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            self._read()
        return self.process.wait(1)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._ours)


def plain(raw: bytes) -> str:
    """What a terminal shows, without what steers it."""
    text = raw.decode(errors="replace")
    return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])|\r", "", text)


@pytest.fixture
def terminal(command: list[str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*options: str, program: list[str] | None = None) -> Terminal:
        arguments = [*command, *options] if program is None else program
        made = Terminal(arguments, XDG_STATE_HOME=str(tmp_path / "state"))
        opened.append(made)
        return made

    yield open_one
    for each in opened:
        each.close()
