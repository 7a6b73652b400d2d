"""The message bus."""

import asyncio
import atexit
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, Self
from weakref import WeakSet

from ..errors import DatabaseClosed, DbError, InvalidInput, Timeout, shown
from . import backend, given, waiting
from .codec import body
from .consumer import Callback, Consumer, Subscription
from .message import DeadLetter, Message, decoded
from .publishing import NORMAL, Publishing

__all__ = ["MessageBus", "SubscriptionStats"]

OVERFLOWS: Final = ("block", "drop_oldest", "error")
DURABILITIES: Final = ("durable", "relaxed")
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class SubscriptionStats:
    """What there is in a subscription, and was since the bus was made.

    Attributes:
        channel: the channel, or the pattern of channels.
        group: the group.
        waiting: messages to be delivered, those that wait for their key or their time included.
        in_flight: messages that were delivered and not acknowledged.
        dead: dead letters.
        delivered: how often messages were delivered.
        acked: messages that were acknowledged.
        dropped: messages that made room for others.
        expired: messages whose time was over.

    Examples:
        >>> bus = MessageBus()
        >>> consumer = bus.consume("jobs")
        >>> [stats] = bus.stats()
        >>> stats.waiting, stats.in_flight, stats.dead
        (0, 0, 0)
    """

    channel: str
    group: str
    waiting: int
    in_flight: int
    dead: int
    delivered: int
    acked: int
    dropped: int
    expired: int


_open: "WeakSet[MessageBus]" = WeakSet()


@atexit.register
def _close_all() -> None:
    """Have no thread wait in native code when the interpreter ends: it would not come back."""
    for bus in list(_open):
        with suppress(DbError):
            bus.close()


