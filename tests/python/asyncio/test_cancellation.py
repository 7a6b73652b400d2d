"""Cancelling a task ends what it asked for, and leaves nothing behind.

No call here would end by itself before its limit. When the task has ended, so has the call.
"""

import asyncio
import gc
import itertools
import random

import pytest

from embedded_db import AsyncEmbeddedDB, ConvergedQuery, DatabaseClosed, EmbeddedDB
from embedded_db.aio.pool import Cancel, Cancelled
from embedded_db.testing import FakeModel

from .conftest import PATIENCE, cancelled, eventually, in_a_thread, threads

LIMIT = 600.0
SLOW = {"any": [{"property": "n", "operator": "Equals", "value": -n} for n in range(1, 5001)]}


async def fill(db, count):
    for first in range(0, count, 10_000):
        nodes = [{"label": "X", "properties": {"n": n}} for n in range(first, first + 10_000)]
        await db.create_nodes(nodes)


async def readers(db):
    """Count the states that are held."""
    findings = (await AsyncEmbeddedDB.doctor(db.path)).findings
    return next(each.facts["count"] for each in findings if each.about == "readers")


async def for_ever(call):
    """One call alone may be over before it is cancelled."""
    while True:
        await call()


def test_a_query_that_computes(run):
    async def test(db):
        await fill(db, 50_000)
        asking = lambda: db.query(structural_filters=[SLOW], timeout=LIMIT)  # noqa: E731
        await cancelled(db, for_ever(asking))
        query = ConvergedQuery(structural_filters=[SLOW])
        await cancelled(db, for_ever(lambda: db.count_matching(query)))
        async with db.snapshot() as snapshot:
            asking = lambda: snapshot.query(structural_filters=[SLOW])  # noqa: E731
            await cancelled(db, for_ever(asking))
            assert await snapshot.count("X") == 50_000
        assert await db.count("X") == 50_000

    run(test)


def test_what_waits_for_the_background(run, held):
    async def test(db):
        await db.create_message("chat", "never embedded", id="never")
        await cancelled(db, db.flush())
        await cancelled(db, db.flush(progress=True))
        await cancelled(db, db.wait_for("never", "embedding"))
        vector = [1.0] + [0.0] * (held.dim - 1)
        semantic = {"vector": vector}
        waiting = db.query(semantic_query=semantic, labels=["Message"], wait=LIMIT)
        await cancelled(db, waiting)
        held.release()
        await db.flush(timeout=60)

    run(test, ml=held)


def test_a_time_limit_is_a_cancellation(run, held):
    async def test(db):
        await db.create_message("chat", "never embedded", id="never")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await db.flush()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(db.flush(), 0.1)
        await eventually(lambda: not in_a_thread(db), "no call is left")
        held.release()

    run(test, ml=held)


def test_walks_and_paths(run):
    async def test(db):
        ids = await db.create_nodes([{"label": "X"} for _ in range(10_000)])
        ends = list(itertools.pairwise(ids))
        for first in range(0, len(ends), 10_000):
            some = ends[first : first + 10_000]
            await db.create_edges([{"source": a, "target": b, "type": "T"} for a, b in some])

        async def walk():
            while True:
                async for _ in db.traverse(ids[0], max_depth=10_000):
                    pass

        await cancelled(db, walk())
        await cancelled(db, for_ever(lambda: db.find_shortest_path(ids[0], ids[-1])))

    run(test)


def test_a_feed_that_waits(run):
    async def test(db):
        feed = db.changes(follow=True)
        seen = []

        async def follow():
            async for change in feed:
                seen.append(change.id)

        task = asyncio.ensure_future(follow())
        await db.create_node({"id": "a", "label": "X"})
        await eventually(lambda: seen == ["a"], "the change")
        assert not threads()[8:], "it holds no thread of its own"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await db.create_node({"id": "b", "label": "X"})
        assert (await anext(feed)).id == "b"

    run(test)


