"""The algorithms give what the validation graphs of LDBC Graphalytics say they give.

Iosup et al. 2016, "LDBC Graphalytics: a benchmark for large-scale graph analysis". The damping is
0.85; the numbers of steps are those of the benchmark's own validation.
"""

import math
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB

FOLDER = "graphalytics-validation/src/main/resources/validation-graphs/"
KINDS = {"directed": "out", "undirected": "any"}
SHORT = {"directed": "dir", "undirected": "undir"}

Rows = list[list[str]]
Read = Callable[[str], Rows]


@pytest.fixture
def read(shared_data: Callable[[str], Path]) -> Iterator[Read]:
    """The words of the lines of a file of the benchmark."""
    with tarfile.open(shared_data("graphalytics/validation-graphs.tar.gz")) as archive:

        def rows(name: str) -> Rows:
            file = archive.extractfile(FOLDER + name)
            assert file is not None
            return [line.split() for line in file.read().decode().splitlines() if line.strip()]

        yield rows


def stored(nodes: list[str], edges: list[tuple[str, str, float]]) -> EmbeddedDB:
    db = EmbeddedDB(":memory:", ml=None)
    # The oldest of several is the one of the least number.
    db.create_nodes([{"id": id, "label": "V"} for id in sorted(nodes, key=int)])
    db.create_edges(
        [{"source": a, "target": b, "type": "E", "weight": weight} for a, b, weight in edges]
    )
    return db


def by_neighbours(rows: Rows, kind: str) -> EmbeddedDB:
    """From lines of a node and its neighbours, where an undirected edge may stand at both."""
    edges = [(row[0], to) for row in rows for to in row[1:]]
    if kind == "undirected":
        edges = [(a, b) for a, b in {tuple(sorted(each)) for each in edges}]
    nodes = {row[0] for row in rows} | {to for _, to in edges}
    return stored(list(nodes), [(a, b, 1.0) for a, b in edges])


def by_edges(nodes: Rows, edges: Rows) -> EmbeddedDB:
    return stored([row[0] for row in nodes], [(a, b, float(weight)) for a, b, weight in edges])


def expected(rows: Rows) -> dict[str, float]:
    """What is infinite, or the greatest number, is not reached."""
    values = {row[0]: float(row[1]) for row in rows}
    return {id: value for id, value in values.items() if math.isfinite(value) and value < 2**62}


def groups(values: dict[str, float]) -> set[frozenset[str]]:
    return {frozenset(id for id in values if values[id] == of) for of in set(values.values())}


CASES = [
    pytest.param(f"{{}}/{SHORT[kind]}-input", f"{{}}/{SHORT[kind]}-output", kind, id=kind)
    for kind in KINDS
] + [
    pytest.param(f"example/example-{kind}-input", f"example/example-{kind}-{{}}", kind, id=id)
    for kind, id in (("directed", "example, directed"), ("undirected", "example, undirected"))
]


def files(algorithm: str, given: str, wanted: str) -> tuple[str, str]:
    of = algorithm if given.startswith("{}") else algorithm.upper()
    return given.format(algorithm), wanted.format(of)


@pytest.mark.parametrize(("given", "wanted", "kind"), CASES)
def test_breadth_first_search(read, given, wanted, kind):
    given, wanted = files("bfs", given, wanted)
    values = expected(read(wanted))
    [start] = [id for id, distance in values.items() if distance == 0]
    with by_neighbours(read(given), kind) as db:
        assert dict(db.distances(start, direction=KINDS[kind])) == values


@pytest.mark.parametrize(("given", "wanted", "kind"), CASES)
def test_pagerank(read, given, wanted, kind):
    steps = 2 if given.startswith("example") else {"directed": 14, "undirected": 26}[kind]
    given, wanted = files("pr", given, wanted)
    with by_neighbours(read(given), kind) as db:
        found = db.pagerank(direction=KINDS[kind], max_iterations=steps, tolerance=0)
        assert dict(found) == pytest.approx(expected(read(wanted)), rel=1e-4)


@pytest.mark.parametrize(("given", "wanted", "kind"), CASES)
def test_weakly_connected_components(read, given, wanted, kind):
    given, wanted = files("wcc", given, wanted)
    with by_neighbours(read(given), kind) as db:
        assert groups(dict(db.connected_components())) == groups(expected(read(wanted)))


@pytest.mark.parametrize(("given", "wanted", "kind"), CASES)
def test_local_clustering_coefficient(read, given, wanted, kind):
    given, wanted = files("lcc", given, wanted)
    with by_neighbours(read(given), kind) as db:
        found = db.clustering(directed=kind == "directed")
        assert dict(found) == pytest.approx(expected(read(wanted)), abs=1e-6)


@pytest.mark.parametrize(("given", "wanted", "kind"), CASES)
def test_label_propagation(read, given, wanted, kind):
    steps = 2 if given.startswith("example") else 5
    given, wanted = files("cdlp", given, wanted)
    with by_neighbours(read(given), kind) as db:
        found = db.label_propagation(max_iterations=steps)
        assert groups(dict(found)) == groups(expected(read(wanted)))


@pytest.mark.parametrize("example", [False, True], ids=["", "example"])
@pytest.mark.parametrize("kind", KINDS)
def test_shortest_paths(read, kind, example):
    of = f"example/example-{kind}" if example else f"sssp/{SHORT[kind]}-input"
    wanted = f"example/example-{kind}-SSSP" if example else f"sssp/{SHORT[kind]}-output"
    values = expected(read(wanted))
    [start] = [id for id, distance in values.items() if distance == 0]
    with by_edges(read(f"{of}.v"), read(f"{of}.e")) as db:
        found = db.distances(start, direction=KINDS[kind], weighted=True)
        assert dict(found) == pytest.approx(values)
        for end, cost in values.items():
            way = {"direction": KINDS[kind], "weighted": True}
            assert db.find_shortest_path(start, end, **way).cost == pytest.approx(cost)
