"""Reading the elements of a long JSON array one by one."""

import json
from collections.abc import Iterator
from typing import Any, Final

from .base import Source

__all__ = ["array_elements"]

CHUNK: Final = 1 << 16
SPACE: Final = " \t\r\n"


class _Buffer:
    """A window on a JSON text that grows until one value fits."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False

    def problem(self, what: str) -> Exception:
        return self._source.problem(
            f"near byte {self._source.position}", what, "Give a whole JSON file"
        )

    def _more(self) -> bool:
        if self._ended:
            return False
        # As much again as is held, so that one long value is not decoded over and over.
        try:
            chunk = self._source.text.read(max(CHUNK, len(self._text) - self._at))
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise self.problem(f"it cannot be decoded: {error}") from error
        self._text = self._text[self._at :] + chunk
        self._at = 0
        self._ended = not chunk
        return bool(chunk)

    def peek(self) -> str:
        """Give the next character that is not space, or "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        found = self.peek()
        if found != wanted:
            raise self.problem(f"{found or 'the end'!r} stands where {wanted!r} is expected")
        self._at += 1

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise self.problem(f"it is not JSON: {error.msg}") from error
                continue
            except RecursionError as error:
                raise self.problem("it is nested too deeply") from error
            # A number at the very end of the window may go on behind it.
            if end == len(self._text) and self._more():
                continue
            self._at = end
            return value

    def elements(self) -> Iterator[Any]:
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.peek() == "]":
                self.take("]")
                return
            self.take(",")


def array_elements(source: Source, key: str | None = None) -> Iterator[Any]:
    """Iterate over the elements of an array, holding one at a time.

    Args:
        source: a file whose whole content is the array, or an object that has it under ``key``.
        key: the name in that object; None when the file is the array itself.

    Raises:
        InvalidInput: the file is not JSON, is cut off, or has no such array.
    """
    buffer = _Buffer(source)
    if key is None:
        yield from buffer.elements()
        return
    buffer.take("{")
    while buffer.peek() != "}":
        name = buffer.value()
        buffer.take(":")
        if name == key:
            yield from buffer.elements()
            return
        buffer.value()
        if buffer.peek() == ",":
            buffer.take(",")
    raise buffer.problem(f"it has no array {key!r}")
