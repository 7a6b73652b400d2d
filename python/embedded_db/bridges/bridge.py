"""Bridges: what carries messages between a bus, the change feed and a broker, in a thread."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakSet

from ..errors import DatabaseClosed, DbError, InvalidInput, QuotaExceeded, Timeout, shown
from ..messaging import codec, given
from .broker import Broker
from .config import BrokerConfig
from .link import ORDINARY, Elsewhere, Entry, Full, Received, Unreachable

if TYPE_CHECKING:
    from ..changes import Change, ChangeFeed
    from ..messaging import Message, MessageBus

__all__ = ["Bridge", "BridgeStats", "Changes", "bridge_in", "bridge_out"]

log = logging.getLogger("embedded_db.bridges")

LOOK: Final = 0.25
"""After so many seconds a bridge that waits looks whether it was closed."""
SHORTEST_WAIT: Final = 0.001
LONGEST_WAIT: Final = 0.05
IDLE: Final = 1.0
"""After so many seconds without a change the broker is told how far the feed was read."""


@dataclass(frozen=True, slots=True)
class BridgeStats:
    """What a bridge has done.

    Attributes:
        handed_over: messages that it handed over; those of other processes are not among them.
        position: of the change feed, the log sequence number up to which the broker has it, or None
            while that is not known; of a bus None.
        reconnects: how often the broker answered again after it had not.
        problem: why the broker does not answer just now, or None.
        error: why the bridge has ended, or None.

    Examples:
        >>> with db.bridge_changes(url) as bridge:
        ...     _ = db.create_node({"label": "Person", "id": "ada"})
        ...     bridge.flush(timeout=20)
        ...     stats = bridge.stats()
        >>> stats.handed_over, stats.position == db.stats()["lsn"]
        (1, True)
        >>> stats.reconnects, stats.problem, stats.error
        (0, None, None)
    """

    handed_over: int
    position: int | None
    reconnects: int
    problem: str | None
    error: DbError | None


_open: WeakSet[Bridge] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Have no thread in native code when the interpreter ends."""
    for bridge in list(_open):
        with suppress(DbError):
            bridge.close()


