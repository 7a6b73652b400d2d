"""What the commands print: tables, JSON, errors."""

import base64
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import DbError

FLOATS: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
JOINERS: Final = "\u200c\u200d"
WIDE: Final = 10_000
"""Columns when the output is no terminal, so that no line is folded."""

__all__ = [
    "as_json",
    "clean",
    "error",
    "error_facts",
    "facts",
    "json_line",
    "note",
    "size",
    "table",
    "text",
]


def as_json(value: object) -> None:
    """Print a value as JSON.

    Times are ISO 8601, bytes base64; NaN and the infinities, which JSON has not, are the texts
    ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. What could steer a terminal is escaped.
    """
    sys.stdout.write(_json(value, indent=2) + "\n")


def json_line(value: object) -> None:
    """Print a value as `as_json` does, in one line."""
    sys.stdout.write(_json(value) + "\n")


def _json(value: object, indent: int | None = None) -> str:
    text = json.dumps(_jsonable(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # Control characters below 32 are escaped already, and line ends are JSON's own.
    return "".join(
        c if c.isprintable() or c in JOINERS or c == "\n" else json.dumps(c)[1:-1] for c in text
    )


def _jsonable(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return FLOATS[str(value)]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def text(lines: str) -> None:
    """Print lines of our own making as they are."""
    sys.stdout.write(lines)


def facts(values: Mapping[str, Any], machine: bool) -> None:
    """Print names with their values, as a table or as JSON."""
    if machine:
        as_json(values)
        return
    table(("", ""), [(name, _shown(value)) for name, value in _flat(values)], head=False)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, head: bool = True) -> None:
    """Print rows under their columns; what is stored is never taken for markup."""
    grid = Table(show_header=head, box=None, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(clean(_shown(value))) for value in row))
    if sys.stdout.isatty():
        Console().print(grid)
        return
    text = io.StringIO()
    Console(file=text, width=WIDE).print(grid)
    for line in text.getvalue().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def size(count: int) -> str:
    """Write a number of bytes for people."""
    value, units = float(count), ["bytes", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def note(text: str) -> None:
    """Print a remark on standard error, in one line."""
    Console(stderr=True).print(Text(clean(text)), soft_wrap=True)


def error(problem: DbError, machine: bool = False) -> None:
    """Print an error and its remedy on standard error.

    Args:
        problem: the error.
        machine: as one line of JSON.
    """
    if machine:
        sys.stderr.write(_json(error_facts(problem)) + "\n")
        return
    note(f"{problem.code}: {problem.message}")
    if problem.hint and problem.hint not in problem.message:
        note(problem.hint)


def error_facts(problem: DbError) -> dict[str, Any]:
    """Give what programs get to know of an error."""
    facts = {
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "path": problem.path,
        "retryable": problem.retryable,
    }
    return {"error": facts}


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    return str(value)


def clean(text: str) -> str:
    r"""Escape line ends, control and invisible characters: ``\n``, ``\x1b``, ``\u202e``.

    So stored text can neither steer the terminal nor look like another row. What joins the parts
    of an emoji, or letters of a script, stays.
    """
    return "".join(c if c.isprintable() or c in JOINERS else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
