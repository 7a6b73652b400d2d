"""Written by scripts/make-async from `embedded_db.models.base`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Self,
    TypeVar,
)

from ...models.base import Model
from ..models.record import Record
from ..models.selection import AsyncSelection

if TYPE_CHECKING:
    from datetime import datetime

    from ...fields import Condition

__all__ = ["AsyncModel"]

T = TypeVar("T")


class AsyncModel(Record):
    """A stored node of a built-in class.

    Declared properties are attributes; further ones are read as attributes or items and written
    as items: ``message["mood"] = "happy"``. Nothing is stored before `save`.

    Examples:
        >>> message = await (await db.create_chat()).add_message("Hello", sender="Ann", mood="glad")
        >>> message.sender, message.mood, message["mood"], message.get("tone", "none")
        ('Ann', 'glad', 'glad', 'none')
        >>> message["mood"] = "calm"
        >>> message.changed, message.version, message.properties["mood"]
        (True, 1, 'calm')
        >>> await message.save()
        >>> message.changed, message.version, message.updated_at > message.created_at
        (False, 2, True)
        >>> message.labels, message.id == message.to_dict()["id"], message.expires_at
        (['Message'], True, None)
    """

    __slots__ = ()
    node_label: ClassVar[str] = Model.node_label
    """The label of such nodes in the database."""
    _kind: ClassVar[Any] = Model
    _guesses: ClassVar[Any] = Model._guesses

    @property
    def id(self) -> str:
        """The id, unique in its namespace."""
        held: str = self._sync.id
        return held

    @property
    def labels(self) -> list[str]:
        """The labels of the node."""
        held: list[str] = self._sync.labels
        return held

    @property
    def version(self) -> int:
        """How often the node was written, from 1."""
        held: int = self._sync.version
        return held

    @property
    def created_at(self) -> datetime:
        """When the node was made (UTC)."""
        held: datetime = self._sync.created_at
        return held

    @property
    def updated_at(self) -> datetime:
        """When the node was last changed by a user (UTC)."""
        held: datetime = self._sync.updated_at
        return held

    @property
    def expires_at(self) -> datetime | None:
        """When the node expires (UTC), or None; see `AsyncEmbeddedDB.set_ttl`."""
        held: datetime | None = self._sync.expires_at
        return held

    @property
    def properties(self) -> dict[str, Any]:
        """All properties, unsaved changes included; a copy."""
        held: dict[str, Any] = self._sync.properties
        return held

    def get(self, key: str, default: Any = None) -> Any:
        """Give one property, or ``default``; changes that are not saved count.

        Args:
            key: the name of the property.
            default: what to give when there is none of this name.

        Examples:
            >>> chat = await db.create_chat(title="Trip")
            >>> chat.get("title"), chat.get("season", "summer")
            ('Trip', 'summer')
        """
        held: Any = self._sync.get(key, default)
        return held

    @property
    def changed(self) -> bool:
        """Whether there are changes that are not saved."""
        held: bool = self._sync.changed
        return held

    async def save(self, *, force: bool = False) -> None:
        """Store the changes.

        Args:
            force: overwrite what someone else changed since this object was read.

        Raises:
            Conflict: the node was changed since; `refresh` and try again.
            NotFound: the node was deleted.
            InvalidInput: a value cannot be stored; the object keeps its changes.

        Examples:
            >>> message = await (await db.create_chat()).add_message("before")
            >>> message.content, message["mood"] = "after", "glad"
            >>> message.changed
            True
            >>> await message.save()
            >>> message.changed, message.version, (await db.get_node(message.id)).mood
            (False, 2, 'glad')
        """
        await self._run(Model.save, force=force)

    async def refresh(self) -> None:
        """Read the node again; unsaved changes are dropped.

        Raises:
            NotFound: the node was deleted.

        Examples:
            >>> chat = await db.create_chat(title="Trip")
            >>> _ = await db.update_node(chat, {"title": "Journey"})
            >>> await chat.refresh()
            >>> chat.title
            'Journey'
        """
        await self._run(Model.refresh)

    async def delete(self) -> None:
        """Delete the node, its edges and what was derived from it.

        Raises:
            NotFound: it was deleted already.

        Examples:
            >>> message = await (await db.create_chat()).add_message("gone")
            >>> await message.delete()
            >>> await db.get_node(message.id) is None
            True
        """
        await self._run(Model.delete)

    def to_dict(self) -> dict[str, Any]:
        """Give id, labels, properties, times (UTC) and version as plain values."""
        held: dict[str, Any] = self._sync.to_dict()
        return held

    @classmethod
    def where(cls, *conditions: Condition | bool) -> AsyncSelection[Self]:
        """Select the stored objects of this class that meet all conditions.

        The selection is lazy; see `AsyncSelection`.

        Args:
            *conditions: comparisons of properties of the class; ``&``, ``|`` and ``~`` combine
                them.

        Raises:
            InvalidQuery: something else than a condition is given.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> chat = await db.create_chat()
            >>> m = await chat.add_message("We should use Rust", sender="Ann")
            >>> [
            ...     found.content
            ...     async for found in AsyncMessage.where(AsyncMessage.sender == "Ann").on(db)
            ... ]
            ['We should use Rust']
        """
        return AsyncSelection(cls._kind.where(*conditions))
