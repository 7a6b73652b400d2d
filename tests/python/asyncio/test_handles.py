"""Handles are opened, shared between loops, closed and forgotten without a trace."""

import asyncio
import contextvars
import gc
import threading

import pytest

from embedded_db import (
    AsyncEmbeddedDB,
    Config,
    DatabaseClosed,
    DatabaseLocked,
    EmbeddedDB,
    InvalidInput,
    Message,
    NotFound,
)

from .conftest import eventually, in_a_thread, threads


def test_a_block_opens_and_closes(path):
    async def main():
        async with AsyncEmbeddedDB(path, ml=None) as db:
            assert (db.closed, db.read_only, db.namespace_name) == (False, False, "default")
            assert db.path == str(path)
            assert db.config == Config(ml=None)
            assert repr(db) == f"AsyncEmbeddedDB('{path}')"
            await db.create_chat(id="trip")
        assert db.closed
        for call in (db.count(), db.transaction().__aenter__(), db.flush()):
            with pytest.raises(DatabaseClosed, match="is closed. Open it again"):
                await call
        await db.close()
        await db.close()
        with pytest.raises(DatabaseClosed):
            await anext(db.nodes())

    asyncio.run(main())
    with EmbeddedDB(path, ml=None, lock_timeout=0) as db:
        assert db.exists("trip")


def test_the_first_call_opens(path):
    async def main():
        db = AsyncEmbeddedDB(path, ml=None)
        with pytest.raises(InvalidInput, match="not opened yet"):
            db.path  # noqa: B018
        assert "not opened yet" in repr(db)
        counts = await asyncio.gather(*(db.count() for _ in range(50)))
        assert set(counts) == {0}
        assert db.path == str(path)
        await db.close()
        assert db.closed
        never = AsyncEmbeddedDB(path, ml=None)
        await never.close()
        with pytest.raises(DatabaseClosed):
            await never.count()

    asyncio.run(main())


def test_what_is_wrong_is_said_at_once_or_when_it_is_opened(path):
    async def main():
        with pytest.raises(InvalidInput, match="durability"):
            AsyncEmbeddedDB(path, durabilty="memory")
        with pytest.raises(InvalidInput):
            AsyncEmbeddedDB(7)
        with pytest.raises(InvalidInput):
            await AsyncEmbeddedDB.open(path, read_only=True)
        async with AsyncEmbeddedDB(path, ml=None):
            with pytest.raises(InvalidInput, match="open"):
                await AsyncEmbeddedDB.open(path, ml=None, lock_timeout=1)
        await eventually(lambda: not threads(), "no thread is left")

    asyncio.run(main())


def test_a_close_does_not_wait_for_an_opening(path, writer):
    async def main():
        db = AsyncEmbeddedDB(path, ml=None, lock_timeout=600)
        counting = asyncio.ensure_future(db.count())
        await eventually(lambda: in_a_thread(db), "an opening that waits")
        await db.close()
        with pytest.raises(DatabaseClosed):
            await counting
        await eventually(lambda: not threads(), "no thread is left")

    asyncio.run(main())


def test_another_process_is_named(path, writer):
    async def main():
        with pytest.raises(DatabaseLocked) as caught:
            await AsyncEmbeddedDB.open(path, ml=None, lock_timeout=0.1)
        assert caught.value.pid == writer.pid

    asyncio.run(main())


def test_errors_are_the_same(run):
    async def test(db):
        with pytest.raises(NotFound) as caught:
            await db.update_node("nobody", {"n": 1})
        assert (caught.value.id, caught.value.hint) == (
            "nobody",
            "check the id, it may have been deleted",
        )
        with pytest.raises(TypeError, match="unexpected keyword"):
            await db.count(nothing=1)
        with pytest.raises(AttributeError, match=r"db\.get_node\(id\)"):
            db.get_message  # noqa: B018

    run(test)


def test_namespaces(run):
    async def test(db):
        ann = await db.namespace("ann")
        assert (ann.namespace_name, ann.path) == ("ann", db.path)
        await ann.create_chat(title="Trip")
        assert await db.namespaces() == ["ann", "default"]
        assert (await ann.count("Chat"), await db.count("Chat")) == (1, 0)
        await ann.close()
        assert ann.closed
        with pytest.raises(DatabaseClosed):
            await ann.count()
        assert not db.closed
        other = await db.namespace("other")
        await db.close()
        assert other.closed

    run(test)


