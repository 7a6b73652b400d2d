"""Written by scripts/make-async from `embedded_db.memory`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
)

from ..memory import Memory
from .twin import AsyncTokenCounter, Twin, called

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from ..models.owner import IdLike
    from .models.documents import AsyncDocument, AsyncFact

__all__ = ["AsyncMemory"]


class AsyncMemory(Twin):
    """What databases and transactions keep besides conversations."""

    async def add_document(
        self,
        text: str,
        *,
        title: str | None = None,
        source: IdLike | None = None,
        id: str | None = None,
        max_tokens: int = 200,
        count_tokens: AsyncTokenCounter | None = None,
        timestamp: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> AsyncDocument:
        r"""Store a text in parts that are embedded and searched each, all or nothing, in one step.

        A part ends with a paragraph or a sentence where it can. The document ``CONTAINS`` its
        parts, each has a ``NEXT`` edge to the one after it, and deleting the document deletes
        them. Parts are found as messages are: they have the labels ``Part`` and ``Message``, and
        the document's id as ``chat_id``.

        Args:
            text: the text.
            title: what it is called.
            source: where it comes from, such as an address, a file name, or the id of a node.
            id: an id of your own; made when left out.
            max_tokens: most tokens of a part. Up to 254 the default model embeds it as one.
            count_tokens: gives the number of tokens of a text; when left out, those of the
                default embedding model.
            timestamp: when it was written, with a time zone; now when left out. Its parts have
                the same.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there with its parts, in seconds or as a timedelta; for ever
                when left out. See `AsyncEmbeddedDB.set_ttl`.
            **properties: further properties of the document.

        Raises:
            InvalidInput: the text is empty, or a value cannot be stored.
            AlreadyExists: the id is taken.
            ModelUnavailable: the default model, which knows its tokens, is not installed.

        Examples:
            >>> words = lambda text: len(text.split())
            >>> text = "Rust has no garbage collector.\n\nPython has one."
            >>> document = await db.add_document(
            ...     text, title="Memory", source="notes.md", max_tokens=6, count_tokens=words
            ... )
            >>> [part.content async for part in document.parts()]
            ['Rust has no garbage collector.\n\n', 'Python has one.']
            >>> await document.text() == text
            True
        """
        found: AsyncDocument = await self._made(
            Memory.add_document,
            text,
            title=title,
            source=source,
            id=id,
            max_tokens=max_tokens,
            count_tokens=called(count_tokens),
            timestamp=timestamp,
            metadata=metadata,
            ttl=ttl,
            **properties,
        )
        return found

    async def remember(
        self,
        fact: str,
        *,
        source: IdLike | None = None,
        about: IdLike | Sequence[IdLike] = (),
        supersedes: IdLike | Sequence[IdLike] = (),
        timestamp: datetime | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> AsyncFact:
        """Store a fact with where it is from and what it is about, in one step.

        It is embedded and searched as messages are (its labels are ``Fact`` and ``Message``).
        ``ABOUT`` edges lead to what it is about, a ``DERIVED_FROM`` edge to its source if that
        is given as an object, ``SUPERSEDES`` edges to the facts whose place it takes. Those stay,
        with ``superseded_by``: a condition ``Fact.superseded_by.missing()`` leaves them out.

        Args:
            fact: the fact, in words.
            source: where it is known from: a message or another object, or any text, such as an
                id, an address or a name. `forget` takes it.
            about: nodes it is about, or their ids.
            supersedes: facts that are true no longer, or their ids.
            timestamp: when it was told, with a time zone; now when left out.
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there, in seconds or as a timedelta; for ever when left out.
                See `AsyncEmbeddedDB.set_ttl`.
            **properties: further properties.

        Raises:
            InvalidInput: the fact is empty, a value cannot be stored or is not for you to set,
                or what it supersedes is no fact, or was superseded by another already.
            NotFound: a node it is about, its source object or a fact does not exist.
            AlreadyExists: the id is taken.

        Examples:
            >>> old = await db.remember("Ann lives in Oslo", source="call of May 3")
            >>> new = await db.remember("Ann lives in Bergen", supersedes=old)
            >>> await old.refresh()
            >>> (
            ...     old.current,
            ...     old.superseded_by == new.id,
            ...     [f.content async for f in new.supersedes()],
            ... )
            (False, True, ['Ann lives in Oslo'])
        """
        found: AsyncFact = await self._made(
            Memory.remember,
            fact,
            source=source,
            about=about,
            supersedes=supersedes,
            timestamp=timestamp,
            id=id,
            metadata=metadata,
            ttl=ttl,
            **properties,
        )
        return found
