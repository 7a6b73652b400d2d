"""The bus in Python alone, within one process: what the native module does, and the same errors."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from uuid import uuid4

from ..availability import REASON
from ..errors import (
    DatabaseClosed,
    DbError,
    ForkedHandle,
    NotFound,
    QuotaExceeded,
    Timeout,
    ValueTooLarge,
)
from .codec import Body
from .pure_queue import NEVER, Delivered, Options, Queue, Sent, now

__all__ = ["Bus", "DeadLetter", "Delivery", "Subscription"]

MAX_MESSAGE: Final = 16 << 20
LOOK: Final = 0.05
Callback = Callable[[], object]
R = TypeVar("R")
Draft = tuple[int, bytes, str | None]


def covers(pattern: str, channel: str) -> bool:
    """Tell whether a channel is one of a pattern."""
    words = channel.split(".")
    wanted = pattern.split(".")
    if wanted[-1] == "**":
        wanted.pop()
        if len(words) <= len(wanted):
            return False
        words = words[: len(wanted)]
    return len(words) == len(wanted) and all(
        one in ("*", word) for one, word in zip(wanted, words, strict=True)
    )


def _is_own(channel: str) -> bool:
    return channel.startswith("_")


class Callbacks:
    """Those who want to be called once, in their order."""

    def __init__(self) -> None:
        self.waiting: OrderedDict[int, Callback] = OrderedDict()
        self.number = 0

    def add(self, callback: Callback) -> int:
        self.number += 1
        self.waiting[self.number] = callback
        return self.number

    def pop(self, many: int) -> list[Callback]:
        return [self.waiting.popitem(last=False)[1] for _ in range(min(many, len(self.waiting)))]


class Delivery:
    """A message that was given to a consumer."""

    __slots__ = ("_one", "_subscription", "attempts")

    def __init__(self, subscription: "Subscription", one: Delivered) -> None:
        self._subscription = subscription
        self._one = one
        self.attempts = one.attempts

    @property
    def _sent(self) -> Sent:
        return self._one.entry.sent

    @property
    def id(self) -> int:
        return self._sent.id

    @property
    def channel(self) -> str:
        return self._sent.channel

    @property
    def key(self) -> str | None:
        return self._sent.key

    @property
    def reply_to(self) -> str | None:
        return self._sent.reply_to

    @property
    def priority(self) -> int:
        return self._sent.priority

    @property
    def published(self) -> int:
        return self._sent.published

    @property
    def kind(self) -> int:
        return self._sent.kind

    @property
    def body(self) -> bytes:
        return self._sent.body

    def ack(self) -> bool:
        return self._subscription.ack([self]) > 0

    def nack(self, delay: int, reason: str) -> bool:
        return self._subscription.give_back(
            lambda queue, moment: queue.nack(self._one, delay, reason, moment)
        )


class DeadLetter:
    """A message that nobody acknowledged."""

    __slots__ = ("_sent", "attempts", "reason")

    def __init__(self, sent: Sent, attempts: int, reason: str) -> None:
        self._sent = sent
        self.attempts = attempts
        self.reason = reason

    id = Delivery.id
    channel = Delivery.channel
    key = Delivery.key
    priority = Delivery.priority
    published = Delivery.published
    kind = Delivery.kind
    body = Delivery.body


class Subscription:
    """A pattern of channels and a group. All of it is under the lock of its bus."""

    def __init__(self, bus: "Bus", pattern: str, group: str) -> None:
        self._bus = bus
        self.pattern = pattern
        self.group = group
        self.queue = Queue(bus.options, keeps_only=not group)
        self.arrived = threading.Condition(bus.lock)
        self.room = threading.Condition(bus.lock)
        self.arrivals = Callbacks()
        self.rooms = Callbacks()
        self.ended = False

    def _check(self) -> None:
        self._bus.check()
        if self.ended:
            name = f"{self.pattern}/{self.group}"
            remedy = "check the id, it may have been deleted"
            quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            message = f"no subscription has the id {quoted}; {remedy}"
            raise NotFound(message, hint=remedy, kind="subscription", id=name)

    def take(self, limit: int, timeout: float | None) -> list[Delivery]:
        """Give up to so many messages; none when the time is over. Waits for ever without one."""
        end = None if timeout is None else time.monotonic() + timeout
        self._bus.check_process()
        with self._bus.lock:
            while True:
                self._check()
                before = self.queue.used
                moment = self.queue.clock()
                taken = self.queue.take(moment, limit)
                freed = before - self.queue.used
                left = None if end is None else end - time.monotonic()
                if taken or freed or (left is not None and left <= 0):
                    break
                due = self.queue.next_due()
                pauses = [LOOK if left is None else min(left, LOOK)]
                if due is not None:
                    pauses.append(max(due - moment, 50) / 1e6)
                self.arrived.wait(min(pauses))
            called = self.tell_room(freed)
        _call(called)
        if not taken and (left is None or left > 0):
            return self.take(limit, left)
        return [Delivery(self, one) for one in taken]

    def give_back(self, work: Callable[[Queue, int], R]) -> R:
        """Change something after which others may have something to do."""
        self._bus.check_process()
        with self._bus.lock:
            self._bus.check()
            before = self.queue.used
            outcome = work(self.queue, self.queue.clock())
            called = self.tell_room(before - self.queue.used) + self.tell_arrived(1)
        _call(called)
        return outcome

    def tell_room(self, many: int) -> list[Callback]:
        if many <= 0:
            return []
        self.room.notify(many)
        return self.rooms.pop(many)

    def tell_arrived(self, many: int) -> list[Callback]:
        called = self.arrivals.pop(many)
        self.arrived.notify(many - len(called))
        return called

    def ack(self, deliveries: Sequence[Delivery]) -> int:
        return self.give_back(lambda queue, _: sum(queue.ack(one._one) for one in deliveries))

    def release(self, deliveries: Sequence[Delivery]) -> int:
        return self.give_back(lambda queue, _: sum(queue.release(one._one) for one in deliveries))

    def next_due(self) -> float | None:
        with self._bus.lock:
            due, moment = self.queue.next_due(), self.queue.clock()
        return None if due is None else max(due - moment, 0) / 1e6

    def call_when_arrived(self, callback: Callback) -> int:
        with self._bus.lock:
            return self.arrivals.add(callback)

    def leave_arrivals(self, number: int) -> None:
        with self._bus.lock:
            left = self.arrivals.waiting.pop(number, None)
            called = [] if left else self.tell_arrived(1)
        _call(called)

    def call_when_room(self, callback: Callback) -> int:
        with self._bus.lock:
            return self.rooms.add(callback)

    def leave_room(self, number: int) -> None:
        with self._bus.lock:
            left = self.rooms.waiting.pop(number, None)
            called = [] if left else self.tell_room(1)
        _call(called)

    def dead_letters(self) -> list[DeadLetter]:
        with self._bus.lock:
            self._bus.check()
            return [DeadLetter(*letter) for letter in self.queue.dead]

    def retry_dead_letters(self) -> int:
        return self.give_back(lambda queue, moment: queue.revive(moment))

    def discard_dead_letters(self) -> int:
        def discard(queue: Queue, _: int) -> int:
            many = len(queue.dead)
            queue.dead.clear()
            return many

        return self.give_back(discard)

    def counts(self) -> dict[str, int]:
        with self._bus.lock:
            self._bus.check()
            queue = self.queue
            return {
                "waiting": queue.waiting,
                "in_flight": len(queue.flying),
                "dead": len(queue.dead),
                "delivered": queue.delivered,
                "acked": queue.acked,
                "dropped": queue.dropped,
                "expired": queue.expired,
            }

    # Of publishers, under the lock.

    def has_room(self) -> bool:
        options = self.queue.options
        if self.queue.used < options.capacity:
            return True
        if options.overflow == "drop_oldest":
            return self.queue.drop_oldest()
        self.queue.drop_expired(self.queue.clock())
        return self.queue.used < options.capacity

    def full(self) -> QuotaExceeded:
        limit = self.queue.options.capacity
        remedy = "consume them, raise capacity, or choose another overflow"
        message = (
            f"messages that are not acknowledged: {limit + 1} would be used, the limit is {limit}; "
        )
        return QuotaExceeded(message + remedy, hint=remedy, used=limit + 1, limit=limit)


def _call(callbacks: list[Callback]) -> None:
    for callback in callbacks:
        callback()


class Bus:
    """Channels in this process."""

    is_durable = False

    def __init__(
        self,
        path: str | None,
        capacity: int,
        overflow: str,
        ageing: int,
        ack_deadline: int,
        max_attempts: int,
        durability: str,
    ) -> None:
        if path is not None:
            raise ImportError(f"a message bus with a path needs the native module: {REASON}")
        self.options = Options(capacity, overflow, ageing, ack_deadline, max_attempts)
        self.lock = threading.RLock()
        self.subscribed: dict[tuple[str, str], Subscription] = {}
        self.keeper = Subscription(self, "**", "")
        self.routes: dict[str, list[Subscription]] = {}
        self.number = 0
        self.closed = False
        self.process = os.getpid()

    def check_process(self) -> None:
        if os.getpid() != self.process:
            remedy = "make one in the child"
            raise ForkedHandle(
                f"this message bus was made by process {self.process} and cannot be used in its "
                f"forked child; {remedy}",
                hint=remedy,
            )

    def check(self) -> None:
        self.check_process()
        if self.closed:
            remedy = "make a new one"
            raise DatabaseClosed(f"the message bus is closed; {remedy}", hint=remedy)

    def publish(
        self,
        channel: str,
        kind: int,
        body: bytes,
        priority: int,
        ttl: int | None,
        key: str | None,
        reply_to: str | None,
        timeout: float | None,
    ) -> int:
        return self._publish(channel, [(kind, body, key)], priority, ttl, reply_to, timeout)[0]

    def publish_batch(
        self,
        channel: str,
        bodies: list[Body],
        priority: int,
        ttl: int | None,
        keys: list[str | None] | None,
        timeout: float | None,
    ) -> list[int]:
        drafts = _drafts(bodies, keys)
        return self._publish(channel, drafts, priority, ttl, None, timeout)

    def try_publish_batch(
        self,
        channel: str,
        bodies: list[Body],
        priority: int,
        ttl: int | None,
        keys: list[str | None] | None,
        reply_to: str | None,
    ) -> tuple[list[int], Subscription | None]:
        drafts = _drafts(bodies, keys)
        return self._step(channel, drafts, priority, ttl, reply_to, 0, len(drafts))

    def _publish(
        self,
        channel: str,
        drafts: list[Draft],
        priority: int,
        ttl: int | None,
        reply_to: str | None,
        timeout: float | None,
    ) -> list[int]:
        end = None if timeout is None else time.monotonic() + timeout
        ids: list[int] = []
        while True:
            rest = drafts[len(ids) :]
            more, full = self._step(channel, rest, priority, ttl, reply_to, len(ids), len(drafts))
            ids += more
            if full is None:
                return ids
            with self.lock:
                while not full.ended and not full.has_room():
                    left = None if end is None else end - time.monotonic()
                    if left is not None and left <= 0:
                        error = Timeout(
                            f'room on the channel "{channel}" took longer than {timeout:g} s'
                        )
                        raise _of_item(error, len(ids), len(drafts))
                    full.room.wait(LOOK if left is None else min(left, LOOK))

    def _step(
        self,
        channel: str,
        drafts: list[Draft],
        priority: int,
        ttl: int | None,
        reply_to: str | None,
        begun: int,
        count: int,
    ) -> tuple[list[int], Subscription | None]:
        """Publish as many as there is room for at once: their numbers, and what is full."""
        self.check_process()
        for item, (_, body, _) in enumerate(drafts):
            if len(body) > MAX_MESSAGE:
                remedy = "split it or store it elsewhere"
                message = f"a message is {len(body)} bytes long, the limit is {MAX_MESSAGE}; "
                large = ValueTooLarge(
                    message + remedy, hint=remedy, size=len(body), limit=MAX_MESSAGE
                )
                raise _of_item(large, begun + item, count)
        ids: list[int] = []
        full: Subscription | None = None
        called: list[Callback] = []
        with self.lock:
            self.check()
            to = self._route(channel)
            for kind, body, key in drafts:
                full = next((one for one in to if not one.has_room()), None)
                if full is not None:
                    break
                self.number += 1
                moment = now()
                sent = Sent(
                    id=self.number,
                    channel=channel,
                    key=key,
                    reply_to=reply_to,
                    priority=priority,
                    kind=kind,
                    published=moment,
                    expires=NEVER if ttl is None else moment + ttl,
                    body=body,
                )
                for one in to:
                    one.queue.used += 1
                    one.queue.admit(sent, moment)
                ids.append(sent.id)
            for one in to:
                called += one.tell_arrived(len(ids))
        _call(called)
        if full is not None and self.options.overflow != "block":
            raise _of_item(full.full(), begun + len(ids), count)
        return ids, full

    def _route(self, channel: str) -> list[Subscription]:
        route = self.routes.get(channel)
        if route is None:
            own = _is_own(channel)
            route = [
                one
                for (pattern, _), one in self.subscribed.items()
                if covers(pattern, channel) and not (own and "*" in pattern)
            ]
            if not route and not own:
                route.append(self.keeper)
            if len(self.routes) >= 10_000:
                self.routes.clear()
            self.routes[channel] = route
        return route

    def subscribe(self, pattern: str, group: str) -> Subscription:
        self.check_process()
        called: list[Callback] = []
        with self.lock:
            self.check()
            found = self.subscribed.get((pattern, group))
            if found is None:
                found = self.subscribed[pattern, group] = Subscription(self, pattern, group)
                self.routes.clear()
                claimed = self.keeper.queue.extract(lambda sent: covers(pattern, sent.channel))
                for sent in claimed:
                    found.queue.used += 1
                    found.queue.admit(sent, sent.published)
                called = self.keeper.tell_room(len(claimed))
        _call(called)
        return found

    def unsubscribe(self, pattern: str, group: str) -> bool:
        self.check_process()
        with self.lock:
            self.check()
            found = self.subscribed.pop((pattern, group), None)
            if found is None:
                return False
            self.routes.clear()
            called = _end(found)
        _call(called)
        return True

    def subscriptions(self) -> list[Subscription]:
        self.check_process()
        with self.lock:
            self.check()
            named = sorted(self.subscribed.items())
            return [one for (pattern, _), one in named if not _is_own(pattern)]

    def unclaimed(self) -> int:
        self.check_process()
        with self.lock:
            self.check()
            return self.keeper.queue.waiting

    def new_own_channel(self) -> str:
        self.check()
        return f"_reply_{uuid4().hex}"

    def close(self) -> None:
        if os.getpid() != self.process:
            return
        with self.lock:
            self.closed = True
            called = [
                back for one in (*self.subscribed.values(), self.keeper) for back in _end(one)
            ]
        _call(called)


def _end(one: Subscription) -> list[Callback]:
    one.ended = True
    one.arrived.notify_all()
    one.room.notify_all()
    return one.arrivals.pop(len(one.arrivals.waiting)) + one.rooms.pop(len(one.rooms.waiting))


def _drafts(bodies: list[Body], keys: list[str | None] | None) -> list[Draft]:
    return [
        (kind, body, None if keys is None else keys[item])
        for item, (kind, body) in enumerate(bodies)
    ]


def _of_item(error: DbError, item: int, count: int) -> DbError:
    if count > 1:
        error._place("item", item)
    return error
