"""What calculates: the native module, or NumPy where that is not available."""

from typing import TYPE_CHECKING

from ..availability import NATIVE_AVAILABLE

if TYPE_CHECKING or NATIVE_AVAILABLE:
    from .._native import (
        VectorIndex,
        best,
        best_of_codes,
        best_of_halves,
        compare,
        normalize,
        quantize,
    )
else:
    from .pure import best, best_of_codes, best_of_halves, compare, normalize, quantize
    from .pure_index import VectorIndex

__all__ = [
    "VectorIndex",
    "best",
    "best_of_codes",
    "best_of_halves",
    "compare",
    "normalize",
    "quantize",
]
