"""Waiting for what comes by itself: what is so in the end, a later time, the middle of a call.

A thread may stand still for seconds at any place, and a clock may show the same time twice. So
nobody waits for a while and hopes: a test waits for the thing itself, with a bound that only a hang
reaches.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any, TypeVar

import pytest

__all__ = ["PATIENCE", "eventually", "interrupted", "moment"]

PATIENCE = 60.0
"""Seconds after which nothing more is expected to come."""

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Wait until something is so.

    Args:
        look: what is true in the end.
        what: in words, for when it does not come.
        patience: seconds.

    Returns:
        What `look` gave.
    """
    deadline = time.monotonic() + patience
    while True:
        # Whoever stood still until now looks once more.
        late = time.monotonic() > deadline
        if found := look():
            return found
        assert not late, f"in {patience:.0f} s it did not come to this: {what}"
        time.sleep(0.001)


def moment() -> datetime:
    """Give a time that is over: what comes before is no later, what comes after is later."""
    now = datetime.now(UTC)
    eventually(lambda: datetime.now(UTC) > now, "a later time")
    return now


def interrupted(call: Callable[[], Any]) -> str:
    """Run a call, press Ctrl-C in the middle of it, and see that this is what ended it.

    Ctrl-C is pressed again and again, and counts once, while the main thread is within a native
    call of ours: nowhere else, however long threads stand still.

    Args:
        call: what would not end by itself before the time limit of the test.

    Returns:
        The name of the native call that was ended.
    """
    within: list[str] = []
    heard: list[int] = []
    broken_off: list[str] = []
    ended = threading.Event()

    def watch(frame: FrameType, event: str, function: Any) -> None:
        if not event.startswith("c_"):
            return
        owner = type(getattr(function, "__self__", None))
        # What is no method of an object is the opening.
        if owner.__module__ != "embedded_db._native" and function.__name__ != "open":
            return
        if event == "c_call":
            within.append(function.__name__)
        elif within:
            name = within.pop()
            if event == "c_exception":
                broken_off.append(name)

    def handle(number: int, frame: FrameType | None) -> None:
        if within and not heard and frame is not None and frame.f_code is not watch.__code__:
            heard.append(number)
            raise KeyboardInterrupt

    def press() -> None:
        while not ended.wait(0.1):
            signal.pthread_kill(main, signal.SIGINT)

    main = threading.main_thread().ident
    assert main is not None
    presser = threading.Thread(target=press)
    before = signal.signal(signal.SIGINT, handle)
    try:
        presser.start()
        sys.setprofile(watch)
        try:
            with pytest.raises(KeyboardInterrupt):
                call()
        finally:
            sys.setprofile(None)
    finally:
        ended.set()
        presser.join()
        signal.signal(signal.SIGINT, before)
    assert len(broken_off) == 1, "it was a native call that the interrupt ended"
    return broken_off[0]
