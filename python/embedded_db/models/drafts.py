"""Messages on their way into the database."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from ..errors import InvalidInput, shown
from .base import Property
from .content import Content, stored_content
from .message import Message

__all__ = ["message_dict", "stored_message", "stored_messages", "with_vector_space"]

# The content has forms of its own.
DECLARED: Final = [
    declared
    for declared in vars(Message).values()
    if isinstance(declared, Property) and declared.settable and declared.name != "content"
]


def with_vector_space(draft: object, space: str | None) -> dict[str, Any]:
    """Give the vector in a node's dict a space, if it names none and there is a default one."""
    if space is not None and isinstance(draft, Mapping) and draft.get("embedding") is not None:
        return {"embedding_space": space, **draft}
    return cast("dict[str, Any]", draft)


def stored_messages(messages: Sequence[Mapping[str, Any]], chat_id: str) -> list[dict[str, Any]]:
    """Check messages and give them in the form native code takes.

    Args:
        messages: what each message has.
        chat_id: the chat they are added to.

    Raises:
        InvalidInput: they are no sequence, or one lacks its content or has something of a wrong
            kind; its place in the sequence is named.
    """
    if not isinstance(messages, Iterable):
        raise InvalidInput(f"the messages are {shown(messages)}", hint="Give a list of dicts")
    return [stored_message(message, at, chat_id) for at, message in enumerate(messages)]


def stored_message(message: object, at: int, chat_id: str) -> dict[str, Any]:
    """Check one message; see `stored_messages`.

    Args:
        message: what it has.
        at: its number, for errors.
        chat_id: the chat it is added to.

    Raises:
        InvalidInput: as there.
    """
    if not isinstance(message, dict):
        raise InvalidInput(
            f"message {at} is {shown(message)}", hint="Give a dict with a content, which is a text"
        )
    for declared in DECLARED:
        value = message.get(declared.name)
        if value is not None:
            declared.check(value, f"{declared.name} of message {at}")
    if not isinstance(message.get("id"), str | None):
        raise InvalidInput(f"id of message {at} is {shown(message['id'])}", hint="Give a text")
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
