"""The command ``embedded-db``.

Exit codes: 0 done; 1 done, with findings: `verify` found damage, or `import` left out bad records;
2 a wrong command line, or the extra ``[cli]`` is not installed; from 3 on an error of the library,
each with a code of its own (`exit_codes`); 130 interrupted; 141 nobody read the output.
"""

import sys
from importlib.util import find_spec

__all__ = ["main"]

MISSING = (
    "The command needs two packages that are not installed.\n"
    'Install them with: pip install "embedded-db[cli]"'
)


def main() -> None:
    """Run the command with the arguments of the process, and end it with the exit code."""
    if find_spec("typer") is None or find_spec("rich") is None:
        print(MISSING, file=sys.stderr)
        sys.exit(2)
    from .app import run

    sys.exit(run())
