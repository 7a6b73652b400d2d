"""The labelled corpora as running text with character spans, in the recogniser's labels.

WNUT17 (Derczynski et al., 2017) and the Broad Twitter Corpus (Derczynski et al., 2016), both
CC BY 4.0, come as one token and tag a line. Tokens are joined the way people write, so that the
recogniser is trained and measured on text as it will meet it.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

from embedded_db.ml.entities import trim_span
from embedded_db.ml.head import LABELS

REPOSITORY = Path(__file__).resolve().parents[2]

TRAINING = ("wnut17/wnut17train.conll.gz", "btc/b.conll.gz", "btc/g.conll.gz", "btc/h.conll.gz")
WNUT_DEV = "wnut17/emerging.dev.conll.gz"
BTC_E = "btc/e.conll.gz"

_LABEL = {
    "person": "PERSON",
    "location": "GPE",
    "corporation": "ORG",
    "group": "ORG",
    "product": "PRODUCT",
    "creative-work": "WORK_OF_ART",
    "PER": "PERSON",
    "LOC": "GPE",
    "ORG": "ORG",
}
# What each corpus annotates; elsewhere its "O" says nothing.
_WNUT_LABELS = frozenset(LABELS)
_BTC_LABELS = frozenset({"PERSON", "GPE", "ORG"})

_NO_SPACE_BEFORE = frozenset(".,!?;:)]}%…”\u2019'\"") | {
    "...",
    "..",
    "!!",
    "!!!",
    "??",
    "n't",
    "n\u2019t",
}
_NO_SPACE_AFTER = frozenset("([{#@$“\u2018")


@dataclass(frozen=True)
class Sentence:
    """Text and its entities as (start, end, label number) in characters.

    ``known`` are the labels this sentence is annotated for. ``unsure`` are spans whose annotation
    is not to be learned from: "@handles" left unlabelled, for the corpora disagree about them.
    """

    text: str
    spans: tuple[tuple[int, int, int], ...]
    known: frozenset[str]
    unsure: tuple[tuple[int, int], ...]


def data_folder(argument: str | None) -> Path:
    """The data folder: the argument, EMBEDDED_DB_DATA, or ``../shared/data`` by the repository.

    Raises:
        FileNotFoundError: it does not exist.
    """
    chosen = argument or os.environ.get("EMBEDDED_DB_DATA")
    folder = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        raise FileNotFoundError(f"no data in {folder}: name it with --data or EMBEDDED_DB_DATA")
    return folder


def read(path: Path) -> list[Sentence]:
    """All sentences of a gzipped CoNLL file (token, tab, tag; an empty line ends a sentence)."""
    known = _WNUT_LABELS if "wnut" in str(path) else _BTC_LABELS
    sentences: list[Sentence] = []
    rows: list[tuple[str, str]] = []
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in [*file, ""]:
            fields = line.rstrip("\r\n").split("\t")
            if fields[0].strip():
                rows.append((fields[0].strip(), fields[-1].strip()))
            elif rows:
                sentences.append(_sentence(rows, known))
                rows = []
    return sentences


def _sentence(rows: list[tuple[str, str]], known: frozenset[str]) -> Sentence:
    text = ""
    glue = True
    placed: list[tuple[int, int, str]] = []
    open_quotes = {'"': False, "'": False}
    for token, tag in rows:
        quote = token in open_quotes
        closes = quote and open_quotes[token]
        opens = quote and not closes
        if quote:
            open_quotes[token] = opens
        tight = token in _NO_SPACE_BEFORE or (token[0] in "'\u2019" and len(token) > 1)
        if not (glue or (tight and not opens)):
            text += " "
        placed.append((len(text), len(text) + len(token), tag))
        text += token
        glue = opens or token in _NO_SPACE_AFTER
    return _labelled(text, placed, known)


def _labelled(text: str, placed: list[tuple[int, int, str]], known: frozenset[str]) -> Sentence:
    spans: list[tuple[int, int, int]] = []
    unsure: list[tuple[int, int]] = []
    inside = False
    for begin, end, tag in placed:
        handle = text[begin] == "@" or (begin > 0 and text[begin - 1] == "@")
        # In the Broad Twitter Corpus the "@" before a name is an entity of its own.
        if tag == "O" or text[begin:end] == "@":
            inside = False
            if handle and tag == "O":
                unsure.append((begin, end))
            continue
        part, _, name = tag.partition("-")
        label = LABELS.index(_LABEL[name])
        if part == "I" and inside and spans[-1][2] == label:
            spans[-1] = (spans[-1][0], end, label)
        else:
            spans.append((begin, end, label))
        inside = True
    trimmed = [(*trim_span(text, begin, end), label) for begin, end, label in spans]
    return Sentence(text, tuple(s for s in trimmed if s[0] < s[1]), known, tuple(unsure))