def test_several_loops_share_a_handle(path):
    db = AsyncEmbeddedDB(path, ml=None)
    errors = []

    def other_loop(name):
        async def write():
            for n in range(20):
                await db.create_node({"id": f"{name}{n}", "label": "X"})

        try:
            asyncio.run(write())
        except BaseException as error:
            errors.append(error)

    loops = [threading.Thread(target=other_loop, args=(name,)) for name in "abc"]
    for each in loops:
        each.start()
    for each in loops:
        each.join()
    assert errors == []
    assert asyncio.run(db.count("X")) == 60  # and one loop after the other
    asyncio.run(db.close())
    asyncio.run(eventually(lambda: not threads(), "no thread is left"))


def test_a_handle_that_is_forgotten_leaves_no_thread(path):
    async def main():
        db = AsyncEmbeddedDB(path, ml=None)
        await db.create_node({"id": "a", "label": "X"})
        del db
        await eventually(lambda: gc.collect() >= 0 and not threads(), "no thread is left")

    asyncio.run(main())
    with EmbeddedDB(path, ml=None, lock_timeout=10) as db:
        assert db.exists("a")


def test_objects_keep_a_handle_that_is_forgotten(path):
    async def main():
        message = await (await AsyncEmbeddedDB.open(path, ml=None)).create_message("chat", "Hello")
        gc.collect()
        message.content = "Bye"
        await message.save()
        await (await message.chat()).delete()

    asyncio.run(main())


def test_the_handles_of_others_are_not_asked(path):
    async def main():
        async with AsyncEmbeddedDB(path, ml=None) as db:
            await db.create_message("chat", "Hello")
            with pytest.raises(InvalidInput, match="no database is open"):
                Message.where().count()

    asyncio.run(main())


def test_a_loop_that_is_closed_in_the_middle(path, held):
    async def begin(db):
        await db.create_message("chat", "never embedded", id="never")
        asyncio.get_running_loop().create_task(db.flush())
        await eventually(lambda: threads(), "a call that runs")

    db = AsyncEmbeddedDB(path, ml=held)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin(db))
    tasks = asyncio.all_tasks(loop)
    loop.close()
    for task in tasks:  # or it would complain of being forgotten
        task._log_destroy_pending = False
    held.release()
    asyncio.run(db.close())


def test_calls_run_in_the_context_of_their_task(run):
    asked = contextvars.ContextVar("asked", default="nobody")
    seen = []

    async def test(db):
        await db.create_message("chat", "Hello")

        async def query(name):
            asked.set(name)

            def rerank(results):
                seen.append((asked.get(), threading.current_thread().name))
                return [1.0 for _ in results]

            await db.query(text_query={"text": "hello"}, rerank=rerank)

        await asyncio.gather(query("ann"), query("bob"))
        assert asked.get() == "nobody"

    run(test)
    assert sorted(seen) == [("ann", "embedded-db call"), ("bob", "embedded-db call")]


EXIT = """
import asyncio, sys
from embedded_db import AsyncEmbeddedDB
from embedded_db.testing import FakeModel

async def main():
    db = AsyncEmbeddedDB(sys.argv[1], ml=FakeModel())
    await db.create_message("chat", "Alice met Bob", id="m")
    {0}
    return db

kept = asyncio.run(main())
print("end", flush=True)
"""


@pytest.mark.parametrize(
    "more",
    [
        "pass",
        "snapshot = await db.snapshot(); globals().update(s=snapshot)",
        "tx = db.transaction(); await tx.__aenter__(); globals().update(tx=tx)",
        "await db.weaver.pause(); await db.create_message('chat', 'more'); "
        "asyncio.ensure_future(db.flush()); await asyncio.sleep(0.1)",
        "feed = db.changes(follow=True); await anext(feed); globals().update(feed=feed)",
    ],
)
def test_the_interpreter_ends_without_a_close(run_python, path, more):
    done = run_python(EXIT.format(more), path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
    with EmbeddedDB(path, ml=None, lock_timeout=0) as db:
        assert db.exists("m")


def test_a_forked_child_refuses(run_python, path):
    done = run_python(
        """
        import asyncio, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from embedded_db import AsyncEmbeddedDB, ForkedHandle

        db = AsyncEmbeddedDB(sys.argv[1], ml=None)
        asyncio.run(db.create_node({"id": "a", "label": "X"}))
        child = os.fork()
        if child == 0:
            async def ask():
                for call in (db.count(), db.create_node({"label": "X"}), anext(db.nodes())):
                    try:
                        await call
                    except ForkedHandle as error:
                        assert sys.argv[1] in error.path
                    else:
                        os._exit(1)
                await db.close()
            asyncio.run(ask())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert asyncio.run(db.count()) == 1
        asyncio.run(db.close())
        print("end")
        """,
        path,
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
