"""Evidence retrieval on LoCoMo, through the public API only.

For every question of the open half, `db.query` with the question as words and as meaning, at its
defaults, over the messages of that conversation; each conversation is a namespace of one
database. Recall is the share of the labelled evidence turns among the first k results, MRR the
mean inverse rank of the first evidence turn (0 behind 20). Evidence is cleaned: several turns in
one string, leading zeros, turns that do not exist.

    python benches/quality/locomo.py [FILE]
"""

import argparse
import gzip
import json
import os
import platform
import re
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded_db import EmbeddedDB
from embedded_db.importers import import_file
from embedded_db.importers.locomo import namespace_of

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EMBEDDED_DB_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "locomo" / "locomo_open5.json.gz"

TURN = re.compile(r"D0*(\d+):0*(\d+)")
CUTS = (5, 10, 20)
CATEGORIES = {
    1: "multi-hop",
    2: "temporal",
    3: "open domain",
    4: "single hop",
    5: "adversarial",
}
GOALS = {"R@5": 62.0, "R@10": 72.0, "R@20": 79.0, "MRR": 0.47}


@dataclass
class Scores:
    """Sums over questions."""

    questions: int = 0
    recall: dict[int, float] = field(default_factory=lambda: dict.fromkeys(CUTS, 0.0))
    inverse_rank: float = 0.0

    def add(self, evidence: set[str], found: list[str]) -> None:
        self.questions += 1
        for cut in CUTS:
            self.recall[cut] += len(evidence & set(found[:cut])) / len(evidence)
        ranks = [rank for rank, id in enumerate(found, 1) if id in evidence]
        self.inverse_rank += 1 / ranks[0] if ranks else 0.0

    def means(self) -> dict[str, float]:
        recalls = {f"R@{cut}": 100 * self.recall[cut] / self.questions for cut in CUTS}
        return {**recalls, "MRR": self.inverse_rank / self.questions}

    def row(self, name: str) -> str:
        means = self.means()
        cells = " ".join(f"{means[f'R@{cut}']:6.1f}" for cut in CUTS)
        return f"{name:<14} {self.questions:>9} {cells} {means['MRR']:7.3f}"


def evidence_of(question: dict[str, Any], turns: set[str]) -> set[str]:
    """The turns a question's answer is read from, as ids that exist."""
    named = " ".join(map(str, question.get("evidence", [])))
    return {f"D{session}:{turn}" for session, turn in TURN.findall(named)} & turns


def evaluate(db: EmbeddedDB, samples: list[dict[str, Any]]) -> dict[str, Scores]:
    scores: dict[str, Scores] = defaultdict(Scores)
    for sample in samples:
        space = db.namespace(namespace_of(sample["sample_id"]))
        turns = {node.id for node in space.nodes("Message")}
        for question in sample["qa"]:
            evidence = evidence_of(question, turns)
            if not evidence:
                continue
            text = question["question"]
            results = space.query(
                text_query={"text": text},
                semantic_query={"text": text},
                labels=["Message"],
                limit=20,
            )
            found = [result.node.id for result in results]
            category = CATEGORIES.get(question.get("category"), "other")
            for name in ("all", sample["sample_id"], category):
                scores[name].add(evidence, found)
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description="Evidence retrieval on LoCoMo.")
    parser.add_argument("file", nargs="?", type=Path, default=FILE, help="locomo10.json or alike")
    parser.add_argument("--json", action="store_true", help="print the means as JSON")
    arguments = parser.parse_args()
    if not arguments.file.exists():
        print(f"skipped: the data {arguments.file.name} is not on this machine")
        return 0
    opener = gzip.open if arguments.file.suffix == ".gz" else open
    with opener(arguments.file, "rt", encoding="utf-8") as file:
        samples = json.load(file)
    with EmbeddedDB(":memory:") as db:
        begun = time.perf_counter()
        report = import_file(db, arguments.file, format="locomo")
        db.flush(progress=True)
        enriched = time.perf_counter() - begun
        begun = time.perf_counter()
        scores = evaluate(db, samples)
        seconds = time.perf_counter() - begun
    whole = scores.pop("all")
    if arguments.json:
        print(json.dumps(whole.means()))
        return 0
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{report.messages} messages imported and enriched: {enriched:.1f} s")
    each = 1000 * seconds / whole.questions
    print(f"{whole.questions} questions asked: {seconds:.1f} s, {each:.1f} ms each")
    print(f"\n{'':<14} {'questions':>9} {'R@5':>6} {'R@10':>6} {'R@20':>6} {'MRR':>7}")
    print(whole.row("all"))
    for name in [*CATEGORIES.values(), "other"]:
        if name in scores:
            print(scores.pop(name).row(name))
    for name in sorted(scores):
        print(scores[name].row(name))
    means = whole.means()
    missed = {name: goal for name, goal in GOALS.items() if means[name] < goal}
    for name, goal in missed.items():
        print(f"below its goal: {name} {means[name]:.3g}, goal {goal:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
