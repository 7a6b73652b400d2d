"""Evidence retrieval on LoCoMo, through the public API only.

For every question of the open half, over the messages of that conversation: `db.query` with the
question as words and as meaning, and `db.search` by each profile, all at their defaults. Each
conversation is a namespace of one database; "in one" has all of them in one namespace, where each
question is restricted to the chats of its conversation. Recall is the share of the labelled
evidence turns among the first k results, MRR the mean inverse rank of the first evidence turn (0
behind 20). Evidence is cleaned: several turns in one string, leading zeros, turns that do not
exist.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded_db import EmbeddedDB, Results
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
ALL = "locomo-all"
GOALS = {
    "query": {"R@5": 62.0, "R@10": 72.0, "R@20": 79.0, "MRR": 0.47},
    "conversation": {"R@5": 73.0, "R@10": 83.0, "R@20": 88.0, "MRR": 0.59},
    "window": {"R@5": 75.0, "R@10": 85.0, "R@20": 90.0, "MRR": 0.60},
    "conversation in one": {"R@5": 71.0, "R@10": 81.0, "R@20": 86.0, "MRR": 0.57},
    "window in one": {"R@5": 73.0, "R@10": 83.0, "R@20": 88.0, "MRR": 0.58},
}

Ask = Callable[[str], Results]
"""A question, and its 20 results."""


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


def put_in_one(db: EmbeddedDB, samples: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Copy all conversations into one namespace; ids get the conversation before them.

    Returns:
        The ids of the chats of each conversation.
    """
    one = db.namespace(ALL)
    chats: dict[str, list[str]] = {}
    for sample in samples:
        name = sample["sample_id"]
        chats[name] = []
        for chat in db.namespace(namespace_of(name)).nodes("Chat"):
            copy = one.create_chat(**{**chat.properties, "id": f"{name}/{chat.id}"})
            chats[name].append(copy.id)
            copy.add_messages(
                [
                    {
                        "id": f"{name}/{message.id}",
                        "content": message.content,
                        "sender": message.sender,
                        "timestamp": message.timestamp,
                    }
                    for message in chat.messages()
                ]
            )
    return chats


def ways(
    db: EmbeddedDB, samples: list[dict[str, Any]], chats: dict[str, list[str]]
) -> Iterator[tuple[str, dict[str, Ask]]]:
    """Give every way to ask, by name: for each conversation, how."""
    spaces = {name: db.namespace(namespace_of(name)) for name in chats}

    def query(space: EmbeddedDB) -> Ask:
        return lambda text: space.query(
            text_query={"text": text}, semantic_query={"text": text}, labels=["Message"], limit=20
        )

    def search(space: EmbeddedDB, profile: Any, chat: list[str] | None) -> Ask:
        return lambda text: space.search(text, chat, limit=20, profile=profile)

    yield "query", {name: query(space) for name, space in spaces.items()}
    for profile in ("plain", "conversation", "window"):
        yield profile, {name: search(space, profile, None) for name, space in spaces.items()}
    one = db.namespace(ALL)
    for profile in ("conversation", "window"):
        yield (
            f"{profile} in one",
            {name: search(one, profile, own) for name, own in chats.items()},
        )


def evaluate(samples: list[dict[str, Any]], asks: dict[str, Ask]) -> dict[str, Scores]:
    scores: dict[str, Scores] = defaultdict(Scores)
    for sample in samples:
        name = sample["sample_id"]
        turns = {
            turn["dia_id"]
            for session, part in sample["conversation"].items()
            if re.fullmatch(r"session_\d+", session)
            for turn in part
        }
        for question in sample["qa"]:
            evidence = evidence_of(question, turns)
            if not evidence:
                continue
            results = asks[name](question["question"])
            found = [result.node.id.removeprefix(f"{name}/") for result in results]
            category = CATEGORIES.get(question.get("category"), "other")
            for group in ("all", name, category):
                scores[group].add(evidence, found)
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
        chats = put_in_one(db, samples)
        db.flush(progress=True)
        measured = {}
        for way, asks in ways(db, samples, chats):
            begun = time.perf_counter()
            scores = evaluate(samples, asks)
            measured[way] = (scores, time.perf_counter() - begun)
    if arguments.json:
        print(json.dumps({way: scores["all"].means() for way, (scores, _) in measured.items()}))
        return 0
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{report.messages} messages imported and enriched: {enriched:.1f} s")
    for way, (scores, seconds) in measured.items():
        show(way, scores, seconds)
    return 0


def show(way: str, scores: dict[str, Scores], seconds: float) -> None:
    whole = scores.pop("all")
    each = 1000 * seconds / whole.questions
    print(f"\n{way}: {whole.questions} questions asked in {seconds:.1f} s, {each:.1f} ms each")
    print(f"{'':<14} {'questions':>9} {'R@5':>6} {'R@10':>6} {'R@20':>6} {'MRR':>7}")
    print(whole.row("all"))
    for name in [*CATEGORIES.values(), "other"]:
        if name in scores:
            print(scores.pop(name).row(name))
    for name in sorted(scores):
        print(scores[name].row(name))
    means = whole.means()
    for name, goal in GOALS.get(way, {}).items():
        if means[name] < goal:
            print(f"below its goal: {name} {means[name]:.3g}, goal {goal:g}")


if __name__ == "__main__":
    sys.exit(main())
