"""What the weaver makes of messages: entities and summaries."""

from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from ..errors import NotFound
from .base import Model, Property
from .owner import Owner

if TYPE_CHECKING:
    from .chat import Chat
    from .message import Message

__all__ = ["Entity", "Summary", "entities_of"]


class Entity(Model):
    """A person, place or thing that messages mention.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> message = woven.create_chat().add_message("We went to Paris")
        >>> woven.flush(timeout=30)
        >>> [paris] = message.entities()
        >>> paris.label, paris.entity_type, paris.mention_count, list(paris.aliases)
        ('Paris', 'GPE', 1, [])
        >>> woven.close()
    """

    __slots__ = ()
    node_label = "Entity"

    label = Property[str]("The name as people write it, such as ``Paris``.")
    entity_type = Property[str]("Its class, such as ``GPE``.")
    aliases = Property[list[str]]("Other ways it is written.", default=())
    mention_count = Property[int]("How many messages mention it.", default=0, settable=False)
    names = Property[dict[str, int]](
        "In how many messages it has each of its names.",
        default=MappingProxyType({}),
        settable=False,
    )

    def messages(self, limit: int | None = None) -> "Iterator[Message]":
        """Iterate over the messages that mention this entity.

        Args:
            limit: most messages.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> message = woven.create_chat().add_message("We went to Paris")
            >>> woven.flush(timeout=30)
            >>> [paris] = message.entities()
            >>> [each.content for each in paris.messages()]
            ['We went to Paris']
            >>> woven.close()
        """
        nodes = self._owner.neighbors(self.id, "MENTIONS", "in", limit)
        return cast("Iterator[Message]", nodes)


class Summary(Model):
    """A summary the weaver made of a chat, or of a week of it; extractive: what messages say.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> chat = woven.create_chat(title="Trip")
        >>> first, last = chat.add_messages([{"content": "To Paris?"}, {"content": "Gladly!"}])
        >>> woven.flush(timeout=30)
        >>> summary = chat.summary()
        >>> summary.text.splitlines(), summary.chat.title
        (['To Paris?', 'Gladly!'], 'Trip')
        >>> summary.chat_id == chat.id, summary.first_message == first.id
        (True, True)
        >>> summary.last_message == last.id
        True
        >>> woven.close()
    """

    __slots__ = ()
    node_label = "Summary"

    chat_id = Property[str]("The chat it summarises.", settable=False)
    text = Property[str]("The summary.", settable=False)
    first_message = Property[str]("Id of the first message it covers.", settable=False)
    last_message = Property[str]("Id of the last message it covers.", settable=False)
    span = Property[str | None](
        "``day`` or ``week``: what it covers; None: all of the chat.", default=None, settable=False
    )
    begins_at = Property[datetime | None](
        "When that day or week began, in UTC.", default=None, settable=False
    )
    message_count = Property[int | None](
        "How many messages of that day or week it was made of.", default=None, settable=False
    )

    @property
    def chat(self) -> "Chat":
        """The chat it summarises.

        Raises:
            NotFound: the chat was deleted.
        """
        from .chat import Chat

        chat = self._owner.get_node(self.chat_id)
        if not isinstance(chat, Chat):
            raise NotFound(f"the chat {self.chat_id!r} does not exist", id=self.chat_id)
        return chat


def entities_of(owner: Owner, id: str) -> list[Entity]:
    """Give the entities that a node mentions."""
    found = owner.neighbors(id, "MENTIONS", "out")
    return [node for node in found if isinstance(node, Entity)]
