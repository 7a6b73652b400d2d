"""The parts of a query, checked one by one, as the dict that native code takes.

Every refusal names the part by its path, such as ``graph_filter.steps[1].max_hops``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ._native import check_text_query
from .arrays import float32
from .errors import InvalidQuery, NonFiniteVector, nearest, shown
from .fields import Expression
from .nesting import MAX_NESTING

__all__ = [
    "check_fields",
    "choice",
    "direction",
    "flag",
    "ids",
    "moment",
    "names",
    "native_query",
    "number",
    "plain",
    "vector",
    "whole",
    "wrong",
]

MAX_LIMIT: Final = 10_000
INT64: Final = range(-(1 << 63), 1 << 63)
SEVERAL: Final = (list, tuple, set, frozenset)

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


def native_query(
    *,
    structural_filters: object,
    graph_filter: object,
    semantic_query: object,
    text_query: object,
    labels: object,
    order_by: object,
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
        native["labels"] = names("labels", labels)
    if not native:
        raise InvalidQuery(
            "the query is empty: it has no filter, no leg and no labels",
            hint="Give structural_filters, graph_filter, semantic_query, text_query or labels",
        )
    order = _order("order_by", order_by)
    if order:
        for leg in ("semantic_query", "text_query"):
            if leg in native:
                raise InvalidQuery(
                    f"order_by and {leg} are both given",
                    hint="A ranked query is ordered by its score: leave one of them out",
                )
        native["order_by"] = order
    native["limit"] = whole("limit", limit, 1, MAX_LIMIT)
    if rank is not None:
        native["rank"] = _rank(rank)
    if wait is not None:
        native["wait"] = number("wait", wait, least=0.0)
    if timeout is not None:
        native["timeout"] = number("timeout", timeout, least=0.0)
    if flag("explain", explain):
        native["explain"] = True
    if flag("exact", exact):
        native["exact"] = True
    return native


def plain(value: Any) -> Any:
    """Give a part of a checked query as lists, dicts and single values."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def wrong(where: str, value: object, expected: str) -> InvalidQuery:
    """Make the error that names a part, what it is, and what it has to be."""
    return InvalidQuery(f"{where} is {shown(value)}", hint=f"It has to be {expected}")


def check_fields(where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse a name that is not known.

    Raises:
        InvalidQuery: there is one; the nearest known name is in its hint.
    """
    for name in given:
        if name not in known:
            raise InvalidQuery(
                f"{where} has no field {shown(name)}", hint=nearest(shown(name), known)
            )


def choice(where: str, value: object, known: Sequence[str]) -> str:
    """Take one of some words.

    Raises:
        InvalidQuery: it is none of them; the nearest is in its hint.
    """
    if isinstance(value, str) and value in known:
        return value
    raise InvalidQuery(f"{where} is {shown(value)}", hint=nearest(shown(value), known))


def number(where: str, value: object, *, least: float, most: float = math.inf) -> float:
    """Take a finite number, NumPy's too.

    Raises:
        InvalidQuery: it is none, or out of bounds.
    """
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not _finite(value)
        or not least <= value <= most
    ):
        bounds = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of {least:g} or more"
        raise wrong(where, value, f"a number {bounds}")
    return float(value)


def _mapping(where: str, given: object, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise wrong(where, given, f"a dict with {', '.join(map(repr, known))}")
    check_fields(where, given, known)
    return given


def flag(where: str, value: object) -> bool:
    """Take True or False.

    Raises:
        InvalidQuery: it is neither.
    """
    if not isinstance(value, bool):
        raise wrong(where, value, "True or False")
    return value


def whole(where: str, value: object, least: int, most: int) -> int:
    """Take a whole number, NumPy's too.

    Raises:
        InvalidQuery: it is none, or out of bounds.
    """
    if isinstance(value, np.integer):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise wrong(where, value, f"a whole number from {least} to {most}")
    return value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that is no float
        return False


def _string(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise wrong(where, value, "a text that is not empty")
    return value


def names(where: str, value: object) -> list[str]:
    """Take a name or several.

    Raises:
        InvalidQuery: one is no text or empty, or there is none.
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, SEVERAL) or not given:
        raise wrong(where, value, "a list of names that is not empty")
    return [_string(f"{where}[{at}]", name) for at, name in enumerate(given)]


