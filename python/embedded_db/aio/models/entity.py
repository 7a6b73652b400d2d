"""Written by scripts/make-async from `embedded_db.models.entity`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from ...models.entity import Entity, Summary
from ..models.base import AsyncModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..models.chat import AsyncChat
    from ..models.message import AsyncMessage

__all__ = ["AsyncEntity", "AsyncSummary"]


class AsyncEntity(AsyncModel):
    """A person, place or thing that messages mention.

    Examples:
        >>> from embedded_db import AsyncEmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
        >>> message = await (await woven.create_chat()).add_message("We went to Paris")
        >>> await woven.flush(timeout=30)
        >>> [paris] = await message.entities()
        >>> paris.label, paris.entity_type, paris.mention_count, list(paris.aliases)
        ('Paris', 'GPE', 1, [])
        >>> await woven.close()
    """

    __slots__ = ()
    node_label = Entity.node_label
    _kind: ClassVar[Any] = Entity
    label = Entity.label
    entity_type = Entity.entity_type
    aliases = Entity.aliases
    mention_count = Entity.mention_count
    names = Entity.names

    def messages(self, limit: int | None = None) -> AsyncIterator[AsyncMessage]:
        """Iterate over the messages that mention this entity.

        Args:
            limit: most messages.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> message = await (await woven.create_chat()).add_message("We went to Paris")
            >>> await woven.flush(timeout=30)
            >>> [paris] = await message.entities()
            >>> [each.content async for each in paris.messages()]
            ['We went to Paris']
            >>> await woven.close()
        """
        return self._each(Entity.messages, limit)


class AsyncSummary(AsyncModel):
    """A summary the weaver made of a chat, or of a week of it; extractive: what messages say.

    Examples:
        >>> from embedded_db import AsyncEmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
        >>> chat = await woven.create_chat(title="Trip")
        >>> first, last = await chat.add_messages(
        ...     [{"content": "To Paris?"}, {"content": "Gladly!"}]
        ... )
        >>> await woven.flush(timeout=30)
        >>> summary = await chat.summary()
        >>> summary.text.splitlines(), (await summary.chat()).title
        (['To Paris?', 'Gladly!'], 'Trip')
        >>> summary.chat_id == chat.id, summary.first_message == first.id
        (True, True)
        >>> summary.last_message == last.id
        True
        >>> await woven.close()
    """

    __slots__ = ()
    node_label = Summary.node_label
    _kind: ClassVar[Any] = Summary
    chat_id = Summary.chat_id
    text = Summary.text
    first_message = Summary.first_message
    last_message = Summary.last_message
    span = Summary.span
    begins_at = Summary.begins_at
    message_count = Summary.message_count

    async def chat(self) -> AsyncChat:
        """The chat it summarises.

        Raises:
            NotFound: the chat was deleted.
        """
        found: AsyncChat = await self._made(attrgetter("chat"))
        return found
