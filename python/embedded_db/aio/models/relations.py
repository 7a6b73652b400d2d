"""Written by scripts/make-async from `embedded_db.models.relations`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
)

from ...models.relations import Related
from ..models.stored import Relating

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...models.owner import IdLike

__all__ = ["AsyncRelated"]

N = TypeVar("N")


class AsyncRelated(Relating[N]):
    """The nodes of one relation of one object; iterating reads them.

    Examples:
        >>> from embedded_db import AsyncNodeModel, AsyncRelation
        >>> class City(AsyncNodeModel, label="City"):
        ...     name: str
        ...     near = AsyncRelation["City"]("NEAR")
        >>> oslo, voss = await db.add_all([City(name="Oslo"), City(name="Voss")])
        >>> await oslo.near.first() is None
        True
        >>> _ = await oslo.near.add(voss)
        >>> [city.name async for city in oslo.near]
        ['Voss']
    """

    def __aiter__(self) -> AsyncIterator[N]:
        return self._each(Related.__iter__)

    async def first(self) -> N | None:
        """Give the one whose edge is the oldest, or None when there is none."""
        found: N | None = await self._made(Related.first)
        return found

    async def add(self, target: IdLike, **properties: Any) -> Any:
        """Store an edge to a node, in the database or transaction that the object was read from.

        Within the block of a transaction only objects that it gave take this: an edge of another
        object would be stored at once, whatever becomes of the transaction.

        Args:
            target: the node or its id; for a relation ``"in"`` the edge comes from it.
            **properties: fields of the edge.

        Returns:
            The edge: an object of its model, or a plain `Edge` for a relation by type.

        Raises:
            NotFound: one of the nodes does not exist.
            InvalidInput: the object is not stored yet, or does not belong to the transaction that
                is open here.
            ReadOnly: the object was read from a snapshot.
            ValidationError: the fields do not fit the model of the edge (pydantic's).

        Examples:
            >>> from embedded_db import AsyncNodeModel, AsyncRelation
            >>> class City(AsyncNodeModel, label="City"):
            ...     name: str
            ...     near = AsyncRelation["City"]("NEAR")
            >>> oslo, voss = await db.add_all([City(name="Oslo"), City(name="Voss")])
            >>> (await oslo.near.add(voss, km=360)).properties
            {'km': 360}
        """
        found: Any = await self._made(Related.add, target, **properties)
        return found

    async def remove(self, target: IdLike) -> int:
        """Delete the edges of the relation that lead to a node, all or none.

        Args:
            target: the node or its id.

        Returns:
            How many edges there were.

        Raises:
            NotFound: there is none.
            InvalidInput: the object is not stored yet, or does not belong to the transaction that
                is open here.
            ReadOnly: the object was read from a snapshot.

        Examples:
            >>> from embedded_db import AsyncNodeModel, AsyncRelation
            >>> class City(AsyncNodeModel, label="City"):
            ...     name: str
            ...     near = AsyncRelation["City"]("NEAR")
            >>> oslo, voss = await db.add_all([City(name="Oslo"), City(name="Voss")])
            >>> _ = await oslo.near.add(voss)
            >>> await oslo.near.remove(voss), [each async for each in oslo.near]
            (1, [])
        """
        return await self._run(Related.remove, target)
