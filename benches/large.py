"""What large databases cost: a million messages, a reader held for ten minutes, ten million nodes.

Takes half an hour and some 20 GB of disk, so that it is no part of `make bench`.

    python benches/large.py [--only WORD] [--messages N] [--nodes N] [--minutes N]
"""

import argparse
import os
import platform
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import Row, processor, scratch
from writing import kill_when_written, node, size

from embedded_db import EmbeddedDB, SnapshotExpired

CHATS = 100
BATCH = 10_000
# As few words of a language are used again and again.
VOCABULARY = 20_000

WRITER = """
    import random, sys
    from itertools import accumulate
    from embedded_db import EmbeddedDB
    path, (count, chats, vocabulary) = sys.argv[1], map(int, sys.argv[2:])
    words = [f"word{number}" for number in range(vocabulary)]
    weights = list(accumulate(1 / (number + 1) for number in range(vocabulary)))
    random = random.Random(1)
    def text():
        return " ".join(random.choices(words, cum_weights=weights, k=14))

    db = EmbeddedDB(path, ml=None)
    if not db.exists("c0"):
        for chat in range(chats):
            made = db.create_chat(id=f"c{chat}")
            for begin in range(0, count // chats, 1000):
                numbers = range(begin, min(begin + 1000, count // chats))
                made.add_messages([{"content": text()} for _ in numbers])
    for number in range(10**9):
        db.create_message("c0", f"and {number}")
        if number == 200:
            print("written", flush=True)
"""


def memory() -> int:
    """Bytes of this process that are its own, beside pages of files."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def killed_writer(path: Path, count: int) -> float:
    """Have a process write that is killed; the seconds until it had written what was missing."""
    begun = time.perf_counter()
    kill_when_written(WRITER, path, count, CHATS, VOCABULARY)
    return time.perf_counter() - begun


def messages(directory: Path, given: Any) -> Iterator[Row]:
    """Opening after kills, and what copies of it cost."""
    path, count = directory / "messages.db", given.messages
    first = killed_writer(path, count)
    opened, asked = [], []
    for again in range(5):
        if again:
            killed_writer(path, count)
        before, begun = memory(), time.perf_counter()
        with EmbeddedDB(path, ml=None) as db:
            opened.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            assert len(db.query(text_query={"text": "word70 word700"}, limit=10)) == 10
            asked.append(time.perf_counter() - begun)
            held = memory() - before
    what = f"{count:,} messages"
    note = (
        f"written and killed in {first:.0f} s; {size(path) / 1e9:.2f} GB; {held / 1e6:.0f} MB held"
    )
    yield Row(f"opening after a kill, {what}", statistics.median(opened) * 1e6, "≤ 1 s", note=note)
    yield Row("the first text query after it", statistics.median(asked) * 1e6)
    with EmbeddedDB(path, ml=None) as db:
        begun = time.perf_counter()
        db.backup(directory / "backup")
        taken = time.perf_counter() - begun
    bytes_ = size(directory / "backup")
    note = f"{bytes_ / 1e9:.2f} GB"
    yield Row(f"backup of {what}", taken * 1e6, note=note)
    begun = time.perf_counter()
    EmbeddedDB.restore(directory / "backup", directory / "restored.db")
    restored = time.perf_counter() - begun
    with EmbeddedDB(directory / "restored.db", ml=None) as db:
        begun = time.perf_counter()
        assert db.verify()["ok"]
        checked = time.perf_counter() - begun
        begun = time.perf_counter()
        assert db.verify(deep=True)["ok"]
        deep = time.perf_counter() - begun
    note = f"{restored / (bytes_ / 1e9):.1f} s a GB"
    yield Row("restore, which verifies", restored * 1e6, "≤ 20 s a GB", note=note)
    yield Row("verify", checked * 1e6)
    yield Row("verify with deep=True", deep * 1e6)


def held(directory: Path, given: Any) -> Iterator[Row]:
    """How the files grow under a snapshot that is held while others write without a pause."""
    path = directory / "held.db"
    with EmbeddedDB(path, ml=None) as db:
        ids = db.create_nodes([node(number) for number in range(1000)])
        before, begun, writes, ended = size(path), time.perf_counter(), 0, None
        with db.snapshot() as snapshot:
            while (passed := time.perf_counter() - begun) < given.minutes * 60:
                db.update_node(ids[writes % 1000], {"number": writes})
                writes += 1
                if ended is None and writes % 100 == 0:
                    try:
                        snapshot.count()
                    except SnapshotExpired:
                        ended = passed
        grown = (size(path) - before) / 1e9
        until = "not ended" if ended is None else f"ended after {ended:.0f} s"
        note = f"files grew by {grown:.2f} GB; {until}; {writes:,} writes"
        each = given.minutes * 60e6 / writes
        yield Row(f"a durable update, {given.minutes} minutes", each, "bounded", note=note)


def soak(directory: Path, given: Any) -> Iterator[Row]:
    """Many nodes: the rate, the memory and the disk, and whether all is right in the end."""
    path, spans = directory / "soak.db", []
    most = [0]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            most[0] = max(most[0], memory())

    watcher = threading.Thread(target=watch)
    with EmbeddedDB(path, ml=None) as db:
        watcher.start()
        for begin in range(0, given.nodes, BATCH):
            batch = [node(number) for number in range(begin, begin + BATCH)]
            begun = time.perf_counter()
            db.create_nodes(batch)
            spans.append(time.perf_counter() - begun)
        stop.set()
        watcher.join()
        tenth = max(1, len(spans) // 10)
        first, last = (BATCH * tenth / sum(part) for part in (spans[:tenth], spans[-tenth:]))
        note = (
            f"the first tenth {first:,.0f}/s, the last {last:,.0f}/s; {size(path) / 1e9:.2f} GB, "
            f"{size(path) / given.nodes:.0f} bytes each; at most {most[0] / 1e6:.0f} MB held"
        )
        yield Row(f"a node of {given.nodes:,}", sum(spans) / given.nodes * 1e6, note=note)
        begun = time.perf_counter()
        assert db.verify()["ok"]
        yield Row(f"verify of {given.nodes:,} nodes", (time.perf_counter() - begun) * 1e6)
    begun = time.perf_counter()
    with EmbeddedDB(path, ml=None) as db:
        opened = time.perf_counter() - begun
        assert db.count() == given.nodes
    most_ever = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    note = f"the process had at most {most_ever / 1e3:.0f} MB, with pages of files"
    yield Row("opening it", opened * 1e6, note=note)


ROWS = {"messages": messages, "held": held, "soak": soak}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure large databases.")
    parser.add_argument("--only", action="append", choices=ROWS, help="only these rows")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=10_000_000)
    parser.add_argument("--minutes", type=int, default=10)
    given = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    print(f"command: python benches/large.py {' '.join(sys.argv[1:])}\n")
    for name in given.only or ROWS:
        with scratch() as directory:
            for row in ROWS[name](directory, given):
                print(row, flush=True)


if __name__ == "__main__":
    main()