class Bridge:
    """What carries messages, in a thread of its own, until it is closed.

    When the broker does not answer it tries again after pauses that double, and then goes on where
    it was. It holds `BrokerConfig.batch` messages at the most; the others wait where they are.

    Examples:
        >>> with db.bridge_changes(url, channel="people") as bridge:
        ...     _ = db.create_node({"label": "Person", "id": "ada"})
        ...     bridge.flush(timeout=20)
        >>> broker.consume("people").receive()[0].payload["id"]
        'ada'
    """

    def __init__(self, url: str, config: BrokerConfig | None) -> None:
        self._broker = Broker(url, config)
        self._config = self._broker._config
        self._closed = self._broker._retrying.closed
        self._handed_over = 0
        self._position: int | None = None
        self._error: DbError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._serve, name=f"embedded-db {self._broker._name}", daemon=True
        )

    def _start(self) -> Self:
        _open.add(self)
        self._thread.start()
        return self

    def stats(self) -> BridgeStats:
        """Tell what it has done.

        Examples:
            >>> from embedded_db.bridges import bridge_out
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish_batch("orders", [1, 2, 3])
            [1, 2, 3]
            >>> with bridge_out(bus, "orders", url) as bridge:
            ...     bridge.flush(timeout=20)
            ...     bridge.stats().handed_over
            3
        """
        retrying = self._broker._retrying
        return BridgeStats(
            self._handed_over, self._position, retrying.reconnects, retrying.problem, self._error
        )

    def flush(self, timeout: float | timedelta | None = None) -> None:
        """Wait until all that there is at the moment of the call has been handed over.

        Args:
            timeout: for how many seconds; for ever without.

        Raises:
            Timeout: the time is over.
            DatabaseClosed: the bridge was closed.
            DbError: the bridge has ended, for this reason.

        Examples:
            >>> with db.bridge_changes(url) as bridge:
            ...     _ = db.create_node({"label": "Person"})
            ...     bridge.flush(timeout=20)
            ...     bridge.stats().handed_over
            1
        """
        limit = None if timeout is None else given.seconds(timeout, "timeout")
        end = None if limit is None else time.monotonic() + limit
        self._refuse_if_closed()
        is_done = self._goal()
        while True:
            done = is_done()
            with self._changed:
                if self._error is not None:
                    raise self._error
                if done:
                    return
                self._refuse_if_closed()
                if end is not None and time.monotonic() >= end:
                    raise Timeout(
                        f"the bridge to {self._broker._name} did not hand everything over within "
                        f"{limit:g} s: {self._broker._retrying.problem or 'there is much'}",
                        hint="See that the broker runs and its channel has room",
                    )
                self._changed.wait(LONGEST_WAIT)

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise DatabaseClosed(f"the bridge to {self._broker._name} was closed")

    def close(self) -> None:
        """End it after the hand-over that has begun. What is left waits where it is.

        Examples:
            >>> bridge = db.bridge_changes(url)
            >>> bridge.close()
            >>> bridge.flush()
            Traceback (most recent call last):
            embedded_db.errors.DatabaseClosed: the bridge to redis://... was closed
        """
        self._closed.set()
        self._broker._link.hurry()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join()
        self._broker._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}({self._broker._name!r})"

    def _serve(self) -> None:
        try:
            self._run()
        except DatabaseClosed:
            self._closed.set()
        except DbError as error:
            log.error("the bridge to %s has ended: %s", self._broker._name, error)
            self._error = error
        except BaseException as error:
            self._error = DbError(f"the bridge failed: {type(error).__name__}: {shown(error)}")
            raise
        finally:
            with self._changed:
                self._changed.notify_all()

    def _advance(self, many: int, position: int | None = None) -> None:
        with self._changed:
            self._handed_over += many
            self._position = position
            self._changed.notify_all()

    def _run(self) -> None:
        raise NotImplementedError

    def _goal(self) -> Callable[[], bool]:
        raise NotImplementedError


class _Out(Bridge):
    """From a bus to a broker: taken, handed over, acknowledged."""

    def __init__(
        self, bus: MessageBus, channel: str, url: str, group: str, to: str | None,
        config: BrokerConfig | None,
    ) -> None:  # fmt: skip
        super().__init__(url, config)
        self._bus, self._to = bus, None if to is None else given.of_channel(to)
        self._consumer = bus.consume(channel, group)
        # Given back before the bus would count another attempt.
        self._hold = bus._ack_deadline / 2

    def _run(self) -> None:
        with self._consumer:
            while not self._closed.is_set():
                messages = self._consumer.receive(self._config.batch, LOOK)
                if not messages and self._consumer._closed.is_set():
                    return  # the bus was closed
                for channel, part in _by_channel(messages, self._to):
                    self._hand_over(channel, part)

    def _hand_over(self, channel: str, messages: list[Message]) -> None:
        try:
            self._broker._publish(channel, [_entry(one) for one in messages], self._hold)
        except (Timeout, QuotaExceeded):
            self._give_back(messages)
            self._closed.wait(self._config.first_delay)
        except DatabaseClosed:
            self._give_back(messages)
        except InvalidInput as error:
            if len(messages) > 1:
                for message in messages:
                    self._hand_over(channel, [message])
            elif error.field == "message":
                # The broker will never take it: it is a dead letter in the end, and no obstacle.
                messages[0].nack(self._config.first_delay, str(error)[:500])
            else:
                self._give_back(messages)
                raise
        else:
            self._bus.ack(messages)
            self._advance(len(messages))

    def _give_back(self, messages: list[Message]) -> None:
        self._consumer._subscription.release([one._delivery for one in messages])

    def _goal(self) -> Callable[[], bool]:
        def is_done() -> bool:
            mine = self._consumer
            return not any(
                one.waiting or one.in_flight
                for one in self._bus.stats()
                if (one.channel, one.group) == (mine.channel, mine.group)
            )

        return is_done


