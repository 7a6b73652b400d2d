"""A database over HTTP, from the process that has it open.

The server runs on threads of its own, which need no interpreter: reads and writes do not wait for
Python. Texts are embedded by the models of the handle. ``embedded-db serve PATH`` does the same
from a shell.
"""

import atexit
from collections.abc import Sequence
from importlib import resources
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from ._native import Server as NativeServer
from .database import EmbeddedDB
from .errors import InvalidInput, shown

__all__ = ["Server"]


class Server:
    """Serves a database until `stop`, or until the end of a ``with`` block.

    Without tokens it serves this machine alone. The database stays open when the server ends. What
    goes wrong inside is logged by the logger ``embedded_db.server`` (`embedded_db.logs`), without
    tokens and contents of requests. A request with a header ``traceparent`` is a part of that
    trace, where the database makes traces (`Tracing`).

    Args:
        db: the database; its namespaces are served with it.
        host: the address to listen on.
        port: the port; 0 takes one that is free.
        tokens: one a line, as in the file that ``embedded-db serve --tokens`` takes: ``read TOKEN``
            or ``write TOKEN``, and names of namespaces if it is for these only. In the place of
            the token ``sha256:`` and its hash may stand.
        allow_hosts: names by which it may be called, beside those of this machine.
        allow_origins: pages that may call it, such as ``"https://example.org"``.
        max_connections: connections at once, beside WebSockets; what comes further waits.
        max_websockets: WebSockets at once.
        max_requests: requests that are worked on at once; further ones are answered 503.
        max_body: bytes of a body.
        request_timeout: seconds that a request may be worked on.
        header_timeout: seconds that the head of a request may take to come.
        body_timeout: seconds that a body may take to come.
        drain_timeout: seconds that `stop` waits for requests under way.
        ping_interval: seconds between two pings on a WebSocket; after two that are not answered it
            is closed.

    Raises:
        InvalidInput: an option is wrong, the port is taken, or others could reach the address and
            there is no token.

    Examples:
        >>> from embedded_db.client import Client
        >>> from embedded_db.server import Server
        >>> with Server(db, port=0) as server, Client(server.url) as client:
        ...     ann = client.create_node({"label": "Person", "properties": {"name": "Ann"}})
        ...     db.get_node(ann)["name"]
        'Ann'
    """

    def __init__(
        self,
        db: EmbeddedDB,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        tokens: str = "",
        allow_hosts: Sequence[str] = (),
        allow_origins: Sequence[str] = (),
        max_connections: int = 4096,
        max_websockets: int = 10_000,
        max_requests: int = 1024,
        max_body: int = 8 << 20,
        request_timeout: float = 30.0,
        header_timeout: float = 10.0,
        body_timeout: float = 30.0,
        drain_timeout: float = 10.0,
        ping_interval: float = 30.0,
    ) -> None:
        if not isinstance(db, EmbeddedDB):
            raise InvalidInput(f"db is {shown(db)}", hint="Give an EmbeddedDB that is open")
        counts = {
            "max_connections": max_connections,
            "max_websockets": max_websockets,
            "max_requests": max_requests,
            "max_body": max_body,
        }
        _check_whole("port", port, 0, 65_535)
        for name, count in counts.items():
            _check_whole(name, count, 1, 1 << 28)
        options: dict[str, Any] = {
            "host": host,
            "port": port,
            "tokens": tokens,
            "hosts": list(allow_hosts),
            "origins": list(allow_origins),
            "embedding_space": db.config.embedding_space,
            "explorer": explorer_files(),
            "request_timeout": request_timeout,
            "header_timeout": header_timeout,
            "body_timeout": body_timeout,
            "drain_timeout": drain_timeout,
            "ping_interval": ping_interval,
            **counts,
        }
        self._native = NativeServer.start(db._native, options)
        _running.add(self)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: the address and the port."""
        return self._native.address

    @property
    def url(self) -> str:
        """What clients call, such as ``"http://127.0.0.1:8080"``."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def stop(self) -> None:
        """Take no further requests, and wait for those under way, at most ``drain_timeout``.

        Nothing that was acknowledged is lost. May be called more than once.
        """
        self._native.stop()
        _running.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def explorer_files() -> dict[str, bytes]:
    """Give the files of the page that the server shows, by name; none where it was not built."""
    folder = resources.files(__package__) / "explorer"
    if not folder.is_dir():
        return {}
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        hint = f"Give a whole number from {least} to {most}"
        raise InvalidInput(f"{name} is {shown(value)}", hint=hint)


_running: WeakSet[Server] = WeakSet()


def _stop_all() -> None:
    """Stop what still runs at the end of the interpreter, before its databases are closed."""
    for server in list(_running):
        server.stop()


atexit.register(_stop_all)
