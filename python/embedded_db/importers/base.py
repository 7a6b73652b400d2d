"""What every reader shares: the opened file, batches, reports."""

import gzip
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TextIO, cast

from ..errors import InvalidInput

__all__ = ["BATCH_SIZE", "Batch", "ImportProgress", "ImportReport", "Reader", "Source"]

BATCH_SIZE: Final = 500
"""Most messages in one batch, which is stored all or nothing."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one chat, in order.

    Attributes:
        chat_id: the chat they belong to.
        messages: dicts as `Chat.add_messages` takes them, each with an ``id``.
        chat_title: title of the chat, used when it is made.
        chat_topic: topic of the chat, used when it is made.
        namespace: the namespace they go to; None for the one of the handle.
    """

    chat_id: str
    messages: list[dict[str, Any]]
    chat_title: str | None = None
    chat_topic: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is.

    Attributes:
        messages: messages read so far.
        bytes_read: bytes of the file read so far.
        bytes_total: its size in bytes.
    """

    messages: int
    bytes_read: int
    bytes_total: int


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        messages: messages stored.
        chats: chats made.
        seconds: how long it took.
        skipped: messages that were there already.
        namespaces: the namespaces written to.
    """

    messages: int = 0
    chats: int = 0
    seconds: float = 0.0
    skipped: int = 0
    namespaces: list[str] = field(default_factory=list)


class Source:
    """A text file being read, compressed or not, which knows how far it is.

    Args:
        path: the file.

    Raises:
        InvalidInput: it does not exist, or cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self._raw = open(self.path, "rb")  # noqa: SIM115 - closed with the source
            self.size = os.fstat(self._raw.fileno()).st_size
            compressed = self._raw.peek(2)[:2] == b"\x1f\x8b"
        except OSError as error:
            raise InvalidInput(
                f"the file {self.path!r} cannot be read: {error.strerror}",
                hint="Check the path and the permissions",
                path=self.path,
            ) from error
        stream = gzip.GzipFile(fileobj=self._raw) if compressed else self._raw
        self.text: TextIO = io.TextIOWrapper(
            cast("io.BufferedReader", stream), encoding="utf-8-sig", newline="\n"
        )

    @property
    def name(self) -> str:
        """The name of the file without its directory and its endings."""
        name = os.path.basename(self.path)
        for ending in (".gz", ".jsonl", ".json", ".ndjson"):
            name = name.removesuffix(ending)
        return name or "chat"

    @property
    def position(self) -> int:
        """How many bytes of the file have been read."""
        return self._raw.tell()

    def problem(self, where: str, what: str, hint: str) -> InvalidInput:
        """Build the error for content that cannot be used.

        Args:
            where: the place in the file.
            what: what is wrong.
            hint: the remedy.
        """
        return InvalidInput(f"{self.path}, {where}: {what}", hint=hint, path=self.path)

    def close(self) -> None:
        """Close the file."""
        self.text.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Reader:
    """A format: how to tell it, and how to read it.

    Attributes:
        name: what ``--format`` calls it.
        describes: what it is, for people.
        recognises: tells from the first characters of a file whether it is of this format.
        read: reads a file batch by batch.
        own_namespaces: whether it decides itself which namespaces messages go to.
    """

    name: str
    describes: str
    recognises: Callable[[str], bool]
    read: Callable[[Source], Iterator[Batch]]
    own_namespaces: bool = False
