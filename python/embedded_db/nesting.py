"""How deep conditions and values may be nested, found out without going down into them."""

from collections.abc import Mapping
from typing import Any, Final

from .errors import InvalidQuery

__all__ = ["MAX_NESTING", "refuse_deep"]

MAX_NESTING: Final = 64


def refuse_deep(condition: Mapping[str, Any]) -> None:
    """Refuse a condition that is nested deeper than any query takes, whatever else is wrong.

    Raises:
        InvalidQuery: it is, or a value in it is; one that holds itself is nested without an end.
    """
    values: list[object] = []
    level: list[object] = [condition]
    for _ in range(MAX_NESTING + 1):
        within: list[object] = []
        for each in level:
            if isinstance(each, Mapping):
                values.append(each.get("value"))
                for inner in (each.get("any"), each.get("all"), [each.get("not")]):
                    within += inner if isinstance(inner, list | tuple) else []
        level = _distinct(within)
    if any(isinstance(each, Mapping) for each in level):
        raise InvalidQuery(
            f"a condition is nested deeper than {MAX_NESTING} levels", hint="Flatten it"
        )
    for _ in range(MAX_NESTING + 1):
        within = []
        for each in values:
            if isinstance(each, list | tuple | Mapping):
                within += each.values() if isinstance(each, Mapping) else each
        values = _distinct(within)
    if any(isinstance(each, list | tuple | Mapping) for each in values):
        raise InvalidQuery(
            f"a value in a condition is nested deeper than {MAX_NESTING} levels",
            hint="Flatten the value",
        )


def _distinct(objects: list[object]) -> list[object]:
    """Give each object once: one may stand in many places, which would multiply."""
    return list({id(each): each for each in objects}.values())
