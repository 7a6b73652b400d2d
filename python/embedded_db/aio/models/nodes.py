"""Written by scripts/make-async from `embedded_db.models.nodes`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Self,
    TypeVar,
)

from ...models.nodes import NodeModel
from ...models.selection import Selection
from ..models.selection import AsyncSelection
from ..models.stored import Stored
from ..models.stored import run as run_of

if TYPE_CHECKING:
    from ...fields import Condition

__all__ = ["AsyncNodeModel"]

N = TypeVar("N", bound="NodeModel")


class AsyncNodeModel(Stored, NodeModel):
    """A node with declared properties: a pydantic model that can be stored and asked for.

    ``class Person(NodeModel, label="Person")`` declares one; the label is the class's name when
    left out, and a subclass has the labels of its bases too. An object is made like any
    pydantic object and stored by `AsyncEmbeddedDB.add`. Values that the database does not store
    as they are (dates, enums, UUIDs, nested models…) are stored as pydantic writes them to
    JSON.

    Attributes:
        id: the id, unique in its namespace; made when left out.

    Examples:
        >>> from embedded_db import Field, AsyncNodeModel
        >>> class Person(AsyncNodeModel, label="Person"):
        ...     name: str = Field(index=True)
        ...     age: int | None = None
        >>> ann = await db.add(Person(name="Ann", age=41))
        >>> ann.age = 42
        >>> await ann.save()
        >>> [person.name async for person in Person.where(Person.age > 40).on(db)]
        ['Ann']
        >>> await db.get(Person, ann.id) == ann
        True
        >>> ann.labels, ann.version, ann.stored, ann.changed, ann.updated_at > ann.created_at
        (['Person'], 2, True, False, True)
        >>> _ = await db.update_node(ann.id, {"city": "Oslo"})
        >>> await ann.refresh()
        >>> ann.extra, ann.expires_at
        ({'city': 'Oslo'}, None)
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
        await run_of(self, NodeModel.save, force=force)

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
        await run_of(self, NodeModel.refresh)

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
        await run_of(self, NodeModel.delete)

    @classmethod
    def where(  # type: ignore[override]
        cls, *conditions: Condition | bool
    ) -> AsyncSelection[Self]:
        """Select the stored nodes of this model that meet all conditions; see `AsyncSelection`.

        Args:
            *conditions: comparisons of fields of the class; ``&``, ``|`` and ``~`` combine them.

        Raises:
            InvalidQuery: something else than a condition is given.

        Examples:
            >>> from embedded_db import AsyncNodeModel
            >>> class Town(AsyncNodeModel, label="Town"):
            ...     name: str
            ...     people: int
            >>> _ = await db.add_all([Town(name="Oslo", people=700), Town(name="Voss", people=15)])
            >>> [
            ...     town.name
            ...     async for town in Town.where((Town.people < 20) | (Town.name == "X")).on(db)
            ... ]
            ['Voss']
        """
        every = Selection(cls._of, cls.node_label, cls._checked)
        return AsyncSelection(every.where(*conditions))


# What no node has: the labels of its bases are those of a node.
AsyncNodeModel.node_label, AsyncNodeModel.node_labels = "", ()