def test_a_transaction_is_rolled_back(run, held):
    async def test(db):
        await db.create_message("chat", "never embedded", id="never")

        async def write_and_wait():
            async with db.transaction() as tx:
                await tx.create_node({"id": "lost", "label": "X"})
                await db.flush()

        await cancelled(db, write_and_wait())
        assert not await db.exists("lost")
        async with db.transaction() as tx:
            await tx.create_node({"id": "kept", "label": "X"})
        assert await db.exists("kept")
        held.release()

    run(test, ml=held)


def test_a_transaction_is_stored_whole_or_not_at_all(run):
    async def test(db):
        dice = random.Random(7)

        async def write(n):
            async with db.transaction() as tx:
                await tx.create_node({"id": f"a{n}", "label": "X"})
                await tx.create_node({"id": f"b{n}", "label": "X"})

        for n in range(300):
            task = asyncio.ensure_future(write(n))
            await asyncio.sleep(dice.random() * 0.001)
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            both = await db.exists(f"a{n}"), await db.exists(f"b{n}")
            assert both in ((True, True), (False, False))
            assert both[0] or outcome is not None, "what ended well is stored"

    run(test)


def test_a_call_is_told_once(db):
    """What it does then, to leave things in order, goes on."""
    cancel = Cancel()
    steps = []

    def work():
        try:
            with db.transaction() as tx:
                tx.create_node({"id": "lost", "label": "X"})
                cancel.cancel()
                steps.append("before")
                tx.create_node({"id": "never", "label": "X"})
                steps.append("after")
        finally:
            steps.append(db.count())

    with pytest.raises(Cancelled):
        cancel.run(work)
    assert steps == ["before", 0]
    assert cancel.cancelled
    cancel.cancel()
    assert cancel.run(db.count) == 0


def test_a_coroutine_that_is_given_up_ends_its_call(run, held):
    async def test(db):
        await db.create_message("chat", "never embedded", id="never")
        waiting = db.flush()
        waiting.send(None)
        await eventually(lambda: in_a_thread(db), "a call that runs")
        waiting.close()
        await eventually(lambda: not in_a_thread(db), "no call is left")
        held.release()

    run(test, ml=held)


def test_a_batch_drops_what_is_not_stored(run):
    async def test(db):
        begun = asyncio.Event()

        async def write_and_wait():
            async with db.batch() as batch:
                await batch.create_node({"id": "lost", "label": "X"})
                begun.set()
                await asyncio.sleep(LIMIT)

        task = asyncio.ensure_future(write_and_wait())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await db.exists("lost")

    run(test)


def test_upkeep(run, tmp_path):
    async def test(db):
        await fill(db, 20_000)
        number = iter(range(10_000))
        await cancelled(db, for_ever(lambda: db.verify(deep=True)))
        await cancelled(db, for_ever(lambda: db.backup(tmp_path / f"b{next(number)}")))
        await cancelled(db, for_ever(lambda: db.export(tmp_path / f"e{next(number)}")))
        await cancelled(db, for_ever(db.compact))
        await cancelled(db, for_ever(db.logical_hash))
        kept = [f.name for f in tmp_path.iterdir() if f.name[0] == "e" and f.name[1:].isdigit()]
        for name in kept:  # what was not complete is not there
            assert (tmp_path / name / "manifest.json").exists(), name
        assert (await db.verify())["ok"]

    run(test)