class _In(Bridge):
    """From a broker to a bus: taken, published, acknowledged."""

    def __init__(
        self, bus: MessageBus, channel: str, url: str, group: str, to: str | None,
        config: BrokerConfig | None,
    ) -> None:  # fmt: skip
        super().__init__(url, config)
        self._bus = bus
        self._consumer = self._broker.consume(channel, group)
        self._to = given.of_channel(channel if to is None else to)
        self._hold = self._config.ack_deadline / 2
        self._looks = 0

    def _run(self) -> None:
        with self._consumer:
            while not self._closed.is_set():
                messages = self._consumer.receive(self._config.batch, LOOK)
                if messages:
                    self._publish([one._received for one in messages])
                else:
                    self._looks += 1

    def _publish(self, messages: list[Received]) -> None:
        good = [one for one in messages if one.problem is None]
        for one in messages:
            if one.problem is not None:
                self._refuse(one, one.problem)
        end = time.monotonic() + self._hold
        while good and not self._closed.is_set():
            try:
                good = good[self._some(good) :]
            except InvalidInput as error:  # then none of them was published
                at = error.item or 0
                self._refuse(good[at], str(error))
                good = good[at + 1 :]
            if good and time.monotonic() > end:
                break
            if good:
                self._closed.wait(LONGEST_WAIT)  # the bus has no room
        if good:
            link, reader = self._broker._link, self._consumer._reader
            with suppress(Timeout, DatabaseClosed):
                self._broker._retrying.call(lambda: link.release(reader, good), LOOK)

    def _some(self, messages: Sequence[Received]) -> int:
        bodies = [(one.entry.kind, one.entry.body) for one in messages]
        keys = [one.entry.key for one in messages]
        ids, _ = self._bus._bus.try_publish_batch(self._to, bodies, ORDINARY, None, keys, None)
        self._done(messages[: len(ids)])
        return len(ids)

    def _done(self, messages: Sequence[Received]) -> None:
        if not messages:
            return
        link, reader = self._broker._link, self._consumer._reader
        with suppress(Timeout):  # they come again
            self._broker._call(lambda: link.ack(reader, messages))
        self._advance(len(messages))

    def _refuse(self, message: Received, reason: str) -> None:
        link, reader, delay = self._broker._link, self._consumer._reader, self._config.first_delay
        with suppress(Timeout):
            self._broker._call(lambda: link.nack(reader, message, delay, reason[:500]))

    def _goal(self) -> Callable[[], bool]:
        # The look that goes on may have begun before.
        goal = self._looks + 2
        return lambda: self._looks >= goal


class Changes(Bridge):
    """From the change feed to a broker, which knows how far it has it."""

    def __init__(
        self, feed: Callable[[int | None], ChangeFeed], last: Callable[[], int], origin: str,
        channel: str, since: int | None, url: str, config: BrokerConfig | None,
    ) -> None:  # fmt: skip
        super().__init__(url, config)
        self._feed, self._last, self._origin, self._since = feed, last, origin, since
        self._channel = given.of_channel(channel)
        feed(None)  # so that a wrong label is said at once

    def _run(self) -> None:
        retrying = self._broker._retrying
        while not self._closed.is_set():
            known = retrying.call(self._known, None)
            # It may have lost what it had: then its position is an earlier one, or none.
            feed = self._feed(self._since if known is None else known)
            try:
                self._follow(feed, known)
            except Elsewhere:
                continue
            except Unreachable as error:
                retrying.lost(error)

    def _known(self) -> int | None:
        self._feed(None)  # it ends with the database, though the broker be away
        return self._broker._link.position(self._channel, self._origin)

    def _follow(self, feed: ChangeFeed, known: int | None) -> None:
        self._advance(0, known)
        told, wait, busy = known, SHORTEST_WAIT, time.monotonic()
        while not self._closed.is_set():
            changes = self._there(feed)
            is_late = feed.position != told and time.monotonic() - busy >= IDLE
            if not changes and not is_late:
                self._advance(0, feed.position)
                self._closed.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
                continue
            self._hand_over(changes, feed.position, -1 if told is None else told)
            self._advance(len(changes), feed.position)
            told, wait, busy = feed.position, SHORTEST_WAIT, time.monotonic()

    def _there(self, feed: ChangeFeed) -> list[Change]:
        changes: list[Change] = []
        while len(changes) < self._config.batch and (change := feed._next_there()) is not None:
            changes.append(change)
        return changes

    def _hand_over(self, changes: Sequence[Change], upto: int, expected: int) -> None:
        entries = [Entry(codec.PACKED, codec.pack(asdict(one)), one.id) for one in changes]
        numbers = [one.lsn for one in changes]
        pause = self._config.first_delay
        while not self._closed.is_set():
            try:
                link = self._broker._link
                link.publish(self._channel, self._origin, numbers, entries, upto, expected)
            except Full as error:
                self._broker._retrying.problem = f"the channel {self._channel} has no room: {error}"
                self._closed.wait(pause)
                pause = min(2 * pause, LONGEST_WAIT * 20)
            else:
                self._broker._retrying.problem = None
                return

    def _goal(self) -> Callable[[], bool]:
        last = self._last()
        return lambda: self._position is not None and self._position >= last


