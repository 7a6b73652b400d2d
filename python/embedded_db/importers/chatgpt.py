"""The export of ChatGPT: ``conversations.json``, by itself or in the archive it comes in.

A conversation is a tree of messages: an answer that was asked for again is a second branch. The
branch that ends at ``current_node`` is read, as it was last shown. Messages without any text are
counted as empty. Ids are made of those of the conversation and the message, so that reading a
later export adds what is new.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from ..errors import InvalidInput
from .base import Batch, Reader, batches, from_seconds, made_id
from .json_stream import array_elements, first_keys
from .source import Document, Source

__all__ = ["CHATGPT"]

FILE: Final = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
KEYS: Final = {"mapping", "current_node", "conversation_id", "conversation_template_id"}
KEPT: Final = {"model_slug": "model", "is_visually_hidden_from_conversation": "hidden"}
"""What is kept of a message's own metadata, and under which name."""

Node = Mapping[str, Any]


def misfit(source: Source) -> str | None:
    """Tell by the name in an archive, by the fields of the first conversation in a file."""
    if source.members:
        names = _members(source)
        return None if names else "it has no conversations.json"
    keys = first_keys(source.head(), "[{")
    if keys is None:
        return "it does not begin with an array of objects"
    if not KEYS & set(keys):
        return "its first object has no mapping"
    return None


def _members(source: Source) -> list[str]:
    return [name for name in source.members if FILE.fullmatch(name)]


def read(source: Source) -> Iterator[Batch]:
    """Read conversation after conversation, holding one at a time.

    Raises:
        InvalidInput: a conversation or message lacks what it needs; the message names it.
    """
    members: list[str | None] = [*_members(source)] if source.members else [None]
    if not members:
        raise source.problem(
            "the archive", "it has no conversations.json", "Give the archive as it was downloaded"
        )
    for member in members:
        with source.open(member) as document:
            for number, conversation in enumerate(array_elements(document), 1):
                yield from _conversation(document, f"conversation {number}", conversation)


def _conversation(document: Document, where: str, found: object) -> Iterator[Batch]:
    try:
        conversation, id, branch = _branch(document, where, found)
    except InvalidInput as error:
        document.source.refuse(error)
        return
    title = conversation.get("title")
    yield from batches(
        _messages(document, where, conversation, id, branch),
        made_id("chatgpt", id),
        title if isinstance(title, str) and title else None,
    )


def _branch(
    document: Document, where: str, found: object
) -> tuple[Mapping[str, Any], str, list[tuple[str, Node]]]:
    """Give the conversation, its id, and the nodes from the root to the current one."""

    def problem(what: str) -> InvalidInput:
        return document.problem(where, what, "Give conversations.json as it was downloaded")

    if not isinstance(found, dict):
        raise problem(f"it is {found!r:.60}, not an object")
    mapping = found.get("mapping")
    if not isinstance(mapping, dict):
        raise problem(f"its mapping is {mapping!r:.60}")
    id = found.get("conversation_id") or found.get("id")
    if not isinstance(id, str):
        raise problem(f"its conversation_id is {id!r:.60}")
    current = found.get("current_node") or _newest_leaf(mapping)
    branch: list[tuple[str, Node]] = []
    seen: set[str] = set()
    while current is not None:
        node = mapping.get(current) if isinstance(current, str) else None
        if not isinstance(node, dict):
            raise problem(f"its branch leads to {current!r:.60}, which is no node of its mapping")
        if current in seen:
            raise problem(f"its branch comes back to {current!r:.60}")
        seen.add(current)
        branch.append((current, node))
        current = node.get("parent")
    branch.reverse()
    return found, id, branch


def _newest_leaf(mapping: Mapping[str, Any]) -> str | None:
    """Give the message that was written last, for files without a current node."""
    newest: tuple[float, str] | None = None
    for id, node in mapping.items():
        message = node.get("message") if isinstance(node, dict) else None
        written = message.get("create_time") if isinstance(message, dict) else None
        if isinstance(written, int | float) and (newest is None or written >= newest[0]):
            newest = written, id
    return None if newest is None else newest[1]


