"""Promise: who gets which message, in which order, how often, and what happens without room."""

import threading
import time

import pytest

from embedded_db.errors import DatabaseClosed, QuotaExceeded, Timeout


@pytest.fixture
def bus(messaging):
    with messaging.MessageBus() as made:
        yield made


def payloads(bus, channel="c", group="default", limit=1000):
    messages = bus.consume(channel, group).receive(limit, timeout=0)
    assert bus.ack(messages) == len(messages)
    return [message.payload for message in messages]


def test_consumers_of_a_group_share_what_each_group_gets_whole(bus):
    for group in ("one", "two"):
        bus.subscribe("c", group)
    bus.publish_batch("c", range(4))
    first, second = bus.consume("c", "one"), bus.consume("c", "one")
    got = [next(first).payload, next(second).payload, next(first).payload, next(second).payload]
    assert got == [0, 1, 2, 3]
    assert payloads(bus, group="two") == [0, 1, 2, 3]


def test_patterns_cover_channels(bus):
    for pattern in ("a.*", "a.**", "*.b", "a.b"):
        bus.subscribe(pattern)
    for channel in ("a.b", "a.c", "a.b.c", "x.b"):
        bus.publish(channel, channel)
    assert payloads(bus, "a.*") == ["a.b", "a.c"]
    assert payloads(bus, "a.**") == ["a.b", "a.c", "a.b.c"]
    assert payloads(bus, "*.b") == ["a.b", "x.b"]
    assert payloads(bus, "a.b") == ["a.b"]


def test_what_nobody_subscribes_to_waits_for_the_first_who_does(bus):
    bus.publish("a", 1)
    bus.publish("b", 2)
    assert bus.unclaimed == 2
    assert payloads(bus, "a") == [1]
    assert payloads(bus, "a", "late") == []
    assert bus.unclaimed == 1
    assert payloads(bus, "*") == [2]


def test_more_urgent_ones_go_first_until_others_have_waited(bus, move):
    for priority in (0, 5, 9, 5):
        bus.publish("c", priority, priority=priority)
    assert payloads(bus) == [9, 5, 5, 0]
    bus.publish("c", "old", priority=0)
    move(3)
    bus.publish("c", "three more", priority=3)
    bus.publish("c", "four more", priority=4)
    assert payloads(bus) == ["four more", "old", "three more"]


def test_of_a_key_there_is_one_at_a_time_in_order(bus):
    bus.publish_batch("c", [1, 2, 3], key="k")
    bus.publish("c", "urgent", key="k", priority=9)
    bus.publish("c", "other", key="l")
    consumer = bus.consume("c")
    first, other = consumer.receive(10, timeout=0)
    assert (first.payload, other.payload) == (1, "other")
    assert consumer.receive(10, timeout=0) == []
    first.nack()
    [again] = consumer.receive(10, timeout=0)
    assert (again.payload, again.attempts) == (1, 2)
    assert not first.ack(), "that delivery is over"
    assert again.ack()
    assert [payloads(bus) for _ in range(4)] == [[2], [3], ["urgent"], []]


def test_batches_have_keys_for_each(bus):
    bus.publish_batch("c", [1, 2, 3], key=["a", "a", None])
    assert payloads(bus) == [1, 3]


def test_what_is_not_acknowledged_comes_again_and_is_dead_at_last(messaging, move):
    bus = messaging.MessageBus(ack_deadline=10, max_attempts=2)
    bus.publish("c", "slow")
    bus.publish("c", "bad")
    consumer = bus.consume("c")
    slow, bad = consumer.receive(10, timeout=0)
    assert bad.nack(delay=60, reason="not now")
    move(9)
    assert consumer.receive(10, timeout=0) == []
    move(1)
    [again] = consumer.receive(10, timeout=0)
    assert (again.payload, again.attempts) == ("slow", 2)
    assert not slow.ack()
    move(50)
    [bad] = consumer.receive(10, timeout=0)
    assert bad.payload == "bad"
    [letter] = bus.dead_letters("c")
    assert (letter.payload, letter.attempts) == ("slow", 2)
    assert letter.reason == "it was not acknowledged in time"
    bad.nack(reason="no use")
    assert [letter.reason for letter in bus.dead_letters("c")][1:] == ["no use"]
    assert bus.retry_dead_letters("c") == 2
    assert payloads(bus) == ["slow", "bad"]
    assert bus.dead_letters("c") == []
    assert bus.discard_dead_letters("c") == 0
    [stats] = bus.stats()
    assert (stats.waiting, stats.in_flight, stats.dead, stats.acked) == (0, 0, 0, 2)


def test_after_its_time_a_message_is_gone(bus, move):
    bus.publish("c", "short", ttl=5)
    bus.publish("c", "long", ttl=50)
    move(5)
    assert payloads(bus) == ["long"]
    assert bus.stats()[0].expired == 1


