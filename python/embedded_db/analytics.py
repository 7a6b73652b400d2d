"""Algorithms over the graph: what they say of all nodes, or of those of some labels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from .arguments import names_argument, natural_argument
from .checks import direction as native_direction
from .checks import flag, number
from .errors import InvalidInput, shown
from .models import IdLike, id_of
from .node_values import NodeIds, NodeValues, Partition
from .querying import Querying
from .subgraphs import Subgraph

if TYPE_CHECKING:
    from ._native import Graph
    from ._native import _Reads as NativeReads
    from .models.owner import Owner

__all__ = ["Analytics"]

MAX_VISITED: Final = 1_000_000
MOST_STEPS: Final = 1_000_000


class Analytics(Querying):
    """Algorithms over whole graphs. Each reads the graph once, as it is at the call."""

    _native: NativeReads

    @abstractmethod
    def _owner(self) -> Owner: ...

    def pagerank(
        self,
        *,
        personalization: Mapping[Any, float] | Iterable[IdLike] | IdLike | None = None,
        damping: float = 0.85,
        direction: str = "out",
        weighted: bool = False,
        max_iterations: int = 100,
        tolerance: float = 1e-6,
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
            >>> a, b, c = db.create_nodes([{"id": id, "label": "Page"} for id in "abc"])
            >>> links = [(a, b), (c, b), (b, a)]
            >>> edge = lambda ends: {"source": ends[0], "target": ends[1], "type": "LINK"}
            >>> _ = db.create_edges(map(edge, links))

            >>> ranks = db.pagerank(edge_types="LINK")
            >>> [(id, round(rank, 3)) for id, rank in ranks.top(2)]
            [('b', 0.486), ('a', 0.464)]
            >>> round(db.pagerank(personalization=c, damping=0.5)["c"], 3)
            0.5
        """
        damping = number("damping", damping, least=0.0, most=math.nextafter(1.0, 0.0))
        tolerance = number("tolerance", tolerance, least=0.0)
        steps, way = (
            natural_argument("max_iterations", max_iterations, MOST_STEPS),
            native_direction(direction),
        )
        starts, weights = _starts(personalization)
        graph = self._read(
            labels, edge_types, [*starts], weighted, max_visited, timeout, valid_at, known_at
        )
        ranks = graph.pagerank(way, weights, damping, steps, tolerance)
        return NodeValues(NodeIds(graph.ids), ranks)

    def connected_components(
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
            >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> ends = [("n0", "n1"), ("n1", "n2"), ("n3", "n4")]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> components = db.connected_components()
            >>> components["n4"], components.sizes.tolist(), components.members(1)
            (1, [3, 2], ['n3', 'n4'])
        """
        graph = self._read(labels, edge_types, [], False, max_visited, timeout, valid_at, known_at)
        return Partition(NodeIds(graph.ids), graph.components())

    def communities(
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
            >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> pairs = [(a, b) for a in range(8) for b in range(a) if a // 4 == b // 4]
            >>> ends = [(ids[a], ids[b]) for a, b in [*pairs, (0, 4)]]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> found = db.communities()
            >>> found.members(0), found.sizes.tolist(), round(found.modularity, 3)
            (['n0', 'n1', 'n2', 'n3'], [4, 4], 0.423)
        """
        resolution = number("resolution", resolution, least=0.0)
        seed = natural_argument("seed", seed, (1 << 64) - 1)
        rounds = natural_argument("max_iterations", max_iterations, MOST_STEPS)
        graph = self._read(
            labels, edge_types, [], weighted, max_visited, timeout, valid_at, known_at
        )
        found, modularity = graph.communities(resolution, seed, rounds)
        return Partition(NodeIds(graph.ids), found, modularity)

    def label_propagation(
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
            >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> pairs = [(a, b) for a in range(8) for b in range(a) if a // 4 == b // 4]
            >>> ends = [(ids[a], ids[b]) for a, b in [*pairs, (0, 4)]]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> db.label_propagation().sizes.tolist()
            [4, 4]
        """
        steps = natural_argument("max_iterations", max_iterations, MOST_STEPS)
        graph = self._read(labels, edge_types, [], False, max_visited, timeout, valid_at, known_at)
        return Partition(NodeIds(graph.ids), graph.label_propagation(steps))

    def degree(
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
            >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> ends = [("n0", "n1"), ("n1", "n2"), ("n3", "n4")]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> db.degree()["n1"], db.degree(direction="in").values.tolist()
            (2, [0, 1, 1, 0, 1])
        """
        way = native_direction(direction)
        graph = self._read(
            labels, edge_types, [], weighted, max_visited, timeout, valid_at, known_at
        )
        degrees = graph.degrees(way)
        return NodeValues(NodeIds(graph.ids), degrees if weighted else degrees.astype(np.int64))

    def triangles(
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
            >>> ids = db.create_nodes([{"id": id, "label": "X"} for id in "abcd"])
            >>> ends = ["ab", "bc", "ca", "cd"]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> dict(db.triangles())
            {'a': 1, 'b': 1, 'c': 1, 'd': 0}
        """
        graph = self._read(labels, edge_types, [], False, max_visited, timeout, valid_at, known_at)
        return NodeValues(NodeIds(graph.ids), graph.triangles())

    def clustering(
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
            >>> ids = db.create_nodes([{"id": id, "label": "X"} for id in "abcd"])
            >>> ends = ["ab", "bc", "ca", "cd"]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> dict(db.clustering(labels="X"))["a"], round(db.clustering()["c"], 3)
            (1.0, 0.333)
        """
        directed = flag("directed", directed)
        graph = self._read(labels, edge_types, [], False, max_visited, timeout, valid_at, known_at)
        return NodeValues(NodeIds(graph.ids), graph.clustering(directed))

    def k_core(
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
            >>> ids = db.create_nodes([{"id": id, "label": "X"} for id in "abcd"])
            >>> ends = ["ab", "bc", "ca", "cd"]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> dict(db.k_core())
            {'a': 2, 'b': 2, 'c': 2, 'd': 1}
        """
        graph = self._read(labels, edge_types, [], False, max_visited, timeout, valid_at, known_at)
        return NodeValues(NodeIds(graph.ids), graph.cores())

    def distances(
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
            >>> _ = db.create_nodes([{"id": id, "label": "X"} for id in ids])
            >>> ends = [("n0", "n1"), ("n1", "n2"), ("n3", "n4")]
            >>> _ = db.create_edges([{"source": a, "target": b, "type": "R"} for a, b in ends])

            >>> dict(db.distances("n0"))
            {'n0': 0.0, 'n1': 1.0, 'n2': 2.0}
        """
        way, start = native_direction(direction), id_of(start_id)
        graph = self._read(
            labels, edge_types, [start], weighted, max_visited, timeout, valid_at, known_at
        )
        distances = graph.distances(way)
        reached = np.flatnonzero(np.isfinite(distances))
        return NodeValues(NodeIds(graph.ids, reached), distances[reached])

    def subgraph(
        self,
        ids: Iterable[IdLike] | IdLike,
        hops: int = 1,
        *,
        edge_types: str | Sequence[str] | None = None,
        direction: str = "any",
        max_visited: int = MAX_VISITED,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Subgraph:
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
            >>> one, *_ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> found = db.subgraph(one, hops=1, edge_types="NEXT")
            >>> [node.content for node in found.nodes], [edge.type for edge in found.edges]
            (['a', 'b'], ['NEXT'])
        """
        nodes, edges = self._native.subgraph(
            _ids(ids),
            hops,
            names_argument("edge_types", edge_types),
            native_direction(direction),
            max_visited,
            valid_at,
            known_at,
        )
        return Subgraph(self._owner(), nodes, edges)

    def _read(
        self,
        labels: object,
        edge_types: object,
        starts: list[str],
        weighted: object,
        max_visited: int,
        timeout: float | None,
        valid_at: datetime | None,
        known_at: datetime | None,
    ) -> Graph:
        return self._native.graph(
            names_argument("labels", labels),
            names_argument("edge_types", edge_types),
            starts,
            flag("weighted", weighted),
            max_visited,
            timeout,
            valid_at,
            known_at,
        )


def _ids(given: object) -> list[str]:
    """Take a node, or several.

    Raises:
        InvalidInput: it is neither.
    """
    if isinstance(given, str) or hasattr(given, "id"):
        return [id_of(cast("IdLike", given))]
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise InvalidInput(f"the nodes are {shown(given)}", hint="Give a node or a list of nodes")
    return [id_of(each) for each in given]


def _starts(given: object) -> tuple[list[str], list[float] | None]:
    """Take where PageRank begins: nodes, and a weight for each.

    Raises:
        InvalidInput: they are no nodes, or weigh nothing.
        InvalidQuery: a weight is none.
    """
    if given is None:
        return [], None
    if not isinstance(given, Mapping):
        ids = _ids(given)
        weights = [1.0] * len(ids)
    else:
        ids = [id_of(each) for each in given]
        weights = [
            number(f"personalization[{id!r}]", w, least=0.0)
            for id, w in zip(ids, given.values(), strict=True)
        ]
    if not 0 < sum(weights) < math.inf:
        raise InvalidInput(
            f"the weights of personalization are {shown(weights)}",
            hint="Give at least one node, and one weight above 0; leave it out to begin anywhere",
        )
    return ids, weights