class MessageBus(Publishing):
    """Channels on which threads and tasks of a program send each other messages.

    A group subscribes to a channel, or to a pattern of channels: ``*`` stands for one word, ``**``
    at the end for one or more. Each group gets every message once; its consumers share them. A
    message is acknowledged, or delivered again. What no group subscribes to waits for the first
    that does.

    Without the native module it does the same, more slowly, and has no path.

    Args:
        path: a directory of its own, in which messages outlive the process; one process may use it
            at a time. In memory alone without.
        capacity: most messages of a group that are not acknowledged.
        overflow: what happens to one more: ``"block"``, its publisher waits; ``"drop_oldest"``, the
            oldest one that waits makes room; ``"error"``, its publisher gets `QuotaExceeded`.
        ageing: after so many seconds of waiting a message counts as one priority higher.
        ack_deadline: what is not acknowledged after so many seconds is delivered again.
        max_attempts: after so many deliveries without acknowledgement a message is a dead letter.
        durability: with a path, a message is published when the disk has it (``"durable"``), or
            when the operating system has it (``"relaxed"``): then it outlives the process alone.

    Raises:
        InvalidInput: an argument is none of these.
        DatabaseLocked: another process uses the path.
        Corruption: the file in the path is damaged.
        StorageError: the path cannot be used.

    Examples:
        >>> from embedded_db.messaging import MessageBus
        >>> with MessageBus() as bus:
        ...     number = bus.publish("mail.new", {"from": "Ann"}, priority=7)
        ...     for message in bus.consume("mail.*", timeout=0):
        ...         print(message.channel, message.payload)
        ...         message.ack()
        ...     bus.publish("nobody.listens", 1), bus.unclaimed
        mail.new {'from': 'Ann'}
        True
        (2, 1)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        capacity: int = 100_000,
        overflow: Literal["block", "drop_oldest", "error"] = "block",
        ageing: float | timedelta = 1.0,
        ack_deadline: float | timedelta = 30.0,
        max_attempts: int = 5,
        durability: Literal["durable", "relaxed"] = "durable",
    ) -> None:
        self._bus = backend.Bus(
            None if path is None else os.fsdecode(path),
            given.count(capacity, "capacity"),
            given.choice(overflow, "overflow", OVERFLOWS),
            given.micros(ageing, "ageing"),
            given.micros(ack_deadline, "ack_deadline"),
            given.count(max_attempts, "max_attempts"),
            given.choice(durability, "durability", DURABILITIES),
        )
        super().__init__()
        self._ack_deadline = given.seconds(ack_deadline, "ack_deadline")
        self._process = os.getpid()
        _open.add(self)

    def subscribe(
        self,
        channel: str,
        group: str = DEFAULT,
        callback: Callback | None = None,
        *,
        model: type[Any] | None = None,
        workers: int = 1,
    ) -> Subscription:
        """Have a group get the messages of a channel, and a function called with them.

        The group gets what is published from now on, whether anybody consumes it or not, until
        `unsubscribe`; with a path also after a restart.

        Args:
            channel: the channel, or a pattern of channels.
            group: those who name the same group share its messages.
            callback: it is called in threads of its own; a coroutine function in tasks of the
                running loop. Without one the messages wait for `consume`.
            model: a pydantic model, as which it gets payloads.
            workers: how many threads or tasks call it at a time.

        Returns:
            What ends the calls.

        Examples:
            >>> bus = MessageBus()
            >>> with bus.subscribe("double", callback=lambda one: one.reply(one.payload * 2)):
            ...     bus.request("double", 21)
            42

        Raises:
            InvalidInput: an argument is none of these.
        """
        subscription = self._subscribe(channel, group)
        many = count_of(workers, "workers") if callback is not None else 0
        if callback is not None and not callable(callback):
            raise InvalidInput(
                f"callback is {shown(callback)}", hint="Give a function", field="callback"
            )
        consumers = [
            Consumer(self, subscription, model=model, prefetch=1, timeout=None) for _ in range(many)
        ]
        return Subscription(consumers, callback, subscription.pattern, subscription.group)

    def consume(
        self,
        channel: str,
        group: str = DEFAULT,
        *,
        model: type[Any] | None = None,
        prefetch: int = 1,
        timeout: float | timedelta | None = None,
    ) -> Consumer:
        """Consume the messages of a group, for one thread or task.

        Args:
            channel: the channel, or a pattern of channels; the group subscribes to it if it does
                not.
            group: those who name the same group share its messages.
            model: a pydantic model, as which payloads are given.
            prefetch: how many messages are fetched at a time. Fetched ones count as delivered.
            timeout: iterating ends when nothing came for so many seconds; never without.

        Returns:
            What ``for`` and ``async for`` go over.

        Examples:
            >>> bus = MessageBus()
            >>> bus.publish("mail.new", "a")
            1
            >>> for message in bus.consume("mail.*", timeout=0):
            ...     print(message.payload, message.ack())
            a True
        """
        return Consumer(
            self,
            self._subscribe(channel, group),
            model=model,
            prefetch=count_of(prefetch, "prefetch"),
            timeout=None if timeout is None else given.seconds(timeout, "timeout"),
        )

    def ack(self, messages: Message | Iterable[Message]) -> int:
        """Acknowledge messages, many at once.

        Args:
            messages: one, or several.

        Returns:
            How many were still the consumer's; the others were or will be delivered again.

        Examples:
            >>> bus = MessageBus()
            >>> bus.publish_batch("jobs", [1, 2, 3])
            [1, 2, 3]
            >>> bus.ack(bus.consume("jobs").receive(10))
            3
        """
        if isinstance(messages, Message):
            return int(messages.ack())
        groups: dict[int, tuple[backend.Subscription, list[backend.Delivery]]] = {}
        for message in messages:
            subscription = message._subscription
            group = groups.setdefault(id(subscription), (subscription, []))
            group[1].append(message._delivery)
        return sum(subscription.ack(group) for subscription, group in groups.values())

    async def ack_async(self, messages: Message | Iterable[Message]) -> int:
        """Acknowledge messages as `ack` does, without holding up the loop.

        Args:
            messages: one, or several.

        Returns:
            As for `ack`.

        Examples:
            >>> import asyncio
            >>> bus = MessageBus()
            >>> bus.publish("jobs", 1)
            1
            >>> asyncio.run(bus.ack_async(bus.consume("jobs").receive()))
            1
        """
        return await self._call(self.ack, messages)

    def nack(
        self,
        message: Message,
        delay: float | timedelta = 0.0,
        reason: str = "it was given back",
    ) -> bool:
        """Give a message back; see `Message.nack`.

        Args:
            message: the message.
            delay: after how many seconds it may come again.
            reason: what its dead letter says.

        Returns:
            Whether it was still the consumer's.

        Examples:
            >>> bus = MessageBus()
            >>> bus.publish("jobs", 1)
            1
            >>> [message] = bus.consume("jobs").receive()
            >>> bus.nack(message, delay=60), bus.consume("jobs").receive(timeout=0)
            (True, [])
        """
        return message.nack(delay, reason)

    def request(
        self,
        channel: str,
        message: Any,
        *,
        timeout: float | timedelta = 30.0,
        priority: int = NORMAL,
        key: str | None = None,
        model: type[Any] | None = None,
    ) -> Any:
        """Publish a message, and wait for what its consumer gives to `Message.reply`.

        Args:
            channel: as for `publish`.
            message: as for `publish`.
            timeout: for how many seconds to wait; the request is not delivered later.
            priority: as for `publish`.
            key: as for `publish`.
            model: a pydantic model, as which the answer is given.

        Returns:
            The answer.

        Raises:
            Timeout: there was none in time.

        Examples:
            >>> bus = MessageBus()
            >>> with bus.subscribe("add", callback=lambda one: one.reply(sum(one.payload))):
            ...     bus.request("add", [1, 2])
            3
        """
        limit = given.seconds(timeout, "timeout", least=1e-6)
        end = time.monotonic() + limit
        told = body(message)
        checked = self._channel(channel), given.priority(priority)
        named = None if key is None else given.name(key, "key")
        own = self._bus.new_own_channel()
        answers = self._bus.subscribe(own, DEFAULT)
        try:
            lasts = given.micros(limit, "timeout")
            self._bus.publish(checked[0], *told, checked[1], lasts, named, own, limit)
            found = answers.take(1, max(end - time.monotonic(), 0.0))
        finally:
            with suppress(DatabaseClosed):
                self._bus.unsubscribe(own, DEFAULT)
        if not found:
            raise _no_answer(channel, limit)
        return decoded(found[0], model)

    async def request_async(
        self,
        channel: str,
        message: Any,
        *,
        timeout: float | timedelta = 30.0,
        priority: int = NORMAL,
        key: str | None = None,
        model: type[Any] | None = None,
    ) -> Any:
        """Publish a message and wait for an answer as `request` does, without holding up the loop.

        Args:
            channel: as for `request`.
            message: as for `request`.
            timeout: as for `request`.
            priority: as for `request`.
            key: as for `request`.
            model: as for `request`.

        Returns:
            The answer.

        Examples:
            >>> import asyncio
            >>> bus = MessageBus()
            >>> with bus.subscribe("add", callback=lambda one: one.reply(sum(one.payload))):
            ...     asyncio.run(bus.request_async("add", [1, 2]))
            3
        """
        limit = given.seconds(timeout, "timeout", least=1e-6)
        end = time.monotonic() + limit
        told = body(message)
        checked = self._channel(channel), given.priority(priority)
        keys = given.keys(key, 1)
        own = self._bus.new_own_channel()
        answers = await self._call(self._bus.subscribe, own, DEFAULT)
        try:
            lasts = given.micros(limit, "timeout")
            await self._publish_async(*checked, [told], lasts, keys, own, limit)
            left = max(end - time.monotonic(), 0.0)
            found = await waiting.taken(self, answers, 1, left, lambda: False)
        finally:
            with suppress(DatabaseClosed):
                await self._call(self._bus.unsubscribe, own, DEFAULT)
        if not found:
            raise _no_answer(channel, limit)
        return decoded(found[0], model)

    def unsubscribe(self, channel: str, group: str = DEFAULT) -> bool:
        """End the subscription of a group; the messages that it has are gone.

        Args:
            channel: the channel, or the pattern of channels.
            group: the group.

        Returns:
            Whether there was one.

        Examples:
            >>> bus = MessageBus()
            >>> with bus.subscribe("jobs"):
            ...     bus.unsubscribe("jobs"), bus.unsubscribe("jobs")
            (True, False)
        """
        return self._bus.unsubscribe(given.of_pattern(channel), given.name(group, "group"))

    def dead_letters(self, channel: str, group: str = DEFAULT) -> list[DeadLetter]:
        """List the dead letters of a group, oldest first; as many are kept as it has capacity.

        Args:
            channel: the channel, or the pattern of channels.
            group: the group.

        Returns:
            The messages, with the reasons.

        Examples:
            >>> bus = MessageBus(max_attempts=1)
            >>> bus.publish("jobs", "page 1")
            1
            >>> [message] = bus.consume("jobs").receive()
            >>> message.nack(reason="no paper")
            True
            >>> [(letter.payload, letter.reason) for letter in bus.dead_letters("jobs")]
            [('page 1', 'no paper')]
        """
        return [DeadLetter(one) for one in self._subscribe(channel, group).dead_letters()]

    def retry_dead_letters(self, channel: str, group: str = DEFAULT) -> int:
        """Have the dead letters of a group delivered again, as if they had just been published.

        Args:
            channel: the channel, or the pattern of channels.
            group: the group.

        Returns:
            How many there were.

        Examples:
            >>> bus = MessageBus(max_attempts=1)
            >>> bus.publish("jobs", "page 1")
            1
            >>> [message] = bus.consume("jobs").receive()
            >>> message.nack(reason="no paper")
            True
            >>> bus.retry_dead_letters("jobs"), bus.consume("jobs").receive()[0].payload
            (1, 'page 1')
        """
        return self._subscribe(channel, group).retry_dead_letters()

    def discard_dead_letters(self, channel: str, group: str = DEFAULT) -> int:
        """Let the dead letters of a group go.

        Args:
            channel: the channel, or the pattern of channels.
            group: the group.

        Returns:
            How many there were.

        Examples:
            >>> bus = MessageBus(max_attempts=1)
            >>> bus.publish("jobs", "page 1")
            1
            >>> [message] = bus.consume("jobs").receive()
            >>> message.nack(reason="no paper")
            True
            >>> bus.discard_dead_letters("jobs"), bus.dead_letters("jobs")
            (1, [])
        """
        return self._subscribe(channel, group).discard_dead_letters()

    def stats(self) -> list[SubscriptionStats]:
        """Tell what there is in each subscription.

        Returns:
            One for each, by channel and group.

        Examples:
            >>> bus = MessageBus()
            >>> consumer = bus.consume("jobs")
            >>> bus.publish("jobs", 1)
            1
            >>> [(one.channel, one.group, one.waiting) for one in bus.stats()]
            [('jobs', 'default', 1)]
        """
        return [
            SubscriptionStats(channel=one.pattern, group=one.group, **one.counts())
            for one in self._bus.subscriptions()
        ]

    @property
    def unclaimed(self) -> int:
        """How many messages wait for a group to subscribe to their channel."""
        return self._bus.unclaimed()

    def close(self) -> None:
        """End the bus: consumers end; whoever else waits or comes later gets `DatabaseClosed`.

        With a path, all that was published and not acknowledged is there when it is opened again.

        Examples:
            >>> bus = MessageBus("jobs")
            >>> bus.publish("pages", 1)
            1
            >>> bus.close()
            >>> with MessageBus("jobs") as bus:
            ...     bus.unclaimed
            1
        """
        if os.getpid() != self._process:
            return  # it is the parent's
        try:
            self._bus.close()
        finally:
            with self._lock:
                threads, self._threads = self._threads, None
            if threads is not None:
                threads.shutdown(wait=False)

    async def close_async(self) -> None:
        """End the bus as `close` does, without holding up the loop.

        Examples:
            >>> import asyncio
            >>> bus = MessageBus()
            >>> consumer = bus.consume("jobs")
            >>> asyncio.run(bus.close_async())
            >>> list(consumer)
            []
        """
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()

    def _subscribe(self, channel: str, group: str) -> "backend.Subscription":
        return self._bus.subscribe(given.of_pattern(channel), given.name(group, "group"))

    def _reply(self, reply_to: str | None, message: Any) -> bool:
        if reply_to is None:
            return False
        self._bus.publish(reply_to, *body(message), NORMAL, None, None, None, 0.0)
        return True


def count_of(value: Any, field: str) -> int:
    """Take how many messages or workers."""
    return given.count(value, field, 10_000)


def _no_answer(channel: str, limit: float) -> DbError:
    return Timeout(
        f"no answer on the channel {shown(channel)} came within {limit:g} s",
        hint="See that somebody consumes the channel and replies",
    )
