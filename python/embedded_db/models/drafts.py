"""Messages on their way into the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ..errors import InvalidInput, shown
from .content import Content, stored_content

__all__ = ["message_dict", "stored_messages"]

MESSAGE_KINDS: Final = (
    ("id", str, "a text"),
    ("sender", str, "a text"),
    ("role", str, "a text"),
    ("timestamp", datetime, "a datetime with a time zone"),
    ("metadata", dict, "a dict"),
    ("name", str, "a text"),
    ("tool_call_id", str, "a text"),
    ("tool_calls", list, "a list of dicts"),
)


def stored_messages(messages: Sequence[Mapping[str, Any]], chat_id: str) -> list[dict[str, Any]]:
    """Check messages and give them in the form native code takes.

    Args:
        messages: what each message has.
        chat_id: the chat they are added to.

    Raises:
        InvalidInput: one lacks its content, or has something of a wrong kind; its place in the
            sequence is named.
    """
    return [_stored(message, at, chat_id) for at, message in enumerate(messages)]


def _stored(message: object, at: int, chat_id: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise InvalidInput(
            f"message {at} is {shown(message)}", hint="Give a dict with a content, which is a text"
        )
    for name, kind, wanted in MESSAGE_KINDS:
        value = message.get(name)
        if value is not None and not isinstance(value, kind):
            raise InvalidInput(
                f"{name} of message {at} is {shown(value)}", hint=f"It has to be {wanted}"
            )
    if message.get("chat_id", chat_id) != chat_id:
        raise InvalidInput(
            f"chat_id of message {at} is {shown(message['chat_id'])}, but it is added to "
            f"{chat_id!r}",
            hint="Leave chat_id out, or add it to that chat",
        )
    if isinstance(message.get("content"), str) and not message.get("name"):
        return message
    stored = {**message, **stored_content(message, f"message {at}")}
    if message.get("name") and not message.get("sender"):
        stored["sender"] = message["name"]
    return stored


def message_dict(
    *,
    content: Content,
    sender: str | None,
    role: str,
    properties: Mapping[str, Any],
    **rest: Any,
) -> dict[str, Any]:
    """Put the arguments of a message into one dict; what is None is left out."""
    kept = {name: value for name, value in rest.items() if value is not None}
    if sender is not None:
        kept["sender"] = sender
    metadata = kept.get("metadata")
    if isinstance(metadata, Mapping) and not isinstance(metadata, dict):
        kept["metadata"] = dict(metadata)
    return {**properties, **kept, "content": content, "role": role}
