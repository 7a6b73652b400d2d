"""Promise: groups share messages; each is acknowledged, or comes again, or is a dead letter.

Seen from outside, on a real Redis, as the contract of `embedded_db.bridges.Broker` says it.
"""

import time
from dataclasses import replace

import pytest
import redis
from pydantic import BaseModel

from embedded_db.bridges import BrokerConfig, connect
from embedded_db.errors import InvalidInput, QuotaExceeded, Timeout

from .brokers import until


class Order(BaseModel):
    id: int


@pytest.fixture
def broker(server, quick):
    with connect(server.url, quick) as broker:
        yield broker


def payloads(messages):
    return [message.payload for message in messages]


def test_each_group_gets_every_message_once_and_its_consumers_share_them(broker):
    broker.publish("orders", {"id": 1}, key="a")
    assert broker.publish_batch("orders", [{"id": n} for n in range(2, 11)]) == 9
    one, two = broker.consume("orders", "work"), broker.consume("orders", "work")
    first = one.receive(4, timeout=5)
    second = two.receive(100, timeout=5)
    assert payloads(first + second) == [{"id": n} for n in range(1, 11)]
    assert (first[0].key, first[1].key, first[0].attempts) == ("a", None, 1)
    assert abs(first[0].published_at.timestamp() - time.time()) < 60
    assert len(broker.consume("orders", "audit").receive(100, timeout=5)) == 10
    assert broker.ack(first + second) == 10
    assert broker.ack(first) == 0
    assert one.receive(timeout=0) == two.receive(timeout=0) == []


def test_payloads_are_those_of_the_bus(broker):
    broker.publish_batch("c", [b"\x00raw", "text", None, [1, 2.5], Order(id=7)])
    assert payloads(broker.consume("c").receive(10, timeout=5)) == [
        b"\x00raw", "text", None, [1, 2.5], {"id": 7},
    ]  # fmt: skip
    broker.publish("orders", Order(id=8))
    [order] = broker.consume("orders", model=Order).receive(timeout=5)
    assert order.payload == Order(id=8)
    broker.publish("orders", "no order")
    [wrong] = broker.consume("orders", model=Order).receive(timeout=5)
    with pytest.raises(InvalidInput, match="no Order"):
        _ = wrong.payload


def test_what_is_not_acknowledged_comes_again_to_whoever_is_there(broker):
    broker.publish("c", 1)
    [lost] = broker.consume("c").receive(timeout=5)
    other = broker.consume("c")
    assert other.receive(timeout=0.1) == []
    [again] = other.receive(timeout=5)
    assert (again.id, again.attempts, lost.attempts) == (lost.id, 2, 1)
    assert again.ack()
    assert not lost.ack()


def test_what_is_given_back_comes_after_its_delay(broker):
    broker.publish("c", 1)
    consumer = broker.consume("c")
    [message] = consumer.receive(timeout=5)
    begun = time.monotonic()
    assert message.nack(delay=0.3)
    [again] = consumer.receive(timeout=5)
    assert time.monotonic() - begun >= 0.29
    assert again.attempts == 2
    assert again.nack()
    [third] = consumer.receive(timeout=0.4)  # at once: before the deadline could bring it
    assert third.attempts == 3


def test_a_poison_message_is_a_dead_letter_and_no_obstacle(broker):
    broker.publish_batch("c", ["poison", "good"])
    consumer, seen = broker.consume("c"), 0
    until_good = []
    while len(until_good) < 1 or not broker.dead_letters("c"):
        for message in consumer.receive(10, timeout=5):
            if message.payload == "poison":
                seen += 1
                message.nack(reason="it cannot be done")
            else:
                until_good.append(message.payload)
                message.ack()
    [letter] = broker.dead_letters("c")
    assert (seen, until_good) == (3, ["good"])
    assert (letter.payload, letter.attempts, letter.reason) == ("poison", 3, "it cannot be done")
    other = broker.consume("c", "others")
    assert len(other.receive(10, timeout=5)) == 2
    assert broker.retry_dead_letters("c") == 1
    [again] = consumer.receive(10, timeout=5)
    assert (again.payload, again.attempts) == ("poison", 1)
    assert other.receive(10, timeout=0.2) == [], "a retry is of its group alone"
    assert again.ack()
    assert broker.dead_letters("c") == []