def _messages(
    document: Document,
    where: str,
    conversation: Mapping[str, Any],
    id: str,
    branch: list[tuple[str, Node]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    # A message without a time has that of the one before it.
    time = _seconds(conversation.get("create_time"))
    for node_id, node in branch:
        place = f"{where}, message {node_id}"
        try:
            message, time = _message(document, place, node.get("message"), time)
        except InvalidInput as error:
            document.source.refuse(error)
            continue
        if message is not None:
            yield place, {"id": made_id("chatgpt", id, node_id), **message}


def _message(
    document: Document, place: str, message: object, time: datetime | None
) -> tuple[dict[str, Any] | None, datetime | None]:
    def problem(what: str) -> InvalidInput:
        return document.problem(place, what, "Give conversations.json as it was downloaded")

    if message is None:
        return None, time  # the root has none
    if not isinstance(message, dict):
        raise problem(f"it is {message!r:.60}, not an object")
    author = message.get("author")
    role = author.get("role") if isinstance(author, dict) else None
    if not isinstance(author, dict) or not isinstance(role, str) or not role:
        raise problem(f"its author is {author!r:.60}")
    content = message.get("content")
    if not isinstance(content, dict):
        raise problem(f"its content is {content!r:.60}")
    written = message.get("create_time")
    if written is not None:
        time = _seconds(written)
        if time is None:
            raise problem(f"its create_time is {written!r:.60}")
    text = _text(content).strip()
    if not text:
        document.source.empty += 1
        return None, time
    facts = _facts(message, content)
    name = author.get("name")
    result = {
        "content": text,
        "role": role,
        "sender": name if isinstance(name, str) and name else role,
        **({} if time is None else {"timestamp": time}),
        **({"metadata": facts} if facts else {}),
    }
    return result, time


def _seconds(value: object) -> datetime | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return from_seconds(value)
    except ValueError:
        return None


def _facts(message: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    own = message.get("metadata")
    own = own if isinstance(own, dict) else {}
    facts = {name: own[key] for key, name in KEPT.items() if own.get(key)}
    kind = content.get("content_type")
    if isinstance(kind, str) and kind != "text":
        facts["content_type"] = kind
    language = content.get("language")
    if isinstance(language, str) and language not in ("", "unknown"):
        facts["language"] = language
    recipient = message.get("recipient")
    if isinstance(recipient, str) and recipient != "all":
        facts["recipient"] = recipient  # a call of this tool
    attachments = own.get("attachments")
    if isinstance(attachments, list):
        names = [file.get("name") for file in attachments if isinstance(file, dict)]
        facts["attachments"] = [name for name in names if isinstance(name, str)]
    return facts


def _text(content: Mapping[str, Any]) -> str:
    """Give what there is to read in a message's content, whatever its type."""
    parts = content.get("parts")
    if isinstance(parts, list):
        return "\n".join(filter(None, map(_part, parts)))
    thoughts = content.get("thoughts")
    if isinstance(thoughts, list):
        found = (_joined(each, ("summary", "content")) for each in thoughts)
        return "\n".join(filter(None, found))
    # Code and results of tools, quotes of pages, what a user has told about themselves.
    return _joined(
        content,
        ("title", "url", "text", "result", "content", "user_profile", "user_instructions"),
    )


def _joined(of: object, names: tuple[str, ...]) -> str:
    if not isinstance(of, Mapping):
        return ""
    values = (of.get(name) for name in names)
    return "\n".join(value for value in values if isinstance(value, str) and value)


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text = part.get("text")  # what was said, of a recording
    if isinstance(text, str):
        return text
    kind = str(part.get("content_type", "attachment"))
    own = part.get("metadata")
    dalle = own.get("dalle") if isinstance(own, dict) else None
    prompt = dalle.get("prompt") if isinstance(dalle, dict) else None
    if isinstance(prompt, str) and prompt:
        return f"[image: {prompt}]"
    return f"[{kind.removesuffix('_asset_pointer').replace('_', ' ')}]"


CHATGPT: Final = Reader("chatgpt", "ChatGPT conversations.json, or its archive", misfit, read)
