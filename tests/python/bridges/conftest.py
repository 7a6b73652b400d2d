"""Every test of bridges has a Redis of its own; without redis-server they say that they skip."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_db.bridges import BrokerConfig

from .brokers import Proxy, RedisServer

pytest.importorskip("redis", reason='the client is not installed: pip install "embedded-db[redis]"')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    yield server
    server.stop()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def quick() -> BrokerConfig:
    """Short times, so that faults are over soon."""
    return BrokerConfig(
        first_delay=0.02, longest_delay=0.2, ack_deadline=0.5, max_attempts=3, timeout=20,
        client={"socket_timeout": 1.0},
    )  # fmt: skip
