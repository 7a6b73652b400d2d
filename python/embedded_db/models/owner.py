"""Ids, and where an object was read from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .._native import Edge, Node
from ..errors import InvalidInput, shown

if TYPE_CHECKING:
    from .._native import Cursor, Embedding
    from ..database import EmbeddedDB
    from ..fields import Expression
    from ..query import ConvergedQuery, Rerank
    from ..results import Results
    from ..transaction import Transaction
    from .message import Message
    from .wrapping import AnyNode

__all__ = ["HasId", "Held", "IdLike", "Owner", "id_of"]


class HasId(Protocol):
    """Anything with an id: a node, an edge, a model."""

    @property
    def id(self) -> str:
        """The id."""
        ...


IdLike = str | HasId
"""An id, or an object that has one."""


def id_of(thing: IdLike) -> str:
    """Give the id of an object, or the id itself.

    Raises:
        InvalidInput: it is neither.
    """
    if isinstance(thing, str):
        return thing
    identity = getattr(thing, "id", None)
    if not isinstance(identity, str):
        raise InvalidInput(
            f"{shown(thing)} is not an id", hint="Give an id (str) or an object that has one"
        )
    return identity


class Held(Protocol):
    """An object of a stored node or edge, which somebody holds."""

    def _record_held(self) -> Node | Edge | None:
        """Give the record that it was read from or saved as."""
        ...

    def _go_over(self, owner: "Owner", record: Any) -> None:
        """Belong to another owner, there as this record, or with None as the one that it has."""
        ...


class Owner(Protocol):
    """Where a model was read from: a database, a snapshot or a transaction."""

    def _hold(self, held: Held) -> "Owner":
        """Give whom an object is bound to from now on."""
        ...

    def _location(self) -> tuple[str, str]:
        """Give the path and the namespace."""
        ...

    def _raw_node(self, id: str) -> Node | None:
        """Read a node without making a model of it."""
        ...

    def _save_node(self, id: str, updates: dict[str, Any], expected: Node | None) -> Node:
        """Update a node, if it is still the one that was read, in the same version."""
        ...

    def _save_edge(self, id: str, updates: dict[str, Any], expected: Edge | None) -> Edge:
        """Update an edge, if it is still the one that was read, in the same version."""
        ...

    def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges."""
        ...

    def delete_edge(self, id: IdLike) -> None:
        """Delete an edge."""
        ...

    def retract_edge(self, id: IdLike) -> None:
        """Take an edge back."""
        ...

    def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
        """Store an edge in the place of another."""
        ...

    def get_node(self, id: IdLike) -> "AnyNode | None":
        """Read a node."""
        ...

    def get_edge(self, id: IdLike) -> Edge | None:
        """Read an edge."""
        ...

    def get_embedding_for_node(self, id: IdLike, space: str | None = None) -> "Embedding | None":
        """Read the embedding of a whole node."""
        ...

    def neighbors(
        self,
        id: IdLike,
        type: str | Sequence[str] | None = None,
        direction: str = "out",
        limit: int | None = None,
        after: str | None = None,
    ) -> "Iterator[AnyNode]":
        """Iterate over neighbours."""
        ...

    def _messages(
        self, chat_id: str, after: str | None, limit: int | None, newest_first: bool
    ) -> "Iterator[AnyNode]":
        """Iterate over the messages of a chat."""
        ...

    def _add_message(self, chat_id: str, message: Mapping[str, Any]) -> "Message":
        """Store a message at the end of a chat that has to exist."""
        ...

    def _add_messages(self, chat_id: str, messages: Sequence[Mapping[str, Any]]) -> "list[Message]":
        """Store messages at the end of a chat that has to exist, all or none."""
        ...

    def execute_query(
        self,
        query: "ConvergedQuery",
        *,
        after: "Cursor | None" = None,
        rerank: "Rerank | None" = None,
    ) -> "Results":
        """Run a query."""
        ...

    def count_matching(self, query: "ConvergedQuery") -> int:
        """Count what a query matches."""
        ...

    def group_count(
        self, query: "ConvergedQuery", property: "str | Expression[Any]"
    ) -> dict[Any, int]:
        """Count what a query matches by the value of a property."""
        ...

    def _default_space(self) -> str | None:
        """Give the space for vectors where none is named."""
        ...

    def _writer(self, purpose: str) -> "EmbeddedDB | Transaction":
        """Give what the edges of a relation are written into: the database or the transaction."""
        ...

    def _database(self, purpose: str) -> "EmbeddedDB":
        """Give the database for what only it can do."""
        ...
