"""Threads for models: daemons of the interpreter's own, which keep no program from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from embedded_db.errors import ModelUnavailable

__all__ = ["begun", "within"]

T = TypeVar("T")


def begun(target: Callable[[], None], name: str) -> threading.Thread:
    """A thread that runs.

    Raises:
        ModelUnavailable: the system has none left, or the program is ending.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ModelUnavailable(
            f"No thread can be begun for a model ({error})",
            hint="Work waits and is tried again; threads that end make room",
        ) from error
    return thread


def within(seconds: float, function: Callable[..., T], *arguments: Any) -> T:
    """What a function gives in time. Later it is left behind: it has to end by itself.

    Raises:
        TimeoutError: the time is over.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            result = function(*arguments)
        # Also what would end a program: here it is the answer.
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    begun(run, "embedded-db model server")
    wait((answer,), timeout=seconds)
    if not answer.done():
        raise TimeoutError(f"timed out after {seconds} s")
    return answer.result()
