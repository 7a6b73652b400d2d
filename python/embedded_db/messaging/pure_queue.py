"""The messages of one subscription in Python alone: what ``crates/bus/src/queue.rs`` does."""

import heapq
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["NEVER", "Delivered", "Entry", "Options", "Queue", "Sent", "now"]

NEVER: Final = 2**63 - 1
LEVELS: Final = 10
shift = 0
"""By how many microseconds tests have set the clock."""


def now() -> int:
    """Give the microseconds since 1970."""
    return time.time_ns() // 1000 + shift


@dataclass(frozen=True, slots=True)
class Options:
    """What a bus is made with; times in microseconds."""

    capacity: int
    overflow: str
    ageing: int
    ack_deadline: int
    max_attempts: int


@dataclass(slots=True, eq=False)
class Sent:
    """A message as it was published."""

    id: int
    channel: str
    key: str | None
    reply_to: str | None
    priority: int
    kind: int
    published: int
    expires: int
    body: bytes


@dataclass(slots=True, eq=False)
class Entry:
    """A message in a subscription, and where it waits: a token that is new for each place."""

    sent: Sent
    order: int
    stamp: int
    attempts: int = 0
    kind: str = ""
    rank: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Which delivery it was."""

    entry: Entry
    number: int
    attempts: int


class Queue:
    """See ``queue.rs`` for what holds in here."""

    def __init__(self, options: Options, *, keeps_only: bool) -> None:
        self.options = options
        self.keeps_only = keeps_only
        self.levels: list[deque[Entry]] = [deque() for _ in range(LEVELS)]
        self.ready: list[tuple[int, int, Entry]] = []
        self.delayed: list[tuple[int, int, Entry]] = []
        self.flying: dict[int, Entry] = {}
        self.deadlines: deque[tuple[int, int]] = deque()
        self.keys: dict[str, deque[Entry]] = {}
        self.ages: list[tuple[int, Entry]] | None = (
            [] if options.overflow == "drop_oldest" else None
        )
        self.dead: deque[tuple[Sent, int, str]] = deque()
        self.order = self.deliveries = 0
        self.time = 0
        self.read = now()
        self.tick = time.monotonic_ns()
        self.next_expiry = NEVER
        self.waiting = 0
        self.used = 0
        self.delivered = self.acked = self.dropped = self.expired = 0

    def at(self, moment: int) -> int:
        self.time = max(self.time, moment)
        return self.time

    def clock(self) -> int:
        """Give a time that never goes back: at half the pace while the clock is behind."""
        tick, read = time.monotonic_ns(), now()
        behind = self.read + (tick - self.tick) // 2000
        if read < behind:
            return self.at(behind)
        self.read, self.tick = read, tick
        return self.at(read)

    def admit(self, sent: Sent, moment: int) -> None:
        self.order += 1
        self.next_expiry = min(self.next_expiry, sent.expires)
        entry = Entry(sent, self.order, self.at(max(moment, sent.published)))
        if sent.key is not None and not self.keeps_only:
            chain = self.keys.get(sent.key)
            if chain is not None:
                self.put(entry, "chain")
                chain.append(entry)
                return
            self.keys[sent.key] = deque()
        self.put(entry, "level")
        self.levels[sent.priority].append(entry)

    def put(self, entry: Entry, kind: str, rank: tuple[int, int] = (0, 0)) -> None:
        self.waiting += 1
        entry.kind, entry.rank = kind, rank
        if self.ages is not None:
            heapq.heappush(self.ages, (entry.order, entry))

    def leave(self, entry: Entry) -> Entry:
        self.waiting -= 1
        entry.kind = ""
        return entry

    def rank(self, entry: Entry) -> tuple[int, int]:
        return entry.stamp - entry.sent.priority * self.options.ageing, entry.order

    def make_ready(self, entry: Entry) -> None:
        rank = self.rank(entry)
        self.put(entry, "ready", rank)
        heapq.heappush(self.ready, (*rank, entry))

    def take(self, moment: int, limit: int) -> list[Delivered]:
        moment = self.at(moment)
        self.do_due(moment)
        if self.ages is not None and len(self.ages) > 2 * self.waiting + 1024:
            self.ages = [(entry.order, entry) for entry in self.held()]
            heapq.heapify(self.ages)
        taken: list[Delivered] = []
        while len(taken) < limit:
            entry = self.pop()
            if entry is None:
                break
            if entry.sent.expires <= moment:
                self.expire(entry)
                continue
            entry.attempts += 1
            self.delivered += 1
            deadline = moment + self.options.ack_deadline
            self.deliveries += 1
            self.deadlines.append((deadline, self.deliveries))
            self.flying[self.deliveries] = entry
            taken.append(Delivered(entry, self.deliveries, entry.attempts))
        return taken

    def pop(self) -> Entry | None:
        level = min(
            (level for level in self.levels if level),
            key=lambda level: self.rank(level[0]),
            default=None,
        )
        first = self.first(self.ready, "ready")
        if level is not None and (first is None or self.rank(level[0]) < first.rank):
            return self.leave(level.popleft())
        if first is None:
            return None
        heapq.heappop(self.ready)
        return self.leave(first)

    def first(self, heap: list[tuple[int, int, Entry]], kind: str) -> Entry | None:
        """Give the first of a heap, without those that have left it."""
        while heap:
            least, order, entry = heap[0]
            if entry.kind == kind and entry.rank == (least, order):
                return entry
            heapq.heappop(heap)
        return None

    def next_due(self) -> int | None:
        delayed = self.first(self.delayed, "delayed")
        dues = [delayed.rank[0]] if delayed else []
        if self.deadlines:
            dues.append(self.deadlines[0][0])
        return min(dues, default=None)

    def do_due(self, moment: int) -> None:
        while self.deadlines and self.deadlines[0][0] <= moment:
            entry = self.flying.pop(self.deadlines.popleft()[1], None)
            if entry is None:
                continue
            if entry.attempts >= self.options.max_attempts:
                self.bury(entry, "it was not acknowledged in time")
            else:
                self.make_ready(entry)
        while (entry := self.first(self.delayed, "delayed")) and entry.rank[0] <= moment:
            heapq.heappop(self.delayed)
            self.make_ready(self.leave(entry))
        while self.deadlines and self.deadlines[0][1] not in self.flying:
            self.deadlines.popleft()
        if len(self.deadlines) > 2 * len(self.flying) + 1024:
            self.deadlines = deque(one for one in self.deadlines if one[1] in self.flying)

    def land(self, one: Delivered) -> Entry | None:
        return self.flying.pop(one.number, None)

    def ack(self, one: Delivered) -> bool:
        entry = self.land(one)
        if entry is None:
            return False
        self.acked += 1
        self.used -= 1
        self.free_key(entry)
        return True

    def nack(self, one: Delivered, delay: int, reason: str, moment: int) -> bool:
        moment = self.at(moment)
        entry = self.land(one)
        if entry is None:
            return False
        if entry.attempts >= self.options.max_attempts:
            self.bury(entry, reason)
        elif delay > 0:
            rank = moment + delay, entry.order
            self.put(entry, "delayed", rank)
            heapq.heappush(self.delayed, (*rank, entry))
        else:
            self.make_ready(entry)
        return True

    def release(self, one: Delivered) -> bool:
        entry = self.land(one)
        if entry is None:
            return False
        entry.attempts -= 1
        self.delivered -= 1
        self.make_ready(entry)
        return True

    def free_key(self, entry: Entry) -> None:
        key = entry.sent.key
        if key is None or self.keeps_only:
            return
        if self.keys[key]:
            self.make_ready(self.leave(self.keys[key].popleft()))
        else:
            del self.keys[key]

    def expire(self, entry: Entry) -> None:
        self.expired += 1
        self.used -= 1
        self.free_key(entry)

    def bury(self, entry: Entry, reason: str) -> None:
        self.free_key(entry)
        self.used -= 1
        self.dead.append((entry.sent, entry.attempts, reason))
        if len(self.dead) > self.options.capacity:
            self.dead.popleft()
            self.dropped += 1

    def drop_oldest(self) -> bool:
        while self.ages:
            _, entry = heapq.heappop(self.ages)
            if not entry.kind:
                continue
            kind = entry.kind
            if kind == "level":
                self.levels[entry.sent.priority].popleft()
            elif kind == "chain":
                self.keys[entry.sent.key or ""].popleft()
            self.leave(entry)
            self.used -= 1
            self.dropped += 1
            if kind != "chain":
                self.free_key(entry)
            return True
        return False

    def drop_expired(self, moment: int) -> None:
        moment = self.at(moment)
        if moment < self.next_expiry:
            return
        over = [entry for entry in self.held() if entry.sent.expires <= moment]
        gone = {entry.order for entry in over}
        for queue in [*self.levels, *self.keys.values()]:
            kept = [entry for entry in queue if entry.order not in gone]
            if len(kept) < len(queue):
                queue.clear()
                queue.extend(kept)
        for entry in over:
            chained = entry.kind == "chain"
            self.leave(entry)
            self.expired += 1
            self.used -= 1
            if not chained:
                self.free_key(entry)
        every = (self.held(), self.flying.values())
        left = [entry.sent.expires for held in every for entry in held]
        self.next_expiry = min(left, default=NEVER)

    def held(self) -> Iterator[Entry]:
        """Go over all that waits."""
        for queue in [*self.levels, *self.keys.values()]:
            yield from queue
        for kind, heap in (("ready", self.ready), ("delayed", self.delayed)):
            for least, order, entry in heap:
                if entry.kind == kind and entry.rank == (least, order):
                    yield entry

    def extract(self, wanted: Any) -> list[Sent]:
        found = [entry for level in self.levels for entry in level if wanted(entry.sent)]
        for level in self.levels:
            kept = [entry for entry in level if not wanted(entry.sent)]
            level.clear()
            level.extend(kept)
        for entry in found:
            self.leave(entry)
        self.used -= len(found)
        return [entry.sent for entry in sorted(found, key=lambda entry: entry.order)]

    def revive(self, moment: int) -> int:
        letters, self.dead = self.dead, deque()
        for sent, _, _ in letters:
            self.used += 1
            self.admit(sent, moment)
        return len(letters)
