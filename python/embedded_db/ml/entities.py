"""The local entity recogniser: a small head on MiniLM's last layer.

Per word (as BERT's pre-tokenizer cuts them) the head sees the hidden rows of its first token and
of the mean of its tokens, and what an uncased model cannot see: shape and casing of the word and
its neighbours, punctuation and spacing, the casing of the whole text, and short gazetteers. One
hidden layer gives scores over BIO tags; a linear-chain CRF (Lafferty et al., 2001) joins them, and
Viterbi finds the best sequence. Features on a frozen encoder follow Peters et al., "To Tune or Not
to Tune?", 2019 (arXiv:1903.05987).

Labels, and what they can be relied on for (trained on social media, see ``models/README.md``):

* ``PERSON``: people, also by first name, handle or fictional.
* ``GPE``: places of every kind. Cities and countries mostly; mountains, rivers and venues come
  under the same label, for the training data does not tell them apart.
* ``ORG``: companies, institutions, teams, bands. The weak class beside the next two.
* ``PRODUCT``, ``WORK_OF_ART``: sparse in the training data; what is found is usually a name, but
  many are missed.

Dates, amounts and events are not recognised.
"""

from __future__ import annotations

import itertools
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from embedded_db.ml._errors import model_unavailable
from embedded_db.ml.encoders import Floats
from embedded_db.ml.gazetteer import GAZETTEERS, NEVER
from embedded_db.ml.minilm import Tokens

__all__ = [
    "LABELS",
    "TAGS",
    "EntityDict",
    "Head",
    "Recogniser",
    "Search",
    "features",
    "spans_of",
    "trim_span",
    "words_of",
]

LABELS = ("PERSON", "GPE", "ORG", "PRODUCT", "WORK_OF_ART")
# Tag 0 is outside; label i begins with tag 1 + 2 * i and goes on with tag 2 + 2 * i.
TAGS = ("O", *(f"{part}-{label}" for label in LABELS for part in "BI"))

_WEIGHTS = Path(__file__).parent / "data" / "entities.npz"

Numbers = NDArray[np.int32]


class EntityDict(TypedDict):
    """One entity; ``text[start:end]`` of the searched content is ``text``."""

    text: str
    label: str
    start: int
    end: int


# --- features -------------------------------------------------------------------------------------

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


