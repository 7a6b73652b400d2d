"""Kafka: a channel is a topic, a group a consumer group.

Its name there is ``GROUP.CHANNEL``: members of one group are waited for, whatever they consume.
Kafka keeps one number for each group and partition: all before it is done. So a reader holds what
it has delivered, and commits up to the first that is not acknowledged; what comes again comes from
here, or after a restart from Kafka. Dead letters are in the topic ``CHANNEL.dead.GROUP``, those
that the group gets again in ``CHANNEL.again.GROUP``. The change feed has partition 0 of its topic,
so that its order holds; each record says who sent it and its number, and the last one tells the
position.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ..errors import InvalidInput, shown
from ..messaging import codec
from .config import BrokerConfig
from .link import Dead, Entry, Received, Unreachable
from .packages import client_package

__all__ = ["KafkaLink"]

ANSWER: Final = 10.0
"""After so many seconds a message that Kafka did not confirm is given up, to be sent again."""
SHORT: Final = 3.0
GRACE: Final = 1.0
"""What is on its way when this is closed has so many seconds."""
REMEMBERED: Final = 256
MOST: Final = 1_000
"""A reader takes no more while so many messages that it delivered are not acknowledged."""
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
KINDS: Final = {codec.BYTES: b"bytes", codec.PACKED: b"msgpack"}

Place = tuple[str, int, int]
"""Topic, partition and offset."""


@dataclass(slots=True)
class Held:
    """A message that was delivered and is not acknowledged: when it comes again."""

    received: Received
    due: float


@dataclass(slots=True)
class Reader:
    """One consumer, and what it holds; for one thread."""

    channel: str
    group: str
    consumer: Any = None
    held: dict[Place, Held] = field(default_factory=dict)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    """Behind the last message that was delivered of a partition."""
    is_lost: bool = False


class KafkaLink:
    """See `link.Link`."""

    def __init__(self, servers: str, config: BrokerConfig) -> None:
        self._kafka = client_package("confluent_kafka", "kafka")
        self._config = config
        self._settings: dict[str, Any] = {
            "bootstrap.servers": servers,
            "reconnect.backoff.ms": round(config.first_delay * 1000),
            "reconnect.backoff.max.ms": round(config.longest_delay * 1000),
            "log_level": 0,
            **config.client,
        }
        sending = {"enable.idempotence": True, "delivery.timeout.ms": round(ANSWER * 1000)}
        try:
            self._producer = self._kafka.Producer(
                {"linger.ms": 0.5, **self._settings, **sending, "error_cb": _ignored}
            )
        except (self._kafka.KafkaException, ValueError, TypeError) as error:
            raise InvalidInput(
                f"the URL or the client settings of Kafka are wrong: {error}",
                hint="A URL is such as kafka://127.0.0.1:9092, a setting one of librdkafka",
            ) from error
        self._confirmed: dict[tuple[str, str], set[int]] = {}
        self._last_moment: float | None = None

    # --- publishing ---

    def publish(
        self,
        channel: str,
        origin: str,
        numbers: Sequence[int],
        entries: Sequence[Entry],
        upto: int,
        expected: int | None = None,
    ) -> None:
        """See `Link.publish`; ``expected`` is not looked at, for Kafka forgets nothing."""
        is_feed = origin.startswith("changes-")
        if not entries:
            self._note(channel, origin, upto)
            return
        # Of a call that is made again only what was not confirmed is sent again.
        done = self._confirmed.setdefault((channel, origin), set())
        if len(self._confirmed) > REMEMBERED:  # of calls that were given up
            del self._confirmed[next(iter(self._confirmed))]
        records = [
            (
                number,
                entry,
                [("kind", KINDS[entry.kind]), ("from", origin), ("number", str(number))],
            )
            for number, entry in zip(numbers, entries, strict=True)
            if number not in done
        ]
        self._send(_topic(channel), records, done, partition=0 if is_feed else None)
        self._confirmed.pop((channel, origin), None)

    def _send(
        self, topic: str, records: Sequence[tuple[int, Entry, list[tuple[str, Any]]]],
        done: set[int], *, partition: int | None = None,
    ) -> None:  # fmt: skip
        errors: dict[int, Any] = {}
        told = threading.Semaphore(0)

        def confirm(number: int, error: Any, _: Any) -> None:
            if error is None:
                done.add(number)
            else:
                errors[number] = error
            told.release()

        place = {} if partition is None else {"partition": partition}
        for number, entry, headers in records:
            record = {"value": entry.body, "headers": headers, **place}
            if entry.key is not None:
                record["key"] = entry.key
            while True:
                try:
                    self._producer.produce(topic, on_delivery=partial(confirm, number), **record)
                    break
                except BufferError:
                    self._producer.poll(0.1)
                except self._kafka.KafkaException as error:
                    raise self._refused(error.args[0]) from error
        end = time.monotonic() + ANSWER + SHORT
        for _ in records:
            while not told.acquire(blocking=False):
                self._producer.poll(0.05)
                if self._last_moment is not None and time.monotonic() > self._last_moment:
                    self._producer.purge()
                if time.monotonic() > end:
                    raise Unreachable("what was sent is not confirmed")
        for failed in errors.values():
            raise self._refused(failed)

    def _refused(self, error: Any) -> Exception:
        code, codes = error.code(), self._kafka.KafkaError
        if code in (codes.MSG_SIZE_TOO_LARGE, codes.INVALID_MSG_SIZE, codes.INVALID_RECORD):
            return InvalidInput(
                f"Kafka does not take the message: {error.str()}",
                hint="Send less, or give both sides a greater message.max.bytes",
                field="message",
            )
        if code in (codes.TOPIC_AUTHORIZATION_FAILED, codes._AUTHENTICATION, codes.TOPIC_EXCEPTION):
            return InvalidInput(f"Kafka refuses: {error.str()}", hint="Look at the user's rights")
        return Unreachable(error.str())

    # --- the position of a feed ---

    def position(self, channel: str, origin: str) -> int | None:
        """See `Link.position`."""
        self._confirmed.pop((channel, origin), None)
        with _Assigned(self, _topic(channel), origin) as one:
            noted = self._asked(lambda: one.consumer.committed([one.at(0)], SHORT))[0]
            known = int(noted.metadata) if noted.metadata else None
            low, high = one.watermarks()
            floor, step = max(low, noted.offset), 64
            begin = high
            while begin > floor:
                end, begin = begin, max(floor, begin - step)
                numbers = [
                    int(headers["number"])
                    for headers in map(_headers, one.records(begin, end))
                    if headers.get("from") == origin.encode()
                ]
                if numbers:
                    return max([*numbers, -1 if known is None else known])
                step *= 4
            return known

    def _note(self, channel: str, origin: str, upto: int) -> None:
        """Note a position without a message: up to there nothing was to be sent."""
        with _Assigned(self, _topic(channel), origin) as one:
            _, high = one.watermarks()
            mark = one.at(high, str(upto))
            self._asked(lambda: one.consumer.commit(offsets=[mark], asynchronous=False))

    # --- consuming ---

    def reader(self, channel: str, group: str) -> Reader:
        """See `Link.reader`."""
        return Reader(_topic(channel), _topic(group))

    def fetch(self, reader: Reader, limit: int, wait: float) -> list[Received]:
        """See `Link.fetch`."""
        consumer = reader.consumer or self._subscribed(reader)
        if reader.is_lost:
            self._asked(lambda: consumer.list_topics(timeout=1.0))
            reader.is_lost = False
        now = time.monotonic()
        again = self._again(reader, limit, now)
        if again:
            return again
        due = min((one.due for one in reader.held.values()), default=now + wait)
        pause = max(min(wait, due - now), 0.0)
        if len(reader.held) >= MOST:
            time.sleep(min(pause, 0.05))
            return []
        found = self._asked(lambda: consumer.consume(min(limit, MOST - len(reader.held)), pause))
        return [self._taken(reader, one) for one in found if one.error() is None]

    def _subscribed(self, reader: Reader) -> Any:
        topics = [reader.channel, f"{reader.channel}.again.{reader.group}"]

        def lost(error: Any) -> None:
            if error.code() in (
                self._kafka.KafkaError._ALL_BROKERS_DOWN, self._kafka.KafkaError._TRANSPORT,
            ):  # fmt: skip
                reader.is_lost = True

        def revoked(_: Any, partitions: Any) -> None:
            gone = {(one.topic, one.partition) for one in partitions}
            reader.held = {at: one for at, one in reader.held.items() if at[:2] not in gone}
            reader.ends = {at: end for at, end in reader.ends.items() if at not in gone}

        settings = {
            "session.timeout.ms": 6000,
            "queued.max.messages.kbytes": 8192,
            "topic.metadata.refresh.interval.ms": 2000,
            **self._settings,
            "group.id": f"{reader.group}.{reader.channel}",
            "enable.auto.commit": False,
            "auto.offset.reset": "latest" if self._config.start == "newest" else "earliest",
            "allow.auto.create.topics": True,
            "error_cb": lost,
        }
        reader.consumer = self._kafka.Consumer(settings)
        reader.consumer.subscribe(topics, on_revoke=revoked, on_lost=revoked)
        return reader.consumer

    def _taken(self, reader: Reader, record: Any) -> Received:
        place = (record.topic(), record.partition(), record.offset())
        reader.ends[place[:2]] = place[2] + 1
        received = Received(
            reader.channel, reader.group, f"{place[1]}-{place[2]}", place, _entry(record), 1,
            record.timestamp()[1] / 1000,
        )  # fmt: skip
        reader.held[place] = Held(received, time.monotonic() + self._config.ack_deadline)
        return received

    def _again(self, reader: Reader, limit: int, now: float) -> list[Received]:
        out: list[Received] = []
        for place, one in list(reader.held.items()):
            if one.due > now or len(out) == limit:
                continue
            if one.received.attempts >= self._config.max_attempts:
                self._bury(reader, one.received, "it was not acknowledged in time")
                continue
            fresh = Received(**{name: getattr(one.received, name) for name in Received.__slots__})
            fresh.attempts += 1
            reader.held[place] = Held(fresh, now + self._config.ack_deadline)
            out.append(fresh)
        return out

    def ack(self, reader: Reader, messages: Sequence[Received]) -> int:
        """See `Link.ack`."""
        places = [one.place for one in messages if one.place in reader.held]
        return len(places) if self._commit(reader, set(places)) else 0

    def _commit(self, reader: Reader, places: set[Place]) -> bool:
        """Have Kafka know up to where all is done, as if these were; then they are.

        If this reader is no member any more, they are not, and nothing of theirs is held.
        """
        left = [place for place in reader.held if place not in places]
        marks = []
        for topic, number in {place[:2] for place in places}:
            first = min((at[2] for at in left if at[:2] == (topic, number)), default=None)
            offset = reader.ends[topic, number] if first is None else first
            marks.append(self._kafka.TopicPartition(topic, number, offset))
        try:
            if marks:
                reader.consumer.commit(offsets=marks, asynchronous=False)
        except self._kafka.KafkaException as error:
            codes = self._kafka.KafkaError
            left_group = (codes.UNKNOWN_MEMBER_ID, codes.ILLEGAL_GENERATION)
            if error.args[0].code() not in (*left_group, codes.REBALANCE_IN_PROGRESS):
                raise self._refused(error.args[0]) from error
            # They are another member's now, or come again to this one.
            gone = {place[:2] for place in places}
            reader.held = {at: one for at, one in reader.held.items() if at[:2] not in gone}
            return False
        for place in places:
            reader.held.pop(place, None)
        return True

    def nack(self, reader: Reader, message: Received, delay: float, reason: str) -> bool:
        """See `Link.nack`."""
        held = reader.held.get(message.place)
        if held is None:
            return False
        if message.attempts >= self._config.max_attempts:
            self._bury(reader, message, reason)
        else:
            held.due = time.monotonic() + min(delay, self._config.ack_deadline)
        return True

    def release(self, reader: Reader, messages: Sequence[Received]) -> None:
        """See `Link.release`."""
        for message in messages:
            held = reader.held.get(message.place)
            if held is not None:
                held.received.attempts = message.attempts - 1
                held.due = 0.0

    def leave(self, reader: Reader) -> None:
        """See `Link.leave`."""
        consumer, reader.consumer = reader.consumer, None
        if consumer is not None:
            consumer.close()

    def _bury(self, reader: Reader, message: Received, reason: str) -> None:
        headers: list[tuple[str, Any]] = [
            ("kind", KINDS[message.entry.kind]), ("id", message.id), ("reason", reason),
            ("attempts", str(message.attempts)), ("at", str(message.published)),
        ]  # fmt: skip
        dead = f"{reader.channel}.dead.{reader.group}"
        self._send(dead, [(0, message.entry, headers)], set(), partition=0)
        self._commit(reader, {message.place})

    # --- dead letters ---

    def dead_letters(self, channel: str, group: str, limit: int) -> list[Dead]:
        """See `Link.dead_letters`."""
        with _Assigned(self, f"{_topic(channel)}.dead.{_topic(group)}", "reading") as one:
            low, high = one.watermarks()
            records = list(one.records(low, min(high, low + limit)))
        return [_dead(channel, record) for record in records]

    def retry_dead_letters(self, channel: str, group: str) -> int:
        """See `Link.retry_dead_letters`."""
        letters = self.dead_letters(channel, group, MOST)
        records = [
            (at, one.entry, [("kind", KINDS[one.entry.kind])]) for at, one in enumerate(letters)
        ]
        self._send(f"{channel}.again.{group}", records, set())
        return self._drop(channel, group, len(letters))

    def discard_dead_letters(self, channel: str, group: str) -> int:
        """See `Link.discard_dead_letters`."""
        return self._drop(channel, group, None)

    def _drop(self, channel: str, group: str, many: int | None) -> int:
        """Let the oldest dead letters go, or all."""
        with _Assigned(self, f"{_topic(channel)}.dead.{_topic(group)}", "dropping") as one:
            low, high = one.watermarks()
            end = high if many is None else low + many
            if end > low:
                admin = client_package("confluent_kafka.admin", "kafka").AdminClient(self._settings)
                for future in admin.delete_records([one.at(end)]).values():
                    self._asked(partial(future.result, SHORT))
            return end - low

    def hurry(self) -> None:
        """See `Link.hurry`."""
        self._last_moment = time.monotonic() + GRACE

    def close(self) -> None:
        """See `Link.close`."""
        self._producer.flush(GRACE)

    def _asked(self, function: Any) -> Any:
        try:
            return function()
        except self._kafka.KafkaException as error:
            raise self._refused(error.args[0]) from error
        except (TimeoutError, RuntimeError) as error:
            raise Unreachable(str(error)) from error


class _Assigned:
    """Partition 0 of a topic, read without a group; a topic that is not there is empty."""

    def __init__(self, link: KafkaLink, topic: str, group: str) -> None:
        self._link, self._topic, self._group = link, topic, group

    def __enter__(self) -> _Assigned:
        settings = {
            **self._link._settings, "group.id": self._group, "enable.auto.commit": False,
            "allow.auto.create.topics": False, "error_cb": _ignored,
        }  # fmt: skip
        self.consumer = self._link._kafka.Consumer(settings)
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()

    def at(self, offset: int, metadata: str | None = None) -> Any:
        """A place in it."""
        told = () if metadata is None else (metadata,)
        return self._link._kafka.TopicPartition(self._topic, 0, offset, *told)

    def watermarks(self) -> tuple[int, int]:
        """The first offset, and that behind the last."""
        there = self._link._asked(lambda: self.consumer.list_topics(self._topic, timeout=SHORT))
        if 0 not in there.topics[self._topic].partitions:
            return 0, 0
        low, high = self._link._asked(
            lambda: self.consumer.get_watermark_offsets(self.at(0), timeout=SHORT)
        )
        return int(low), int(high)

    def records(self, begin: int, end: int) -> Iterator[Any]:
        """The records between two offsets."""
        if begin >= end:
            return
        self.consumer.assign([self.at(begin)])
        until = time.monotonic() + ANSWER
        while begin < end:
            found = self._link._asked(lambda: self.consumer.consume(500, 0.2))
            for record in found:
                if record.error() is None and record.offset() < end:
                    yield record
                    begin = record.offset() + 1
            if begin < end and not found and time.monotonic() > until:
                raise Unreachable(f"{self._topic} cannot be read")


def _topic(name: str) -> str:
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"Kafka has no topic or group with the name {shown(name)}",
            hint="It is of letters and digits of ASCII, full stops, - and _, 200 at the most",
            field="channel",
        )
    return name


def _headers(record: Any) -> dict[str, bytes]:
    return {name: value or b"" for name, value in record.headers() or []}


def _entry(record: Any) -> Entry:
    packed = _headers(record).get("kind") == KINDS[codec.PACKED]
    key = record.key()
    return Entry(
        codec.PACKED if packed else codec.BYTES,
        record.value() or b"",
        None if key is None else key.decode(errors="replace"),
    )


def _dead(channel: str, record: Any) -> Dead:
    headers = _headers(record)
    return Dead(
        channel, headers["id"].decode(), _entry(record), int(headers["attempts"]),
        headers["reason"].decode(errors="replace"), float(headers["at"]),
    )  # fmt: skip


def _ignored(_: Any) -> None:
    """Errors are told where a call fails."""
