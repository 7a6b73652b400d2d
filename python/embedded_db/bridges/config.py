"""How a broker is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

from ..errors import InvalidInput, shown
from ..messaging import given

__all__ = ["BrokerConfig"]

OVERFLOWS: Final = ("block", "drop_oldest", "error")
STARTS: Final = ("oldest", "newest")


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """How a broker is used; the defaults are those of a `MessageBus`.

    Attributes:
        timeout: for how many seconds a call waits for a broker that does not answer, or for room;
            then it raises `Timeout`. Bridges and iterating consumers wait for ever.
        first_delay: the pause before the first new attempt to reach the broker; each one after it
            is twice as long.
        longest_delay: the longest such pause.
        batch: how many messages a bridge hands over at a time; more are never in its memory.
        ack_deadline: what is not acknowledged after so many seconds is delivered again.
        max_attempts: after so many deliveries without acknowledgement a message is a dead letter.
        start: what a new group gets first: the ``"oldest"`` message that the broker has, or the
            next one that comes (``"newest"``).
        capacity: how many messages a channel may have that some group has not acknowledged; None
            for as many as the broker takes. Of Redis alone: what Kafka keeps is set there.
        overflow: what happens to one more: ``"block"``, its publisher waits; ``"drop_oldest"``, the
            oldest goes; ``"error"``, its publisher gets `QuotaExceeded`.
        client: given to the client as it is: keyword arguments of ``redis.Redis``, or properties
            of librdkafka, for passwords, certificates and the like.

    Examples:
        >>> from embedded_db.bridges import BrokerConfig
        >>> BrokerConfig(timeout=5, client={"password": "secret"}).timeout
        5.0
    """

    timeout: float = 30.0
    first_delay: float = 0.1
    longest_delay: float = 10.0
    batch: int = 500
    ack_deadline: float = 30.0
    max_attempts: int = 5
    start: Literal["oldest", "newest"] = "oldest"
    capacity: int | None = 100_000
    overflow: Literal["block", "drop_oldest", "error"] = "block"
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in ("timeout", "first_delay", "longest_delay", "ack_deadline"):
            value: float | timedelta = getattr(self, name)
            object.__setattr__(self, name, given.seconds(value, name, least=1e-3))
        given.count(self.batch, "batch", 10_000)
        given.count(self.max_attempts, "max_attempts")
        if self.capacity is not None:
            given.count(self.capacity, "capacity")
        given.choice(self.start, "start", STARTS)
        given.choice(self.overflow, "overflow", OVERFLOWS)
        if not isinstance(self.client, Mapping):
            raise InvalidInput(
                f"client is {shown(self.client)}", hint="Give a dict", field="client"
            )
