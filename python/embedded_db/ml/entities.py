"""The local entity recogniser: a small head on MiniLM's last layer.

Per word (as BERT's pre-tokenizer cuts them) the head sees the hidden rows of its first token and
of the mean of its tokens, and what an uncased model cannot see (`word_features`); it answers with
one tag a word (`head`), from which the names are read here. Features on a frozen encoder follow
Peters et al., "To Tune or Not to Tune?", 2019 (arXiv:1903.05987).

Labels, and what they can be relied on for (trained on social media, see ``models/README.md``):

* ``PERSON``: people, also by first name, handle or fictional.
* ``GPE``: places of every kind. Cities and countries mostly; mountains, rivers and venues come
  under the same label, for the training data does not tell them apart.
* ``ORG``: companies, institutions, teams, bands. The weak class beside the next two.
* ``PRODUCT``, ``WORK_OF_ART``: sparse in the training data; what is found is usually a name, but
  many are missed.

By their form (`rules`): ``EMAIL``, ``URL``, ``HANDLE`` (``@name``), ``DATE`` (with a month and a
day or a year), ``MONEY``, ``PERCENT``. Events are not recognised.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from embedded_db.ml import rules
from embedded_db.ml.encoders import Floats
from embedded_db.ml.gazetteer import NEVER
from embedded_db.ml.head import LABELS, Head, best_tags
from embedded_db.ml.loading import LOADING
from embedded_db.ml.transformer import Tokens
from embedded_db.ml.word_features import Numbers, features

__all__ = ["EntityDict", "Recogniser", "Search", "spans_of", "trim_span", "words_of"]

_WEIGHTS = Path(__file__).parent / "data" / "entities.npz"


class EntityDict(TypedDict):
    """One entity; ``text[start:end]`` of the searched content is ``text``."""

    text: str
    label: str
    start: int
    end: int


class Recogniser:
    """Finds entities; the head is loaded once, at first use."""

    def __init__(self, weights: Path = _WEIGHTS) -> None:
        self._path = weights
        self._head: Head | None = None

    @property
    def loaded(self) -> bool:
        """Whether the head is in memory."""
        return self._head is not None

    def head(self) -> Head:
        """The head; raises ModelUnavailable when its file does not load."""
        with LOADING:
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
        """A search over one batch, fed by `Transformer.encode`; arguments as `Functions.enrich`."""
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
        found = self.names()
        for i in self._words:
            found[i] = _with_rules(self._texts[i], self._starts[i], found[i])
        return found

    def names(self) -> list[list[EntityDict]]:
        """What the head finds, as `entities` gives it."""
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


def _with_rules(text: str, start: int, names: list[EntityDict]) -> list[EntityDict]:
    """Names and what has a form, in their order.

    What has a form is no name, nor is a part of it; but a name may hold a date or an amount.
    """
    formed: list[EntityDict] = []
    for begin, end, label in rules.find(text, start):
        first, last = begin - start, end - start
        over = [name for name in names if name["start"] < last and first < name["end"]]
        is_part = any(name["start"] <= first and last <= name["end"] for name in over)
        if is_part and label in _IN_NAMES:
            continue
        names = [name for name in names if name not in over]
        formed.append({"text": text[begin:end], "label": label, "start": first, "end": last})
    return sorted(names + formed, key=lambda entity: entity["start"]) if formed else names


_IN_NAMES = ("DATE", "MONEY", "PERCENT")


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
