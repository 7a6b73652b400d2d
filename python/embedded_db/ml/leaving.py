"""Calls of models that a program's end has to wait for.

A thread that comes back from a call of C++ code when the interpreter has gone is ended where it
stands, which aborts the process (``terminate called``). So the end waits for those that run, and no
other begins; then, for a moment, for the threads that made them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Final

from embedded_db.errors import ModelUnavailable

__all__ = ["LONGEST", "running", "working"]

LONGEST: Final = 30.0
"""Seconds that the end of a program waits at most for calls of C++ code."""
MOMENT: Final = 1.5
"""And then for the functions that made them: one that hangs is left where it stands."""


class _Calls:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.count = 0
        self.functions = 0
        self.is_ending = False


_calls = _Calls()


@contextlib.contextmanager
def running() -> Iterator[None]:
    """A call of C++ code, for the time of the context.

    Raises:
        ModelUnavailable: the program is ending.
    """
    calls = _calls
    with calls.changed:
        if calls.is_ending:
            raise ModelUnavailable(
                "The program is ending", hint="The work is done when the database is open again"
            )
        calls.count += 1
    try:
        yield
    finally:
        with calls.changed:
            calls.count -= 1
            calls.changed.notify_all()


@contextlib.contextmanager
def working() -> Iterator[None]:
    """A model function on a thread of its own, for the time of the context."""
    calls = _calls
    with calls.changed:
        calls.functions += 1
    try:
        yield
    finally:
        with calls.changed:
            calls.functions -= 1
            calls.changed.notify_all()


def _end() -> None:
    with _calls.changed:
        _calls.is_ending = True
        if _calls.changed.wait_for(lambda: _calls.count == 0, timeout=LONGEST):
            _calls.changed.wait_for(lambda: _calls.functions == 0, timeout=MOMENT)


def _forked() -> None:
    global _calls
    _calls = _Calls()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