# --- head -----------------------------------------------------------------------------------------


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
            raise model_unavailable(
                f"The entity weights {path.name} do not load ({error})",
                hint="Reinstall the package: pip install --force-reinstall embedded-db",
            ) from error
        head = cls(**parts)
        if head.shape.shape[0] != FEATURES or head.moves.shape != (len(TAGS), len(TAGS)):
            raise model_unavailable(
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


# --- search ---------------------------------------------------------------------------------------


class Recogniser:
    """Finds entities; the head is loaded once, at first use."""

    def __init__(self, weights: Path = _WEIGHTS) -> None:
        self._path = weights
        self._lock = threading.Lock()
        self._head: Head | None = None

    @property
    def loaded(self) -> bool:
        """Whether the head is in memory."""
        return self._head is not None

    def head(self) -> Head:
        """The head; raises ModelUnavailable when its file does not load."""
        with self._lock:
            if self._head is None:
                self._head = Head.load(self._path)
            return self._head

    def search(
        self,
        texts: Sequence[str],
        tokens: Sequence[Tokens],
        starts: Sequence[int],
        wanted: Sequence[bool],
    ) -> Search:
        """A search over one batch, fed by `MiniLM.encode`; arguments as `Functions.enrich`."""
        return Search(self.head(), texts, tokens, starts, wanted)


@dataclass
class Words:
    """The words of one text behind its start; ``projected`` [n, h] fills up during the pass."""

    tokens: Numbers
    begins: Numbers
    ends: Numbers
    projected: Floats


class Search:
    """One batch on its way through the encoder: `collect` takes hidden rows, `entities` answers."""

    def __init__(
        self,
        head: Head,
        texts: Sequence[str],
        tokens: Sequence[Tokens],
        starts: Sequence[int],
        wanted: Sequence[bool],
    ) -> None:
        self._head = head
        self._texts = texts
        self._starts = starts
        self._words = {
            i: words_of(tokens[i], starts[i], len(head.bias))
            for i, want in enumerate(wanted)
            if want
        }

    def collect(self, text: int, first: int, states: Floats) -> None:
        """Take the hidden rows [k, 384] of the tokens ``first … first + k`` of a text."""
        words = self._words[text]
        low, high = np.searchsorted(words.tokens, (first, first + len(states)))
        if low == high:
            return
        # A word that goes on in the next window is averaged over its tokens in this one.
        at = (words.tokens[low:high] - first).astype(np.intp)
        words.projected[low:high] = self._head.project(states, at)

    def entities(self) -> list[list[EntityDict]]:
        """Entities per text in order, offsets relative to its start; empty where not wanted."""
        found: list[list[EntityDict]] = [[] for _ in self._texts]
        batch = [(i, words) for i, words in self._words.items() if len(words.tokens)]
        if not batch:
            return found
        # A name does not go on in the next line: each line is a sequence of its own.
        lines = [(i, words, *line) for i, words in batch for line in _lines(self._texts[i], words)]
        shape = features(
            [self._texts[i] for i, *_ in lines],
            [(words.begins[low:high], words.ends[low:high]) for _, words, low, high in lines],
        )
        projected = np.concatenate([words.projected for _, words in batch])
        lengths = [high - low for *_, low, high in lines]
        tags = best_tags(self._head, self._head.scores(projected, shape), lengths)
        at = 0
        for (i, words, low, _), length in zip(lines, lengths, strict=True):
            spans = [(a + low, b + low, label) for a, b, label in spans_of(tags[at : at + length])]
            found[i] += _entities(self._texts[i], self._starts[i], words, spans)
            at += length
        return found


def _lines(text: str, words: Words) -> list[tuple[int, int]]:
    """First word and word after the last of every line that has words."""
    count = len(words.tokens)
    if "\n" not in text and "\r" not in text:
        return [(0, count)]
    gaps = zip(words.ends[:-1].tolist(), words.begins[1:].tolist(), strict=True)
    breaks = [i for i, (a, b) in enumerate(gaps, 1) if not {"\n", "\r"}.isdisjoint(text[a:b])]
    return list(itertools.pairwise([0, *breaks, count]))


def words_of(tokens: Tokens, start: int, width: int) -> Words:
    """The words that begin at character ``start`` or later."""
    if len(tokens.words) == 0:
        none = np.empty(0, np.int32)
        return Words(none, none, none, np.empty((0, width), np.float32))
    firsts = np.flatnonzero(np.diff(tokens.words, prepend=-1)).astype(np.int32)
    begins = tokens.spans[firsts, 0]
    ends = tokens.spans[np.append(firsts[1:], len(tokens.words)) - 1, 1]
    keep = (begins >= start) & (ends > begins)
    firsts, begins, ends = firsts[keep], begins[keep], ends[keep]
    return Words(firsts, begins, ends, np.empty((len(firsts), width), np.float32))


def spans_of(tags: Numbers) -> list[tuple[int, int, int]]:
    """``(first word, word after the last, label)`` of every entity in a sequence of tags."""
    spans: list[tuple[int, int, int]] = []
    for i in np.flatnonzero(tags).tolist():
        label, inside = divmod(int(tags[i]) - 1, 2)
        if inside and spans and spans[-1][1:] == (i, label):
            spans[-1] = (spans[-1][0], i + 1, label)
        else:
            spans.append((i, i + 1, label))
    return spans


def _entities(
    text: str, start: int, words: Words, spans: list[tuple[int, int, int]]
) -> list[EntityDict]:
    found: list[EntityDict] = []
    for first, last, label in spans:
        begin, end = trim_span(text, int(words.begins[first]), int(words.ends[last - 1]))
        if begin < end and not _is_noise(text, begin, end):
            found.append(
                {
                    "text": text[begin:end],
                    "label": LABELS[label],
                    "start": begin - start,
                    "end": end - start,
                }
            )
    return found


def trim_span(text: str, begin: int, end: int) -> tuple[int, int]:
    """The span without marks at its edges, and with the combining marks that follow it."""
    while begin < end and not text[begin].isalnum():
        begin += 1
    while begin < end and not (text[end - 1].isalnum() or _continues(text[end - 1])):
        if text[end - 1] == "." and "." in text[begin : end - 1]:
            break
        end -= 1
    while begin < end < len(text) and _continues(text[end]):
        end += 1
    return begin, end


def _continues(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _is_noise(text: str, begin: int, end: int) -> bool:
    """Whether a span cannot be a name: a pronoun, a date word, a number, part of an address."""
    entity = text[begin:end]
    if entity.lower() in NEVER or not any(map(str.isalpha, entity)):
        return True
    # "bob@example.com" mentions no one; "@bob" does.
    before = begin > 1 and text[begin - 1] == "@" and text[begin - 2].isalnum()
    after = text[end : end + 1] == "@" and text[end + 1 : end + 2].isalnum()
    return before or after
