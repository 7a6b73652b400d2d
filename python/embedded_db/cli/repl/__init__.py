"""The command ``repl``: questions and commands, a line each, on a terminal or from a program."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import exit_codes
from ..base import EPILOG, AsJson, ConfigFile, Namespace, app, command, opened
from ..querying import Most
from .lines import answer_lines
from .session import Session

__all__ = ["repl"]


@app.command(epilog=EPILOG)
@command
def repl(
    path: Annotated[Path, typer.Argument(help="Directory of the database.")],
    words: Annotated[
        bool, typer.Option("--words", help="Recall by words alone, which needs no model.")
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Recall nodes with this label; messages when left out. Repeatable."),
    ] = None,
    limit: Most = 10,
    read_only: Annotated[bool, typer.Option(help="Look on beside a process that writes.")] = False,
    no_history: Annotated[
        bool, typer.Option("--no-history", help="Keep no file of what was typed.")
    ] = False,
    namespace: Namespace = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask a database, line by line: text recalls, /help lists the commands.

    On a terminal it needs the extra ``embedded-db[repl]``; with --json or from a pipe it does not.
    docs/repl.md tells of it.
    """
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    if on_terminal:
        from .terminal import converse  # fails at once where the extra is missing
    with opened(path, namespace, config, read_only=read_only, existing=True) as db:
        by_words = words or db.config.ml is None
        session = Session(db, by_words=by_words, limit=limit, labels=label)
        if on_terminal:
            converse(session, path, keep_history=not no_history)
            return
        failed = answer_lines(session, sys.stdin.buffer, as_json)
    if failed is not None:
        sys.stdout.flush()
        raise typer.Exit(exit_codes.of(failed))
