"""JSON Lines: one message a line.

Fields: ``content`` (needed), ``id``, ``chat_id``, ``chat_title``, ``chat_topic``, ``sender``,
``role``, ``timestamp`` (ISO 8601 with a time zone, or seconds since 1970), ``metadata``. Without
a chat id the name of the file is the chat. Without an id one is made of the line's place and
content, so that reading the same file again finds the same messages.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..errors import InvalidInput, nearest
from .base import BATCH_SIZE, Batch, Reader, Source

__all__ = ["JSONL"]

FIELDS: Final = (
    "chat_id",
    "chat_title",
    "chat_topic",
    "content",
    "id",
    "metadata",
    "role",
    "sender",
    "timestamp",
)


def recognises(head: str) -> bool:
    """Tell by the first line: an object, and not one that holds a whole transcript."""
    line = head.lstrip().split("\n", 1)[0]
    try:
        first = json.loads(line)
    except json.JSONDecodeError:
        return False
    return isinstance(first, dict) and ("content" in first or "transcript" not in first)


def read(source: Source) -> Iterator[Batch]:
    """Read batches of consecutive messages of one chat.

    Raises:
        InvalidInput: a line cannot be used; the message has its number.
    """
    chat: tuple[str, str | None, str | None] | None = None
    messages: list[dict[str, Any]] = []
    for number, line in _lines(source):
        record = _record(source, number, line)
        key = (
            record.pop("chat_id", None) or source.name,
            record.pop("chat_title", None),
            record.pop("chat_topic", None),
        )
        if messages and (key[0] != (chat or key)[0] or len(messages) >= BATCH_SIZE):
            yield _batch(chat or key, messages)
            messages, chat = [], None
        chat = chat or key
        record.setdefault("id", _made_id(number, key[0], record))
        messages.append(record)
    if chat is not None:
        yield _batch(chat, messages)


def _batch(chat: tuple[str, str | None, str | None], messages: list[dict[str, Any]]) -> Batch:
    return Batch(chat[0], messages, chat_title=chat[1], chat_topic=chat[2])


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(source.text, 1):
            if line.strip():
                yield number, line
    except (UnicodeDecodeError, EOFError, OSError) as error:
        raise source.problem(
            f"line {number + 1}", f"it cannot be decoded: {error}", "Give whole UTF-8 text"
        ) from error


def _record(source: Source, number: int, line: str) -> dict[str, Any]:
    def problem(what: str, hint: str) -> InvalidInput:
        return source.problem(f"line {number}", what, hint)

    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise problem(f"it is not JSON: {error}", "Mend or remove the line") from error
    if not isinstance(record, dict):
        raise problem(f"it is {line.strip()[:60]!r}, not an object", "Give one object a line")
    for name in record:
        if name not in FIELDS:
            raise problem(f"it has a field {name!r}", nearest(name, FIELDS))
    for name in FIELDS:
        if record.get(name) is None:
            record.pop(name, None)
    if "content" not in record:
        raise problem("it has no content", "Every line needs a content")
    for name, value in record.items():
        kind: type = dict if name == "metadata" else str
        if name != "timestamp" and not isinstance(value, kind):
            raise problem(
                f"{name} is {value!r:.60}",
                f"It has to be {'an object' if kind is dict else 'a text'}",
            )
    if "timestamp" in record:
        record["timestamp"] = _time(record["timestamp"], problem)
    return record


def _time(value: object, problem: Any) -> datetime:
    hint = "Give ISO 8601 with a time zone, such as 2026-01-31T12:00:00Z, or seconds since 1970"
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise problem(f"timestamp is {value!r}, which has no time zone", hint)
            return moment
    except (ValueError, OverflowError, OSError) as error:
        raise problem(f"timestamp is {value!r}", hint) from error
    raise problem(f"timestamp is {value!r}", hint)


def _made_id(number: int, chat_id: str, record: Mapping[str, Any]) -> str:
    facts = [number, chat_id, *(str(record.get(name)) for name in ("sender", "role", "timestamp"))]
    text = json.dumps([*facts, record["content"]])
    return f"message_{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


JSONL: Final = Reader("jsonl", "JSON Lines, one message a line", recognises, read)
