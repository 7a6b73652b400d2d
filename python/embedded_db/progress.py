"""A progress bar for a terminal, of the standard library only."""

import sys
import time
from typing import Final, TextIO

__all__ = ["ProgressBar"]

WIDTH: Final = 28
INTERVAL: Final = 0.1


class ProgressBar:
    """A line that is drawn over itself, on standard error; silent when that is no terminal.

    Args:
        title: what is going on.
        stream: where to draw; standard error when left out.
    """

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = sys.stderr if stream is None else stream
        self._visible = self._stream.isatty()
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._line = ""

    def update(self, done: int, total: int, unit: str = "") -> None:
        """Draw how far it is, ten times a second at most.

        Args:
            done: how much is done.
            total: how much there is; the bar is full when ``done`` reaches it.
            unit: what is counted, shown behind the numbers.
        """
        now = time.monotonic()
        if not self._visible or (now - self._drawn < INTERVAL and done < total):
            return
        self._drawn = now
        share = min(done / total, 1.0) if total > 0 else 1.0
        full = int(share * WIDTH)
        elapsed = now - self._begun
        self._write(
            f"{self._title} [{'█' * full}{'·' * (WIDTH - full)}] {share:4.0%} "
            f"{done:,}/{total:,}{' ' + unit if unit else ''} {elapsed:.0f} s"
        )

    def close(self) -> None:
        """End the line, so that what follows begins on its own."""
        if self._line:
            self._stream.write("\n")
            self._stream.flush()
            self._line = ""

    def _write(self, line: str) -> None:
        padding = " " * max(0, len(self._line) - len(line))
        self._stream.write(f"\r{line}{padding}")
        self._stream.flush()
        self._line = line

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
