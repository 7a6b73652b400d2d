"""Model functions that the weaver calls on threads of their own: one that hangs is left behind.

Nothing ends a thread, but who waits for it can go on. Code in Python is asked to end, too, which a
loop does, and a call that waits in C does not. What a call costs that never ends, its thread and
what it holds, stays until the program ends; functions in a process of their own
(`embedded_db.ml.isolation`) leave nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from embedded_db._native import work_for, works_for
from embedded_db.errors import ModelUnavailable
from embedded_db.ml.entities import EntityDict
from embedded_db.ml.leaving import working
from embedded_db.ml.providers import Functions
from embedded_db.ml.threads import begun
from embedded_db.ml.time_limits import ModelTimeout, of_call
from embedded_db.ml_config import MLConfig

__all__ = ["MOST_HUNG", "TimedFunctions"]

MOST_HUNG: Final = 16
"""While so many calls of one function hang, no more of it are begun."""
GRACE: Final = 1.0
"""Seconds that a call still gets when the database is closed."""
LOOK: Final = 0.2
"""Seconds between two looks at whether it is."""

T = TypeVar("T")


class _LeftBehind(BaseException):
    """Ends what runs in Python on a thread for which nobody waits any more."""


class TimedFunctions(Functions):
    """The functions of a configuration, of which those for the weaver have a time limit.

    What a query asks for runs on the thread of the query, which Ctrl-C ends.

    Args:
        config: which model does what, and its ``timeout``.

    Examples:
        >>> from embedded_db.ml.timed import TimedFunctions
        >>> functions = TimedFunctions(MLConfig(embedding="hashing", timeout=30))
        >>> functions.summarize(["Ann: We should use Rust"])
        'Ann: We should use Rust'
    """

    def __init__(self, config: MLConfig) -> None:
        super().__init__(config)
        self._timeout = of_call(config)
        self._lock = threading.Lock()
        self._idle: list[_Caller] = []
        # Threads that wait for calls would wait for ever.
        weakref.finalize(self, _dismiss, self._idle).atexit = False
        self._hung: dict[str, list[_Caller]] = {}
        self._endings = 0
        # When calls are left behind because the database is being closed.
        self._end = float("inf")

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Leave behind what does not end soon, and begin nothing, for the time of the context."""
        with self._lock:
            self._endings += 1
            self._end = min(self._end, time.monotonic() + GRACE)
        try:
            yield
        finally:
            with self._lock:
                _dismiss(self._idle)
                self._endings -= 1
                if self._endings == 0:
                    self._end = float("inf")

    def enrich(
        self,
        texts: Sequence[str],
        starts: Sequence[int],
        want_vectors: Sequence[bool],
        want_entities: Sequence[bool],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], list[list[EntityDict]]]:
        """See `Functions.enrich`.

        Raises:
            ModelTimeout: it has not answered in time.
        """
        return self._timed(super().enrich, texts, starts, want_vectors, want_entities)

    def summarize(
        self, messages: Sequence[str], vectors: npt.NDArray[np.float32] | None = None
    ) -> str:
        """See `Functions.summarize`.

        Raises:
            ModelTimeout: it has not answered in time.
        """
        return self._timed(super().summarize, messages, vectors)

    def _timed(self, function: Callable[..., T], *arguments: object) -> T:
        name = function.__name__
        caller = self._caller(name)
        answer: Future[T] = Future()
        caller.call(answer, function, arguments)
        deadline = time.monotonic() + self._timeout
        while not answer.done():
            now = time.monotonic()
            if now >= min(deadline, self._end):
                self._leave(name, caller)
                if now < deadline:
                    raise _closed()
                raise ModelTimeout(
                    f"{name} has not answered within {self._timeout} s and was left "
                    'behind; with isolation="process" it is ended',
                    is_left_behind=True,
                )
            wait((answer,), timeout=min(deadline - now, LOOK))
        with self._lock:
            self._idle.append(caller)
        return answer.result()

    def _caller(self, name: str) -> _Caller:
        with self._lock:
            if self._endings > 0:
                raise _closed()
            hung = [caller for caller in self._hung.get(name, ()) if caller.is_alive()]
            self._hung[name] = hung
            if len(hung) >= MOST_HUNG:
                raise ModelUnavailable(
                    f"{len(hung)} calls of {name} hang, and nothing can end them here",
                    hint="Its work goes on when one of them ends, or when the database is opened "
                    'again; with MLConfig(isolation="process") calls that hang are ended',
                )
            # A thread works for one weaver.
            mine = [caller for caller in self._idle if caller.weaver == works_for()]
            if mine:
                self._idle.remove(mine[-1])
                return mine[-1]
        return _Caller(works_for())

    def _leave(self, name: str, caller: _Caller) -> None:
        with self._lock:
            self._hung.setdefault(name, []).append(caller)
        caller.leave()


def _dismiss(callers: list[_Caller]) -> None:
    while callers:
        callers.pop().dismiss()


def _closed() -> ModelUnavailable:
    return ModelUnavailable(
        "The database is being closed", hint="The work is done when it is open again"
    )


class _Caller:
    """A thread that calls functions, one after the other."""

    def __init__(self, weaver: int) -> None:
        self.weaver = weaver
        self._calls: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None]
        self._calls = SimpleQueue()
        self._thread = begun(self._run, "embedded-db model calls")

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def call(
        self, answer: Future[T], function: Callable[..., T], arguments: tuple[Any, ...]
    ) -> None:
        self._calls.put((answer, function, arguments))

    def dismiss(self) -> None:
        """Have it end when it has nothing to do."""
        self._calls.put(None)

    def leave(self) -> None:
        """Wait for it no more: it ends with its call, which is asked to end."""
        self.dismiss()
        number = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(_LeftBehind))

    def _run(self) -> None:
        work_for(self.weaver)
        # It may be told to end wherever it is.
        with contextlib.suppress(_LeftBehind):
            while (call := self._calls.get()) is not None:
                answer, function, arguments = call
                try:
                    with working():
                        result, error = function(*arguments), None
                # Also what would end a program: here it is the answer.
                except BaseException as raised:
                    result, error = None, raised
                if error is None:
                    answer.set_result(result)
                else:
                    answer.set_exception(error)
                del call, answer, function, arguments, result, error
