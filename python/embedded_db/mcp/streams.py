"""Standard input and output, kept for the protocol alone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Streams", "standard_streams"]


@dataclass(frozen=True)
class Streams:
    """Descriptors of what standard input and output were."""

    reading: int
    writing: int


@contextmanager
def standard_streams() -> Iterator[Streams]:
    """Take standard input and output: what else prints, prints to standard error meanwhile.

    Models may print when they are loaded: take the streams before the database is opened.

    Examples:
        >>> from embedded_db.mcp import standard_streams
        >>> with standard_streams() as streams:
        ...     taken = streams.reading, streams.writing
        >>> taken[0] != taken[1]
        True
    """
    sys.stdout.flush()
    streams = Streams(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    try:
        yield streams
    finally:
        sys.stdout.flush()
        os.dup2(streams.reading, 0)
        os.dup2(streams.writing, 1)
        os.close(streams.writing)  # `reading` stays: a thread may still be blocked on it
