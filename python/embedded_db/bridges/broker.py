"""A broker, as a program uses it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from ..errors import InvalidInput, QuotaExceeded, shown
from ..messaging import codec, given
from .config import BrokerConfig
from .consumer import BrokerConsumer
from .link import Entry, Full, Link, Retrying
from .message import BrokerDeadLetter, BrokerMessage

__all__ = ["Broker", "connect", "opened"]

R = TypeVar("R")
DEFAULT: Final = "default"
SCHEMES: Final = ("redis", "rediss", "unix", "kafka")


def connect(url: str, config: BrokerConfig | None = None) -> Broker:
    """Connect to a broker. It need not be there yet: the first call waits for it.

    Args:
        url: ``redis://127.0.0.1:6379/0``, also ``rediss://`` (TLS) and ``unix://``; or
            ``kafka://127.0.0.1:9092,127.0.0.1:9093``.
        config: how it is used.

    Returns:
        The broker, which may be used by many threads.

    Raises:
        InvalidInput: the URL is none of these, or the client is not installed.

    Examples:
        >>> from embedded_db.bridges import connect
        >>> with connect("redis://:secret@127.0.0.1:6379/0") as broker:
        ...     print(broker)
        Broker('redis://127.0.0.1:6379')
    """
    return Broker(url, config)


class Broker:
    """Channels of a broker, on which programs send each other messages; `connect` makes it.

    A group gets every message of a channel once; its consumers share them. A message is
    acknowledged, or delivered again, and at last a dead letter: as on a `MessageBus`, but between
    programs. Publishing returns when the broker has the message.

    Examples:
        >>> broker.publish("orders", {"id": 1})
        >>> for message in broker.consume("orders", timeout=0):
        ...     print(message.payload, message.ack())
        {'id': 1} True
        >>> broker.reconnects
        0
    """

    def __init__(self, url: str, config: BrokerConfig | None = None) -> None:
        self._config = checked_config(config)
        self._link, self._name = opened(url, self._config)
        self._retrying = Retrying(self._config, self._name)
        self._origins: dict[str, list[_Origin]] = {}
        self._lock = threading.Lock()

    def publish(
        self, channel: str, message: Any, *, key: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> None:  # fmt: skip
        """Publish a message.

        Args:
            channel: the name of the channel: words with full stops between them.
            message: as for `MessageBus.publish`.
            key: Kafka keeps messages of one key in their order; Redis keeps all in one.
            timeout: for how many seconds to wait, `BrokerConfig.timeout` without.

        Raises:
            InvalidInput: an argument is none of these.
            QuotaExceeded: there is no room, and `BrokerConfig.overflow` is ``"error"``.
            Timeout: the broker did not answer, or had no room. It may have the message.
            DatabaseClosed: the broker was closed.

        Examples:
            >>> broker.publish("orders", {"id": 1}, key="Ann", timeout=5)
            >>> broker.consume("orders").receive()[0].payload
            {'id': 1}
        """
        entry = Entry(*codec.body(message), None if key is None else given.name(key, "key"))
        self._publish(channel, [entry], timeout)

    def publish_batch(
        self, channel: str, messages: Iterable[Any], *,
        key: str | Sequence[str | None] | None = None, timeout: float | timedelta | None = None,
    ) -> int:  # fmt: skip
        """Publish many messages in their order; it costs a tenth of publishing them one by one.

        Args:
            channel: as for `publish`.
            messages: as for `publish`, each.
            key: as for `publish`, of all, or a list with one for each.
            timeout: as for `publish`, for all.

        Returns:
            How many there were.

        Raises:
            DbError: as for `publish`; the broker may have some of them.

        Examples:
            >>> broker.publish_batch("orders", [{"id": 1}, {"id": 2}], key=["Ann", "Bob"])
            2
        """
        if isinstance(messages, (str, bytes, bytearray, dict)):
            raise InvalidInput(
                f"messages is {shown(messages)}", hint="Give a list of them", field="messages"
            )
        bodies = [codec.body(message) for message in messages]
        keys = given.keys(key, len(bodies)) or [None] * len(bodies)
        entries = [Entry(*body, of) for body, of in zip(bodies, keys, strict=True)]
        if entries:
            self._publish(channel, entries, timeout)
        return len(entries)

    def consume(
        self,
        channel: str,
        group: str = DEFAULT,
        *,
        model: type[Any] | None = None,
        prefetch: int = 100,
        timeout: float | timedelta | None = None,
    ) -> BrokerConsumer:
        """Consume the messages of a group, for one thread.

        Args:
            channel: the name of the channel; no pattern.
            group: those who name the same group share its messages.
            model: a pydantic model, as which payloads are given.
            prefetch: how many messages are fetched at a time. Fetched ones count as delivered.
            timeout: iterating ends when nothing came for so many seconds; never without.

        Returns:
            What ``for`` goes over.

        Raises:
            InvalidInput: an argument is none of these.

        Examples:
            >>> broker.publish("orders", "tea")
            >>> for group in ("work", "audit"):
            ...     print(next(broker.consume("orders", group)).payload)
            tea
            tea
        """
        return BrokerConsumer(
            self,
            given.of_channel(channel),
            given.name(group, "group"),
            model=model,
            prefetch=given.count(prefetch, "prefetch", 10_000),
            timeout=None if timeout is None else given.seconds(timeout, "timeout"),
        )

    def ack(self, messages: BrokerMessage | Iterable[BrokerMessage]) -> int:
        """Acknowledge messages, many at once.

        Args:
            messages: one, or several.

        Returns:
            How many of them were still to be acknowledged.

        Raises:
            Timeout: the broker does not answer; they may come again.

        Examples:
            >>> broker.publish_batch("orders", [1, 2, 3])
            3
            >>> broker.ack(broker.consume("orders").receive(10))
            3
        """
        if isinstance(messages, BrokerMessage):
            return int(messages.ack())
        groups: dict[int, list[BrokerMessage]] = {}
        for message in messages:
            groups.setdefault(id(message._consumer), []).append(message)
        return sum(group[0]._consumer._ack(group) for group in groups.values())

    def dead_letters(
        self, channel: str, group: str = DEFAULT, *, limit: int = 1_000
    ) -> list[BrokerDeadLetter]:
        """List the dead letters of a group, oldest first.

        Args:
            channel: the name of the channel.
            group: the group.
            limit: how many at the most.

        Returns:
            The messages, with the reasons.

        Examples:
            >>> broker.dead_letters("orders", "work")
            []
        """
        checked = self._of(channel, group)
        most = given.count(limit, "limit")
        found = self._call(lambda: self._link.dead_letters(*checked, most))
        return [BrokerDeadLetter(one) for one in found]

    def retry_dead_letters(self, channel: str, group: str = DEFAULT) -> int:
        """Have the dead letters of a group delivered to it again, and to no other group.

        Args:
            channel: the name of the channel.
            group: the group.

        Returns:
            How many there were.

        Examples:
            >>> broker.retry_dead_letters("orders", "work")
            0
        """
        checked = self._of(channel, group)
        return self._call(lambda: self._link.retry_dead_letters(*checked))

    def discard_dead_letters(self, channel: str, group: str = DEFAULT) -> int:
        """Let the dead letters of a group go.

        Args:
            channel: the name of the channel.
            group: the group.

        Returns:
            How many there were.

        Examples:
            >>> broker.discard_dead_letters("orders", "work")
            0
        """
        checked = self._of(channel, group)
        return self._call(lambda: self._link.discard_dead_letters(*checked))

    @property
    def reconnects(self) -> int:
        """How often the broker answered again after it had not."""
        return self._retrying.reconnects

    def close(self) -> None:
        """End the connection; whoever waits gets `DatabaseClosed`, and consumers end.

        Examples:
            >>> consumer = broker.consume("orders")
            >>> broker.close()
            >>> list(consumer)
            []
        """
        if not self._retrying.closed.is_set():
            self._retrying.closed.set()
            self._link.hurry()
            self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Broker({self._name!r})"

    def _of(self, channel: str, group: str) -> tuple[str, str]:
        return given.of_channel(channel), given.name(group, "group")

    def _call(self, function: Callable[[], R]) -> R:
        return self._retrying.call(function, self._config.timeout)

    def _publish(
        self, channel: str, entries: Sequence[Entry], timeout: float | timedelta | None
    ) -> None:
        checked = given.of_channel(channel)
        limit = self._config.timeout if timeout is None else given.seconds(timeout, "timeout")
        # One call at a time has an origin: its numbers come in their order, or not at all.
        with self._lock:
            free = self._origins.setdefault(checked, [])
            origin = free.pop() if free else _Origin()
        # After an error it is not used again: whether its last numbers were taken is not known.
        self._hand_over(checked, origin, entries, limit)
        with self._lock:
            free.append(origin)

    def _hand_over(
        self, channel: str, origin: _Origin, entries: Sequence[Entry], timeout: float | None
    ) -> None:
        numbers = range(origin.next, origin.next + len(entries))
        try:
            self._retrying.call(
                lambda: self._link.publish(channel, origin.name, numbers, entries, numbers[-1]),
                timeout,
                waits_for_room=self._config.overflow == "block",
            )
        except Full as error:
            raise QuotaExceeded(
                f"the channel {shown(channel)} of {self._name} has no room: {error}",
                hint="Consume it, or give it more capacity",
            ) from error
        origin.next = numbers.stop


class _Origin:
    """Who publishes: what it numbers the broker takes once."""

    __slots__ = ("name", "next")

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self.next = 0


def checked_config(config: Any) -> BrokerConfig:
    """Take a configuration, or the default."""
    if config is None:
        return BrokerConfig()
    if not isinstance(config, BrokerConfig):
        raise InvalidInput(f"config is {shown(config)}", hint="Give a BrokerConfig", field="config")
    return config


def opened(url: Any, config: BrokerConfig) -> tuple[Link, str]:
    """Make the link of a URL, and what to call it, without its password."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        place = "" if parts is None else parts.netloc.rpartition("@")[2] or parts.path
    except ValueError:
        parts, place = None, ""
    if parts is None or parts.scheme not in SCHEMES or not place:
        told = url if not isinstance(url, str) or "@" not in url else f"{url.partition(':')[0]}://…"
        raise InvalidInput(
            f"the URL of the broker is {shown(told)}",
            hint="Give one such as redis://127.0.0.1:6379/0 or kafka://127.0.0.1:9092",
            field="url",
        )
    name = f"{parts.scheme}://{place}"
    if parts.scheme == "kafka":
        from .kafka import KafkaLink

        return KafkaLink(place, config), name
    from .redis_streams import RedisLink

    return RedisLink(url, config), name