def _filters(where: str, given: object, depth: int) -> list[dict[str, Any]]:
    if not isinstance(given, list | tuple):
        raise wrong(where, given, "a list of conditions")
    return [_filter(f"{where}[{at}]", item, depth) for at, item in enumerate(given)]


def _filter(where: str, given: object, depth: int) -> dict[str, Any]:
    if depth > MAX_NESTING:
        raise InvalidQuery(
            f"{where} is nested deeper than {MAX_NESTING} levels", hint="Flatten the conditions"
        )
    if not isinstance(given, Mapping):
        raise wrong(where, given, 'a condition such as {"property": …, "operator": …, "value": …}')
    for combination in ("any", "all"):
        if combination in given:
            check_fields(where, given, (combination,))
            inner = _filters(f"{where}.{combination}", given[combination], depth + 1)
            if not inner:
                raise wrong(f"{where}.{combination}", given[combination], "a list of conditions")
            return {combination: inner}
    if "not" in given:
        check_fields(where, given, ("not",))
        return {"not": _filter(f"{where}.not", given["not"], depth + 1)}
    check_fields(where, given, ("property", "operator", "value", "any", "all", "not"))
    name = _string(f"{where}.property", given.get("property"))
    operator = choice(f"{where}.operator", given.get("operator"), OPERATORS)
    condition: dict[str, Any] = {"property": name, "operator": operator}
    if operator in ("Exists", "NotExists"):
        if "value" in given:
            raise wrong(f"{where}.value", given["value"], f"left out, for {operator} takes none")
        return condition
    if "value" not in given:
        raise InvalidQuery(f"{where} has no value", hint=f"{operator} compares with one: add it")
    condition["value"] = _operand(f"{where}.value", operator, given["value"])
    return condition


def _operand(where: str, operator: str, value: object) -> Any:
    if operator == "Between":
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise wrong(where, value, "[low, high]")
        return [_value(f"{where}[{at}]", item) for at, item in enumerate(value)]
    if operator in ("In", "NotIn"):
        if not isinstance(value, SEVERAL):
            raise wrong(where, value, "a list of values")
        if operator == "In" and not value:
            raise wrong(where, value, "a list of at least one value: nothing could match")
        return [_value(f"{where}[{at}]", item) for at, item in enumerate(value)]
    if operator in ("StartsWith", "EndsWith") and not isinstance(value, str):
        raise wrong(where, value, "a text")
    return _value(where, value)


def _value(where: str, value: object, depth: int = 0) -> Any:
    """Check a value that a property may have, and give it as native code takes it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | float | str | bytes):
        return value
    if isinstance(value, int):
        if value not in INT64:
            raise wrong(where, value, "within 64 bits")
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise wrong(where, value, "a time with a time zone, such as datetime.now(UTC)")
        return value
    if depth >= MAX_NESTING:
        raise InvalidQuery(
            f"{where} is nested deeper than {MAX_NESTING} levels", hint="Flatten the value"
        )
    if isinstance(value, list | tuple):
        return [_value(f"{where}[{at}]", item, depth + 1) for at, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {
            _name(where, name): _value(f"{where}.{name}", item, depth + 1)
            for name, item in _pairs(where, value)
        }
    raise wrong(
        where, value, "None, bool, int, float, str, bytes, datetime, or a list or dict of these"
    )


def _name(where: str, name: object) -> str:
    if not isinstance(name, str):
        raise wrong(where, name, "a dict whose names are texts, as stored ones are")
    return name


def _pairs(where: str, given: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Take the items of a mapping as they are now."""
    try:
        items = dict.items(given) if isinstance(given, dict) else given.items()
        return [(name, item) for name, item in items]
    except (TypeError, ValueError) as error:
        raise wrong(where, given, "a mapping whose items are pairs") from error


