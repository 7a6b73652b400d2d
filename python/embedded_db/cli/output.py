"""What the commands print: tables, JSON, errors."""

import base64
import io
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import DbError

WIDE: Final = 10_000
"""Columns when the output is no terminal, so that no line is folded."""

__all__ = ["as_json", "error", "facts", "note", "size", "table"]


def as_json(value: object) -> None:
    """Print a value as JSON; times as ISO 8601, bytes as base64."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=_jsonable)
    sys.stdout.write("\n")


def _jsonable(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{value!r} has no form in JSON")


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
        grid.add_row(*(Text(_clean(_shown(value))) for value in row))
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
    """Print a remark on standard error."""
    Console(stderr=True).print(Text(text), soft_wrap=True)


def error(problem: DbError) -> None:
    """Print an error and its remedy on standard error."""
    console = Console(stderr=True)
    console.print(Text(f"{problem.code}: {_clean(problem.message)}"), soft_wrap=True)
    if problem.hint:
        console.print(Text(_clean(problem.hint)), soft_wrap=True)


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


def _clean(text: str) -> str:
    """Replace control characters, so that stored text cannot steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
