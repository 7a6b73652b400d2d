"""Publishing, for threads and for event loops."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from ..errors import DbError, InvalidInput, Timeout, shown
from . import backend, codec, given, waiting

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["NORMAL", "Publishing"]

P = ParamSpec("P")
R = TypeVar("R")

NORMAL: Final = 4
REMEMBERED: Final = 10_000
THREADS: Final = 16
"""Calls of event loops that wait for the disk at a time: they share syncs."""


class Publishing:
    """What publishes on the channels of a bus."""

    _bus: backend.Bus

    def __init__(self) -> None:
        self._is_durable = self._bus.is_durable
        self._known: set[str] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def publish(
        self,
        channel: str,
        message: Any,
        *,
        priority: int = NORMAL,
        ttl: float | timedelta | None = None,
        key: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> int:
        """Publish a message.

        Args:
            channel: words with full stops between them.
            message: bytes, which stay as they are; None, bool, int, float, str, a datetime with a
                time zone, lists and dicts of these, which are copied; or a pydantic model.
            priority: 0 to 9; 9 goes first.
            ttl: after so many seconds it is not delivered any more.
            key: messages with the same key are delivered in their order, and to one consumer of a
                group at a time.
            timeout: for how many seconds to wait for room; for ever without.

        Returns:
            Its number. With a path the message is stored.

        Raises:
            InvalidInput: an argument is none of these.
            QuotaExceeded: there is no room, and `overflow` is ``"error"``.
            Timeout: there was no room in time.
            ValueTooLarge: it has more than 16 MiB.
            DatabaseClosed: the bus was closed.
            StorageFull: there is no room on the disk.

        Examples:
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish("mail.new", {"from": "Ann"}, priority=7, ttl=60, key="Ann")
            1
        """
        return self._bus.publish(
            channel if type(channel) is str and channel in self._known else self._channel(channel),
            *codec.body(message),
            given.priority(priority),
            None if ttl is None else given.micros(ttl, "ttl"),
            None if key is None else given.name(key, "key"),
            None,
            None if timeout is None else given.seconds(timeout, "timeout"),
        )

    def publish_batch(
        self,
        channel: str,
        messages: Iterable[Any],
        *,
        priority: int = NORMAL,
        ttl: float | timedelta | None = None,
        key: str | Sequence[str | None] | None = None,
        timeout: float | timedelta | None = None,
    ) -> list[int]:
        """Publish many messages in their order; with a path they share one sync.

        Args:
            channel: as for `publish`.
            messages: as for `publish`, each.
            priority: as for `publish`, of all.
            ttl: as for `publish`, of all.
            key: as for `publish`, of all, or a list with one for each.
            timeout: as for `publish`, for all.

        Returns:
            Their numbers.

        Raises:
            DbError: as for `publish`; ``item`` is the first message that was not published. If a
                message itself is wrong, none was.

        Examples:
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish_batch("mail.new", ["a", "b"], key=["Ann", "Bob"])
            [1, 2]
        """
        bodies = self._bodies(messages)
        return self._bus.publish_batch(
            self._channel(channel),
            bodies,
            given.priority(priority),
            None if ttl is None else given.micros(ttl, "ttl"),
            given.keys(key, len(bodies)),
            None if timeout is None else given.seconds(timeout, "timeout"),
        )

    async def publish_async(
        self,
        channel: str,
        message: Any,
        *,
        priority: int = NORMAL,
        ttl: float | timedelta | None = None,
        key: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> int:
        """Publish a message as `publish` does, without holding up the loop.

        Args:
            channel: as for `publish`.
            message: as for `publish`.
            priority: as for `publish`.
            ttl: as for `publish`.
            key: as for `publish`.
            timeout: as for `publish`.

        Returns:
            Its number.

        Examples:
            >>> import asyncio
            >>> from embedded_db.messaging import MessageBus
            >>> asyncio.run(MessageBus().publish_async("mail.new", {"from": "Ann"}))
            1
        """
        [number] = await self.publish_batch_async(
            channel, [message], priority=priority, ttl=ttl, key=key, timeout=timeout
        )
        return number

    async def publish_batch_async(
        self,
        channel: str,
        messages: Iterable[Any],
        *,
        priority: int = NORMAL,
        ttl: float | timedelta | None = None,
        key: str | Sequence[str | None] | None = None,
        timeout: float | timedelta | None = None,
    ) -> list[int]:
        """Publish many messages as `publish_batch` does, without holding up the loop.

        Args:
            channel: as for `publish_batch`.
            messages: as for `publish_batch`.
            priority: as for `publish_batch`.
            ttl: as for `publish_batch`.
            key: as for `publish_batch`.
            timeout: as for `publish_batch`.

        Returns:
            Their numbers.

        Examples:
            >>> import asyncio
            >>> from embedded_db.messaging import MessageBus
            >>> asyncio.run(MessageBus().publish_batch_async("mail.new", ["a", "b"]))
            [1, 2]
        """
        bodies = self._bodies(messages)
        keys = given.keys(key, len(bodies))
        checked = self._channel(channel), given.priority(priority)
        lasts = None if ttl is None else given.micros(ttl, "ttl")
        limit = None if timeout is None else given.seconds(timeout, "timeout")
        return await self._publish_async(*checked, bodies, lasts, keys, None, limit)

    def _channel(self, channel: Any) -> str:
        checked = given.of_channel(channel)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.add(checked)
        return checked

    def _bodies(self, messages: Iterable[Any]) -> list[codec.Body]:
        if isinstance(messages, (str, bytes, bytearray, dict)) or not isinstance(
            messages, Iterable
        ):
            raise InvalidInput(
                f"messages is {shown(messages)}", hint="Give a list of them", field="messages"
            )
        items = list(messages)
        bodies = []
        for item, message in enumerate(items):
            try:
                bodies.append(codec.body(message))
            except DbError as error:
                if len(items) > 1:
                    error._place("item", item)
                raise
        return bodies

    async def _publish_async(
        self,
        channel: str,
        priority: int,
        bodies: list[codec.Body],
        ttl: int | None,
        keys: list[str | None] | None,
        reply_to: str | None,
        timeout: float | None,
    ) -> list[int]:
        end = None if timeout is None else time.monotonic() + timeout
        ids: list[int] = []

        async def step() -> backend.Subscription | None:
            done = len(ids)
            rest = None if keys is None else keys[done:]
            more, full = await self._call(
                self._bus.try_publish_batch,
                channel,
                bodies[done:],
                priority,
                ttl,
                rest,
                reply_to,
            )
            ids.extend(more)
            return full

        full = await step()
        while full is not None:
            async with waiting.called(full.call_when_room, full.leave_room) as come:
                # There may have been room before.
                full = await step()
                if full is None:
                    break
                left = waiting.LOOK if end is None else end - time.monotonic()
                if left <= 0:
                    limit = f"{timeout:g} s"
                    error = Timeout(f'room on the channel "{channel}" took longer than {limit}')
                    if len(bodies) > 1:
                        error._place("item", len(ids))
                    raise error
                await asyncio.wait([come], timeout=min(left, waiting.LOOK))
        return ids

    def _submit(
        self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> "Future[R]":
        with self._lock:
            if self._threads is None:
                # Not above: a program that is ending, whose hooks may use a bus, cannot import it.
                from concurrent.futures import ThreadPoolExecutor

                # A closed bus needs none: it says so itself.
                self._threads = ThreadPoolExecutor(THREADS, "embedded-db bus")
            return self._threads.submit(function, *args, **kwargs)

    async def _call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what may wait for the disk; without a path nothing does."""
        if not self._is_durable:
            return function(*args, **kwargs)
        return await asyncio.wrap_future(self._submit(function, *args, **kwargs))