def _order(where: str, given: object) -> list[tuple[str, str]]:
    if not isinstance(given, list | tuple):
        raise wrong(where, given, 'a list such as [("timestamp", "desc")]')
    order = []
    for at, item in enumerate(given):
        item = item.asc() if isinstance(item, Expression) else item
        if isinstance(item, str) and item.startswith("-"):
            raise wrong(f"{where}[{at}]", item, f'({item[1:]!r}, "desc") for the greatest first')
        name, way = (item, "asc") if isinstance(item, str) else _pair(f"{where}[{at}]", item)
        name = name.name if isinstance(name, Expression) else name
        way = choice(f"the direction of {where}[{at}]", way, ("asc", "desc"))
        order.append((_string(f"{where}[{at}]", name), way))
    return order


def _pair(where: str, item: object) -> tuple[object, object]:
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise wrong(where, item, 'a name, a field, or a pair such as ("timestamp", "desc")')
    return item[0], item[1]


def ids(where: str, start: object) -> list[str]:
    """Take an id, an object that has one, or several of these.

    Raises:
        InvalidQuery: one is neither, or there is none.
    """
    items: Iterable[object] = start if isinstance(start, SEVERAL) else [start]
    found = []
    for at, item in enumerate(items):
        identity = item if isinstance(item, str) else getattr(item, "id", None)
        if not isinstance(identity, str) or not identity:
            raise wrong(f"{where}[{at}]", item, "an id or an object with one")
        found.append(identity)
    if not found:
        raise wrong(where, start, "at least one id")
    return found


EXPANSION: Final = (
    "edge_types",
    "direction",
    "min_hops",
    "max_hops",
    "labels",
    "edge_filters",
)


def _graph(given: object) -> dict[str, Any]:
    where = "graph_filter"
    graph = _mapping(
        where, given, ("start", "steps", "exclude", "valid_at", "known_at", *EXPANSION)
    )
    if "start" not in graph:
        raise InvalidQuery(f"{where} has no start", hint="Name the ids to start from")
    native: dict[str, Any] = {"start": ids(f"{where}.start", graph["start"])}
    if graph.get("steps") is None:
        native.update(_expansion(where, {name: graph[name] for name in EXPANSION if name in graph}))
    else:
        beside = [name for name in EXPANSION if name in graph]
        if beside:
            raise InvalidQuery(
                f"{where} has both steps and {beside[0]}", hint=f"Move {beside[0]} into a step"
            )
        steps = graph["steps"]
        if not isinstance(steps, list | tuple) or not steps:
            raise wrong(f"{where}.steps", steps, "a list of steps that is not empty")
        native["steps"] = [
            _expansion(f"{where}.steps[{at}]", _mapping(f"{where}.steps[{at}]", step, EXPANSION))
            for at, step in enumerate(steps)
        ]
    for at in ("valid_at", "known_at"):
        if graph.get(at) is not None:
            native[at] = moment(f"{where}.{at}", graph[at])
    if flag(f"{where}.exclude", graph.get("exclude", False)):
        native["exclude"] = True
    return native


def _expansion(where: str, step: Mapping[str, Any]) -> dict[str, Any]:
    native: dict[str, Any] = {}
    for field in ("edge_types", "labels"):
        if step.get(field) is not None:
            native[field] = names(f"{where}.{field}", step[field])
    native["direction"] = direction(step.get("direction", "any"), f"{where}.direction")
    native["min_hops"] = whole(f"{where}.min_hops", step.get("min_hops", 1), 0, 1000)
    most = step.get("max_hops", max(1, native["min_hops"]))
    native["max_hops"] = whole(f"{where}.max_hops", most, 0, 1000)
    if native["min_hops"] > native["max_hops"]:
        raise InvalidQuery(
            f"{where}.min_hops is {native['min_hops']}, more than max_hops {native['max_hops']}",
            hint="Raise max_hops or lower min_hops",
        )
    filters = _filters(f"{where}.edge_filters", step.get("edge_filters", ()), 0)
    if filters:
        native["edge_filters"] = filters
    return native


