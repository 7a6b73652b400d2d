"""Arrays of float32 out of what users give."""

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["float32"]


def float32(value: Any) -> npt.NDArray[np.float32]:
    """Convert real numbers to contiguous float32; what is too large for it becomes an infinity.

    NumPy would also read numbers out of texts, times and masked places, and drop imaginary parts.

    Raises:
        TypeError: they are no real numbers.
        ValueError: they have no common shape.
        OverflowError: an int is larger than any float.
        RecursionError: they are nested too deeply.
    """
    given = np.asanyarray(value)
    real = given.dtype.kind in "fiub" or (
        given.dtype.kind == "O" and all(isinstance(each, Real | Decimal) for each in given.flat)
    )
    if not real:
        raise TypeError(f"an array of {given.dtype} holds something else than real numbers")
    # NumPy loads this part at its first use; in the background a fork could cut that in two.
    if type(given) is not np.ndarray and np.ma.is_masked(given):
        raise TypeError("the array has masked places")
    # Warnings may be errors, and would come instead of the one that names the number.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(given, dtype=np.float32, order="C")
