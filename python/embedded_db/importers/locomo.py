"""LoCoMo: very long conversations of two people (Maharana et al., 2024, arXiv:2402.17753).

Each conversation goes to a namespace of its own, ``locomo-<sample_id>``, for turn ids repeat;
each session is a chat, each turn a message whose id is the turn's (``D1:3``). The caption of a
shared photo is part of the text.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .base import BATCH_SIZE, Batch, Reader, Source
from .json_stream import array_elements

__all__ = ["LOCOMO", "namespace_of"]

SESSION: Final = re.compile(r"session_(\d+)")


def namespace_of(sample_id: str) -> str:
    """Give the namespace of a conversation."""
    return f"locomo-{sample_id}"


def recognises(head: str) -> bool:
    """Tell by the array of objects with questions or conversations."""
    return head.lstrip().startswith("[") and ('"qa"' in head or '"conversation"' in head)


def read(source: Source) -> Iterator[Batch]:
    """Read session after session of conversation after conversation.

    Raises:
        InvalidInput: a conversation lacks what it needs; the message names it.
    """
    for number, sample in enumerate(array_elements(source), 1):
        where = f"conversation {number}"
        conversation = sample.get("conversation") if isinstance(sample, dict) else None
        if not isinstance(conversation, dict) or not isinstance(sample.get("sample_id"), str):
            raise source.problem(
                where, "it has no sample_id or no conversation", "Give the form of locomo10.json"
            )
        yield from _sessions(source, sample["sample_id"], conversation)


def _sessions(source: Source, sample_id: str, conversation: Mapping[str, Any]) -> Iterator[Batch]:
    people = " and ".join(
        str(conversation[name]) for name in ("speaker_a", "speaker_b") if name in conversation
    )
    numbers = sorted(
        int(found.group(1)) for name in conversation if (found := SESSION.fullmatch(name))
    )
    for number in numbers:
        name = f"session_{number}"
        where = f"conversation {sample_id}, {name}"
        begun = _time(source, where, conversation.get(f"{name}_date_time"))
        turns = conversation[name]
        if not isinstance(turns, list):
            raise source.problem(where, f"it is {turns!r:.60}", "A session is a list of turns")
        messages = [
            _message(source, where, turn, begun + timedelta(seconds=second))
            for second, turn in enumerate(turns)
        ]
        for first in range(0, len(messages), BATCH_SIZE):
            yield Batch(
                name,
                messages[first : first + BATCH_SIZE],
                chat_title=f"{people}, session {number}" if people else f"Session {number}",
                namespace=namespace_of(sample_id),
            )


def _time(source: Source, where: str, text: object) -> datetime:
    try:
        return datetime.strptime(str(text), "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    except ValueError as error:
        raise source.problem(
            where, f"its time is {text!r}", "Write it as '1:56 pm on 8 May, 2023'"
        ) from error


def _message(source: Source, where: str, turn: object, timestamp: datetime) -> dict[str, Any]:
    if not isinstance(turn, dict) or not all(
        isinstance(turn.get(name), str) for name in ("dia_id", "speaker", "text")
    ):
        raise source.problem(
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


LOCOMO: Final = Reader(
    "locomo", "LoCoMo conversations (JSON)", recognises, read, own_namespaces=True
)
