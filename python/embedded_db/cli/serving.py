"""The command ``serve``."""

import signal
import sys
import threading
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, cast

import typer

from .._native import Access
from ..errors import BadText, InvalidInput
from ..logs import LogLevel, log_to_json
from ..policy import Policy
from ..server import Server
from . import output
from .base import EPILOG, ConfigFile, app, command, opened

__all__ = ["AllowHost", "AllowOrigin", "ReadOnly", "Shared", "read_tokens"]

AllowHost = Annotated[
    list[str] | None, typer.Option(help="A name by which it may be called; repeatable.")
]
AllowOrigin = Annotated[list[str] | None, typer.Option(help="A page that may call it; repeatable.")]
ReadOnly = Annotated[bool, typer.Option(help="Serve beside a process that writes.")]
Shared = Annotated[
    bool, typer.Option("--shared", help="Write beside others that write with --shared, too.")
]


class LevelOption(StrEnum):
    """What is written down."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    NONE = "none"


@app.command(epilog=EPILOG)
@command
def serve(
    path: Annotated[Path, typer.Argument(help="Directory of the database; made when missing.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any.")] = 8080,
    tokens: Annotated[
        Path | None, typer.Option(help="File of tokens: `read TOKEN` or `write TOKEN` a line.")
    ] = None,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    read_only: ReadOnly = False,
    shared: Shared = False,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 8 << 20,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds of a request.")] = 30.0,
    config: ConfigFile = None,
    policy: Annotated[
        Path | None, typer.Option(help="TOML file with quotas, sampling and other limits.")
    ] = None,
    traces: Annotated[
        str | None,
        typer.Option(
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT", help="Collector of traces: http://HOST:4318."
        ),
    ] = None,
    log_level: Annotated[
        LevelOption, typer.Option(help="The least that is written to the standard error, as JSON.")
    ] = LevelOption.WARNING,
) -> None:
    """Serve a database over HTTP until SIGTERM or Ctrl-C; docs/server.md tells of it."""
    # Before anything is slow: a signal during the start ends the server, too.
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()
        signal.signal(number, signal.SIG_DFL)  # the second ends the process at once

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if log_level is not LevelOption.NONE:
        log_to_json(cast("LogLevel", log_level.value))
    options: dict[str, Any] = {"shared": True} if shared else {}
    if policy is not None:
        options["policy"] = Policy.from_toml(policy)
    if traces is not None:
        options["tracing"] = {"endpoint": traces}
    _raise_open_files()
    known = "" if tokens is None else read_tokens(tokens)
    with (
        opened(path, None, config, read_only=read_only, **options) as db,
        Server(
            db,
            host,
            port,
            tokens=known,
            allow_hosts=allow_host or (),
            allow_origins=allow_origin or (),
            max_body=max_body,
            request_timeout=timeout,
        ) as server,
    ):
        output.note(f"serving {db.path} on {server.url}")
        ended.wait()


def _raise_open_files() -> None:
    """Let as many files be open as the system allows: every connection is one."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def read_tokens(path: Path) -> str:
    """Read a file of tokens, and see that they are right before anything is opened."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadText(f"the tokens in {str(path)!r} are not UTF-8") from None
    except OSError as error:
        raise InvalidInput(
            f"the tokens in {str(path)!r} cannot be read: {error.strerror or error}",
            hint="Give a file that this user may read",
        ) from None
    # Without tokens everybody on this machine may do everything, which nobody wants who gives some.
    if not text:
        raise InvalidInput(f"the file of tokens {str(path)!r} is empty", hint="Write `read TOKEN`")
    Access(text)
    return text
