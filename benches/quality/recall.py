"""Does associative recall find the evidence that words and meaning miss, and how fast is it?

Passages are stored as documents and woven by the local models, so that entities are those which the
product finds and joins by itself. For each question `db.query` (words and meaning) and `db.recall`,
at their defaults, give passages; so does `db.query` with `rank={"activation": w}`, alone and beside
the other legs. What the graph alone is worth shows personalised PageRank over its edges, from the
first parts that `db.query` gives. R@5 is the share of the supporting passages among the first
five, "all" the share of the questions all of whose supporting passages are there.

- 2Wiki: the first 50 questions over 6,119 passages; MuSiQue: 100 questions over their pooled
  passages (both as HippoRAG has them).
- LoCoMo: evidence turns of the open half, each conversation by itself, as `locomo.py` measures.
- Time: the median recall over a random graph of 100,000 nodes and a million edges, from three of
  its nodes, and after one edge was written.

Usage: python benches/quality/recall.py [2wiki] [musique] [locomo] [time]
"""

import argparse
import gzip
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from locomo import DATA, FILE, Scores, evaluate

from embedded_db import EmbeddedDB
from embedded_db.importers import import_file
from embedded_db.importers.locomo import namespace_of

MULTIHOP = DATA / "multihop"
CUT = 5
ALONE = {"text": 0.0, "semantic": 0.0, "neighbors": 0.0, "activation": 1.0}
BESIDE = {"activation": 0.5}
LEG = {"activation": 0.1}
SEEDS = 3
DAMPING = 0.8  # as little restart as recall has
GOALS = {"2wiki": 10.0, "musique": 8.0}
MORE_COMPLETE = 1.7
MOST_MS = 20.0


@dataclass
class Walked:
    """A part to which a walk led."""

    node: Any


@dataclass
class Question:
    """What is asked, and which passages support the answer."""

    text: str
    support: set[int]


@dataclass
class Corpus:
    """Passages, each its title and text, and questions about them."""

    passages: list[str]
    questions: list[Question]


def load(name: str) -> Any:
    with gzip.open(MULTIHOP / name, "rt", encoding="utf-8") as file:
        return json.load(file)


def two_wiki() -> Corpus:
    rows = load("2wiki_hipporag_corpus_6119.json.gz")
    at: dict[str, int] = {row["title"]: number for number, row in enumerate(rows)}
    questions = [
        Question(question["question"], {at[title] for title in question["supporting_titles"]})
        for question in load("2wiki_questions_first50.json.gz")
    ]
    return Corpus([f"{row['title']}\n{row['text']}" for row in rows], questions)


def musique() -> Corpus:
    at: dict[str, int] = {}
    questions = []
    for question in load("musique_train100_hipporag.json.gz"):
        support = set()
        for row in question["paragraphs"]:
            passage = f"{row['title']}\n{row['paragraph_text']}"
            number = at.setdefault(passage, len(at))
            if row["is_supporting"]:
                support.add(number)
        questions.append(Question(question["question"], support))
    return Corpus(list(at), questions)


Ask = Callable[[str], Any]


def ways(db: EmbeddedDB) -> dict[str, Ask]:
    """Give every way to ask for parts of passages."""

    def query(rank: Any) -> Ask:
        return lambda text: db.query(
            text_query={"text": text},
            semantic_query={"text": text},
            labels=["Part"],
            limit=4 * CUT,
            rank=rank,
        )

    return {
        "query": query(None),
        "search, plain": lambda text: db.search(
            text, labels=["Part"], limit=4 * CUT, profile="plain"
        ),
        "query, activation alone": query(ALONE),
        "query, activation 0.5": query(BESIDE),
        "recall": lambda text: db.recall(text, labels=["Part"], limit=4 * CUT),
        "personalised PageRank": lambda text: walked(db, text),
    }


def walked(db: EmbeddedDB, text: str) -> list[Any]:
    """Give parts by how often a walk over mentions comes by that begins at what was found."""
    first = db.query(
        text_query={"text": text}, semantic_query={"text": text}, labels=["Part"], limit=SEEDS
    )
    begin = {found.node.id: found.score for found in first}
    edges = ["MENTIONS", "CONTAINS"]
    ranks = db.pagerank(personalization=begin, edge_types=edges, direction="any", damping=DAMPING)
    best = (db.get_node(id) for id, _ in ranks.top(100 * CUT))
    return [Walked(node) for node in best if "Part" in node.labels][: 4 * CUT]


def passages(results: Any) -> list[int]:
    """Give the numbers of the first passages that the results are parts of, each once."""
    numbers = dict.fromkeys(int(result.node.chat_id.removeprefix("p")) for result in results)
    return list(numbers)[:CUT]


def measure(name: str, corpus: Corpus) -> None:
    """Store and weave a corpus, and print its table."""
    with TemporaryDirectory() as folder, EmbeddedDB(Path(folder) / "memory.db") as db:
        begun = time.perf_counter()
        for number, passage in enumerate(corpus.passages):
            title = passage.partition("\n")[0]
            db.add_document(passage, title=title, id=f"p{number}", max_tokens=250)
        db.flush(progress=True)
        seconds = time.perf_counter() - begun
        print(f"\n{name}: {len(corpus.questions)} questions, {len(corpus.passages)} passages")
        print(f"woven in {seconds:.0f} s")
        compare(db, name, corpus)


