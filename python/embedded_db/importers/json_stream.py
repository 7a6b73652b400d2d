"""Reading the elements of a long JSON array one by one."""

import json
from collections.abc import Iterator
from typing import Any, Final

from .source import READ_ERRORS, Document

__all__ = ["array_elements", "first_keys", "keyed_elements"]

CHUNK: Final = 1 << 16
SPACE: Final = " \t\r\n"
MOST_VALUE: Final = 1 << 28
"""Characters of one element at most: a value that never ends must not fill the memory."""


class _Buffer:
    """A window on a JSON text that grows until one value fits."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False

    def problem(self, what: str) -> Exception:
        position = self._document.source.position
        return self._document.problem(f"near byte {position}", what, "Give a whole JSON file")

    def _more(self) -> bool:
        if self._ended:
            return False
        held = len(self._text) - self._at
        if held > MOST_VALUE:
            raise self.problem(f"one value has more than {MOST_VALUE} characters")
        # As much again as is held, so that one long value is not decoded over and over.
        try:
            chunk = self._document.text.read(max(CHUNK, held))
        except READ_ERRORS as error:
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
            except ValueError as error:  # an integer of too many digits
                raise self.problem(f"it is not JSON: {error}") from error
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


def array_elements(document: Document, key: str | None = None) -> Iterator[Any]:
    """Iterate over the elements of an array, holding one at a time.

    Args:
        document: a text whose whole content is the array, or an object that has it under ``key``.
        key: the name in that object; None when the text is the array itself.

    Raises:
        InvalidInput: the text is not JSON, is cut off, or has no such array.
    """
    buffer = _Buffer(document)
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


def keyed_elements(document: Document, key: str) -> Iterator[tuple[int, Any]]:
    """Iterate over the elements of the arrays of several objects, holding one at a time.

    Args:
        document: a text of one object or more, one after the other; each has an array under
            ``key``.
        key: the name in these objects.

    Returns:
        Each element with the number of its object, from 1.

    Raises:
        InvalidInput: the text is not JSON, is cut off, or an object has no such array.
    """
    buffer, number = _Buffer(document), 0
    while number == 0 or buffer.peek():
        number += 1
        found = False
        buffer.take("{")
        while buffer.peek() != "}":
            name = buffer.value()
            buffer.take(":")
            if name == key:
                found = True
                for element in buffer.elements():
                    yield number, element
            else:
                buffer.value()
            if buffer.peek() != "}":
                buffer.take(",")
        buffer.take("}")
        if not found:
            raise buffer.problem(f"object {number} has no array {key!r}")


def first_keys(head: str, opening: str) -> list[str] | None:
    """Give the keys of the first object of a JSON text that may be cut off.

    Args:
        head: the first characters.
        opening: what the text begins with: ``"{"``, or ``"[{"`` for an array of objects.

    Returns:
        The keys up to where the text is cut; None when it begins otherwise.
    """
    at = 0
    for wanted in opening:
        at = _after_space(head, at)
        if head[at : at + 1] != wanted:
            return None
        at += 1
    keys: list[str] = []
    decoder = json.JSONDecoder()
    try:
        while (at := _after_space(head, at)) < len(head) and head[at] == '"':
            key, at = decoder.raw_decode(head, at)
            keys.append(key)
            at = _after_space(head, at)
            _, at = decoder.raw_decode(head, _after_space(head, at + 1))
            at = _after_space(head, at) + 1
    except (ValueError, RecursionError):
        pass  # cut off inside a value: the keys before it are what can be known
    return keys


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at
