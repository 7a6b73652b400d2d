"""The technical air-to-ground voice transcript of Apollo 13 (NASA, public domain) as JSON.

The whole mission is one chat; the id of an utterance is ``apollo13-<n>``, counted from 1, its
time that of launch plus the ground elapsed time.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..errors import InvalidInput
from .base import Batch, Reader, batches
from .json_stream import array_elements, first_keys
from .source import Document, Source

__all__ = ["APOLLO13", "LAUNCH"]

LAUNCH: Final = datetime(1970, 4, 11, 19, 13, tzinfo=UTC)
ELAPSED: Final = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")
CHAT_ID: Final = "apollo13"


def misfit(source: Source) -> str | None:
    """Tell by the title in the metadata, or by the transcript's own field."""
    if source.members:
        return "it holds several files"
    head = source.head()
    if first_keys(head, "{") is None:
        return "it does not begin with an object"
    if "Apollo 13" in head or '"ddhhmmss"' in head:
        return None
    return "its beginning names no Apollo 13 and no ddhhmmss"


def read(source: Source) -> Iterator[Batch]:
    """Read batches of utterances.

    Raises:
        InvalidInput: an utterance lacks its text or its time; the message has its number.
    """
    with source.open() as document:
        yield from batches(
            _messages(document), CHAT_ID, "Apollo 13 air to ground", topic="Apollo 13"
        )


def _messages(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, utterance in enumerate(array_elements(document, "transcript"), 1):
        try:
            message = _message(document, number, utterance)
        except InvalidInput as error:
            document.source.refuse(error)
        else:
            yield f"utterance {number}", message


def _message(document: Document, number: int, utterance: object) -> dict[str, Any]:
    where = f"utterance {number}"
    if not isinstance(utterance, dict) or not isinstance(utterance.get("text"), str):
        raise document.problem(where, f"it is {utterance!r:.60}", "It needs a text")
    elapsed = ELAPSED.fullmatch(str(utterance.get("ddhhmmss")))
    if elapsed is None:
        raise document.problem(
            where, f"ddhhmmss is {utterance.get('ddhhmmss')!r}", "Write it as 03:08:09:40"
        )
    days, hours, minutes, seconds = map(int, elapsed.groups())
    return {
        "id": f"apollo13-{number}",
        "content": utterance["text"],
        "sender": str(utterance.get("speaker") or "unknown"),
        "timestamp": LAUNCH + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds),
    }


APOLLO13: Final = Reader("apollo13", "the Apollo 13 voice transcript (JSON)", misfit, read)