def test_who_never_answers_makes_a_dead_letter_and_it_can_be_discarded(broker):
    broker.publish("c", "kills its consumer")
    for attempt in (1, 2, 3):
        [message] = broker.consume("c").receive(timeout=5)
        assert message.attempts == attempt
    last = broker.consume("c")
    until(lambda: not last.receive(timeout=0) and broker.dead_letters("c"))
    assert "in time" in broker.dead_letters("c")[0].reason
    assert broker.discard_dead_letters("c") == 1
    assert broker.dead_letters("c") == []


def test_an_entry_of_another_program_that_has_no_body_is_an_error_that_says_so(broker, server):
    with redis.Redis(port=server.port) as other:
        other.xadd("c", {"name": "Ann"})
        other.xadd("c", {"body": b"plain"})
    strange, plain = broker.consume("c").receive(10, timeout=5)
    with pytest.raises(InvalidInput, match="no field body, but: name"):
        _ = strange.payload
    assert plain.payload == b"plain"


def test_what_was_fetched_and_not_handed_out_is_there_for_others_at_once(server, quick):
    with connect(server.url, replace(quick, ack_deadline=60)) as broker:
        broker.publish_batch("c", range(5))
        with broker.consume("c", prefetch=5) as consumer:
            assert next(consumer).ack()
        rest = broker.consume("c").receive(10, timeout=20)
    assert [(one.payload, one.attempts) for one in rest] == [(n, 1) for n in range(1, 5)]


def test_consumers_that_ended_leave_nothing_in_redis(broker, server):
    broker.publish_batch("c", range(100))
    for _ in range(20):
        with broker.consume("c") as consumer:
            broker.ack(consumer.receive(5, timeout=5))
    with redis.Redis(port=server.port) as seen:
        assert seen.xinfo_consumers("c", "default") == []


def test_what_all_groups_have_acknowledged_leaves_a_full_channel(server, quick):
    small = replace(quick, capacity=100, timeout=0.3)
    with connect(server.url, small) as broker, redis.Redis(port=server.port) as seen:
        fast, slow = broker.consume("c", "fast"), broker.consume("c", "slow")
        for consumer in (fast, slow):
            assert consumer.receive(timeout=0) == []
        broker.publish_batch("c", range(100))
        broker.ack(fast.receive(100, timeout=5))
        with pytest.raises(Timeout, match="FULL"):
            broker.publish("c", "one more")
        broker.ack(slow.receive(60, timeout=5))
        broker.publish_batch("c", range(100, 160))
        assert seen.xlen("c") == 100
        strict = connect(server.url, replace(small, overflow="error"))
        with strict, pytest.raises(QuotaExceeded):
            strict.publish("c", 1)
        rest = []
        while more := slow.receive(100, timeout=0.1):
            rest += payloads(more)
        assert sorted(rest) == list(range(60, 160)), "nothing that a group needs has gone"


def test_a_group_may_begin_with_what_comes_next(server, quick):
    with connect(server.url, replace(quick, start="newest")) as broker:
        broker.publish("c", "before")
        consumer = broker.consume("c")
        assert consumer.receive(timeout=0) == []
        broker.publish("c", "after")
        assert payloads(consumer.receive(10, timeout=5)) == ["after"]


@pytest.mark.parametrize(
    "url", ["http://x", "redis://", "redis", "", None, "amqp://user:secret@host", "redis://h:port"]
)
def test_a_wrong_url_is_an_error_without_its_password(url):
    with pytest.raises(InvalidInput) as error:
        connect(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("timeout", 0), ("batch", 0), ("max_attempts", -1), ("overflow", "drop"), ("start", "0"),
     ("capacity", 0), ("ack_deadline", float("nan")), ("client", [1])],
)  # fmt: skip
def test_wrong_settings_name_their_field(name, value):
    with pytest.raises(InvalidInput) as error:
        BrokerConfig(**{name: value})
    assert error.value.field == name


def test_a_wrong_password_and_another_kind_of_key_are_errors_at_once(server, quick):
    with redis.Redis(port=server.port) as other:
        other.set("text", "1")
        other.config_set("requirepass", "secret")
    with connect(server.url, quick) as broker, pytest.raises(InvalidInput, match="refuses"):
        broker.publish("c", 1)
    with connect(server.url.replace("//", "//:secret@"), quick) as broker:
        assert "secret" not in repr(broker)
        broker.publish("c", 1)
        with pytest.raises(InvalidInput, match="WRONGTYPE|wrong kind"):
            broker.publish("text", 1)
