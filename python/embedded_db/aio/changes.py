"""Written by scripts/make-async from `embedded_db.changes`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    cast,
)

from .feed import AsyncChangeFeed
from .twin import Twin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .database import AsyncEmbeddedDB

__all__ = ["AsyncFeed"]


class AsyncFeed(Twin):
    """What was changed."""

    def changes(
        self,
        since: int | None = None,
        *,
        labels: str | Sequence[str] | None = None,
        follow: bool = False,
    ) -> AsyncChangeFeed:
        """Iterate over what was stored and deleted in this namespace, in its order.

        It is durable: every change that was committed is in it once, whoever made it: this process,
        another one, the weaver. It reaches back for `Config.changes_retention` seconds, unless that
        is more than ``changes_retention_bytes``; a `scrub` empties it. To keep something in step
        with the database, read all that is stored, then follow from the number of that moment
        (``snapshot.lsn``); store `AsyncChangeFeed.position` with what you have done, and go on from
        there.

        Args:
            since: the changes after this log sequence number; from the oldest that is kept when
                left out.
            labels: only nodes with this label, or one of these, and the end of the namespace.
            follow: wait for more at the end, for ever; else it ends with the last change there was
                when it began.

        Raises:
            ChangesTrimmed: the changes after ``since`` are not kept any more; ``oldest`` is the
                first that is.
            InvalidInput: ``since`` is later than the last change, as that of another database.

        Examples:
            >>> chat = await db.create_chat(id="trip")
            >>> seen = (await db.stats())["lsn"]
            >>> _ = await db.create_node({"label": "Person", "id": "ada"})
            >>> await chat.delete()
            >>> [(c.operation, c.id) async for c in db.changes(since=seen)]
            [('put', 'ada'), ('delete', 'trip')]
            >>> [(c.operation, c.id) async for c in db.changes(labels=["Chat"])]
            [('put', 'trip'), ('delete', 'trip')]
        """
        return AsyncChangeFeed(cast("AsyncEmbeddedDB", self), since, labels, follow)
