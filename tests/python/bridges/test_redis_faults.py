"""Promise: a broker that dies, a cut network, a slow consumer: nothing is lost, little doubled.

What is published is there once, though answers are lost; what is consumed may come again.

Each test says how often its fault struck, and fails where it did not.
"""

import threading
import time
import tracemalloc
from dataclasses import replace

import pytest

from embedded_db.bridges import bridge_in, bridge_out, connect
from embedded_db.errors import Timeout
from embedded_db.messaging import MessageBus

from .brokers import Proxy, until


def through(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


def everything(url, config, channel="c", group="default"):
    """All that a group has not seen, in its order."""
    out = []
    with connect(url, config) as broker:
        consumer = broker.consume(channel, group)
        while messages := consumer.receive(1_000, timeout=1):
            out += [message.payload for message in messages]
            broker.ack(messages)
    return out


def test_a_server_that_is_killed_during_traffic_loses_and_doubles_nothing_published(server, quick):
    ended = threading.Event()

    def kill_and_start() -> None:
        while not ended.wait(0.25) and server.kills < 4:
            server.kill()
            time.sleep(0.1)
            server.start()
        ended.set()

    killer = threading.Thread(target=kill_and_start)
    killer.start()
    with connect(server.url, quick) as broker:
        many = 0
        while not ended.is_set():
            broker.publish_batch("c", range(many, many + 20))
            many += 20
        killer.join()
        assert broker.reconnects >= 1
    assert server.kills == 4
    assert everything(server.url, quick) == list(range(many))


def test_an_answer_that_is_lost_does_not_publish_twice(proxy, server, quick):
    with connect(through(proxy), quick) as broker:
        broker.publish("c", 0)
        for number in range(1, 30):
            proxy.cut_after(number % 2)
            broker.publish_batch("c", [number, number])
        assert proxy.cuts >= 14
        assert broker.reconnects >= 14
    expected = [0] + [number for number in range(1, 30) for _ in range(2)]
    assert everything(server.url, quick) == expected


def test_a_network_that_swallows_everything_is_noticed_and_survived(proxy, server, quick):
    with connect(through(proxy), replace(quick, timeout=1.5)) as broker:
        broker.publish("c", "before")
        proxy.swallow(True)
        begun = time.monotonic()
        with pytest.raises(Timeout):
            broker.publish("c", "during")
        assert time.monotonic() - begun < 20
        assert proxy.swallowed > 0
        proxy.swallow(False)
        proxy.cut()
        broker.publish("c", "after", timeout=20)
    found = everything(server.url, quick)
    assert found[0] == "before"
    assert found[-1] == "after"
    assert found.count("during") <= 1


def test_a_consumer_goes_on_after_cuts_and_what_it_had_acknowledged_does_not_come_again(
    proxy, server, quick
):
    with connect(server.url, quick) as direct:
        direct.publish_batch("c", range(300))
    seen, acked = [], set()
    with connect(through(proxy), quick) as broker:
        consumer = broker.consume("c")
        while len(acked) < 300:
            if len(seen) % 3 == 0:
                proxy.cut_after(1)
            messages = consumer.receive(25, timeout=20)
            assert messages, "it came again after the deadline"
            for message in messages:
                assert message.payload not in acked
            seen += [message.payload for message in messages]
            broker.ack(messages)
            acked |= {message.payload for message in messages}
        assert proxy.cuts >= 3
    assert sorted(acked) == list(range(300))


def test_from_bus_to_bus_through_a_broker_that_is_killed_and_cut(proxy, server, quick):
    """2,000 messages go over, under their own faults; each arrives, and none is a dead letter."""
    config = replace(quick, batch=50)
    with (
        MessageBus(ack_deadline=2) as source,
        MessageBus() as target,
        bridge_out(source, "work.*", through(proxy), config=config) as out,
        bridge_in(target, "work.a", server.url, config=config) as into,
    ):
        for at in range(0, 2_000, 100):
            source.publish_batch("work.a", range(at, at + 100))
            until(lambda many=at: out.stats().handed_over > many, what="some hand-over")
            if at % 500 == 0:
                server.kill()
                time.sleep(0.05)
                server.start()
            elif at % 300 == 0:
                proxy.cut_after(0)
        out.flush(timeout=60)
        consumer, found = target.consume("work.a"), []
        until(lambda: drained(target, consumer, found) >= 2_000, 60, "the arrival of all")
        into.flush(timeout=20)
        drained(target, consumer, found)
        assert source.dead_letters("work.*", "bridge") == []
        assert (server.kills, proxy.cuts > 0) == (4, True)
        assert min(out.stats().reconnects, into.stats().reconnects) > 0
    assert set(found) == set(range(2_000))
    # What it took from the broker and could not acknowledge in time may come twice: not many.
    assert len(found) <= 2_000 + 4 * 50


def drained(bus, consumer, found):
    messages = consumer.receive(1_000, timeout=0)
    found += [message.payload for message in messages]
    bus.ack(messages)
    return len(set(found))


def test_while_the_broker_is_away_messages_wait_in_the_bus_and_count_no_attempt(server, quick):
    server.kill()
    with MessageBus(ack_deadline=0.3, max_attempts=2) as bus:
        bus.publish_batch("c", range(10))
        with bridge_out(bus, "c", server.url, config=quick) as bridge:
            with pytest.raises(Timeout, match="did not hand everything over"):
                bridge.flush(timeout=1.5)  # five deadlines long
            assert bridge.stats().problem
            # Another worker of the group sees them as if nobody had had them.
            [one] = bus.consume("c", "bridge").receive(1, timeout=5)
            assert one.attempts == 1
            assert one.ack()
            assert bus.dead_letters("c", "bridge") == []
            server.start()
            bridge.flush(timeout=20)
            stats = bridge.stats()
            assert (stats.handed_over, stats.reconnects, stats.problem) == (9, 1, None)
    rest = [number for number in range(10) if number != one.payload]
    assert sorted(everything(server.url, quick)) == rest, "none is there twice"


def test_a_slow_consumer_fills_no_memory_of_the_bridge(server, quick):
    """20 MB wait; the bridge has one batch of them, the broker its capacity, the bus the rest."""
    config = replace(quick, batch=20, capacity=40)
    with MessageBus(ack_deadline=60) as bus, connect(server.url, config) as broker:
        consumer = broker.consume("c")
        assert consumer.receive(timeout=0) == []
        bus.publish_batch("c", [bytes([n % 256]) * 10_000 for n in range(2_000)])
        with bridge_out(bus, "c", server.url, config=config) as bridge:
            until(lambda: bridge.stats().handed_over >= 40, what="the first hand-over")
            tracemalloc.start()
            time.sleep(0.5)
            assert bridge.stats().handed_over == 40, "the broker has no room for more"
            found = 0
            while found < 2_000:
                messages = consumer.receive(40, timeout=20)
                found += len(messages)
                broker.ack(messages)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    # Of both sides together: 20 messages on their way out, 40 on their way in, each a few times.
    assert peak < 4_000_000, peak


def test_a_bus_without_room_takes_no_more_than_it_can(server, quick):
    with connect(server.url, quick) as broker:
        broker.publish_batch("c", range(300))
    with (
        MessageBus(capacity=50) as bus,
        bridge_in(bus, "c", server.url, config=replace(quick, ack_deadline=0.4)) as bridge,
    ):
        consumer, found = bus.consume("c"), []
        until(lambda: bridge.stats().handed_over == 50, what="filling the bus")
        time.sleep(2)  # five deadlines: more than a message may come
        assert bridge.stats().handed_over == 50
        until(lambda: drained(bus, consumer, found) >= 300, 30, "emptying the bus")
    assert sorted(found) == list(range(300))
    with connect(server.url, quick) as broker:
        assert broker.dead_letters("c", "bridge") == []


def test_what_cannot_be_read_is_a_dead_letter_and_the_bridge_goes_on(server, quick):
    redis = pytest.importorskip("redis")
    with redis.Redis(port=server.port) as other:
        other.xadd("c", {"name": "Ann"})
    with MessageBus() as bus, connect(server.url, quick) as broker:
        broker.publish("c", "good")
        with bridge_in(bus, "c", server.url, config=quick):
            assert bus.consume("c").receive(timeout=10)[0].payload == "good"
            until(lambda: broker.dead_letters("c", "bridge"), what="the dead letter")
            [letter] = broker.dead_letters("c", "bridge")
            assert "no field body" in letter.reason