def bridge_out(
    bus: MessageBus,
    channel: str,
    url: str,
    *,
    group: str = "bridge",
    to: str | None = None,
    config: BrokerConfig | None = None,
) -> Bridge:
    """Hand what is published on a bus over to a broker.

    A message is acknowledged on the bus when the broker has it. While the broker is away messages
    wait in the bus, and count no attempt. One that the broker will never take is a dead letter of
    the group.

    Args:
        bus: the bus.
        channel: the channel, or a pattern of channels.
        url: the broker; see `connect`.
        group: the group of the bus that the bridge consumes as.
        to: the channel of the broker; that of each message without.
        config: how the broker is used.

    Returns:
        What ends it.

    Raises:
        InvalidInput: an argument is none of these, or the client is not installed.

    Examples:
        >>> from embedded_db.bridges import bridge_out
        >>> from embedded_db.messaging import MessageBus
        >>> bus = MessageBus()
        >>> with bridge_out(bus, "mail.*", url, to="mail") as bridge:
        ...     number = bus.publish("mail.new", {"from": "Ann"})
        ...     bridge.flush(timeout=20)
        >>> broker.consume("mail").receive()[0].payload
        {'from': 'Ann'}
    """
    return _Out(bus, channel, url, group, to, config)._start()


def bridge_in(
    bus: MessageBus,
    channel: str,
    url: str,
    *,
    group: str = "bridge",
    to: str | None = None,
    config: BrokerConfig | None = None,
) -> Bridge:
    """Publish on a bus what comes from a broker.

    A message is acknowledged at the broker when the bus has it. While the bus has no room messages
    wait at the broker, and count no attempt. One that cannot be read is a dead letter there.

    Args:
        bus: the bus.
        channel: the channel of the broker.
        url: the broker; see `connect`.
        group: the group of the broker; bridges with the same one share its messages.
        to: the channel of the bus; one of the same name without.
        config: how the broker is used.

    Returns:
        What ends it.

    Raises:
        InvalidInput: an argument is none of these, or the client is not installed.

    Examples:
        >>> from embedded_db.bridges import bridge_in
        >>> from embedded_db.messaging import MessageBus
        >>> bus = MessageBus()
        >>> broker.publish("mail", {"from": "Ann"})
        >>> with bridge_in(bus, "mail", url, to="mail.new"):
        ...     next(bus.consume("mail.*")).payload
        {'from': 'Ann'}
    """
    return _In(bus, channel, url, group, to, config)._start()


def _by_channel(messages: list[Message], to: str | None) -> list[tuple[str, list[Message]]]:
    channels: dict[str, list[Message]] = {}
    for message in messages:
        channels.setdefault(to or message.channel, []).append(message)
    return list(channels.items())


def _entry(message: Message) -> Entry:
    return Entry(message._delivery.kind, message.body, message.key)
