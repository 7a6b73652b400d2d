"""The converged query as a plain value, and its results.

A query has four legs: property filters and graph reach restrict, semantic similarity and full
text rank. Each may be left out. `ConvergedQuery` checks a query once, by itself, so that it can
be kept, sent or run many times; `Results` shows for every node what each leg said.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, TypedDict, cast, overload

import numpy as np
import numpy.typing as npt

from .errors import InvalidQuery, NonFiniteVector, nearest

if TYPE_CHECKING:
    from ._native import Hit, Hits
    from .models import AnyNode, Owner

__all__ = [
    "ConvergedQuery",
    "Filter",
    "GraphFilter",
    "Rank",
    "Result",
    "Results",
    "SemanticQuery",
    "TextQuery",
]

MAX_LIMIT: Final = 10_000
MAX_NESTING: Final = 64
INT64: Final = range(-(1 << 63), 1 << 63)

Direction = Literal["out", "in", "both", "any"]
"""Which way edges are followed; ``"any"`` is another word for ``"both"``."""

OPERATORS: Final = (
    "Equals",
    "NotEquals",
    "GreaterThan",
    "GreaterThanOrEqual",
    "LessThan",
    "LessThanOrEqual",
    "Between",
    "In",
    "NotIn",
    "Contains",
    "StartsWith",
    "EndsWith",
    "Exists",
    "NotExists",
)

Filter = Mapping[str, Any]
"""A condition ``{"property", "operator", "value"}``, or ``{"any": […]}``, ``{"all": […]}``,
``{"not": …}`` of conditions. ``Exists`` and ``NotExists`` have no value, ``Between`` has
``[low, high]`` (both included), ``In`` and ``NotIn`` have a list."""


class GraphFilter(TypedDict):
    """Nodes within ``min_hops`` to ``max_hops`` of the start nodes."""

    start: Any
    """An id, a model object, or a list of these."""
    edge_types: NotRequired[Sequence[str] | str | None]
    direction: NotRequired[Direction]
    min_hops: NotRequired[int]
    max_hops: NotRequired[int]
    exclude: NotRequired[bool]
    """Keep what is not reached instead."""


class SemanticQuery(TypedDict):
    """Nodes whose embedding is near a text or a vector (one of the two)."""

    text: NotRequired[str]
    vector: NotRequired[npt.ArrayLike]
    threshold: NotRequired[float | None]
    """Least raw cosine similarity, from -1 to 1."""
    space: NotRequired[str | None]
    recall: NotRequired[float | None]
    """Effort: the share of the true nearest that has to be found, over 0 and up to 1."""


class TextQuery(TypedDict):
    """Nodes whose text matches words, ranked by BM25."""

    text: str


class Rank(TypedDict, total=False):
    """Weights of the legs in the score, and the share adjacent messages lend each other."""

    text: float
    semantic: float
    graph: float
    neighbors: float


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
        limit: most results, 1 to 10,000.
        rank: weights of the legs (see `Rank`); None takes the defaults.
        wait: seconds to wait for embeddings that matching nodes do not have yet.
        timeout: seconds the query may take.
        explain: give the plan with the results.
        exact: search vectors exactly whatever the index offers.

    Attributes:
        native: the checked form, with the vector as float32[dim]; not to be changed.

    Raises:
        InvalidQuery: a field is malformed, or the query is empty or contradicts itself.
        NonFiniteVector: the vector holds NaN or an infinity.
    """

    structural_filters: Sequence[Filter] = ()
    graph_filter: GraphFilter | None = None
    semantic_query: SemanticQuery | None = None
    text_query: TextQuery | None = None
    labels: Sequence[str] | None = None
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
        """
        return cast("dict[str, Any]", _plain(self.native))

    @classmethod
    def from_dict(cls, query: Mapping[str, Any]) -> "ConvergedQuery":
        """Make a query of what `to_dict` gave.

        Raises:
            InvalidQuery: an unknown field (the nearest known one is named), or as `ConvergedQuery`.
        """
        if not isinstance(query, Mapping):
            raise _wrong("query", query, "a dict as to_dict() gives it")
        _fields("query", query, FIELDS)
        return cls(**query)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConvergedQuery):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={_short(value)}" for name, value in self.to_dict().items())
        return f"ConvergedQuery({parts})"


FIELDS: Final = (
    "structural_filters",
    "graph_filter",
    "semantic_query",
    "text_query",
    "labels",
    "limit",
    "rank",
    "wait",
    "timeout",
    "explain",
    "exact",
)


def native_query(
    *,
    structural_filters: object,
    graph_filter: object,
    semantic_query: object,
    text_query: object,
    labels: object,
    limit: object,
    rank: object,
    wait: object,
    timeout: object,
    explain: object,
    exact: object,
) -> dict[str, Any]:
    """Check the parts of a query and give the dict that native code takes.

    Raises:
        InvalidQuery: a field is malformed, or the query is empty or contradicts itself.
        NonFiniteVector: the vector holds NaN or an infinity.
    """
    native: dict[str, Any] = {}
    filters = _filters("structural_filters", structural_filters, 0)
    if filters:
        native["structural_filters"] = filters
    if graph_filter is not None:
        native["graph_filter"] = _graph(graph_filter)
    if semantic_query is not None:
        native["semantic_query"] = _semantic(semantic_query)
    if text_query is not None:
        native["text_query"] = _text(text_query)
    if labels is not None:
        native["labels"] = _names("labels", labels)
    if not native:
        raise InvalidQuery(
            "the query is empty: it has no filter, no leg and no labels",
            hint="Give structural_filters, graph_filter, semantic_query, text_query or labels",
        )
    native["limit"] = _whole("limit", limit, 1, MAX_LIMIT)
    if rank is not None:
        native["rank"] = _rank(rank)
    if wait is not None:
        native["wait"] = _number("wait", wait, least=0.0)
    if timeout is not None:
        native["timeout"] = _number("timeout", timeout, least=0.0)
    if _flag("explain", explain):
        native["explain"] = True
    if _flag("exact", exact):
        native["exact"] = True
    return native


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}…"


def _wrong(where: str, value: object, expected: str) -> InvalidQuery:
    return InvalidQuery(f"{where} is {_short(value)}", hint=f"It has to be {expected}")


def _fields(where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidQuery(f"{where} has no field {name!r}", hint=nearest(name, known))


def _mapping(where: str, given: object, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise _wrong(where, given, f"a dict with {', '.join(map(repr, known))}")
    _fields(where, given, known)
    return given


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, value, "True or False")
    return value


def _whole(where: str, value: object, least: int, most: int) -> int:
    if isinstance(value, np.integer):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(where, value, f"a whole number from {least} to {most}")
    return value


def _number(where: str, value: object, *, least: float, most: float = math.inf) -> float:
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not least <= value <= most
    ):
        bounds = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of {least:g} or more"
        raise _wrong(where, value, f"a number {bounds}")
    return float(value)


def _string(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, value, "a text that is not empty")
    return value


def _names(where: str, value: object) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset) or not names:
        raise _wrong(where, value, "a list of names that is not empty")
    return [_string(f"{where}[{at}]", name) for at, name in enumerate(names)]


def _filters(where: str, given: object, depth: int) -> list[dict[str, Any]]:
    if not isinstance(given, list | tuple):
        raise _wrong(where, given, "a list of conditions")
    return [_filter(f"{where}[{at}]", item, depth) for at, item in enumerate(given)]


def _filter(where: str, given: object, depth: int) -> dict[str, Any]:
    if depth > MAX_NESTING:
        raise InvalidQuery(
            f"{where} is nested deeper than {MAX_NESTING} levels", hint="Flatten the conditions"
        )
    if not isinstance(given, Mapping):
        raise _wrong(where, given, 'a condition such as {"property": …, "operator": …, "value": …}')
    for combination in ("any", "all"):
        if combination in given:
            _fields(where, given, (combination,))
            inner = _filters(f"{where}.{combination}", given[combination], depth + 1)
            if not inner:
                raise _wrong(f"{where}.{combination}", given[combination], "a list of conditions")
            return {combination: inner}
    if "not" in given:
        _fields(where, given, ("not",))
        return {"not": _filter(f"{where}.not", given["not"], depth + 1)}
    _fields(where, given, ("property", "operator", "value", "any", "all", "not"))
    name = _string(f"{where}.property", given.get("property"))
    operator = given.get("operator")
    if operator not in OPERATORS:
        raise InvalidQuery(
            f"{where}.operator is {operator!r}", hint=nearest(str(operator), OPERATORS)
        )
    condition: dict[str, Any] = {"property": name, "operator": operator}
    if operator in ("Exists", "NotExists"):
        if "value" in given:
            raise _wrong(f"{where}.value", given["value"], f"left out, for {operator} takes none")
        return condition
    if "value" not in given:
        raise InvalidQuery(f"{where} has no value", hint=f"{operator} compares with one: add it")
    condition["value"] = _operand(f"{where}.value", operator, given["value"])
    return condition


def _operand(where: str, operator: str, value: object) -> Any:
    if operator == "Between":
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise _wrong(where, value, "[low, high]")
        return [_value(f"{where}[{at}]", item) for at, item in enumerate(value)]
    if operator in ("In", "NotIn"):
        if not isinstance(value, list | tuple | set | frozenset):
            raise _wrong(where, value, "a list of values")
        return [_value(f"{where}[{at}]", item) for at, item in enumerate(value)]
    if operator in ("StartsWith", "EndsWith") and not isinstance(value, str):
        raise _wrong(where, value, "a text")
    return _value(where, value)


def _value(where: str, value: object, depth: int = 0) -> Any:
    """Check a value that a property may have, and give it as native code takes it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | float | str | bytes):
        return value
    if isinstance(value, int):
        if value not in INT64:
            raise _wrong(where, value, "within 64 bits")
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _wrong(where, value, "a time with a time zone, such as datetime.now(UTC)")
        return value
    if depth >= MAX_NESTING:
        raise InvalidQuery(
            f"{where} is nested deeper than {MAX_NESTING} levels", hint="Flatten the value"
        )
    if isinstance(value, list | tuple):
        return [_value(f"{where}[{at}]", item, depth + 1) for at, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {
            str(name): _value(f"{where}.{name}", item, depth + 1) for name, item in value.items()
        }
    raise _wrong(
        where, value, "None, bool, int, float, str, bytes, datetime, or a list or dict of these"
    )


def _ids(where: str, start: object) -> list[str]:
    items: Iterable[object] = start if isinstance(start, list | tuple | set) else [start]
    ids = []
    for at, item in enumerate(items):
        identity = item if isinstance(item, str) else getattr(item, "id", None)
        if not isinstance(identity, str) or not identity:
            raise _wrong(f"{where}[{at}]", item, "an id or an object with one")
        ids.append(identity)
    if not ids:
        raise _wrong(where, start, "at least one id")
    return ids


def _graph(given: object) -> dict[str, Any]:
    where = "graph_filter"
    known = ("start", "edge_types", "direction", "min_hops", "max_hops", "exclude")
    graph = _mapping(where, given, known)
    if "start" not in graph:
        raise InvalidQuery(f"{where} has no start", hint="Name the ids to start from")
    native: dict[str, Any] = {"start": _ids(f"{where}.start", graph["start"])}
    if graph.get("edge_types") is not None:
        native["edge_types"] = _names(f"{where}.edge_types", graph["edge_types"])
    native["direction"] = direction(graph.get("direction", "any"), f"{where}.direction")
    native["min_hops"] = _whole(f"{where}.min_hops", graph.get("min_hops", 1), 0, 1000)
    native["max_hops"] = _whole(f"{where}.max_hops", graph.get("max_hops", 1), 0, 1000)
    if native["min_hops"] > native["max_hops"]:
        raise InvalidQuery(
            f"{where}.min_hops is {native['min_hops']}, more than max_hops {native['max_hops']}",
            hint="Raise max_hops or lower min_hops",
        )
    if _flag(f"{where}.exclude", graph.get("exclude", False)):
        native["exclude"] = True
    return native


def _semantic(given: object) -> dict[str, Any]:
    where = "semantic_query"
    query = _mapping(where, given, ("text", "vector", "threshold", "space", "recall"))
    if ("text" in query) == ("vector" in query):
        given_both = "text" in query
        problem = "both a text and a vector" if given_both else "neither a text nor a vector"
        raise InvalidQuery(f"{where} has {problem}", hint="Give one of the two")
    native: dict[str, Any] = {}
    if "text" in query:
        native["text"] = _string(f"{where}.text", query["text"])
    else:
        native["vector"] = vector(query["vector"], f"{where}.vector")
    if query.get("threshold") is not None:
        native["threshold"] = _number(
            f"{where}.threshold", query["threshold"], least=-1.0, most=1.0
        )
    if query.get("space") is not None:
        native["space"] = _string(f"{where}.space", query["space"])
    if query.get("recall") is not None:
        recall = _number(f"{where}.recall", query["recall"], least=0.0, most=1.0)
        if recall == 0.0:
            raise _wrong(f"{where}.recall", recall, "over 0 and up to 1")
        native["recall"] = recall
    return native


def _text(given: object) -> dict[str, Any]:
    query = _mapping("text_query", given, ("text",))
    return {"text": _string("text_query.text", query.get("text"))}


def _rank(given: object) -> dict[str, float]:
    rank = _mapping("rank", given, ("text", "semantic", "graph", "neighbors"))
    if not rank:
        raise _wrong("rank", given, "left out, or weights such as {'text': 0.5, 'semantic': 0.5}")
    return {name: _number(f"rank.{name}", weight, least=0.0) for name, weight in rank.items()}


def direction(value: str, where: str = "direction") -> str:
    """Check a direction and give the word that native code knows.

    Raises:
        InvalidQuery: it is none of ``out``, ``in``, ``both`` and ``any``.
    """
    if value == "any":
        return "both"
    if value in ("out", "in", "both"):
        return value
    raise InvalidQuery(
        f"{where} is {value!r}", hint=nearest(str(value), ("out", "in", "both", "any"))
    )


def vector(value: Any, where: str = "vector") -> npt.NDArray[np.float32]:
    """Take a vector as contiguous float32[dim].

    Raises:
        InvalidQuery: it is not one-dimensional numbers, or is empty.
        NonFiniteVector: it holds NaN or an infinity.
    """
    try:
        array = np.ascontiguousarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise _wrong(where, value, "a list or array of numbers") from error
    if array.ndim != 1 or array.size == 0 or np.ndim(value) != 1:
        raise InvalidQuery(
            f"{where} has the shape {np.shape(value)}", hint="It has to be one row of numbers"
        )
    finite = np.isfinite(array)
    if not finite.all():
        at = int(np.argmin(finite))
        raise NonFiniteVector(
            f"{where}[{at}] is {array[at]}", hint="Every number has to be finite", index=at
        )
    if array is value:
        array = array.copy()
    array.setflags(write=False)
    return array


class Result:
    """One found node with what each leg said about it."""

    __slots__ = ("_hit", "_node", "_owner")

    def __init__(self, owner: "Owner", hit: "Hit") -> None:
        self._owner = owner
        self._hit = hit
        self._node: AnyNode | None = None

    @property
    def node(self) -> "AnyNode":
        """The node: a `Message`, `Chat`, `Entity` or `Summary`, or a plain `Node`."""
        if self._node is None:
            from .models import wrap

            self._node = wrap(self._owner, self._hit.node)
        return self._node

    @property
    def score(self) -> float:
        """The fused score the results are ordered by."""
        return self._hit.score

    @property
    def similarity_score(self) -> float | None:
        """Raw cosine similarity, from -1 to 1; None without an embedding or a semantic leg."""
        return self._hit.similarity_score

    @property
    def text_score(self) -> float | None:
        """Raw BM25 score; None without a match or a text leg."""
        return self._hit.text_score

    @property
    def graph_distance(self) -> int | None:
        """Hops from the nearest start node; None without a graph leg."""
        return self._hit.graph_distance

    @property
    def ranks(self) -> dict[str, int]:
        """The place, from 1, that each ranking leg gave this node."""
        return self._hit.ranks

    @property
    def shares(self) -> dict[str, float]:
        """What every part gives to the score, by the name of the part; they add up to it."""
        return self._hit.shares

    def to_dict(self) -> dict[str, Any]:
        """Give the node's id, labels and properties and every score as plain values."""
        node = self._hit.node
        return {
            "id": node.id,
            "labels": node.labels,
            "properties": node.properties,
            "score": self.score,
            "similarity_score": self.similarity_score,
            "text_score": self.text_score,
            "graph_distance": self.graph_distance,
            "ranks": self.ranks,
            "shares": self.shares,
        }

    def __repr__(self) -> str:
        legs = [
            f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={value}"
            for name, value in (
                ("similarity_score", self.similarity_score),
                ("text_score", self.text_score),
                ("graph_distance", self.graph_distance),
            )
            if value is not None
        ]
        return f"Result({', '.join([f'score={self.score:.3f}', *legs])}, node={self.node!r})"


class Results(Sequence[Result]):
    """The results of a query, best first: a sequence of `Result`."""

    __slots__ = ("_hits", "_owner")

    def __init__(self, owner: "Owner", hits: "Hits") -> None:
        self._owner = owner
        self._hits = hits

    @property
    def pending(self) -> int:
        """How many matching nodes had no embedding yet, so that similarity could not see them."""
        return self._hits.pending

    @property
    def plan(self) -> dict[str, Any] | None:
        """How the query was carried out, when ``explain=True`` asked for it."""
        return self._hits.plan

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        size = len(self)
        at = index + size if index < 0 else index
        if not 0 <= at < size:
            raise IndexError(f"result {index} of {size}")
        return Result(self._owner, self._hits[at])

    def __iter__(self) -> Iterator[Result]:
        for hit in self._hits:
            yield Result(self._owner, hit)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Give every result as plain values (see `Result.to_dict`)."""
        return [result.to_dict() for result in self]

    def __repr__(self) -> str:
        rows = "".join(f"\n  {result!r}" for result in self[:10])
        more = f"\n  … {len(self) - 10} more" if len(self) > 10 else ""
        pending = f", {self.pending} pending" if self.pending else ""
        return f"Results({len(self)} found{pending}){rows}{more}"

    def _repr_html_(self) -> str:
        import html

        def cell(value: object) -> str:
            shown = f"{value:.3f}" if isinstance(value, float) else "" if value is None else value
            return f"<td>{html.escape(str(shown))}</td>"

        head = "".join(
            f"<th>{name}</th>" for name in ("score", "similarity", "text", "distance", "node")
        )
        rows = "".join(
            "<tr>"
            + cell(result.score)
            + cell(result.similarity_score)
            + cell(result.text_score)
            + cell(result.graph_distance)
            + cell(repr(result.node))
            + "</tr>"
            for result in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
