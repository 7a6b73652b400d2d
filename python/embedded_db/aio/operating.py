"""Written by scripts/make-async from `embedded_db.operating`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
)

from ..operating import BlackBoxEvent, HealthReport, Operating
from .pool import in_thread
from .twin import Twin

if TYPE_CHECKING:
    from os import PathLike


__all__ = ["AsyncOperating"]


class AsyncOperating(Twin):
    """Health, figures and the black box."""

    async def health(self) -> HealthReport:
        """Tell whether the database can do what it is for.

        Nothing is written, and no data is read; `verify` reads it, and `doctor` looks at a database
        that cannot be opened. Of a handle that only reads it tells what its own process has met.

        Returns:
            One finding for each thing, with what to do about it.

        Raises:
            DatabaseClosed: the handle was closed.

        Examples:
            >>> [(it.about, it.remedy) for it in (await db.health()).findings if it.level != "ok"]
            []
        """
        return await self._run(Operating.health)

    async def metrics(self) -> str:
        """Give the figures of this process and database in the text format of Prometheus.

        What counts begins at the opening. Names begin with ``edb_``; durations are seconds, sizes
        bytes. No id, path or text of a user is in it. `stats` gives the most important ones as
        numbers; docs/operations.md lists all.

        Returns:
            Text of the content type ``text/plain; version=0.0.4``.

        Examples:
            >>> _ = await db.create_chat()
            >>> text = await db.metrics()
            >>> 'edb_operations_total{op="write",outcome="ok"} 1' in text.splitlines()
            True
        """
        return await self._run(Operating.metrics)

    async def blackbox(self) -> list[BlackBoxEvent]:
        """Give the last 1,000 events of the database, oldest first, whatever process wrote them.

        They are in a file that outlives the end of its process by any means. Reads that take
        microseconds are no events, and what a handle that only reads does is none. No id, text or
        value of a user is in them.

        Raises:
            Corruption: the file is no black box.

        Examples:
            >>> (await db.blackbox())[0].what
            'open'
        """
        return await self._run(Operating.blackbox)

    @staticmethod
    async def read_blackbox(path: str | PathLike[str]) -> list[BlackBoxEvent]:
        """Give the last 1,000 events of a database without opening it, whatever state it is in.

        Args:
            path: the directory of the database, or its file ``blackbox``.

        Raises:
            NotFound: there is none.
            Corruption: the file is no black box.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> await db.close()
            >>> [event.what for event in await AsyncEmbeddedDB.read_blackbox(db.path)][-1]
            'close'
        """
        return await in_thread(lambda: Operating.read_blackbox(path))
