"""Tokens: 64 bytes that say where something lies on eight axes; many of them are a NumPy array."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._native import AXIS_ANCHORS, Token, TokenArray
from .errors import InvalidInput
from .libraries import ARROW, library

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ANCHORS", "AXES", "TOKEN_DTYPE", "Token", "TokenArray", "from_arrow", "to_arrow"]

AXES: Final = (
    "physical",
    "sensory",
    "motor",
    "emotional",
    "cognitive",
    "social",
    "temporal",
    "abstract",
)
"""The names of the coordinates, in their order."""

ANCHORS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    dict(zip(AXES, map(tuple, AXIS_ANCHORS), strict=True))
)
"""The phrases at the far end of each axis, which a model embeds to project nodes on it."""

TOKEN_DTYPE: Final[np.dtype[np.void]] = Token.create_batch(0).to_numpy().dtype
"""The NumPy type of a token: the fields of the layout, little-endian and without gaps. The times
are ``datetime64[us]``; ``version`` is that of the layout, 1."""


def _types(pyarrow: Any) -> dict[str, Any]:
    """Give the Arrow types of the columns, by name."""
    time = pyarrow.timestamp("us", tz="UTC")
    return {
        "id": pyarrow.uint64(),
        **{axis: pyarrow.float32() for axis in AXES},
        "weight": pyarrow.float32(),
        "flags": pyarrow.uint16(),
        "created_at": time,
        "updated_at": time,
    }


def to_arrow(tokens: TokenArray) -> "pyarrow.Table":
    """Give tokens as an Arrow table; `TokenArray.to_arrow` is this.

    Args:
        tokens: what becomes rows.

    Raises:
        InvalidInput: pyarrow is not installed.

    Examples:
        >>> to_arrow(Token.create_batch(2)).column("id").to_pylist()
        [0, 1]
    """
    arrow = library("pyarrow", "to_arrow", ARROW)
    array, types = tokens.to_numpy(), _types(arrow)
    columns = [arrow.array(array[name]).cast(kind) for name, kind in types.items()]
    table: pyarrow.Table = arrow.table(columns, names=list(types))
    return table


def from_arrow(table: Any) -> TokenArray:
    """Give the tokens of an Arrow table; `TokenArray.from_arrow` is this.

    Args:
        table: a pyarrow table, or anything with ``__arrow_c_stream__``, with all columns that
            `to_arrow` gives.

    Raises:
        InvalidInput: pyarrow is not installed; a column is missing, holds a null, or has values
            that are no such numbers or times.

    Examples:
        >>> from_arrow(to_arrow(Token.create_batch(2)))[1].id
        1
    """
    pyarrow = library("pyarrow", "from_arrow", ARROW)
    if not isinstance(table, pyarrow.Table):
        if not hasattr(table, "__arrow_c_stream__"):
            raise TypeError(f"table is a {type(table).__name__}; it must be an Arrow table")
        table = pyarrow.table(table)
    array = np.empty(len(table), TOKEN_DTYPE)
    array["version"] = 1
    for name, kind in _types(pyarrow).items():
        if name not in table.column_names:
            raise InvalidInput(f"the table has no column {name}", hint="Give all of to_arrow's")
        column = table.column(name)
        if column.null_count:
            raise InvalidInput(f"the column {name} holds a null", hint="Fill it in before")
        try:
            values = column.cast(kind).to_numpy()
        except pyarrow.ArrowException as error:
            raise InvalidInput(
                f"the column {name} is of the type {column.type}, which does not fit: {error}",
                hint=f"It has to be {kind}",
            ) from error
        array[name] = values
    return TokenArray.from_numpy(array)
