"""What a server answers, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ..interchange.values import decoded, to_time

__all__ = [
    "Edge",
    "Embedding",
    "Json",
    "Node",
    "Path",
    "Result",
    "Results",
    "to_edge",
    "to_embedding",
    "to_node",
    "to_path",
]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it was when it was read.

    Attributes:
        id: its id.
        labels: its labels.
        properties: its properties.
        created_at: when it was made, UTC.
        updated_at: when a user changed it last, UTC.
        expires_at: when it expires, UTC; None when it does not.
        version: 1 at creation, one more at each change by a user.
        derived: whether the database made it by itself.
    """

    id: str
    labels: list[str]
    properties: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    version: int
    derived: bool

    def __getitem__(self, name: str) -> Any:
        return self.properties[name]


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge as it was when it was read.

    Attributes:
        id: its id.
        source: id of the node where it begins.
        target: id of the node where it ends.
        type: its type.
        properties: its properties.
        weight: its weight.
        valid_from: true in the world from here on, UTC; None when that is not known.
        valid_to: true in the world until here, UTC; None when it still is.
        recorded_at: believed by the database from here on, UTC.
        retracted_at: believed until here, UTC; None when it still is.
        sources: ids of what it was derived from.
        version: 1 at creation, one more at each change by a user.
        derived: whether the database made it by itself.
    """

    id: str
    source: str
    target: str
    type: str
    properties: dict[str, Any]
    weight: float
    valid_from: datetime | None
    valid_to: datetime | None
    recorded_at: datetime
    retracted_at: datetime | None
    sources: list[str]
    version: int
    derived: bool


@dataclass(frozen=True, slots=True)
class Embedding:
    """A stored vector.

    Attributes:
        id: its id.
        node_id: id of its node.
        vector: its numbers, float32[dim].
        space: its embedding space.
        model: what made it.
        dim: how many numbers it has.
        part: which part of a long text it is of.
        created_at: when it was stored, UTC.
    """

    id: str
    node_id: str
    vector: npt.NDArray[np.float32]
    space: str
    model: str
    dim: int
    part: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Path:
    """A path through the graph.

    Attributes:
        nodes: the nodes from start to end, n of them.
        edges: the edges between them, n - 1.
        cost: the number of its edges, or the sum of their weights.
    """

    nodes: list[Node]
    edges: list[Edge]
    cost: float


@dataclass(frozen=True, slots=True)
class Result:
    """One result with what each part of the query said of it.

    Attributes:
        node: the node.
        score: what the results are ordered by.
        similarity_score: raw cosine similarity, or None.
        text_score: raw BM25, or None.
        graph_distance: hops from the nearest start, or None.
        activation: of `Client.recall`, or None.
        ranks: the rank in each leg, from 1.
        shares: what each part gave to the score.
        path: of `Client.recall`, the path that lit it, or None.
    """

    node: Node
    score: float
    similarity_score: float | None
    text_score: float | None
    graph_distance: int | None
    activation: float | None
    ranks: dict[str, int]
    shares: dict[str, float]
    path: Path | None


class Results(list[Result]):
    """Results, best first.

    Attributes:
        pending: matching nodes that are not embedded yet.
        cursor: pass it as ``after=`` of the same query for the next page; None behind the last.
        plan: the steps, when ``explain=True`` asked for them.
        analysis: of `Client.search`, what the question was found to say.
    """

    def __init__(self, given: Json) -> None:
        super().__init__(to_result(each) for each in given["results"])
        self.pending: int = given["pending"]
        self.cursor: str | None = given["cursor"]
        self.plan: list[Json] | None = given["plan"]
        self.analysis: Json | None = given.get("analysis")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else to_time(text)


def to_node(given: Json) -> Node:
    """Read a node."""
    times = {name: _moment(given[name]) for name in ("created_at", "updated_at", "expires_at")}
    return Node(**{**given, **times, "properties": _properties(given)})


def to_edge(given: Json) -> Edge:
    """Read an edge."""
    names = ("valid_from", "valid_to", "recorded_at", "retracted_at")
    times = {name: _moment(given[name]) for name in names}
    return Edge(**{**given, **times, "properties": _properties(given)})


def _properties(given: Json) -> dict[str, Any]:
    return {name: decoded(value) for name, value in given["properties"].items()}


def to_embedding(given: Json) -> Embedding:
    """Read an embedding."""
    vector = np.array(given["vector"], dtype=np.float32)
    vector.setflags(write=False)
    return Embedding(**{**given, "vector": vector, "created_at": to_time(given["created_at"])})


def to_path(given: Json | None) -> Path | None:
    """Read a path."""
    if given is None:
        return None
    nodes, edges = map(to_node, given["nodes"]), map(to_edge, given["edges"])
    return Path(list(nodes), list(edges), given["cost"])


def to_result(given: Json) -> Result:
    return Result(**{**given, "node": to_node(given["node"]), "path": to_path(given["path"])})
