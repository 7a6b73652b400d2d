"""Written by scripts/make-async from `embedded_db.models.chat`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from ...models.chat import Chat
from ..models.base import AsyncModel
from ..twin import AsyncTokenCounter, called

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime, timedelta

    import numpy.typing as npt

    from ...models.content import Content
    from ...models.owner import IdLike
    from ...models.status import Status
    from ..models.entity import AsyncSummary
    from ..models.message import AsyncMessage

__all__ = ["AsyncChat"]


class AsyncChat(AsyncModel):
    """A conversation: it contains messages in order.

    Examples:
        >>> chat = await db.create_chat(title="Trip", topic="Paris")
        >>> _ = await chat.add_message("See you there", sender="Ann")
        >>> chat.title, [(message.sender, message.content) async for message in chat.messages()]
        ('Trip', [('Ann', 'See you there')])
        >>> await chat.status()
        Status(summary=pending, waits_for='a model, for the database is open with ml=None')
    """

    __slots__ = ()
    node_label = Chat.node_label
    _kind: ClassVar[Any] = Chat
    _guesses: ClassVar[Any] = Chat._guesses
    title = Chat.title
    topic = Chat.topic

    async def add_message(
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
    ) -> AsyncMessage:
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
                See `AsyncEmbeddedDB.set_ttl`.
            name: the name of its author towards a model.
            tool_calls: calls of tools that an assistant asks for.
            tool_call_id: the call that a tool answers with this message.
            embedding: its vector (float32[dim]), if you have made it yourself; see
                `AsyncEmbeddedDB.create_message`.
            **properties: further properties, among them OpenAI's ``refusal`` and ``audio``.

        Returns:
            The message; it is durable, unless this chat was given by a transaction, into which it
            goes then.

        Raises:
            AlreadyExists: the id is taken.
            NotFound: the chat was deleted.
            InvalidInput: a value cannot be stored, or there is no content.

        Examples:
            >>> chat = await db.create_chat()
            >>> image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
            >>> seen = await chat.add_message([{"type": "text", "text": "Who is this?"}, image])
            >>> seen.content, seen.parts[1]["type"]
            ('Who is this?', 'image_url')
        """
        found: AsyncMessage = await self._made(
            Chat.add_message,
            content,
            sender,
            role,
            timestamp=timestamp,
            id=id,
            metadata=metadata,
            ttl=ttl,
            name=name,
            tool_calls=tool_calls,
            tool_call_id=tool_call_id,
            embedding=embedding,
            **properties,
        )
        return found

    async def add_messages(self, messages: Sequence[Mapping[str, Any]]) -> list[AsyncMessage]:
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
            >>> added = await (await db.create_chat()).add_messages(
            ...     [{"content": "Hello", "sender": "Ann"}, {"content": "Hi", "role": "assistant"}]
            ... )
            >>> [message.role for message in added]
            ['user', 'assistant']
        """
        found: list[AsyncMessage] = await self._made(Chat.add_messages, messages)
        return found

    def messages(
        self, after: IdLike | None = None, limit: int | None = None, *, newest_first: bool = False
    ) -> AsyncIterator[AsyncMessage]:
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
            >>> chat = await db.create_chat()
            >>> first, *_ = await chat.add_messages([{"content": text} for text in "abcd"])
            >>> [message.content async for message in chat.messages(after=first, limit=2)]
            ['b', 'c']
            >>> page = [each async for each in chat.messages(limit=2, newest_first=True)]
            >>> [message.content for message in page]
            ['d', 'c']
            >>> [
            ...     message.content
            ...     async for message in chat.messages(after=page[-1], newest_first=True)
            ... ]
            ['b', 'a']
        """
        return self._each(Chat.messages, after, limit, newest_first=newest_first)

    async def summary(self) -> AsyncSummary | None:
        """Give the newest summary of all of the chat, or None when there is none yet.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> chat = await woven.create_chat()
            >>> _ = await chat.add_messages(
            ...     [{"content": text} for text in ("One.", "Two.", "Three.")]
            ... )
            >>> await woven.flush(timeout=30)
            >>> (await chat.summary()).text.splitlines()
            ['One.', 'Three.']
            >>> await woven.close()
        """
        found: AsyncSummary | None = await self._made(Chat.summary)
        return found

    async def span_summaries(self) -> list[AsyncSummary]:
        """Give the summaries of the weeks (or days) of the chat, in the order of time.

        There are none of a chat that is within one of them: `summary` says as much.

        Examples:
            >>> from datetime import datetime, timezone
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> chat = await woven.create_chat()
            >>> for day in (6, 7, 14):
            ...     at = datetime(2024, 5, day, tzinfo=timezone.utc)
            ...     _ = await chat.add_message(f"It is the {day}th", timestamp=at)
            >>> await woven.flush(timeout=30)
            >>> for summary in await chat.span_summaries():
            ...     (summary.begins_at.date().isoformat(), summary.text.splitlines())
            ('2024-05-06', ['It is the 6th', 'It is the 7th'])
            ('2024-05-13', ['It is the 14th'])
            >>> await woven.close()
        """
        found: list[AsyncSummary] = await self._made(Chat.span_summaries)
        return found

    async def status(self) -> Status:
        """How far the enrichment of the chat (its summary) is."""
        found: Status = await self._made(attrgetter("status"))
        return found

    async def to_openai(self) -> list[dict[str, Any]]:
        """Give the messages as OpenAI's chat interfaces take them.

        What was added as such a message comes back as it was. A role unknown there becomes
        ``user``, a sender becomes the ``name``. Left out is what such an interface refuses:
        answers of tools without their call, and calls that were never answered, unless they are
        the last thing in the chat.

        Examples:
            >>> chat = await db.create_chat()
            >>> for message in [
            ...     {"role": "user", "content": "Hi"},
            ...     {"role": "assistant", "content": "Hello!"},
            ... ]:
            ...     _ = await chat.add_message(**message)
            >>> await chat.to_openai()
            [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello!'}]
        """
        return await self._run(Chat.to_openai)

    async def context(
        self,
        query: str | None = None,
        token_budget: int = 2000,
        *,
        count_tokens: AsyncTokenCounter | None = None,
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
            >>> chat = await db.create_chat()
            >>> _ = await chat.add_messages([{"content": f"message {n}"} for n in range(9)])
            >>> count = lambda text: len(text.split())
            >>> await chat.context("which one?", token_budget=4, count_tokens=count)
            [{'role': 'user', 'content': 'message 7'}, {'role': 'user', 'content': 'message 8'}]
        """
        return await self._run(Chat.context, query, token_budget, count_tokens=called(count_tokens))
