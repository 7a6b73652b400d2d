"""Written by scripts/make-async from `embedded_db.chats`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
)

from ..chats import Chats
from .twin import Twin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    import numpy.typing as npt

    from ..models.content import Content
    from ..models.owner import IdLike
    from .models.chat import AsyncChat
    from .models.message import AsyncMessage

__all__ = ["AsyncChats"]


class AsyncChats(Twin):
    """What databases and transactions do with chats and messages."""

    async def create_chat(
        self,
        title: str | None = None,
        topic: str | None = None,
        *,
        id: str | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> AsyncChat:
        """Store a chat.

        Args:
            title: what it is called.
            topic: what it is about.
            id: an id of your own; made when left out.
            ttl: how long it is to be there with its messages, in seconds or as a timedelta; for
                ever when left out. See `set_ttl`.
            **properties: further properties.

        Raises:
            AlreadyExists: the id is taken.
            InvalidInput: a value cannot be stored.

        Examples:
            >>> chat = await db.create_chat(title="Trip", topic="Travel", language="de")
            >>> chat.title, chat.topic, chat["language"], chat.id.startswith("chat_")
            ('Trip', 'Travel', 'de', True)
        """
        found: AsyncChat = await self._made(
            Chats.create_chat, title, topic, id=id, ttl=ttl, **properties
        )
        return found

    async def create_message(
        self,
        chat_id: IdLike,
        content: Content,
        sender: str | None = None,
        role: str = "user",
        timestamp: datetime | None = None,
        *,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        embedding: npt.ArrayLike | None = None,
        **properties: Any,
    ) -> AsyncMessage:
        """Store a message at the end of a chat, which is made when it does not exist.

        It is durable when this returns; its embedding and its entities follow. In a transaction
        it is durable at the commit, and then stands behind what others have added by then.

        Args:
            chat_id: the chat.
            content: the text, or OpenAI-style parts; see `AsyncChat.add_message`.
            sender: who wrote it.
            role: ``"user"``, ``"assistant"``, ``"system"`` or any other word.
            timestamp: when it was written, with a time zone; now when left out.
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there, in seconds or as a timedelta; for ever when left out.
                See `set_ttl`.
            embedding: its vector (float32[dim]), if you have made it yourself: it is stored in the
                same step, and searched at once. The weaver makes it when left out. With
                ``embedding_space`` it goes into that space, which then stands beside the weaver's.
            **properties: further properties, ``name``, ``tool_calls`` and ``tool_call_id`` among
                them.

        Raises:
            AlreadyExists: the id is taken.
            InvalidInput: a value cannot be stored.
            DimensionMismatch: the vector has another length than its space.
            NonFiniteVector: the vector holds NaN or an infinity.

        Examples:
            >>> message = await db.create_message("team", "We should use Rust", sender="Ann")
            >>> (await message.chat()).id, message.sender, message.role
            ('team', 'Ann', 'user')
        """
        found: AsyncMessage = await self._made(
            Chats.create_message,
            chat_id,
            content,
            sender,
            role,
            timestamp,
            id=id,
            metadata=metadata,
            ttl=ttl,
            embedding=embedding,
            **properties,
        )
        return found