def test_expired_messages_make_room(messaging, move):
    bus = messaging.MessageBus(capacity=1, overflow="error")
    bus.publish("c", 1, ttl=5, key="k")
    move(5)
    bus.publish("c", 2)
    assert payloads(bus) == [2]


def test_no_room_is_an_error(messaging):
    bus = messaging.MessageBus(capacity=2, overflow="error")
    with pytest.raises(QuotaExceeded) as caught:
        bus.publish_batch("c", [1, 2, 3])
    assert (caught.value.item, caught.value.limit) == (2, 2)
    assert payloads(bus) == [1, 2]


def test_no_room_is_made_by_dropping_the_oldest(messaging):
    bus = messaging.MessageBus(capacity=2, overflow="drop_oldest")
    bus.publish("c", 1, priority=9)
    bus.publish_batch("c", [2, 3])
    assert payloads(bus) == [2, 3]
    bus.publish_batch("c", [4, 5])
    held = bus.consume("c").receive(2, timeout=0)
    with pytest.raises(QuotaExceeded):
        bus.publish("c", 6)
    bus.ack(held)
    bus.publish("c", 7)
    assert payloads(bus) == [7]
    assert bus.stats()[0].dropped == 0, "the first was dropped before anybody subscribed"


def test_no_room_is_waited_for(messaging):
    bus = messaging.MessageBus(capacity=2)
    with pytest.raises(Timeout) as caught:
        bus.publish_batch("c", [1, 2, 3], timeout=0.01)
    assert caught.value.item == 2
    publisher = threading.Thread(target=bus.publish_batch, args=("c", [3, 4, 5]))
    publisher.start()
    got = []
    for message in bus.consume("c", timeout=30):
        got.append(message.payload)
        message.ack()
        if message.payload == 5:
            break
    publisher.join()
    assert got == [1, 2, 3, 4, 5]


def test_a_consumer_waits(bus):
    consumer = bus.consume("c")
    threading.Timer(0.05, bus.publish, ("c", 1)).start()
    [message] = consumer.receive(timeout=30)
    assert message.ack()
    begun = time.monotonic()
    assert consumer.receive(timeout=0.05) == []
    assert time.monotonic() - begun >= 0.045


def test_what_a_closed_consumer_had_fetched_is_there_for_others(bus):
    bus.publish_batch("c", [1, 2, 3])
    with bus.consume("c", prefetch=10) as consumer:
        message = next(iter(consumer))
        assert message.payload == 1
    assert list(consumer) == []
    messages = bus.consume("c").receive(10, timeout=0)
    assert [(one.payload, one.attempts) for one in messages] == [(2, 1), (3, 1)]


