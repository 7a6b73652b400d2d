"""Written by scripts/make-async from `embedded_db.models.edges`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ...models.edges import EdgeModel
from ..models.stored import Stored, edges_of, made
from ..models.stored import run as run_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from ...models.owner import IdLike

__all__ = ["AsyncEdgeModel"]


class AsyncEdgeModel(Stored, EdgeModel):
    """An edge with declared properties.

    ``class Knows(EdgeModel, type="KNOWS")`` declares one; the type is the name of the class
    when left out.

    Attributes:
        id: the id, unique in its namespace; made when left out.
        source: id of the node where it begins; may be given as an object.
        target: id of the node where it ends; may be given as an object.
        weight: its weight.
        valid_from: true in the world from here on.
        valid_to: true in the world until here.
        sources: ids of what it was derived from.

    Examples:
        >>> from embedded_db import AsyncEdgeModel, AsyncNodeModel
        >>> class Person(AsyncNodeModel, label="Person"):
        ...     name: str
        >>> class Knows(AsyncEdgeModel, type="KNOWS"):
        ...     since: int
        >>> ann, bob = Person(name="Ann"), Person(name="Bob")
        >>> _ = await db.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
        >>> [edge.since async for edge in Knows.of(ann)]
        [2020]
        >>> [knows] = [each async for each in Knows.of(ann)]
        >>> knows.version, knows.stored, knows.retracted_at, knows.recorded_at.tzname()
        (1, True, None, 'UTC')
    """

    async def save(  # type: ignore[override]
        self, *, force: bool = False
    ) -> None:
        """Store the changes; only what changed is written.

        Args:
            force: overwrite what someone else changed since this object was read.

        Raises:
            Conflict: it was changed since; `refresh` and try again.
            NotFound: it was deleted.
            InvalidInput: it is not stored yet, or a value cannot be stored.

        Examples:
            >>> from embedded_db import Conflict, AsyncNodeModel
            >>> class Note(AsyncNodeModel, label="Note"):
            ...     text: str
            >>> mine = await db.add(Note(text="draft"))
            >>> theirs = await db.get(Note, mine.id)
            >>> theirs.text = "done"
            >>> await theirs.save()
            >>> mine.text = "better"
            >>> try:
            ...     await mine.save()
            ... except Conflict:
            ...     await mine.save(force=True)
            >>> (await db.get(Note, mine.id)).text
            'better'
        """
        await run_of(self, EdgeModel.save, force=force)

    async def refresh(  # type: ignore[override]
        self,
    ) -> None:
        """Read it again; unsaved changes are dropped.

        Raises:
            NotFound: it was deleted.
            InvalidInput: it is not stored yet, or what is stored does not fit the model.

        Examples:
            >>> from embedded_db import AsyncNodeModel
            >>> class Note(AsyncNodeModel, label="Note"):
            ...     text: str
            >>> note = await db.add(Note(text="draft"))
            >>> _ = await db.update_node(note.id, {"text": "done"})
            >>> await note.refresh()
            >>> note.text
            'done'
        """
        await run_of(self, EdgeModel.refresh)

    async def delete(  # type: ignore[override]
        self,
    ) -> None:
        """Delete it; a node with its edges.

        Raises:
            NotFound: it was deleted already.
            InvalidInput: it is not stored yet.

        Examples:
            >>> from embedded_db import AsyncNodeModel
            >>> class Note(AsyncNodeModel, label="Note"):
            ...     text: str
            >>> note = await db.add(Note(text="draft"))
            >>> await note.delete()
            >>> await db.get(Note, note.id) is None
            True
        """
        await run_of(self, EdgeModel.delete)

    @classmethod
    def of(  # type: ignore[override]
        cls,
        node: IdLike,
        direction: str = "out",
        limit: int | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> AsyncIterator[Self]:
        """Iterate over the edges of this model at a node, oldest first.

        Args:
            node: a stored object, read from a database or a snapshot.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most edges.
            valid_at: only edges that are true in the world then (a time with a time zone).
            known_at: the edges as the database held them for true then.

        Raises:
            InvalidInput: it is not stored, or was read in a transaction, or a time has no time
                zone.
            NotFound: the node was deleted.

        Examples:
            >>> from embedded_db import AsyncEdgeModel, AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str
            >>> class Knows(AsyncEdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = await db.add_all([Person(name="Ann"), Person(name="Bob")])
            >>> _ = await db.add(Knows(source=ann, target=bob, since=2020))
            >>> [edge.since async for edge in Knows.of(bob, direction="in")]
            [2020]
        """
        times = {"valid_at": valid_at, "known_at": known_at}
        return edges_of(super().of, node, direction, limit, **times)

    async def retract(  # type: ignore[override]
        self,
    ) -> None:
        """Take the edge back; see `AsyncEmbeddedDB.retract_edge`.

        Raises:
            NotFound: it was deleted or retracted already.
            InvalidInput: it is not stored yet.

        Examples:
            >>> from embedded_db import AsyncEdgeModel, AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str
            >>> class Knows(AsyncEdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = Person(name="Ann"), Person(name="Bob")
            >>> _, _, knows = await db.add_all(
            ...     [ann, bob, Knows(source=ann, target=bob, since=2020)]
            ... )
            >>> await knows.retract()
            >>> (
            ...     [each async for each in Knows.of(ann)],
            ...     len([each async for each in Knows.of(ann, known_at=knows.recorded_at)]),
            ... )
            ([], 1)
        """
        await run_of(self, EdgeModel.retract)

    async def supersede(  # type: ignore[override]
        self, *, id: str | None = None, valid_from: datetime | None = None, **changes: Any
    ) -> Self:
        """Store an edge that is true from now on in the place of this one.

        This one stays, with a ``valid_to``; see `AsyncEmbeddedDB.supersede_edge`.

        Args:
            id: the id of the new edge; made when left out.
            valid_from: since when the new one is true; now when left out.
            **changes: fields in which the new one differs, ``source`` and ``target`` among them.
                It has none of this one's ``sources`` and no ``valid_to`` unless they are given.

        Returns:
            The new edge.

        Raises:
            NotFound: this edge was deleted or retracted, or an end of the new one does not exist.
            AlreadyExists: the new id is taken.
            InvalidInput: it is not stored yet, or the new one does not begin after it.
            ValidationError: the fields do not fit the model (pydantic's).

        Examples:
            >>> from embedded_db import AsyncEdgeModel, AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str
            >>> class WorksFor(AsyncEdgeModel, type="WORKS_FOR"):
            ...     role: str
            >>> ann, bob, eve = await db.add_all(
            ...     [Person(name=name) for name in ("Ann", "Bob", "Eve")]
            ... )
            >>> old = await db.add(WorksFor(source=ann, target=bob, role="cook"))
            >>> new = await old.supersede(target=eve)
            >>> new.role, old.valid_to == new.valid_from
            ('cook', True)
            >>> [edge.target == eve.id async for edge in WorksFor.of(ann, valid_at=new.valid_from)]
            [True]
        """
        found: Self = await made(self, EdgeModel.supersede, id=id, valid_from=valid_from, **changes)
        return found

    async def history(  # type: ignore[override]
        self,
    ) -> list[Self]:
        """Give all that the edge ever said; see `AsyncEmbeddedDB.edge_history`.

        Returns:
            The versions, oldest first, each with ``recorded_at`` and ``retracted_at``.

        Raises:
            NotFound: it was deleted.
            InvalidInput: it is not stored yet, was read in a transaction, or a version does not
                fit the model.

        Examples:
            >>> from embedded_db import AsyncEdgeModel, AsyncNodeModel
            >>> class Person(AsyncNodeModel, label="Person"):
            ...     name: str
            >>> class Knows(AsyncEdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = Person(name="Ann"), Person(name="Bob")
            >>> _, _, knows = await db.add_all(
            ...     [ann, bob, Knows(source=ann, target=bob, since=2020)]
            ... )
            >>> knows.since = 2019
            >>> await knows.save()
            >>> [version.since for version in await knows.history()]
            [2020, 2019]
        """
        found: list[Self] = await made(self, EdgeModel.history)
        return found
