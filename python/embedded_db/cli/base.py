"""What all sub-commands share: the application, options, errors, opening."""

import functools
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec

import typer

from ..config import Config
from ..database import EmbeddedDB
from ..errors import DbError, InvalidInput, StorageError
from ..logs import show_warnings
from . import exit_codes, output

__all__ = ["EPILOG", "AsJson", "ConfigFile", "Db", "Namespace", "app", "command", "opened"]

P = ParamSpec("P")

EPILOG: Final = (
    "Exit codes: 0 done; 1 done, with findings; 2 wrong command line; 3 and more an error, each "
    "kind its own (docs/command-line.md); 130 interrupted; 141 nobody read the output."
)

app = typer.Typer(
    name="embedded-db",
    help="An embedded graph, vector and full-text memory database.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Db = Annotated[Path, typer.Option("--db", envvar="EMBEDDED_DB", help="Directory of the database.")]
Namespace = Annotated[str | None, typer.Option(help="Namespace; the default one if left out.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with the options.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn the library's errors into a line on standard error and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        machine = bool(kwargs.get("as_json"))
        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except DbError as error:
            output.error(error, machine)
            raise typer.Exit(exit_codes.of(error)) from None
        except BrokenPipeError:
            _forget_output()
            raise typer.Exit(exit_codes.UNREAD) from None
        except OSError as error:
            refused = StorageError(
                f"the output cannot be written: {error.strerror or error}",
                hint="Check the room on the disk",
            )
            _forget_output()
            output.error(refused, machine)
            raise typer.Exit(exit_codes.of(refused)) from None
        except KeyboardInterrupt:
            output.note("interrupted; what was stored stays")
            raise typer.Exit(exit_codes.INTERRUPTED) from None

    return guarded


def _forget_output() -> None:
    """Let what is still buffered go nowhere, so that the interpreter can end in peace."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def opened(
    path: Path,
    namespace: str | None,
    config: Path | None,
    *,
    read_only: bool,
    existing: bool = False,
    **options: Any,
) -> Iterator[EmbeddedDB]:
    """Open the database of a command.

    Args:
        path: its directory.
        namespace: the namespace; None for the default one.
        config: a TOML file.
        read_only: whether the command only reads; the database must exist then.
        existing: whether it must exist for a command that writes, too.
        **options: options that the command sets itself.
    """
    show_warnings()
    settings = (Config() if config is None else Config.from_file(config)).with_options(options)
    _check_directory(path, read_only or existing)
    if not read_only and config is None:
        _check_model(path, settings)
    with EmbeddedDB(path, config=settings, read_only=read_only) as db:
        yield db if namespace is None else db.namespace(namespace)


def _check_model(path: Path, settings: Config) -> None:
    """Refuse to embed all texts anew with a model that nobody has named."""
    functions, _ = settings._functions()
    info = None if functions is None else functions.embedding_info()
    if info is None or not path.is_dir() or not any(path.iterdir()):
        return
    with EmbeddedDB(path, config=settings, ml=None) as db:
        used = {space["model"] for space in db.spaces() if space["state"] == "in use"} - {""}
    if used and info["model"] not in used:
        raise InvalidInput(
            f"the texts of {str(path)!r} are embedded with {used.pop()!r}, and this would embed "
            f"them all again with {info['model']!r}",
            hint="Name the model in a file that --config names; a new one, too",
            path=str(path),
        )


def _check_directory(path: Path, existing: bool) -> None:
    if path.is_file():
        raise InvalidInput(
            f"{str(path)!r} is a file; a database is a directory",
            hint="Give --db the directory of the database",
            path=str(path),
        )
    if existing and (not path.exists() or (path.is_dir() and not any(path.iterdir()))):
        raise InvalidInput(
            f"{str(path)!r} is no database: "
            f"{'the directory is empty' if path.exists() else 'there is no such directory'}",
            hint=f"`embedded-db import FILE --db {shlex.quote(str(path))}` makes one",
            path=str(path),
        )
