"""Vectors in fewer bytes."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, NonFiniteVector, is_one_of, nearest, shown
from . import backend
from .given import Floats, Integers, matrix, refuse_non_finite

__all__ = ["Kind", "Quantized", "best_of_quantized", "floats", "quantized"]

Kind: TypeAlias = Literal["int8", "f16", "binary"]
"""How numbers are kept."""

KINDS: Final = ("int8", "f16", "binary")
MAX_DIMENSION: Final = 4096


@dataclass(frozen=True, eq=False, slots=True)
class Quantized:
    """Vectors in fewer bytes, made by `quantize`.

    Its arrays may be stored, and put together again.

    Attributes:
        kind: ``"int8"``, ``"f16"`` or ``"binary"``.
        dim: number of dimensions.
        codes: the vectors. ``"int8"``: uint8[n, d], 128 more than the code of each number.
            ``"f16"``: float16[n, d]. ``"binary"``: uint8[n, (d + 7) // 8], a bit for each number,
            the first one highest, 1 for what is above 0.
        scales: float32[n], what a code of the row is worth; empty for ``"f16"``.
        norms: float32[n], how long the row is by its codes; empty for ``"f16"``.

    Examples:
        >>> from embedded_db.vectors import quantize
        >>> small = quantize([[1.0, -0.5, 0.25], [0, 0, 0]])
        >>> small.codes
        array([[255,  64, 160],
               [128, 128, 128]], dtype=uint8)
        >>> len(small), small.kind, small.dim, small.nbytes
        (2, 'int8', 3, 22)
        >>> small.scales.round(4), small.norms.round(2)
        (array([0.0079, 0.    ], dtype=float32), array([1.15, 0.  ], dtype=float32))
    """

    kind: Kind
    dim: int
    codes: npt.NDArray[Any]
    scales: Floats
    norms: Floats

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.codes.nbytes + self.scales.nbytes + self.norms.nbytes


def quantized(given: npt.ArrayLike, kind: Kind) -> Quantized:
    """Make codes, see `quantize`.

    Args:
        given: rows of vectors.
        kind: what codes.

    Raises:
        NonFiniteVector: a vector holds NaN or an infinity.
    """
    if not is_one_of(kind, KINDS):
        raise InvalidInput(
            f"the kind {shown(kind)} is not known", hint=nearest(str(kind), KINDS), field="kind"
        )
    rows = matrix(given, "vectors")
    if kind == "int8":
        return _int8(rows)
    refuse_non_finite(vectors=rows)
    none = np.empty(0, np.float32)
    if kind == "f16":
        with np.errstate(over="ignore"):
            half = rows.astype(np.float16)
        _refuse_rows(np.isfinite(half).all(axis=1), "has a number above 65,504")
        return Quantized("f16", rows.shape[1], half, none, none)
    scales = np.abs(rows).mean(axis=1, dtype=np.float64).astype(np.float32)
    with np.errstate(over="ignore"):
        norms = (scales * np.sqrt(rows.shape[1])).astype(np.float32)
    _refuse_rows(np.isfinite(norms), "is too long")
    return Quantized("binary", rows.shape[1], np.packbits(rows > 0, axis=1), scales, norms)


def floats(given: Quantized) -> Floats:
    """Make vectors of codes, see `dequantize`.

    Args:
        given: the codes.
    """
    _check(given)
    if given.kind == "f16":
        return given.codes.astype(np.float32)
    scales = given.scales[:, None]
    if given.kind == "int8":
        return (given.codes.astype(np.float32) - np.float32(128)) * scales
    signs = np.unpackbits(given.codes, axis=1, count=given.dim)
    return (signs.astype(np.float32) * np.float32(2) - np.float32(1)) * scales


def best_of_quantized(
    metric: str, query: Floats, rows: Quantized, k: int
) -> tuple[Integers, Floats]:
    """Give the best rows for a query, see `top_k`.

    Args:
        metric: how they are compared.
        query: float32[d].
        rows: what `quantize` made.
        k: how many.

    Raises:
        InvalidInput: the arrays do not belong together, or the query cannot have such codes.
        NonFiniteVector: the query holds NaN or an infinity.
    """
    _check(rows)
    k = min(k, len(rows))
    if rows.kind == "f16":
        found = backend.best_of_halves(metric, query, rows.codes.view(np.uint16), k)
        if found is None:
            refuse_non_finite(query=query, matrix=rows.codes)
            raise InvalidInput("an array was changed while it was read", hint="Rank them again")
        return found
    refuse_non_finite(query=query)
    own = quantized(query.reshape(1, -1), rows.kind)
    asked = (own.codes[0], float(own.scales[0]), float(own.norms[0]))
    return backend.best_of_codes(
        metric, rows.kind, rows.dim, asked, rows.codes, rows.scales, rows.norms, k
    )


def _int8(rows: Floats) -> Quantized:
    if rows.shape[1] > MAX_DIMENSION:
        raise InvalidInput(
            f"vectors has {rows.shape[1]} dimensions",
            hint=f"int8 codes are for at most {MAX_DIMENSION}; keep more as f16",
            field="vectors",
        )
    made = backend.quantize(rows)
    if made is None:
        refuse_non_finite(vectors=rows)
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
        fits = (lengths == 0) | ((lengths >= 1e-15) & (lengths <= 1e15))
        _refuse_rows(fits, "has a length outside of 1e-15 to 1e15")
        raise InvalidInput("vectors was changed while it was read", hint="Quantise them again")
    return Quantized("int8", rows.shape[1], *made)


def _refuse_rows(fits: npt.ArrayLike, what: str) -> None:
    if not np.all(fits):
        item = int(np.argmin(fits))
        raise InvalidInput(
            f"row {item} of vectors {what}", hint="Normalise the vectors first", field="vectors"
        )


def _check(given: Quantized) -> None:
    """Refuse arrays that do not belong together: whoever stored them may have mixed them up."""
    width = (given.dim + 7) // 8 if given.kind == "binary" else given.dim
    kind = np.float16 if given.kind == "f16" else np.uint8
    rows = 0 if given.kind == "f16" else len(given.codes)
    codes, others = given.codes, (given.scales, given.norms)
    is_right = (
        is_one_of(given.kind, KINDS)
        and codes.dtype == kind
        and codes.ndim == 2
        and codes.shape[1] == width > 0
        and (given.kind != "int8" or given.dim <= MAX_DIMENSION)
        and all(other.shape == (rows,) and other.dtype == np.float32 for other in others)
        and all(array.flags.c_contiguous and array.flags.aligned for array in (codes, *others))
    )
    if not is_right:
        raise InvalidInput(
            "the arrays of the Quantized do not belong together",
            hint="Give it what quantize made, each array C-contiguous",
        )
    if not (np.isfinite(given.scales).all() and np.isfinite(given.norms).all()):
        raise NonFiniteVector("a scale or a length is not finite", hint="Quantise anew")
