"""Written by scripts/make-async from `embedded_db.models.topic`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from ...models.topic import Topic
from ..models.base import AsyncModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..models.entity import AsyncEntity
    from ..models.message import AsyncMessage

__all__ = ["AsyncTopic"]


class AsyncTopic(AsyncModel):
    """A group of messages and the entities they mention, which the weaver makes in SleepMode.

    Topics are communities of the graph of messages and entities. Those of a topic, where they
    are clear enough, are its parts. A topic keeps its id while most of what is in it stays
    together.

    Examples:
        >>> from embedded_db import AsyncEmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
        >>> chat = await woven.create_chat()
        >>> _ = await chat.add_messages([{"content": f"To Paris, {n} days"} for n in (1, 2, 3)])
        >>> await woven.set_activity_level("SleepMode")
        >>> await woven.flush(timeout=30)
        >>> [topic] = [each async for each in woven.nodes("Topic")]
        >>> topic.label, topic.level, topic.message_count, list(topic.terms)
        ('Paris', 1, 3, ['Paris'])
        >>> (
        ...     [entity.label for entity in await topic.entities()],
        ...     [each async for each in topic.parts()],
        ...     await topic.parent(),
        ... )
        (['Paris'], [], None)
        >>> await woven.close()
    """

    __slots__ = ()
    node_label = Topic.node_label
    _kind: ClassVar[Any] = Topic
    label = Topic.label
    terms = Topic.terms
    level = Topic.level
    message_count = Topic.message_count

    async def parent(self) -> AsyncTopic | None:
        """The topic that it is part of."""
        found: AsyncTopic | None = await self._made(attrgetter("parent"))
        return found

    def parts(self, limit: int | None = None) -> AsyncIterator[AsyncTopic]:
        """Iterate over the topics that are directly part of it.

        Args:
            limit: most topics.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> [[each async for each in topic.parts()] async for topic in woven.nodes("Topic")]
            []
            >>> await woven.close()
        """
        return self._each(Topic.parts, limit)

    def messages(self, limit: int | None = None) -> AsyncIterator[AsyncMessage]:
        """Iterate over the messages in it, and then those in its parts.

        Args:
            limit: most messages.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> chat = await woven.create_chat()
            >>> _ = await chat.add_messages([{"content": f"To Paris, {n} days"} for n in (1, 2, 3)])
            >>> await woven.set_activity_level("SleepMode")
            >>> await woven.flush(timeout=30)
            >>> [topic] = [each async for each in woven.nodes("Topic")]
            >>> [message.content async for message in topic.messages(limit=2)]
            ['To Paris, 1 days', 'To Paris, 2 days']
            >>> await woven.close()
        """
        return self._each(Topic.messages, limit)

    async def entities(self, limit: int | None = None) -> list[AsyncEntity]:
        """Give the entities in it, and then those in its parts.

        Args:
            limit: most entities.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> [await topic.entities() async for topic in woven.nodes("Topic")]
            []
            >>> await woven.close()
        """
        found: list[AsyncEntity] = await self._made(Topic.entities, limit)
        return found
