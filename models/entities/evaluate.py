"""Scores of the shipped recogniser: micro F1 over exact spans, with and without the label.

Usage: ``python models/entities/evaluate.py [--data FOLDER] [--weights FILE] [--int8] [--lower]``

WNUT17 dev (corporation and group count as ORG) and section e of the Broad Twitter Corpus. Spans are
compared as characters of the running text, marks such as "#" or "@" stripped on both sides. Only
names are: that "@bob" is a handle and "May 7" a date is told by rules, of which no corpus knows.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from corpus import BTC_E, WNUT_DEV, Sentence, data_folder, read

from embedded_db.ml.entities import Recogniser
from embedded_db.ml.head import LABELS
from embedded_db.ml.minilm import MiniLM

Span = tuple[int, int, int]


def find(model: MiniLM, recogniser: Recogniser, texts: list[str]) -> list[set[Span]]:
    """What the recogniser finds in each text."""
    tokens = model.tokenize(texts, words=True)
    every = [True] * len(texts)
    search = recogniser.search(texts, tokens, [0] * len(texts), every)
    model.encode(tokens, [False] * len(texts), search.collect, every)
    return [
        {(each["start"], each["end"], LABELS.index(each["label"])) for each in found}
        for found in search.names()
    ]


def f1(gold: list[set[tuple[int, ...]]], found: list[set[tuple[int, ...]]]) -> tuple[float, ...]:
    """Precision, recall and F1, micro-averaged."""
    right = sum(len(g & f) for g, f in zip(gold, found, strict=True))
    precision = right / max(sum(map(len, found)), 1)
    recall = right / max(sum(map(len, gold)), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def report(name: str, sentences: list[Sentence], found: list[set[Span]]) -> None:
    """Print typed, untyped and per-label scores; labels a corpus does not annotate are left out."""
    known = {LABELS.index(label) for label in sentences[0].known}
    gold: list[set[tuple[int, ...]]] = [set(each.spans) for each in sentences]
    seen: list[set[tuple[int, ...]]] = [{s for s in each if s[2] in known} for each in found]
    p, r, f = f1(gold, seen)
    print(f"{name:12} typed   P {p:.3f}  R {r:.3f}  F1 {f:.3f}  ({sum(map(len, gold))} entities)")
    bare = [[{s[:2] for s in each} for each in part] for part in (gold, seen)]
    p, r, f = f1(bare[0], bare[1])
    print(f"{name:12} untyped P {p:.3f}  R {r:.3f}  F1 {f:.3f}")
    for number in sorted(known):
        part = [[{s for s in each if s[2] == number} for each in side] for side in (gold, seen)]
        p, r, f = f1(part[0], part[1])
        count = Counter(s[2] for each in gold for s in each)[number]
        print(f"{'':12} {LABELS[number]:12} P {p:.3f}  R {r:.3f}  F1 {f:.3f}  ({count})")


def main() -> int:
    """Print the scores of both sets."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", help="folder with wnut17/ and btc/")
    parser.add_argument("--weights", type=Path, help="another head than the shipped one")
    parser.add_argument("--int8", action="store_true", help="on the int8 encoder")
    parser.add_argument("--lower", action="store_true", help="with the texts in lower case")
    arguments = parser.parse_args()
    folder = data_folder(arguments.data)
    model = MiniLM("int8" if arguments.int8 else "fp32", None)
    recogniser = Recogniser(arguments.weights) if arguments.weights else Recogniser()
    for name, file in (("WNUT17 dev", WNUT_DEV), ("BTC e", BTC_E)):
        sentences = read(folder / file)
        texts = [each.text for each in sentences]
        if arguments.lower:
            texts = ["".join(c.lower() if len(c.lower()) == 1 else c for c in t) for t in texts]
        report(name, sentences, find(model, recogniser, texts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
