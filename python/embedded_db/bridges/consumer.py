"""Consumers of a broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from ..errors import DatabaseClosed, Timeout
from ..messaging import given
from .link import Received
from .message import BrokerMessage

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["BrokerConsumer"]

LOOK: Final = 0.5
"""After so many seconds a consumer that waits looks whether it was closed."""


class BrokerConsumer:
    """The messages of a group, for one thread.

    Iterate over it, or take several messages at a time with `receive`. Each has to be acknowledged.
    While the broker does not answer it waits, and goes on when it is there again.

    Examples:
        >>> broker.publish_batch("orders", [1, 2, 3])
        3
        >>> with broker.consume("orders", "work", timeout=0) as consumer:
        ...     for message in consumer:
        ...         print(consumer.channel, consumer.group, message.payload, message.ack())
        orders work 1 True
        orders work 2 True
        orders work 3 True
    """

    def __init__(
        self,
        broker: Broker,
        channel: str,
        group: str,
        *,
        model: type[Any] | None,
        prefetch: int,
        timeout: float | None,
    ) -> None:
        self._broker = broker
        self._channel = channel
        self._group = group
        self._model = model
        self._prefetch = prefetch
        self._timeout = timeout
        self._reader = broker._link.reader(channel, group)
        self._held: list[Received] = []
        self._closed = threading.Event()

    @property
    def channel(self) -> str:
        """The channel."""
        return self._channel

    @property
    def group(self) -> str:
        """The group."""
        return self._group

    def receive(
        self, limit: int = 1, timeout: float | timedelta | None = None
    ) -> list[BrokerMessage]:
        """Take messages: at least one, unless the time is over.

        Args:
            limit: how many at the most.
            timeout: for how many seconds to wait for the first one; for ever without, 0 not at all.

        Returns:
            The messages; none when the time is over, or the consumer or the broker was closed.

        Examples:
            >>> broker.publish_batch("orders", [1, 2, 3])
            3
            >>> consumer = broker.consume("orders")
            >>> [message.payload for message in consumer.receive(2)], len(consumer.receive(2))
            ([1, 2], 1)
            >>> consumer.receive(timeout=0)
            []
        """
        most = given.count(limit, "limit", 10_000)
        wait = None if timeout is None else given.seconds(timeout, "timeout")
        if not self._held:
            self._held = self._fetch(most, wait)
        taken, self._held = self._held[:most], self._held[most:]
        return [BrokerMessage(self, one) for one in taken]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BrokerMessage:
        if not self._held:
            self._held = self._fetch(self._prefetch, self._timeout)
        if not self._held:
            raise StopIteration
        return BrokerMessage(self, self._held.pop(0))

    def close(self) -> None:
        """End it. What was fetched and not handed out is there for others at once.

        Examples:
            >>> broker.publish_batch("orders", [1, 2])
            2
            >>> consumer = broker.consume("orders")
            >>> next(consumer).payload
            1
            >>> consumer.close()
            >>> broker.consume("orders").receive()[0].payload
            2
        """
        if self._closed.is_set():
            return
        self._closed.set()
        held, self._held = self._held, []
        link, reader = self._broker._link, self._reader
        try:
            if held:
                self._broker._retrying.call(lambda: link.release(reader, held), LOOK)
            self._broker._retrying.call(lambda: link.leave(reader), LOOK)
        except (Timeout, DatabaseClosed):
            return  # they come again after their deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self, limit: int, timeout: float | None) -> list[Received]:
        end = None if timeout is None else time.monotonic() + timeout
        link, reader, retrying = self._broker._link, self._reader, self._broker._retrying
        first = True
        while not self._closed.is_set():
            left = LOOK if end is None else min(end - time.monotonic(), LOOK)
            if left <= 0 and not first:
                break
            first = False
            wait = max(left, 0.0)
            try:
                found = retrying.call(partial(link.fetch, reader, limit, wait), wait)
            except Timeout:
                continue
            except DatabaseClosed:
                self._closed.set()
                break
            if found:
                return found
        return []

    def _ack(self, messages: Sequence[BrokerMessage]) -> int:
        received = [one._received for one in messages]
        return self._broker._call(lambda: self._broker._link.ack(self._reader, received))

    def _nack(self, message: BrokerMessage, delay: float, reason: str) -> bool:
        link, reader, received = self._broker._link, self._reader, message._received
        return self._broker._call(lambda: link.nack(reader, received, delay, reason))