def test_who_waits_is_told_of_the_end(messaging):
    bus = messaging.MessageBus(capacity=1)
    bus.publish("full", 1)
    errors, ended = [], []

    def publish():
        try:
            bus.publish("full", 2)
        except DatabaseClosed as error:
            errors.append(error)

    def consume():
        ended.extend(bus.consume("c"))
        ended.append("over")

    threads = [threading.Thread(target=publish), threading.Thread(target=consume)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    bus.close()
    for thread in threads:
        thread.join(30)
    assert len(errors) == 1
    assert ended == ["over"]
    with pytest.raises(DatabaseClosed):
        bus.publish("c", 1)
    bus.close()


def test_who_unsubscribes_lets_messages_go(bus):
    consumer = bus.consume("c")
    bus.publish("c", 1)
    assert bus.unsubscribe("c")
    assert not bus.unsubscribe("c")
    assert list(consumer) == []
    bus.publish("c", 2)
    assert payloads(bus) == [2]


def test_callbacks_get_messages_and_what_they_raise_brings_them_back(messaging, caplog):
    bus = messaging.MessageBus(max_attempts=2)
    done = threading.Event()
    seen = []

    def work(message):
        seen.append((message.payload, message.attempts))
        if message.payload == "bad":
            raise ValueError("no such page")
        if message.payload == "last":
            done.set()

    with bus.subscribe("c", callback=work, workers=2):
        bus.publish_batch("c", ["good", "bad"])
        while not bus.dead_letters("c"):
            time.sleep(0.01)
        bus.publish("c", "last")
        assert done.wait(30)
    assert sorted(seen) == [("bad", 1), ("bad", 2), ("good", 1), ("last", 1)]
    [letter] = bus.dead_letters("c")
    assert letter.reason == "ValueError: ValueError('no such page')"
    assert bus.stats()[0].acked == 2
    assert "was not handled" in caplog.text


def test_requests_are_answered(bus):
    with bus.subscribe("square", callback=lambda one: one.reply(one.payload**2)):
        assert [bus.request("square", number, timeout=30) for number in (2, 3)] == [4, 9]
    with pytest.raises(Timeout):
        bus.request("nobody", 1, timeout=0.02)
    message = next(bus.consume("square", "other", timeout=0), None)
    assert message is None
    assert [one.channel for one in bus.stats()] == ["square", "square"]


def test_answers_are_for_the_one_who_asked(bus):
    everything = bus.consume("**", "spy")
    with bus.subscribe("square", callback=lambda one: one.reply(4)):
        bus.request("square", 2, timeout=30)
    assert [one.channel for one in everything.receive(10, timeout=0)] == ["square"]
    bus.publish("c", 1)
    [message] = everything.receive(10, timeout=0)
    assert (message.reply_to, message.reply("nobody asked")) == (None, False)


def test_through_four_producers_and_four_consumers_every_message_comes_once(messaging, thorough):
    each = 25_000 if messaging.backend.Bus.__module__.endswith("_native") else 2_500
    each *= 10 if thorough else 1
    bus = messaging.MessageBus(capacity=1_000, ageing=0.001)
    seen, last, lock = [], {}, threading.Lock()
    left = threading.Semaphore(0)

    def produce(number):
        for first in range(0, each, 100):
            values = range(first, min(first + 100, each))
            keys = [str(value % 50) for value in values]
            pairs = [[number, value] for value in values]
            bus.publish_batch(f"c.{number}", pairs, key=keys, priority=number * 3)

    def consume():
        consumer = bus.consume("c.*")
        while len(seen) < 4 * each:
            messages = consumer.receive(100, timeout=0.05)
            with lock:
                for message in messages:
                    number, value = message.payload
                    seen.append((number, value))
                    assert last.get((number, message.key), -1) < value
                    last[number, message.key] = value
            assert bus.ack(messages) == len(messages)
        left.release()

    bus.subscribe("c.*")
    threads = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive()
    assert left.acquire(blocking=False)
    assert len(seen) == len(set(seen)) == 4 * each
    [stats] = bus.stats()
    assert (stats.waiting, stats.in_flight, stats.acked) == (0, 0, 4 * each)


def test_a_forked_child_makes_a_bus_of_its_own(run_python):
    for pure in ("0", "1"):
        run = run_python(
            f"""
            import os, sys
            os.environ["EMBEDDED_DB_PURE"] = "{pure}"
            from embedded_db.errors import ForkedHandle
            from embedded_db.messaging import MessageBus
            bus = MessageBus()
            bus.publish("c", 1)
            child = os.fork()
            if not child:
                for use in (lambda: bus.publish("c", 1), lambda: bus.consume("c"), bus.stats):
                    try:
                        use()
                    except ForkedHandle:
                        continue
                    os._exit(1)
                with MessageBus() as own:
                    own.publish("c", 2)
                    got = [one.payload for one in own.consume("c", timeout=0)]
                os._exit(0 if got == [2] else 2)
            assert os.waitpid(child, 0)[1] == 0
            """
        )
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("pure", ["0", "1"])
def test_a_program_ends_while_others_wait(run_python, pure):
    run = run_python(
        f"""
        import os, threading, time
        os.environ["EMBEDDED_DB_PURE"] = "{pure}"
        from embedded_db.messaging import MessageBus
        bus = MessageBus(capacity=1)
        bus.subscribe("c", callback=print, workers=2)
        bus.publish("full", 1)
        threading.Thread(target=bus.publish, args=("full", 2), daemon=True).start()
        threading.Thread(target=list, args=(bus.consume("d"),), daemon=True).start()
        bus.publish("c", 1)
        time.sleep(0.1)
        """
    )
    assert run.returncode == 0, run.stderr
    assert "Fatal" not in run.stderr
    assert "terminate" not in run.stderr
    assert "Message(" in run.stdout


@pytest.mark.parametrize("pure", ["0", "1"])
def test_ctrl_c_ends_a_wait(run_python, pure):
    run = run_python(
        f"""
        import _thread, os, threading, time
        os.environ["EMBEDDED_DB_PURE"] = "{pure}"
        from embedded_db.messaging import MessageBus
        bus = MessageBus(capacity=1)
        bus.publish("full", 1)
        waits = [bus.consume("c").receive, lambda: next(bus.consume("c")),
                 lambda: bus.publish("full", 2), lambda: bus.request("d", 1)]
        for wait in waits:
            threading.Timer(0.2, _thread.interrupt_main).start()
            begun = time.monotonic()
            try:
                wait()
            except KeyboardInterrupt:
                assert time.monotonic() - begun < 10
            else:
                raise AssertionError
        """
    )
    assert run.returncode == 0, run.stderr
