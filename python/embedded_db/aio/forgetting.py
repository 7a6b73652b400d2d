"""Written by scripts/make-async from `embedded_db.forgetting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..forgetting import Forgetting
from .memory import AsyncMemory

if TYPE_CHECKING:
    from ..models.owner import IdLike

__all__ = ["AsyncForgetting"]


class AsyncForgetting(AsyncMemory):
    """What only a database does with what it keeps."""

    async def forget(
        self,
        id: IdLike | None = None,
        *,
        source: IdLike | None = None,
        namespace: str | None = None,
    ) -> int:
        """Delete a node, everything from one source, or a namespace, with all that was derived.

        A chat goes with its messages, a document with its parts, an entity that nobody mentions
        any more goes too. A fact that is forgotten might never have been told: the facts whose
        place it took are current again, or superseded by the one that took its own place. To have
        neither, forget both. Exactly one argument is given.

        Args:
            id: a node of any kind, or its id.
            source: the source of documents, facts and whatever else has a property ``source`` of
                this value. Up to 10,000 nodes are forgotten in one step, more in several.
            namespace: the namespace to drop.

        Returns:
            How many nodes were asked for and deleted: 1 for an id, those of the source, or those
            the namespace held.

        Raises:
            InvalidInput: none or several of the arguments are given.
            NotFound: there is no such node or namespace. A source without nodes gives 0.

        Examples:
            >>> _ = await db.remember("The launch is on Friday", source="https://example.org/plan")
            >>> await db.forget(source="https://example.org/plan")
            1
            >>> await db.forget(source="https://example.org/plan")
            0
            >>> old = await db.remember("Eve lives in Oslo")
            >>> new = await db.remember("Eve lives in Rome", supersedes=old)
            >>> _ = await db.forget(new)
            >>> await old.refresh()
            >>> old.current
            True
        """
        return await self._run(Forgetting.forget, id, source=source, namespace=namespace)
