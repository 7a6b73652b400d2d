"""Comparing vectors, and ranking them."""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from . import backend
from .given import (
    Floats,
    Integers,
    check_metric,
    count,
    matrix,
    refuse_non_finite,
    vector,
    vectors,
)
from .quantized import Kind, Quantized, best_of_quantized, floats, quantized

__all__ = [
    "Metric",
    "VectorOps",
    "cosine_similarity",
    "cosine_similarity_batch",
    "dequantize",
    "dot",
    "euclidean",
    "normalize",
    "quantize",
    "top_k",
]

Metric: TypeAlias = Literal["cosine", "dot", "euclidean"]
"""How vectors are compared."""


def cosine_similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Give the cosine of the angle between two vectors.

    Args:
        a: a vector, float32[d].
        b: another of as many dimensions.

    Returns:
        A number from -1 to 1; 0.0 if a vector is zero.

    Raises:
        DimensionMismatch: the vectors have different dimensions.
        InvalidInput: one is no vector.
        NonFiniteVector: one holds NaN or an infinity.

    Examples:
        >>> cosine_similarity([1, 0], [3, 4])
        0.6000000238418579
        >>> cosine_similarity([1, 0], [0, 0])
        0.0
    """
    left = vector(a, "a")
    right = vector(b, "b", len(left))
    scores = backend.compare("cosine", left.reshape(1, -1), right.reshape(1, -1))
    if scores is None:
        raise _not_finite(a=left, b=right)
    return float(scores[0, 0])


def cosine_similarity_batch(queries: npt.ArrayLike, matrix: npt.ArrayLike) -> Floats:
    """Give the cosines between queries and all rows of a matrix.

    Args:
        queries: a vector float32[d], or several float32[m, d].
        matrix: rows, float32[n, d]; there may be none.

    Returns:
        float32[n], or float32[m, n] for several queries. Where a vector is zero it is 0.0.

    Raises:
        DimensionMismatch: the vectors have different dimensions.
        InvalidInput: something is no array of vectors.
        NonFiniteVector: a vector holds NaN or an infinity; ``item`` is its row.

    Examples:
        >>> cosine_similarity_batch([1, 0], [[2, 0], [0, 3], [0, 0], [-1, 0]])
        array([ 1.,  0.,  0., -1.], dtype=float32)
        >>> cosine_similarity_batch([[1, 0], [0, 1]], [[2, 0], [0, 3], [0, 0]]).shape
        (2, 3)
    """
    left, is_one = vectors(queries, "queries")
    right = _matrix(matrix, "matrix", left.shape[1])
    scores = backend.compare("cosine", left, right)
    if scores is None:
        raise _not_finite(queries=left[0] if is_one else left, matrix=right)
    return scores[0] if is_one else scores


def dot(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats | float:
    """Give the inner products of vectors, as `numpy.inner` does.

    Args:
        a: a vector float32[d], or rows float32[m, d].
        b: a vector float32[d], or rows float32[n, d].

    Returns:
        A number for two vectors; float32[n], float32[m] or float32[m, n] where one is, or both are,
        rows. A product that float32 cannot hold is an infinity.

    Raises:
        DimensionMismatch: the vectors have different dimensions.
        InvalidInput: something is no array of vectors.
        NonFiniteVector: a vector holds NaN or an infinity; ``item`` is its row.

    Examples:
        >>> dot([1, 2], [3, 4])
        11.0
        >>> dot([[1, 2], [0, 1]], [[3, 4], [5, 6], [7, 8]])
        array([[11., 17., 23.],
               [ 4.,  6.,  8.]], dtype=float32)
    """
    return _inner("dot", a, b)


def euclidean(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats | float:
    """Give the Euclidean distances between vectors.

    Args:
        a: a vector float32[d], or rows float32[m, d].
        b: a vector float32[d], or rows float32[n, d].

    Returns:
        A number for two vectors; float32[n], float32[m] or float32[m, n] where one is, or both are,
        rows. A distance that float32 cannot hold is an infinity.

    Raises:
        DimensionMismatch: the vectors have different dimensions.
        InvalidInput: something is no array of vectors.
        NonFiniteVector: a vector holds NaN or an infinity; ``item`` is its row.

    Examples:
        >>> euclidean([0, 0], [3, 4])
        5.0
        >>> euclidean([[0, 0], [3, 0]], [3, 4])
        array([5., 4.], dtype=float32)
    """
    scores = _inner("euclidean", a, b)
    if isinstance(scores, float):
        return abs(scores)
    return np.abs(scores, out=scores)


def normalize(vectors: npt.ArrayLike) -> Floats:
    """Scale vectors to the length 1; zero vectors stay as they are.

    Args:
        vectors: a vector float32[d], or rows float32[n, d]; they are not changed.

    Returns:
        float32 of the same shape.

    Raises:
        InvalidInput: it is no array of vectors.
        NonFiniteVector: a vector holds NaN or an infinity; ``item`` is its row.

    Examples:
        >>> normalize([[3, 4], [0, 0]])
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    rows, is_one = _vectors(vectors, "vectors")
    out = backend.normalize(rows)
    if out is None:
        raise _not_finite(vectors=rows[0] if is_one else rows)
    return out[0] if is_one else out


