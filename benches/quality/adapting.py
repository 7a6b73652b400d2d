"""Does recall learn what is used, and forget it?

LoCoMo, each conversation in a namespace of its own. A *theme* is an evidence turn that two or more
questions with different words ask for. The first question of each theme is recalled several times;
after each the edges that led to its evidence among the results are strengthened (`used`), or those
to all ten results (`all`). Then the other questions of the themes, which were never asked, are
recalled: the reciprocal rank of their evidence among 100 results, and the share of them with
evidence among the first ten. *Others* are questions of the same conversations about no theme: the
control, which should lose nothing. *Another* strengthens the edges that led to one of the ten
results that is no evidence: what mere change does. Then the clock moves on: after one half-life,
and after seven, and once everything is taken back.

    python benches/quality/adapting.py [FILE]
"""

import argparse
import gzip
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locomo import FILE, evidence_of

from embedded_db import EmbeddedDB
from embedded_db.importers import import_file
from embedded_db.importers.locomo import namespace_of

REPEATS = (1, 3, 10)
LIMIT = 100
CUT = 10
HALF_LIFE = 86_400


@dataclass(frozen=True)
class Question:
    """What is asked of a conversation, and the turns in which the answer stands."""

    of: str
    text: str
    evidence: frozenset[str]


def themes(questions: Iterable[Question]) -> tuple[list[Question], list[Question], list[Question]]:
    """Part questions into one of each theme, the others of the themes, and those of none."""
    begun: dict[tuple[str, str], Question] = {}
    first: dict[Question, None] = {}
    later: dict[Question, None] = {}
    rest: list[Question] = []
    for question in questions:
        if len(question.evidence) != 1:
            rest.append(question)
            continue
        theme = (question.of, *question.evidence)
        before = begun.setdefault(theme, question)
        if before is not question and before.text != question.text:
            first[before] = None
            later[question] = None
    used = {(question.of, *question.evidence) for question in first}
    alone = [one for key, one in begun.items() if key not in used]
    return list(first), list(later), [*rest, *alone]


def recalled(db: EmbeddedDB, question: Question) -> list[str]:
    own = db.namespace(namespace_of(question.of))
    return [r.node.id for r in own.recall(question.text, limit=LIMIT, labels=["Message"])]


def scores(db: EmbeddedDB, questions: Iterable[Question]) -> tuple[float, float]:
    """Give the mean reciprocal rank of evidence, and the share with some among the first ten."""
    ranks = []
    for question in questions:
        places = [at for at, id in enumerate(recalled(db, question), 1) if id in question.evidence]
        ranks.append(places[0] if places else 0)
    inverse = [1 / rank if rank else 0.0 for rank in ranks]
    return statistics.mean(inverse), statistics.mean(0 < rank <= CUT for rank in ranks)


def strengthen(db: EmbeddedDB, question: Question, wanted: Callable[[str], bool]) -> None:
    own = db.namespace(namespace_of(question.of))
    found = own.recall(question.text, limit=LIMIT, labels=["Message"])
    own.strengthen([result for result in found if wanted(result.node.id)])


def forget(db: EmbeddedDB) -> None:
    for name in db.namespaces():
        db.namespace(name).forget_strengths()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    file = parser.parse_args().file
    if not file.exists():
        print(f"skipped: the data {file.name} is not on this machine")
        return
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        samples: list[dict[str, Any]] = json.load(opened)
    with EmbeddedDB(":memory:", recall_half_life=HALF_LIFE) as db:
        import_file(db, file, format="locomo")
        db.flush(timeout=3600)
        questions = []
        for sample in samples:
            own = db.namespace(namespace_of(sample["sample_id"]))
            turns = {r.node.id for r in own.query(labels=["Message"], limit=10_000)}
            questions += [
                Question(sample["sample_id"], row["question"], frozenset(evidence))
                for row in sample["qa"]
                if (evidence := evidence_of(row, turns))
            ]
        first, later, others = themes(questions)
        others = random.Random(1).sample(others, min(len(others), 200))
        print(f"{len(first)} themes, {len(later)} other questions of theirs, {len(others)} others")
        print(f"{'':<28} {'themes later':>17} {'others':>17}")
        print(f"{'':<28} {'MRR':>8} {'hit@10':>8} {'MRR':>8} {'hit@10':>8}")

        def tell(what: str) -> None:
            both = [*scores(db, later), *scores(db, others)]
            print(f"{what:<28} " + " ".join(f"{value:8.3f}" for value in both), flush=True)

        tell("before")
        chance = random.Random(2)
        for kind in ("used", "all", "another"):
            done = 0
            for repeats in REPEATS if kind == "used" else REPEATS[-1:]:
                for _ in range(repeats - done):
                    for question in first:
                        if kind == "used":
                            strengthen(db, question, question.evidence.__contains__)
                        elif kind == "all":
                            own = db.namespace(namespace_of(question.of))
                            how: dict[str, Any] = {"limit": CUT, "labels": ["Message"]}
                            own.recall(question.text, **how, strengthen=True)
                        else:
                            ids = recalled(db, question)[:CUT]
                            wrong = chance.choice([id for id in ids if id not in question.evidence])
                            strengthen(db, question, wrong.__eq__)
                done = repeats
                tell(f"{kind}, recalled {repeats} times")
            if kind == "used":
                # As tests do it: nobody waits for a day.
                shift_clock = sys.modules["embedded_db._native"]._shift_clock
                moved = 0
                for lives in (1, 7):
                    shift_clock((lives * HALF_LIFE - moved) * 1_000_000)
                    moved = lives * HALF_LIFE
                    tell(f"{lives} half-lives later")
                shift_clock(-moved * 1_000_000)
            forget(db)
            if kind == "used":
                tell("taken back")


if __name__ == "__main__":
    main()
