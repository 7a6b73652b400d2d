"""Written by scripts/make-async from `embedded_db.batch`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
)

from ..batch import Batch
from ..guesses import Guessing
from .handles import OpenBatch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    import numpy.typing as npt

    from ..models import IdLike
    from ..models.content import Content

__all__ = ["AsyncBatch"]


class AsyncBatch(Guessing, OpenBatch):
    """Many writes, stored a chunk at a time: quick, but not all or nothing.

    Made by `AsyncEmbeddedDB.batch`; a context manager that stores the rest at its end. Each
    chunk is stored whole or not at all: as soon as it has ``size`` writes, or before the first
    write after a second. An exception that leaves the block drops what is not stored yet. What
    is not stored yet is not found; later writes may build on it. As outside of batches, the
    last change wins.

    Attributes:
        stored: how many writes are stored.

    Examples:
        >>> async with db.batch(size=2) as batch:
        ...     towns = [await batch.create_node({"label": "Town"}) for _ in range(5)]
        ...     before = batch.stored
        >>> before, batch.stored, await db.count("Town")
        (4, 5, 5)
    """

    _apart = Batch._apart

    async def create_node(self, node: Mapping[str, Any]) -> str:
        """Add a node; see `AsyncEmbeddedDB.create_node`."""
        return await self._run(Batch.create_node, node)

    async def create_chat(
        self,
        title: str | None = None,
        topic: str | None = None,
        *,
        id: str | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> str:
        """Add a chat, and give its id; see `AsyncEmbeddedDB.create_chat`."""
        return await self._run(Batch.create_chat, title, topic, id=id, ttl=ttl, **properties)

    async def create_message(
        self,
        chat_id: IdLike,
        content: Content,
        sender: str | None = None,
        role: str = "user",
        timestamp: datetime | None = None,
        *,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        embedding: npt.ArrayLike | None = None,
        **properties: Any,
    ) -> str:
        """Add a message to a chat, and give its id; see `AsyncEmbeddedDB.create_message`."""
        return await self._run(
            Batch.create_message,
            chat_id,
            content,
            sender,
            role,
            timestamp,
            id=id,
            metadata=metadata,
            ttl=ttl,
            embedding=embedding,
            **properties,
        )

    async def update_node(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Change properties of a node; see `AsyncEmbeddedDB.update_node`."""
        await self._run(Batch.update_node, id, updates)

    async def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges; see `AsyncEmbeddedDB.delete_node`."""
        await self._run(Batch.delete_node, id)

    async def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Add an edge; see `AsyncEmbeddedDB.create_edge`."""
        return await self._run(Batch.create_edge, edge)

    async def update_edge(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Change an edge; see `AsyncEmbeddedDB.update_edge`."""
        await self._run(Batch.update_edge, id, updates)

    async def delete_edge(self, id: IdLike) -> None:
        """Delete an edge with its history; see `AsyncEmbeddedDB.delete_edge`."""
        await self._run(Batch.delete_edge, id)

    async def create_embedding(self, embedding: Mapping[str, Any]) -> str:
        """Add an embedding; see `AsyncEmbeddedDB.create_embedding`."""
        return await self._run(Batch.create_embedding, embedding)

    async def delete_embedding(self, id: IdLike) -> None:
        """Delete an embedding; see `AsyncEmbeddedDB.delete_embedding`."""
        await self._run(Batch.delete_embedding, id)

    async def flush(self) -> None:
        """Store what is not stored yet.

        Raises:
            AlreadyExists: an id was taken meanwhile; nothing of the chunk is stored.
            NotFound: what is changed, or an end of an edge, was deleted meanwhile.

        Examples:
            >>> async with db.batch() as batch:
            ...     town = await batch.create_node({"label": "Town"})
            ...     await batch.flush()
            ...     await db.exists(town)
            True
        """
        await self._wait(Batch.flush)
