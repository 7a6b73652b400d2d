"""Written by scripts/make-async from `embedded_db.models.message`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from ...models.message import Message
from ..models.base import AsyncModel

if TYPE_CHECKING:
    from ..._native import Embedding
    from ...models.status import Status
    from ..models.chat import AsyncChat
    from ..models.entity import AsyncEntity
    from ..results import (
        AsyncResult,
    )

__all__ = ["AsyncMessage"]


class AsyncMessage(AsyncModel):
    """One message of a chat.

    Examples:
        >>> from embedded_db import AsyncEmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
        >>> chat = await woven.create_chat()
        >>> one = await chat.add_message("Alice met Bob in Paris", sender="Carol")
        >>> two = await chat.add_message("Bob met Alice", sender="Dave")
        >>> await woven.flush(timeout=30)
        >>> (await one.next()).content, (await two.previous()).sender, await two.chat() == chat
        ('Bob met Alice', 'Carol', True)
        >>> sorted([entity.label for entity in await one.entities()])
        ['Alice', 'Bob', 'Paris']
        >>> (
        ...     (await one.embedding()).vector.shape,
        ...     [found.node.content for found in await one.similar(limit=5)],
        ... )
        ((256,), ['Bob met Alice'])
        >>> await one.status()
        Status(embedding=ready, entities=ready, links=ready)
        >>> one.chat_id == chat.id, one.role, one.timestamp.tzname(), one.metadata
        (True, 'user', 'UTC', None)
        >>> await woven.close()
    """

    __slots__ = ()
    node_label = Message.node_label
    _kind: ClassVar[Any] = Message
    _guesses: ClassVar[Any] = Message._guesses
    chat_id = Message.chat_id
    sender = Message.sender
    content = Message.content
    parts = Message.parts
    role = Message.role
    timestamp = Message.timestamp
    metadata = Message.metadata
    name = Message.name
    tool_calls = Message.tool_calls
    tool_call_id = Message.tool_call_id

    async def chat(self) -> AsyncChat:
        """The chat of this message.

        Raises:
            NotFound: the chat was deleted, or it is in none.
        """
        found: AsyncChat = await self._made(attrgetter("chat"))
        return found

    async def next(self) -> AsyncMessage | None:
        """The message after this one, or None at the end of the chat."""
        found: AsyncMessage | None = await self._made(attrgetter("next"))
        return found

    async def previous(self) -> AsyncMessage | None:
        """The message before this one, or None at the beginning of the chat.

        Examples:
            >>> one, two = await (await db.create_chat()).add_messages(
            ...     [{"content": "one"}, {"content": "two"}]
            ... )
            >>> (await two.previous()).content, (await one.next()).content, await one.previous()
            ('one', 'two', None)
        """
        found: AsyncMessage | None = await self._made(attrgetter("previous"))
        return found

    async def append(self, text: str) -> None:
        """Put a text behind the content, at once and in one step: for answers that stream in.

        What others appended meanwhile stays before it. The message is enriched anew.

        Args:
            text: what to add as it is, without a space between; nothing happens when it is empty.

        Raises:
            InvalidInput: there is a content that was not saved, or ``text`` is no text.
            NotFound: the message was deleted.

        Examples:
            >>> answer = await (await db.create_chat()).add_message("", role="assistant")
            >>> for piece in ("Rust", " is", " fast"):
            ...     await answer.append(piece)
            >>> (await db.get_node(answer.id)).content
            'Rust is fast'
        """
        await self._run(Message.append, text)

    def to_openai(self) -> dict[str, Any]:
        """Give the message as OpenAI's chat interfaces take it; see `AsyncChat.to_openai`.

        Examples:
            >>> m = await (await db.create_chat()).add_message(
            ...     "Hello", sender="Ann Lee", role="user"
            ... )
            >>> m.to_openai()
            {'role': 'user', 'content': 'Hello', 'name': 'Ann_Lee'}
        """
        held: dict[str, Any] = self._sync.to_openai()
        return held

    async def entities(self) -> list[AsyncEntity]:
        """Give the entities this message mentions, as far as they have been recognised."""
        found: list[AsyncEntity] = await self._made(Message.entities)
        return found

    async def embedding(self, space: str | None = None) -> Embedding | None:
        """Give the embedding (float32[dim]) of the whole text, or None when there is none yet.

        Args:
            space: the embedding space; the default one when left out.

        Examples:
            >>> message = await (await db.create_chat()).add_message("Hello")
            >>> _ = await db.set_embeddings([message], [[1, 0, 0]], space="mine")
            >>> (await message.embedding(space="mine")).vector
            array([1., 0., 0.], dtype=float32)
        """
        return await self._run(Message.embedding, space)

    async def similar(self, limit: int = 5) -> list[AsyncResult]:
        """Find the messages most like this one by their embeddings; itself is not among them.

        Of a message that a snapshot or a transaction gave, they are those of its state; what the
        transaction has written is not among them.

        Args:
            limit: most results.

        Raises:
            NotFound: this message has no embedding yet.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> texts = ["Rust is fast", "Good morning", "Rust is safe"]
            >>> rust, *_ = await (await woven.create_chat()).add_messages(
            ...     [{"content": text} for text in texts]
            ... )
            >>> await woven.flush(timeout=30)
            >>> [found.node.content for found in await rust.similar(limit=1)]
            ['Rust is safe']
            >>> await woven.close()
        """
        found: list[AsyncResult] = await self._made(Message.similar, limit)
        return found

    async def status(self) -> Status:
        """How far the enrichment is, artefact by artefact."""
        found: Status = await self._made(attrgetter("status"))
        return found
