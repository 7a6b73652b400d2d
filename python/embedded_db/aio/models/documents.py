"""Written by scripts/make-async from `embedded_db.models.documents`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from ...models.documents import Document, Fact, Part
from ..models.chat import AsyncChat
from ..models.message import AsyncMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..models import AsyncAnyNode

__all__ = ["AsyncDocument", "AsyncFact", "AsyncPart"]


class AsyncDocument(AsyncChat):
    """A text in parts that follow one another; made by `AsyncEmbeddedDB.add_document`.

    Examples:
        >>> document = await db.add_document("Oslo lies on a fjord.", title="Oslo", source="atlas")
        >>> document.title, document.source, await document.text()
        ('Oslo', 'atlas', 'Oslo lies on a fjord.')
        >>> [part.content async for part in document.parts()]
        ['Oslo lies on a fjord.']
    """

    __slots__ = ()
    node_label = Document.node_label
    _kind: ClassVar[Any] = Document
    source = Document.source

    def parts(self) -> AsyncIterator[AsyncPart]:
        """Iterate over the parts in order.

        Examples:
            >>> document = await db.add_document("One sentence. And another.", title="Note")
            >>> [(part.start, part.end, part.content) async for part in document.parts()]
            [(0, 26, 'One sentence. And another.')]
        """
        return self._each(Document.parts)

    async def text(self) -> str:
        """The whole text, put together from its parts."""
        found: str = await self._made(attrgetter("text"))
        return found


class AsyncPart(AsyncMessage):
    """A passage of a document, short enough to be embedded as one.

    Examples:
        >>> document = await db.add_document("Oslo lies on a fjord.", title="Oslo")
        >>> [part] = [each async for each in document.parts()]
        >>> (
        ...     (await part.document()).title,
        ...     (await document.text())[part.start : part.end] == part.content,
        ... )
        ('Oslo', True)
    """

    __slots__ = ()
    node_label = Part.node_label
    _kind: ClassVar[Any] = Part
    start = Part.start
    end = Part.end

    async def document(self) -> AsyncDocument:
        """The document it is a passage of.

        Raises:
            NotFound: the document was deleted.
        """
        found: AsyncDocument = await self._made(attrgetter("document"))
        return found


class AsyncFact(AsyncMessage):
    """Something to be remembered; made by `AsyncEmbeddedDB.remember`.

    Examples:
        >>> old = await db.remember("Ann lives in Oslo", source="Bob")
        >>> new = await db.remember("Ann lives in Bergen", supersedes=old)
        >>> await old.refresh()
        >>> old.source, old.current, old.superseded_by == new.id, new.current
        ('Bob', False, True, True)
    """

    __slots__ = ()
    node_label = Fact.node_label
    _kind: ClassVar[Any] = Fact
    source = Fact.source
    superseded_by = Fact.superseded_by

    @property
    def current(self) -> bool:
        """Whether no other fact took its place."""
        held: bool = self._sync.current
        return held

    def about(self) -> AsyncIterator[AsyncAnyNode]:
        """Iterate over the nodes it is about.

        Examples:
            >>> ann = await db.create_node({"label": "Person", "properties": {"name": "Ann"}})
            >>> fact = await db.remember("Ann lives in Oslo", about=ann)
            >>> [node["name"] async for node in fact.about()]
            ['Ann']
        """
        return self._each(Fact.about)

    def supersedes(self) -> AsyncIterator[AsyncFact]:
        """Iterate over the facts whose place it took.

        Examples:
            >>> old = await db.remember("Ann lives in Oslo")
            >>> new = await db.remember("Ann lives in Bergen", supersedes=old)
            >>> [fact.content async for fact in new.supersedes()]
            ['Ann lives in Oslo']
        """
        return self._each(Fact.supersedes)
