"""Vectors without a database: comparing, ranking, quantising, and an index in memory.

All of it takes NumPy arrays and lists. An array of float32 that lies row after row (C-contiguous,
aligned) is read where it is; anything else with real numbers is converted once. What holds NaN or
an infinity, or a number too large for float32, is refused with `NonFiniteVector`: results are
always numbers. The interpreter is released while numbers are compared; no other thread may change
an array meanwhile.

The instructions are chosen when the package runs, by what the processor has. Without the native
module (see ``embedded_db.NATIVE_AVAILABLE``) NumPy does the same, more slowly.
"""

from .index import HnswIndex
from .ops import (
    VectorOps,
    cosine_similarity,
    cosine_similarity_batch,
    dequantize,
    dot,
    euclidean,
    normalize,
    quantize,
    top_k,
)
from .quantized import Quantized

__all__ = [
    "HnswIndex",
    "Quantized",
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
