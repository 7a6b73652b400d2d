"""What users give, as the backend takes it, or an error that names it."""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from ..errors import InvalidInput, is_one_of, nearest, shown

__all__ = [
    "choice",
    "count",
    "keys",
    "micros",
    "name",
    "of_channel",
    "of_pattern",
    "priority",
    "seconds",
]

LONGEST_NAME: Final = 1024
LONGEST_TIME: Final = 31_536_000_000
"""A thousand years of 365 days, in seconds."""


def of_channel(value: Any) -> str:
    """Take the name of one channel."""
    channel = name(value, "channel")
    words = channel.split(".")
    wrong = not all(words) or "*" in channel or channel.startswith("_") or _has_space(channel)
    if wrong:
        raise InvalidInput(
            f"channel is {shown(value)}",
            hint="It is words with full stops between them, without spaces and *, and does not "
            "begin with _",
            field="channel",
        )
    return channel


def of_pattern(value: Any) -> str:
    """Take the name of a channel, or a pattern of some."""
    pattern = name(value, "channel")
    *before, last = pattern.split(".")
    wrong = any(not _is_word(word) for word in before) or not (last == "**" or _is_word(last))
    if wrong or pattern.startswith("_") or _has_space(pattern):
        raise InvalidInput(
            f"channel is {shown(value)}",
            hint="It is words with full stops between them; * stands for any word, ** at the end "
            "for one or more; it does not begin with _",
            field="channel",
        )
    return pattern


def _is_word(word: str) -> bool:
    return word == "*" or (bool(word) and "*" not in word)


def _has_space(text: str) -> bool:
    return any(map(str.isspace, text))


def name(value: Any, field: str) -> str:
    """Take a text of 1 to 1,024 bytes."""
    try:
        if isinstance(value, str) and 0 < len(value.encode()) <= LONGEST_NAME:
            return str(value)
    except UnicodeEncodeError:
        pass
    raise InvalidInput(
        f"{field} is {shown(value)}", hint=f"It is a text of 1 to {LONGEST_NAME} bytes", field=field
    )


def keys(value: Any, many: int) -> list[str | None] | None:
    """Take a key for all messages of a batch, or one for each."""
    if value is None:
        return None
    if isinstance(value, str):
        return [name(value, "key")] * many
    if isinstance(value, Sequence) and len(value) == many:
        return [None if key is None else name(key, "key") for key in value]
    raise InvalidInput(
        f"key is {shown(value)}",
        hint=f"Give one text, or a list with one for each of the {many} messages",
        field="key",
    )


def priority(value: Any) -> int:
    """Take a priority."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 9:
        return int(value)
    raise InvalidInput(
        f"priority is {shown(value)}", hint="It is 0 to 9, and 9 goes first", field="priority"
    )


def count(value: Any, field: str, most: int = 2**31) -> int:
    """Take a whole number from 1 on."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return int(value)
    raise InvalidInput(
        f"{field} is {shown(value)}", hint=f"It is a whole number from 1 to {most}", field=field
    )


def seconds(value: Any, field: str, *, least: float = 0.0) -> float:
    """Take a time, as seconds."""
    given = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        try:
            time = float(given)
        except OverflowError:
            time = math.nan
        if least <= time <= LONGEST_TIME:
            return time
    raise InvalidInput(
        f"{field} is {shown(value)}",
        hint="It is a number of seconds or a timedelta"
        + (", more than 0" if least else ", not less than 0"),
        field=field,
    )


def micros(value: Any, field: str) -> int:
    """Take a time of at least a microsecond, as microseconds."""
    return round(seconds(value, field, least=1e-6) * 1e6)


def choice(value: Any, field: str, known: Sequence[str]) -> str:
    """Take one of some names."""
    if is_one_of(value, known):
        return str(value)
    raise InvalidInput(f"{field} is {shown(value)}", hint=nearest(shown(value), known), field=field)
