"""A database that is served, and requests to it as bytes and as values."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_db import EmbeddedDB
from embedded_db.client import Client
from embedded_db.server import Server

READ = "read-0123456789abcdef01234567"
WRITE = "write-0123456789abcdef01234567"
ANNS = "anns-0123456789abcdef01234567"
TOKENS = f"read {READ}\nwrite {WRITE}\nwrite {ANNS} ann\n"
JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Asking:
    """Requests to a server."""

    host: str
    port: int

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, bytes):
            body, sent = json.dumps(body).encode(), {**JSON, **sent}
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=30)) as connection:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def connected(self, timeout: float = 30.0) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def raw(self, sent: bytes, timeout: float = 30.0) -> bytes:
        """What comes back until the connection ends."""
        with self.connected(timeout) as connection:
            connection.sendall(sent)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received


@pytest.fixture
def db(tmp_path: Path) -> Iterator[EmbeddedDB]:
    with EmbeddedDB(tmp_path / "served.db", ml=None) as db:
        yield db


@pytest.fixture
def ask(db: EmbeddedDB) -> Iterator[Asking]:
    """A server without tokens."""
    with Server(db, port=0) as server:
        yield Asking(*server.address)


@pytest.fixture
def guarded(db: EmbeddedDB) -> Iterator[Asking]:
    """A server with tokens: one that reads, one that writes, one for the namespace of Ann."""
    with Server(db, port=0, tokens=TOKENS) as server:
        yield Asking(*server.address)


@pytest.fixture
def client(ask: Asking) -> Iterator[Client]:
    with Client(f"http://{ask.host}:{ask.port}") as client:
        yield client
