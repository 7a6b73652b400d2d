"""What the native module calculates, in NumPy: slower, and with the same results.

Sums are made in float64. Each function has a native one of the same name, parameters and results;
None stands for numbers that are not finite.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from .given import Floats, Integers

__all__ = [
    "best",
    "best_of_codes",
    "best_of_halves",
    "compare",
    "first_best",
    "normalize",
    "quantize",
]

Codes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]

BLOCK: Final = 1 << 20
"""Numbers that are converted at once."""

SANE: Final = (1e-15, 1e15)
"""Lengths of vectors that int8 codes can stand for."""


def compare(metric: str, queries: Floats, rows: Floats) -> Floats | None:
    """Give the scores of all rows for each query, float32[m, n]."""
    if not (np.isfinite(queries).all() and np.isfinite(rows).all()):
        return None
    wide = queries.astype(np.float64)
    lengths = _lengths(wide)
    out = np.empty((len(queries), len(rows)), np.float32)
    for some in _blocks(rows):
        block = rows[some].astype(np.float64)
        # What is too large for float32 is an infinity there.
        with np.errstate(over="ignore"):
            out[:, some] = _scores(metric, wide, lengths, block)
    out += np.float32(0)  # no score is -0.0
    return out


def _scores(metric: str, queries: Doubles, lengths: Doubles, rows: Doubles) -> Doubles:
    if metric == "euclidean":
        scores = np.empty((len(queries), len(rows)))
        for score, query in zip(scores, queries, strict=True):
            score[:] = -_lengths(rows - query)
        return scores
    dots = queries @ rows.T
    return dots if metric == "dot" else _cosines(dots, lengths[:, None] * _lengths(rows))


def _cosines(dots: Doubles, lengths: Doubles) -> Doubles:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lengths > 0, np.clip(dots / lengths, -1, 1), 0.0)


def best(metric: str, query: Floats, rows: Floats, k: int) -> tuple[Integers, Floats] | None:
    """Give the numbers and the scores of the best rows."""
    scores = compare(metric, query.reshape(1, -1), rows)
    return None if scores is None else first_best(scores[0], k)


def best_of_halves(
    metric: str, query: Floats, rows: npt.NDArray[np.uint16], k: int
) -> tuple[Integers, Floats] | None:
    """Give the numbers and the scores of the best rows of 16-bit floats."""
    scores = np.empty(len(rows), np.float32)
    for some in _blocks(rows):
        found = compare(
            metric, query.reshape(1, -1), rows[some].view(np.float16).astype(np.float32)
        )
        if found is None:
            return None
        scores[some] = found[0]
    return first_best(scores, k)


def best_of_codes(
    metric: str,
    kind: str,
    dim: int,
    query: tuple[Codes, float, float],
    codes: Codes,
    scales: Floats,
    norms: Floats,
    k: int,
) -> tuple[Integers, Floats]:
    """Give the numbers and the scores of the best rows of codes."""
    own, scale, norm = query
    dots = np.empty(len(codes))
    for some in _blocks(codes):
        if kind == "int8":
            # Exact: whole numbers below 2**31.
            dots[some] = (codes[some].astype(np.float64) - 128) @ (own.astype(np.float64) - 128)
        else:
            differ = np.bitwise_count(codes[some] ^ own).sum(axis=1, dtype=np.int64)
            dots[some] = dim - 2 * differ
    products = dots * (float(scale) * scales.astype(np.float64))
    lengths = norms.astype(np.float64)
    if metric == "cosine":
        scores = _cosines(products, float(norm) * lengths)
    elif metric == "euclidean":
        squares = float(norm) ** 2 + lengths**2
        scores = -np.sqrt(np.maximum(squares - 2 * products, 0))
    else:
        scores = products
    with np.errstate(over="ignore"):
        return first_best(scores.astype(np.float32) + np.float32(0), k)


def first_best(scores: Floats, k: int) -> tuple[Integers, Floats]:
    """Give the places and the values of the ``k`` highest; of equal ones the first."""
    places = np.arange(len(scores))
    if k < len(scores):
        places = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
    order = np.lexsort((places, -scores[places]))[:k]
    return places[order].astype(np.int64), scores[places[order]]


def normalize(rows: Floats) -> Floats | None:
    """Scale rows to the length 1."""
    if not np.isfinite(rows).all():
        return None
    out = np.empty_like(rows)
    for some in _blocks(rows):
        block = rows[some].astype(np.float64)
        lengths = _lengths(block)[:, None]
        np.divide(block, lengths, out=block, where=lengths > 0)
        out[some] = block
    return out


def quantize(rows: Floats) -> tuple[Codes, Floats, Floats] | None:
    """Give int8 codes, 128 added to each, scales and lengths; None if a row cannot have any."""
    if not np.isfinite(rows).all():
        return None
    codes = np.empty(rows.shape, np.uint8)
    scales, norms = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    for some in _blocks(rows):
        block = rows[some].astype(np.float64)
        lengths = _lengths(block)
        if not ((lengths == 0) | ((lengths >= SANE[0]) & (lengths <= SANE[1]))).all():
            return None
        scale = (np.abs(block).max(axis=1, initial=0) / 127).astype(np.float32).astype(np.float64)
        factors = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        near = np.rint(np.clip(block * factors[:, None], -127, 127))
        codes[some] = near + 128
        scales[some] = scale
        norms[some] = scale * _lengths(near)
    return codes, scales, norms


def _lengths(rows: Doubles) -> Doubles:
    lengths: Doubles = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths


def _blocks(rows: npt.NDArray[np.generic]) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, rows.shape[1]))
    for begin in range(0, len(rows), step):
        yield slice(begin, begin + step)
