"""How long vectors take without a database; NumPy, hnswlib and usearch beside it, in turns.

    python benches/vector_ops.py [--rows N] [--no-index]

Single calls from Python, medians. NumPy's product is that of float32 with its BLAS, as many threads
as that takes; "with lengths" is the cosine of rows that are not normalised, as ours is. The peers
are measured if they are installed.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import Row, median, processor
from vectors import best_of, compare, mixture

from embedded_db.vectors import (
    HnswIndex,
    cosine_similarity,
    cosine_similarity_batch,
    normalize,
    quantize,
    top_k,
)

Vectors = npt.NDArray[np.float32]

DIMENSION = 384
K = 10


def numpy_cosine(queries: Vectors, rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(queries, axis=-1)[..., None] * np.linalg.norm(rows, axis=1)
    return queries @ rows.T / lengths


def numpy_top(query: Vectors, rows: Vectors) -> Vectors:
    scores = rows @ query
    best = np.argpartition(scores, -K)[-K:]
    return best[np.argsort(-scores[best])]


def against(
    peer: str, name: str, rounds: int, ours: Callable[[], Any], theirs: Callable[[], Any]
) -> None:
    """Prints two calls in turns: a third would leave its rows in the caches for one of them."""
    took, other = median(ours, theirs, rounds=rounds)
    goal = "≤ 1 × NumPy" if peer == "product alone" else ""
    print(Row(name, took, goal, peer, other))


def compared() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(1_000, DIMENSION)).astype(np.float32)
    queries = rng.normal(size=(100, DIMENSION)).astype(np.float32)
    one, other = queries[0], queries[1]
    name = "cosine_similarity_batch, 1,000 × 384"
    against(
        "product alone", name, 400, lambda: cosine_similarity_batch(one, rows), lambda: rows @ one
    )
    against(
        "with lengths",
        name,
        400,
        lambda: cosine_similarity_batch(one, rows),
        lambda: numpy_cosine(one, rows),
    )
    name = "the same, 100 queries"
    against(
        "product alone",
        name,
        50,
        lambda: cosine_similarity_batch(queries, rows),
        lambda: queries @ rows.T,
    )
    against(
        "with lengths",
        name,
        50,
        lambda: cosine_similarity_batch(queries, rows),
        lambda: numpy_cosine(queries, rows),
    )
    ours, theirs = median(
        lambda: cosine_similarity(one, other),
        lambda: float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other))),
        rounds=400,
        inner=10,
    )
    print(Row("cosine_similarity, 384", ours, "", "NumPy", theirs))
    ours, theirs = median(
        lambda: normalize(rows),
        lambda: rows / np.linalg.norm(rows, axis=1, keepdims=True),
        rounds=100,
    )
    print(Row("normalize, 1,000 × 384", ours, "", "NumPy", theirs))


def ranked(count: int) -> None:
    rows = np.random.default_rng(2).normal(size=(count, DIMENSION)).astype(np.float32)
    query = rows[7] + rows[8]
    small = {kind: quantize(rows, kind) for kind in ("int8", "f16", "binary")}
    calls: dict[str, Callable[[], Any]] = {
        "float32": lambda: top_k(query, rows, K),
        "int8": lambda: top_k(query, small["int8"], K),
        "binary": lambda: top_k(query, small["binary"], K),
        "f16": lambda: top_k(query, small["f16"], K),
    }
    *ours, numpy = median(*calls.values(), lambda: numpy_top(query, rows), rounds=40)
    goals = {"float32": "≤ 1 × NumPy", "int8": "≤ 0.4 × NumPy"}
    for kind, took in zip(calls, ours, strict=True):
        print(
            Row(f"top_k of {count:,} × 384, {kind}", took, goals.get(kind, ""), "NumPy f32", numpy)
        )


Search = Callable[[Vectors], Sequence[int]]


def indexes(count: int) -> None:
    vectors = mixture(count + 500)
    rows, queries = vectors[:count], vectors[count:]
    best = best_of(rows, queries)
    searches: dict[str, Search] = {}
    begun, cpu = time.perf_counter(), time.process_time()
    index = HnswIndex(DIMENSION)
    index.add_batch(rows)
    took = time.process_time() - cpu
    print(f"HnswIndex: {took / count * 1e6:.0f} CPU µs a row, {time.perf_counter() - begun:.1f} s")

    def ours(recall: float) -> Search:
        return lambda query: index.search(query, K, recall=recall)[0].tolist()

    searches |= {f"HnswIndex, recall {recall}": ours(recall) for recall in (0.95, 0.98, 0.99)}
    try:
        import hnswlib
    except ImportError:
        print("hnswlib is not installed")
    else:
        cpu = time.process_time()
        nearest: Any = hnswlib.Index(space="cosine", dim=DIMENSION)
        nearest.init_index(max_elements=count, ef_construction=200, M=16)
        nearest.add_items(rows, np.arange(count))
        print(f"hnswlib: {(time.process_time() - cpu) / count * 1e6:.0f} CPU µs a row")

        def hnsw(ef: int) -> Search:
            def search(query: Vectors) -> Sequence[int]:
                nearest.set_ef(ef)
                return nearest.knn_query(query, K, num_threads=1)[0][0].tolist()

            return search

        searches |= {f"hnswlib, ef {ef}": hnsw(ef) for ef in (100, 300)}
    try:
        from usearch.index import Index
    except ImportError:
        print("usearch is not installed")
    else:
        cpu = time.process_time()
        other: Any = Index(ndim=DIMENSION, metric="cos", dtype="f16", connectivity=16)
        other.add(np.arange(count), rows)
        print(f"usearch: {(time.process_time() - cpu) / count * 1e6:.0f} CPU µs a row")

        def usearch(expansion: int) -> Search:
            def search(query: Vectors) -> Sequence[int]:
                other.expansion_search = expansion
                return other.search(query, K, threads=1).keys.tolist()

            return search

        searches |= {f"usearch, expansion {ef}": usearch(ef) for ef in (100, 300)}
    compare(f"{count:,} rows", searches, queries, best)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--no-index", action="store_true", help="leave the index out")
    options = arguments.parse_args()
    print(
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}, load "
        f"{os.getloadavg()[0]:.1f}, NumPy {np.__version__}"
    )
    compared()
    ranked(options.rows)
    if not options.no_index:
        indexes(options.rows)


if __name__ == "__main__":
    main()
