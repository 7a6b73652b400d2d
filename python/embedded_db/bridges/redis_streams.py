"""Redis Streams: a channel is a stream, a group a consumer group of it.

The keys of the channel ``c`` are ``c``, the stream; ``{c}:dead:g``, the dead letters of the
group ``g``; ``{c}:again:g``, those of them that it gets again; ``{c}:from:o``, how far the origin
``o`` is.
Whatever has to happen in one step is a script (`redis_scripts`), so that it happens once though a
connection is lost on the way. Times are the server's: no clock of ours is compared with them.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from ..errors import InvalidInput
from ..messaging import codec
from .config import BrokerConfig
from .link import Dead, Elsewhere, Entry, Full, Received, Unreachable
from .packages import client_package
from .redis_scripts import BURY, CLAIM, LEAVE, PUBLISH, RETRY

__all__ = ["RedisLink"]

R = TypeVar("R")

ANSWER: Final = 5.0
"""After so many seconds without an answer a connection is given up."""
LOOK: Final = 1.0
"""A consumer looks for what is to be delivered again at least so often, in seconds."""
KEPT: Final = 86_400
"""For so many seconds Redis remembers what a publisher has sent."""
FORGOTTEN: Final = 3_600_000
"""After so many milliseconds the name of a consumer that has nothing goes."""
MANY: Final = 1_000
"""Messages of one script: while it runs Redis does nothing else."""

KINDS: Final = {codec.BYTES: b"bytes", codec.PACKED: b"msgpack"}
LATER: Final = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "BUSY", "UNBLOCKED")
NO_ROOM: Final = ("FULL", "OOM", "MISCONF")


@dataclass(slots=True)
class Reader:
    """One consumer: its name there, and when it looks for what is to be delivered again."""

    channel: str
    group: str
    name: str
    due: float = 0.0
    more: list[Received] = field(default_factory=list)

    @property
    def again(self) -> str:
        """Dead letters that the group gets again."""
        return f"{{{self.channel}}}:again:{self.group}"

    @property
    def dead(self) -> str:
        """Its dead letters."""
        return f"{{{self.channel}}}:dead:{self.group}"


class RedisLink:
    """See `link.Link`."""

    def __init__(self, url: str, config: BrokerConfig) -> None:
        redis = client_package("redis", "redis")
        self._config = config
        self._errors = redis.exceptions
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        settings: dict[str, Any] = {"socket_timeout": ANSWER, "socket_connect_timeout": ANSWER}
        # Attempts are ours to count: a client that repeats a command would not tell.
        fixed: dict[str, Any] = {"retry": retry, "protocol": 2, "decode_responses": False}
        try:
            self._redis = redis.Redis.from_url(url, **{**settings, **config.client, **fixed})
        except (ValueError, TypeError) as error:
            raise InvalidInput(
                f"the URL or the client settings of Redis are wrong: {error}",
                hint="A URL is such as redis://127.0.0.1:6379/0",
            ) from error
        script = self._redis.register_script
        self._publish, self._claim, self._bury = script(PUBLISH), script(CLAIM), script(BURY)
        self._retry, self._leave = script(RETRY), script(LEAVE)

    def position(self, channel: str, origin: str) -> int | None:
        """See `Link.position`."""
        known = self._do(lambda: self._redis.get(_from(channel, origin)))
        return None if known is None else int(known)

    def publish(
        self,
        channel: str,
        origin: str,
        numbers: Sequence[int],
        entries: Sequence[Entry],
        upto: int,
        expected: int | None = None,
    ) -> None:
        """See `Link.publish`."""
        config, keys = self._config, [channel, _from(channel, origin)]
        lasts = 0 if origin.startswith("changes-") else KEPT
        size = min(MANY, config.capacity or MANY)
        for at in range(0, len(entries) or 1, size):
            part = entries[at : at + size]
            end = upto if at + size >= len(entries) else numbers[at + size - 1]
            args: list[Any] = [end, lasts, config.capacity or 0, config.overflow]
            args.append("" if expected is None else expected)
            expected = None if expected is None else end
            for number, entry in zip(numbers[at : at + size], part, strict=True):
                args += (number, KINDS[entry.kind], entry.body, entry.key or "")
            self._do(partial(self._publish, keys=keys, args=args))

    def reader(self, channel: str, group: str) -> Reader:
        """See `Link.reader`."""
        return Reader(channel, group, f"{os.getpid()}-{secrets.token_hex(6)}")

    def fetch(self, reader: Reader, limit: int, wait: float) -> list[Received]:
        """See `Link.fetch`."""
        if reader.more:
            taken, reader.more = reader.more[:limit], reader.more[limit:]
            return taken
        if time.monotonic() >= reader.due:
            again = self._of_group(reader, lambda: self._look_again(reader, limit))
            # While there may be more of them, the next call looks at once.
            reader.due = time.monotonic() + (0 if len(again) >= limit else self._look())
            if again:
                return again
        pause = min(wait, max(reader.due - time.monotonic(), 0.0), self._look())
        found = self._of_group(reader, lambda: self._read(reader, limit, pause))
        taken, reader.more = found[:limit], found[limit:]
        return taken

    def leave(self, reader: Reader) -> None:
        """See `Link.leave`."""
        if reader.more:
            more, reader.more = reader.more, []
            self.release(reader, more)
        for stream in (reader.channel, reader.again):
            args = [reader.group, reader.name, FORGOTTEN]
            self._do(partial(self._leave, keys=[stream], args=args))

    def ack(self, reader: Reader, messages: Sequence[Received]) -> int:
        """See `Link.ack`."""
        streams: dict[Any, list[str]] = {}
        for message in messages:
            streams.setdefault(message.place, []).append(message.id)
        return sum(
            int(self._do(partial(self._redis.xack, stream, reader.group, *ids)))
            for stream, ids in streams.items()
        )

    def nack(self, reader: Reader, message: Received, delay: float, reason: str) -> bool:
        """See `Link.nack`."""
        if message.attempts >= self._config.max_attempts:
            keys = [message.place, reader.dead]
            args = [reader.group, message.id, reason, message.attempts, self._dead_kept()]
            return bool(self._do(lambda: self._bury(keys=keys, args=args)))
        wait = min(delay, self._config.ack_deadline)
        idle = max(round((self._config.ack_deadline - wait) * 1000), 0)
        reader.due = min(reader.due, time.monotonic() + wait)
        return bool(self._set_idle(reader, [message], idle))

    def release(self, reader: Reader, messages: Sequence[Received]) -> None:
        """See `Link.release`."""
        idle = round(self._config.ack_deadline * 1000)
        for message in messages:
            self._set_idle(reader, [message], idle, message.attempts - 1)

    def dead_letters(self, channel: str, group: str, limit: int) -> list[Dead]:
        """See `Link.dead_letters`."""
        reader = Reader(channel, group, "")
        found = self._do(lambda: self._redis.xrange(reader.dead, count=limit))
        return [_dead(channel, fields) for _, fields in found]

    def retry_dead_letters(self, channel: str, group: str) -> int:
        """See `Link.retry_dead_letters`."""
        reader, many = Reader(channel, group, ""), 0
        while moved := self._do(lambda: self._retry(keys=[reader.dead, reader.again], args=[MANY])):
            many += int(moved)
        return many

    def discard_dead_letters(self, channel: str, group: str) -> int:
        """See `Link.discard_dead_letters`."""
        dead = Reader(channel, group, "").dead

        def discard() -> int:
            pipeline = self._redis.pipeline(transaction=True)
            many, _ = pipeline.xlen(dead).delete(dead).execute()
            return int(many)

        return self._do(discard)

    def hurry(self) -> None:
        """See `Link.hurry`; no call takes long."""

    def close(self) -> None:
        """See `Link.close`."""
        self._redis.close()

    def _look(self) -> float:
        return min(LOOK, self._config.ack_deadline / 4)

    def _dead_kept(self) -> int:
        return self._config.capacity or 100_000

    def _look_again(self, reader: Reader, limit: int) -> list[Received]:
        out = []
        for stream in (reader.channel, reader.again):
            idle = round(self._config.ack_deadline * 1000)
            most, kept = self._config.max_attempts, self._dead_kept()
            args = [reader.group, reader.name, idle, most, limit, kept]
            for id, fields, attempts in self._claim(keys=[stream, reader.dead], args=args):
                pairs = dict(zip(fields[::2], fields[1::2], strict=True))
                out.append(_received(reader, stream, id, pairs, int(attempts)))
        reader.more += out[limit:]
        return out[:limit]

    def _read(self, reader: Reader, limit: int, pause: float) -> list[Received]:
        streams = {reader.channel: ">", reader.again: ">"}
        # 0 would be for ever.
        block = max(round(pause * 1000), 1) if pause > 0 else None
        found = self._redis.xreadgroup(reader.group, reader.name, streams, count=limit, block=block)
        return [
            _received(reader, stream.decode(), id, fields, 1)
            for stream, entries in found or []
            for id, fields in entries
        ]

    def _of_group(self, reader: Reader, function: Callable[[], R]) -> R:
        """Do what needs the group, and make it where it is missing, as after a loss of all data."""
        try:
            return self._do(function)
        except _NoGroup:
            for stream in (reader.channel, reader.again):
                is_new = self._config.start == "newest" and stream == reader.channel
                self._do(partial(self._make_group, stream, reader.group, new=is_new))
            return self._do(function)

    def _make_group(self, stream: str, group: str, *, new: bool) -> None:
        try:
            self._redis.xgroup_create(stream, group, id="$" if new else "0", mkstream=True)
        except self._errors.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _set_idle(
        self, reader: Reader, messages: Sequence[Received], idle: int, attempts: int | None = None
    ) -> int:
        [stream] = {message.place for message in messages}
        ids = [message.id for message in messages]
        claimed = self._do(
            lambda: self._redis.xclaim(
                stream, reader.group, reader.name, 0, ids,
                idle=idle, retrycount=attempts, justid=True,
            )
        )  # fmt: skip
        return len(claimed)

    def _do(self, function: Callable[[], R]) -> R:
        errors = self._errors
        try:
            return function()
        except (errors.AuthenticationError, errors.AuthorizationError) as error:
            raise InvalidInput(
                f"Redis refuses the user: {error}", hint="Give the password in the URL or client="
            ) from error
        except (errors.ConnectionError, errors.TimeoutError, OSError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        except errors.ResponseError as error:
            said = str(error)
            if "NOGROUP" in said:
                raise _NoGroup from error
            if "ELSEWHERE" in said:
                raise Elsewhere from error
            if any(word in said for word in NO_ROOM) or type(error) is errors.OutOfMemoryError:
                raise Full(said) from error
            if any(word in said for word in LATER):
                raise Unreachable(said) from error
            raise InvalidInput(
                f"Redis refuses: {said}",
                hint="It must be Redis 7 or newer, the key a stream, scripts allowed to the user",
            ) from error


class _NoGroup(Exception):
    """The stream has no such group yet."""


def _from(channel: str, origin: str) -> str:
    return f"{{{channel}}}:from:{origin}"


def _received(
    reader: Reader, stream: str, id: bytes, fields: dict[bytes, bytes], attempts: int
) -> Received:
    entry, problem = _entry(fields)
    name = id.decode()
    return Received(
        reader.channel, reader.group, name, stream, entry, attempts, _seconds(name), problem
    )


def _entry(fields: dict[bytes, bytes]) -> tuple[Entry, str | None]:
    body = fields.get(b"body")
    key = fields.get(b"key", b"").decode(errors="replace") or None
    if body is None:
        names = ", ".join(sorted(name.decode(errors="replace") for name in fields))
        return Entry(codec.BYTES, b"", key), f"it has no field body, but: {names:.200}"
    packed = fields.get(b"kind") == KINDS[codec.PACKED]
    return Entry(codec.PACKED if packed else codec.BYTES, body, key), None


def _dead(channel: str, fields: dict[bytes, bytes]) -> Dead:
    id = fields[b"!id"].decode()
    entry, _ = _entry(fields)
    reason = fields[b"!reason"].decode(errors="replace")
    return Dead(channel, id, entry, int(fields[b"!attempts"]), reason, _seconds(id))


def _seconds(id: str) -> float:
    return int(id.partition("-")[0]) / 1000
