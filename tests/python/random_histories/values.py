"""What is written and asked for, by chance."""

import numpy as np

from embedded_db.testing import ENTITIES

WORDS = ["graph", "meadow", "harbour", "violin", *ENTITIES]
TYPES = ["T", "U"]
LABELS = ["X", "Y"]
MOST = 60
"""Nodes of users in a namespace, beyond which more is deleted than made."""


def vector(rng):
    return np.array([rng.gauss(0, 1) for _ in range(4)], np.float32)


def text(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(0, 5)))
