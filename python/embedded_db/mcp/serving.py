"""Serving a database to assistants, until the client leaves or the process is asked to end."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final

from ..database import EmbeddedDB
from ..errors import InvalidInput, shown
from ..libraries import library
from .streams import Streams, standard_streams

__all__ = ["serve_http", "serve_stdio"]

PATH: Final = "/mcp"
MAX_BODY: Final = 4 << 20


def serve_stdio(db: EmbeddedDB, streams: Streams | None = None) -> None:
    """Serve one client over standard input and output, until the input ends or a signal comes.

    Meanwhile whatever prints, prints to standard error. The database stays open.

    Args:
        db: the database; the tools work in its namespace.
        streams: what `standard_streams` gave, if the streams were taken before.

    Raises:
        InvalidInput: it is no database, or the extra ``embedded-db[mcp]`` is not installed.

    Examples:
        >>> from embedded_db.mcp import serve_stdio
        >>> serve_stdio("memory.db")
        Traceback (most recent call last):
        ...
        embedded_db.errors.InvalidInput: db is 'memory.db'. Give an EmbeddedDB that is open
    """
    _check(db)
    import anyio

    from .service import build
    from .stdio import run
    from .tools import Caller

    with standard_streams() if streams is None else nullcontext(streams) as taken:
        anyio.run(run, build(db, Caller()), taken)


def serve_http(
    db: EmbeddedDB,
    host: str = "127.0.0.1",
    port: int = 8081,
    *,
    tokens: str = "",
    allow_hosts: Sequence[str] = (),
    allow_origins: Sequence[str] = (),
    max_body: int = MAX_BODY,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Serve any number of clients over HTTP at the path ``/mcp``, until a signal comes.

    Without tokens it serves this machine alone. The database stays open.

    Args:
        db: the database; the tools work in its namespace.
        host: the address to listen on.
        port: the port; 0 takes one that is free.
        tokens: one a line, as `embedded_db.server.Server` takes them. A token that is for other
            namespaces is not known here.
        allow_hosts: names by which it may be called, beside those of this machine.
        allow_origins: pages that may call it, such as ``"https://example.org"``.
        max_body: bytes of a request.
        ready: called with the address of the server once it listens.

    Raises:
        InvalidInput: an option is wrong, the port is taken, others could reach the address and
            there is no token, or the extra ``embedded-db[mcp]`` is not installed.

    Examples:
        >>> from embedded_db.mcp import serve_http
        >>> serve_http(db, host="0.0.0.0")
        Traceback (most recent call last):
        ...
        embedded_db.errors.InvalidInput: others can reach the address 0.0.0.0...
    """
    _check(db)
    import anyio

    from .http import Door, listening, run
    from .service import build

    door = Door(db.namespace_name, host, tokens, allow_hosts, allow_origins, max_body)
    with listening(host, port) as listener:
        anyio.run(run, build(db), door, listener, ready)


def _check(db: object) -> None:
    if not isinstance(db, EmbeddedDB):
        raise InvalidInput(f"db is {shown(db)}", hint="Give an EmbeddedDB that is open")
    library("mcp", "the Model Context Protocol", '"embedded-db[mcp]"')
