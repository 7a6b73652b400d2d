"""What messages are about, found by the weaver."""

from itertools import islice
from typing import TYPE_CHECKING

from .base import Model, Property
from .entity import Entity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .message import Message
    from .wrapping import AnyNode

__all__ = ["Topic"]


class Topic(Model):
    """A group of messages and the entities they mention, which the weaver makes in SleepMode.

    Topics are communities of the graph of messages and entities. Those of a topic, where they are
    clear enough, are its parts. A topic keeps its id while most of what is in it stays together.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> chat = woven.create_chat()
        >>> _ = chat.add_messages([{"content": f"To Paris, {n} days"} for n in (1, 2, 3)])
        >>> woven.set_activity_level("SleepMode")
        >>> woven.flush(timeout=30)
        >>> [topic] = woven.nodes("Topic")
        >>> topic.label, topic.level, topic.message_count, list(topic.terms)
        ('Paris', 1, 3, ['Paris'])
        >>> [entity.label for entity in topic.entities()], list(topic.parts()), topic.parent
        (['Paris'], [], None)
        >>> woven.close()
    """

    __slots__ = ()
    node_label = "Topic"

    label = Property[str]("The first three of its terms, unless a user has changed it.")
    terms = Property[list[str]]("Names of its most telling entities.", default=(), settable=False)
    level = Property[int]("1 of the widest topics; of a part one more.", default=1, settable=False)
    message_count = Property[int](
        "How many messages are in it and in its parts.", default=0, settable=False
    )

    @property
    def parent(self) -> "Topic | None":
        """The topic that it is part of."""
        wider = self._owner.neighbors(self.id, "PART_OF", "out")
        return next((node for node in wider if isinstance(node, Topic)), None)

    def parts(self, limit: int | None = None) -> "Iterator[Topic]":
        """Iterate over the topics that are directly part of it.

        Args:
            limit: most topics.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> [list(topic.parts()) for topic in woven.nodes("Topic")]
            []
            >>> woven.close()
        """
        parts = self._owner.neighbors(self.id, "PART_OF", "in", limit)
        return (node for node in parts if isinstance(node, Topic))

    def messages(self, limit: int | None = None) -> "Iterator[Message]":
        """Iterate over the messages in it, and then those in its parts.

        Args:
            limit: most messages.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> chat = woven.create_chat()
            >>> _ = chat.add_messages([{"content": f"To Paris, {n} days"} for n in (1, 2, 3)])
            >>> woven.set_activity_level("SleepMode")
            >>> woven.flush(timeout=30)
            >>> [topic] = woven.nodes("Topic")
            >>> [message.content for message in topic.messages(limit=2)]
            ['To Paris, 1 days', 'To Paris, 2 days']
            >>> woven.close()
        """
        from .message import Message

        return islice((node for node in self._members() if isinstance(node, Message)), limit)

    def entities(self, limit: int | None = None) -> list[Entity]:
        """Give the entities in it, and then those in its parts.

        Args:
            limit: most entities.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> [topic.entities() for topic in woven.nodes("Topic")]
            []
            >>> woven.close()
        """
        found = (node for node in self._members() if isinstance(node, Entity))
        return list(islice(found, limit))

    def _members(self) -> "Iterator[AnyNode]":
        yield from self._owner.neighbors(self.id, "GROUPS", "out")
        for part in self.parts():
            yield from part._members()
