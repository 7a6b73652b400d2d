"""What users give, as arrays that lie row after row, or an error that names it."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..arrays import float32
from ..errors import DimensionMismatch, InvalidInput, NonFiniteVector, is_one_of, nearest, shown

__all__ = [
    "METRICS",
    "Floats",
    "Integers",
    "check_metric",
    "count",
    "integers",
    "matrix",
    "refuse_non_finite",
    "vector",
    "vectors",
]

Floats = npt.NDArray[np.float32]
"""Float32 numbers, C-contiguous and aligned."""

Integers = npt.NDArray[np.int64]
"""Int64 numbers, C-contiguous and aligned."""

METRICS: Final = ("cosine", "dot", "euclidean")
"""How vectors can be compared."""

FLOAT32: Final = np.dtype(np.float32)
INT64: Final = np.dtype(np.int64)


def vector(value: Any, field: str, dim: int | None = None) -> Floats:
    """Take one vector.

    Args:
        value: float32[d], or anything that converts to it.
        field: the name of the parameter.
        dim: the dimension that it must have.

    Raises:
        DimensionMismatch: it has another dimension.
    """
    array = _floats(value, field)
    if array.ndim != 1:
        raise _wrong_shape(array, field, "one vector, of the shape [d]")
    _check_dimension(array, field, dim)
    return array


def matrix(value: Any, field: str, dim: int | None = None) -> Floats:
    """Take vectors as rows; nothing at all is no rows.

    Args:
        value: float32[n, d], or anything that converts to it.
        field: the name of the parameter.
        dim: the dimension that they must have.

    Raises:
        DimensionMismatch: they have another dimension.
    """
    array = _floats(value, field)
    if array.ndim == 1 and array.size == 0 and dim is not None:
        return array.reshape(0, dim)
    if array.ndim != 2:
        raise _wrong_shape(array, field, "rows of vectors, of the shape [n, d]")
    _check_dimension(array, field, dim)
    return array


def vectors(value: Any, field: str, dim: int | None = None) -> tuple[Floats, bool]:
    """Take one vector or several.

    Args:
        value: float32[d] or float32[n, d], or anything that converts to it.
        field: the name of the parameter.
        dim: the dimension that they must have.

    Returns:
        Them as rows, and whether it was one vector.

    Raises:
        DimensionMismatch: they have another dimension.
    """
    array = _floats(value, field)
    is_one = array.ndim == 1
    if not is_one and array.ndim != 2:
        raise _wrong_shape(array, field, "one vector [d], or rows of vectors [n, d]")
    _check_dimension(array, field, dim)
    return (array.reshape(1, -1) if is_one else array), is_one


def integers(value: Any, field: str) -> Integers:
    """Take ids: one axis of whole numbers.

    Args:
        value: an array, a list or a set of them.
        field: the name of the parameter.
    """
    given: Any = list(value) if isinstance(value, (set, frozenset, range)) else value
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _no_ids(value, field) from error
    if array.ndim == 1 and array.size == 0:
        return np.empty(0, INT64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise _no_ids(value, field)
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise _no_ids(value, field)
    return np.require(array, INT64, ("C", "A"))


def count(value: Any, field: str) -> int:
    """Take a number of results, at least 1.

    Args:
        value: an int.
        field: the name of the parameter.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InvalidInput(
            f"{field} is {shown(value)}", hint="It has to be a whole number from 1 on", field=field
        )
    return min(int(value), np.iinfo(np.int64).max)


def check_metric(value: Any) -> str:
    """Take the name of a metric.

    Args:
        value: one of ``METRICS``.
    """
    if not is_one_of(value, METRICS):
        raise InvalidInput(
            f"the metric {shown(value)} is not known", hint=nearest(value, METRICS), field="metric"
        )
    return str(value)


def refuse_non_finite(**arrays: npt.NDArray[np.floating[Any]]) -> None:
    """Raise the error for the first number that is not finite.

    Args:
        **arrays: what was given, by the names of the parameters.

    Raises:
        NonFiniteVector: a number is NaN, an infinity, or was too large for float32.
    """
    for field, array in arrays.items():
        finite = np.isfinite(array)
        if finite.all():
            continue
        place = np.unravel_index(int(np.argmin(finite)), array.shape)
        index = int(place[-1])
        at = ", ".join(str(int(number)) for number in place)
        raise NonFiniteVector(
            f"{field}[{at}] is {array[place]}",
            hint="Every number has to be finite, and one that float32 can hold",
            index=index,
            field=field,
            item=int(place[0]) if array.ndim == 2 else None,
        )


def _floats(value: Any, field: str) -> Floats:
    if (
        type(value) is np.ndarray
        and value.dtype is FLOAT32
        and value.flags.c_contiguous
        and value.flags.aligned
    ):
        return value
    try:
        return np.require(float32(value), FLOAT32, ("C", "A"))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(
            f"{field} is {shown(value)}",
            hint="It has to be an array or a list of real numbers, in rows of one length",
            field=field,
        ) from error


def _check_dimension(array: Floats, field: str, dim: int | None) -> None:
    got = array.shape[-1]
    if got == 0:
        raise InvalidInput(
            f"{field} has the shape {array.shape}",
            hint="A vector has at least one dimension",
            field=field,
        )
    if dim is not None and got != dim:
        raise DimensionMismatch(
            f"{field} has vectors of {got} dimensions, not {dim}",
            hint="Compare vectors of one model",
            expected=dim,
            got=got,
            field=field,
        )


def _wrong_shape(array: Floats, field: str, wanted: str) -> InvalidInput:
    return InvalidInput(
        f"{field} has the shape {array.shape}", hint=f"It has to be {wanted}", field=field
    )


def _no_ids(value: Any, field: str) -> InvalidInput:
    return InvalidInput(
        f"{field} is {shown(value)}",
        hint="It has to be a list or an array of whole numbers, which are ids",
        field=field,
    )
