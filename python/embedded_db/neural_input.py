"""What calls of a burst engine are given, as arrays of their own and of one type."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DbError, InvalidInput, NotFound, shown

__all__ = [
    "neurons_array",
    "number_argument",
    "numbers_array",
    "places_array",
    "same_length",
    "wholes_array",
]


def number_argument(name: str, given: object) -> float:
    """Take one number.

    Args:
        name: the argument, in an error.
        given: what was given.

    Raises:
        InvalidInput: it is none.
    """
    if isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool):
        try:
            return float(given)
        except OverflowError:
            pass
    raise _refused(name, shown(given), "a finite number")


def numbers_array(name: str, given: object) -> npt.NDArray[np.float32]:
    """Take numbers, float32[n]; one number is an array of one.

    Args:
        name: the argument, in an error.
        given: what was given.

    Raises:
        InvalidInput: it holds what are no numbers, or has more than one dimension.
    """
    return _floats(name, given, 1)


def places_array(given: object) -> npt.NDArray[np.float32]:
    """Take places, float32[n, 3]; one place is an array of one.

    Args:
        given: what was given.

    Raises:
        InvalidInput: it holds what are no numbers, or other than three for each.
    """
    places = _floats("coordinates", given, 2)
    if places.shape[1] != 3:
        raise InvalidInput(
            f"coordinates has the shape {places.shape}",
            hint="Give three numbers for each neuron: float[n, 3]",
            field="coordinates",
        )
    return places


def wholes_array(name: str, given: object, kind: type[np.unsignedinteger[Any]]) -> npt.NDArray[Any]:
    """Take whole numbers that fit a type; one number is an array of one.

    Args:
        name: the argument, in an error.
        given: what was given.
        kind: the type.

    Raises:
        InvalidInput: it holds what are no whole numbers, or too large ones, or has more than one
            dimension.
    """
    most = int(np.iinfo(kind).max)
    array = _wholes(name, given)
    at = _first_outside(array, most)
    if at is not None:
        raise InvalidInput(
            f"{name} is {array[at]}",
            hint=f"It has to be a whole number from 0 to {most}",
            field=name,
            item=at,
        )
    return array.astype(kind)


def neurons_array(name: str, given: object) -> npt.NDArray[np.uint32]:
    """Take numbers of neurons, uint32[n]; one number is an array of one.

    Args:
        name: the argument, in an error.
        given: what was given.

    Raises:
        InvalidInput: it holds what are no whole numbers, or has more than one dimension.
        NotFound: a number that no neuron can have.
    """
    array = _wholes(name, given)
    at = _first_outside(array, int(np.iinfo(np.uint32).max))
    if at is not None:
        id = str(array[at])
        raise NotFound(
            f"no neuron has the id {id}", hint="check the id", id=id, kind="neuron", item=at
        )
    return array.astype(np.uint32)


def same_length(arrays: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Repeat arrays of one item until all have one length.

    Args:
        arrays: the arrays by the names of their arguments.

    Raises:
        InvalidInput: their lengths differ.
    """
    lengths = {len(array) for array in arrays.values()}
    length = next(iter(lengths - {1}), 1)
    if not lengths <= {1, length}:
        told = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise InvalidInput(
            f"the arrays have several lengths: {told}",
            hint="Give arrays of one length, or one value for all",
        )
    return [
        array if len(array) == length else np.repeat(array, length, axis=0)
        for array in arrays.values()
    ]


def _floats(name: str, given: object, dimensions: int) -> npt.NDArray[np.float32]:
    array = _array(name, given, "fiu", dimensions)
    with np.errstate(over="ignore"):  # what becomes infinite is refused as that
        return array.astype(np.float32)


def _wholes(name: str, given: object) -> npt.NDArray[Any]:
    return _array(name, given, "iu", 1)


def _array(name: str, given: object, kinds: str, dimensions: int) -> npt.NDArray[Any]:
    """Copy what was given, so that nobody else has it."""
    wanted = "whole numbers" if kinds == "iu" else "numbers"
    try:
        array = np.array(given, ndmin=dimensions)
    except (ValueError, TypeError, OverflowError) as error:
        raise _refused(name, shown(given), wanted) from error
    if array.size == 0 and not isinstance(given, np.ndarray):
        shape = (0,) if dimensions == 1 else (0, 3)
        array = np.empty(shape, "u1")  # an empty list has no type
    if array.dtype.kind not in kinds:
        raise _refused(name, f"{shown(given)} of dtype {array.dtype}", wanted)
    if array.ndim != dimensions:
        raise _refused(name, f"of the shape {array.shape}", f"{wanted} in {dimensions} dimensions")
    return array


def _refused(name: str, what: str, wanted: str) -> DbError:
    return InvalidInput(f"{name} is {what}", hint=f"Give {wanted}", field=name)


def _first_outside(array: npt.NDArray[Any], most: int) -> int | None:
    if array.size == 0 or (array.min() >= 0 and array.max() <= most):
        return None
    return int(np.argmax((array < 0) | (array > most)))
