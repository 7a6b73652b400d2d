"""Messages as a broker delivers them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidInput, shown
from ..messaging import codec, given

if TYPE_CHECKING:
    from .consumer import BrokerConsumer
    from .link import Dead, Received

__all__ = ["BrokerDeadLetter", "BrokerMessage"]

UNREAD: Final = object()


class BrokerMessage:
    r"""A message that a broker delivered; it comes again if it is not acknowledged in time.

    Examples:
        >>> broker.publish("orders", {"id": 7}, key="Ann")
        >>> [message] = broker.consume("orders").receive()
        >>> message.payload, message.body, message.key
        ({'id': 7}, b'\x81\xa2id\x07', 'Ann')
        >>> message.channel, message.group, message.attempts, message.published_at.tzname()
        ('orders', 'default', 1, 'UTC')
        >>> isinstance(message.id, str), message.ack()
        (True, True)
    """

    __slots__ = ("_consumer", "_payload", "_received")

    def __init__(self, consumer: BrokerConsumer, received: Received) -> None:
        self._consumer = consumer
        self._received = received
        self._payload: Any = UNREAD

    @property
    def payload(self) -> Any:
        """What was published: bytes as they were, else plain values, or the consumer's model.

        Raises:
            InvalidInput: it is no such model, or was not published by a `Broker`.
        """
        if self._payload is UNREAD:
            received = self._received
            if received.problem is not None:
                raise InvalidInput(
                    f"the message {received.id} cannot be read: {received.problem}",
                    hint="Publish with a Broker, or with the fields kind and body",
                )
            value = codec.payload(received.entry.kind, received.entry.body)
            model = self._consumer._model
            self._payload = value if model is None else as_model(model, value, received.id)
        return self._payload

    @property
    def body(self) -> bytes:
        """The bytes of the payload: MessagePack, unless bytes were published."""
        return self._received.entry.body

    @property
    def id(self) -> str:
        """What the broker calls it."""
        return self._received.id

    @property
    def channel(self) -> str:
        """The channel on which it was published."""
        return self._received.channel

    @property
    def group(self) -> str:
        """The group to which it was delivered."""
        return self._received.group

    @property
    def key(self) -> str | None:
        """The key with which it was published, or None."""
        return self._received.entry.key

    @property
    def attempts(self) -> int:
        """How often it was delivered to this group, this time included."""
        return self._received.attempts

    @property
    def published_at(self) -> datetime:
        """When the broker got it."""
        return moment(self._received.published)

    def __repr__(self) -> str:
        return (
            f"BrokerMessage({self.id!r}, {self.channel!r}, {shown(self.body)}, "
            f"attempts={self.attempts})"
        )

    def ack(self) -> bool:
        """Say that it is done: it never comes again.

        Returns:
            Whether it was still to be acknowledged by the group.

        Raises:
            Timeout: the broker does not answer; the message may come again.

        Examples:
            >>> broker.publish("orders", 1)
            >>> [message] = broker.consume("orders").receive()
            >>> message.ack(), message.ack()
            (True, False)
        """
        return self._consumer._ack([self]) == 1

    def nack(self, delay: float | timedelta = 0.0, reason: str = "it was given back") -> bool:
        """Give it back: it comes again, or is a dead letter when it came as often as it may.

        Args:
            delay: after how many seconds it may come again, at most `BrokerConfig.ack_deadline`.
            reason: what its dead letter says.

        Returns:
            Whether it was still to be acknowledged by the group.

        Raises:
            Timeout: the broker does not answer; the message comes again after its deadline.

        Examples:
            >>> broker.publish("orders", 1)
            >>> consumer = broker.consume("orders")
            >>> [message] = consumer.receive()
            >>> message.nack(reason="no paper")
            True
            >>> consumer.receive()[0].attempts
            2
        """
        return self._consumer._nack(
            self, given.seconds(delay, "delay"), given.name(reason, "reason")
        )


class BrokerDeadLetter:
    r"""A message that came as often as it may and was never acknowledged.

    Examples:
        >>> from embedded_db.bridges import BrokerConfig, connect
        >>> broker = connect(url, BrokerConfig(max_attempts=1))
        >>> broker.publish("orders", [7], key="Ann")
        >>> broker.consume("orders").receive()[0].nack(reason="no paper")
        True
        >>> [letter] = broker.dead_letters("orders")
        >>> letter.payload, letter.body, letter.reason, letter.attempts
        ([7], b'\x91\x07', 'no paper', 1)
        >>> letter.channel, letter.key, letter.published_at.tzname(), isinstance(letter.id, str)
        ('orders', 'Ann', 'UTC', True)
        >>> broker.close()
    """

    __slots__ = ("_dead",)

    def __init__(self, dead: Dead) -> None:
        self._dead = dead

    @property
    def payload(self) -> Any:
        """What was published."""
        return codec.payload(self._dead.entry.kind, self._dead.entry.body)

    @property
    def body(self) -> bytes:
        """The bytes of the payload."""
        return self._dead.entry.body

    @property
    def id(self) -> str:
        """What the broker called it."""
        return self._dead.id

    @property
    def channel(self) -> str:
        """The channel on which it was published."""
        return self._dead.channel

    @property
    def key(self) -> str | None:
        """Its key, or None."""
        return self._dead.entry.key

    @property
    def attempts(self) -> int:
        """How often it was delivered."""
        return self._dead.attempts

    @property
    def reason(self) -> str:
        """What the last consumer said, or that it was not acknowledged in time."""
        return self._dead.reason

    @property
    def published_at(self) -> datetime:
        """When the broker got it first."""
        return moment(self._dead.published)

    def __repr__(self) -> str:
        return f"BrokerDeadLetter({self.id!r}, {self.channel!r}, {self.reason!r})"


def as_model(model: type[Any], value: Any, id: str) -> Any:
    """Give a payload as a pydantic model."""
    from pydantic import ValidationError

    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(
            f"the message {id} is no {model.__name__}: {error}",
            hint="Publish what the consumer expects, or consume without a model",
        ) from error


def moment(seconds: float) -> datetime:
    """Give the time of a broker."""
    return datetime.fromtimestamp(seconds, UTC)
