"""Checks of arguments that callers without a type checker get wrong."""

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .errors import InvalidInput, is_one_of, nearest, shown

__all__ = [
    "choice_argument",
    "flag_argument",
    "names_argument",
    "natural_argument",
    "path_argument",
    "text_argument",
    "whole_argument",
]


def choice_argument(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of some words.

    Args:
        name: the argument, in an error.
        value: what was given.
        choices: the words.

    Raises:
        InvalidInput: it is none of them.
    """
    if not is_one_of(value, choices):
        raise InvalidInput(f"{name} is {shown(value)}", hint=nearest(shown(value), choices))


def flag_argument(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Args:
        name: the argument, in an error.
        value: what was given.

    Raises:
        InvalidInput: it is neither.
    """
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} is {shown(value)}", hint="Give True or False")


def path_argument(name: str, value: object, hint: str = "Give the name of a directory") -> str:
    """Take a path as a text.

    Args:
        name: the argument, in an error.
        value: what was given.
        hint: the remedy.

    Raises:
        InvalidInput: it is no path, or empty.
    """
    location: object = value
    if isinstance(value, os.PathLike):
        try:
            location = os.fspath(value)
        except TypeError as error:
            raise InvalidInput(f"{name} is {shown(value)}", hint=hint) from error
    if not isinstance(location, str) or not location:
        raise InvalidInput(f"{name} is {shown(value)}", hint=hint)
    return location


def text_argument(what: str, value: object) -> str:
    """Take a text that is not blank.

    Args:
        what: what the text is, in an error.
        value: what was given.

    Raises:
        InvalidInput: it is no text, or blank.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{what} is {shown(value)}", hint="Give a text that is not empty")
    return value


def whole_argument(name: str, value: object) -> int:
    """Take a whole number of 1 or more.

    Args:
        name: the argument, in an error.
        value: what was given.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(
            f"{name} is {shown(value)}", hint="It has to be a whole number, 1 or more"
        )
    return value


def natural_argument(name: str, value: object, most: int) -> int:
    """Take a whole number of 0 or more.

    Args:
        name: the argument, in an error.
        value: what was given.
        most: the largest number that may be given.

    Raises:
        InvalidInput: it is none, or larger.
    """
    if isinstance(value, np.integer):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidInput(
            f"{name} is {shown(value)}", hint=f"It has to be a whole number from 0 to {most}"
        )
    return value


def names_argument(name: str, given: object) -> list[str] | None:
    """Take one name, several, or None for all.

    Args:
        name: the argument, in an error.
        given: what was given.

    Raises:
        InvalidInput: it is none of these.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return [given]
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, Mapping) else []
    if not names or not all(isinstance(each, str) for each in names):
        raise InvalidInput(
            f"{name} is {shown(given)}", hint="Give one name, a list of them, or None for all"
        )
    return names
