"""What all asynchronous objects share: each stands for one of the library's, and has threads."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .pool import call_on_loop

if TYPE_CHECKING:
    from ..results import Result
    from .pool import Pool
    from .results import AsyncResult

__all__ = [
    "AsyncPages",
    "AsyncProgress",
    "AsyncRerank",
    "AsyncTokenCounter",
    "Twin",
    "called",
    "register",
    "twin",
]

R = TypeVar("R")
T = TypeVar("T")

AsyncProgress = Callable[[int, int], Awaitable[None]] | Callable[[int, int], None]
"""Is told how much is done, and how much there is: a coroutine function, called on the event loop,
or a plain one, called in a thread."""

AsyncTokenCounter = Callable[[str], Awaitable[int]] | Callable[[str], int]
"""Gives the number of tokens of a text: a coroutine function, called on the event loop, or a plain
one, called in a thread."""

AsyncRerank = (
    Callable[["Sequence[AsyncResult]"], Awaitable[Sequence[float]]]
    | Callable[["Sequence[Result]"], Sequence[float]]
)
"""Gives a number for each result: a coroutine function, called on the event loop, or a plain one,
called in a thread."""

MOST: Final = 512
LONGEST: Final = 0.001
"""Items of an iterator, and seconds, after which what is there is handed over."""

_makers: dict[type, Callable[[Any, Pool], Any]] = {}


def register(kind: type, make: Callable[[Any, Pool], Any]) -> None:
    """Say what makes the twin of objects of a class."""
    _makers[kind] = make


def twin(pool: Pool, value: Any) -> Any:
    """Give the asynchronous twin of what the library gave; what has none is given as it is."""
    make = _makers.get(type(value))
    if make is not None:
        return make(value, pool)
    if type(value) is list:
        return [twin(pool, each) for each in value]
    return value


def called(function: Callable[..., Any] | None, pool: Pool | None = None) -> Any:
    """Give a plain function that calls one of a user, be it a coroutine function or not."""
    if not callable(function):
        return function
    of_object = type(function).__call__
    if not any(map(inspect.iscoroutinefunction, (function, of_object))):
        return function

    def on_loop(*arguments: object) -> Any:
        given = arguments if pool is None else tuple(twin(pool, each) for each in arguments)
        return call_on_loop(function, given)

    return on_loop


class Twin:
    """Stands for an object of the library, whose methods run in the threads of a pool."""

    __slots__ = ("_pool", "_sync")

    _pool: Pool
    _sync: Any

    def _ready(self) -> Any:
        """Give the object itself, in a thread."""
        return self._sync

    def _call(self, function: Callable[..., R], /, *args: Any, **named: Any) -> R:
        """Call a method, in a thread."""
        return function(self._ready(), *args, **named)

    def _call_twin(self, function: Callable[..., object], /, *args: Any, **named: Any) -> Any:
        return twin(self._pool, function(self._ready(), *args, **named))

    def _run(
        self, function: Callable[..., R], /, *args: Any, **named: Any
    ) -> Coroutine[Any, Any, R]:
        """Call a method."""
        return self._pool.run(self._call, function, *args, **named)

    def _wait(
        self, function: Callable[..., R], /, *args: Any, **named: Any
    ) -> Coroutine[Any, Any, R]:
        """Call a method that takes long."""
        return self._pool.wait(self._call, function, *args, **named)

    def _made(
        self, function: Callable[..., object], /, *args: Any, **named: Any
    ) -> Coroutine[Any, Any, Any]:
        """Call a method, and give the twin of what it gives."""
        return self._pool.run(self._call_twin, function, *args, **named)

    def _made_late(
        self, function: Callable[..., object], /, *args: Any, **named: Any
    ) -> Coroutine[Any, Any, Any]:
        """Call a method that takes long, and give the twin of what it gives."""
        return self._pool.wait(self._call_twin, function, *args, **named)

    def _each(
        self, function: Callable[..., Iterator[Any]], /, *args: Any, **named: Any
    ) -> AsyncPages[Any]:
        """Iterate over what a method gives."""
        return AsyncPages(self._pool, lambda: self._call(function, *args, **named))


class AsyncPages(AsyncIterator[T], Generic[T]):
    """An asynchronous iterator that reads page by page.

    Nothing is read before the first step.

    Attributes:
        cursor: where to go on (as ``after=`` of the call that gave this iterator) when it is
            exhausted; None when there is nothing further.

    Examples:
        >>> chat = await db.create_chat()
        >>> _ = await chat.add_messages([{"content": text} for text in "abc"])
        >>> page = db.neighbors(chat, "CONTAINS", limit=2)
        >>> [message.content async for message in page]
        ['a', 'b']
        >>> rest = db.neighbors(chat, "CONTAINS", after=page.cursor)
        >>> (await anext(rest)).content
        'c'
        >>> await rest.aclose()
        >>> await anext(rest, "nothing more")
        'nothing more'
    """

    __slots__ = ("_failed", "_iterator", "_lock", "_make", "_page", "_pool")

    def __init__(self, pool: Pool, make: Callable[[], Iterator[Any]]) -> None:
        self._pool = pool
        self._make: Callable[[], Iterator[Any]] | None = make
        self._iterator: Any = None
        self._page: Iterator[Any] = iter(())
        self._failed: Exception | None = None
        self._lock = asyncio.Lock()

    @property
    def cursor(self) -> str | None:
        """Where to go on."""
        return getattr(self._iterator, "cursor", None)

    def __aiter__(self) -> AsyncPages[T]:
        return self

    async def __anext__(self) -> T:
        for item in self._page:
            return item  # type: ignore[no-any-return]
        async with self._lock:  # several tasks may take from one
            for item in self._page:
                return item  # type: ignore[no-any-return]
            if self._make is None:
                failed, self._failed = self._failed, None
                raise failed or StopAsyncIteration
            self._page = iter(await self._next_page())
        return await self.__anext__()

    async def _next_page(self) -> list[T]:
        try:
            page, ended = await self._pool.run(self._take)
        except BaseException:  # what was read of the page is lost: it cannot go on
            self._make = None
            raise
        if ended:
            self._make = None
        return page

    def _take(self) -> tuple[list[Any], bool]:
        """Read what is to be handed over at once, in a thread."""
        if self._make is None:
            return [], True
        page: list[Any] = []
        try:
            if self._iterator is None:
                self._iterator = self._make()
            latest = time.perf_counter() + LONGEST
            for item in self._iterator:
                page.append(twin(self._pool, item))
                if len(page) == MOST or time.perf_counter() > latest:
                    return page, False
        except Exception as error:  # what came before it is given first
            self._failed = error
        return page, True

    async def aclose(self) -> None:
        """Let go of what is iterated over; for iterating that ends early."""
        held, self._iterator, self._make, self._page = [self._iterator], None, None, iter(())
        await self._pool.finish(held.clear)
