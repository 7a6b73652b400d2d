"""What writing costs: in groups, with checkpoints, readers and backups beside it; and reopening."""

import os
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import Row, median, syncs, timed

from embedded_db import EmbeddedDB

THREADS = 8
SECONDS = 5.0


def node(number: int) -> dict[str, object]:
    return {"label": "Thing", "properties": {"number": number}}


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def in_threads(count: int, seconds: float, write: Callable[[], object]) -> float:
    """Calls a second of so many threads together."""
    until = time.perf_counter() + seconds
    counts = [0] * count

    def work(thread: int) -> None:
        while time.perf_counter() < until:
            write()
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=[thread]) for thread in range(count)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def groups(directory: Path) -> Iterator[Row]:
    """Several writes that share one sync, in threads and in one call."""
    with EmbeddedDB(directory / "groups.db", ml=None) as db, syncs(directory) as sync:
        (bare,) = median(sync, rounds=200)
        rate = in_threads(THREADS, SECONDS, lambda: db.create_node(node(1)))
        note = f"{rate:,.0f} a second; fdatasync {bare:.0f} µs"
        yield Row(f"a durable node, {THREADS} threads", 1e6 / rate, "15,000/s", note=note)
        batch = [node(number) for number in range(1000)]
        ours, bare = median(lambda: db.create_nodes(batch), sync, rounds=20)
        yield Row("1,000 nodes in one call", ours, "sync + 3 ms", "fdatasync", bare)

        def own() -> None:
            db.get_node(db.create_node(node(1)))

        ours, bare = median(own, sync, rounds=200)
        yield Row("a durable node, read at once", ours, "≤ 1.6 × + 50 µs", "fdatasync", bare)


def checkpoints(directory: Path) -> Iterator[Row]:
    """The slowest of many single writes, among which checkpoints are made."""
    with EmbeddedDB(directory / "checkpoints.db", ml=None) as db, syncs(directory) as sync:
        samples = [timed(lambda: db.create_node(node(1))) for _ in range(20_000)]
        syncing = [timed(sync) for _ in range(2_000)]
    cuts, others = statistics.quantiles(samples, n=1000), statistics.quantiles(syncing, n=1000)
    other = f"fdatasync p50 {others[499]:.0f}, p99 {others[989]:.0f} µs"
    note = f"p50 {cuts[499]:.0f} µs; {other}"
    yield Row("p99 of 20,000 durable nodes", cuts[989], "≤ 10 × p50", note=note)
    yield Row("p99.9 of the same", cuts[998])


def readers(directory: Path) -> Iterator[Row]:
    """How the files grow while a snapshot is held, and whether that ends with it."""
    path = directory / "readers.db"
    with EmbeddedDB(path, ml=None, max_snapshot_age=3600) as db:
        ids = db.create_nodes([node(number) for number in range(1000)])
        numbers = iter(range(10**9))

        def write() -> None:
            number = next(numbers)
            db.update_node(ids[number % 1000], {"number": number})

        def grow(seconds: float) -> tuple[int, float]:
            before, begun = size(path), next(numbers)
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                write()
            return size(path) - before, (seconds * 1e6) / (next(numbers) - begun)

        grow(SECONDS)
        for held in (False, True, False):
            if held:
                with db.snapshot():
                    grown, each = grow(4 * SECONDS)
            else:
                grown, each = grow(4 * SECONDS)
            what = "with a snapshot held" if held else "with none held"
            yield Row(f"a durable update, {what}", each, note=f"files grew by {grown / 1e6:.1f} MB")


def backups(directory: Path) -> Iterator[Row]:
    """What a backup costs those who write 5,000 times a second meanwhile."""
    path = directory / "backups.db"
    with EmbeddedDB(path, ml=None) as db:
        for begin in range(0, 200_000, 10_000):
            db.create_nodes([node(number) for number in range(begin, begin + 10_000)])
        stop, made = threading.Event(), 0

        def back_up() -> None:
            nonlocal made
            while not stop.is_set():
                db.backup(directory / f"backup{made}")
                made += 1

        def paced() -> float:
            """Writes a second of eight threads that want 5,000 together."""
            every = THREADS / 5000

            def write() -> None:
                due.at = max(getattr(due, "at", 0.0) + every, time.perf_counter() - 1.0)
                time.sleep(max(0.0, due.at - time.perf_counter()))
                db.create_node(node(1))

            due = threading.local()
            return in_threads(THREADS, 2 * SECONDS, write)

        alone = paced()
        thread = threading.Thread(target=back_up)
        thread.start()
        beside = paced()
        stop.set()
        thread.join()
    note = f"{alone:,.0f} and {beside:,.0f} writes/s; {made} backups of 200,000 nodes"
    yield Row("a write beside a backup", 1e6 / beside, "≤ 1.15 ×", "alone", 1e6 / alone, note)


def kill_when_written(program: str, *arguments: object) -> None:
    """Run a program in a process of its own, and kill it when it says that it has written."""
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        os.kill(writer.pid, signal.SIGKILL)


def reopening(directory: Path) -> Iterator[Row]:
    """Opening after the writer was killed, with 100,000 messages stored."""
    path = directory / "reopening.db"
    program = """
        import sys
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(sys.argv[1], ml=None)
        if not db.exists("c0"):
            for chat in range(100):
                messages = [{"content": f"message {n} of chat {chat}"} for n in range(1000)]
                db.create_chat(id=f"c{chat}").add_messages(messages)
        number = 0
        while True:
            db.create_message("c0", f"and {number}")
            number += 1
            if number == 200:
                print("written", flush=True)
    """
    times = []
    for _ in range(7):
        kill_when_written(program, path)
        begun = time.perf_counter()
        with EmbeddedDB(path, ml=None) as db:
            assert db.get_node("c0") is not None
            times.append((time.perf_counter() - begun) * 1e6)
    yield Row("opening after a kill, 100,000 messages", statistics.median(times), "≤ 100 ms")


WRITING: dict[str, Callable[[Path], Iterator[Row]]] = {
    "groups": groups,
    "checkpoints": checkpoints,
    "readers": readers,
    "backups": backups,
    "reopening": reopening,
}
