"""How long algorithms over a whole graph take; networkx and NumPy beside them.

    python benches/graphs.py [--nodes N] [--edges N] [--rounds N]

Nodes are in groups of a hundred; seven of ten edges stay within their group, the others lead
anywhere. networkx is measured on a graph of a twentieth of the size, in turns with ours on the
same, since it takes minutes on the whole; power iteration in NumPy on both. Each time of ours holds
the reading of the graph from the store. Times are medians of calls from Python.
"""

import argparse
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from measuring import Call, Row, median, processor, scratch

from embedded_db import EmbeddedDB

Ends = npt.NDArray[np.int64]

GROUP = 100
BATCH = 20_000
SMALLER = 20


def edges(nodes: int, count: int) -> tuple[Ends, Ends]:
    """Where edges begin and end."""
    rng = np.random.default_rng(3)
    sources = rng.integers(0, nodes, count)
    near = np.minimum(sources // GROUP * GROUP + rng.integers(0, GROUP, count), nodes - 1)
    return sources, np.where(rng.random(count) < 0.7, near, rng.integers(0, nodes, count))


def stored(db: EmbeddedDB, nodes: int, ends: tuple[Ends, Ends]) -> None:
    for first in range(0, nodes, BATCH):
        numbers = range(first, min(nodes, first + BATCH))
        db.create_nodes([{"id": f"node{n}", "label": "X"} for n in numbers])
    sources, targets = ends
    for first in range(0, len(sources), BATCH):
        some = zip(sources[first : first + BATCH], targets[first : first + BATCH], strict=True)
        db.create_edges(
            [{"source": f"node{a}", "target": f"node{b}", "type": "R"} for a, b in some]
        )


def ranked(nodes: int, ends: tuple[Ends, Ends]) -> npt.NDArray[np.float64]:
    """PageRank by power iteration, until it changes as little as ours."""
    sources, targets = ends
    out = np.bincount(sources, minlength=nodes)
    ranks = np.full(nodes, 1 / nodes)
    for _ in range(100):
        shares = np.divide(ranks, out, where=out > 0, out=np.zeros(nodes))
        arriving = np.bincount(targets, weights=shares[sources], minlength=nodes)
        new = 0.85 * arriving + (0.15 + 0.85 * ranks[out == 0].sum()) / nodes
        change, ranks = np.abs(new - ranks).sum(), new
        if change < 1e-6:
            break
    return ranks


def algorithms(db: EmbeddedDB) -> dict[str, Callable[[], Any]]:
    return {
        "degree (read and count)": db.degree,
        "pagerank": db.pagerank,
        "connected_components": db.connected_components,
        "communities (Leiden)": db.communities,
        "label_propagation": db.label_propagation,
        "triangles": db.triangles,
        "k_core": db.k_core,
        "distances": lambda: db.distances("node0"),
        "distances, weighted": lambda: db.distances("node0", weighted=True),
    }


def peers(graph: nx.MultiDiGraph, nodes: int, ends: tuple[Ends, Ends]) -> dict[str, Call]:
    plain = nx.Graph(graph)
    plain.remove_edges_from(list(nx.selfloop_edges(plain)))
    return {
        "pagerank": lambda: ranked(nodes, ends),
        "connected_components": lambda: list(nx.weakly_connected_components(graph)),
        "communities (Leiden)": lambda: nx.community.louvain_communities(plain, seed=0),
        "triangles": lambda: nx.triangles(plain),
        "k_core": lambda: nx.core_number(plain),
        "distances": lambda: nx.single_source_shortest_path_length(graph, 0),
        "distances, weighted": lambda: nx.single_source_dijkstra_path_length(graph, 0),
    }


def measure(directory: Path, nodes: int, count: int, rounds: int, *, small: bool) -> None:
    ends = edges(nodes, count)
    with EmbeddedDB(directory / "memory.db", ml=None) as db:
        stored(db, nodes, ends)
        beside: dict[str, Call] = {"pagerank": lambda: ranked(nodes, ends)}
        if small:
            graph = nx.MultiDiGraph()
            graph.add_nodes_from(range(nodes))
            graph.add_edges_from(zip(*(each.tolist() for each in ends), strict=True), weight=1)
            beside = peers(graph, nodes, ends)
        print(f"\n{nodes:,} nodes, {count:,} edges")
        for name, ours in algorithms(db).items():
            other = beside.get(name)
            taken = median(*filter(None, [ours, other]), rounds=rounds, warm=1)
            label = "NumPy" if name == "pagerank" else "networkx"
            row = Row(name, taken[0], "", label, None if other is None else taken[1])
            print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure algorithms over whole graphs.")
    parser.add_argument("--nodes", type=int, default=200_000)
    parser.add_argument("--edges", type=int, default=1_200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, networkx {nx.__version__}")
    for share in (SMALLER, 1):
        nodes, count = options.nodes // share, options.edges // share
        with scratch() as directory:
            measure(directory, nodes, count, options.rounds, small=share == SMALLER)


if __name__ == "__main__":
    main()
