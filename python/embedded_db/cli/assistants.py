"""The command ``mcp``."""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from .._native import Access
from ..errors import InvalidInput
from ..mcp import serve_http, serve_stdio, standard_streams
from . import exit_codes, output
from .base import EPILOG, ConfigFile, Namespace, app, command, opened
from .serving import AllowHost, AllowOrigin, ReadOnly, Shared, read_tokens

__all__: list[str] = []


@app.command(epilog=EPILOG)
@command
def mcp(
    path: Annotated[Path, typer.Argument(help="Directory of the database; made when missing.")],
    http: Annotated[bool, typer.Option("--http", help="Over HTTP, not standard input.")] = False,
    host: Annotated[str, typer.Option(help="With --http: address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --http: port; 0 for any.")
    ] = 8081,
    tokens: Annotated[
        Path | None, typer.Option(help="With --http: file of tokens, as `serve` takes it.")
    ] = None,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 4 << 20,
    read_only: ReadOnly = False,
    shared: Shared = False,
    namespace: Namespace = None,
    config: ConfigFile = None,
) -> None:
    """Serve a database to assistants by the Model Context Protocol; docs/mcp.md tells of it."""
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
    known = "" if tokens is None else read_tokens(tokens)
    if tokens is not None and not Access(known):
        raise InvalidInput(f"there is no token in {str(tokens)!r}", hint="Write `read TOKEN` in it")
    if not http and (known or allow_host or allow_origin):
        raise InvalidInput(
            "tokens, hosts and origins are for --http", hint="Give --http, or leave them out"
        )
    options: dict[str, Any] = {"shared": True} if shared else {}
    if not http:
        with (
            standard_streams() as streams,
            opened(path, namespace, config, read_only=read_only, **options) as db,
        ):
            serve_stdio(db, streams)
    else:
        with opened(path, namespace, config, read_only=read_only, **options) as db:
            serve_http(
                db,
                host,
                port,
                tokens=known,
                allow_hosts=allow_host or (),
                allow_origins=allow_origin or (),
                max_body=max_body,
                ready=lambda url: output.note(f"serving {db.path} on {url}"),
            )
    _leave()


def _leave() -> None:
    """End although a call has not ended in its time: a model that hangs would keep the process."""
    others = [thread for thread in threading.enumerate() if not thread.daemon]
    others.remove(threading.main_thread())
    for thread in others:
        thread.join(1.0)
    if any(thread.is_alive() for thread in others):
        output.note("a call that does not end was given up")
        sys.stdout.flush()
        os._exit(exit_codes.DONE)
