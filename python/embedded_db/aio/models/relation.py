"""Relations of a user's own asynchronous models as attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar, overload

from ...models.relations import Related, Relation
from .relations import AsyncRelated

if TYPE_CHECKING:
    from ...models.nodes import NodeModel

__all__ = ["AsyncRelation"]

N = TypeVar("N")


class AsyncRelation(Relation[N]):
    """Nodes that edges of one type lead to, as an attribute of an `AsyncNodeModel`.

    It is a `Relation` whose nodes are read asynchronously.

    Args:
        edge: the model of the edges, or their type.
        direction: ``"out"``, ``"in"`` or ``"both"``.

    Examples:
        >>> from embedded_db import AsyncNodeModel, AsyncRelation
        >>> class Person(AsyncNodeModel, label="Person"):
        ...     name: str
        ...     friends = AsyncRelation["Person"]("KNOWS")
        >>> ann, bob = await db.add_all([Person(name="Ann"), Person(name="Bob")])
        >>> _ = await ann.friends.add(bob)
        >>> [friend.name async for friend in ann.friends]
        ['Bob']
    """

    @overload  # type: ignore[override]
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: NodeModel, owner: type) -> AsyncRelated[N]: ...
    def __get__(self, instance: NodeModel | None, owner: type) -> Self | AsyncRelated[N]:
        return self if instance is None else AsyncRelated(Related(self, instance), instance)
