"""Measure durable writes through another process beside those of the process that writes.

``python benches/shared_writes.py [DIRECTORY]``; the directory should lie on a disk.
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from embedded_db import EmbeddedDB

COUNT = 2_000

CHILD = """
import sys
from embedded_db import EmbeddedDB

db = EmbeddedDB(sys.argv[1], shared=True, ml=None)
print("ready", flush=True)
for line in sys.stdin:
    for n in range(int(line)):
        db.create_node({"label": "Thing", "properties": {"n": n, "text": "a text of some length"}})
    print("done", flush=True)
"""


def begin(path: Path) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def inserts(db: EmbeddedDB) -> list[float]:
    """Microseconds of each."""
    out = []
    for n in range(COUNT):
        begun = time.perf_counter()
        db.create_node({"label": "Thing", "properties": {"n": n, "text": "a text of some length"}})
        out.append((time.perf_counter() - begun) * 1e6)
    return sorted(out)


def told(what: str, times: list[float]) -> None:
    middle, late = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"{what}: median {middle:.0f} µs, p99 {late:.0f} µs")


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        path = Path(directory) / "memory.db"
        with EmbeddedDB(path, ml=None, shared=True) as db:
            told("durable insert by the process that writes", inserts(db))
        holder = begin(path)
        with EmbeddedDB(path, ml=None, shared=True) as db:
            told("durable insert through another process", inserts(db))
            begun = time.perf_counter()
            threads = [threading.Thread(target=inserts, args=(db,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rate = 8 * COUNT / (time.perf_counter() - begun)
            print(f"eight threads through another process: {rate:.0f} inserts/s")
            others = [begin(path) for _ in range(4)]
            begun = time.perf_counter()
            for other in others:
                print(COUNT, file=other.stdin, flush=True)
            for other in others:
                assert other.stdout is not None
                assert other.stdout.readline() == "done\n"
            rate = 4 * COUNT / (time.perf_counter() - begun)
            print(f"four processes through a fifth: {rate:.0f} inserts/s")
            took = []
            for _ in range(20):
                holder.kill()
                begun = time.perf_counter()
                db.create_node({"label": "Thing"})
                took.append((time.perf_counter() - begun) * 1e3)
                if db.stats()["shared"]["role"] == "holds":
                    break
                pid = db.stats()["shared"]["pid"]
                holder = next(other for other in others if other.pid == pid)
            print(f"a write after its holder was killed: {', '.join(f'{t:.0f}' for t in took)} ms")
            for child in (holder, *others):
                child.kill()
                child.wait()


if __name__ == "__main__":
    main()