def compare(db: EmbeddedDB, name: str, corpus: Corpus) -> None:
    """Print what each way finds, and whether the goals are reached."""
    stats = db.stats()
    print(f"{stats['nodes']} nodes, {stats['edges']} edges")
    print(f"{'':<26} {'R@5':>6} {'all':>6} {'ms':>6}")
    measured = {}
    for way, ask in ways(db).items():
        recall, complete, times = 0.0, 0, []
        for question in corpus.questions:
            begun = time.perf_counter()
            results = ask(question.text)
            times.append(1000 * (time.perf_counter() - begun))
            found = set(passages(results)) & question.support
            recall += len(found) / len(question.support)
            complete += found == question.support
        count = len(corpus.questions)
        measured[way] = (100 * recall / count, 100 * complete / count)
        r, a = measured[way]
        print(f"{way:<26} {r:6.1f} {a:6.1f} {statistics.median(times):6.1f}")
    (before, whole), (after, more) = measured["query"], measured["recall"]
    against(f"{name}: points of R@5 over the query", after - before, GOALS[name])
    against(f"{name}: all evidence, times the query", more / whole, MORE_COMPLETE)


def against(what: str, value: float, goal: float) -> None:
    said = "reached" if value >= goal else "MISSED"
    print(f"{what}: {value:.2f}, goal {goal:g}: {said}")


def locomo() -> None:
    """Print what the leg is worth in chats."""
    with gzip.open(FILE, "rt", encoding="utf-8") as file:
        samples = json.load(file)
    with EmbeddedDB(":memory:") as db:
        import_file(db, FILE, format="locomo")
        db.flush(progress=True)
        spaces = {
            sample["sample_id"]: db.namespace(namespace_of(sample["sample_id"]))
            for sample in samples
        }

        def query(space: EmbeddedDB, rank: Any) -> Ask:
            return lambda text: space.query(
                text_query={"text": text},
                semantic_query={"text": text},
                labels=["Message"],
                limit=20,
                rank=rank,
            )

        def recall(space: EmbeddedDB) -> Ask:
            return lambda text: space.recall(text, labels=["Message"], limit=20)

        print(f"\nlocomo\n{'':<14} {'questions':>9} {'R@5':>6} {'R@10':>6} {'R@20':>6} {'MRR':>7}")
        found = {}
        for way, ask in [
            ("query", lambda space: query(space, None)),
            ("activation .1", lambda space: query(space, LEG)),
            ("activation .5", lambda space: query(space, BESIDE)),
            ("recall", recall),
        ]:
            asks = {name: ask(space) for name, space in spaces.items()}
            scores: Scores = evaluate(samples, asks)["all"]
            print(scores.row(way))
            found[way] = scores.means()["R@10"]
    against("locomo: R@10 with activation 0.1", found["activation .1"], found["query"])


def timed() -> None:
    """Print how long a recall takes over a large graph."""
    nodes, edges = 100_000, 1_000_000
    random = np.random.default_rng(7)
    with TemporaryDirectory() as folder, EmbeddedDB(Path(folder) / "memory.db", ml=None) as db:
        ids = db.create_nodes([{"label": "N", "id": str(at)} for at in range(nodes)])
        for _ in range(edges // 50_000):
            ends = random.integers(0, nodes, (50_000, 2))
            db.create_edges([{"source": ids[a], "target": ids[b], "type": "TIE"} for a, b in ends])
        print(f"\ntime: {nodes} nodes, {edges} edges, 3 seeds, 3 bursts")

        def once(bursts: int = 3) -> tuple[float, float]:
            """Give the time and the processor's time of a recall, in ms."""
            seeds = [ids[at] for at in random.integers(0, nodes, 3)]
            begun, worked = time.perf_counter(), time.thread_time()
            db.recall(seeds, bursts=bursts)
            return 1000 * (time.perf_counter() - begun), 1000 * (time.thread_time() - worked)

        def after_a_write() -> tuple[float, float]:
            one, other = (ids[at] for at in random.integers(0, nodes, 2))
            db.create_edge({"source": one, "target": other, "type": "TIE"})
            return once()

        def show(what: str, times: list[tuple[float, float]]) -> float:
            wall, worked = map(statistics.median, zip(*times, strict=True))
            print(f"{what}: {wall:.2f} ms, of the processor {worked:.2f} ms")
            return wall

        show("first, which reads the edges", [once()])
        print(f"held in memory: {db.stats()['view_bytes'] / 1e6:.0f} MB")
        median = show("3 bursts", [once() for _ in range(200)])
        show("3 bursts after a write", [after_a_write() for _ in range(50)])
        for bursts in (1, 2, 4, 5):
            show(f"{bursts} bursts", [once(bursts) for _ in range(20)])
    against("time: faster than 20 ms by", MOST_MS / median, 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {
        "2wiki": lambda: measure("2wiki", two_wiki()),
        "musique": lambda: measure("musique", musique()),
        "locomo": locomo,
        "time": timed,
    }
    parser.add_argument("what", nargs="*", help=f"of {', '.join(tables)}; all unless given")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in arguments.what or tables:
        if name not in tables:
            parser.error(f"{name!r} is none of {', '.join(tables)}")
        if name != "time" and not MULTIHOP.exists():
            print(f"skipped: the data of {name} is not on this machine")
            continue
        tables[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
