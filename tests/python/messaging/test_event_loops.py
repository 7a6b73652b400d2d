"""Promise: on an event loop all of it works, and nothing holds the loop up."""

import asyncio
import threading
import time

import pytest

from embedded_db.errors import DatabaseClosed, QuotaExceeded, Timeout

from .shared import NATIVE

BOUND = 0.25
"""Seconds in which a loop on a busy machine gets its turn; what would hold it up takes longer."""


class Heart:
    """Notes how long the loop was held up at most."""

    def __init__(self):
        self.longest = 0.0

    async def __aenter__(self):
        self.task = asyncio.create_task(self.beat())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def beat(self):
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - begun)


def test_messages_go_between_tasks(messaging):
    async def main():
        async with messaging.MessageBus() as bus:
            consumer = bus.consume("c")

            async def work():
                got = []
                async for message in consumer:
                    got.append(message.payload)
                    assert await message.ack_async()
                    if len(got) == 5:
                        break
                return got

            task = asyncio.create_task(work())
            await asyncio.sleep(0.01)
            assert await bus.publish_async("c", 0) == 1
            assert await bus.publish_batch_async("c", [1, 2, 3], key="k") == [2, 3, 4]
            threading.Thread(target=bus.publish, args=("c", 4)).start()
            assert sorted(await task) == [0, 1, 2, 3, 4]

    asyncio.run(main())


def test_waiting_holds_up_nothing(messaging):
    async def main():
        bus = messaging.MessageBus(capacity=1)
        bus.publish("full", 1)
        async with Heart() as heart:
            waiting = [
                asyncio.create_task(bus.publish_async("full", 2)),
                asyncio.create_task(bus.consume("empty").receive_async()),
                asyncio.create_task(bus.request_async("nobody", 1, timeout=0.6)),
            ]
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in waiting)
            for _ in range(2):
                [message] = await bus.consume("full").receive_async(timeout=30)
                await message.ack_async()
            assert await waiting[0] > 1
            with pytest.raises(Timeout):
                await waiting[2]
            bus.publish("empty", "at last")
            [message] = await waiting[1]
            assert message.payload == "at last"
        assert heart.longest < BOUND
        bus.close()

    asyncio.run(main())


def test_a_path_holds_up_nothing(tmp_path):
    async def main():
        async with NATIVE.MessageBus(tmp_path / "bus") as bus, Heart() as heart:
            await asyncio.gather(*(bus.publish_async("c", bytes(10_000)) for _ in range(500)))
            consumer, got = bus.consume("c"), 0
            while got < 500:
                messages = await consumer.receive_async(100, timeout=30)
                got += await bus.ack_async(messages)
        assert heart.longest < BOUND

    asyncio.run(main())


def test_a_task_that_is_cancelled_takes_nothing_and_another_is_woken(messaging):
    async def main():
        bus = messaging.MessageBus()
        for _ in range(20):
            consumers = [
                asyncio.create_task(bus.consume("c").receive_async(timeout=30)) for _ in range(2)
            ]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            # Both at once: the first was called, and is gone.
            bus.publish("c", 1)
            consumers[0].cancel()
            begun = time.monotonic()
            done = await asyncio.gather(*consumers, return_exceptions=True)
            assert isinstance(done[0], asyncio.CancelledError)
            [message] = done[1]
            assert message.attempts == 1
            assert message.ack()
            assert time.monotonic() - begun < 10
        bus.close()

    asyncio.run(main())


def test_a_cancelled_publisher_leaves_nothing(messaging):
    async def main():
        bus = messaging.MessageBus(capacity=1)
        bus.publish("c", 1)
        task = asyncio.create_task(bus.publish_async("c", 2))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        got = [one.payload for one in bus.consume("c", timeout=0) if one.ack()]
        assert got == [1]
        bus.publish("c", 3)
        with pytest.raises(Timeout):
            await bus.publish_async("c", 4, timeout=0.01)
        bus.close()

    asyncio.run(main())


def test_no_room_is_an_error_on_a_loop_too(messaging):
    async def main():
        bus = messaging.MessageBus(capacity=1, overflow="error")
        with pytest.raises(QuotaExceeded) as caught:
            await bus.publish_batch_async("c", [1, 2])
        assert caught.value.item == 1
        bus.close()
        with pytest.raises(DatabaseClosed):
            await bus.publish_async("c", 1)

    asyncio.run(main())


def test_coroutines_get_messages_and_answer_requests(messaging):
    async def main():
        bus = messaging.MessageBus(max_attempts=2)
        seen = []

        async def work(message):
            seen.append(message.payload)
            await asyncio.sleep(0)
            if message.payload == "bad":
                raise ValueError("no")
            message.reply(message.payload * 2)

        async with bus.subscribe("c", callback=work, workers=3):
            assert await bus.request_async("c", 21, timeout=30) == 42
            await bus.publish_async("c", "bad")
            while not bus.dead_letters("c"):
                await asyncio.sleep(0.01)
        assert seen == [21, "bad", "bad"]
        assert bus.dead_letters("c")[0].reason.startswith("ValueError")
        # A synchronous consumer answers an asynchronous request, and the other way round.
        with bus.subscribe("t", callback=lambda one: one.reply("thread")):
            assert await bus.request_async("t", 1, timeout=30) == "thread"
        async with bus.subscribe("a", callback=work):
            answer = await asyncio.to_thread(bus.request, "a", 2, timeout=30)
            assert answer == 4
        await bus.close_async()

    asyncio.run(main())


def test_consumers_end_with_the_bus(messaging):
    async def main():
        bus = messaging.MessageBus()
        consumer = bus.consume("c")

        async def work():
            return [message async for message in consumer]

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        bus.close()
        assert await asyncio.wait_for(task, 30) == []

    asyncio.run(main())
