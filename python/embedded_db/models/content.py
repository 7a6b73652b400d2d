"""OpenAI-style messages: content in parts, tool calls and their answers.

Stored is ``content``, the text (all text parts, one a line), which is embedded and searched;
``parts``, when the content was given as a list, or as None (an empty list); and ``tool_calls``,
``tool_call_id``, ``name``, ``refusal``, ``audio``, ``function_call`` as they were given.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ..errors import InvalidInput, shown
from ..fields import DELETE

__all__ = ["Content", "appended", "openai_message", "stored_content", "text_of", "texts_of"]

Content = str | Sequence[Mapping[str, Any]] | None
"""A text, OpenAI-style parts, or None beside tool calls or a refusal."""

ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
STANDS_FOR_CONTENT: Final = ("tool_calls", "function_call", "refusal", "audio")
KEPT: Final = ("tool_calls", "tool_call_id", *STANDS_FOR_CONTENT[1:])
TEXT_PARTS: Final = ("text", "refusal")
FORBIDDEN_IN_NAMES: Final = re.compile(r"[\s<|\\/>]+")
LONGEST_NAME: Final = 64


def text_of(parts: Iterable[Mapping[str, Any]]) -> str:
    """Give the text parts, one a line."""
    return "\n".join(part["text"] for part in parts if part.get("type") == "text")


def stored_content(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Give ``content`` and ``parts`` as they are stored.

    Args:
        message: what a message has, ``content`` among it.
        where: what to call the message in an error.

    Raises:
        InvalidInput: the content is of another kind, or there is none and nothing in its place.
    """
    content = message.get("content")
    if isinstance(content, str):
        return {"content": content}
    if content is None:
        if not any(message.get(name) for name in STANDS_FOR_CONTENT):
            raise InvalidInput(
                f"{where} is {shown(message)}, without a content",
                hint="Give a content: a text, or a list of parts; only a message with "
                "tool_calls or a refusal may have none",
            )
        return {"content": "", "parts": []}
    if isinstance(content, Mapping) and "content" in content:
        raise InvalidInput(
            f"content of {where} is {shown(content)}",
            hint="Give a whole message as add_message(**message), or many with add_messages",
        )
    if not isinstance(content, list | tuple) or not content:
        raise InvalidInput(
            f"content of {where} is {shown(content)}",
            hint="It has to be a text, or a list of parts that is not empty",
        )
    parts = [_checked_part(part, f"content[{at}] of {where}") for at, part in enumerate(content)]
    return {"content": text_of(parts), "parts": parts}


def _checked_part(part: object, where: str) -> dict[str, Any]:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InvalidInput(
            f"{where} is {shown(part)}",
            hint='It has to be a dict with a type, such as {"type": "text", "text": "Hello"}',
        )
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise InvalidInput(
            f"{where} is {shown(part)}", hint='A part of the type "text" needs a "text"'
        )
    return dict(part)


def appended(content: str, parts: list[dict[str, Any]] | None, text: str) -> dict[str, Any]:
    """Give the changes that put a text behind a message; a last text part grows."""
    if parts is None:
        return {"content": content + text}
    if not parts or text_of(parts) != content:
        return {"content": content + text, "parts": DELETE}
    last = parts[-1]
    if last.get("type") == "text":
        grown = [*parts[:-1], {**last, "text": last["text"] + text}]
    else:
        grown = [*parts, {"type": "text", "text": text}]
    return {"content": text_of(grown), "parts": grown}


def openai_message(get: Callable[[str], Any]) -> dict[str, Any]:
    """Give a stored message as OpenAI's chat interfaces take it.

    A role unknown there becomes ``user``; a sender becomes the ``name`` if there is no other,
    with ``_`` for what a name may not hold.

    Args:
        get: gives a property by name, or None.
    """
    role = get("role") or "user"
    message: dict[str, Any] = {"role": role if role in ROLES else "user"}
    content, parts = get("content") or "", get("parts")
    if parts is not None and text_of(parts) == content:
        message["content"] = parts or None
    else:  # the text was changed by itself: it is what counts
        message["content"] = content
    for name in KEPT:
        value = get(name)
        if value is not None:
            message[name] = value
    if message["role"] != "tool":
        name = get("name") or FORBIDDEN_IN_NAMES.sub("_", get("sender") or "")[:LONGEST_NAME]
        if name:
            message["name"] = name
    return message


def texts_of(message: Mapping[str, Any]) -> list[str]:
    """Give every text of an OpenAI-style message that a model reads as such.

    These are the content or its text parts, the name, a refusal, and the names and arguments of
    tool calls. Images and sounds are none.
    """
    content = message.get("content")
    texts: list[object] = [content] if isinstance(content, str) else []
    if isinstance(content, list):
        texts += [part.get(part["type"]) for part in content if part["type"] in TEXT_PARTS]
    calls = message.get("tool_calls")
    called_by = [
        call.get("function") or call.get("custom")
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, Mapping)
    ]
    for called in [*called_by, message.get("function_call")]:
        if isinstance(called, Mapping):
            texts += [called.get(name) for name in ("name", "arguments", "input")]
    texts += [message.get("name"), message.get("refusal")]
    return [text for text in texts if isinstance(text, str) and text]
