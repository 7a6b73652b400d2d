"""Many writes in chunks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from .arguments import whole_argument
from .errors import Conflict, InvalidInput, SnapshotExpired
from .guesses import Guessing
from .models import IdLike, id_of
from .transaction import Transaction, run

if TYPE_CHECKING:
    import numpy.typing as npt

    from .database import EmbeddedDB
    from .models.content import Content

__all__ = ["Batch"]

LONGEST: Final = 1.0
"""Seconds after which a chunk is stored with the next write, however small it is."""


Write = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A method of a transaction, and what it is called with."""


class Batch(Guessing):
    """Many writes, stored a chunk at a time: quick, but not all or nothing.

    Made by `EmbeddedDB.batch`; a context manager that stores the rest at its end. Each chunk is
    stored whole or not at all: as soon as it has ``size`` writes, or before the first write after a
    second. An exception that leaves the block drops what is not stored yet. What is not stored yet
    is not found; later writes may build on it. As outside of batches, the last change wins.

    Attributes:
        stored: how many writes are stored.

    Examples:
        >>> with db.batch(size=2) as batch:
        ...     towns = [batch.create_node({"label": "Town"}) for _ in range(5)]
        ...     before = batch.stored
        >>> before, batch.stored, db.count("Town")
        (4, 5, 5)
    """

    _apart = "A batch has it not, for it only writes, a chunk at a time"

    def __init__(self, database: EmbeddedDB, size: int) -> None:
        self._database = database
        self._size = whole_argument("size", size)
        self._chunk: Transaction | None = None
        self._begun = 0.0
        # What the chunk does, to do it again where something came in its way.
        self._writes: list[Write] = []
        self._is_open = False
        self.stored = 0

    def __enter__(self) -> Self:
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(well=kind is None)

    def _end(self, *, well: bool) -> None:
        self._is_open = False
        if well:
            self._store()
        else:
            self._drop()

    def create_node(self, node: Mapping[str, Any]) -> str:
        """Add a node; see `EmbeddedDB.create_node`."""
        return self._create("create_node", node)

    def create_chat(
        self,
        title: str | None = None,
        topic: str | None = None,
        *,
        id: str | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> str:
        """Add a chat, and give its id; see `EmbeddedDB.create_chat`."""
        return self._create_object("create_chat", title, topic, id=id, ttl=ttl, **properties)

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
    ) -> str:
        """Add a message to a chat, and give its id; see `EmbeddedDB.create_message`."""
        return self._create_object(
            "create_message",
            id_of(chat_id),
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

    def update_node(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Change properties of a node; see `EmbeddedDB.update_node`."""
        self._write("update_node", id, dict(updates))

    def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges; see `EmbeddedDB.delete_node`."""
        self._write("delete_node", id)

    def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Add an edge; see `EmbeddedDB.create_edge`."""
        return self._create("create_edge", edge)

    def update_edge(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Change an edge; see `EmbeddedDB.update_edge`."""
        self._write("update_edge", id, dict(updates))

    def delete_edge(self, id: IdLike) -> None:
        """Delete an edge with its history; see `EmbeddedDB.delete_edge`."""
        self._write("delete_edge", id)

    def create_embedding(self, embedding: Mapping[str, Any]) -> str:
        """Add an embedding; see `EmbeddedDB.create_embedding`."""
        return self._create("create_embedding", embedding)

    def delete_embedding(self, id: IdLike) -> None:
        """Delete an embedding; see `EmbeddedDB.delete_embedding`."""
        self._write("delete_embedding", id)

    def flush(self) -> None:
        """Store what is not stored yet.

        Raises:
            AlreadyExists: an id was taken meanwhile; nothing of the chunk is stored.
            NotFound: what is changed, or an end of an edge, was deleted meanwhile.

        Examples:
            >>> with db.batch() as batch:
            ...     town = batch.create_node({"label": "Town"})
            ...     batch.flush()
            ...     db.exists(town)
            True
        """
        self._store()

    def _create(self, name: str, record: Mapping[str, Any]) -> str:
        id: str = self._add(name, record)
        # Done again, it is made under the same id.
        self._writes[-1] = (name, ({**record, "id": id},), {})
        self._store_full()
        return id

    def _create_object(self, name: str, *arguments: Any, **named: Any) -> str:
        id: str = self._add(name, *arguments, **named).id
        self._writes[-1] = (name, arguments, {**named, "id": id})
        self._store_full()
        return id

    def _write(self, name: str, *arguments: Any) -> None:
        self._add(name, *arguments)
        self._store_full()

    def _add(self, name: str, *arguments: Any, **named: Any) -> Any:
        if not self._is_open:
            raise InvalidInput(
                "the batch is not open",
                hint="Use it inside its with block: with db.batch() as batch: …",
            )
        if self._chunk is not None and time.monotonic() - self._begun > LONGEST:
            self._store()
        if self._chunk is None:
            self._chunk = Transaction(self._database, own=True).__enter__()
            self._begun = time.monotonic()
        result = getattr(self._chunk, name)(*arguments, **named)
        self._writes.append((name, arguments, named))
        return result

    def _store_full(self) -> None:
        if len(self._writes) >= self._size:
            self._store()

    def _store(self) -> None:
        chunk, self._chunk = self._chunk, None
        writes, self._writes = self._writes, []
        if chunk is None:
            return
        try:
            chunk._end(commit=True)
        except (Conflict, SnapshotExpired):
            run(self._database, lambda tx: _do(tx, writes), own=True)
        self.stored += len(writes)

    def _drop(self) -> None:
        chunk, self._chunk = self._chunk, None
        self._writes = []
        if chunk is not None:
            chunk._end(commit=False)

    def __repr__(self) -> str:
        return f"<Batch on {self._database!r}, {self.stored} writes stored>"


def _do(transaction: Transaction, writes: list[Write]) -> None:
    for name, arguments, named in writes:
        getattr(transaction, name)(*arguments, **named)
