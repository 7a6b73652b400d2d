"""What the message bus costs from Python, beside queues of the standard library and msgpack alone.

In Rust alone: `cargo run --release -p embedded-db-bus --example throughput`.
"""

import asyncio
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
from measuring import Row, median, syncs, timed

from embedded_db.messaging import MessageBus, pack, unpack

MESSAGE: dict[str, Any] = {
    "id": 123_456,
    "sender": "Alice",
    "content": "We should use Rust for performance",
    "tags": ["design", "database"],
    "score": 0.75,
    "read": False,
}
SOME = 1_000
EACH = 25_000
CROWD = 4


def of_each(call: Callable[[], object], clear: Callable[[], object], rounds: int = 60) -> float:
    """Microseconds of a call, of so many in a row that are then cleared away."""
    samples = []
    for _ in range(rounds):
        samples.append(timed(call, SOME))
        clear()
    return statistics.median(samples)


def bus(directory: Path) -> Iterator[Row]:
    """Publishing, consuming, MessagePack, a crowd of threads, and a path."""
    yield from one_by_one()
    yield from packed()
    yield from batches()
    yield from crowds()
    yield from answers()
    yield from paths(directory)


def one_by_one() -> Iterator[Row]:
    made = MessageBus()
    consumer = made.consume("c")
    ordered: queue.PriorityQueue[tuple[int, int, dict[str, Any]]] = queue.PriorityQueue()
    of_loop: asyncio.PriorityQueue[tuple[int, int, dict[str, Any]]] = asyncio.PriorityQueue()
    count = iter(range(10**9))

    def clear() -> None:
        while made.ack(consumer.receive(SOME, timeout=0)):
            pass

    def put() -> None:
        ordered.put((5, next(count), MESSAGE))

    def put_of_loop() -> None:
        of_loop.put_nowait((5, next(count), MESSAGE))

    rounds = [
        (
            of_each(lambda: made.publish("c", MESSAGE, priority=5), clear, 1),
            of_each(lambda: made.publish("c", b"x" * 60, priority=5), clear, 1),
            of_each(put, ordered.queue.clear, 1),
            of_each(put_of_loop, lambda: [of_loop.get_nowait() for _ in range(SOME)], 1),
        )
        for _ in range(60)
    ]
    ours, raw, theirs, loops = (statistics.median(each) for each in zip(*rounds, strict=True))
    yield Row("publish, a dict of six", ours, "≤ 3 µs", "queue.PriorityQueue.put", theirs)
    yield Row("the same", ours, "", "asyncio.PriorityQueue", loops, "no thread, no copy")
    yield Row("publish, 60 bytes", raw, "≤ 3 µs", "queue.PriorityQueue.put", theirs)

    def one() -> None:
        made.publish("c", MESSAGE)
        message = next(consumer)
        _ = message.payload
        message.ack()

    def one_of_them() -> None:
        put()
        ordered.get()

    ours, theirs = median(one, one_of_them, rounds=60, inner=SOME)
    yield Row("publish, consume, read, ack", ours, "", "queue.PriorityQueue", theirs)
    made.close()


def packed() -> Iterator[Row]:
    """What checks and errors add to the library."""
    data = pack(MESSAGE)
    ours, theirs = median(
        lambda: pack(MESSAGE), lambda: msgpack.packb(MESSAGE), rounds=60, inner=SOME
    )
    yield Row("pack, a dict of six", ours, "≤ 2 µs", "msgpack.packb", theirs)
    ours, theirs = median(
        lambda: unpack(data), lambda: msgpack.unpackb(data), rounds=60, inner=SOME
    )
    yield Row("unpack", ours, "≤ 2 µs", "msgpack.unpackb", theirs)


def batches() -> Iterator[Row]:
    made = MessageBus()
    consumer = made.consume("c")
    messages = [MESSAGE] * SOME
    ordered: queue.PriorityQueue[tuple[int, int, dict[str, Any]]] = queue.PriorityQueue()

    def ours() -> None:
        made.publish_batch("c", messages)
        taken = consumer.receive(SOME)
        for message in taken:
            _ = message.payload
        made.ack(taken)

    def theirs() -> None:
        for number in range(SOME):
            ordered.put((5, number, MESSAGE))
        for _ in range(SOME):
            ordered.get()

    took, other = (each / SOME for each in median(ours, theirs, rounds=100))
    note = f"{1e6 / took:,.0f} a second"
    goal = "≤ 6.7 µs"
    yield Row(
        "a message, in batches of 1,000, all of it", took, goal, "queue.PriorityQueue", other, note
    )
    made.close()


def crowds() -> Iterator[Row]:
    """Four threads publish, four consume."""

    def run(publish: Callable[[], None], consume: Callable[[], None]) -> float:
        threads = [threading.Thread(target=publish) for _ in range(CROWD)]
        threads += [threading.Thread(target=consume) for _ in range(CROWD)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.perf_counter() - begun) * 1e6 / (CROWD * EACH)

    def ours() -> float:
        with MessageBus() as made:
            left, lock = [CROWD * EACH], threading.Lock()

            def publish() -> None:
                for _ in range(EACH // 100):
                    made.publish_batch("c", [MESSAGE] * 100)

            def consume() -> None:
                consumer = made.consume("c")
                while left[0]:
                    taken = consumer.receive(100, timeout=0.01)
                    made.ack(taken)
                    with lock:
                        left[0] -= len(taken)

            return run(publish, consume)

    def theirs() -> float:
        ordered: queue.PriorityQueue[tuple[int, int, dict[str, Any]]] = queue.PriorityQueue()

        def publish() -> None:
            for number in range(EACH):
                ordered.put((5, number + threading.get_ident() * EACH, MESSAGE))

        def consume() -> None:
            for _ in range(EACH):
                ordered.get()

        return run(publish, consume)

    rounds = [(ours(), theirs()) for _ in range(5)]
    took, other = (statistics.median(each) for each in zip(*rounds, strict=True))
    note = f"{1e6 / took:,.0f} a second"
    yield Row(
        "4 publishers, 4 consumers, by 100", took, "≤ 6.7 µs", "queue.PriorityQueue", other, note
    )


def answers() -> Iterator[Row]:
    with (
        MessageBus() as made,
        made.subscribe("c", callback=lambda message: message.reply(1)),
    ):
        [took] = median(lambda: made.request("c", MESSAGE), rounds=300)
    yield Row("request and answer, through a thread", took)


def paths(directory: Path) -> Iterator[Row]:
    with MessageBus(directory / "durable") as made, syncs(directory) as sync:
        count = [0]

        def publish() -> None:
            made.publish("c", MESSAGE)
            count[0] += 1

        ours, theirs = median(publish, sync, rounds=200)
        yield Row("publish with a path, one thread", ours, "", "write + fdatasync", theirs)
        messages = [MESSAGE] * SOME
        [took] = median(lambda: made.publish_batch("c", messages), rounds=20)
        yield Row("the same in batches of 1,000, each", took / SOME)
    with MessageBus(directory / "relaxed", durability="relaxed", capacity=10**6) as made:
        [took] = median(lambda: made.publish("c", MESSAGE), rounds=60, inner=100)
        yield Row('publish, durability="relaxed"', took)
    program = f"""
import time
from embedded_db.messaging import MessageBus
begun = time.perf_counter()
with MessageBus({str(directory / "relaxed")!r}, capacity=10**6) as made:
    print((time.perf_counter() - begun) * 1e6 / made.unclaimed)
"""
    env = dict(os.environ)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
    )
    yield Row("opening a path, each message in it", float(run.stdout))


BUS = {"bus": bus}
