"""Chats."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import numpy.typing as npt

from ..arguments import flag_argument
from ..errors import NotFound
from ..guesses import CHAT
from .base import Model, Property
from .content import Content
from .drafts import message_dict
from .entity import Summary
from .message import Message
from .owner import IdLike, id_of
from .status import Status, status_of

__all__ = ["Chat"]


class Chat(Model):
    """A conversation: it contains messages in order.

    Examples:
        >>> chat = db.create_chat(title="Trip", topic="Paris")
        >>> _ = chat.add_message("See you there", sender="Ann")
        >>> chat.title, [(message.sender, message.content) for message in chat.messages()]
        ('Trip', [('Ann', 'See you there')])
        >>> chat.status  # nothing is summarised here, for the database has no model
        Status(summary=pending, waits_for='a model, for the database is open with ml=None')
    """

    __slots__ = ()
    node_label = "Chat"
    _guesses = CHAT

    title = Property[str | None]("What the chat is called.")
    topic = Property[str | None]("What the chat is about.")

    def add_message(
        self,
        content: Content,
        sender: str | None = None,
        role: str = "user",
        *,
        timestamp: datetime | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        name: str | None = None,
        tool_calls: Sequence[Mapping[str, Any]] | None = None,
        tool_call_id: str | None = None,
        embedding: npt.ArrayLike | None = None,
        **properties: Any,
    ) -> Message:
        """Store a message at the end of this chat; it is enriched in the background.

        Takes what an OpenAI-style message has, so that ``chat.add_message(**message)`` keeps it
        whole.

        Args:
            content: a text; or a list of OpenAI-style parts, of which all are kept and the text
                parts are embedded and searched; or None beside ``tool_calls``.
            sender: who wrote it; ``name`` when left out.
            role: ``"user"``, ``"assistant"``, ``"system"``, ``"tool"`` or any other word.
            timestamp: when it was written, with a time zone; now when left out.
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there, in seconds or as a timedelta; for ever when left out.
                See `EmbeddedDB.set_ttl`.
            name: the name of its author towards a model.
            tool_calls: calls of tools that an assistant asks for.
            tool_call_id: the call that a tool answers with this message.
            embedding: its vector (float32[dim]), if you have made it yourself; see
                `EmbeddedDB.create_message`.
            **properties: further properties, among them OpenAI's ``refusal`` and ``audio``.

        Returns:
            The message; it is durable, unless this chat was given by a transaction, into which it
            goes then.

        Raises:
            AlreadyExists: the id is taken.
            NotFound: the chat was deleted.
            InvalidInput: a value cannot be stored, or there is no content.

        Examples:
            >>> chat = db.create_chat()
            >>> image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
            >>> seen = chat.add_message([{"type": "text", "text": "Who is this?"}, image])
            >>> seen.content, seen.parts[1]["type"]
            ('Who is this?', 'image_url')
        """
        message = message_dict(
            content=content,
            sender=sender,
            role=role,
            timestamp=timestamp,
            id=id,
            metadata=metadata,
            ttl=ttl,
            name=name,
            tool_calls=list(tool_calls) if isinstance(tool_calls, Sequence) else tool_calls,
            tool_call_id=tool_call_id,
            embedding=embedding,
            properties=properties,
        )
        return self._owner._add_message(self.id, message)

    def add_messages(self, messages: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Store many messages at the end of this chat, all or nothing, in one step.

        Args:
            messages: dicts with ``content`` and, where wanted, ``id``, ``sender``, ``role``,
                ``timestamp``, ``metadata``, ``ttl``, ``embedding`` and further properties, as in
                `add_message`; OpenAI-style messages are such dicts.

        Returns:
            The messages in the order given.

        Raises:
            AlreadyExists: an id is taken.
            NotFound: the chat was deleted.
            InvalidInput: a value cannot be stored; the message says which.

        Examples:
            >>> added = db.create_chat().add_messages(
            ...     [{"content": "Hello", "sender": "Ann"}, {"content": "Hi", "role": "assistant"}]
            ... )
            >>> [message.role for message in added]
            ['user', 'assistant']
        """
        return self._owner._add_messages(self.id, messages)

    def messages(
        self,
        after: IdLike | None = None,
        limit: int | None = None,
        *,
        newest_first: bool = False,
    ) -> Iterator[Message]:
        """Iterate over the messages in order, or the newest first, reading page by page.

        The order is that in which they were added, whatever their timestamps say. Older messages
        than those that are asked for are not looked at: the last 20 of a long chat cost no more
        than those of a short one.

        Args:
            after: a message of this chat (or its id) to begin behind; with ``newest_first`` those
                before it follow.
            limit: most messages.
            newest_first: whether to begin with the last message.

        Raises:
            NotFound: the chat was deleted, or ``after`` is no message of it.
            InvalidInput: ``limit`` is not 1 or more, or ``newest_first`` neither true nor false.

        Examples:
            >>> chat = db.create_chat()
            >>> first, *_ = chat.add_messages([{"content": text} for text in "abcd"])
            >>> [message.content for message in chat.messages(after=first, limit=2)]
            ['b', 'c']
            >>> page = list(chat.messages(limit=2, newest_first=True))
            >>> [message.content for message in page]
            ['d', 'c']
            >>> [message.content for message in chat.messages(after=page[-1], newest_first=True)]
            ['b', 'a']
        """
        flag_argument("newest_first", newest_first)
        behind = None if after is None else id_of(after)
        try:
            nodes = self._owner._messages(self.id, behind, limit, newest_first)
        except NotFound:
            if behind is None or self._owner._raw_node(self.id) is None:
                raise
            raise NotFound(
                f"{behind!r} is no message of chat {self.id!r}",
                hint="Give a message of this chat, or its id",
                id=behind,
            ) from None
        return cast("Iterator[Message]", nodes)

    def summary(self) -> Summary | None:
        """Give the newest summary of all of the chat, or None when there is none yet.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> chat = woven.create_chat()
            >>> _ = chat.add_messages([{"content": text} for text in ("One.", "Two.", "Three.")])
            >>> woven.flush(timeout=30)
            >>> chat.summary().text.splitlines()
            ['One.', 'Three.']
            >>> woven.close()
        """
        found: Summary | None = None
        for node in self._summaries():
            if node.span is None and (found is None or node.created_at >= found.created_at):
                found = node
        return found

    def span_summaries(self) -> list[Summary]:
        """Give the summaries of the weeks (or days) of the chat, in the order of time.

        There are none of a chat that is within one of them: `summary` says as much.

        Examples:
            >>> from datetime import datetime, timezone
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> chat = woven.create_chat()
            >>> for day in (6, 7, 14):
            ...     at = datetime(2024, 5, day, tzinfo=timezone.utc)
            ...     _ = chat.add_message(f"It is the {day}th", timestamp=at)
            >>> woven.flush(timeout=30)
            >>> for summary in chat.span_summaries():
            ...     summary.begins_at.date().isoformat(), summary.text.splitlines()
            ('2024-05-06', ['It is the 6th', 'It is the 7th'])
            ('2024-05-13', ['It is the 14th'])
            >>> woven.close()
        """
        found = [(node.begins_at, node) for node in self._summaries() if node.span is not None]
        timed = [(at, node.id, node) for at, node in found if at is not None]
        return [node for *_, node in sorted(timed, key=lambda each: each[:2])]

    def _summaries(self) -> Iterator[Summary]:
        nodes = self._owner.neighbors(self.id, "SUMMARIZES", "in")
        return (node for node in nodes if isinstance(node, Summary))

    @property
    def status(self) -> Status:
        """How far the enrichment of the chat (its summary) is."""
        return status_of(self._owner, self.id)

    def to_openai(self) -> list[dict[str, Any]]:
        """Give the messages as OpenAI's chat interfaces take them.

        What was added as such a message comes back as it was. A role unknown there becomes
        ``user``, a sender becomes the ``name``. Left out is what such an interface refuses:
        answers of tools without their call, and calls that were never answered, unless they are
        the last thing in the chat.

        Examples:
            >>> chat = db.create_chat()
            >>> for message in [{"role": "user", "content": "Hi"},
            ...                 {"role": "assistant", "content": "Hello!"}]:
            ...     _ = chat.add_message(**message)
            >>> chat.to_openai()
            [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello!'}]
        """
        from ..context import openai_messages

        return openai_messages(self.messages())

    def context(
        self,
        query: str | None = None,
        token_budget: int = 2000,
        *,
        count_tokens: Callable[[str], int] | None = None,
    ) -> list[dict[str, Any]]:
        """Give what a model should see of this chat next, within a budget of tokens.

        All of the chat if it fits. Else, in the order of the chat and as far as each fits: its
        instructions (system messages at the beginning); its summary as a message of a user, for
        it quotes and shall have no authority (at most a quarter); its newest messages; and older
        ones relevant to the query by words and, if the database has a model, by meaning. A call
        of a tool is never parted from its answers; calls that were not answered are left out, and
        so are facts whose place others took. A message is taken whole or not at all.

        Of a chat that a snapshot or a transaction gave, it is the state of that. A transaction
        counts what it has added, but for the search for relevant ones, and reads all of the chat.

        Args:
            query: what is being asked; the last message of a user when left out.
            token_budget: most tokens of all texts together: contents, names, refusals, names and
                arguments of tool calls. Images and sounds are not counted: leave room for them.
            count_tokens: gives the number of tokens of a text; when left out, those of the
                embedding model, without its marks of beginning and end.

        Returns:
            OpenAI-style messages.

        Raises:
            InvalidInput: the budget is not 1 or more, the query is blank, or ``count_tokens``
                gives no number.
            ModelUnavailable: a model that is needed is not installed.
            LimitReached: a text has to be embedded, and the `Limit` of the model leaves no room.

        Examples:
            >>> chat = db.create_chat()
            >>> _ = chat.add_messages([{"content": f"message {n}"} for n in range(9)])
            >>> count = lambda text: len(text.split())
            >>> chat.context("which one?", token_budget=4, count_tokens=count)
            [{'role': 'user', 'content': 'message 7'}, {'role': 'user', 'content': 'message 8'}]
        """
        from ..context import context_of

        return context_of(self._owner, self.id, query, token_budget, count_tokens)
