"""Property values as JSON, without loss.

None, bool, int, str, finite float, list and dict are themselves; an int has up to 64 bits, and a
float always has a point or an exponent. The rest is an object with one key:

=====================  ==================================================================
``{"$float": "nan"}``  NaN, and ``"inf"``, ``"-inf"``
``{"$bytes": "…"}``    bytes, in base64
``{"$time": "…"}``     a time: ISO 8601 in UTC with microseconds
``{"$map": {…}}``      a dict one of whose keys begins with ``$``
=====================  ==================================================================
"""

import base64
import binascii
import math
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["decoded", "encoded", "from_time", "to_time"]

FLOAT: Final = "$float"
BYTES: Final = "$bytes"
TIME: Final = "$time"
MAP: Final = "$map"
FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encoded(value: Any) -> Any:
    """Give the JSON form of a property value.

    Args:
        value: as reads give it.

    Examples:
        >>> encoded({"photo": b"abc", "seen": datetime(2024, 5, 1, tzinfo=UTC)})
        {'photo': {'$bytes': 'YWJj'}, 'seen': {'$time': '2024-05-01T00:00:00.000000Z'}}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {FLOAT: str(value)}
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime):
        return {TIME: from_time(value)}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, dict):
        inner = {key: encoded(item) for key, item in value.items()}
        return {MAP: inner} if any(key.startswith("$") for key in inner) else inner
    return value


def decoded(value: Any) -> Any:
    """Give the property value of a JSON form.

    Args:
        value: as `encoded` gives it.

    Raises:
        ValueError: it is no such form.

    Examples:
        >>> decoded({"photo": {"$bytes": "YWJj"}, "size": 3})
        {'photo': b'abc', 'size': 3}
    """
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(key, inner)] = value.items()
        if key.startswith("$"):
            return _tagged(key, inner)
    if any(key.startswith("$") for key in value):
        raise ValueError(f"the keys {sorted(value)} stand together, one of which begins with $")
    return {key: decoded(item) for key, item in value.items()}


def _tagged(key: str, inner: Any) -> Any:
    if key == FLOAT and isinstance(inner, str) and inner in FLOATS:
        return FLOATS[inner]
    if key == TIME and isinstance(inner, str):
        return to_time(inner)
    if key == BYTES and isinstance(inner, str):
        try:
            return base64.b64decode(inner, validate=True)
        except binascii.Error as error:
            raise ValueError(f"{inner!r:.60} is not base64: {error}") from error
    if key == MAP and isinstance(inner, dict):
        return {name: decoded(item) for name, item in inner.items()}
    raise ValueError(f"{{{key!r}: {inner!r:.60}}} is no value")


def from_time(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC, with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_time(text: str) -> datetime:
    """Read a time that `from_time` has written.

    Raises:
        ValueError: it is none, or has no time zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no time zone")
    return moment
