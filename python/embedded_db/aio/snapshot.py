"""Written by scripts/make-async from `embedded_db.snapshot`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
)

from ..guesses import Guessing
from ..snapshot import Snapshot
from .handles import OpenSnapshot
from .reads import AsyncReads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..models import IdLike

__all__ = ["AsyncSnapshot"]


class AsyncSnapshot(AsyncReads, Guessing, OpenSnapshot):
    """The database as it was at one instant, whatever is written meanwhile.

    Made by `AsyncEmbeddedDB.snapshot`; a context manager. Objects read from it cannot be saved.

    Examples:
        >>> chat = await db.create_chat(title="Trip")
        >>> async with db.snapshot() as before:
        ...     _ = await db.update_node(chat, {"title": "Journey"})
        ...     ((await before.get_node(chat)).title, (await db.get_node(chat)).title)
        ...     async with db.snapshot() as after:
        ...         after.lsn > before.lsn
        ('Trip', 'Journey')
        True
    """

    _guesses: ClassVar[Any] = Snapshot._guesses
    _apart = Snapshot._apart

    @property
    def lsn(self) -> int:
        """The log sequence number it shows: the last write it sees."""
        return self._ready().lsn

    async def close(self) -> None:
        """Let go of the instant, so that its space can be used again; may be called twice.

        Examples:
            >>> snapshot = await db.snapshot()
            >>> await snapshot.count()
            0
            >>> await snapshot.close()
        """
        await self._pool.finish(self._end, True)

    async def delete_edge(self, id: IdLike) -> None:
        """Refuse what `AsyncEmbeddedDB.delete_edge` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        await self._run(Snapshot.delete_edge, id)

    async def retract_edge(self, id: IdLike) -> None:
        """Refuse what `AsyncEmbeddedDB.retract_edge` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        await self._run(Snapshot.retract_edge, id)

    async def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
        """Refuse what `AsyncEmbeddedDB.supersede_edge` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        return await self._run(Snapshot.supersede_edge, id, new_edge)

    async def delete_node(self, id: IdLike) -> None:
        """Refuse what `AsyncEmbeddedDB.delete_node` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        await self._run(Snapshot.delete_node, id)
