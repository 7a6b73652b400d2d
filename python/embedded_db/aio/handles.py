"""How asynchronous handles, transactions, snapshots and batches are opened and ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, cast
from weakref import WeakSet

from ..arguments import path_argument, whole_argument
from ..batch import Batch
from ..database import EmbeddedDB, checked_config
from ..errors import Conflict, InvalidInput
from ..models.selection import NONE_OPEN
from ..snapshot import Snapshot
from ..transaction import FIRST_PAUSE, LONGEST_PAUSE, Transaction
from ..weaver import Weaver
from .pool import Pool, closed
from .twin import Twin, called

if TYPE_CHECKING:
    from ..config import Config, ConfigOptions
    from .database import AsyncEmbeddedDB

__all__ = [
    "Controls",
    "Ending",
    "Handle",
    "OpenBatch",
    "OpenSnapshot",
    "OpenTransaction",
    "only_open",
    "run",
]

R = TypeVar("R")


class Ending(Twin):
    """What is a block of its own."""

    __slots__ = ()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.finish(self._end, kind is None)

    def _end(self, well: bool) -> None:
        """End the block, in a thread."""
        raise NotImplementedError


class Handle(Twin):
    """A handle on a namespace of a database, which its first call opens."""

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        config: Config | None = None,
        read_only: bool = False,
        **overrides: Unpack[ConfigOptions],
    ) -> None:
        location = path_argument("path", path, "Give the name of a directory, or ':memory:'")
        settings = checked_config(config).with_options(overrides)
        # It holds nothing of this object: one that is forgotten is gone at once.
        make = partial(EmbeddedDB, location, config=settings, read_only=read_only)
        self._set_up(Pool(location), settings, make, read_only)

    def _set_up(
        self, pool: Pool, config: Config, make: Callable[[], EmbeddedDB], read_only: bool
    ) -> None:
        self._pool = pool
        self._config = config
        self._make_database = make
        self._is_read_only = read_only
        self._sync: EmbeddedDB | None = None
        self._opening = threading.Lock()
        self._is_closed = False
        self._is_root = True
        _handles.add(self)

    def _ready(self) -> EmbeddedDB:
        if self._sync is None:
            with self._opening:
                if self._is_closed:
                    raise closed(self._pool.shown)
                if self._sync is None:
                    database = self._make_database()
                    database._pool = self._pool
                    self._sync = database
        return self._sync

    def _opened(self) -> EmbeddedDB:
        if self._sync is None:
            raise InvalidInput(
                "the database was not opened yet",
                hint="Open it with: async with AsyncEmbeddedDB(path) as db, or with "
                "db = await AsyncEmbeddedDB.open(path)",
            )
        return self._sync

    @classmethod
    async def open(
        cls,
        path: str | PathLike[str],
        *,
        config: Config | None = None,
        read_only: bool = False,
        **overrides: Unpack[ConfigOptions],
    ) -> Self:
        """Open a database, as ``async with AsyncEmbeddedDB(…)`` does, without a block.

        Args:
            path: the directory, or ``":memory:"``.
            config: the options; `Config()` when left out.
            read_only: read beside a writer in another process; nothing is enriched.
            **overrides: single options of `Config`.

        Raises:
            DbError: as the class says.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> scratch = await AsyncEmbeddedDB.open(":memory:", ml=None)
            >>> await scratch.count()
            0
            >>> await scratch.close()
        """
        return await cls(path, config=config, read_only=read_only, **overrides)._open()

    async def _open(self) -> Self:
        try:
            await self._pool.run(self._ready)
        except BaseException:  # a task that was cancelled too late leaves nothing open
            await self._close()
            raise
        return self

    async def _close(self) -> None:
        _handles.discard(cast("AsyncEmbeddedDB", self))
        if self._is_root:
            if self._sync is None:  # an opening may wait for long
                self._is_closed = True
                self._pool.cancel()
            # A thread of its own: those of the pool may all be waiting.
            await self._pool.end(self._end)
        elif not self._is_closed:
            await self._pool.finish(self._end)

    def _end(self) -> None:
        with self._opening:
            self._is_closed = True
        if self._sync is not None:
            self._sync.close()

    async def _namespace(self, name: str) -> AsyncEmbeddedDB:
        def make() -> EmbeddedDB:
            child = self._ready().namespace(name)
            child._pool = self._pool
            return child

        child = await self._pool.run(make)
        handle = type(self).__new__(type(self))
        handle._set_up(self._pool, self._config, lambda: child, self._is_read_only)
        handle._sync, handle._is_root = child, False
        return cast("AsyncEmbeddedDB", handle)

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    def __repr__(self) -> str:
        if self._sync is not None:
            return f"Async{self._sync!r}"
        state = "closed" if self._is_closed else "not opened yet"
        return f"AsyncEmbeddedDB({self._pool.shown!r}) ({state})"


_handles: WeakSet[Any] = WeakSet()


def only_open() -> AsyncEmbeddedDB:
    """Give the one handle that is open in this process; see `embedded_db.models.selection`.

    Raises:
        InvalidInput: there is none, or there are several.
    """
    handles = [handle for handle in list(_handles) if not handle._is_closed]
    if len(handles) == 1:
        return cast("AsyncEmbeddedDB", handles[0])
    problem = f"{len(handles)} database handles are open" if handles else NONE_OPEN
    raise InvalidInput(f"{problem}, so it is not clear which to ask", hint="Say it with .on(db)")


_NOT_OPEN: Final = "Use it inside its block: async with db.{0} as …"


class Controls(Twin):
    """What a handle has of its weaver."""

    __slots__ = ("_parent",)

    def __init__(self, database: Handle) -> None:
        self._pool = database._pool
        self._parent = database

    def _ready(self) -> Weaver:
        return Weaver(self._parent._ready())

    def __repr__(self) -> str:
        return f"<AsyncWeaver of {self._parent!r}>"


class OpenTransaction(Ending):
    """A transaction, which begins and ends in a thread, and is known to the task."""

    def __init__(self, database: Handle) -> None:
        self._pool = database._pool
        self._parent = database
        self._sync: Transaction | None = None

    def _ready(self) -> Transaction:
        if self._sync is None:
            raise InvalidInput(
                "the transaction is not open", hint=_NOT_OPEN.format("transaction()")
            )
        return self._sync

    async def __aenter__(self) -> Self:
        if self._sync is not None:
            raise InvalidInput(
                "the transaction was entered twice", hint="Begin a new one with db.transaction()"
            )

        def begin() -> None:
            self._sync = Transaction(self._parent._ready()).__enter__()

        try:
            await self._pool.run(begin)
        except BaseException:
            await self._pool.finish(self._end, False)
            raise
        self._ready()._enter()  # what the thread has noted of it is not in this task's context
        return self

    def _end(self, well: bool) -> None:
        if self._sync is not None:
            self._sync._end(commit=well)

    def __repr__(self) -> str:
        return f"<Async{'Transaction, not open>' if self._sync is None else repr(self._sync)[1:]}"


class OpenSnapshot(Ending):
    """A snapshot, which is taken when it is entered or awaited."""

    def __init__(self, database: Handle) -> None:
        self._pool = database._pool
        self._parent = database
        self._sync: Snapshot | None = None

    def _ready(self) -> Snapshot:
        if self._sync is None:
            raise InvalidInput("the snapshot is not open", hint=_NOT_OPEN.format("snapshot()"))
        return self._sync

    async def _open(self) -> Self:
        def take() -> None:
            self._sync = self._parent._ready().snapshot()

        try:
            await self._pool.run(take)
        except BaseException:
            await self._pool.finish(self._end, False)
            raise
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return self if self._sync is not None else await self._open()

    def _end(self, well: bool) -> None:
        if self._sync is not None:
            self._sync.close()

    def __repr__(self) -> str:
        return f"<Async{'Snapshot, not open>' if self._sync is None else repr(self._sync)[1:]}"


class OpenBatch(Ending):
    """A batch, whose calls follow one another, whatever tasks make them."""

    def __init__(self, database: Handle, size: int) -> None:
        self._pool = database._pool
        self._parent = database
        self._size = whole_argument("size", size)
        self._sync: Batch | None = None
        self._turn = asyncio.Lock()

    @property
    def stored(self) -> int:
        """How many writes are stored."""
        return 0 if self._sync is None else self._sync.stored

    def _ready(self) -> Batch:
        if self._sync is None:
            raise InvalidInput("the batch is not open", hint=_NOT_OPEN.format("batch()"))
        return self._sync

    def _run(
        self, function: Callable[..., R], /, *args: Any, **named: Any
    ) -> Coroutine[Any, Any, R]:
        call = super()._run

        async def in_turn() -> R:
            async with self._turn:
                return await call(function, *args, **named)

        return in_turn()

    async def __aenter__(self) -> Self:
        def begin() -> None:
            self._sync = Batch(self._parent._ready(), self._size).__enter__()

        await self._pool.run(begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        async with self._turn:
            await super().__aexit__(kind, error, trace)

    def _end(self, well: bool) -> None:
        self._ready()._end(well=well)

    def __repr__(self) -> str:
        return f"<Async{'Batch, not open>' if self._sync is None else repr(self._sync)[1:]}"


async def run(database: AsyncEmbeddedDB, function: Callable[[Any], Any], attempts: int) -> Any:
    """Run a function in a transaction, again after every conflict; see `AsyncEmbeddedDB.run`."""
    if called(function) is function:
        return await database._wait(EmbeddedDB.run, function, attempts)
    attempts = whole_argument("attempts", attempts)
    pause = FIRST_PAUSE
    for attempt in range(1, attempts + 1):
        try:
            async with database.transaction() as transaction:
                return await function(transaction)
        except Conflict:
            if attempt == attempts:
                raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
    raise AssertionError("unreachable: the last attempt returns or raises")
