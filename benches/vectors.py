"""How long a search among many vectors takes, and what it finds; hnswlib and usearch beside it.

    python benches/vectors.py [--rows N] [--queries N]

Rows are of a clustered mixture, as in the example `vector_graph`. Recall is that of the best ten,
against all rows compared by NumPy. Times are medians of single calls from Python, in turns. The
peers are measured if they are installed.
"""

import argparse
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import processor, scratch

from embedded_db import EmbeddedDB

Vectors = npt.NDArray[np.float32]
Search = Callable[[Vectors], Sequence[int]]

K = 10
DIMENSION = 384
CLUSTERS = 800
WIDE = 32
BATCH = 2_000


def mixture(count: int) -> Vectors:
    """Unit vectors around centres, which lie around fewer centres.

    Each cluster is wide in some directions of its own.
    """
    rng = np.random.default_rng(1)
    themes = rng.normal(size=(20, DIMENSION))
    centres = themes[np.arange(CLUSTERS) % 20] + 0.8 * rng.normal(size=(CLUSTERS, DIMENSION))
    directions = 0.7 * rng.normal(size=(CLUSTERS, WIDE, DIMENSION))
    # Some clusters are larger than others.
    of = (rng.random(count) * rng.random(count) * CLUSTERS).astype(int)
    out = np.empty((count, DIMENSION), np.float32)
    for begin in range(0, count, 10_000):
        some = of[begin : begin + 10_000]
        steps = rng.normal(size=(len(some), WIDE))
        rows = centres[some] + np.einsum("nw,nwd->nd", steps, directions[some])
        rows += 0.4 * rng.normal(size=rows.shape)
        out[begin : begin + len(some)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def best_of(
    rows: Vectors, queries: Vectors, allowed: npt.NDArray[np.bool_] | None = None
) -> list[set[int]]:
    out: list[set[int]] = []
    for begin in range(0, len(queries), 50):
        scores = queries[begin : begin + 50] @ rows.T
        if allowed is not None:
            scores[:, ~allowed] = -2
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        out += [
            {int(row) for row in found if score[row] > -2}
            for found, score in zip(best, scores, strict=True)
        ]
    return out


def compare(name: str, searches: dict[str, Search], queries: Vectors, best: list[set[int]]) -> None:
    """Prints time and recall of several searches, each asked the same in turns."""
    times: dict[str, list[float]] = {which: [] for which in searches}
    right = dict.fromkeys(searches, 0)
    order = list(searches.items())
    shuffle = random.Random(1).shuffle
    for query, true in zip(queries, best, strict=True):
        # Whoever comes second finds the query's rows in the caches.
        shuffle(order)
        for which, search in order:
            begun = time.perf_counter()
            found = search(query)
            times[which].append(time.perf_counter() - begun)
            right[which] += len(true & set(found))
            assert len(found) == len(true)
    wanted = sum(map(len, best))
    for which in searches:
        took = statistics.median(times[which]) * 1e6
        print(
            f"{name:<28} {which:<22} {took:>9.1f} µs   recall {right[which] / wanted:.4f}",
            flush=True,
        )


def peers(rows: Vectors) -> dict[str, Search]:
    searches: dict[str, Search] = {}
    numbers = np.arange(len(rows))
    try:
        import hnswlib
    except ImportError:
        print("hnswlib is not installed")
    else:
        begun = time.thread_time()
        nearest = hnswlib.Index(space="cosine", dim=DIMENSION)
        nearest.init_index(max_elements=len(rows), ef_construction=200, M=16)
        nearest.add_items(rows, numbers, num_threads=1)
        print(f"hnswlib: {(time.thread_time() - begun) / len(rows) * 1e6:.0f} CPU µs a row")

        def hnsw(ef: int) -> Search:
            def search(query: Vectors) -> Sequence[int]:
                nearest.set_ef(ef)
                return list(nearest.knn_query(query, K, num_threads=1)[0][0])

            return search

        searches |= {f"hnswlib, ef {ef}": hnsw(ef) for ef in (64, 200)}
    try:
        from usearch.index import Index
    except ImportError:
        print("usearch is not installed")
    else:
        begun = time.thread_time()
        index: Any = Index(ndim=DIMENSION, metric="cos", dtype="f16", connectivity=16)
        index.add(numbers, rows, threads=1)
        print(f"usearch: {(time.thread_time() - begun) / len(rows) * 1e6:.0f} CPU µs a row")

        def usearch(expansion: int) -> Search:
            def search(query: Vectors) -> Sequence[int]:
                index.expansion_search = expansion
                return list(index.search(query, K, threads=1).keys)

            return search

        searches |= {f"usearch, expansion {ef}": usearch(ef) for ef in (100, 300)}
    return searches


SHARES = {"half": 0.5, "few": 0.005, "fewest": 0.0005}
"""Properties by which a filter lets this share of the rows pass."""


def fill(db: EmbeddedDB, rows: Vectors, draws: npt.NDArray[np.float64], first: int) -> None:
    for begin in range(0, len(rows), BATCH):
        some = range(begin, min(begin + BATCH, len(rows)))
        nodes: list[dict[str, Any]] = [
            {
                "id": str(first + row),
                "label": "Item",
                "properties": {name: bool(draws[row] < share) for name, share in SHARES.items()},
            }
            for row in some
        ]
        db.create_nodes(nodes)
        db.set_embeddings([node["id"] for node in nodes], rows[some.start : some.stop], "bench")


def linked(db: EmbeddedDB, query: Vectors) -> str:
    """Waits until few rows are scanned, and a query is answered in one way; what it is."""
    before, since, scanned = "", time.monotonic(), 0
    while time.monotonic() - since < 5 or scanned > 5_000:
        plan = db.query(semantic_query={"vector": query, "space": "bench"}, explain=True).plan
        assert plan is not None
        detail = next(str(step["detail"]) for step in plan["steps"] if step["step"] == "vectors")
        if detail != before:
            before, since = detail, time.monotonic()
            scanned = int(detail.split("int8 scan, ")[1].split()[0])
        time.sleep(0.2)
    return before


def ids(results: Any) -> Sequence[int]:
    return [int(result.node.id) for result in results]


def ours(
    db: EmbeddedDB, recall: float | None, filters: Sequence[Any] = (), exact: bool = False
) -> Search:
    # An index is one of a label.
    labels = ["Item"] if filters else None

    def search(query: Vectors) -> Sequence[int]:
        leg: Any = {"vector": query, "space": "bench", "recall": recall}
        found = db.query(
            semantic_query=leg, structural_filters=filters, labels=labels, limit=K, exact=exact
        )
        return ids(found)

    return search


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--queries", type=int, default=500)
    options = arguments.parse_args()
    print(
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}, load {os.getloadavg()[0]:.1f}"
    )
    count = options.rows
    vectors = mixture(count + count // 10 + options.queries)
    rows, queries = vectors[: count + count // 10], vectors[-options.queries :]
    with scratch() as directory:
        measure(directory, rows, count, queries)


def measure(directory: Path, rows: Vectors, count: int, queries: Vectors) -> None:
    with EmbeddedDB(directory / "db", ml=None) as db:
        begun = time.perf_counter()
        draws = np.random.default_rng(5).random(len(rows))
        fill(db, rows[:count], draws[:count], 0)
        print(f"stored in {time.perf_counter() - begun:.1f} s")
        for name in SHARES:
            db.create_index("Item", name)
        # Vectors are linked meanwhile.
        theirs = peers(rows[:count])
        print(f"after {time.perf_counter() - begun:.1f} s: {linked(db, queries[0])}")
        best = best_of(rows[:count], queries)
        searches = {f"recall {recall}": ours(db, recall) for recall in (0.95, 0.98, 0.99)}
        compare(f"{count} rows", searches | theirs, queries, best)
        compare("the same", {"exact": ours(db, None, exact=True)}, queries[:50], best[:50])
        for begin in range(count, len(rows), BATCH):
            some = slice(begin, begin + BATCH)
            fill(db, rows[some], draws[some], begin)
        print(f"a tenth more: {linked(db, queries[0])}")
        best = best_of(rows, queries)
        compare(
            "a tenth more", {f"recall {r}": ours(db, r) for r in (0.95, 0.98, 0.99)}, queries, best
        )
        filtered(db, rows, draws, queries[:200])
    for _ in range(3):
        begun = time.perf_counter()
        with EmbeddedDB(directory / "db", ml=None) as db:
            opened = time.perf_counter()
            ours(db, None)(queries[0])
            done = time.perf_counter()
            took = [f"{seconds * 1e3:.1f} ms" for seconds in (opened - begun, done - opened)]
            print("opening, and the first query:", *took)


def filtered(
    db: EmbeddedDB, rows: Vectors, draws: npt.NDArray[np.float64], queries: Vectors
) -> None:
    for name, share in SHARES.items():
        filters = [{"property": name, "operator": "Equals", "value": True}]
        allowed = draws < share
        best = best_of(rows, queries, allowed)
        both = {
            "recall 0.98": ours(db, None, filters),
            "exact": ours(db, None, filters, exact=True),
        }
        compare(f"{allowed.mean():.2%} pass", both, queries, best)


if __name__ == "__main__":
    main()
