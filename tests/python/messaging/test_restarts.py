"""Promise: with a path nothing published is lost, and nothing acknowledged comes again.

A child publishes, consumes and acknowledges, says what it has done, and is killed at any moment;
what is there afterwards is compared with what it said.
"""

import pytest

from embedded_db.errors import Corruption, DatabaseClosed, DatabaseLocked, FormatTooNew
from embedded_db.messaging import MessageBus

KILLS = """
    import os, random, signal, sys, time
    from embedded_db.messaging import MessageBus

    kills, seed, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = random.Random(seed)

    def child(out, seed):
        rng = random.Random(seed)
        say = lambda kind, numbers: os.write(
            out, "".join(f"{kind} {number}\\n" for number in numbers).encode())
        bus = MessageBus(path, durability=rng.choice(["durable", "relaxed"]), max_attempts=10**6)
        consumer = bus.consume("c.*", "g")
        os.write(out, b"open 0\\n")
        while True:
            many = rng.randint(1, 20)
            keys = [rng.choice([None, "k", "l"]) for _ in range(many)]
            say("published", bus.publish_batch(
                "c.d", [rng.randbytes(rng.randint(0, 3000)) for _ in range(many)], key=keys,
                priority=rng.randint(0, 9)))
            messages = consumer.receive(rng.randint(1, 25), timeout=0)
            if messages and rng.random() < 0.8:
                say("acking", [one.id for one in messages])
                assert bus.ack(messages) == len(messages)
                say("acked", [one.id for one in messages])
            elif messages:
                messages[0].nack(delay=0.001)

    published, acking, acked = set(), set(), set()
    again = unheard = 0
    for kill in range(kills):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            try:
                child(write, rng.random())
            except BaseException as error:
                os.write(2, repr(error).encode())
            os._exit(1)
        os.close(write)
        with open(read, "rb") as told:
            first = told.readline()
            time.sleep(rng.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            assert os.waitpid(pid, 0)[1] == signal.SIGKILL
            lines = (first + told.read()).decode().split("\\n")
        for line in lines[:-1]:
            kind, number = line.split()
            if kind == "open":
                continue
            {"published": published, "acking": acking, "acked": acked}[kind].add(int(number))
        bus = MessageBus(path, max_attempts=10**6, durability="relaxed")
        there, done = set(), set(acked)
        for message in bus.consume("c.*", "g", timeout=0, prefetch=1000):
            assert message.id not in there, "twice"
            there.add(message.id)
            if message.attempts > 1:
                again += 1
            if message.key is not None:
                # What waits behind it has to be seen, too; it is acknowledged for that.
                assert message.ack()
                acking.add(message.id)
                acked.add(message.id)
        assert not there & done, "acknowledged, and there"
        lost = published - acking - there
        assert not lost, f"{len(lost)} are lost"
        unheard += len(there - published)
        published |= there
        bus.close()
    print(f"{kills} kills, {len(published)} published, {len(acked)} acknowledged, "
          f"{again} delivered again, {unheard} published unheard")
    assert len(published) > kills and acked
"""


def test_killed_at_any_moment(run_python, tmp_path, thorough):
    run = run_python(KILLS, 200 if thorough else 25, 7, tmp_path / "bus")
    print(run.stdout)
    assert run.returncode == 0, run.stderr[-3000:]


def payloads(bus, **keywords):
    return [message.payload for message in bus.consume("c", timeout=0, **keywords)]


def test_what_was_not_acknowledged_is_there_again(tmp_path):
    with MessageBus(tmp_path / "bus", max_attempts=3) as bus:
        assert bus.publish_batch("c", ["a", "b", "c"], priority=2) == [1, 2, 3]
        bus.publish("other", {"x": 1})
        first, second, third = bus.consume("c").receive(10, timeout=0)
        first.ack()
        second.nack(delay=3600)
    with MessageBus(tmp_path / "bus", max_attempts=3) as bus:
        assert bus.unclaimed == 1
        messages = bus.consume("c").receive(10, timeout=0)
        told = [(one.id, one.payload, one.attempts, one.priority) for one in messages]
        assert told == [(2, "b", 2, 2), (3, "c", 2, 2)]
        assert bus.publish("c", "d") > 4, "no number is given twice"
        with pytest.raises(DatabaseClosed):
            third.ack()


