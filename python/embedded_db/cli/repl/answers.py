"""What comes of a line: facts for programs, tables for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import DbError
from .. import output

__all__ = ["Answer", "Table", "show", "show_error"]


@dataclass(frozen=True)
class Table:
    """Rows under their columns; without columns, names with their values."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Answer:
    """What comes of a line."""

    command: str
    facts: Mapping[str, Any]
    """What a program gets, as one line of JSON."""
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default=())
    """Remarks for people."""


def show(answer: Answer, machine: bool) -> None:
    """Print an answer."""
    if machine:
        output.json_line({"command": answer.command, **answer.facts})
        return
    for table in answer.tables:
        if table.rows:
            output.table(table.columns or ("", ""), table.rows, head=bool(table.columns))
    for note in answer.notes:
        output.note(note)


def show_error(error: DbError, machine: bool) -> None:
    """Print an error: for a program in the place of the answer, on standard output."""
    if machine:
        output.json_line(output.error_facts(error))
    else:
        output.error(error)
