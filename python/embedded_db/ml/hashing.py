"""Vectors without a model: hashed words and letter triples (for tests, chosen only by name)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from embedded_db.ml.encoders import Floats

__all__ = ["DIMENSION", "hash_texts"]

DIMENSION = 384
_WORD = re.compile(r"\w+")


def hash_texts(texts: Sequence[str]) -> Floats:
    """Unit vectors float32 [n, 384], the same on every machine; like words give like vectors.

    Signed feature hashing (Weinberger et al., 2009, arXiv:0902.2206) of lower-cased words and of
    their letter triples. A text without a word gets the first unit vector.
    """
    vectors = np.zeros((len(texts), DIMENSION), np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for word in _WORD.findall(text.lower()):
            _add(vector, word, 1.0)
            for at in range(len(word) - 2):
                _add(vector, "#" + word[at : at + 3], 0.3)
        length = float(np.linalg.norm(vector))
        if length > 0:
            vector /= length
        else:
            vector[0] = 1.0
    return vectors


def _add(vector: Floats, feature: str, weight: float) -> None:
    code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
    vector[(code >> 1) % DIMENSION] += weight if code & 1 else -weight
