"""Waiting on an event loop: nothing holds it up, and a cancelled task leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from ..errors import DbError

if TYPE_CHECKING:
    from . import backend
    from .bus import MessageBus

__all__ = ["called", "taken"]

LOOK: Final = 0.25
"""At the latest after so many seconds a task that waits looks again, for clocks may be set."""


@asynccontextmanager
async def called(
    register: Callable[[Callable[[], object]], int], leave: Callable[[int], None]
) -> AsyncIterator["asyncio.Future[None]"]:
    """Have a future that is done when there may be something."""
    loop = asyncio.get_running_loop()
    come: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not come.done():
            come.set_result(None)

    def call() -> None:
        with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
            loop.call_soon_threadsafe(tell)

    number = register(call)
    try:
        yield come
    finally:
        leave(number)


async def taken(
    bus: "MessageBus",
    subscription: "backend.Subscription",
    limit: int,
    timeout: float | None,
    is_closed: Callable[[], bool],
) -> "list[backend.Delivery]":
    """Take messages: at least one, unless the time is over or the consumer closed."""
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    while not is_closed():
        deliveries = await _take(bus, subscription, limit)
        left = None if end is None else end - loop.time()
        if deliveries or (left is not None and left <= 0):
            return deliveries
        async with called(subscription.call_when_arrived, subscription.leave_arrivals) as come:
            # It may have come before.
            deliveries = await _take(bus, subscription, limit)
            if deliveries:
                return deliveries
            pauses = [LOOK, LOOK if left is None else left]
            due = await bus._call(subscription.next_due)
            if due is not None:
                pauses.append(due + 1e-4)
            await asyncio.wait([come], timeout=min(pauses))
    return []


async def _take(
    bus: "MessageBus", subscription: "backend.Subscription", limit: int
) -> "list[backend.Delivery]":
    if not bus._is_durable:
        return subscription.take(limit, 0.0)
    future = bus._submit(subscription.take, limit, 0.0)
    try:
        return await asyncio.shield(asyncio.wrap_future(future))
    except asyncio.CancelledError:
        future.add_done_callback(lambda done: _give_back(subscription, done))
        raise


def _give_back(
    subscription: "backend.Subscription", done: "Future[list[backend.Delivery]]"
) -> None:
    """What came for a task that was cancelled is there for others at once."""
    if not done.cancelled() and done.exception() is None and done.result():
        with suppress(DbError):
            subscription.release(done.result())
