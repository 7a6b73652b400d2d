"""A WebSocket as little as is needed: what is sent is masked, what comes is read frame by frame."""

import json
import os
import socket
import struct
from typing import Any

from .conftest import Asking

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class WebSocket:
    """One that follows something; it does not answer pings by itself."""

    def __init__(
        self,
        ask: Asking,
        path: str,
        token: str | None = None,
        buffer: int | None = None,
        protocols: str | None = None,
    ) -> None:
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(30)
        self.socket.connect((ask.host, ask.port))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {ask.host}:{ask.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if protocols is not None:
            lines.append(f"Sec-WebSocket-Protocol: {protocols}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            chunk = self.socket.recv(4096)
            assert chunk, self._rest
            self._rest += chunk
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(head.split()[1])

    def _read(self, size: int) -> bytes:
        while len(self._rest) < size:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionError("it has ended")
            self._rest += chunk
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def frame(self) -> tuple[int, bytes]:
        """The next frame: its kind and what is in it."""
        kind, size = self._read(2)
        if size == 126:
            [size] = struct.unpack(">H", self._read(2))
        elif size == 127:
            [size] = struct.unpack(">Q", self._read(8))
        return kind & 15, self._read(size)

    def text(self) -> Any:
        """The next text, as JSON."""
        kind, data = self.frame()
        assert kind == TEXT, (kind, data)
        return json.loads(data)

    def closed(self) -> int:
        """The code that it is closed with, after whatever comes before."""
        while True:
            kind, data = self.frame()
            if kind == CLOSE:
                return int.from_bytes(data[:2], "big")

    def ended(self) -> int | None:
        """The same; None when it broke off without a word."""
        try:
            return self.closed()
        except OSError:
            return None

    def send(self, kind: int, data: bytes = b"") -> None:
        mask = os.urandom(4)
        size = len(data)
        head = bytes([128 | kind])
        if size < 126:
            head += bytes([128 | size])
        elif size < 65536:
            head += bytes([128 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([128 | 127]) + struct.pack(">Q", size)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self.socket.sendall(head + mask + masked)

    def close(self) -> None:
        self.socket.close()