def test_an_import_stops_between_two_steps_and_the_weaver_goes_on(run, tmp_path):
    async def test(db):
        await fill(db, 20_000)
        await db.export(tmp_path / "all")
        async with AsyncEmbeddedDB(":memory:", ml=FakeModel()) as other:
            told = asyncio.Event()

            async def progress(done, total):
                if done:
                    told.set()
                    await asyncio.sleep(LIMIT)

            task = asyncio.ensure_future(other.import_(tmp_path / "all", progress=progress))
            await asyncio.wait_for(told.wait(), PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await other.count() < 20_000
            await other.create_message("chat", "Alice met Bob")
            await other.flush(timeout=60)

    run(test)


def test_an_opening_that_waits_for_another_process(path, writer):
    async def main():
        db = AsyncEmbeddedDB(path, ml=None, lock_timeout=LIMIT)
        await cancelled(db, db.count())
        await db.close()
        db = AsyncEmbeddedDB(path, ml=None, lock_timeout=LIMIT)
        task = asyncio.ensure_future(db.__aenter__())
        await eventually(lambda: in_a_thread(db), "an opening that waits")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert db.closed
        with pytest.raises(DatabaseClosed):
            await db.count()
        await eventually(lambda: not threads(), "no thread is left")

    asyncio.run(main())
    writer.communicate("\n")
    with EmbeddedDB(path, ml=None, lock_timeout=0) as db:
        assert db.count() == 0


def test_what_has_not_begun_never_does(run, held):
    async def test(db):
        await db.create_message("chat", "never embedded", id="never")
        some = [asyncio.ensure_future(db.wait_for("never", "embedding")) for _ in range(200)]
        await eventually(lambda: in_a_thread(db) == 64, "as many as there are threads")
        assert await db.count("Message") == 1, "those that wait hold up no others"
        for task in some:
            task.cancel()
        outcomes = await asyncio.gather(*some, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in outcomes)
        await eventually(lambda: not in_a_thread(db), "no call is left")
        held.release()

    run(test, ml=held)


def test_being_cancelled_twice(run, held):
    async def test(db):
        await db.create_message("chat", "never embedded", id="never")
        task = asyncio.ensure_future(db.flush())
        await eventually(lambda: in_a_thread(db), "a call that runs")
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not in_a_thread(db), "no call is left")
        held.release()

    run(test, ml=held)


def test_a_thousand_queries_of_which_some_are_cancelled(run, thorough):
    async def test(db):
        chat = await db.create_chat()
        texts = [f"Alice {n} met Bob {n % 7} in Paris" for n in range(1_000)]
        await chat.add_messages([{"content": text} for text in texts])
        ids = [message.id async for message in chat.messages()]
        dice = random.Random(4)
        before = await readers(db)

        async def write(n):
            async with db.transaction() as tx:
                await tx.create_node({"id": f"x{n}", "label": "X"})
                await tx.get_node(ids[n % len(ids)])

        async def read(n):
            async with db.snapshot() as snapshot:
                return await snapshot.query(text_query={"text": f"alice {n}"}, limit=5)

        async def walk(n):
            found = [node async for node in db.neighbors(chat, "CONTAINS", limit=n + 1)]
            assert len(found) == min(n + 1, 1_000)

        kinds = [
            lambda n: db.query(text_query={"text": f"bob {n}"}, limit=5),
            lambda n: db.search(f"paris {n}", weights={"semantic": 0}),
            lambda n: db.get_node(ids[n]),
            read,
            write,
            walk,
        ]
        tasks = []
        for n in range(1_000):
            tasks.append(asyncio.ensure_future(dice.choice(kinds)(n)))
            if dice.random() < 0.05:
                await asyncio.sleep(dice.random() * 0.002)
                dice.choice(tasks).cancel()
            if dice.random() < 0.1:
                await asyncio.sleep(0)  # it has just begun, however slow the machine is
                tasks[-1].cancel()
        for task in tasks:
            if dice.random() < 0.4:
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kinds_of = {type(each) for each in outcomes if isinstance(each, BaseException)}
        assert kinds_of == {asyncio.CancelledError}
        ended = sum(isinstance(each, asyncio.CancelledError) for each in outcomes)
        assert 50 < ended < 950
        await eventually(lambda: not in_a_thread(db), "no call is left")
        del outcomes, tasks, task  # results hold the state of their next page
        gc.collect()
        async with asyncio.timeout(PATIENCE):
            while await readers(db) > before + 1:  # one is the state that queries share
                await asyncio.sleep(0.05)
        # Nothing holds a state: 1,000 snapshots can be taken at once.
        held = [await db.snapshot() for _ in range(1_000)]
        for snapshot in held:
            await snapshot.close()
        written = [node.id async for node in db.nodes("X")]
        async with db.transaction() as tx:
            for id in written:
                await tx.delete_node(id)
        assert (await db.verify())["ok"]

    run(test)
