"""The technical air-to-ground voice transcript of Apollo 13 (NASA, public domain) as JSON.

The whole mission is one chat; the id of an utterance is ``apollo13-<n>``, counted from 1, its
time that of launch plus the ground elapsed time.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .base import BATCH_SIZE, Batch, Reader, Source
from .json_stream import array_elements

__all__ = ["APOLLO13", "LAUNCH"]

LAUNCH: Final = datetime(1970, 4, 11, 19, 13, tzinfo=UTC)
ELAPSED: Final = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")
CHAT_ID: Final = "apollo13"


def recognises(head: str) -> bool:
    """Tell by the title in the metadata, or by the transcript's own field."""
    return head.lstrip().startswith("{") and ("Apollo 13" in head or '"ddhhmmss"' in head)


def read(source: Source) -> Iterator[Batch]:
    """Read batches of utterances.

    Raises:
        InvalidInput: an utterance lacks its text or its time; the message has its number.
    """
    messages: list[dict[str, Any]] = []
    for number, utterance in enumerate(array_elements(source, "transcript"), 1):
        messages.append(_message(source, number, utterance))
        if len(messages) == BATCH_SIZE:
            yield _batch(messages)
            messages = []
    if messages:
        yield _batch(messages)


def _batch(messages: list[dict[str, Any]]) -> Batch:
    return Batch(CHAT_ID, messages, chat_title="Apollo 13 air to ground", chat_topic="Apollo 13")


def _message(source: Source, number: int, utterance: object) -> dict[str, Any]:
    where = f"utterance {number}"
    if not isinstance(utterance, dict) or not isinstance(utterance.get("text"), str):
        raise source.problem(where, f"it is {utterance!r:.60}", "It needs a text")
    elapsed = ELAPSED.fullmatch(str(utterance.get("ddhhmmss")))
    if elapsed is None:
        raise source.problem(
            where, f"ddhhmmss is {utterance.get('ddhhmmss')!r}", "Write it as 03:08:09:40"
        )
    days, hours, minutes, seconds = map(int, elapsed.groups())
    return {
        "id": f"apollo13-{number}",
        "content": utterance["text"],
        "sender": str(utterance.get("speaker") or "unknown"),
        "timestamp": LAUNCH + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds),
    }


APOLLO13: Final = Reader("apollo13", "the Apollo 13 voice transcript (JSON)", recognises, read)
