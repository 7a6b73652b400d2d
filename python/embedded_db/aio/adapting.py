"""Written by scripts/make-async from `embedded_db.adapting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..adapting import Adapting
from .twin import Twin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models import IdLike
    from .results import (
        AsyncResult,
        AsyncResults,
    )

__all__ = ["AsyncAdapting"]


class AsyncAdapting(Twin):
    """Strengths of edges, which stand beside them: their weights and versions stay as they are."""

    async def strengthen(
        self, used: AsyncResults | AsyncResult | IdLike | Iterable[AsyncResult | IdLike]
    ) -> int:
        """Strengthen edges that were of use, so that `recall` follows them more readily.

        The weight of an edge is multiplied by a factor: 1 at first, at each use a quarter of the
        way nearer to 5. What is over 1 is worth half as much every `Config.recall_half_life`, so
        that what is not used any more is forgotten. The factors are stored, and go with their edge;
        no edge, version or history is changed, and nothing comes into the feed of changes.
        Exports and repairs leave them behind. Without this, and without ``recall(…,
        strengthen=True)``, recall never changes.

        Args:
            used: results of `recall`, or of a query with ``rank={"activation": w}``, whose paths
                were of use, such as those that an answer was made of; or edges, or their ids.

        Returns:
            How many edges were strengthened; each counts once.

        Raises:
            NotFound: an edge does not exist.
            ReadOnly: the handle only reads.
            InvalidInput: something is no result and no edge.

        Examples:
            >>> ann, bob = await db.create_nodes(
            ...     [{"label": "Person", "id": n} for n in ("ann", "bob")]
            ... )
            >>> knows = await db.create_edge(
            ...     {"id": "e", "source": ann, "target": bob, "type": "KNOWS"}
            ... )
            >>> await db.strengthen(await db.recall([ann])), await db.strengths()
            (1, {'e': 2.0})
            >>> (
            ...     await db.strengthen(["e"]),
            ...     (await db.strengths())["e"] > 2.7,
            ...     (await db.get_edge("e")).weight,
            ... )
            (1, True, 1.0)
            >>> await db.forget_strengths(), await db.strengths()
            (1, {})
        """
        return await self._run(Adapting.strengthen, used)

    async def strengths(self) -> dict[str, float]:
        """Give the factors by which weights of edges are multiplied now.

        Returns:
            The factors by ids of edges; of those that are over 1.01.

        Examples:
            >>> await db.strengths()
            {}
        """
        return await self._run(Adapting.strengths)

    async def forget_strengths(self) -> int:
        """Take back all that `strengthen` and `recall` have strengthened, in steps.

        Afterwards `recall` finds exactly what it would have found without.

        Returns:
            How many edges had been strengthened.

        Raises:
            ReadOnly: the handle only reads.

        Examples:
            >>> await db.forget_strengths()
            0
        """
        return await self._run(Adapting.forget_strengths)
