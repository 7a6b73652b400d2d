"""How objects show themselves: one short line, and a table in a notebook."""

from collections.abc import Iterable
from datetime import datetime

__all__ = ["clipped", "line", "table"]

LONGEST = 80


def clipped(value: object) -> str:
    """Give the representation of a value, cut to 80 characters; a time to the second."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def line(name: str, parts: Iterable[tuple[str, object]]) -> str:
    """Give ``Name(part=value, …)``."""
    return f"{name}({', '.join(f'{part}={clipped(value)}' for part, value in parts)})"


def table(name: str, parts: Iterable[tuple[str, object]]) -> str:
    """Give an HTML table with a row for each part; everything stored is escaped."""
    from html import escape  # half a millisecond of every import else

    rows = "".join(
        f"<tr><th>{escape(part)}</th><td>{escape(clipped(value))}</td></tr>"
        for part, value in parts
    )
    return f"<table><caption>{escape(name)}</caption><tbody>{rows}</tbody></table>"
