"""LoCoMo: very long conversations of two people (Maharana et al., 2024, arXiv:2402.17753).

Each conversation goes to a namespace of its own, ``locomo-<sample_id>``, for turn ids repeat;
each session is a chat, each turn a message whose id is the turn's (``D1:3``). The caption of a
shared photo is part of the text.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..errors import InvalidInput
from .base import Batch, Reader, batches
from .json_stream import array_elements, first_keys
from .source import Document, Source

__all__ = ["LOCOMO", "namespace_of"]

SESSION: Final = re.compile(r"session_(\d+)")


def namespace_of(sample_id: str) -> str:
    """Give the namespace of a conversation."""
    return f"locomo-{sample_id}"


def misfit(source: Source) -> str | None:
    """Tell by the array of objects with questions or conversations."""
    if source.members:
        return "it holds several files"
    keys = first_keys(source.head(), "[{")
    if keys is None:
        return "it does not begin with an array of objects"
    if not {"qa", "conversation"} & set(keys):
        return "its first object has neither qa nor conversation"
    return None


def read(source: Source) -> Iterator[Batch]:
    """Read session after session of conversation after conversation.

    Raises:
        InvalidInput: a conversation lacks what it needs; the message names it.
    """
    with source.open() as document:
        for number, sample in enumerate(array_elements(document), 1):
            conversation = sample.get("conversation") if isinstance(sample, dict) else None
            if not isinstance(conversation, dict) or not isinstance(sample.get("sample_id"), str):
                error = document.problem(
                    f"conversation {number}",
                    "it has no sample_id or no conversation",
                    "Give the form of locomo10.json",
                )
                source.refuse(error)
                continue
            yield from _sessions(document, sample["sample_id"], conversation)


def _sessions(
    document: Document, sample_id: str, conversation: Mapping[str, Any]
) -> Iterator[Batch]:
    people = " and ".join(
        str(conversation[name]) for name in ("speaker_a", "speaker_b") if name in conversation
    )
    numbers = sorted(
        int(found.group(1)) for name in conversation if (found := SESSION.fullmatch(name))
    )
    for number in numbers:
        name = f"session_{number}"
        where = f"conversation {sample_id}, {name}"
        try:
            begun = _time(document, where, conversation.get(f"{name}_date_time"))
            turns = conversation[name]
            if not isinstance(turns, list):
                raise document.problem(
                    where, f"it is {turns!r:.60}", "A session is a list of turns"
                )
        except InvalidInput as error:
            document.source.refuse(error)
            continue
        yield from batches(
            _messages(document, where, turns, begun),
            name,
            f"{people}, session {number}" if people else f"Session {number}",
            namespace=namespace_of(sample_id),
        )


def _messages(
    document: Document, where: str, turns: list[object], begun: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    for second, turn in enumerate(turns):
        place = f"{where}, turn {second + 1}"
        try:
            message = _message(document, place, turn, begun + timedelta(seconds=second))
        except InvalidInput as error:
            document.source.refuse(error)
        else:
            yield place, message


def _time(document: Document, where: str, text: object) -> datetime:
    try:
        return datetime.strptime(str(text), "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    except ValueError as error:
        raise document.problem(
            where, f"its time is {text!r}", "Write it as '1:56 pm on 8 May, 2023'"
        ) from error


def _message(document: Document, where: str, turn: object, timestamp: datetime) -> dict[str, Any]:
    if not isinstance(turn, dict) or not all(
        isinstance(turn.get(name), str) for name in ("dia_id", "speaker", "text")
    ):
        raise document.problem(
            where, f"a turn is {turn!r:.60}", "A turn has dia_id, speaker and text"
        )
    caption = turn.get("blip_caption")
    photo = f" [shares a photo: {caption}]" if caption else ""
    return {
        "id": turn["dia_id"],
        "content": turn["text"] + photo,
        "sender": turn["speaker"],
        "timestamp": timestamp,
    }


LOCOMO: Final = Reader("locomo", "LoCoMo conversations (JSON)", misfit, read, own_namespaces=True)
