"""What it costs to be watched and limited: metrics, quotas, the black box and traces.

Every round does the same in two databases with everything off and in one for each part, in another
order each time, and a figure is the median of the quotients of single rounds, over ten sets of new
databases. Times are of the processor, of the thread that calls: what other programs do on the
machine is not in them, but for what they do to its caches.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from measuring import Row

from embedded_db import EmbeddedDB, NamespaceQuota, Quota

NOTHING: dict[str, Any] = {
    "metrics": False,
    "blackbox": False,
    "quota": Quota(max_nodes=None, max_memory=None),
}
LIMITS = Quota(
    max_nodes=10**9,
    max_edges=10**9,
    max_embeddings=10**9,
    max_bytes=10**12,
    disk_reserve=1,
    per_namespace=NamespaceQuota(max_nodes=10**9, max_bytes=10**12),
)
TRACING: dict[str, Any] = {"endpoint": "http://127.0.0.1:1"}
PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "metrics": ({"metrics": True}, "≤ 1 %"),
    "quotas": ({"quota": LIMITS}, "≤ 0.5 %"),
    "black box": ({"blackbox": True}, "≤ 0.5 %"),
    "tracing": ({"tracing": TRACING}, "≤ 2 %"),
    "all four": (
        {"metrics": True, "quota": LIMITS, "blackbox": True, "tracing": TRACING},
        "≤ 4 %",
    ),
    # The same again: how far two equal databases are apart.
    "nothing": ({}, "noise"),
}

SETS = 10

Work = Callable[[EmbeddedDB], object]


class Takes(BaseHTTPRequestHandler):
    """Takes what it is sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def collector() -> Iterator[str]:
    """Give the address of a collector."""
    with HTTPServer(("127.0.0.1", 0), Takes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def batch(db: EmbeddedDB) -> object:
    return db.create_nodes(
        [{"label": "Thing", "properties": {"number": n, "name": f"n{n}"}} for n in range(1000)]
    )


def single(db: EmbeddedDB) -> object:
    for number in range(20):
        db.create_node({"label": "Thing", "properties": {"number": number}})
    return None


def get(db: EmbeddedDB) -> object:
    for _ in range(500):
        db.get_node("m7")
    return None


def neighbors(db: EmbeddedDB) -> object:
    for _ in range(100):
        list(db.neighbors("m7"))
    return None


def query(db: EmbeddedDB) -> object:
    for _ in range(10):
        db.query(text_query={"text": "seven"}, limit=10)
    return None


WORKS: dict[str, tuple[Work, int]] = {
    "1,000 nodes in one call": (batch, 300),
    "one node": (single, 600),
    "get_node": (get, 600),
    "neighbors": (neighbors, 600),
    "query": (query, 600),
}


def fill(db: EmbeddedDB) -> None:
    names = ["one", "three", "five", "seven"]
    chat = db.create_chat(id="c")
    chat.add_messages([{"id": f"m{n}", "content": f"{names[n % 4]} and {n}"} for n in range(2000)])


def spent(work: Work, db: EmbeddedDB) -> int:
    begun = time.thread_time_ns()
    work(db)
    return time.thread_time_ns() - begun


def quotients(
    work: Work, rounds: int, databases: dict[str, EmbeddedDB], draw: random.Random
) -> tuple[list[float], dict[str, list[float]]]:
    """Microseconds of two equal databases without anything, and quotients by their mean."""
    for db in databases.values():
        work(db)
    base: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in databases}
    for _ in range(rounds):
        order = list(databases)
        draw.shuffle(order)
        took = {name: spent(work, databases[name]) for name in order}
        off = (took["off"] + took["nothing"]) / 2
        base.append(off / 1000)
        for name in databases:
            found[name].append(took[name] / off)
    return base, found


def compared(
    directory: Path, title: str, options: dict[str, dict[str, Any]], draw: random.Random
) -> tuple[float, dict[str, list[float]]]:
    """The same over several sets of new databases: where one lies makes more of a difference."""
    work, rounds = WORKS[title]
    base: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in options}
    for number in range(SETS):
        with ExitStack() as stack:
            databases: dict[str, EmbeddedDB] = {}
            for name in draw.sample(list(options), len(options)):
                path = directory / f"{title}-{name}-{number}.db".replace(" ", "-")
                settings = {**NOTHING, "durability": "memory", **options[name]}
                databases[name] = stack.enter_context(EmbeddedDB(path, ml=None, **settings))
                fill(databases[name])
            more, parts = quotients(work, rounds // SETS, databases, draw)
        base += more
        for name, each in parts.items():
            found[name] += each
    return statistics.median(base), found


def overhead(directory: Path) -> Iterator[Row]:
    """Metrics, quotas, the black box and traces against nothing; then the log against none."""
    draw = random.Random(3)
    with collector() as endpoint:
        TRACING["endpoint"] = endpoint
        yield from compared_parts(directory, draw)


def compared_parts(directory: Path, draw: random.Random) -> Iterator[Row]:
    options: dict[str, dict[str, Any]]
    options = {"off": {}, **{name: options for name, (options, _) in PARTS.items()}}
    for title in WORKS:
        base, found = compared(directory, title, options, draw)
        for name, (_, goal) in PARTS.items():
            yield told(f"{name}: {title}", base, found[name], goal)
    title = "1,000 nodes in one call"
    options = {"off": {}, "nothing": {}, "the log": {"durability": "relaxed"}}
    base, found = compared(directory / "log", title, options, draw)
    yield told(f"the log, relaxed: {title}", base, found["the log"], "≤ 8 %")


def told(name: str, base: float, each: list[float], goal: str) -> Row:
    low, middle, high = (100 * (part - 1) for part in statistics.quantiles(each, n=4))
    note = f"{middle:+.2f} % in the median, quartiles {low:+.2f} and {high:+.2f}"
    return Row(name, base * statistics.median(each), goal, "off", base, note)


OVERHEAD = {"overhead": overhead}
