"""What asynchronous queries and walks give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from .._native import Edge
from ..reads import Path, Visit
from ..results import Result, Results
from ..search import Analysis, SearchResults
from ..subgraphs import Subgraph
from .twin import register, twin

if TYPE_CHECKING:
    from .models import AsyncAnyNode
    from .pool import Pool

__all__ = [
    "AsyncPath",
    "AsyncResult",
    "AsyncResults",
    "AsyncSearchResults",
    "AsyncSubgraph",
    "AsyncVisit",
]


class AsyncResult(Result):
    """One found node with what each leg said about it: a `Result` with an asynchronous node.

    Examples:
        >>> _ = await (await db.create_chat()).add_message("Rust is fast")
        >>> [result] = await db.query(text_query={"text": "rust"})
        >>> result.node.content, await result.node.next()
        ('Rust is fast', None)
        >>> [result] = await db.recall(result.node, edge_types=["NEXT"])
        >>> result.path.nodes == [result.node]
        True
    """

    __slots__ = ("_pool", "_twin")

    def __init__(self, result: Result, pool: Pool) -> None:
        super().__init__(result._owner, result._hit, result._rerank_score)
        self._pool = pool
        self._twin: AsyncAnyNode | None = None

    @property
    def node(self) -> AsyncAnyNode:  # type: ignore[override]
        """The node: an `AsyncMessage`, `AsyncChat`… or a plain `Node`."""
        if self._twin is None:
            self._twin = twin(self._pool, super().node)
        return self._twin

    @property
    def path(self) -> AsyncPath | None:  # type: ignore[override]
        """The path from a seed over which activation came first, and most of it, if any came."""
        path = super().path
        return None if path is None else _path(path, self._pool)


class AsyncResults(Results):
    """The results of a query, best first: a sequence of `AsyncResult`.

    They are all there: nothing of them is awaited.

    Examples:
        >>> chat = await db.create_chat()
        >>> _ = await chat.add_messages([{"content": f"Rust {n}"} for n in range(3)])
        >>> query = {"labels": ["Message"], "order_by": ["content"], "limit": 2}
        >>> results = await db.query(**query)
        >>> len(results), results[0].node.content, results.pending
        (2, 'Rust 0', 0)
        >>> [r.node.content for r in await db.query(**query, after=results.cursor)]
        ['Rust 2']
    """

    __slots__ = ("_pool",)

    def __init__(self, results: Results, pool: Pool) -> None:
        super().__init__(results._owner, results._hits, results._places, results._rerank_scores)
        self._pool = pool

    @overload  # type: ignore[override]
    def __getitem__(self, index: int) -> AsyncResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[AsyncResult]: ...
    def __getitem__(self, index: int | slice) -> AsyncResult | list[AsyncResult]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        found = super().__getitem__(index)
        if not isinstance(found, AsyncResult):
            at = index + len(self) if index < 0 else index
            found = self._made[at] = AsyncResult(found, self._pool)
        return found

    def __iter__(self) -> Iterator[AsyncResult]:
        return (self[at] for at in range(len(self)))


class AsyncSearchResults(AsyncResults):
    """The results of a search, best first, and what the question was found to say.

    Examples:
        >>> _ = await (await db.create_chat()).add_message("We launch soon", sender="Ann")
        >>> found = await db.search("What did Ann say?", weights={"semantic": 0}, explain=True)
        >>> found[0].node.content, found.analysis["names"], found.plan["steps"][0]["step"]
        ('We launch soon', ['Ann'], 'question')
    """

    __slots__ = ("_searched",)

    def __init__(self, results: SearchResults, pool: Pool) -> None:
        super().__init__(results, pool)
        self._searched = results

    @property
    def analysis(self) -> Analysis:
        """What the question was found to say."""
        return self._searched.analysis

    @property
    def plan(self) -> dict[str, Any] | None:
        """The analysis and the steps with their times, when ``explain=True`` asked for them."""
        return self._searched.plan


class AsyncVisit(NamedTuple):
    """One node of a traversal and its distance from the start, in hops.

    Attributes:
        node: the node.
        depth: hops from the start.

    Examples:
        >>> chat = await db.create_chat()
        >>> one, two = await chat.add_messages([{"content": "one"}, {"content": "two"}])
        >>> [(visit.node.content, visit.depth) async for visit in db.traverse(one, "NEXT")]
        [('one', 0), ('two', 1)]
    """

    node: AsyncAnyNode
    depth: int


@dataclass(frozen=True, slots=True)
class AsyncPath:
    """A path through the graph.

    Attributes:
        nodes: the nodes from start to end, n of them.
        edges: the edges between them, n - 1; an edge may be followed against its direction.
        cost: the number of its edges; the sum of their weights if these were asked for.

    Examples:
        >>> chat = await db.create_chat()
        >>> one, two = await chat.add_messages([{"content": "one"}, {"content": "two"}])
        >>> path = await db.find_shortest_path(one, two)
        >>> [node.content for node in path.nodes], [edge.type for edge in path.edges], path.cost
        (['one', 'two'], ['NEXT'], 1.0)
    """

    nodes: list[AsyncAnyNode]
    edges: list[Edge]
    cost: float

    def __len__(self) -> int:
        return len(self.nodes)


class AsyncSubgraph(Subgraph):
    """Nodes and the edges between them: a `Subgraph` with asynchronous nodes.

    They are all there: nothing of them is awaited.

    Attributes:
        edges: the edges, the oldest first; each has both its ends among the nodes.

    Examples:
        >>> chat = await db.create_chat()
        >>> one, two = await chat.add_messages([{"content": "one"}, {"content": "two"}])
        >>> found = await db.subgraph(one, edge_types="NEXT")
        >>> [node.content for node in found.nodes], [edge.target == two.id for edge in found.edges]
        (['one', 'two'], [True])
        >>> found.to_networkx().number_of_edges(), found.to_graphml().startswith("<?xml")
        (1, True)
    """

    __slots__ = ("_pool", "_twins")

    def __init__(self, found: Subgraph, pool: Pool) -> None:
        super().__init__(found._owner, found._raw, found.edges)
        self._pool = pool
        self._twins: list[AsyncAnyNode] | None = None

    @property
    def nodes(self) -> list[AsyncAnyNode]:  # type: ignore[override]
        """The nodes: those that were asked for, and then the nearest first."""
        if self._twins is None:
            self._twins = twin(self._pool, super().nodes)
        return self._twins


def _visit(visit: Any, pool: Pool) -> AsyncVisit:
    return AsyncVisit(twin(pool, visit.node), visit.depth)


def _path(path: Any, pool: Pool) -> AsyncPath:
    return AsyncPath(twin(pool, path.nodes), path.edges, path.cost)


register(Result, AsyncResult)
register(Results, AsyncResults)
register(SearchResults, AsyncSearchResults)
register(Subgraph, AsyncSubgraph)
register(Visit, _visit)
register(Path, _path)
