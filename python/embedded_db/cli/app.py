"""The application with all its sub-commands."""

import io
import sys
from typing import Annotated

import typer

from .._native import __version__
from . import exit_codes
from .base import app

# Each of these adds its sub-commands, in the order in which --help lists them.
from . import transfer  # isort: skip
from . import querying  # isort: skip
from . import looking  # isort: skip
from . import operating  # isort: skip
from . import upkeep  # isort: skip
from . import serving  # isort: skip
from . import assistants  # isort: skip
from . import repl  # isort: skip

__all__ = ["app", "run"]

_ADDED = (transfer, querying, looking, operating, upkeep, serving, assistants, repl)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"embedded-db {__version__}")
        raise typer.Exit(exit_codes.DONE)


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run() -> int:
    """Run the command line of the process.

    Returns:
        The exit code, when the command line did not end the process itself.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its number.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="embedded-db")
    return exit_codes.DONE
