"""Sorting more lines than fit the memory."""

import heapq
import json
import tempfile
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, Any, Final, Self

__all__ = ["SortedLines"]

RUN: Final = 100_000
"""Lines that are held and sorted at once."""


class SortedLines:
    """Collects JSON lines and gives them sorted by a number; equal ones stay in their order.

    Args:
        directory: where what does not fit is put meanwhile.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._held: list[tuple[int, int, str]] = []
        self._runs: list[IO[str]] = []
        self._count = 0

    def add(self, key: int, record: Mapping[str, Any]) -> None:
        """Add a record.

        Args:
            key: what it is sorted by.
            record: what its line holds.
        """
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self._held.append((key, self._count, line + "\n"))
        self._count += 1
        if len(self._held) >= RUN:
            self._spill()

    def _spill(self) -> None:
        self._held.sort()
        run = tempfile.TemporaryFile(  # noqa: SIM115 - closed at the end
            "w+", encoding="utf-8", newline="\n", dir=self._directory
        )
        run.writelines(f"{key} {count} {line}" for key, count, line in self._held)
        run.seek(0)
        self._runs.append(run)
        self._held = []

    def lines(self) -> Iterator[str]:
        """Iterate over the lines in order."""
        self._held.sort()
        runs = [_parsed(run) for run in self._runs]
        for _, _, line in heapq.merge(*runs, self._held):
            yield line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for run in self._runs:
            run.close()


def _parsed(run: IO[str]) -> Iterator[tuple[int, int, str]]:
    for line in run:
        key, count, rest = line.split(" ", 2)
        yield int(key), int(count), rest
