"""Written by scripts/make-async from `embedded_db.analytics`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
)

from ..analytics import MAX_VISITED, Analytics
from .querying import AsyncQuerying

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ..models import IdLike
    from ..node_values import NodeValues, Partition
    from .results import (
        AsyncSubgraph,
    )

__all__ = ["AsyncAnalytics"]


class AsyncAnalytics(AsyncQuerying):
    """Algorithms over whole graphs. Each reads the graph once, as it is at the call."""

    async def pagerank(
        self,
        *,
        personalization: Mapping[Any, float] | Iterable[IdLike] | IdLike | None = None,
        damping: float = 0.85,
        direction: str = "out",
        weighted: bool = False,
        max_iterations: int = 100,
        tolerance: float = 1e-06,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> NodeValues[float]:
        """Rank nodes by PageRank: by how often one comes by who follows edges at random.

        At each step an edge is followed with the probability ``damping``; else, or where no edge
        leads on, it begins anew: anywhere, or at the nodes of ``personalization``, whose ranks
        then tell how near a node is to those. Source: Page, Brin, Motwani, Winograd 1999, "The
        PageRank citation ranking".

        Args:
            personalization: where to begin: nodes with weights of 0 or more, or nodes that count
                alike; all nodes when left out.
            damping: from 0 to below 1.
            direction: ``"out"``, ``"in"`` or ``"any"``: which way edges are followed.
            weighted: whether an edge counts by its ``weight``, 0 or more, instead of 1.
            max_iterations: most steps.
            tolerance: ends when all ranks together change by less in a step.
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The rank of each node; their sum is 1.

        Raises:
            NotFound: a node of ``personalization`` does not exist.
            InvalidInput: an argument is out of range, a weight is negative, or a time has no time
                zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> a, b, c = await db.create_nodes([{"id": id, "label": "Page"} for id in "abc"])
            >>> links = [(a, b), (c, b), (b, a)]
            >>> edge = lambda ends: {"source": ends[0], "target": ends[1], "type": "LINK"}
            >>> _ = await db.create_edges(map(edge, links))

            >>> ranks = await db.pagerank(edge_types="LINK")
            >>> [(id, round(rank, 3)) for id, rank in ranks.top(2)]
            [('b', 0.486), ('a', 0.464)]
            >>> round((await db.pagerank(personalization=c, damping=0.5))["c"], 3)
            0.5
        """
        return await self._wait(
            Analytics.pagerank,
            personalization=personalization,
            damping=damping,
            direction=direction,
            weighted=weighted,
            max_iterations=max_iterations,
            tolerance=tolerance,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def connected_components(
        self,
        *,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Partition:
        """Find the groups of nodes that edges join, whatever their directions.

        Args:
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The component of each node, numbered from 0, the largest first.

        Raises:
            InvalidInput: an argument is out of range, or a time has no time zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = [f"n{n}" for n in range(5)]
            >>> _ = await db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> ends = [("n0", "n1"), ("n1", "n2"), ("n3", "n4")]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> components = await db.connected_components()
            >>> components["n4"], components.sizes.tolist(), components.members(1)
            (1, [3, 2], ['n3', 'n4'])
        """
        return await self._wait(
            Analytics.connected_components,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def communities(
        self,
        *,
        resolution: float = 1.0,
        seed: int = 0,
        weighted: bool = False,
        max_iterations: int = 2,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Partition:
        """Find groups of nodes with more edges among them than to others, by the Leiden algorithm.

        Directions do not count, parallel edges count together. Every community is connected. The
        same graph and seed give the same communities. Source: Traag, Waltman, van Eck 2019, "From
        Louvain to Leiden: guaranteeing well-connected communities".

        Args:
            resolution: above 1 for smaller communities, below for larger ones.
            seed: of the chance that is in it, 0 or more.
            weighted: whether an edge counts by its ``weight``, 0 or more, instead of 1.
            max_iterations: most rounds, each of which begins with what the last one found.
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The community of each node, numbered from 0, the largest first; their ``modularity``.

        Raises:
            InvalidInput: an argument is out of range, a weight is negative, or a time has no time
                zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = [f"n{n}" for n in range(8)]
            >>> _ = await db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> pairs = [(a, b) for a in range(8) for b in range(a) if a // 4 == b // 4]
            >>> ends = [(ids[a], ids[b]) for a, b in [*pairs, (0, 4)]]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> found = await db.communities()
            >>> found.members(0), found.sizes.tolist(), round(found.modularity, 3)
            (['n0', 'n1', 'n2', 'n3'], [4, 4], 0.423)
        """
        return await self._wait(
            Analytics.communities,
            resolution=resolution,
            seed=seed,
            weighted=weighted,
            max_iterations=max_iterations,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def label_propagation(
        self,
        *,
        max_iterations: int = 10,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Partition:
        """Find communities by letting each node take over what most of its neighbours belong to.

        All nodes do so at once, in steps, until nothing changes; of several groups that are as
        frequent, that of the oldest node wins. Quicker than `communities`, and coarser. Source:
        Raghavan, Albert, Kumara 2007, in the form of LDBC Graphalytics (CDLP).

        Args:
            max_iterations: most steps.
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The group of each node, numbered from 0, the largest first.

        Raises:
            InvalidInput: an argument is out of range, or a time has no time zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = [f"n{n}" for n in range(8)]
            >>> _ = await db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> pairs = [(a, b) for a in range(8) for b in range(a) if a // 4 == b // 4]
            >>> ends = [(ids[a], ids[b]) for a, b in [*pairs, (0, 4)]]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> (await db.label_propagation()).sizes.tolist()
            [4, 4]
        """
        return await self._wait(
            Analytics.label_propagation,
            max_iterations=max_iterations,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def degree(
        self,
        *,
        direction: str = "any",
        weighted: bool = False,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> NodeValues[float]:
        """Count the edges of each node; one that leads from a node to itself counts twice.

        Args:
            direction: ``"out"``, ``"in"`` or ``"any"``: which edges.
            weighted: whether to give the sum of the edges' weights, each 0 or more.
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The degree of each node.

        Raises:
            InvalidInput: an argument is out of range, a weight is negative, or a time has no time
                zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = [f"n{n}" for n in range(5)]
            >>> _ = await db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> ends = [("n0", "n1"), ("n1", "n2"), ("n3", "n4")]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> (await db.degree())["n1"], (await db.degree(direction="in")).values.tolist()
            (2, [0, 1, 1, 0, 1])
        """
        return await self._wait(
            Analytics.degree,
            direction=direction,
            weighted=weighted,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def triangles(
        self,
        *,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> NodeValues[int]:
        """Count the triangles that each node is in.

        Each is two neighbours of it that are neighbours of each other. Directions, parallel edges
        and edges from a node to itself do not count.

        Args:
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The number for each node.

        Raises:
            InvalidInput: an argument is out of range, or a time has no time zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = await db.create_nodes([{"id": id, "label": "X"} for id in "abcd"])
            >>> ends = ["ab", "bc", "ca", "cd"]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> dict(await db.triangles())
            {'a': 1, 'b': 1, 'c': 1, 'd': 0}
        """
        return await self._wait(
            Analytics.triangles,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def clustering(
        self,
        *,
        directed: bool = False,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> NodeValues[float]:
        """Give the local clustering coefficient of each node.

        That is the share of the pairs of its neighbours that are joined to each other. Parallel
        edges and edges from a node to itself do not count. Source: Watts, Strogatz 1998; directed,
        in the form of LDBC Graphalytics (LCC).

        Args:
            directed: whether a pair counts for each direction in which it may be joined.
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            From 0 to 1 for each node; 0 with fewer than two neighbours.

        Raises:
            InvalidInput: an argument is out of range, or a time has no time zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = await db.create_nodes([{"id": id, "label": "X"} for id in "abcd"])
            >>> ends = ["ab", "bc", "ca", "cd"]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> dict(await db.clustering(labels="X"))["a"], round((await db.clustering())["c"], 3)
            (1.0, 0.333)
        """
        return await self._wait(
            Analytics.clustering,
            directed=directed,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def k_core(
        self,
        *,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> NodeValues[int]:
        """Give the core number: the greatest k such that a node is in the k-core.

        That is what is left when nodes with fewer than k neighbours are taken away until there
        are none. Directions, parallel edges and edges from a node to itself do not count. Source:
        Seidman 1983; Batagelj, Zaveršnik 2003.

        Args:
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The core number of each node.

        Raises:
            InvalidInput: an argument is out of range, or a time has no time zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = await db.create_nodes([{"id": id, "label": "X"} for id in "abcd"])
            >>> ends = ["ab", "bc", "ca", "cd"]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> dict(await db.k_core())
            {'a': 2, 'b': 2, 'c': 2, 'd': 1}
        """
        return await self._wait(
            Analytics.k_core,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def distances(
        self,
        start_id: IdLike,
        *,
        direction: str = "out",
        weighted: bool = False,
        edge_types: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        max_visited: int = MAX_VISITED,
        timeout: float | None = None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> NodeValues[float]:
        """Measure how far it is from a node to all others: by breadth-first search, or Dijkstra's.

        Args:
            start_id: where to begin.
            direction: ``"out"``, ``"in"`` or ``"any"``: which way edges are followed.
            weighted: whether the length of an edge is its ``weight``, 0 or more, instead of 1.
            edge_types: only edges of these types.
            labels: only nodes with one of these labels, and edges between them.
            max_visited: most nodes that the graph may have.
            timeout: most seconds.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The least distance of each node that can be reached, 0 of the start.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: an argument is out of range, a weight is negative, or a time has no time
                zone.
            Timeout: the graph has more than ``max_visited`` nodes, or it took too long.

        Examples:
            >>> ids = [f"n{n}" for n in range(5)]
            >>> _ = await db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> ends = [("n0", "n1"), ("n1", "n2"), ("n3", "n4")]
            >>> _ = await db.create_edges(
            ...     [{"source": a, "target": b, "type": "R"} for a, b in ends]
            ... )

            >>> dict(await db.distances("n0"))
            {'n0': 0.0, 'n1': 1.0, 'n2': 2.0}
        """
        return await self._wait(
            Analytics.distances,
            start_id,
            direction=direction,
            weighted=weighted,
            edge_types=edge_types,
            labels=labels,
            max_visited=max_visited,
            timeout=timeout,
            valid_at=valid_at,
            known_at=known_at,
        )

    async def subgraph(
        self,
        ids: Iterable[IdLike] | IdLike,
        hops: int = 1,
        *,
        edge_types: str | Sequence[str] | None = None,
        direction: str = "any",
        max_visited: int = MAX_VISITED,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> AsyncSubgraph:
        """Take out the part of the graph around some nodes.

        Args:
            ids: the nodes in the middle.
            hops: most edges from one of them.
            edge_types: only edges of these types.
            direction: ``"out"``, ``"in"`` or ``"any"``: which way edges are followed from the
                middle. Between the nodes that are found all edges are taken.
            max_visited: most nodes.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The nodes, the nearest first, and the edges between them.

        Raises:
            NotFound: one of the nodes does not exist.
            InvalidInput: the direction or a number is out of range, or a time has no time zone.
            Timeout: more than ``max_visited`` nodes were met.

        Examples:
            >>> one, *_ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> found = await db.subgraph(one, hops=1, edge_types="NEXT")
            >>> [node.content for node in found.nodes], [edge.type for edge in found.edges]
            (['a', 'b'], ['NEXT'])
        """
        found: AsyncSubgraph = await self._made(
            Analytics.subgraph,
            ids,
            hops,
            edge_types=edge_types,
            direction=direction,
            max_visited=max_visited,
            valid_at=valid_at,
            known_at=known_at,
        )
        return found
