"""What a broker costs beside its client used one message at a time.

A Redis of its own on a loopback port, without persistence, so that no disk is measured.
"""

import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bus import MESSAGE
from measuring import Row

from embedded_db.bridges import BrokerConfig, bridge_out, connect
from embedded_db.messaging import MessageBus, pack

SOME = 2_000
ROUNDS = 9


@contextmanager
def redis_server(directory: Path) -> Iterator[int]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    process = subprocess.Popen(
        [*command, "--appendonly", "no", "--dir", directory], stdout=subprocess.DEVNULL
    )
    try:
        while True:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


def bridges(directory: Path) -> Iterator[Row]:
    if find_spec("redis") is None or shutil.which("redis-server") is None:
        print("skipped: the rows of bridges; redis or redis-server is not installed")
        return
    import redis

    with redis_server(directory) as port, redis.Redis(port=port) as client:
        url, body = f"redis://127.0.0.1:{port}/0", pack(MESSAGE)
        broker = connect(url, BrokerConfig(batch=500))
        client.xgroup_create("peer", "g", mkstream=True)
        consumer = broker.consume("ours")
        bus = MessageBus()
        bridge = bridge_out(bus, "bridged", url)

        def peer() -> None:
            for _ in range(SOME // 4):
                client.xadd("peer", {"kind": "msgpack", "body": body, "key": ""})
                [[_, [(number, _)]]] = client.xreadgroup("g", "c", {"peer": ">"}, count=1)
                client.xack("peer", "g", number)

        def singly() -> None:
            for _ in range(SOME // 4):
                broker.publish("ours", MESSAGE)
                [message] = consumer.receive()
                _ = message.payload
                message.ack()

        def batches() -> None:
            for _ in range(SOME // 500):
                broker.publish_batch("ours", [MESSAGE] * 500)
                found = 0
                while found < 500:
                    messages = consumer.receive(500)
                    for message in messages:
                        _ = message.payload
                    found += broker.ack(messages)

        def bridged() -> None:
            for _ in range(SOME):
                bus.publish("bridged", MESSAGE)
            bridge.flush()

        calls = [(peer, SOME // 4), (singly, SOME // 4), (batches, SOME), (bridged, SOME)]
        samples: list[list[float]] = []
        for _ in range(ROUNDS):
            took = []
            for call, many in calls:
                begun = time.perf_counter()
                call()
                took.append((time.perf_counter() - begun) * 1e6 / many)
            samples.append(took)
            client.flushall()
            client.xgroup_create("peer", "g", mkstream=True)
        theirs, alone, batch, over = (
            statistics.median(each) for each in zip(*samples, strict=True)
        )
        name = "redis-py, one by one"
        yield Row("Redis: publish + read + ack, by 500", batch, "≤ 0.4 ×", name, theirs)
        yield Row("the same, one by one", alone, "", name, theirs)
        yield Row("bus → Redis, published one by one", over, "", name, theirs, "publish alone")
        bridge.close()
        bus.close()
        broker.close()


BRIDGES = {"bridges": bridges}
