"""What do reflexes save, and does a near answer agree with a fresh one?

The conversations of LoCoMo, each in a namespace of its own. All its questions are asked with
`reflex="near"`, then 54 of them in other words of ours (`data/paraphrases.json`): once slightly
changed, once freely. Printed for each: how many were answered by a reflex, how many of these from
the question that was meant, how many of the ten results are those of a fresh answer, whether the
first is, the evidence among the ten (the recall of both), and the time. The same of the questions
among themselves, which mean different things: what a near answer gets wrong. Exact repetitions are
compared in full.

    python benches/quality/reflexes.py [FILE]
"""

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from locomo import FILE, evidence_of

from embedded_db import EmbeddedDB, Results
from embedded_db.importers import import_file
from embedded_db.importers.locomo import namespace_of

PARAPHRASES = Path(__file__).parent / "data" / "paraphrases.json"
LIMIT = 10


@dataclass
class Tally:
    """What came of the questions of one kind."""

    asked: int = 0
    meant: int = 0
    same_first: int = 0
    shared: list[float] = field(default_factory=list)
    evidence: list[tuple[float, float]] = field(default_factory=list)
    fresh_times: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        hits = len(self.shared)
        if not hits:
            return f"{name:<22} {self.asked:>5} asked, none answered by a reflex"
        near, fresh = (statistics.mean(pair[at] for pair in self.evidence) for at in (0, 1))
        times = [statistics.median(of) * 1e6 for of in (self.times, self.fresh_times)]
        return (
            f"{name:<22} {self.asked:>5} {hits / self.asked:7.1%} {self.meant / hits:7.1%} "
            f"{statistics.mean(self.shared):7.1%} {self.same_first / hits:7.1%} "
            f"{near:7.1%} {fresh:7.1%} "
            f"{times[0]:8.0f} {times[1]:8.0f}"
        )


def timed(ask: Callable[[], Results]) -> tuple[Results, float]:
    begun = time.perf_counter()
    results = ask()
    return results, time.perf_counter() - begun


def ids(results: Results) -> list[str]:
    return [result.node.id for result in results]


def tell(
    db: EmbeddedDB, tally: Tally, text: str, meant: str | None, evidence: set[str], exact: bool
) -> None:
    """Ask once by reflex and once afresh, and note what came."""
    query: dict[str, Any] = {
        "semantic_query": {"text": text},
        "text_query": {"text": text},
        "labels": ["Message"],
        "limit": LIMIT,
    }
    known, took = timed(lambda: db.query(**query, reflex="near"))
    fresh, took_fresh = timed(lambda: db.query(**query))
    tally.asked += 1
    if known.reflex != ("exact" if exact else "near"):
        return
    if exact:
        assert known.to_dicts() == fresh.to_dicts()
    tally.meant += exact or known.answered == meant
    tally.times.append(took)
    tally.fresh_times.append(took_fresh)
    found, expected = ids(known), ids(fresh)
    tally.shared.append(len(set(found) & set(expected)) / max(1, len(expected)))
    tally.same_first += found[:1] == expected[:1]
    if evidence:
        share = tuple(len(evidence & set(of)) / len(evidence) for of in (found, expected))
        tally.evidence.append((share[0], share[1]))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    file = parser.parse_args().file
    if not file.exists():
        print(f"skipped: the data {file.name} is not on this machine")
        return
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        samples = json.load(opened)
    paraphrases = json.loads(PARAPHRASES.read_text("utf-8"))
    kinds = ("among themselves", "asked again", "slightly changed", "freely changed")
    tallies = {kind: Tally() for kind in kinds}
    with EmbeddedDB(":memory:") as db:
        import_file(db, file, format="locomo")
        db.flush(timeout=3600)
        for sample in samples:
            name = sample["sample_id"]
            own = db.namespace(namespace_of(name))
            turns = set(ids(own.query(labels=["Message"], limit=10_000)))
            asked = {row["question"]: evidence_of(row, turns) for row in sample["qa"]}
            for kind in kinds[:2]:
                for text, evidence in asked.items():
                    tell(own, tallies[kind], text, text, evidence, kind == "asked again")
            for of, at, slightly, freely in paraphrases:
                if of == name:
                    meant = sample["qa"][at]["question"]
                    for kind, text in zip(kinds[2:], (slightly, freely), strict=True):
                        tell(own, tallies[kind], text, meant, asked[meant], False)
    print(
        f"{'questions':<22} {'':>5} {'reflex':>7} {'meant':>7} {'same10':>7} {'same1':>7} "
        f"{'R@10':>7} {'fresh':>7} {'µs':>8} {'fresh':>8}"
    )
    for kind, tally in tallies.items():
        print(tally.row(kind))


if __name__ == "__main__":
    main()
