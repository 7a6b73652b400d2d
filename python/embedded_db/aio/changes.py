"""Written by scripts/make-async from `embedded_db.changes`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    cast,
)

from ..changes import Feed
from .feed import AsyncChangeFeed
from .twin import Twin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..bridges import Bridge, BrokerConfig
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

    async def bridge_changes(
        self,
        url: str,
        *,
        channel: str = "changes",
        since: int | None = None,
        labels: str | Sequence[str] | None = None,
        config: BrokerConfig | None = None,
    ) -> Bridge:
        """Publish the changes of this namespace on a broker, in a thread, until it is closed.

        Each message has the fields of a `Change`, as a dict. The broker keeps with them how far
        it has them, so that another process goes on where this one ended: each is there once, in
        its order. Kafka may have the last ones twice, if a process dies while it sends them or two
        bridge the same. If the broker is away, or has no room, the changes wait
        in the feed, for as long as that keeps them.

        Args:
            url: the broker, as `embedded_db.bridges.connect` takes it.
            channel: the channel on which they are published.
            since: the changes after this log sequence number, where the broker has none yet; from
                the oldest that is kept when left out.
            labels: as for `changes`. Bridges with other labels have positions of their own.
            config: how the broker is used.

        Returns:
            What tells how far it is, waits for it, and ends it. When the feed has lost changes that
            the broker does not have, it ends by itself: `Bridge.flush` raises `ChangesTrimmed`.

        Raises:
            InvalidInput: an argument is none of these, or the client is not installed.

        Examples:
            >>> await db.bridge_changes("redis://127.0.0.1:1/0")
            Changes('redis://127.0.0.1:1')
        """
        return await self._run(
            Feed.bridge_changes, url, channel=channel, since=since, labels=labels, config=config
        )
