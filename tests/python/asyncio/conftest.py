"""Asynchronous databases for tests, each run in a loop of its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from embedded_db import AsyncEmbeddedDB
from embedded_db.testing import FakeModel

PATIENCE = 60.0


async def eventually(look: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, while the loop goes on."""
    late = asyncio.get_running_loop().time() + PATIENCE
    while not (found := look()):
        assert asyncio.get_running_loop().time() < late, f"it did not come to this: {what}"
        await asyncio.sleep(0.001)
    return found


def in_a_thread(db: AsyncEmbeddedDB) -> int:
    """Count the calls that threads have begun."""
    crews = (db._pool._calls, db._pool._waits)
    return sum(call._begun.locked() for crew in crews for call in list(crew._calls))


async def cancelled(db: AsyncEmbeddedDB, call: Awaitable[Any]) -> None:
    """Cancel a call in the middle, and see that this is what ended it, and that it has ended."""
    task = asyncio.ensure_future(call)
    await eventually(lambda: in_a_thread(db) or task.done(), "a call that runs")
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE)
    await eventually(lambda: not in_a_thread(db), "no call is left")


def threads() -> list[str]:
    """Give the names of the threads that run calls."""
    return [each.name for each in threading.enumerate() if each.name == "embedded-db call"]


@pytest.fixture
def run(path) -> Callable[..., Any]:
    """Run a test over an empty database that enriches nothing, unless it is given a model."""

    def run(test: Callable[[AsyncEmbeddedDB], Awaitable[Any]], **options: Any) -> Any:
        async def main() -> Any:
            async with AsyncEmbeddedDB(path, **{"ml": None, **options}) as db:
                result = await test(db)
                assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left"
            await eventually(lambda: not threads(), "no thread is left")
            return result

        return asyncio.run(main())

    return run


@pytest.fixture
def held() -> Any:
    """A model that does not answer until the end of the test."""
    model = FakeModel()
    model.hold()
    yield model
    model.release()
    model.recover()


@pytest.fixture
def writer(path, spawn) -> Any:
    """A process that writes to the database of the test, until a line is sent to it."""
    process = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB
        db = EmbeddedDB(sys.argv[1], ml=None)
        print("ready", flush=True)
        sys.stdin.readline()
        """,
        path,
    )
    assert process.stdout.readline() == "ready\n"
    return process
