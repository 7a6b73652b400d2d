"""Measure the database beside its peers and print every figure with what it was measured on.

Each row is a median; a peer is measured in the same interleaved run. Peers: the standard library's
SQLite (WAL, synchronous=FULL, FTS5), a bare loop of write and fdatasync on a preallocated file, a
loop in Python, NumPy. 20,000 messages in 20 chats with 384-dimensional clustered vectors of our
own making, so that no row depends on a model but those that say so.

    python benches/run.py [--only WORD] [--messages N]
"""

import argparse
import os
import platform
import random
import sqlite3
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import lmdb
import numpy as np
import numpy.typing as npt
from bridges import BRIDGES
from bursts import bursts
from bus import BUS
from measuring import Call, Row, median, processor, scratch, shown, syncs
from overhead import OVERHEAD
from reflexes import REFLEX
from writing import WRITING

from embedded_db import ConvergedQuery, EmbeddedDB

DIMENSION = 384
CLUSTERS = 200
TOPICS = 400
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)

# ---------------------------------------------------------------------- the data


class Corpus:
    """Messages with texts of a Zipf vocabulary, clustered vectors, times, and topics."""

    def __init__(self, count: int, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        vocabulary = np.array([word(number) for number in range(8000)])
        weights = 1 / np.arange(1, len(vocabulary) + 1)
        drawn = rng.choice(vocabulary, size=(count, 14), p=weights / weights.sum())
        self.texts = [" ".join(words) for words in drawn]
        centres = rng.standard_normal((CLUSTERS, DIMENSION))
        self.cluster = rng.integers(0, CLUSTERS, count)
        noise = 0.6 * rng.standard_normal((count, DIMENSION))
        vectors = centres[self.cluster] + noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.vectors: npt.NDArray[np.float32] = vectors.astype(np.float32)
        self.topics = np.stack([self.cluster * 2 % TOPICS, rng.integers(0, TOPICS, count)], axis=1)
        self.times = [BEGUN + timedelta(minutes=number) for number in range(count)]
        self.count = count

    def chat(self, number: int) -> int:
        return number * 20 // self.count


def word(number: int) -> str:
    syllables = ["ka", "lo", "mi", "ru", "se", "ta", "vo", "ni", "du", "pe", "fa", "zo"]
    parts = []
    number += len(syllables)
    while number:
        number, at = divmod(number, len(syllables))
        parts.append(syllables[at])
    return "".join(parts)


def fill(db: EmbeddedDB, corpus: Corpus) -> None:
    db.create_nodes([{"id": f"t{t}", "label": "Topic"} for t in range(TOPICS)])
    for chat in range(20):
        rows = [number for number in range(corpus.count) if corpus.chat(number) == chat]
        db.create_chat(f"Chat {chat}", id=f"c{chat}").add_messages(
            [
                {
                    "id": f"m{number}",
                    "content": corpus.texts[number],
                    "sender": f"s{number % 7}",
                    "timestamp": corpus.times[number],
                }
                for number in rows
            ]
        )
        ids = [f"m{number}" for number in rows]
        db.set_embeddings(ids, corpus.vectors[rows], space="bench")
        db.create_edges(
            [
                {"source": f"m{number}", "target": f"t{topic}", "type": "MENTIONS"}
                for number in rows
                for topic in corpus.topics[number]
            ]
        )


class Sqlite:
    """The same data in SQLite: rows, edges both ways, FTS5, vectors as blobs."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript(
            """
            pragma journal_mode=wal; pragma synchronous=full; pragma cache_size=-200000;
            create table node
                (id text primary key, chat text, sender text, content text, time real);
            create table edge (source text, type text, target text);
            create index out_ on edge (source, type, target);
            create index in_ on edge (target, type, source);
            create table vector (id text primary key, numbers blob);
            create virtual table words using fts5 (content, id unindexed, tokenize='porter');
            """
        )

    def fill(self, corpus: Corpus) -> None:
        self.db.execute("begin")
        for number in range(corpus.count):
            self.add(corpus, f"m{number}", number)
            for topic in corpus.topics[number]:
                self.db.execute(
                    "insert into edge values (?, 'MENTIONS', ?)", (f"m{number}", f"t{topic}")
                )
        self.db.execute("commit")

    def add(self, corpus: Corpus, id: str, number: int) -> None:
        chat, text = f"c{corpus.chat(number)}", corpus.texts[number]
        row = (id, chat, f"s{number % 7}", text, corpus.times[number].timestamp())
        self.db.execute("insert into node values (?, ?, ?, ?, ?)", row)
        self.db.execute("insert into edge values (?, 'CONTAINS', ?)", (chat, id))
        self.db.execute("insert into vector values (?, ?)", (id, corpus.vectors[number].tobytes()))
        self.db.execute("insert into words values (?, ?)", (text, id))

    def neighbours(self, id: str) -> list[str]:
        rows = self.db.execute(
            "select target from edge where source = ?1 and type = 'MENTIONS' "
            "union all select source from edge where target = ?1 and type = 'MENTIONS'",
            (id,),
        )
        return [row[0] for row in rows]

    def path(self, start: str, end: str) -> int | None:
        """Length of the shortest path, breadth first from both ends."""
        if start == end:
            return 0
        seen = [{start: 0}, {end: 0}]
        edge = [[start], [end]]
        while edge[0] and edge[1]:
            side = 0 if len(edge[0]) <= len(edge[1]) else 1
            reached: list[str] = []
            for id in edge[side]:
                for near in self.neighbours(id):
                    if near in seen[1 - side]:
                        return seen[side][id] + 1 + seen[1 - side][near]
                    if near not in seen[side]:
                        seen[side][near] = seen[side][id] + 1
                        reached.append(near)
            edge[side] = reached
        return None


# ---------------------------------------------------------------------- the rows


class Bench:
    """The databases that the rows share."""

    def __init__(self, directory: Path, messages: int) -> None:
        self.directory = directory
        self.corpus = Corpus(messages)
        self.random = random.Random(11)
        self.db = EmbeddedDB(directory / "bench.db", ml=None)
        begun = time.perf_counter()
        fill(self.db, self.corpus)
        self.filled = time.perf_counter() - begun
        self.sqlite = Sqlite(directory / "bench.sqlite")
        begun = time.perf_counter()
        self.sqlite.fill(self.corpus)
        self.sqlite_filled = time.perf_counter() - begun

    def message(self) -> int:
        return self.random.randrange(self.corpus.count)

    def ingest(self) -> Iterator[Row]:
        each = 1e6 / self.corpus.count
        yield Row(
            "ingest: message, text, vector, 4 edges",
            self.filled * each,
            "",
            "SQLite",
            self.sqlite_filled * each,
            "durable, batches of 1,000; SQLite in one transaction",
        )

    def calls(self) -> Iterator[Row]:
        noop = self.db._native.noop
        yield Row("call overhead", *median(noop, rounds=50, inner=10_000), "< 100 ns")
        ids = [f"t{self.random.randrange(TOPICS)}" for _ in range(1000)]
        get = iter(ids * 1000).__next__
        (ours,) = median(lambda: self.db.get_node(get()), rounds=200, inner=100)
        yield Row("lazy get_node", ours, "< 2 µs")
        message = [f"m{self.message()}" for _ in range(1000)]
        get_message = iter(message * 1000).__next__
        select = iter(message * 1000).__next__
        statement = "select content from node where id = ?"
        ours, theirs = median(
            lambda: self.db.get_node(get_message())["content"],
            lambda: self.sqlite.db.execute(statement, (select(),)).fetchone()[0],
            rounds=200,
            inner=100,
        )
        yield Row("get_node and one property", ours, "", "SQLite", theirs)

    def records(self) -> Iterator[Row]:
        node = {"id": "x", "label": "X", "properties": {"name": "Ann", "age": 7, "city": "Paris"}}
        numbers = iter(range(10**9))
        with self.db.transaction() as transaction:

            def buffer() -> object:
                return transaction.create_node({**node, "id": f"x{next(numbers)}"})

            (ours,) = median(buffer, rounds=50, inner=200)
        yield Row("dict → record, buffered in a transaction", ours, "< 1 µs")

    def batches(self) -> Iterator[Row]:
        nodes = [
            {"label": "Batch", "properties": {"name": f"node {n}", "n": n}} for n in range(2000)
        ]
        with EmbeddedDB(self.directory / "batch.db", ml=None) as db:
            ours, loop = median(
                lambda: db.create_nodes(nodes),
                lambda: [db.create_node(node) for node in nodes[:200]],
                rounds=7,
                warm=1,
            )
        yield Row(
            "create_nodes, a node of 2,000",
            ours / len(nodes),
            "≤ 10 µs, ≤ 0.25 ×",
            "loop",
            loop / 200,
        )

    def durable(self) -> Iterator[Row]:
        corpus, numbers = self.corpus, iter(range(10**9))

        def ours() -> None:
            at = self.message()
            self.db.create_message(
                "c0",
                corpus.texts[at],
                "s1",
                embedding=corpus.vectors[at],
                embedding_space="bench",
            )

        def in_transaction() -> None:
            at = self.message()
            with self.db.transaction() as transaction:
                id = transaction.create_node(
                    {
                        "label": "Message",
                        "properties": {
                            "content": corpus.texts[at],
                            "chat_id": "c0",
                            "sender": "s1",
                        },
                    }
                )
                transaction.create_embedding(
                    {"node_id": id, "vector": corpus.vectors[at], "space": "bench"}
                )

        def theirs() -> None:
            self.sqlite.db.execute("begin immediate")
            self.sqlite.add(corpus, f"d{next(numbers)}", self.message())
            self.sqlite.db.execute("commit")

        def message() -> None:
            self.db.create_message("bench", corpus.texts[self.message()], "s1")

        with syncs(self.directory) as sync, lmdb_alone(self.directory) as lmdb:
            # In turns, so that the disk is as quick for one as for the other.
            for many, how in ((20, "20 in a row"), (1, "one by one")):
                calls = ours, theirs, sync, message, lmdb
                medians = median(*calls, rounds=800 // many, inner=many)
                yield from self.durable_rows(medians, how)
            # It reads, and what is read must be committed before.
            mine, bare = median(in_transaction, sync, rounds=400)
            yield Row("the same in a transaction of two calls", mine, "", "fdatasync", bare)

    def durable_rows(self, medians: list[float], how: str) -> Iterator[Row]:
        """Rows of inserts that take turns with others: so many at a time."""
        mine, sqlite, bare, alone, lmdb = medians
        yield Row(f"fdatasync of 2 KB, preallocated, {how}", bare)
        yield Row("LMDB alone, one put of 2 KB, synced", lmdb, "", "fdatasync", bare)
        yield Row("SQLite: message, FTS5, vector, edge", sqlite, "", "fdatasync", bare)
        goal = f"that is {1.3 * bare + 50:.0f} µs"
        yield Row("message, text, vector, edge", mine, "≤ 1.3 × + 50 µs", "fdatasync", bare, goal)
        yield Row("message, text, vector, edge", mine, "", "SQLite", sqlite)
        yield Row("message, text, vector, edge", mine, "", "LMDB, one put", lmdb)
        yield Row("create_message", alone, "sync + 150 µs", "fdatasync", bare)

    def graph(self) -> Iterator[Row]:
        topics = [f"t{self.random.randrange(TOPICS)}" for _ in range(4000)]
        messages = [f"m{self.message()}" for _ in range(4000)]
        one, two = iter(messages).__next__, iter(messages).__next__
        ours, theirs = median(
            lambda: list(self.db.neighbors(one(), "MENTIONS", "both")),
            lambda: self.sqlite.neighbours(two()),
            rounds=1000,
        )
        yield Row("1 hop from a message", ours, "≤ 4 µs", "SQLite", theirs)
        one, two = iter(messages).__next__, iter(messages).__next__
        statement = (
            "select distinct b.source from edge a join edge b on b.target = a.target "
            "and b.type = 'MENTIONS' where a.source = ? and a.type = 'MENTIONS'"
        )
        ours, theirs = median(
            lambda: list(self.db.traverse(one(), "MENTIONS", "any", max_depth=2)),
            lambda: self.sqlite.db.execute(statement, (two(),)).fetchall(),
            rounds=300,
        )
        reached = len(list(self.db.traverse(messages[0], "MENTIONS", "any", max_depth=2)))
        yield Row(
            "2 hops", ours, "≤ 40 µs", "SQLite", theirs, f"about {reached} nodes, all given back"
        )
        one, two, three, four = (iter(each).__next__ for each in (topics, messages) * 2)
        ours, theirs = median(
            lambda: self.db.find_shortest_path(one(), two(), "MENTIONS"),
            lambda: self.sqlite.path(three(), four()),
            rounds=300,
        )
        yield Row("shortest path", ours, "≤ 150 µs", "SQLite", theirs, "SQLite: search in Python")

    def text(self) -> Iterator[Row]:
        corpus = self.corpus
        asked = [" ".join(corpus.texts[self.message()].split()[4:7]) for _ in range(1000)]
        one, two = iter(asked).__next__, iter(asked).__next__
        statement = "select id from words where words match ? order by bm25(words) limit 10"
        ours, theirs = median(
            lambda: self.db.query(text_query={"text": one()}, limit=10),
            lambda: self.sqlite.db.execute(statement, (" OR ".join(two().split()),)).fetchall(),
            rounds=300,
        )
        yield Row("full text, top 10 of 3 words", ours, "≤ 150 µs", "SQLite FTS5", theirs)

    def vectors(self) -> Iterator[Row]:
        corpus = self.corpus
        rng = np.random.default_rng(3)
        asked = corpus.vectors[rng.integers(0, corpus.count, 1000)]
        asked = asked + rng.normal(0, 0.02, asked.shape).astype(np.float32)
        one, two = iter(asked).__next__, iter(asked).__next__

        def numpy() -> object:
            scores = corpus.vectors @ two()
            return np.argpartition(-scores, 10)[:10]

        ours, theirs = median(
            lambda: self.db.query(semantic_query={"vector": one(), "space": "bench"}, limit=10),
            numpy,
            rounds=200,
        )
        found = 0
        for vector in asked[:100]:
            true = {f"m{at}" for at in np.argsort(-(corpus.vectors @ vector))[:10]}
            near = self.db.query(
                semantic_query={"vector": vector, "space": "bench"}, labels=["Message"], limit=10
            )
            found += len(true & {result.node.id for result in near})
        yield Row("vector, top 10", ours, "", "NumPy f32", theirs, f"recall {found / 1000:.3f}")

    def columns(self) -> Iterator[Row]:
        """Ranges and orders over 100,000 nodes: a property with an index, and one without."""
        count = 100_000
        places = list(range(count))
        random.Random(3).shuffle(places)
        with EmbeddedDB(self.directory / "columns.db", ml=None) as db:
            for at in range(0, count, 2000):
                db.create_nodes(
                    [
                        {"label": "N", "properties": {"n": n, "plain": n, "text": "x" * 200}}
                        for n in places[at : at + 2000]
                    ]
                )
            db.create_index("N", "n")
            db.flush()

            def above(property: str, matching: int) -> Call:
                least = {
                    "property": property,
                    "operator": "GreaterThanOrEqual",
                    "value": count - matching,
                }
                query = ConvergedQuery(structural_filters=[least], labels=["N"])
                return lambda: db.count_matching(query)

            for matching in (10, 1_000, 50_000, count):
                ours, theirs = median(
                    above("n", matching), above("plain", matching), rounds=9, inner=5
                )
                yield Row(f"n >= x, {matching:,} match, counted", ours, "", "no index", theirs)

            def first(property: str, way: Literal["asc", "desc"]) -> Call:
                return lambda: db.query(labels=["N"], order_by=[(property, way)], limit=10)

            ways: tuple[Literal["asc", "desc"], ...] = ("asc", "desc")
            for way in ways:
                ours, theirs = median(first("n", way), first("plain", way), rounds=9, inner=5)
                yield Row(f"order_by n {way}, first 10", ours, "", "no index", theirs)

    def converged(self) -> Iterator[Row]:
        corpus = self.corpus
        starts = [self.message() for _ in range(1000)]
        one, two = iter(starts).__next__, iter(starts).__next__
        half = corpus.times[corpus.count // 2]

        def ours() -> object:
            at = one()
            return self.db.query(
                graph_filter={
                    "start": f"m{at}",
                    "edge_types": ["MENTIONS"],
                    "direction": "any",
                    "min_hops": 1,
                    "max_hops": 2,
                },
                structural_filters=[
                    {"property": "timestamp", "operator": "GreaterThan", "value": half}
                ],
                semantic_query={"vector": corpus.vectors[at], "space": "bench"},
                labels=["Message"],
                limit=10,
            )

        statement = (
            "select distinct v.id, v.numbers from edge a join edge b on b.target = a.target "
            "and b.type = 'MENTIONS' join node n on n.id = b.source join vector v on v.id = n.id "
            "where a.source = ? and a.type = 'MENTIONS' and n.time > ?"
        )

        def theirs() -> object:
            at = two()
            rows = self.sqlite.db.execute(statement, (f"m{at}", half.timestamp())).fetchall()
            if not rows:
                return []
            numbers = np.frombuffer(b"".join(row[1] for row in rows), np.float32)
            scores = numbers.reshape(-1, DIMENSION) @ corpus.vectors[at]
            return [rows[place][0] for place in np.argsort(-scores)[:10]]

        mine, sqlite = median(ours, theirs, rounds=300)
        yield Row("converged: 2 hops, time, similarity", mine, "≤ 120 µs", "SQLite + NumPy", sqlite)

    def bursts(self) -> Iterator[Row]:
        yield from bursts()

    def models(self) -> Iterator[Row]:
        if find_spec("embedded_db_minilm") is None:
            print("skipped: the rows with a model; embedded_db_minilm is not installed")
            return
        with EmbeddedDB(self.directory / "models.db") as db:
            db.create_message("warm", "Alice met Bob in Paris")
            db.flush()
            names = iter(range(10**9))

            def enriched() -> None:
                message = db.create_message("chat", f"Alice met Bob number {next(names)} in Paris")
                db.wait_for(message, "embedding")
                db.wait_for(message, "links")

            (ours,) = median(enriched, rounds=30)
            yield Row("create_message → embedded, entities linked", ours, "≤ 30 ms")

            def ask() -> object:
                text = f"who met Bob {next(names)} times"
                return db.query(
                    text_query={"text": text}, semantic_query={"text": text}, labels=["Message"]
                )

            (ours,) = median(ask, rounds=50)
            yield Row("query with a text to embed", ours, "≤ 15 ms")
        yield from self.cold_start()

    def cold_start(self) -> Iterator[Row]:
        program = (
            "import time; begun = time.perf_counter()\n"
            "from embedded_db import EmbeddedDB\n"
            "db = EmbeddedDB(':memory:')\n"
            "m = db.create_message(chat_id='c', content='Alice met Bob in Paris')\n"
            "db.wait_for(m, 'embedding'); db.wait_for(m, 'entities')\n"
            "print(time.perf_counter() - begun)"
        )
        runs = [
            float(subprocess.check_output([sys.executable, "-c", program], text=True)) * 1e6
            for _ in range(21)
        ][1:]
        p90 = statistics.quantiles(runs, n=10)[-1]
        yield Row(
            "fresh process, import → enriched, p50 of 20",
            statistics.median(runs),
            "≤ 500 ms",
            note=f"p90 {shown(p90)}",
        )

    def opening(self) -> Iterator[Row]:
        program = (
            "import time, sys; import numpy; begun = time.perf_counter(); import embedded_db; "
            "print(time.perf_counter() - begun)"
        )
        # With compiled modules, as after an installation.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(self.directory / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", program]
        runs = [
            float(subprocess.check_output(command, text=True, env=environment)) * 1e6
            for _ in range(12)
        ][1:]
        yield Row("import embedded_db, numpy loaded", statistics.median(runs), "≤ 20 ms + pydantic")
        numbers = iter(range(10**9))

        def new() -> None:
            EmbeddedDB(self.directory / f"new{next(numbers)}.db", ml=None).close()

        (ours,) = median(new, rounds=20)
        yield Row("a new empty database", ours, "≤ 20 ms")


@contextmanager
def lmdb_alone(directory: Path) -> Iterator[Call]:
    """A call that puts 2 KB into LMDB, synced, by its Python package."""
    value, numbers = bytes(range(256)) * 8, iter(range(10**9))
    with lmdb.open(str(directory / "alone.lmdb"), map_size=1 << 30) as environment:

        def put() -> None:
            with environment.begin(write=True) as transaction:
                transaction.put(struct.pack(">Q", next(numbers)), value)

        yield put


ROWS = (
    "ingest",
    "calls",
    "records",
    "batches",
    "graph",
    "text",
    "vectors",
    "columns",
    "converged",
    "durable",
    *WRITING,
    *BRIDGES,
    *BUS,
    "bursts",
    *REFLEX,
    *OVERHEAD,
    "opening",
    "models",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the database beside its peers.")
    parser.add_argument("--only", action="append", choices=ROWS, help="only these rows")
    parser.add_argument("--messages", type=int, default=20_000, help="messages to query over")
    arguments: Any = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SQLite {sqlite3.sqlite_version}; {arguments.messages:,} messages × {DIMENSION}"
    )
    print(f"command: python benches/run.py {' '.join(sys.argv[1:])}".rstrip())
    print(f"\n{'median of':<44} {'ours':>10}  {'goal':<14} {'peer':<28} {'ratio':>8}")
    with scratch() as directory:
        bench = Bench(directory, arguments.messages)
        for name in arguments.only or ROWS:
            apart = {**WRITING, **REFLEX, **BUS, **BRIDGES, **OVERHEAD}.get(name)
            rows = apart(directory) if apart else getattr(bench, name)()
            for row in rows:
                print(row, flush=True)
        bench.db.close()


if __name__ == "__main__":
    main()
