"""Written by scripts/make-async from `embedded_db.objects`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..objects import Objects
from .models.stored import asynchronous, only_asynchronous
from .twin import Twin

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from ..models.edges import EdgeModel
    from ..models.nodes import NodeModel, StoredModel
    from ..models.owner import IdLike

__all__ = ["AsyncObjects"]

S = TypeVar("S", bound="StoredModel")

NM = TypeVar("NM", bound="NodeModel")

EM = TypeVar("EM", bound="EdgeModel")


class AsyncObjects(Twin):
    """What databases and transactions do with objects of `AsyncNodeModel` and `AsyncEdgeModel`."""

    async def register(self, *models: type[StoredModel]) -> None:
        """Make the indexes that the fields of models declare.

        Adding the first object of a model does the same.

        Args:
            *models: classes of nodes; those of edges declare no indexes.

        Raises:
            InvalidInput: a field declares what the database cannot do, or one is no model.
            AlreadyExists: a field is declared unique, and stored nodes share a value.

        Examples:
            >>> from embedded_db import Field, AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str = Field(index=True)
            >>> await db.register(Person)
            >>> [(index.label, index.property) for index in await db.indexes()]
            [('Person', 'name')]
        """
        await self._wait(Objects.register, *map(asynchronous, models))

    async def add(self, obj: S, *, ttl: float | timedelta | None = None) -> S:
        """Store a new object.

        Args:
            obj: an object of an `AsyncNodeModel` or an `AsyncEdgeModel`, of no other database or
                namespace.
            ttl: how long a node is to be there, in seconds or as a timedelta; for ever when left
                out. See `AsyncEmbeddedDB.set_ttl`.

        Returns:
            The same object, now bound to this database: it can be saved, refreshed, deleted.

        Raises:
            AlreadyExists: the id or a unique value is taken.
            NotFound: an end of an edge does not exist.
            InvalidInput: it is no such object, it belongs to another database or namespace, or a
                value cannot be stored.

        Examples:
            >>> from embedded_db import AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str
            >>> ann = await db.add(Person(id="ann", name="Ann"))
            >>> ann.stored, ann.version, (await db.get_node("ann"))["name"]
            (True, 1, 'Ann')
            >>> guest = await db.add(Person(name="Bob"), ttl=3600)
            >>> (guest.expires_at - guest.created_at).total_seconds()
            3600.0
        """
        return await self._run(Objects.add, asynchronous(obj), ttl=ttl)

    async def add_all(self, objs: Iterable[S]) -> list[S]:
        """Store new objects, all or nothing, nodes before edges.

        Args:
            objs: objects of `AsyncNodeModel` and `AsyncEdgeModel`; edges may lead to nodes among
                them.

        Returns:
            The same objects in the order given.

        Raises:
            AlreadyExists: an id or a unique value is taken.
            NotFound: an end of an edge does not exist.
            InvalidInput: one is no such object, belongs to another database or namespace, or has a
                value that cannot be stored.

        Examples:
            >>> from embedded_db import AsyncEdgeModel, AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str
            >>> class Knows(AsyncEdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = Person(name="Ann"), Person(name="Bob")
            >>> _ = await db.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
            >>> [node["name"] async for node in db.neighbors(ann, "KNOWS")]
            ['Bob']
        """
        return await self._run(Objects.add_all, only_asynchronous(objs))

    @overload
    async def get(self, model: type[NM], id: IdLike) -> NM | None: ...

    @overload
    async def get(self, model: type[EM], id: IdLike) -> EM | None: ...

    async def get(self, model: Any, id: IdLike) -> Any:
        """Read a node or an edge as an object of a model.

        Args:
            model: the class.
            id: the id.

        Returns:
            The object, of a subclass if the node was stored as one; None when there is none of
            this id.

        Raises:
            InvalidInput: what has this id is no object of the model.

        Examples:
            >>> from embedded_db import AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str
            >>> _ = await db.create_node(
            ...     {"id": "ann", "label": "Person", "properties": {"name": "Ann"}}
            ... )
            >>> (await db.get(Person, "ann")).name, await db.get(Person, "nobody")
            ('Ann', None)
        """
        return await self._run(Objects.get, asynchronous(model), id)
