"""The formats by name, telling them apart, and storing what they read."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import InvalidInput, nearest
from ..models import Chat
from .apollo13 import APOLLO13
from .base import Batch, ImportProgress, ImportReport, Reader, Source
from .jsonl import JSONL
from .locomo import LOCOMO

if TYPE_CHECKING:
    from ..database import EmbeddedDB

__all__ = ["FORMATS", "check_file", "detect", "import_file", "reader_for"]

HEAD: Final = 1 << 16

FORMATS: Final[dict[str, Reader]] = {reader.name: reader for reader in (JSONL, LOCOMO, APOLLO13)}
"""The formats that can be read, by name."""


def detect(path: str | os.PathLike[str]) -> str:
    """Tell the format of a file by its first characters.

    Args:
        path: the file.

    Returns:
        A name of `FORMATS`.

    Raises:
        InvalidInput: the file cannot be read, or is of none of the formats.
    """
    with Source(path) as source:
        try:
            head = source.text.read(HEAD)
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise InvalidInput(
                f"{source.path!r} is not text: {error}",
                hint="Give UTF-8 text, or text compressed with gzip",
                path=source.path,
            ) from error
    if not head.strip():
        raise InvalidInput(
            f"the file {source.path!r} is empty", hint="Give a file with messages", path=source.path
        )
    for reader in FORMATS.values():
        if reader.recognises(head):
            return reader.name
    known = ", ".join(f"{reader.name} ({reader.describes})" for reader in FORMATS.values())
    raise InvalidInput(
        f"the format of {source.path!r} is not known; it begins with {head[:40]!r}",
        hint=f"Name the format, if it is one of: {known}",
        path=source.path,
    )


def reader_for(path: str | os.PathLike[str], format: str = "auto") -> Reader:
    """Give the reader of a file.

    Args:
        path: the file.
        format: a name of `FORMATS`, or ``"auto"``.

    Raises:
        InvalidInput: the format is not known, or cannot be told.
    """
    name = detect(path) if format == "auto" else format
    reader = FORMATS.get(name)
    if reader is None:
        known = ["auto", *FORMATS]
        raise InvalidInput(f"the format {name!r} is not known", hint=nearest(name, known))
    return reader


def check_file(path: str | os.PathLike[str], format: str = "auto") -> Reader:
    """Try whether a file can be imported, before a database is opened for it.

    Args:
        path: the file.
        format: a name of `FORMATS`, or ``"auto"``.

    Returns:
        The reader of the file.

    Raises:
        InvalidInput: the file or its format cannot be used, or its first messages cannot; what
            comes after the first batch is not looked at.
    """
    reader = reader_for(path, format)
    with Source(path) as source:
        next(reader.read(source), None)
    return reader


def import_file(
    db: "EmbeddedDB",
    path: str | os.PathLike[str],
    format: str = "auto",
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Store the messages of a file; those whose ids are there already are skipped.

    Every batch of up to 500 messages is durable when ``progress`` is called; an import that was
    broken off goes on when it is run again.

    Args:
        db: where to. LoCoMo conversations go to namespaces of their own.
        path: the file, also compressed with gzip.
        format: a name of `FORMATS`, or ``"auto"``.
        progress: called after every batch.

    Returns:
        What was done.

    Raises:
        InvalidInput: the file, its format or a part of it cannot be used; batches before that
            part are stored.
        DbError: as `Chat.add_messages`.
    """
    begun = time.perf_counter()
    reader = reader_for(path, format)
    report = ImportReport()
    writer = _Writer(db, report)
    with Source(path) as source:
        for batch in reader.read(source):
            writer.store(batch)
            if progress is not None:
                read = report.messages + report.skipped
                progress(ImportProgress(read, source.position, source.size))
    report.seconds = time.perf_counter() - begun
    return report


class _Writer:
    """Stores batches, making chats where they are missing."""

    def __init__(self, db: "EmbeddedDB", report: ImportReport) -> None:
        self._db = db
        self._report = report
        self._handles: dict[str, EmbeddedDB] = {}
        self._chat: tuple[str, Chat] | None = None

    def store(self, batch: Batch) -> None:
        db = self._handle(batch.namespace or self._db.namespace_name)
        known = db.get_many([message["id"] for message in batch.messages])
        unique = {
            message["id"]: message
            for message, stored in zip(batch.messages, known, strict=True)
            if stored is None
        }
        chat = self._chat_of(db, batch)
        if unique:
            chat.add_messages(list(unique.values()))
        self._report.messages += len(unique)
        self._report.skipped += len(batch.messages) - len(unique)

    def _handle(self, namespace: str) -> "EmbeddedDB":
        if namespace not in self._handles:
            own = namespace == self._db.namespace_name
            self._handles[namespace] = self._db if own else self._db.namespace(namespace)
            self._report.namespaces.append(namespace)
        return self._handles[namespace]

    def _chat_of(self, db: "EmbeddedDB", batch: Batch) -> Chat:
        if self._chat is not None and self._chat[0] == db.namespace_name:
            chat = self._chat[1]
            if chat.id == batch.chat_id:
                return chat
        stored = db.get_node(batch.chat_id)
        if stored is None:
            stored = db.create_chat(batch.chat_title, batch.chat_topic, id=batch.chat_id)
            self._report.chats += 1
        if not isinstance(stored, Chat):
            raise InvalidInput(
                f"the chat {batch.chat_id!r} cannot be made: a node of another kind has this id",
                hint="Import into another namespace, or rename the chat",
            )
        self._chat = db.namespace_name, stored
        return stored
