"""Messages over a socket.

A socket, because its system calls are not those that files are written with: a fault that befalls
those does not befall what a child says about it.
"""

import pickle
import socket
import struct
from typing import Any

__all__ = ["receive", "send"]

LENGTH = struct.Struct("!Q")


def send(sock: socket.socket, message: Any) -> None:
    """Say something."""
    data = pickle.dumps(message)
    sock.sendall(LENGTH.pack(len(data)) + data)


def receive(sock: socket.socket) -> Any:
    """Hear what was said, wholly; `EOFError` when the other side has ended."""
    (length,) = LENGTH.unpack(_exactly(sock, LENGTH.size))
    return pickle.loads(_exactly(sock, length))


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = sock.recv(size - len(parts))
        if not part:
            raise EOFError("the other side has ended")
        parts += part
    return bytes(parts)
