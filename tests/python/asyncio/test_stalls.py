"""The event loop goes on while the weaver is loaded, queries run and much is read.

A heart beats each millisecond; how late a beat is says how long nothing else of the loop could run.
A busy machine is late by itself: what threads of the process waited for a processor is taken off
(where the system tells it), and the bounds are far from what a quiet machine shows. The figures are
printed: ``pytest -s``.
"""

import asyncio
import time
from pathlib import Path

from embedded_db.testing import FakeModel

BEAT = 0.001
# In seconds, of all beats but the worst in a hundred.
BOUND = 0.05


def queued():
    """Give how long the threads of this process have waited for a processor."""
    waited = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        try:
            waited += int(file.read_text().split()[1])
        except (OSError, IndexError):  # a thread that has ended
            continue
    return waited / 1e9


class Heart:
    """Beats while a block runs."""

    def __init__(self, name):
        self.name = name
        self.late = []

    async def __aenter__(self):
        self.task = asyncio.create_task(self.beat())
        await asyncio.sleep(0)

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        late = sorted(self.late)
        at = lambda share: late[int(len(late) * share)] * 1e3  # noqa: E731
        print(
            f"\n{self.name}: {len(late)} beats, late by {at(0.5):.2f} ms in the median, "
            f"{at(0.99):.2f} at p99, {late[-1] * 1e3:.2f} at most; "
            f"{sum(each > 0.005 for each in late)} by more than 5 ms",
            end="",
        )
        assert at(0.99) < BOUND * 1e3, self.name

    async def beat(self):
        while True:
            before, begun = queued(), time.perf_counter()
            await asyncio.sleep(BEAT)
            late = time.perf_counter() - begun - BEAT
            self.late.append(max(0.0, late - (queued() - before)))


def test_nothing_holds_up_the_loop(run):
    async def test(db):
        async with Heart("nothing"):
            await asyncio.sleep(0.5)
        chat = await db.create_chat()
        texts = [f"Alice {n} met Bob {n % 13} in Paris; they like Rust" for n in range(2_000)]
        async with Heart("weaver, writes and queries"):
            asking = [asyncio.create_task(ask(db, n)) for n in range(8)]
            for first in range(0, len(texts), 100):
                some = texts[first : first + 100]
                await chat.add_messages([{"content": text} for text in some])
            await db.flush()
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        async with Heart("all messages, one by one"):
            for _ in range(5):
                assert len([message.id async for message in chat.messages()]) == len(texts)
        async with Heart("all messages in one call"):
            assert len(await chat.to_openai()) == len(texts)
        nodes = [{"label": "X", "properties": {"n": n}} for n in range(10_000)]
        async with Heart("10,000 nodes written, found and read"):
            ids = await db.create_nodes(nodes)
            await db.query(labels=["X"], limit=10_000)
            await db.get_many(ids)
        async with Heart("a small call after another"):
            times = []
            for _ in range(2_000):
                begun = time.perf_counter()
                await db.get_node(ids[0])
                times.append(time.perf_counter() - begun)
        print(f"\none small call: {sorted(times)[1_000] * 1e6:.0f} µs in the median", end="")

    run(test, ml=FakeModel())


async def ask(db, n):
    while True:
        await db.query(text_query={"text": f"bob {n}"})
        await db.search(f"paris {n}", weights={"semantic": 0})
        await asyncio.sleep(0.005)


def test_a_stall_is_seen(run):
    """So that a measure which sees nothing does not pass for success."""

    async def test(db):
        heart = Heart("a loop that is held up")
        heart.task = asyncio.create_task(heart.beat())
        await asyncio.sleep(0.01)
        time.sleep(0.2)
        await asyncio.sleep(0.01)
        heart.task.cancel()
        assert max(heart.late) > 0.1
        await asyncio.gather(heart.task, return_exceptions=True)

    run(test)
