"""Written by scripts/make-async from `embedded_db.reads`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    TypeVar,
)

from ..analytics import MAX_VISITED
from ..reads import Reads
from .analytics import AsyncAnalytics

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Iterable,
        Sequence,
    )
    from datetime import datetime

    from .._native import Edge, Embedding
    from ..models import IdLike
    from .models import AsyncAnyNode
    from .models.entity import AsyncEntity
    from .results import (
        AsyncPath,
        AsyncVisit,
    )
    from .twin import AsyncPages

__all__ = ["AsyncReads"]

T = TypeVar("T")


class AsyncReads(AsyncAnalytics):
    """Reads of nodes, edges, embeddings and paths."""

    async def get_node(self, id: IdLike) -> AsyncAnyNode | None:
        """Read a node.

        Args:
            id: the id.

        Returns:
            An `AsyncMessage`, `AsyncChat`, `AsyncEntity` or `AsyncSummary` if the node is one, else
            a plain `Node`; None when there is no such node.

        Examples:
            >>> chat = await db.create_chat(title="Trip")
            >>> (await db.get_node(chat.id)).title, await db.get_node("nobody")
            ('Trip', None)
        """
        found: AsyncAnyNode | None = await self._made(Reads.get_node, id)
        return found

    async def get_many(self, ids: Iterable[IdLike]) -> list[AsyncAnyNode | None]:
        """Read many nodes in one step.

        Args:
            ids: the ids.

        Returns:
            The nodes in the order of the ids; None where there is none.

        Examples:
            >>> ids = await db.create_nodes([{"label": "City", "properties": {"name": "Oslo"}}])
            >>> [node and node["name"] for node in await db.get_many([*ids, "nowhere"])]
            ['Oslo', None]
        """
        found: list[AsyncAnyNode | None] = await self._made(Reads.get_many, ids)
        return found

    async def exists(self, id: IdLike) -> bool:
        """Tell whether a node exists.

        Args:
            id: the id.

        Examples:
            >>> await db.exists(await db.create_chat()), await db.exists("nobody")
            (True, False)
        """
        return await self._run(Reads.exists, id)

    async def count(self, label: str | None = None) -> int:
        """Count nodes.

        Args:
            label: only nodes with this label; all when left out.

        Examples:
            >>> _ = await (await db.create_chat()).add_message("Hello")
            >>> await db.count("Message"), await db.count()
            (1, 2)
        """
        return await self._run(Reads.count, label)

    async def count_edges(self, type: str | None = None) -> int:
        """Count edges.

        Args:
            type: only edges of this type; all when left out.

        Examples:
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": "one"}, {"content": "two"}]
            ... )
            >>> await db.count_edges("NEXT"), await db.count_edges()
            (1, 3)
        """
        return await self._run(Reads.count_edges, type)

    def nodes(self, label: str | None = None) -> AsyncIterator[AsyncAnyNode]:
        """Iterate over nodes in the order they were made, reading page by page.

        What is iterated over is the state at the first step: writes meanwhile do not show.

        Args:
            label: only nodes with this label; all when left out.

        Raises:
            SnapshotExpired: iterating took longer than ``max_snapshot_age``.

        Examples:
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": "one"}, {"content": "two"}]
            ... )
            >>> [message.content async for message in db.nodes("Message")]
            ['one', 'two']
        """
        return self._each(Reads.nodes, label)

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
        """Iterate over the nodes that edges lead to: by type, then oldest edge first.

        A node that several edges lead to comes once for each of them. What is iterated over is
        the state at the first step: writes meanwhile do not show.

        Args:
            id: the node.
            type: one edge type or several; all when left out.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most nodes.
            after: the ``cursor`` of an earlier, exhausted iterator, to go on behind it.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction or the type is none, or a time has no time zone.
            SnapshotExpired: iterating took longer than ``max_snapshot_age``.

        Examples:
            >>> chat = await db.create_chat()
            >>> _ = await chat.add_messages([{"content": text} for text in "abc"])
            >>> page = db.neighbors(chat, type="CONTAINS", direction="out", limit=2)
            >>> [message.content async for message in page]
            ['a', 'b']
            >>> [
            ...     message.content
            ...     async for message in db.neighbors(chat, "CONTAINS", after=page.cursor)
            ... ]
            ['c']
        """
        return self._each(
            Reads.neighbors, id, type, direction, limit, after, valid_at=valid_at, known_at=known_at
        )

    def edges(
        self,
        id: IdLike,
        type: str | Sequence[str] | None = None,
        direction: str = "out",
        limit: int | None = None,
        after: str | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> AsyncPages[Edge]:
        """Iterate over the edges of a node: by type, then oldest first.

        What is iterated over is the state at the first step: writes meanwhile do not show.

        Args:
            id: the node.
            type: one edge type or several; all when left out.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most edges.
            after: the ``cursor`` of an earlier, exhausted iterator, to go on behind it.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction or the type is none, or a time has no time zone.
            SnapshotExpired: iterating took longer than ``max_snapshot_age``.

        Examples:
            >>> chat = await db.create_chat()
            >>> message = await chat.add_message("Hello")
            >>> [
            ...     (edge.type, edge.source == chat.id)
            ...     async for edge in db.edges(message, direction="in")
            ... ]
            [('CONTAINS', True)]
        """
        return self._each(
            Reads.edges, id, type, direction, limit, after, valid_at=valid_at, known_at=known_at
        )

    async def get_edge(
        self, id: IdLike, *, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> Edge | None:
        """Read an edge.

        Args:
            id: the id of the edge.
            valid_at: only if it is true in the world then (a time with a time zone).
            known_at: as the database held it for true then; as it is now when left out.

        Returns:
            The edge; None when there is none, it was retracted, or was not true or not known
            then.

        Raises:
            InvalidInput: a time has no time zone.

        Examples:
            >>> ids = await db.create_nodes([{"label": "Person"}, {"label": "City"}])
            >>> edge = await db.create_edge(
            ...     {"source": ids[0], "target": ids[1], "type": "LIVES_IN"}
            ... )
            >>> known = (await db.get_edge(edge)).recorded_at
            >>> await db.retract_edge(edge)
            >>> await db.get_edge(edge) is None, (await db.get_edge(edge, known_at=known)).type
            (True, 'LIVES_IN')
        """
        return await self._run(Reads.get_edge, id, valid_at=valid_at, known_at=known_at)

    async def edge_history(self, id: IdLike) -> list[Edge]:
        """Give all that an edge ever said, as far as the database held it for true.

        A version was held for true from its ``recorded_at`` to its ``retracted_at``, when the
        next one took its place. What was changed again within the same microsecond, as in one
        transaction, left no version. Deleting an edge deletes its history.

        Args:
            id: the id of the edge, retracted or not.

        Returns:
            The versions, oldest first; the last is the present one, or the one that was retracted.

        Raises:
            NotFound: the edge does not exist.

        Examples:
            >>> ids = await db.create_nodes([{"label": "Person"}, {"label": "City"}])
            >>> edge = await db.create_edge(
            ...     {"source": ids[0], "target": ids[1], "type": "LIVES_IN"}
            ... )
            >>> changed = await db.update_edge(edge, {"weight": 0.5})
            >>> first, second = await db.edge_history(edge)
            >>> first.weight, second.weight, first.retracted_at == second.recorded_at
            (1.0, 0.5, True)
        """
        return await self._run(Reads.edge_history, id)

    async def get_embedding_for_node(
        self, id: IdLike, space: str | None = None
    ) -> Embedding | None:
        """Read the embedding of a whole node.

        For a long text, embedded in parts, it is the normalised mean of the parts.

        Args:
            id: the node.
            space: the embedding space; the default one when left out.

        Returns:
            The embedding, whose ``vector`` is a read-only float32[dim]; None when there is none.

        Raises:
            NotFound: the node or the space does not exist.

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> _ = await db.set_embeddings([red], [[1, 0, 0]], space="rgb")
            >>> (await db.get_embedding_for_node(red, space="rgb")).vector
            array([1., 0., 0.], dtype=float32)
        """
        return await self._run(Reads.get_embedding_for_node, id, space)

    async def get_embeddings_for_node(
        self, id: IdLike, space: str | None = None
    ) -> list[Embedding]:
        """Read the embeddings of the parts of a node, in the order of the text.

        Args:
            id: the node.
            space: the embedding space; the default one when left out.

        Raises:
            NotFound: the node or the space does not exist.

        Examples:
            >>> red = await db.create_node({"label": "Colour"})
            >>> _ = await db.set_embeddings([red], [[1, 0, 0]], space="rgb")
            >>> [
            ...     (each.part, each.dim)
            ...     for each in await db.get_embeddings_for_node(red, space="rgb")
            ... ]
            [(0, 3)]
        """
        return await self._run(Reads.get_embeddings_for_node, id, space)

    async def get_entities_mentioned_in(self, id: IdLike) -> list[AsyncEntity]:
        """Give the entities that a message mentions, as far as they have been recognised.

        Args:
            id: the message.

        Raises:
            NotFound: the node does not exist.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> message = await (await woven.create_chat()).add_message("Alice went to Paris")
            >>> await woven.flush(timeout=30)
            >>> sorted(
            ...     [entity.label for entity in await woven.get_entities_mentioned_in(message.id)]
            ... )
            ['Alice', 'Paris']
            >>> await woven.close()
        """
        found: list[AsyncEntity] = await self._made(Reads.get_entities_mentioned_in, id)
        return found

    async def find_shortest_path(
        self,
        start_id: IdLike,
        end_id: IdLike,
        edge_types: str | Sequence[str] | None = None,
        direction: str = "any",
        max_hops: int | None = None,
        weighted: bool = False,
        max_visited: int = MAX_VISITED,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> AsyncPath | None:
        """Find a path of the fewest edges, or of the least weight.

        The former by breadth-first search from both ends, the latter by Dijkstra's algorithm.

        Args:
            start_id: where it begins.
            end_id: where it ends.
            edge_types: only edges of these types.
            direction: ``"out"``, ``"in"`` or ``"any"``, seen from the start.
            max_hops: most edges; any number when left out.
            weighted: whether the length of an edge is its ``weight``, 0 or more, instead of 1. Of
                paths of the same weight one with the fewest edges is given.
            max_visited: most nodes that the search may meet from either end.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The path, or None when there is none.

        Raises:
            NotFound: one of the nodes does not exist.
            InvalidInput: the direction or a number is out of range, a weight is negative, or a
                time has no time zone.
            Timeout: more than ``max_visited`` nodes were met without an answer.

        Examples:
            >>> chat = await db.create_chat()
            >>> one, two, three = await chat.add_messages([{"content": text} for text in "abc"])
            >>> path = await db.find_shortest_path(one, three, edge_types="NEXT")
            >>> [node.content for node in path.nodes]
            ['a', 'b', 'c']
            >>> await db.find_shortest_path(three, one, edge_types="NEXT", direction="out") is None
            True
        """
        found: AsyncPath | None = await self._made(
            Reads.find_shortest_path,
            start_id,
            end_id,
            edge_types,
            direction,
            max_hops,
            weighted,
            max_visited,
            valid_at=valid_at,
            known_at=known_at,
        )
        return found

    def traverse(
        self,
        start: IdLike,
        edge_types: str | Sequence[str] | None = None,
        direction: str = "out",
        max_depth: int = 3,
        depth_first: bool = False,
        limit: int = 10000,
        max_visited: int = MAX_VISITED,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> AsyncIterator[AsyncVisit]:
        """Walk the graph from a node, each node once, the start (depth 0) first.

        Args:
            start: where to begin.
            edge_types: only edges of these types.
            direction: ``"out"``, ``"in"`` or ``"any"``.
            max_depth: most hops from the start.
            depth_first: depth first instead of breadth first.
            limit: most nodes to give.
            max_visited: most nodes that the walk may meet.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            An iterator over (node, depth).

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction or a number is out of range, or a time has no time zone.
            Timeout: more than ``max_visited`` nodes were met before the walk was complete.

        Examples:
            >>> one, *_ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> [
            ...     node.content
            ...     async for node, depth in db.traverse(one, edge_types="NEXT", max_depth=1)
            ... ]
            ['a', 'b']
        """
        return self._each(
            Reads.traverse,
            start,
            edge_types,
            direction,
            max_depth,
            depth_first,
            limit,
            max_visited,
            valid_at=valid_at,
            known_at=known_at,
        )
