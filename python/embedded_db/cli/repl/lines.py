"""Lines from a program or a file, and an answer to each."""

import sys
from typing import BinaryIO

from ...errors import BadText, DbError
from .answers import show, show_error
from .session import Session

__all__ = ["answer_lines"]


def answer_lines(session: Session, lines: BinaryIO, machine: bool) -> DbError | None:
    """Answer line after line until there are no more, or ``/quit``.

    Returns:
        The first error, if there was one; the lines behind it were answered all the same.
    """
    first: DbError | None = None
    for number, line in enumerate(lines, start=1):
        try:
            answer = session.answer(_text(line, number))
        except DbError as error:
            first = first or error
            show_error(error, machine)
        else:
            if answer is not None:
                show(answer, machine)
        sys.stdout.flush()
        if session.ended:
            break
    return first


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise BadText(f"line {number} is not UTF-8", hint="Send the lines as UTF-8") from None
