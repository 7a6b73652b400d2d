"""The asynchronous feed of changes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Self

from ..changes import LONGEST_WAIT, SHORTEST_WAIT, Change, ChangeFeed

if TYPE_CHECKING:
    from .handles import Handle

__all__ = ["AsyncChangeFeed"]

MOST: Final = 512


class AsyncChangeFeed(AsyncIterator[Change]):
    """An asynchronous iterator over changes; `AsyncEmbeddedDB.changes` makes it.

    Nothing is read before the first step. What is there is given at once; a feed that waits for
    more holds no thread meanwhile.

    Examples:
        >>> feed = db.changes(labels=["Person"])
        >>> _ = await db.create_chat()
        >>> [change async for change in feed], feed.position
        ([], 1)
        >>> _ = await db.create_node({"label": "Person", "id": "ada"})
        >>> [change.id async for change in db.changes(since=feed.position)]
        ['ada']
    """

    def __init__(self, database: Handle, since: int | None, labels: object, follow: bool) -> None:
        self._database = database
        self._arguments = (since, labels, follow)
        self._feed: ChangeFeed | None = None
        self._there: deque[Change] = deque()
        self._position = since or 0
        self._ended = False
        self._lock = asyncio.Lock()

    @property
    def position(self) -> int:
        """Up to where changes were handed out, or passed over: ``since`` of a feed that goes on."""
        return self._position

    def __aiter__(self) -> Self:
        """Give itself."""
        return self

    async def __anext__(self) -> Change:
        """Give the next change; with ``follow`` wait for it.

        Raises:
            ChangesTrimmed: changes went before they were asked for.
            DatabaseClosed: the database was closed.
        """
        wait = SHORTEST_WAIT
        async with self._lock:
            while not self._there:
                if self._ended:
                    raise StopAsyncIteration
                passed = await self._database._pool.run(self._take)
                if not self._there:
                    self._position = passed
                    if not self._ended:
                        await asyncio.sleep(wait)
                        wait = min(2 * wait, LONGEST_WAIT)
            change = self._there.popleft()
            self._position = change.lsn
            return change

    def _take(self) -> int:
        """Read what is there, in a thread, and give up to where that reaches."""
        if self._feed is None:
            since, labels, follow = self._arguments
            database = self._database._ready()
            self._feed = database.changes(since, labels=labels, follow=follow)  # type: ignore[arg-type]
        try:
            while len(self._there) < MOST and (change := self._feed._next_there()) is not None:
                self._there.append(change)
        except StopIteration:
            self._ended = True
        return self._feed.position
