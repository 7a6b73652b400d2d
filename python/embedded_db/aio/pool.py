"""Threads that belong to one database and run its calls for event loops."""

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakSet, finalize

from .._native import Cancel, Cancelled
from ..errors import DatabaseClosed, ForkedHandle

__all__ = ["CALLS", "WAITS", "Pool", "in_thread"]

P = ParamSpec("P")
R = TypeVar("R")

CALLS: Final = 8
"""Most calls of one database at a time; further ones wait for their turn."""
WAITS: Final = 64
"""Most calls that take long, such as `EmbeddedDB.flush`: they hold up no others."""


class Call:
    """One call on its way through a thread. But for `run`, all of it happens on the event loop."""

    __slots__ = (
        "_begun",
        "_context",
        "_run",
        "cancel",
        "crew",
        "future",
        "is_over",
        "loop",
        "over",
    )

    def __init__(self, run: Callable[[], Any], cancel: Cancel | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.over: asyncio.Future[None] | None = None
        self.is_over = False
        self.cancel = cancel
        self.crew: Crew
        self._run = run
        self._context = contextvars.copy_context()
        # Whoever takes it first decides: the thread that it begins, the task that it does not.
        self._begun = threading.Lock()

    def take(self) -> bool:
        """Give whether nobody took it before."""
        return self._begun.acquire(blocking=False)

    def run(self) -> None:
        """Run it, in a thread, and tell the loop."""
        result: Any = None
        error: BaseException | None = None
        _running.call = self
        try:
            if self.cancel is None:
                result = self._context.run(self._run)
            else:
                result = self._context.run(self.cancel.run, self._run)
        except StopIteration as stop:  # which no coroutine may raise
            error = RuntimeError(f"a function raised {stop!r}")
        except BaseException as raised:
            error = raised
        _running.call = None
        with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
            self.loop.call_soon_threadsafe(self._finish, result, error)

    def _finish(self, result: Any, error: BaseException | None) -> None:
        self.is_over = True
        if not self.future.done():
            if error is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(error)
        if self.over is not None and not self.over.done():
            self.over.set_result(None)

    async def ended(self) -> None:
        """Wait until the thread is done with it, whoever cancels the waiting task meanwhile."""
        while not self.is_over:
            self.over = self.loop.create_future()
            try:
                await self.over
            except asyncio.CancelledError:
                continue


class _Running(threading.local):
    call: Call | None = None


_running = _Running()


class Crew:
    """Threads of one kind, made when they are needed, and the calls that wait for them."""

    def __init__(self, shown: str, most: int) -> None:
        self.shown = shown
        self._most = most
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._calls: set[Call] = set()
        self._ended = False

    def submit(self, call: Call) -> None:
        """Have a call run.

        Raises:
            DatabaseClosed: the crew has ended.
        """
        with self._lock:
            if self._ended:
                raise closed(self.shown)
            call.crew = self
            self._calls.add(call)
            self._grow()
            self._queue.put(call)

    def _grow(self) -> None:
        if len(self._threads) < min(len(self._calls), self._most):
            thread = threading.Thread(target=self._serve, name="embedded-db call", daemon=True)
            thread.start()
            self._threads.append(thread)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Have another thread while one waits for what may itself make calls."""
        with self._lock:
            self._most += 1
            if not self._ended:
                self._grow()
        try:
            yield
        finally:
            with self._lock:
                self._most -= 1

    def drop(self, call: Call) -> None:
        """Forget a call that was not begun."""
        with self._lock:
            self._calls.discard(call)

    def _serve(self) -> None:
        while (call := self._queue.get()) is not None:
            if call.take():
                call.run()
            self.drop(call)
            del call  # and with it what it holds, before the next one comes

    def end(self, *, join: bool = False) -> None:
        """Take no more calls; the threads end after those they have."""
        with self._lock:
            if not self._ended:
                self._ended = True
                for _ in self._threads:
                    self._queue.put(None)
        for thread in self._threads if join else ():
            thread.join()

    def cancel(self) -> None:
        """Cancel all calls."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            if call.cancel is not None:
                call.cancel.cancel()


class Pool:
    """The threads of one database, for any number of event loops.

    They end with `end`, or when nothing refers to the pool any more.

    Args:
        shown: how messages call the database.
    """

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self._process = os.getpid()
        self._calls = Crew(shown, CALLS)
        self._waits = Crew(shown, WAITS)
        for crew in (self._calls, self._waits):
            _crews.add(crew)
            finalize(self, crew.end).atexit = False

    async def run(self, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> R:
        """Run a function in a thread.

        When the task is cancelled, a function that has not begun never does. One that runs is
        ended at its next native step, and the task goes on when it has ended: nothing that it
        holds outlives the call.

        Raises:
            DatabaseClosed: the pool has ended.
            ForkedHandle: this is a forked child.
        """
        return await self._done(self._calls, lambda: function(*args, **named))

    async def wait(self, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> R:
        """Run a function that takes long, in a thread of those that are for such."""
        return await self._done(self._waits, lambda: function(*args, **named))

    async def finish(self, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> R:
        """Run a function to its end, even when the task is cancelled before it begins."""
        return await self._done(self._calls, lambda: function(*args, **named), ended=False)

    def _done(
        self, crew: Crew, function: Callable[[], R], *, ended: bool = True
    ) -> Coroutine[Any, Any, R]:
        """Have a function run, which a cancelled task may end or not."""
        if os.getpid() != self._process:
            raise ForkedHandle(
                f"the database {self.shown!r} was opened by process {self._process}, before a fork",
                hint="Open it again in this process with AsyncEmbeddedDB(path)",
                path=self.shown,
            )
        return _outcome(crew, function, ended=ended)

    def cancel(self) -> None:
        """End all calls: they fail as those after the end do."""
        for crew in (self._calls, self._waits):
            crew.cancel()

    async def end(self, first: Callable[[], None]) -> None:
        """Run a function to its end, then end the threads, after the calls that they have."""
        if os.getpid() != self._process:  # a forked child has none of them
            first()
            return

        def end() -> None:
            try:
                first()
            finally:
                for crew in (self._calls, self._waits):
                    crew.end(join=True)

        await in_thread(end, ended=False)


async def _outcome(crew: Crew, function: Callable[[], R], *, ended: bool) -> R:
    """Have a function run, and give what comes of it."""
    call = Call(function, Cancel() if ended else None)
    crew.submit(call)
    try:
        result: R = await call.future
        return result
    except asyncio.CancelledError:
        if call.cancel is not None and call.take():
            crew.drop(call)
        else:
            if call.cancel is not None:
                call.cancel.cancel()
            await call.ended()
        raise
    except GeneratorExit:  # the task is given up, and cannot wait
        if call.cancel is not None:
            call.cancel.cancel()
        raise
    except Cancelled:  # by `Pool.cancel`
        raise closed(crew.shown) from None


def closed(shown: str) -> DatabaseClosed:
    """Make the error of a call after the end."""
    return DatabaseClosed(
        f"the database {shown!r} is closed",
        hint="Open it again with AsyncEmbeddedDB(path)",
        path=shown,
    )


async def in_thread(function: Callable[[], R], *, ended: bool = True) -> R:
    """Run a function in a thread of its own, as `Pool.run` or `Pool.finish` does."""
    crew = Crew("", 1)
    _crews.add(crew)
    try:
        return await _outcome(crew, function, ended=ended)
    finally:
        crew.end()


def call_on_loop(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a coroutine function on the loop that this thread works for, and wait for it.

    It is cancelled with the call. That has ended when the coroutine has.
    """
    call = _running.call
    assert call is not None, "callbacks are called in a pool"
    loop, over = call.loop, threading.Event()
    task: asyncio.Task[Any] | None = None

    def begin() -> None:
        nonlocal task
        task = loop.create_task(function(*arguments))
        task.add_done_callback(lambda _: over.set())

    loop.call_soon_threadsafe(begin)
    told = False
    with call.crew.one_more():
        while not over.wait(0.02):
            if loop.is_closed():
                raise Cancelled("the event loop was closed")
            if call.cancel is not None and call.cancel.cancelled and not told and task is not None:
                told = True
                loop.call_soon_threadsafe(task.cancel)
    assert task is not None, "it has ended"
    if task.cancelled():
        raise Cancelled("the callback was cancelled")
    return task.result()


_crews: WeakSet[Crew] = WeakSet()


def _end_all() -> None:
    """End what still runs at the end of the interpreter, before the databases are closed."""
    crews = list(_crews)
    for crew in crews:
        crew.cancel()
    for crew in crews:
        crew.end(join=True)


atexit.register(_end_all)
