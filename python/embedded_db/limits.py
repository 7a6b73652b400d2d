"""What a model function may be given in a minute, and what it may cost in a day: `Limit`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from .errors import InvalidInput, nearest, shown

__all__ = ["FUNCTIONS", "Limit", "checked_limits", "to_native"]

FUNCTIONS: Final = ("embedding", "entities", "summary")
"""The model functions that may have limits."""

_RATES: Final = ("calls_per_minute", "texts_per_minute", "characters_per_minute")
_MOST: Final = 10**12


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What one model function may be given, for those that are paid or shared.

    At a limit the weaver's work waits: nothing fails, no attempt is spent, other functions go on,
    and ``db.weaver_status()["limits"]`` tells what waits for which limit until when. A query or
    search whose text would have to be embedded raises `LimitReached` at once. The weaver leaves a
    tenth of each limit of ``embedding`` (of whole numbers below ten: nothing) to queries.

    A call counts before it is made, and also when it fails, for its server may charge for it.
    Numbers of a minute hold for any sixty seconds, and begin anew when the database is opened. A
    day is one of UTC; what it has cost is kept on the disk, whatever ends the process.

    Attributes:
        calls_per_minute: calls of the function. ``"openai:…"`` sends a request for each, or one
            for 512 texts where a call holds more, and one for a word where it fails with 500.
        texts_per_minute: texts given to it; of ``summary``, the messages of the chat.
        characters_per_minute: characters of these texts. A token is about four of them in English.
        cost_per_1k_characters: price of 1,000 characters, in any currency.
        max_cost_per_day: what a day may cost, in the same currency. A handle with
            ``read_only=True`` cannot count, and so embeds no text while this is set.

    Raises:
        InvalidInput: a number that is none or out of range, or a ceiling without a price.

    Examples:
        >>> from embedded_db import EmbeddedDB, Limit, MLConfig
        >>> limit = Limit(texts_per_minute=3000, cost_per_1k_characters=5e-6, max_cost_per_day=1.0)
        >>> models = MLConfig(embedding="hashing", entities=None, limits={"embedding": limit})
        >>> with EmbeddedDB(":memory:", ml=models) as scratch:
        ...     _ = scratch.create_chat().add_message("Hello")
        ...     scratch.flush(timeout=30)
        ...     used = scratch.weaver_status()["limits"]["embedding"]
        >>> used["texts"], used["characters"], f"{used['cost_today']:.9f}", used["waits_for"]
        (1, 5, '0.000000025', None)
    """

    calls_per_minute: int | None = None
    texts_per_minute: int | None = None
    characters_per_minute: int | None = None
    cost_per_1k_characters: float = 0.0
    max_cost_per_day: float | None = None

    def __post_init__(self) -> None:
        for name in _RATES:
            value = getattr(self, name)
            if value is not None and not (type(value) is int and 1 <= value <= _MOST):
                raise InvalidInput(
                    f"{name} is {shown(value)}",
                    hint=f"It has to be a whole number from 1 to {_MOST}, or None",
                )
        price, ceiling = self.cost_per_1k_characters, self.max_cost_per_day
        if not _is_cost(price):
            raise InvalidInput(
                f"cost_per_1k_characters is {shown(price)}",
                hint="It has to be a number of 0 or more",
            )
        if ceiling is None:
            return
        if not _is_cost(ceiling) or ceiling == 0:
            raise InvalidInput(
                f"max_cost_per_day is {shown(ceiling)}",
                hint="It has to be a number above 0, or None",
            )
        if price == 0:
            raise InvalidInput(
                f"max_cost_per_day is {ceiling!r}, but nothing says what a call costs",
                hint="Give cost_per_1k_characters, too",
            )


def _is_cost(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and value >= 0  # type: ignore[arg-type,operator]


def checked_limits(limits: object) -> dict[str, Limit]:
    """Check the limits of a configuration; those that are dicts become `Limit`.

    Args:
        limits: a limit, or a dict of its attributes, by the name of its function.

    Raises:
        InvalidInput: an unknown name (the nearest known one is named), or a wrong value.
    """
    if not isinstance(limits, Mapping):
        raise InvalidInput(
            f"limits is {shown(limits)}", hint='Give a dict, such as {"embedding": Limit(…)}'
        )
    checked: dict[str, Limit] = {}
    for function, limit in limits.items():
        if function not in FUNCTIONS:
            raise InvalidInput(
                f"there is no model function {shown(function)} to be limited",
                hint=nearest(str(function), FUNCTIONS),
            )
        checked[function] = limit if isinstance(limit, Limit) else _from_dict(function, limit)
    return checked


def _from_dict(function: str, limit: object) -> Limit:
    if not isinstance(limit, Mapping):
        raise InvalidInput(
            f"the limit of {function} is {shown(limit)}", hint="Give a Limit, or a dict"
        )
    known = [option.name for option in fields(Limit)]
    for name in limit:
        if name not in known:
            raise InvalidInput(
                f"a limit has no option {shown(name)}", hint=nearest(str(name), known)
            )
    return Limit(**limit)


def to_native(limits: Mapping[str, Limit]) -> dict[str, dict[str, Any]]:
    """Give the limits in the form the native module takes."""
    return {function: asdict(limit) for function, limit in limits.items()}
