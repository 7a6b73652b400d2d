"""Messages as consumers get them."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidInput, shown
from . import codec
from .given import name, seconds

if TYPE_CHECKING:
    from . import backend
    from .bus import MessageBus

__all__ = ["DeadLetter", "Message", "decoded"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UNREAD: Final = object()


def decoded(delivery: "backend.Delivery | backend.DeadLetter", model: type[Any] | None) -> Any:
    """Give what a message says, as the model if there is one."""
    payload = codec.payload(delivery.kind, delivery.body)
    if model is None:
        return payload
    from pydantic import ValidationError

    try:
        return model.model_validate(payload)
    except ValidationError as error:
        raise InvalidInput(
            f"the message {delivery.id} is no {model.__name__}: {error}",
            hint="Publish what the consumer expects, or consume without a model",
        ) from error


class Message:
    r"""A message that was delivered; it comes again if it is not acknowledged in time.

    Examples:
        >>> from embedded_db.messaging import MessageBus
        >>> bus = MessageBus()
        >>> bus.publish("jobs", {"page": 1}, priority=7, key="book")
        1
        >>> [message] = bus.consume("jobs").receive()
        >>> message.payload, message.body
        ({'page': 1}, b'\x81\xa4page\x01')
        >>> message.id, message.channel, message.group, message.priority, message.key
        (1, 'jobs', 'default', 7, 'book')
        >>> message.attempts, message.reply_to, message.published_at.tzname()
        (1, None, 'UTC')
        >>> message.ack()
        True
    """

    __slots__ = ("_bus", "_delivery", "_model", "_payload", "_subscription")

    def __init__(
        self,
        bus: "MessageBus",
        subscription: "backend.Subscription",
        delivery: "backend.Delivery",
        model: type[Any] | None,
    ) -> None:
        self._bus = bus
        self._subscription = subscription
        self._delivery = delivery
        self._model = model
        self._payload: Any = UNREAD

    @property
    def payload(self) -> Any:
        """What was published: bytes as they were, else plain values, or the consumer's model.

        Raises:
            InvalidInput: it is no such model.
        """
        if self._payload is UNREAD:
            self._payload = decoded(self._delivery, self._model)
        return self._payload

    @property
    def body(self) -> bytes:
        """The bytes of the payload: MessagePack, unless bytes were published."""
        return self._delivery.body

    @property
    def id(self) -> int:
        """Its number; later messages have greater ones."""
        return self._delivery.id

    @property
    def channel(self) -> str:
        """The channel on which it was published."""
        return self._delivery.channel

    @property
    def group(self) -> str:
        """The group to which it was delivered."""
        return self._subscription.group

    @property
    def key(self) -> str | None:
        """The key whose order it keeps, or None."""
        return self._delivery.key

    @property
    def priority(self) -> int:
        """Its priority when it was published, 0 to 9."""
        return self._delivery.priority

    @property
    def attempts(self) -> int:
        """How often it was delivered to this group, this time included."""
        return self._delivery.attempts

    @property
    def published_at(self) -> datetime:
        """When it was published."""
        return EPOCH + timedelta(microseconds=self._delivery.published)

    @property
    def reply_to(self) -> str | None:
        """The channel on which a reply is awaited, or None."""
        return self._delivery.reply_to

    def __repr__(self) -> str:
        return f"Message({self.id}, {self.channel!r}, {shown(self.body)}, attempts={self.attempts})"

    def ack(self) -> bool:
        """Say that it is done: it never comes again.

        Returns:
            Whether it was still this consumer's: if not, it was or will be delivered again.

        Raises:
            StorageFull: it could not be noted in the path; it may come again after a restart.
        """
        return self._delivery.ack()

    def nack(self, delay: float | timedelta = 0.0, reason: str = "it was given back") -> bool:
        """Give it back: it comes again, or is a dead letter when it came as often as it may.

        Args:
            delay: after how many seconds it may come again. Later messages of its key wait.
            reason: what its dead letter says.

        Returns:
            Whether it was still this consumer's.

        Examples:
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish("jobs", 1)
            1
            >>> [message] = bus.consume("jobs").receive()
            >>> message.nack(delay=60, reason="no paper"), message.ack()
            (True, False)
        """
        return self._delivery.nack(round(seconds(delay, "delay") * 1e6), name(reason, "reason"))

    def reply(self, message: Any) -> bool:
        """Answer a request; nothing happens if nobody waits any more.

        Args:
            message: the answer.

        Returns:
            Whether it was a request.

        Examples:
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> with bus.subscribe("hello", callback=lambda one: one.reply("who is there?")):
            ...     bus.request("hello", None)
            'who is there?'
        """
        return self._bus._reply(self.reply_to, message)

    async def ack_async(self) -> bool:
        """Do what `ack` does, and wait for the path without holding up the loop.

        Examples:
            >>> import asyncio
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish("jobs", 1)
            1
            >>> [message] = bus.consume("jobs").receive()
            >>> asyncio.run(message.ack_async())
            True
        """
        return await self._bus._call(self.ack)

    async def nack_async(
        self, delay: float | timedelta = 0.0, reason: str = "it was given back"
    ) -> bool:
        """Do what `nack` does, and wait for the path without holding up the loop.

        Args:
            delay: as for `nack`.
            reason: as for `nack`.

        Examples:
            >>> import asyncio
            >>> from embedded_db.messaging import MessageBus
            >>> bus = MessageBus()
            >>> bus.publish("jobs", 1)
            1
            >>> [message] = bus.consume("jobs").receive()
            >>> asyncio.run(message.nack_async(delay=60))
            True
        """
        return await self._bus._call(self.nack, delay, reason)


class DeadLetter:
    r"""A message that came as often as it may and was never acknowledged.

    Examples:
        >>> from embedded_db.messaging import MessageBus
        >>> bus = MessageBus(max_attempts=1)
        >>> bus.publish("jobs", [7], priority=2, key="book")
        1
        >>> [message] = bus.consume("jobs").receive()
        >>> message.nack(reason="no paper")
        True
        >>> [letter] = bus.dead_letters("jobs")
        >>> letter.payload, letter.body, letter.reason, letter.attempts
        ([7], b'\x91\x07', 'no paper', 1)
        >>> letter.id, letter.channel, letter.key, letter.priority, letter.published_at.tzname()
        (1, 'jobs', 'book', 2, 'UTC')
    """

    __slots__ = ("_letter",)

    def __init__(self, letter: "backend.DeadLetter") -> None:
        self._letter = letter

    @property
    def payload(self) -> Any:
        """What was published."""
        return codec.payload(self._letter.kind, self._letter.body)

    @property
    def body(self) -> bytes:
        """The bytes of the payload."""
        return self._letter.body

    @property
    def id(self) -> int:
        """Its number."""
        return self._letter.id

    @property
    def channel(self) -> str:
        """The channel on which it was published."""
        return self._letter.channel

    @property
    def key(self) -> str | None:
        """Its key, or None."""
        return self._letter.key

    @property
    def priority(self) -> int:
        """Its priority."""
        return self._letter.priority

    @property
    def attempts(self) -> int:
        """How often it was delivered."""
        return self._letter.attempts

    @property
    def reason(self) -> str:
        """What the last consumer said, or that it was not acknowledged in time."""
        return self._letter.reason

    @property
    def published_at(self) -> datetime:
        """When it was published."""
        return EPOCH + timedelta(microseconds=self._letter.published)

    def __repr__(self) -> str:
        return f"DeadLetter({self.id}, {self.channel!r}, {self.reason!r})"
