"""Written by scripts/make-async from `embedded_db.transaction`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    TypeVar,
)

from ..guesses import Guessing
from ..transaction import Transaction
from .chats import AsyncChats
from .handles import OpenTransaction
from .memory import AsyncMemory
from .objects import AsyncObjects
from .querying import AsyncQuerying

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from .._native import Edge, Embedding
    from ..models import IdLike
    from .models import AsyncAnyNode
    from .twin import AsyncPages

__all__ = ["AsyncTransaction"]

R = TypeVar("R")


class AsyncTransaction(
    AsyncObjects, AsyncChats, AsyncMemory, AsyncQuerying, Guessing, OpenTransaction
):
    """Writes that become visible together at commit, over one pinned state.

    Made by `AsyncEmbeddedDB.transaction`; a context manager that commits at its end and rolls
    back on an exception. No lock is held while it is open: at commit the versions of everything
    that was read or written are checked, and the first committer wins. Point reads, neighbours
    and the messages of chats see its own writes, queries and searches see the state at its
    beginning. What only a query found is not checked: a node that comes to match it meanwhile,
    or stops to, is no conflict.

    Objects that it gives are bound to it: what they write goes into it. At the commit they go
    over to the database, as they were stored; after a rollback they can only be looked at.
    Messages that are added to a chat are put behind what is in it at the commit, so that others
    who add to the same chat are no conflict.

    Several threads may use one. What a call writes is made or undone as a whole, and what other
    threads read, write or commit waits for it. Their calls should have ended before the block
    does: those that come later are refused.

    Examples:
        >>> ann = await db.create_node({"label": "Person", "properties": {"name": "Ann"}})
        >>> async with db.transaction() as tx:
        ...     bob = await tx.create_node({"label": "Person", "properties": {"name": "Bob"}})
        ...     knows = await tx.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
        ...     await tx.update_node(ann, {"friends": 1})
        ...     (
        ...         [node["name"] async for node in tx.neighbors(ann)],
        ...         (await tx.get_node(ann))["friends"],
        ...     )
        (['Bob'], 1)
        >>> try:
        ...     async with db.transaction() as tx:
        ...         await tx.delete_node(ann)
        ...         raise RuntimeError("never mind")
        ... except RuntimeError:
        ...     await db.exists(ann)
        True
        >>> async with db.transaction() as tx:
        ...     chat = await tx.create_chat(title="Trip")
        ...     _ = await chat.add_message("To Paris?", sender="Ann")
        ...     _ = await tx.create_message(chat, "Gladly!", sender="Bob")
        ...     ([message.content async for message in chat.messages()], await db.exists(chat))
        (['To Paris?', 'Gladly!'], False)
        >>> (await (await chat.add_message("When?", sender="Ann")).previous()).content
        'Gladly!'
    """

    _guesses: ClassVar[Any] = Transaction._guesses
    _called = Transaction._called
    _apart = Transaction._apart

    async def create_node(self, node: Mapping[str, Any]) -> str:
        """Buffer a new node; see `AsyncEmbeddedDB.create_node`."""
        return await self._run(Transaction.create_node, node)

    async def get_node(self, id: IdLike) -> AsyncAnyNode | None:
        """Read a node as `AsyncEmbeddedDB.get_node`, this transaction's own writes included."""
        found: AsyncAnyNode | None = await self._made(Transaction.get_node, id)
        return found

    async def update_node(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Buffer a change of properties; see `AsyncEmbeddedDB.update_node`.

        Raises:
            NotFound: the node does not exist.
        """
        await self._run(Transaction.update_node, id, updates)

    async def set_ttl(self, id: IdLike, ttl: float | timedelta | None) -> None:
        """Buffer how long a node is to be there, from the commit on; see `AsyncEmbeddedDB.set_ttl`.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: ``ttl`` is no such time.
        """
        await self._run(Transaction.set_ttl, id, ttl)

    async def delete_node(self, id: IdLike) -> None:
        """Buffer the deletion of a node with its edges; see `AsyncEmbeddedDB.delete_node`.

        A chat goes with its messages and summaries as they are at the commit, as with
        `AsyncEmbeddedDB.delete_node`: a message that was changed or added meanwhile is no conflict,
        and goes too, unless the transaction read it by its id.

        Raises:
            NotFound: the node does not exist.
        """
        await self._run(Transaction.delete_node, id)

    async def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Buffer a new edge; see `AsyncEmbeddedDB.create_edge`.

        Raises:
            NotFound: one of its ends does not exist.
        """
        return await self._run(Transaction.create_edge, edge)

    async def get_edge(self, id: IdLike) -> Edge | None:
        """Read an edge as `AsyncEmbeddedDB.get_edge`, this transaction's own writes included."""
        return await self._run(Transaction.get_edge, id)

    async def update_edge(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Buffer a change of an edge; see `AsyncEmbeddedDB.update_edge`.

        Raises:
            NotFound: the edge does not exist.
        """
        await self._run(Transaction.update_edge, id, updates)

    async def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
        """Buffer an edge in the place of another; see `AsyncEmbeddedDB.supersede_edge`.

        Raises:
            NotFound: the edge or an end of the new one does not exist.
            AlreadyExists: the new id is taken.
            InvalidInput: the new edge does not begin after the other.
        """
        return await self._run(Transaction.supersede_edge, id, new_edge)

    async def retract_edge(self, id: IdLike) -> None:
        """Buffer that an edge is taken back; see `AsyncEmbeddedDB.retract_edge`.

        Raises:
            NotFound: the edge does not exist, or was retracted already.
        """
        await self._run(Transaction.retract_edge, id)

    async def delete_edge(self, id: IdLike) -> None:
        """Buffer the deletion of an edge with its history; see `AsyncEmbeddedDB.delete_edge`.

        Raises:
            NotFound: the edge does not exist.
        """
        await self._run(Transaction.delete_edge, id)

    async def create_embedding(self, embedding: Mapping[str, Any]) -> str:
        """Buffer a new embedding; see `AsyncEmbeddedDB.create_embedding`.

        Raises:
            NotFound: its node does not exist.
        """
        return await self._run(Transaction.create_embedding, embedding)

    async def get_embedding_for_node(
        self, id: IdLike, space: str | None = None
    ) -> Embedding | None:
        """Read an embedding as `AsyncEmbeddedDB.get_embedding_for_node`, own writes included.

        A node whose text was changed in the transaction has none, unless a user has set it.

        Raises:
            NotFound: the node or the space does not exist.
        """
        return await self._run(Transaction.get_embedding_for_node, id, space)

    async def delete_embedding(self, id: IdLike) -> None:
        """Buffer the deletion of an embedding; see `AsyncEmbeddedDB.delete_embedding`.

        Raises:
            NotFound: the embedding does not exist.
        """
        await self._run(Transaction.delete_embedding, id)

    async def forget(self, id: IdLike | None = None, *, source: IdLike | None = None) -> int:
        """Buffer the deletion of a node, or of everything from one source.

        See `AsyncEmbeddedDB.forget`; a namespace is dropped outside of transactions. Found by its
        source is what had it when the transaction began, and what the transaction itself has
        written.

        Args:
            id: a node of any kind, or its id.
            source: the source.

        Returns:
            How many nodes were asked for.

        Raises:
            InvalidInput: none or both of the arguments are given.
            NotFound: there is no such node. A source without nodes gives 0.

        Examples:
            >>> old = await db.remember("Eve lives in Oslo", source="call")
            >>> async with db.transaction() as tx:
            ...     new = await tx.remember("Eve lives in Rome", source="letter", supersedes=old)
            ...     (await tx.forget(source="letter"), (await tx.get_node(old)).current)
            (1, True)
        """
        return await self._run(Transaction.forget, id, source=source)

    def neighbors(
        self,
        id: IdLike,
        type: str | Sequence[str] | None = None,
        direction: str = "out",
        limit: int | None = None,
        after: str | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> AsyncPages[AsyncAnyNode]:
        """Iterate over neighbours as `AsyncEmbeddedDB.neighbors`, own writes included.

        A node that several edges lead to comes once for each of them. What is iterated over is
        the state at the first step.

        Args:
            id: the node.
            type: one edge type or several; all when left out.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most nodes.
            after: the ``cursor`` of an earlier, exhausted iterator, to go on behind it.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database, or this transaction, held them for true then; as
                they are now when left out.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction, the type, ``limit`` or ``after`` is none, or a time has no
                time zone.

        Examples:
            >>> one, two = await db.create_nodes([{"label": "City"}, {"label": "City"}])
            >>> async with db.transaction() as tx:
            ...     _ = await tx.create_edge({"source": one, "target": two, "type": "ROAD"})
            ...     (
            ...         [node.id == two async for node in tx.neighbors(one)],
            ...         [each async for each in db.neighbors(one)],
            ...     )
            ([True], [])
        """
        return self._each(
            Transaction.neighbors,
            id,
            type,
            direction,
            limit,
            after,
            valid_at=valid_at,
            known_at=known_at,
        )
