"""What values the properties of built-in classes take: told by their annotations."""

from collections.abc import Callable
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

__all__ = ["described", "fitting"]

NAMES: Final = {
    str: ("a text", "texts"),
    int: ("a whole number", "whole numbers"),
    datetime: ("a datetime with a time zone", "datetimes with a time zone"),
    dict: ("a dict", "dicts"),
    NoneType: ("None", "None"),
}


def fitting(kind: Any) -> Callable[[object], bool]:
    """Give what tells whether a value fits an annotation.

    Args:
        kind: ``Any``, one of the plain types, a list of one, a dict, or a union of these.
    """
    if kind is Any:
        return lambda value: True
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        checks = [fitting(one) for one in inner]
        return lambda value: any(check(value) for check in checks)
    if origin is list:
        fits = fitting(inner[0])
        return lambda value: isinstance(value, list | tuple) and all(map(fits, value))
    plain = origin or kind
    if plain is int:  # in Python a bool is one
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    return lambda value: isinstance(value, plain)


def described(kind: Any) -> str:
    """Give an annotation in words: ``a list of dicts or None``."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(described, inner))
    if origin is list:
        return f"a list of {NAMES[get_origin(inner[0]) or inner[0]][1]}"
    return NAMES[origin or kind][0]
