"""What is a summary worth? The extractive ones of 500 dialogues beside those that people wrote.

DialogSum, development part: ROUGE-1, -2 and -L (Lin, 2004), F1 in per cent, means over the
dialogues. Words are runs of letters and digits in lower case, not stemmed. A line of a dialogue is
a message, with its speaker before it. Beside them the first two, three and four messages, which are
hard to beat: a dialogue says at once what it is about.

    python benches/quality/summaries.py [FILE]
"""

import argparse
import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from embedded_db import MLConfig
from embedded_db.ml import load_functions

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EMBEDDED_DB_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "dialogsum" / "dialogsum.dev.jsonl.gz"
WORD = re.compile(r"[a-z0-9]+")


def f1(common: int, made: int, wanted: int) -> float:
    """Give the harmonic mean of precision and recall."""
    return 2 * common / (made + wanted) if common else 0.0


def in_common(made: Sequence[str], wanted: Sequence[str], length: int) -> float:
    """Give ROUGE-N: the share of runs of so many words that both have."""
    some, others = (
        Counter(zip(*(words[i:] for i in range(length)), strict=False)) for words in (made, wanted)
    )
    return f1((some & others).total(), some.total(), others.total())


def in_order(made: Sequence[str], wanted: Sequence[str]) -> float:
    """Give ROUGE-L: the share of the longest subsequence that both have."""
    row = [0] * (len(wanted) + 1)
    for word in made:
        before = 0
        for i, other in enumerate(wanted):
            before, row[i + 1] = (
                row[i + 1],
                before + 1 if word == other else max(row[i], row[i + 1]),
            )
    return f1(row[-1], len(made), len(wanted))


def rouge(made: str, wanted: str) -> tuple[float, float, float]:
    """Give ROUGE-1, ROUGE-2 and ROUGE-L of a summary."""
    words, others = (WORD.findall(text.lower()) for text in (made, wanted))
    return in_common(words, others, 1), in_common(words, others, 2), in_order(words, others)


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    with gzip.open(parser.parse_args().file, "rt", encoding="utf-8") as lines:
        dialogues = [json.loads(line) for line in lines]
    messages = [each["dialogue"].splitlines() for each in dialogues]
    functions = load_functions(MLConfig())
    made = {"extractive": [functions.summarize(each) for each in messages]}
    for count in (2, 3, 4):
        made[f"the first {count}"] = ["\n".join(each[:count]) for each in messages]
    print(f"{len(dialogues)} dialogues  ROUGE-1     -2     -L  words")
    for name, summaries in made.items():
        pairs = zip(summaries, dialogues, strict=True)
        scores = [rouge(summary, dialogue["summary"]) for summary, dialogue in pairs]
        means = "".join(f"{100 * sum(each) / len(each):7.1f}" for each in zip(*scores, strict=True))
        words = sum(len(summary.split()) for summary in summaries) / len(summaries)
        print(f"{name:13} {means}  {words:5.1f}")


if __name__ == "__main__":
    main()