def test_what_its_consumers_did_not_survive_is_a_dead_letter(tmp_path):
    for attempt in (1, 2, 3):
        with MessageBus(tmp_path / "bus", max_attempts=2) as bus:
            if attempt == 1:
                bus.publish("c", "poison")
            messages = bus.consume("c").receive(timeout=0)
            assert [one.attempts for one in messages] == ([attempt] if attempt < 3 else [])
    with MessageBus(tmp_path / "bus", max_attempts=2) as bus:
        [letter] = bus.dead_letters("c")
        assert letter.payload == "poison"
        assert "process ended" in letter.reason
        assert bus.retry_dead_letters("c") == 1
    with MessageBus(tmp_path / "bus", max_attempts=2) as bus:
        assert payloads(bus) == ["poison"]


def test_groups_get_messages_while_nobody_consumes(tmp_path):
    with MessageBus(tmp_path / "bus") as bus:
        bus.subscribe("c", "a")
        bus.subscribe("c", "b")
        bus.publish("c", 1)
    with MessageBus(tmp_path / "bus") as bus:
        bus.publish("c", 2)
        assert payloads(bus, group="a") == [1, 2]
        bus.unsubscribe("c", "b")
    with MessageBus(tmp_path / "bus") as bus:
        assert payloads(bus, group="b") == []
        assert [(one.group, one.waiting) for one in bus.stats()] == [("a", 2), ("b", 0)]


def test_requests_leave_nothing_in_the_path(tmp_path):
    with (
        MessageBus(tmp_path / "bus") as bus,
        bus.subscribe("c", callback=lambda one: one.reply(one.payload)),
    ):
        assert bus.request("c", b"x", timeout=30) == b"x"
    with MessageBus(tmp_path / "bus") as bus:
        assert [(one.channel, one.waiting) for one in bus.stats()] == [("c", 0)]
        assert bus.unclaimed == 0


def test_a_path_has_one_bus(tmp_path):
    bus = MessageBus(tmp_path / "bus")
    with pytest.raises(DatabaseLocked) as caught:
        MessageBus(tmp_path / "bus")
    assert caught.value.pid
    assert caught.value.path == str(tmp_path / "bus")
    bus.close()
    MessageBus(tmp_path / "bus").close()


def test_a_damaged_file_is_said_and_left(tmp_path):
    path = tmp_path / "bus"
    with MessageBus(path) as bus:
        for number in range(10):
            bus.publish("c", number)
    log = path / "messages.log"
    whole = log.read_bytes()
    changed = bytearray(whole)
    changed[len(changed) // 3] ^= 1
    log.write_bytes(changed)
    with pytest.raises(Corruption):
        MessageBus(path)
    assert log.read_bytes() == changed
    log.write_bytes(whole[:8] + b"\x09\0\0\0" + whole[12:])
    with pytest.raises(FormatTooNew):
        MessageBus(path)
    log.write_bytes(whole[:-5])
    with MessageBus(path) as bus:
        assert payloads(bus) == list(range(9)), "the last one was torn"


def test_without_the_native_module_there_is_no_path(run_python):
    run = run_python(
        """
        import os
        os.environ["EMBEDDED_DB_PURE"] = "1"
        from embedded_db.messaging import MessageBus
        MessageBus().close()
        try:
            MessageBus("bus")
        except ImportError as error:
            assert "EMBEDDED_DB_PURE is set" in str(error), error
        else:
            raise AssertionError
        """
    )
    assert run.returncode == 0, run.stderr
