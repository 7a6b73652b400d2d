"""Promise: with Kafka, too, nothing is lost, though the broker is killed and the network cut.

A broker takes seconds to start, so each test has many steps; each step says what it shows.
"""

import threading
from dataclasses import replace

import pytest

from embedded_db.bridges import bridge_in, bridge_out, connect
from embedded_db.errors import InvalidInput
from embedded_db.messaging import MessageBus

from .brokers import KafkaServer, until
from .test_bridged_changes import written
from .test_redis_faults import drained

pytest.importorskip("confluent_kafka", reason='pip install "embedded-db[kafka]"')


@pytest.fixture
def kafka(tmp_path):
    folder = tmp_path / "kafka"
    folder.mkdir()
    server = KafkaServer(folder)
    yield server
    server.stop()


@pytest.fixture
def slow(quick):
    return replace(quick, client={}, ack_deadline=1.0, timeout=40)


def taken(consumer, many, timeout=20):
    out = []
    while len(out) < many and (messages := consumer.receive(many - len(out), timeout=timeout)):
        out += messages
    return out


def payloads(messages):
    return [message.payload for message in messages]


def test_groups_redelivery_dead_letters_and_bridges(kafka, slow):
    with connect(kafka.url, slow) as broker:
        # Each group gets all of it, in the order of its partition.
        broker.publish("orders", {"id": 0}, key="a")
        broker.publish_batch("orders", [{"id": n} for n in range(1, 50)])
        consumer = broker.consume("orders", "work")
        messages = taken(consumer, 50)
        assert payloads(messages) == [{"id": n} for n in range(50)]
        assert (messages[0].key, messages[1].key, messages[0].attempts) == ("a", None, 1)
        other = broker.consume("orders", "audit")
        assert len(taken(other, 50)) == 50
        other.close()

        # What is given back, and what is not acknowledged in time, comes again.
        assert broker.ack(messages[:40]) == 40
        assert messages[45].nack()
        [again] = consumer.receive(timeout=0.5)
        assert (again.payload, again.attempts) == ({"id": 45}, 2)
        assert again.ack()
        late = taken(consumer, 9, timeout=5)
        assert sorted(one["id"] for one in payloads(late)) == [40, 41, 42, 43, 44, 46, 47, 48, 49]
        assert {one.attempts for one in late} == {2}

        # A consumer that ends leaves to the next one what it had not acknowledged.
        assert broker.ack(late[:3]) == 3
        consumer.close()
        heir = broker.consume("orders", "work")
        rest = taken(heir, 7)  # 43 on: Kafka knows only up to where all is done
        assert {one["id"] for one in payloads(rest)} >= {43, 44, 46, 47, 48, 49}
        broker.ack(rest)

        # Poison is a dead letter, which can be tried again by its group alone.
        broker.publish("orders", "poison")
        for _ in range(3):
            [message] = heir.receive(timeout=20)
            assert message.nack(reason="it cannot be done")
        [letter] = broker.dead_letters("orders", "work")
        assert (letter.payload, letter.attempts, letter.reason) == (
            "poison", 3, "it cannot be done",
        )  # fmt: skip
        assert broker.retry_dead_letters("orders", "work") == 1
        assert broker.dead_letters("orders", "work") == []
        [message] = heir.receive(timeout=20)
        assert (message.payload, message.attempts, message.ack()) == ("poison", 1, True)
        heir.close()

        # A consumer that acknowledges nothing has a thousand, and no more.
        broker.publish_batch("many", range(3_000))
        with broker.consume("many") as idle:
            while len(idle._reader.held) < 1_000:
                assert idle.receive(500, timeout=20)
            assert not [one for one in idle.receive(500, timeout=0.3) if one.attempts == 1]
            assert len(idle._reader.held) == 1_000

        with pytest.raises(InvalidInput, match="no topic"):
            broker.publish("ümlaut", 1)

    # From bus to bus; what Kafka never takes is a dead letter of the bus, and no obstacle.
    with (
        MessageBus() as source,
        MessageBus() as target,
        bridge_out(source, "work", kafka.url, config=replace(slow, max_attempts=2)) as out,
        bridge_in(target, "work", kafka.url, config=slow),
    ):
        source.publish("work", b"x" * 2_000_000)
        source.publish_batch("work", range(500))
        found, consumer = [], target.consume("work")
        until(lambda: drained(target, consumer, found) == 500, 30, "the arrival of all")
        until(lambda: source.dead_letters("work", "bridge"), 20, "the dead letter")
        assert out.stats().handed_over == 500
    assert found == list(range(500))


def test_kills_and_cuts_lose_nothing_and_the_feed_goes_on_from_its_position(kafka, slow, db):
    proxy = kafka.proxy
    with connect(kafka.url, slow) as broker:
        consumer, acked, ended = broker.consume("c"), [], threading.Event()

        def work():
            while len(set(acked)) < 1_000 and not ended.is_set():
                messages = consumer.receive(100, timeout=1)
                broker.ack(messages)
                acked.extend(payloads(messages))

        worker = threading.Thread(target=work)
        worker.start()
        with db.bridge_changes(kafka.url, config=slow) as bridge:
            for part in range(10):
                db.create_nodes({"label": "Person"} for _ in range(30))
                broker.publish_batch("c", range(100 * part, 100 * part + 100))
                if part in (2, 7):
                    proxy.cut()
                if part == 5:
                    bridge.flush(timeout=30)
                    kafka.kill()
                    starter = threading.Thread(target=kafka.start)
                    starter.start()
            starter.join()
            bridge.flush(timeout=60)
        worker.join(60)
        ended.set()
        assert (kafka.kills, proxy.cuts >= 2) == (1, True)
        assert sorted(set(acked)) == list(range(1_000)), "nothing is lost"
        assert len(acked) <= 1_000 + 3 * 100, "only what a fault struck came twice"

        # Whoever bridges next goes on from the position that Kafka has.
        db.create_nodes({"label": "Person"} for _ in range(30))
        with db.bridge_changes(kafka.url, config=slow) as bridge:
            bridge.flush(timeout=30)
            assert bridge.stats().handed_over == 30
        feed = payloads(taken(broker.consume("changes"), 330))
        assert feed == written(db), "each change once, in its order"
        consumer.close()
