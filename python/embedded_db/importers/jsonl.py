"""JSON Lines: one message a line.

Fields: ``content`` (needed), ``id``, ``chat_id``, ``chat_title``, ``chat_topic``, ``sender``,
``role``, ``timestamp`` (ISO 8601 with a time zone, or seconds since 1970), ``metadata``. Without
a chat id the name of the file is the chat. Without an id one is made of the line's place and
content, so that reading the same file again finds the same messages.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from ..errors import InvalidInput, nearest, shown
from .base import BATCH_SIZE, BATCH_TEXT, Batch, Reader, from_seconds, hashed_id
from .source import Document, Source

__all__ = ["JSONL", "moment"]

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


def misfit(source: Source) -> str | None:
    """Tell by the first line: an object, and not one that holds a whole transcript."""
    if source.members:
        return "it holds several files"
    line = source.head().lstrip().split("\n", 1)[0]
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return "its first line is no JSON value"
    if not isinstance(first, dict):
        return "its first line is no JSON object"
    if "transcript" in first and "content" not in first:
        return "its first line is an object with a transcript"
    if isinstance(first.get("messages"), list) and "content" not in first:
        return "its first line is an object with a list of messages"
    return None


def read(source: Source) -> Iterator[Batch]:
    """Read batches of consecutive messages of one chat.

    Raises:
        InvalidInput: a line cannot be used; the message has its number.
    """
    batch: Batch | None = None
    size = 0
    with source.open() as document:
        for number, record in _records(document):
            chat_id = record.pop("chat_id", None) or source.name
            title, topic = record.pop("chat_title", None), record.pop("chat_topic", None)
            full = batch and (len(batch.messages) >= BATCH_SIZE or size >= BATCH_TEXT)
            if batch and (full or chat_id != batch.chat_id):
                yield batch
                batch, size = None, 0
            batch = batch or Batch(chat_id, [], title, topic)
            if "id" not in record:
                record["id"] = hashed_id("jsonl", chat_id, str(number), *_facts(record))
            batch.messages.append(record)
            size += len(record["content"])
            batch.places.append(f"line {number}")
        if batch is not None:
            yield batch


def _records(document: Document) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in document.lines():
        if not line.strip():
            continue
        try:
            record = _record(document, number, line)
        except InvalidInput as error:
            document.source.refuse(error)
        else:
            yield number, record


def _record(document: Document, number: int, line: str) -> dict[str, Any]:
    def problem(what: str, hint: str) -> InvalidInput:
        return document.problem(f"line {number}", what, hint)

    try:
        record = json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise problem(f"it is not JSON: {error}", "Mend or remove the line") from error
    if not isinstance(record, dict):
        raise problem(f"it is {line.strip()[:60]!r}, not an object", "Give one object a line")
    for name in record:
        if name not in FIELDS:
            raise problem(f"it has a field {shown(name)}", nearest(name, FIELDS))
    for name in FIELDS:
        if record.get(name) is None:
            record.pop(name, None)
    if "content" not in record:
        raise problem("it has no content", "Every line needs a content")
    for name, value in record.items():
        kind: type = dict if name == "metadata" else str
        if name != "timestamp" and not isinstance(value, kind):
            raise problem(
                f"{name} is {shown(value)}",
                f"It has to be {'an object' if kind is dict else 'a text'}",
            )
    if "timestamp" in record:
        record["timestamp"] = moment(record["timestamp"], problem)
    return record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object whose names each stand once: which of two values is meant, nobody can say."""
    made = dict(pairs)
    if len(made) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {shown(twice)} stands twice in one object")
    return made


def moment(value: object, problem: Callable[[str, str], InvalidInput]) -> datetime:
    """Take a time: ISO 8601 with a time zone, or seconds since 1970.

    Args:
        value: what a record says.
        problem: makes the error of what is wrong and the remedy.

    Raises:
        InvalidInput: it is neither.
    """
    hint = "Give ISO 8601 with a time zone, such as 2026-01-31T12:00:00Z, or seconds since 1970"
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return from_seconds(value)
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            if time.tzinfo is None:
                raise problem(f"timestamp is {shown(value)}, which has no time zone", hint)
            return time
    except ValueError as error:
        raise problem(f"timestamp is {shown(value)}", hint) from error
    raise problem(f"timestamp is {shown(value)}", hint)


def _facts(record: Mapping[str, Any]) -> Iterator[str]:
    """Give what an id is made of, besides the chat and the line."""
    time = record.get("timestamp")
    yield "" if time is None else time.isoformat()
    for name in ("sender", "role", "content"):
        yield record.get(name, "")


JSONL: Final = Reader("jsonl", "JSON Lines, one message a line", misfit, read)
