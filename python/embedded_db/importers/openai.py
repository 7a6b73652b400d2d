"""OpenAI-style messages: a list of them, or an object that has one under ``messages``.

The list is one chat, named by the file. Of an object only ``messages`` is read; several objects one
after the other, one a line or not, are a chat each: ``name``, ``name-2``, ``name-3``… Messages are
taken as `Chat.add_messages` takes them, with parts, tool calls and further fields; ``timestamp`` is
ISO 8601 with a time zone, or seconds since 1970. Without an id one is made of the message's place,
role and content, so that reading the same file again finds the same messages.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from ..errors import InvalidInput
from ..models.drafts import stored_message
from .base import Batch, Reader, batches, hashed_id
from .json_stream import array_elements, first_keys, keyed_elements
from .jsonl import moment
from .source import Document, Source

__all__ = ["OPENAI"]

KEY: Final = "messages"
LIST: Final = re.compile(r'"messages"\s*:\s*\[')
MARKS: Final = {"role", "content"}
OF_ID: Final = ("role", "content", "parts", "name", "tool_calls", "tool_call_id", "refusal")


def misfit(source: Source) -> str | None:
    """Tell by the first message: an object with a role or a content."""
    if source.members:
        return "it holds several files"
    head = source.head()
    if head.lstrip()[:1] == "{":
        found = LIST.search(head)
        if found is None:
            return "its first object has no list of messages"
        head = head[found.end() - 1 :]
    keys = first_keys(head, "[{")
    if keys is None:
        return "it does not begin with an array of objects"
    if not MARKS & set(keys):
        return "its first message has neither role nor content"
    return None


def read(source: Source) -> Iterator[Batch]:
    """Read the messages of a chat, or of several.

    Raises:
        InvalidInput: a message cannot be used; it is named by its number in its chat.
    """
    is_object = source.head().lstrip()[:1] == "{"
    with source.open() as document:
        found = keyed_elements(document, KEY) if is_object else _one(array_elements(document))
        for number, messages in groupby(found, itemgetter(0)):
            chat_id = source.name if number == 1 else f"{source.name}-{number}"
            where = "" if number == 1 else f"object {number}, "
            elements = (element for _, element in messages)
            yield from batches(_messages(document, where, chat_id, elements), chat_id)


def _one(elements: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    return ((1, element) for element in elements)


def _messages(
    document: Document, where: str, chat_id: str, elements: Iterator[Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, element in enumerate(elements, 1):
        place = f"{where}message {number}"
        try:
            message = _message(document, place, number, chat_id, element)
        except InvalidInput as error:
            document.source.refuse(error)
        else:
            yield place, message


def _message(
    document: Document, place: str, number: int, chat_id: str, element: object
) -> dict[str, Any]:
    def problem(what: str, hint: str) -> InvalidInput:
        return document.problem(place, what, hint)

    if not isinstance(element, dict):
        raise problem(f"it is {element!r:.60}, not an object", "Give a list of messages")
    given = {name: value for name, value in element.items() if value is not None}
    if "timestamp" in given:
        given["timestamp"] = moment(given["timestamp"], problem)
    try:
        message = stored_message(given, number, chat_id)
    except InvalidInput as error:
        raise problem(error.message, error.hint or "Mend the message") from error
    return {"id": _id(chat_id, number, message), **message}


def _id(chat_id: str, number: int, message: Mapping[str, Any]) -> str:
    facts = [json.dumps(message.get(name), sort_keys=True) for name in OF_ID]
    return hashed_id("openai", chat_id, str(number), *facts)


OPENAI: Final = Reader("openai", "OpenAI-style messages (JSON)", misfit, read)
