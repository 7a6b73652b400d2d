"""The converged query as a plain value.

A query has four legs: property filters and graph reach restrict, semantic similarity and full
text rank. Each may be left out. `ConvergedQuery` checks a query once, by itself, so that it can
be kept, sent or run many times.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, Required, TypedDict, cast

import numpy.typing as npt

from .checks import check_fields, native_query, plain, wrong
from .errors import shown
from .fields import Expression

if TYPE_CHECKING:
    from .results import Result

__all__ = [
    "ConvergedQuery",
    "Expansion",
    "Filter",
    "GraphFilter",
    "Order",
    "OrderKey",
    "Rank",
    "Reflex",
    "Rerank",
    "SemanticQuery",
    "TextQuery",
]

Direction = Literal["out", "in", "both", "any"]
"""Which way edges are followed; ``"any"`` is another word for ``"both"``."""

Filter = Mapping[str, Any]
"""A condition ``{"property", "operator", "value"}``, or ``{"any": […]}``, ``{"all": […]}``,
``{"not": …}`` of conditions. ``Exists`` and ``NotExists`` have no value, ``Between`` has
``[low, high]`` (both included), ``In`` and ``NotIn`` have a list."""


class Expansion(TypedDict, total=False):
    """One way on from a set of nodes.

    It finds the nodes whose shortest way from one of them has ``min_hops`` to ``max_hops`` hops,
    1 and 1 unless given.

    Examples:
        >>> from embedded_db import ConvergedQuery
        >>> near = {"edge_types": "NEXT", "direction": "any", "min_hops": 0, "max_hops": 1}
        >>> pattern = {"start": "message_1", "steps": [near, {"edge_types": "MENTIONS"}]}
        >>> len(ConvergedQuery(graph_filter=pattern).graph_filter["steps"])
        2
    """

    edge_types: Sequence[str] | str | None
    """Types of edges to follow; every type unless given."""
    direction: Direction
    """``"out"``, ``"in"`` or ``"any"``, seen from where it starts; ``"any"`` unless given."""
    min_hops: int
    """Fewest edges; 0 takes where it starts too."""
    max_hops: int
    """Most edges."""
    labels: Sequence[str] | str | None
    """Only nodes with one of these labels are taken; those on the way may have any."""
    edge_filters: Sequence[Filter]
    """Conditions that hold for every edge on the way, over its properties and its ``id``,
    ``weight``, ``valid_from``, ``valid_to`` and ``recorded_at``."""


class GraphFilter(Expansion):
    """Nodes reached from the start nodes: by one `Expansion`, or by ``steps``, a chain of them.

    Examples:
        >>> chat = db.create_chat()
        >>> one, two, three = chat.add_messages([{"content": text} for text in "abc"])
        >>> reach = {"start": one, "edge_types": "NEXT", "direction": "out", "max_hops": 2}
        >>> [(r.node.content, r.graph_distance) for r in db.query(graph_filter=reach)]
        [('b', 1), ('c', 2)]
        >>> others = db.query(graph_filter={**reach, "exclude": True}, labels=["Message"])
        >>> [result.node.content for result in others]
        ['a']
    """

    start: Required[Any]
    """An id, a model object, or a list of these."""
    steps: NotRequired[Sequence[Expansion]]
    """A pattern: each step goes on from all nodes that the one before has found."""
    exclude: NotRequired[bool]
    """Keep what is not reached instead."""
    valid_at: NotRequired[datetime | None]
    """Only edges that are true in the world at this time."""
    known_at: NotRequired[datetime | None]
    """The edges as the database held them for true at this time; as they are now without it."""


class SemanticQuery(TypedDict):
    """Nodes whose embedding is near a text or a vector (one of the two).

    Examples:
        >>> red, blue = db.create_nodes([{"label": "Colour"}, {"label": "Colour"}])
        >>> _ = db.set_embeddings([red, blue], [[1, 0, 0], [0, 0, 1]], space="rgb")
        >>> like_red = {"vector": [0.9, 0.1, 0], "threshold": 0.5, "space": "rgb"}
        >>> [result.node.id == red for result in db.query(semantic_query=like_red)]
        [True]
    """

    text: NotRequired[str]
    """A text, which is embedded by the model."""
    vector: NotRequired[npt.ArrayLike]
    """A vector of float32[dim]."""
    threshold: NotRequired[float | None]
    """Least raw cosine similarity, from -1 to 1."""
    space: NotRequired[str | None]
    """The embedding space; the default one unless given."""
    recall: NotRequired[float | None]
    """Effort: about which share of the true nearest is to be found among many thousands of vectors,
    over 0 and up to 1; 0.98 unless given. How many are found is up to the data: 1 alone is a
    promise.
    """


class TextQuery(TypedDict):
    """Nodes whose text matches words (one of ``text`` and ``query``), ranked by BM25.

    Examples:
        >>> _ = db.create_chat().add_messages([{"content": "Rust is fast"}, {"content": "Bye"}])
        >>> [result.node.content for result in db.query(text_query={"text": "fastest rust"})]
        ['Rust is fast']
        >>> asked = {"query": 'rust AND ("is fast" OR perf*) NOT java'}
        >>> [result.node.content for result in db.query(text_query=asked)]
        ['Rust is fast']
    """

    text: NotRequired[str]
    """Words, of which a node needs any. No character has a meaning."""
    query: NotRequired[str]
    """A query in a syntax: ``rust lake`` (any), ``rust AND lake``, ``rust OR lake``, ``rust NOT
    lake``, ``+must -not``, ``"a phrase"``, ``perf*`` (words that begin so), ``colour~1`` (at most
    so many edits away, 1 or 2), and parentheses. ``AND`` binds tighter than ``OR``, and ``OR``
    tighter than words side by side. Words in it are compared by their stems, as in ``text``."""
    k1: NotRequired[float | None]
    """How much further occurrences of a word count: 0 (not at all) to 1,000; 0.9 unless given."""
    b: NotRequired[float | None]
    """How much long texts are held back, 0 to 1; 0.4 unless given."""


class Rank(TypedDict, total=False):
    """How results are ranked.

    Examples:
        >>> from datetime import UTC, datetime, timedelta
        >>> now = datetime.now(UTC)
        >>> chat = db.create_chat()
        >>> _ = chat.add_message("Rust then", timestamp=now - timedelta(days=365))
        >>> _ = chat.add_message("Rust now", timestamp=now)
        >>> lately = {"recency_half_life": timedelta(days=7), "neighbors": 0.0}
        >>> [r.node.content for r in db.query(text_query={"text": "rust"}, rank=lately)]
        ['Rust now', 'Rust then']
    """

    fusion: Literal["weighted", "rrf"]
    """``"weighted"`` (the default) adds the scores of the legs, each scaled to 0…1 over its best
    candidates; ``"rrf"`` adds 1 / (60 + rank) instead (Cormack, Clarke and Büttcher, 2009)."""
    text: float
    """Weight of the text leg, 0.5 unless given."""
    semantic: float
    """Weight of the semantic leg, 0.5 unless given."""
    graph: float
    """Weight of closeness in the graph, 1 / (1 + hops); 0 unless given."""
    activation: float
    """Weight of the activation that spreads over the graph from the three best results of the other
    legs, as in `EmbeddedDB.recall`; 0 unless given. With 1 beside ``{"text": 0, "semantic": 0,
    "neighbors": 0}`` it alone gives the order."""
    neighbors: float
    """Share of its score that a message lends the messages before and after it, a third of that
    to the next but one. 0.3 unless given where words and meaning are fused by weight, else 0."""
    recency_half_life: float | timedelta
    """Time in which a score halves, in seconds, counted from ``timestamp`` or else from
    ``created_at``."""
    mmr: float
    """Diversity from 0 to 1: what results lose by likeness to those before them (maximal marginal
    relevance: Carbonell and Goldstein, 1998). Such results have no further pages."""


Order = Literal["asc", "desc"]

OrderKey = str | Expression[Any] | tuple[str | Expression[Any], Order]
"""A property, by name or as a field of a model, the least first; or a pair with the direction."""

Reflex = bool | Literal["near"]
"""Whether a query may be answered from what it found before: ``True`` for the same query,
``"near"`` also for one whose words differ hardly."""

Rerank = Callable[["Sequence[Result]"], Sequence[float]]
"""Gives one number per result; the greatest comes first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvergedQuery:
    """One query over properties, graph, text and vectors.

    Args:
        structural_filters: conditions on properties; all have to hold (see `Filter`). Dotted
            names reach into dict properties. Times have to carry a time zone.
        graph_filter: graph reach (see `GraphFilter`).
        semantic_query: similarity to a text or a vector of float32[dim] (see `SemanticQuery`).
        text_query: full text (see `TextQuery`).
        labels: only nodes with one of these labels.
        order_by: properties, each a name, ``(name, "asc" | "desc")``, or a field such as
            ``Person.age`` or ``Person.age.desc()``, for queries without semantic and text
            legs; what lacks the property comes last.
        limit: most results, 1 to 10,000.
        rank: how results are ranked (see `Rank`); None takes the defaults.
        wait: seconds to wait for embeddings that matching nodes do not have yet.
        timeout: seconds the query may take.
        explain: give the plan with the results.
        exact: compare all vectors, so that none of the nearest is missed.

    Attributes:
        native: the checked form, with the vector as float32[dim]; not to be changed.

    Raises:
        InvalidQuery: a field is malformed, or the query is empty or contradicts itself.
        NonFiniteVector: the vector holds NaN or an infinity.

    Examples:
        >>> from embedded_db import ConvergedQuery
        >>> query = ConvergedQuery(text_query={"text": "rust"}, labels=["Message"], limit=5)
        >>> query
        ConvergedQuery(text_query={'text': 'rust'}, labels=['Message'], limit=5)
        >>> _ = db.create_chat().add_message("Rust is fast")
        >>> [result.node.content for result in db.execute_query(query)]
        ['Rust is fast']
        >>> ConvergedQuery()
        Traceback (most recent call last):
        ...
        embedded_db.errors.InvalidQuery: ...
    """

    structural_filters: Sequence[Filter] = ()
    graph_filter: GraphFilter | None = None
    semantic_query: SemanticQuery | None = None
    text_query: TextQuery | None = None
    labels: Sequence[str] | None = None
    order_by: Sequence[OrderKey] = ()
    limit: int = 10
    rank: Rank | None = None
    wait: float | None = None
    timeout: float | None = None
    explain: bool = False
    exact: bool = False
    native: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        native = native_query(**{name: getattr(self, name) for name in FIELDS})
        for name in FIELDS:
            if name in native:
                object.__setattr__(self, name, native[name])
        object.__setattr__(self, "native", native)

    def to_dict(self) -> dict[str, Any]:
        """Give the query as plain values: dicts, lists, numbers, texts and datetimes.

        Parts left at their defaults are absent, ``limit`` is always there. `from_dict` makes an
        equal query of it.

        Examples:
            >>> ConvergedQuery(text_query={"text": "rust"}).to_dict()
            {'text_query': {'text': 'rust'}, 'limit': 10}
        """
        return cast("dict[str, Any]", plain(self.native))

    @classmethod
    def from_dict(cls, query: Mapping[str, Any]) -> "ConvergedQuery":
        """Make a query of what `to_dict` gave.

        Args:
            query: a dict as `to_dict` gives it.

        Raises:
            InvalidQuery: an unknown field (the nearest known one is named), or as `ConvergedQuery`.

        Examples:
            >>> query = ConvergedQuery(text_query={"text": "rust"})
            >>> ConvergedQuery.from_dict(query.to_dict()) == query
            True
        """
        if not isinstance(query, Mapping):
            raise wrong("query", query, "a dict as to_dict() gives it")
        check_fields("query", query, FIELDS)
        return cls(**query)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConvergedQuery):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        # Of parts that equal queries have alike: 1, 1.0 and True are equal as values.
        return hash((self.limit, *self.native))

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={shown(value)}" for name, value in self.to_dict().items())
        return f"ConvergedQuery({parts})"


FIELDS: Final = (
    "structural_filters",
    "graph_filter",
    "semantic_query",
    "text_query",
    "labels",
    "order_by",
    "limit",
    "rank",
    "wait",
    "timeout",
    "explain",
    "exact",
)
