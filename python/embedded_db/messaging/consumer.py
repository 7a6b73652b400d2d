"""Consumers: messages one by one, as many as are there, or given to a function."""

import asyncio
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from ..errors import DatabaseClosed, NotFound, shown
from . import waiting
from .given import count, seconds
from .message import Message

if TYPE_CHECKING:
    from . import backend
    from .bus import MessageBus

__all__ = ["Callback", "Consumer", "Subscription"]

Callback = Callable[[Message], object] | Callable[[Message], Awaitable[object]]

LOOK: Final = 0.25
"""After so many seconds a consumer that waits looks whether it was closed."""
LONGEST_DELAY: Final = 60.0
log = logging.getLogger("embedded_db.messaging")


class Consumer:
    """The messages of a group, for one thread or task.

    Iterate over it with ``for`` or ``async for``, or take several messages at a time with `receive`
    or `receive_async`. Each has to be acknowledged. It ends with the bus, or when it is closed.

    Examples:
        >>> from embedded_db.messaging import MessageBus
        >>> bus = MessageBus()
        >>> bus.publish_batch("jobs", [1, 2, 3])
        [1, 2, 3]
        >>> consumer = bus.consume("jobs", timeout=0)
        >>> consumer.channel, consumer.group
        ('jobs', 'default')
        >>> for message in consumer:
        ...     print(message.payload, message.ack())
        1 True
        2 True
        3 True
    """

    def __init__(
        self,
        bus: "MessageBus",
        subscription: "backend.Subscription",
        *,
        model: type[Any] | None,
        prefetch: int,
        timeout: float | None,
    ) -> None:
        self._bus = bus
        self._subscription = subscription
        self._model = model
        self._prefetch = prefetch
        self._timeout = timeout
        self._held: deque[backend.Delivery] = deque()
        self._closed = threading.Event()

    @property
    def channel(self) -> str:
        """The channel, or the pattern of channels."""
        return self._subscription.pattern

    @property
    def group(self) -> str:
        """The group."""
        return self._subscription.group

    def receive(self, limit: int = 1, timeout: float | timedelta | None = None) -> list[Message]:
        """Take messages: at least one, unless the time is over.

        Of each key there is one at the most: the next one comes when it is acknowledged.

        Args:
            limit: how many at the most.
            timeout: for how many seconds to wait for the first one; for ever without, 0 not at all.

        Returns:
            The messages; none when the time is over, or the consumer or the bus was closed.

        Examples:
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish_batch("jobs", [1, 2, 3])
            [1, 2, 3]
            >>> consumer = bus.consume("jobs")
            >>> [message.payload for message in consumer.receive(2)], len(consumer.receive(2))
            ([1, 2], 1)
            >>> consumer.receive(timeout=0)
            []
        """
        most = count(limit, "limit")
        return self._receive(most, None if timeout is None else seconds(timeout, "timeout"))

    async def receive_async(
        self, limit: int = 1, timeout: float | timedelta | None = None
    ) -> list[Message]:
        """Take messages as `receive` does, without holding up the loop.

        A task that is cancelled meanwhile takes none.

        Args:
            limit: as for `receive`.
            timeout: as for `receive`.

        Returns:
            The messages, as for `receive`.

        Examples:
            >>> import asyncio
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish("jobs", 1)
            1
            >>> [message] = asyncio.run(bus.consume("jobs").receive_async())
            >>> message.payload
            1
        """
        most = count(limit, "limit")
        return await self._receive_async(
            most, None if timeout is None else seconds(timeout, "timeout")
        )

    def close(self) -> None:
        """End it. What was fetched and not handed out is there for others at once.

        Examples:
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish_batch("jobs", [1, 2])
            [1, 2]
            >>> consumer = bus.consume("jobs", prefetch=2)
            >>> next(consumer).payload
            1
            >>> consumer.close()
            >>> list(consumer), bus.consume("jobs").receive()[0].payload
            ([], 2)
        """
        self._closed.set()
        held, self._held = list(self._held), deque()
        if held:
            try:
                self._subscription.release(held)
            except (DatabaseClosed, NotFound):
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._bus._call(self.close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        if not self._held:
            self._fill(self._prefetch, self._timeout)
        if not self._held:
            raise StopIteration
        return self._message(self._held.popleft())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if not self._held:
            await self._fill_async(self._prefetch, self._timeout)
        if not self._held:
            raise StopAsyncIteration
        return self._message(self._held.popleft())

    def _message(self, delivery: "backend.Delivery") -> Message:
        return Message(self._bus, self._subscription, delivery, self._model)

    def _receive(self, limit: int, timeout: float | None) -> list[Message]:
        if not self._held:
            self._fill(limit, timeout)
        return self._hand_out(limit)

    async def _receive_async(self, limit: int, timeout: float | None) -> list[Message]:
        if not self._held:
            await self._fill_async(limit, timeout)
        return self._hand_out(limit)

    def _hand_out(self, limit: int) -> list[Message]:
        many = min(limit, len(self._held))
        return [self._message(self._held.popleft()) for _ in range(many)]

    def _fill(self, limit: int, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        pause = LOOK if timeout is None else min(timeout, LOOK)
        while not self._closed.is_set():
            try:
                taken = self._subscription.take(limit, pause)
            except (DatabaseClosed, NotFound):
                self._closed.set()
                return
            if taken:
                self._held.extend(taken)
                return
            if end is not None:
                pause = min(end - time.monotonic(), LOOK)
                if pause <= 0:
                    return

    async def _fill_async(self, limit: int, timeout: float | None) -> None:
        try:
            taken = await waiting.taken(
                self._bus, self._subscription, limit, timeout, self._closed.is_set
            )
        except (DatabaseClosed, NotFound):
            self._closed.set()
            return
        self._held.extend(taken)


class Subscription:
    """A function that gets the messages of a group, until it is closed.

    A message is acknowledged when the function has returned. If it raises, the message comes again
    after a pause that doubles each time, from 0.1 s to a minute, and at last is a dead letter whose
    reason is the error.

    Examples:
        >>> import threading
        >>> from embedded_db.messaging import MessageBus
        >>> bus, done = MessageBus(), threading.Event()
        >>> def work(message):
        ...     print(message.payload)
        ...     done.set()
        >>> with bus.subscribe("jobs", callback=work):
        ...     number = bus.publish("jobs", "page 1")
        ...     done.wait(10)
        page 1
        True
    """

    def __init__(
        self, consumers: list[Consumer], callback: Callback | None, channel: str, group: str
    ) -> None:
        self.channel = channel
        self.group = group
        self._consumers = consumers
        self._threads: list[threading.Thread] = []
        self._tasks: list[asyncio.Task[None]] = []
        if callback is None:
            return
        if inspect.iscoroutinefunction(callback):
            self._tasks = [asyncio.create_task(_attend(one, callback)) for one in consumers]
            return
        for one in consumers:
            thread = threading.Thread(
                target=_serve, args=(one, callback), name=f"embedded-db {channel}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()

    def close(self) -> None:
        """End it, after the calls of the function that have begun; the group's messages stay.

        Of a coroutine function only `close_async` waits.

        Examples:
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> subscription = bus.subscribe("jobs", callback=print)
            >>> subscription.close()
            >>> bus.publish("jobs", 1), len(bus.consume("jobs").receive())
            (1, 1)
        """
        for one in self._consumers:
            one.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    async def close_async(self) -> None:
        """End it, as `close` does, without holding up the loop.

        Examples:
            >>> import asyncio
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> subscription = bus.subscribe("jobs", callback=print)
            >>> asyncio.run(subscription.close_async())
            >>> bus.publish("jobs", 1), len(bus.consume("jobs").receive())
            (1, 1)
        """
        for one in self._consumers:
            one._closed.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._threads:
            await asyncio.get_running_loop().run_in_executor(None, self.close)


def _serve(consumer: Consumer, callback: Callback) -> None:
    for message in consumer:
        try:
            callback(message)
        except Exception as error:
            _settle(message, error)
        else:
            _settle(message, None)


async def _attend(consumer: Consumer, callback: Callback) -> None:
    async for message in consumer:
        failed: Exception | None = None
        try:
            outcome = callback(message)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as error:
            failed = error
        await consumer._bus._call(_settle, message, failed)


def _settle(message: Message, error: Exception | None) -> None:
    try:
        if error is None:
            message.ack()
            return
        log.warning("the message %d was not handled", message.id, exc_info=error)
        delay = min(0.1 * 2.0 ** min(message.attempts - 1, 20), LONGEST_DELAY)
        message.nack(delay, f"{type(error).__name__}: {shown(error)}")
    except (DatabaseClosed, NotFound):
        # It ended while the function ran: with a path the message comes again.
        return
    except Exception:
        log.exception("what became of the message %d could not be noted", message.id)
