"""The head on MiniLM's last layer: scores of the tags of every word, and the best sequence of tags.

One hidden layer gives scores over BIO tags; a linear-chain CRF (Lafferty et al., 2001) joins them,
and Viterbi finds the best sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedded_db.errors import ModelUnavailable
from embedded_db.ml.encoders import Floats
from embedded_db.ml.word_features import FEATURES, Numbers

__all__ = ["LABELS", "TAGS", "Head", "best_tags"]

LABELS = ("PERSON", "GPE", "ORG", "PRODUCT", "WORK_OF_ART")
# Tag 0 is outside; label i begins with tag 1 + 2 * i and goes on with tag 2 + 2 * i.
TAGS = ("O", *(f"{part}-{label}" for label in LABELS for part in "BI"))


@dataclass(frozen=True)
class Head:
    """The trained numbers.

    ``first``, ``mean`` [384, h] and ``shape`` [FEATURES, h] with ``bias`` [h] feed one hidden layer
    (ReLU); ``out`` [h, K] and ``out_bias`` [K] give the scores of the K tags; ``moves`` [K, K] is
    added for going from one tag to the next, ``begin`` [K] for the first.
    """

    first: Floats
    mean: Floats
    shape: Floats
    bias: Floats
    out: Floats
    out_bias: Floats
    moves: Floats
    begin: Floats

    @classmethod
    def load(cls, path: Path) -> Head:
        """Read a head; the matrices are stored as float16.

        Raises:
            ModelUnavailable: the file is not there or is not a head of this version.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                parts = {name: stored[name].astype(np.float32) for name in cls.__annotations__}
        except (OSError, ValueError, KeyError) as error:
            raise ModelUnavailable(
                f"The entity weights {path.name} do not load ({error})",
                hint="Reinstall the package: pip install --force-reinstall embedded-db",
            ) from error
        head = cls(**parts)
        if head.shape.shape[0] != FEATURES or head.moves.shape != (len(TAGS), len(TAGS)):
            raise ModelUnavailable(
                f"The entity weights {path.name} belong to another version",
                hint="Reinstall the package: pip install --force-reinstall embedded-db",
            )
        return head

    @cached_property
    def _alone(self) -> Floats:
        return self.first + self.mean

    def project(self, states: Floats, at: NDArray[np.intp]) -> Floats:
        """What the hidden rows of n words add to the hidden layer: [n, h].

        Args:
            states: the rows of their tokens [k, 384].
            at: the first token of each word, ascending; the last word reaches to the end.
        """
        first = states[at]
        result = _product(first, self._alone)
        counts = np.diff(at, append=len(states))
        many = counts > 1
        if many.any():
            # Most words are one token, which is its own mean: only the others need the difference.
            sizes = counts[many]
            parts = states[at[0] :][np.repeat(many, counts)]
            sums = np.add.reduceat(parts, np.cumsum(sizes) - sizes, axis=0)
            mean = np.divide(sums, sizes[:, None], dtype=np.float32)
            result[many] += _product(mean - first[many], self.mean)
        return result

    def scores(self, projected: Floats, shape: Floats) -> Floats:
        """Tag scores [n, K] from projected hidden rows and word features."""
        hidden = projected + _product(shape, self.shape)
        hidden += self.bias
        np.maximum(hidden, 0, out=hidden)
        return _product(hidden, self.out) + self.out_bias


# OpenBLAS wakes its threads for products of more multiplications than this. They would wait for a
# processor that ONNX Runtime's threads have: 16 ms instead of 60 µs for the rows of one text.
_SMALL_PRODUCT = 4 * 65536
_SMALL_DEPTH = 192


def _product(a: Floats, b: Floats) -> Floats:
    """``a @ b`` for [n, k] and [k, m], in blocks small enough to stay on this thread."""
    result = np.zeros((len(a), b.shape[1]), np.float32)
    for at in range(0, len(b), _SMALL_DEPTH):
        left, right = a[:, at : at + _SMALL_DEPTH], b[at : at + _SMALL_DEPTH]
        rows = max(1, _SMALL_PRODUCT // right.size)
        even = len(a) // rows * rows
        blocks = left[:even].reshape(even // rows, rows, len(right)) @ right
        result[:even] += blocks.reshape(even, b.shape[1])
        result[even:] += left[even:] @ right
    return result


def best_tags(head: Head, scores: Floats, lengths: Sequence[int]) -> Numbers:
    """The best tag of every word: int32 [n].

    Args:
        head: gives the transitions.
        scores: [n, K], the words of all sequences after each other.
        lengths: how many words each sequence has; they add up to n.
    """
    result = np.zeros(len(scores), np.int32)
    heads = np.cumsum([0, *lengths[:-1]]) if lengths else np.empty(0, np.int64)
    heads = heads[np.asarray(lengths, np.int64) > 0]
    if len(heads) == 0:
        return result
    # Words whose tag is O whatever their neighbours are cut the sequences into short pieces that
    # run side by side. The cut is exact: `_advantage` bounds what neighbours can add to a tag.
    sure: NDArray[np.bool_] = np.all(scores[:, :1] - scores[:, 1:] > _advantage(head), axis=1)
    undecided = ~sure
    is_head = np.zeros(len(scores), bool)
    is_head[heads] = True
    follows = undecided & ~is_head & np.concatenate([[False], undecided[:-1]])
    starts = np.flatnonzero(undecided & ~follows)
    if len(starts) == 0:
        return result
    stops = np.flatnonzero(undecided & ~np.concatenate([follows[1:], [False]])) + 1
    order = np.argsort(starts - stops, kind="stable")
    starts, sizes = starts[order], (stops - starts)[order]

    after_o = ~is_head[starts]
    entry = np.where(after_o[:, None], head.moves[0], head.begin)
    ended = stops[order]
    before_o = (ended < len(scores)) & ~is_head[np.minimum(ended, len(scores) - 1)]
    exits = np.where(before_o[:, None], head.moves[:, 0], np.float32(0))

    longest = int(sizes[0])
    active = [int(np.searchsorted(-sizes, -step, side="left")) for step in range(longest)]
    best = scores[starts] + entry
    came: list[NDArray[np.intp]] = []
    for step in range(1, longest):
        many = active[step]
        through = best[:many, :, None] + head.moves
        origin = through.argmax(axis=1)
        came.append(origin)
        gained = np.take_along_axis(through, origin[:, None, :], axis=1)[:, 0]
        best[:many] = gained + scores[starts[:many] + step]
    tag = (best + exits).argmax(axis=1)
    for step in range(longest - 1, 0, -1):
        many = active[step]
        result[starts[:many] + step] = tag[:many]
        tag[:many] = came[step - 1][np.arange(many), tag[:many]]
    result[starts] = tag
    return result


def _advantage(head: Head) -> Floats:
    """Per tag but O, the most that neighbours can prefer it to O by: [K - 1]."""
    into = np.concatenate([head.moves, head.begin[None]])
    before = (into[:, 1:] - into[:, :1]).max(axis=0)
    # After the last word nothing is added, hence the 0.
    after = np.maximum((head.moves[1:] - head.moves[0]).max(axis=1), 0)
    result: Floats = before + after
    return result
