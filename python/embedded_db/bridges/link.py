"""What a broker has to do for the rest of the package; one class for each kind of broker."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from ..errors import DatabaseClosed, Timeout
from .config import BrokerConfig

__all__ = ["Dead", "Elsewhere", "Entry", "Full", "Link", "Received", "Retrying", "Unreachable"]

log = logging.getLogger("embedded_db.bridges")
R = TypeVar("R")

ORDINARY: Final = 4
"""The priority of messages that come from a broker; no broker knows priorities."""


class Unreachable(Exception):
    """The broker does not answer, or not yet: the same call may succeed later."""


class Full(Exception):
    """The channel has no room, and its publisher is to wait."""


class Elsewhere(Exception):
    """The broker's position is not the one that was expected: it lost data, or others publish."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is published: a kind of `messaging.codec`, its bytes, its key."""

    kind: int
    body: bytes
    key: str | None = None


@dataclass(slots=True)
class Received:
    """A message as the broker delivered it.

    ``place`` is where it lies, for the link alone; ``problem`` says why it cannot be read.
    """

    channel: str
    group: str
    id: str
    place: Any
    entry: Entry
    attempts: int
    published: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter."""

    channel: str
    id: str
    entry: Entry
    attempts: int
    reason: str
    published: float


class Link(Protocol):
    """A connection to a broker. It raises `Unreachable` where a later call may succeed."""

    def position(self, channel: str, origin: str) -> int | None:
        """The number up to which the channel has what this origin publishes."""
        ...

    def publish(
        self,
        channel: str,
        origin: str,
        numbers: Sequence[int],
        entries: Sequence[Entry],
        upto: int,
        expected: int | None = None,
    ) -> None:
        """Publish messages with ascending numbers, those that the channel does not have yet.

        Afterwards the position of the origin is ``upto``, which is not less than the last number.
        With ``expected`` nothing happens but `Elsewhere`, unless that was the position before.
        """
        ...

    def fetch(self, reader: Any, limit: int, wait: float) -> list[Received]:
        """Take up to so many messages, those to be delivered again first."""
        ...

    def reader(self, channel: str, group: str) -> Any:
        """What `fetch` needs of one consumer; asks the broker nothing."""
        ...

    def leave(self, reader: Any) -> None:
        """End a consumer."""
        ...

    def ack(self, reader: Any, messages: Sequence[Received]) -> int:
        """Acknowledge, and say how many of them were still to be."""
        ...

    def nack(self, reader: Any, message: Received, delay: float, reason: str) -> bool:
        """Give back: to be delivered after the delay, or a dead letter."""
        ...

    def release(self, reader: Any, messages: Sequence[Received]) -> None:
        """Give back what nobody has looked at, as if it had not been delivered."""
        ...

    def dead_letters(self, channel: str, group: str, limit: int) -> list[Dead]:
        """List dead letters, oldest first."""
        ...

    def retry_dead_letters(self, channel: str, group: str) -> int:
        """Have them delivered to the group again."""
        ...

    def discard_dead_letters(self, channel: str, group: str) -> int:
        """Let them go."""
        ...

    def hurry(self) -> None:
        """Have calls that wait for the broker end soon, for it is closed next."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@dataclass
class Retrying:
    """Calls that are made again while the broker does not answer, after pauses that double."""

    config: BrokerConfig
    name: str
    closed: threading.Event = field(default_factory=threading.Event)
    reconnects: int = 0
    problem: str | None = None
    _away: bool = False

    def call(
        self, function: Callable[[], R], timeout: float | None, *, waits_for_room: bool = True
    ) -> R:
        """Call it until it succeeds, at most for so many seconds.

        Raises:
            Timeout: the time was over.
            DatabaseClosed: this was closed meanwhile.
        """
        end = None if timeout is None else time.monotonic() + timeout
        pause = self.config.first_delay
        while True:
            if self.closed.is_set():
                raise DatabaseClosed(f"the connection to {self.name} was closed")
            try:
                result = function()
            except Unreachable as error:
                self.lost(error)
                reason: Exception = error
            except Full as error:
                if not waits_for_room:
                    raise
                reason = error
            else:
                self.reached()
                return result
            left = pause if end is None else end - time.monotonic()
            if left <= 0:
                raise Timeout(
                    f"{self.name} did not take it within {timeout:g} s: {reason}",
                    hint="See that the broker runs and that the channel is consumed",
                ) from reason
            self.closed.wait(min(pause * random.uniform(0.5, 1), left))
            pause = min(2 * pause, self.config.longest_delay)

    def lost(self, error: Unreachable) -> None:
        """Note that the broker does not answer; said once for each time."""
        self.problem = str(error)
        if not self._away:
            self._away = True
            log.warning("%s does not answer: %s", self.name, error)

    def reached(self) -> None:
        """Note that it answers."""
        if self._away:
            self._away = False
            self.reconnects += 1
            self.problem = None
            log.warning("%s answers again", self.name)