def top_k(
    query: npt.ArrayLike,
    matrix: npt.ArrayLike | Quantized,
    k: int,
    metric: Metric = "cosine",
) -> tuple[Integers, Floats]:
    """Give the best rows for a query.

    Rows of codes are compared by the products of codes, the query's too: `quantize` says how much
    that is off. Large matrices are compared in several threads.

    Args:
        query: a vector, float32[d].
        matrix: rows float32[n, d], or what `quantize` made of them.
        k: how many, from 1 on.
        metric: ``"cosine"``, ``"dot"`` or ``"euclidean"``.

    Returns:
        The numbers of the rows, int64[min(k, n)], and their scores, float32[min(k, n)], the best
        first, of equal ones the first row. A larger score is better: for ``"euclidean"`` it is the
        negative distance.

    Raises:
        DimensionMismatch: the vectors have different dimensions.
        InvalidInput: something is no array of vectors, or ``k`` or ``metric`` is none.
        NonFiniteVector: a vector holds NaN or an infinity; ``item`` is its row.

    Examples:
        >>> rows, scores = top_k([1, 0], [[0, 1], [2, 0], [1, 1]], 2)
        >>> rows, scores.round(2)
        (array([1, 2]), array([1.  , 0.71], dtype=float32))
    """
    metric_name, most = check_metric(metric), count(k, "k")
    if isinstance(matrix, Quantized):
        return best_of_quantized(metric_name, vector(query, "query", matrix.dim), matrix, most)
    asked = vector(query, "query")
    rows = _matrix(matrix, "matrix", len(asked))
    found = backend.best(metric_name, asked, rows, min(most, len(rows)))
    if found is None:
        raise _not_finite(query=asked, matrix=rows)
    return found


def quantize(vectors: npt.ArrayLike, kind: Kind = "int8") -> Quantized:
    """Keep vectors in fewer bytes, for `top_k` and to store them.

    - ``"int8"``, a quarter: every number is the nearest of 255 multiples of the row's scale, which
      is its largest number divided by 127. A cosine of vectors of 384 dimensions is off by some
      0.0005. Rows have a length from 1e-15 to 1e15, or are zero; at most 4,096 dimensions.
    - ``"f16"``, half: numbers up to 65,504, each off by one part in 2,048; below 0.00006 by more.
    - ``"binary"``, a 32nd: the sign of each number, and the mean size of all of a row.

    Args:
        vectors: rows, float32[n, d].
        kind: one of these.

    Returns:
        The vectors; `dequantize` gives them back.

    Raises:
        InvalidInput: it is no array of vectors, there is no such kind, or a row has a number or a
            length that the kind cannot hold.
        NonFiniteVector: a vector holds NaN or an infinity; ``item`` is its row.

    Examples:
        >>> quantize([[0.5, -2.0, 1.0]], "binary").codes
        array([[160]], dtype=uint8)
        >>> top_k([1, 0], quantize([[0, 1], [2, 0], [1, 1]]), 1)
        (array([1]), array([1.], dtype=float32))
    """
    return quantized(vectors, kind)


def dequantize(codes: Quantized) -> Floats:
    """Give vectors as far as their codes tell them.

    Args:
        codes: what `quantize` made.

    Returns:
        float32[n, d].

    Raises:
        InvalidInput: the arrays do not belong together.

    Examples:
        >>> dequantize(quantize([[1.0, -0.5, 0.25]])).round(2)
        array([[ 1.  , -0.5 ,  0.25]], dtype=float32)
        >>> dequantize(quantize([[3.0, -1.0]], "binary"))
        array([[ 2., -2.]], dtype=float32)
    """
    return floats(codes)


class VectorOps:
    """The functions of `embedded_db.vectors` under one name.

    Examples:
        >>> VectorOps.cosine_similarity([1, 0], [0, 1]), VectorOps.dot([1, 2], [3, 4])
        (0.0, 11.0)
    """

    cosine_similarity = staticmethod(cosine_similarity)
    cosine_similarity_batch = staticmethod(cosine_similarity_batch)
    dot = staticmethod(dot)
    euclidean = staticmethod(euclidean)
    normalize = staticmethod(normalize)
    top_k = staticmethod(top_k)
    quantize = staticmethod(quantize)
    dequantize = staticmethod(dequantize)


# Parameters have these names, too.
_matrix = matrix
_vectors = vectors


def _inner(metric: str, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats | float:
    left, left_is_one = vectors(a, "a")
    right, right_is_one = vectors(b, "b", left.shape[1])
    scores = backend.compare(metric, left, right)
    if scores is None:
        raise _not_finite(a=left[0] if left_is_one else left, b=right[0] if right_is_one else right)
    if left_is_one and right_is_one:
        return float(scores[0, 0])
    narrow: Floats = scores
    if left_is_one:
        narrow = scores[0]
    elif right_is_one:
        narrow = scores[:, 0]
    return narrow


def _not_finite(**arrays: Floats) -> InvalidInput:
    refuse_non_finite(**arrays)
    return InvalidInput(
        "an array was changed while it was read", hint="Change it when the call has returned"
    )
