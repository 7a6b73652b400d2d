"""Documents in parts, and facts: texts that are no conversation.

Both stand on what the database does for messages. A part and a fact have the label ``Message``
beside their own, so their text is embedded, searched and looked through for entities; a document
has the label ``Chat``, so it is summarised, and its parts go with it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from .._native import Node
from ..errors import NotFound
from .base import Model, Property
from .chat import Chat
from .message import Message

if TYPE_CHECKING:
    from .wrapping import AnyNode

__all__ = ["Document", "Fact", "Part"]


class Document(Chat):
    """A text in parts that follow one another; made by `EmbeddedDB.add_document`.

    Examples:
        >>> document = db.add_document("Oslo lies on a fjord.", title="Oslo", source="atlas")
        >>> document.title, document.source, document.text
        ('Oslo', 'atlas', 'Oslo lies on a fjord.')
        >>> [part.content for part in document.parts()]
        ['Oslo lies on a fjord.']
    """

    __slots__ = ()
    node_label = "Document"

    source = Property[str | None]("Where it comes from, such as an address or a file name.")

    def parts(self) -> "Iterator[Part]":
        """Iterate over the parts in order.

        Examples:
            >>> document = db.add_document("One sentence. And another.", title="Note")
            >>> [(part.start, part.end, part.content) for part in document.parts()]
            [(0, 26, 'One sentence. And another.')]
        """
        nodes = self._owner.neighbors(self.id, "CONTAINS", "out")
        return (node for node in nodes if isinstance(node, Part))

    @property
    def text(self) -> str:
        """The whole text, put together from its parts."""
        return "".join(part.content for part in self.parts())


class Part(Message):
    """A passage of a document, short enough to be embedded as one.

    Examples:
        >>> document = db.add_document("Oslo lies on a fjord.", title="Oslo")
        >>> [part] = document.parts()
        >>> part.document.title, document.text[part.start:part.end] == part.content
        ('Oslo', True)
    """

    __slots__ = ()
    node_label = "Part"

    start = Property[int]("Where it begins in the document, in characters.", settable=False)
    end = Property[int]("Where it ends in the document, in characters.", settable=False)

    @property
    def document(self) -> Document:
        """The document it is a passage of.

        Raises:
            NotFound: the document was deleted.
        """
        found = self._owner.get_node(self.chat_id)
        if not isinstance(found, Document):
            raise NotFound(
                f"the document {self.chat_id!r} of part {self.id!r} does not exist",
                hint="It was deleted; drop this object",
                id=self.chat_id,
            )
        return found


class Fact(Message):
    """Something to be remembered; made by `EmbeddedDB.remember`.

    Examples:
        >>> old = db.remember("Ann lives in Oslo", source="Bob")
        >>> new = db.remember("Ann lives in Bergen", supersedes=old)
        >>> old.refresh()
        >>> old.source, old.current, old.superseded_by == new.id, new.current
        ('Bob', False, True, True)
    """

    __slots__ = ()
    node_label = "Fact"

    source = Property[str | None]("Where it is known from: an id, an address, a name.")
    superseded_by = Property[str | None](
        "Id of the fact that took its place; None when that was deleted.", settable=False
    )

    @property
    def current(self) -> bool:
        """Whether no other fact took its place."""
        return self.superseded_by is None

    def about(self) -> "Iterator[AnyNode]":
        """Iterate over the nodes it is about.

        Examples:
            >>> ann = db.create_node({"label": "Person", "properties": {"name": "Ann"}})
            >>> fact = db.remember("Ann lives in Oslo", about=ann)
            >>> [node["name"] for node in fact.about()]
            ['Ann']
        """
        return self._owner.neighbors(self.id, "ABOUT", "out")

    def supersedes(self) -> "Iterator[Fact]":
        """Iterate over the facts whose place it took.

        Examples:
            >>> old = db.remember("Ann lives in Oslo")
            >>> new = db.remember("Ann lives in Bergen", supersedes=old)
            >>> [fact.content for fact in new.supersedes()]
            ['Ann lives in Oslo']
        """
        return cast("Iterator[Fact]", self._owner.neighbors(self.id, "SUPERSEDES", "out"))


def is_superseded(node: Node) -> bool:
    """Tell whether a node is a fact whose place another took."""
    return node.get("superseded_by") is not None and Fact.node_label in node.labels


BASES = {Document.node_label: "Chat", Part.node_label: "Message", Fact.node_label: "Message"}
"""The label that nodes of these classes have beside their own; without it a node is a user's."""


def is_built_in(model: type[Model], node: Node) -> bool:
    """Tell whether a node with the label of a model was made by the database as such."""
    if model.node_label == "Topic":
        # Nodes of users had this label before there were topics.
        return node.derived
    base = BASES.get(model.node_label)
    return base is None or base in node.labels
