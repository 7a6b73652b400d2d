"""What an uncased encoder cannot see of a word: shape, casing, punctuation, spacing, known names.

Of each word and its neighbours, of the casing of the whole text, and of short gazetteers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from embedded_db.ml.encoders import Floats
from embedded_db.ml.gazetteer import GAZETTEERS

__all__ = ["FEATURES", "LIST_COLUMNS", "Numbers", "features"]

Numbers = NDArray[np.int32]

_SHAPES = 10
_PUNCTUATION = "@#.,'-:\"()&/!?…’_"
_PUNCTUATIONS = len(_PUNCTUATION) + 1
_LISTS = len(GAZETTEERS)
_LENGTHS = 3
# Of one word: shape, punctuation mark, its length, single-word list hits.
_OWN = _SHAPES + _PUNCTUATIONS + _LENGTHS + _LISTS
# Own features of the word and both neighbours, shape of the second neighbours, phrase hits,
# position, and casing of the text.
FEATURES = 3 * _OWN + 2 * _SHAPES + _LISTS + 4 + 3

# The columns that come from gazetteers: of the word and its neighbours, and of phrases.
LIST_COLUMNS: NDArray[np.intp] = np.concatenate(
    [
        np.arange(end - _LISTS, end, dtype=np.intp)
        for end in (_OWN, 2 * _OWN, 3 * _OWN, 3 * _OWN + 2 * _SHAPES + _LISTS)
    ]
)

_SENTENCE_END = frozenset(".!?…:\n")


@cache
def _phrase_starts() -> dict[str, list[tuple[tuple[str, ...], int]]]:
    """First word -> the phrases of several words it begins, with the number of their list."""
    starts: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    for number, names in enumerate(GAZETTEERS):
        for name in names:
            words = tuple(name.replace("&", " & ").split())
            if len(words) > 1:
                starts.setdefault(words[0], []).append((words, number))
    return starts


def _shape(word: str) -> int:
    first = word[0]
    if word.isalpha():
        if word.islower():
            return 0
        if word.isupper():
            return 2 if len(word) > 1 else 3
        if not (first.isupper() or word.lower() != word):
            return 8
        return 1 if first.isupper() and word[1:].islower() else 4
    if word.isdigit():
        return 5
    if any(map(str.isalnum, word)):
        return 6
    return 7 if len(word) == 1 and first < "\u2100" else 9


def _own(word: str) -> Floats:
    row = np.zeros(_OWN, np.float32)
    row[_shape(word)] = 1
    mark = _PUNCTUATION.find(word) if len(word) == 1 else -1
    row[_SHAPES + 1 + mark] = 1
    at = _SHAPES + _PUNCTUATIONS
    row[at] = len(word) == 1
    row[at + 1] = len(word) <= 3
    row[at + 2] = len(word) >= 8
    lower = word.lower()
    for number, names in enumerate(GAZETTEERS):
        row[at + _LENGTHS + number] = lower in names
    return row


class _Vocabulary:
    """Feature rows of words seen so far, so that each is worked out once.

    Row 0 is the edge of a text. A full table starts anew: the words of a text are looked up in one
    table, taken at its beginning, which no one changes afterwards except by adding rows.
    """

    _LIMIT = 50_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows = np.zeros((1024, _OWN), np.float32)
        self._used = 1

    def rows(self, words: Sequence[str]) -> Floats:
        """float32 [n, _OWN]."""
        with self._lock:
            if self._used > self._LIMIT:
                self._clear()
            numbers = self._numbers
            codes = np.array([numbers.get(word, 0) for word in words], np.intp)
            for i in np.flatnonzero(codes == 0).tolist():
                codes[i] = self._number(words[i])
            return self._rows[codes]

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is None:
            number = self._used
            if number == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._rows[number] = _own(word)
            self._numbers[word] = number
            self._used += 1
        return number


_vocabulary = _Vocabulary()


def features(texts: Sequence[str], spans: Sequence[tuple[Numbers, Numbers]]) -> Floats:
    """Features float32 [n, FEATURES] of the words of several texts, after each other.

    The words are all that is seen: what stands before the first is the edge of the text.

    Args:
        texts: the texts, each with at least one word.
        spans: per text, where its words begin and end.
    """
    counts = np.array([len(begins) for begins, _ in spans])
    words = [
        text[begin:end]
        for text, (begins, ends) in zip(texts, spans, strict=True)
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
    total = len(words)
    rows = _vocabulary.rows(words)
    # Two empty rows stand between texts, so that neighbours are a shift away.
    at = np.arange(total) + 2 * np.repeat(np.arange(len(counts)), counts)
    own = np.zeros((total + 2 * len(counts) + 2, _OWN), np.float32)
    own[at + 2] = rows
    parts = [own[at + 1], rows, own[at + 3], own[at, :_SHAPES], own[at + 4, :_SHAPES]]

    firsts = np.cumsum(counts) - counts
    begins = np.concatenate([begins for begins, _ in spans])
    ends = np.concatenate([ends for _, ends in spans])
    place = np.zeros((total, 4), np.float32)
    place[1:, 0] = begins[1:] == ends[:-1]
    place[firsts, 0] = 0
    place[:-1, 1] = place[1:, 0]
    place[1:, 2] = [word in _SENTENCE_END for word in words[:-1]]
    place[firsts, 2] = 1
    place[:, 3] = np.repeat(counts <= 2, counts)

    shapes = np.add.reduceat(rows[:, :_SHAPES], firsts)
    letters = np.maximum(shapes[:, [0, 1, 2, 4]].sum(axis=1, keepdims=True), 1)
    casing = np.repeat(shapes[:, :3] / letters, counts, axis=0)
    return np.concatenate([*parts, _phrases(words, firsts), place, casing], axis=1)


def _phrases(words: list[str], firsts: NDArray[np.intp]) -> Floats:
    """Which lists have a phrase of several words at each word: float32 [n, _LISTS]."""
    hits = np.zeros((len(words), _LISTS), np.float32)
    starts = _phrase_starts()
    for i, word in enumerate(words):
        for phrase, number in starts.get(word.lower(), ()):
            end = i + len(phrase)
            if tuple(each.lower() for each in words[i:end]) != phrase:
                continue
            if np.searchsorted(firsts, i, "right") == np.searchsorted(firsts, end - 1, "right"):
                hits[i:end, number] = 1
    return hits
