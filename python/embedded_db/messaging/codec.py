"""Values as MessagePack, and back."""

from datetime import UTC, datetime
from typing import Any, Final

from msgpack import Timestamp, packb, unpackb
from msgpack.exceptions import StackError

from ..errors import BadText, InvalidInput, shown

__all__ = ["BYTES", "Body", "body", "pack", "payload", "unpack"]

BYTES: Final = 0
PACKED: Final = 1
PLAIN: Final = frozenset({dict, list, str, bytes, int, float, bool, tuple, type(None)})

ROOM: Final = 1024
"""Bytes that packing begins with. The default, a quarter of a MiB, comes anew from the system."""

Body = tuple[int, bytes]
"""What a message says, behind its kind: bytes as they were given, or MessagePack."""


def pack(value: Any) -> bytes:
    r"""Give a value as MessagePack.

    Args:
        value: None, bool, int, float, str, bytes, a datetime with a time zone, lists and dicts of
            these, or a pydantic model. No other thread may change it meanwhile.

    Returns:
        The bytes; a datetime is an extension of the kind -1.

    Raises:
        InvalidInput: it has something else in it, or more levels than msgpack takes: 1,024 with its
            C extension, about half of it without.

    Examples:
        >>> from embedded_db.messaging import pack, unpack
        >>> pack({"page": [1, 2]})
        b'\x81\xa4page\x92\x01\x02'
        >>> unpack(pack({"page": [1, 2]}))
        {'page': [1, 2]}
    """
    default = _form
    if type(value) not in PLAIN and hasattr(value, "model_dump"):
        value, default = value.model_dump(), _form_in_model
    try:
        packed: bytes = packb(value, default=default, buf_size=ROOM)
    except UnicodeEncodeError as error:
        raise BadText(
            f"a message: the text {shown(error.object)} is not valid Unicode (it holds a lone "
            "surrogate)",
            hint='Encode it with errors="replace" first',
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"a message is nested too deeply, holds itself, or has a part of 4 GiB: {error}",
            hint="Flatten or split it",
        ) from error
    except BufferError as error:
        raise InvalidInput(
            f"a message holds a memoryview that is not contiguous: {error}", hint="Give bytes"
        ) from error
    return packed


def _form(value: Any) -> Any:
    """Give what MessagePack has no form for as what it has one for."""
    if isinstance(value, datetime):
        return _timestamp(value)
    if isinstance(value, int):
        raise InvalidInput(
            f"the integer {shown(value)} does not fit 64 bits", hint="Send it as a text"
        )
    raise InvalidInput(
        f"a message cannot hold {shown(value)}",
        hint="Use None, bool, int, float, str, bytes, datetime, lists and dicts of these, or a "
        "pydantic model",
    )


def _timestamp(value: datetime) -> Any:
    if value.utcoffset() is None:
        raise InvalidInput(
            f"a message: the datetime {shown(value)} has no time zone",
            hint="Add one, for example value.replace(tzinfo=timezone.utc)",
        )
    try:
        return Timestamp.from_datetime(value.astimezone(UTC))
    except OverflowError:
        raise InvalidInput(
            f"a message: the datetime {shown(value)} is outside of the years 1 to 9999 in UTC",
            hint="Send it as a text",
        ) from None


def _form_in_model(value: Any) -> Any:
    is_local = isinstance(value, datetime) and value.utcoffset() is None
    if isinstance(value, (datetime, int)) and not is_local:
        return _form(value)
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value)
    except PydanticSerializationError as error:
        raise InvalidInput(
            f"a message cannot hold {shown(value)}: {error}",
            hint="Give the model a serializer for it",
        ) from error


def unpack(data: bytes) -> Any:
    """Give the value that was packed.

    Args:
        data: MessagePack.

    Returns:
        The value, with lists for tuples, bytes for what is like bytes, and times in UTC.

    Raises:
        InvalidInput: it is no MessagePack, or has an extension in it that is no time.

    Examples:
        >>> from embedded_db.messaging import pack, unpack
        >>> unpack(pack({"at": (1, 2)}))
        {'at': [1, 2]}
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InvalidInput(f"data is {shown(data)}", hint="Give bytes", field="data")
    try:
        # Python has more keys than texts, and a datetime is the time that others read.
        return unpackb(data, strict_map_key=False, timestamp=3, ext_hook=_refuse)
    except StackError as error:
        raise InvalidInput(
            "the message is nested too deeply to be read", hint="Flatten it"
        ) from error
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(
            f"the message is no MessagePack, or holds what Python has no value for: {error}",
            hint="Give what was packed",
        ) from error


def _refuse(kind: int, _: bytes) -> Any:
    raise InvalidInput(
        f"the message holds an extension of the kind {kind}",
        hint="Only times, of the kind -1, are known",
    )


def body(message: Any) -> Body:
    """Give what a message says; bytes stay what they are."""
    if isinstance(message, (bytes, bytearray, memoryview)):
        return BYTES, bytes(message)
    return PACKED, pack(message)


def payload(kind: int, data: bytes) -> Any:
    """Give what was published as this body."""
    return data if kind == BYTES else unpack(data)