def moment(where: str, value: object) -> datetime:
    """Take a time with a time zone.

    Raises:
        InvalidQuery: it is none.
    """
    if not isinstance(value, datetime):
        raise wrong(where, value, "a datetime with a time zone, such as datetime.now(UTC)")
    _value(where, value)
    return value


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
        native["threshold"] = number(f"{where}.threshold", query["threshold"], least=-1.0, most=1.0)
    if query.get("space") is not None:
        native["space"] = _string(f"{where}.space", query["space"])
    if query.get("recall") is not None:
        recall = number(f"{where}.recall", query["recall"], least=0.0, most=1.0)
        if recall == 0.0:
            raise wrong(f"{where}.recall", recall, "over 0 and up to 1")
        native["recall"] = recall
    return native


def _text(given: object) -> dict[str, Any]:
    leg = _mapping("text_query", given, ("text", "query", "k1", "b"))
    if ("text" in leg) == ("query" in leg):
        problem = "both a text and a query" if "text" in leg else "neither a text nor a query"
        raise InvalidQuery(f"text_query has {problem}", hint="Give one of the two")
    native: dict[str, Any] = {}
    if "text" in leg:
        native["text"] = _string("text_query.text", leg["text"])
    else:
        native["query"] = _string("text_query.query", leg["query"])
        check_text_query(native["query"])
    if leg.get("k1") is not None:
        native["k1"] = number("text_query.k1", leg["k1"], least=0.0, most=1000.0)
    if leg.get("b") is not None:
        native["b"] = number("text_query.b", leg["b"], least=0.0, most=1.0)
    return native


def _rank(given: object) -> dict[str, Any]:
    weights = ("text", "semantic", "graph", "activation", "neighbors")
    rank = _mapping("rank", given, ("fusion", *weights, "recency_half_life", "mmr"))
    if not rank:
        raise wrong("rank", given, "left out, or weights such as {'text': 0.5, 'semantic': 0.5}")
    native: dict[str, Any] = {
        name: number(f"rank.{name}", rank[name], least=0.0) for name in weights if name in rank
    }
    if "fusion" in rank:
        native["fusion"] = choice("rank.fusion", rank["fusion"], ("weighted", "rrf"))
    if "recency_half_life" in rank:
        native["recency_half_life"] = _half_life(rank["recency_half_life"])
    if "mmr" in rank:
        native["mmr"] = number("rank.mmr", rank["mmr"], least=0.0, most=1.0)
    return native


def _half_life(value: object) -> float:
    where = "rank.recency_half_life"
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    seconds = number(where, seconds, least=0.0)
    if seconds == 0.0:
        raise wrong(where, value, "a timedelta or seconds, more than 0")
    return seconds


def direction(value: str, where: str = "direction") -> str:
    """Check a direction and give the word that native code knows.

    Raises:
        InvalidQuery: it is none of ``out``, ``in``, ``both`` and ``any``.
    """
    way = choice(where, value, ("out", "in", "both", "any"))
    return "both" if way == "any" else way


def vector(value: Any, where: str = "vector") -> npt.NDArray[np.float32]:
    """Take a vector as contiguous float32[dim].

    Raises:
        InvalidQuery: it is not one-dimensional numbers, or is empty.
        NonFiniteVector: it holds NaN or an infinity.
    """
    try:
        array = float32(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise wrong(where, value, "a list or array of numbers") from error
    if array.ndim != 1 or array.size == 0:
        raise InvalidQuery(
            f"{where} has the shape {array.shape}", hint="It has to be one row of numbers"
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
