"""Promise: the native bus and the one in Python do the same, step for step, errors too."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db.errors import DbError

CHANNELS = ["a.x", "a.y", "b"]
PATTERNS = ["a.x", "a.*", "**"]
PLACES = st.integers(0, 30)

PUBLISH = st.tuples(
    st.just("publish"),
    st.sampled_from(CHANNELS),
    st.lists(st.integers(0, 5), min_size=1, max_size=3),
    st.integers(0, 9),
    st.none() | st.integers(1, 20),
    st.sampled_from([None, None, "k", "l"]),
)
STEPS = st.lists(
    PUBLISH
    | st.tuples(
        st.just("receive"),
        st.sampled_from(PATTERNS),
        st.sampled_from(["g", "h"]),
        st.integers(1, 4),
    )
    | st.tuples(st.just("ack"), PLACES)
    | st.tuples(st.just("nack"), PLACES, st.sampled_from([0, 0, 3, 12]))
    | st.tuples(st.just("move"), st.integers(1, 15))
    | st.tuples(
        st.sampled_from(["dead", "retry", "discard", "unsubscribe"]), st.sampled_from(PATTERNS)
    )
    | st.tuples(st.just("prefetch"), st.sampled_from(PATTERNS), st.integers(1, 3)),
    max_size=40,
)


@dataclass
class Run:
    """One of the two, and what it has delivered."""

    bus: Any
    messages: list[Any] = field(default_factory=list)

    def step(self, kind: str, *arguments: Any) -> Any:
        try:
            return getattr(self, kind)(*arguments)
        except DbError as error:
            return type(error), str(error), error.hint, error.item

    def publish(self, channel, values, priority, ttl, key):
        if len(values) == 1:
            return self.bus.publish(
                channel, values[0], priority=priority, ttl=ttl, key=key, timeout=0
            )
        return self.bus.publish_batch(
            channel, values, priority=priority, ttl=ttl, key=key, timeout=0
        )

    def receive(self, pattern, group, limit):
        messages = self.bus.consume(pattern, group).receive(limit, timeout=0)
        self.messages += messages
        return [told(one) for one in messages]

    def prefetch(self, pattern, limit):
        with self.bus.consume(pattern, "g", prefetch=limit, timeout=0) as consumer:
            message = next(consumer, None)
        self.messages += [message] if message else []
        return message and told(message)

    def ack(self, at):
        return self.messages and self.messages[at % len(self.messages)].ack()

    def nack(self, at, delay):
        return self.messages and self.messages[at % len(self.messages)].nack(delay, "no")

    def dead(self, pattern):
        return [told(one) + (one.reason,) for one in self.bus.dead_letters(pattern, "g")]

    def retry(self, pattern):
        return self.bus.retry_dead_letters(pattern, "g")

    def discard(self, pattern):
        return self.bus.discard_dead_letters(pattern, "g")

    def unsubscribe(self, pattern):
        return self.bus.unsubscribe(pattern, "g")

    def state(self):
        return [str(one) for one in self.bus.stats()], self.bus.unclaimed


def told(one):
    return one.id, one.channel, one.key, one.priority, one.attempts, one.payload


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "error"])
@given(steps=STEPS)
@settings(max_examples=settings().max_examples * 4)
def test_step_for_step(both, move, overflow, steps):
    runs = [
        Run(
            one.MessageBus(capacity=5, overflow=overflow, ageing=2, ack_deadline=10, max_attempts=2)
        )
        for one in both
    ]
    for step in steps:
        if step[0] == "move":
            move(step[1])
            continue
        native, pure = (run.step(*step) for run in runs)
        assert native == pure, step
        assert runs[0].state() == runs[1].state(), step
    for run in runs:
        run.bus.close()
