"""Making chats and messages: what databases and transactions do alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

from .errors import NotFound
from .models.chat import Chat
from .models.drafts import message_dict, stored_messages, with_vector_space
from .models.message import Message
from .models.owner import IdLike, id_of
from .models.refusals import gone

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._native import Node
    from .models.content import Content
    from .models.owner import Owner

__all__ = ["ChatStore", "Chats"]


class ChatStore(Protocol):
    """What stores chats natively."""

    def create_chat(self, chat: dict[str, Any]) -> Node:
        """Store a chat."""
        ...

    def add_message(self, chat_id: str, message: dict[str, Any], must_exist: bool) -> Node:
        """Store a message at the end of a chat."""
        ...

    def add_messages(
        self, chat_id: str, messages: Sequence[dict[str, Any]], must_exist: bool
    ) -> list[Node]:
        """Store messages at the end of a chat, all or none."""
        ...


class Chats:
    """What databases and transactions do with chats and messages."""

    def create_chat(
        self,
        title: str | None = None,
        topic: str | None = None,
        *,
        id: str | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> Chat:
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
            >>> chat = db.create_chat(title="Trip", topic="Travel", language="de")
            >>> chat.title, chat.topic, chat["language"], chat.id.startswith("chat_")
            ('Trip', 'Travel', 'de', True)
        """
        given = {"id": id, "title": title, "topic": topic, "ttl": ttl}
        chat = {name: value for name, value in given.items() if value is not None}
        draft = {**properties, **chat}
        Chat._checked_new(draft)
        node = self._chat_store().create_chat(draft)
        return Chat(cast("Owner", self), node)

    def create_message(
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
    ) -> Message:
        """Store a message at the end of a chat, which is made when it does not exist.

        It is durable when this returns; its embedding and its entities follow. In a transaction
        it is durable at the commit, and then stands behind what others have added by then.

        Args:
            chat_id: the chat.
            content: the text, or OpenAI-style parts; see `Chat.add_message`.
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
            >>> message = db.create_message("team", "We should use Rust", sender="Ann")
            >>> message.chat.id, message.sender, message.role
            ('team', 'Ann', 'user')
        """
        message = message_dict(
            content=content,
            sender=sender,
            role=role,
            timestamp=timestamp,
            id=id,
            metadata=metadata,
            ttl=ttl,
            embedding=embedding,
            properties=properties,
        )
        [draft] = self._drafts([message], id_of(chat_id))
        node = self._chat_store().add_message(id_of(chat_id), draft, False)
        return Message(cast("Owner", self), node)

    def _add_message(self, chat_id: str, message: Mapping[str, Any]) -> Message:
        """Add to a chat that has to exist."""
        [draft] = self._drafts([message], chat_id)
        with _chat_that_exists(chat_id):
            node = self._chat_store().add_message(chat_id, draft, True)
        return Message(cast("Owner", self), node)

    def _add_messages(self, chat_id: str, messages: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Add to a chat that has to exist."""
        drafts = self._drafts(messages, chat_id)
        with _chat_that_exists(chat_id):
            nodes = self._chat_store().add_messages(chat_id, drafts, True)
        return [Message(cast("Owner", self), node) for node in nodes]

    def _drafts(self, messages: Sequence[Mapping[str, Any]], chat_id: str) -> list[dict[str, Any]]:
        space = self._default_space()
        drafts = stored_messages(messages, chat_id)
        return drafts if space is None else [with_vector_space(draft, space) for draft in drafts]

    def _default_space(self) -> str | None:
        """Give the space of vectors that name none, where one is configured."""
        raise NotImplementedError

    def _chat_store(self) -> ChatStore:
        """Give what stores them."""
        raise NotImplementedError


@contextmanager
def _chat_that_exists(chat_id: str) -> Iterator[None]:
    try:
        yield
    except NotFound:
        remedy = "drop this object, or make a chat with create_chat"
        raise gone("the chat", chat_id, remedy) from None
