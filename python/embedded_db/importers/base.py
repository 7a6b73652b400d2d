"""What every reader shares: options, batches, reports, and what a reader is."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from ..arguments import choice_argument
from ..errors import InvalidInput

if TYPE_CHECKING:
    from .source import Source

__all__ = [
    "BATCH_SIZE",
    "BATCH_TEXT",
    "Batch",
    "DateOrder",
    "ImportOptions",
    "ImportProgress",
    "ImportReport",
    "Problem",
    "Reader",
    "batches",
    "from_seconds",
    "hashed_id",
    "made_id",
]

BATCH_SIZE: Final = 500
"""Most messages in one batch, which is stored all or nothing."""

BATCH_TEXT: Final = 1 << 24
"""Characters of the messages of one batch, beyond which it is stored."""

MOST_ID: Final = 200
"""Bytes of an id that is spelled out; a longer one is hashed. Ids have 255 at most."""

DateOrder = Literal["auto", "dmy", "mdy", "ymd"]
"""The order of day, month and year in dates like 3/4/24; ``"auto"`` finds it in the file."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is read.

    Attributes:
        skip_bad: leave out records that cannot be used, and count them, instead of stopping.
        date_order: order of day, month and year, where a format leaves it open (WhatsApp);
            ``"auto"`` finds it in the whole file.
        time_zone: IANA name of the zone of times that have none (WhatsApp).

    Raises:
        InvalidInput: the order or the zone does not exist.

    Examples:
        >>> options = ImportOptions(skip_bad=True, date_order="dmy", time_zone="Europe/Berlin")
        >>> str(options.zone())
        'Europe/Berlin'
    """

    skip_bad: bool = False
    date_order: DateOrder = "auto"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        choice_argument("date_order", self.date_order, get_args(DateOrder))
        self.zone()

    def zone(self) -> tzinfo:
        """Give the time zone itself.

        Raises:
            InvalidInput: there is no such zone.
        """
        if self.time_zone == "UTC":
            return UTC
        try:
            return ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError, TypeError) as error:
            raise InvalidInput(
                f"there is no time zone {self.time_zone!r}",
                hint="Give an IANA name such as 'Europe/Berlin'; where the system has none, "
                "install the package tzdata",
            ) from error


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one chat, in order.

    Attributes:
        chat_id: the chat they belong to.
        messages: dicts as `Chat.add_messages` takes them, each with an ``id``.
        chat_title: title of the chat, used when it is made.
        chat_topic: topic of the chat, used when it is made.
        namespace: the namespace they go to; None for the one of the handle.
        places: where in the file each message stands, for errors; as many as messages.

    Examples:
        >>> batch = Batch("chat_1", [{"id": "message_1", "content": "Hello"}], places=["line 1"])
        >>> batch.messages[0]["content"], batch.namespace
        ('Hello', None)
    """

    chat_id: str
    messages: list[dict[str, Any]]
    chat_title: str | None = None
    chat_topic: str | None = None
    namespace: str | None = None
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is.

    Attributes:
        messages: messages read so far.
        bytes_read: bytes of the file read so far.
        bytes_total: its size in bytes; of a directory, that of its files.

    Examples:
        >>> from pathlib import Path
        >>> from embedded_db.importers import import_file
        >>> _ = Path("chat.jsonl").write_text('{"chat_id": "c", "content": "Hello"}')
        >>> shares = []
        >>> def seen(progress):
        ...     shares.append(progress.bytes_read / progress.bytes_total)
        >>> _ = import_file(db, "chat.jsonl", progress=seen)
        >>> shares
        [1.0]
    """

    messages: int
    bytes_read: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that could not be used.

    Attributes:
        record: where it stands, such as ``line 3``.
        reason: what is wrong with it.

    Examples:
        >>> Problem("line 3", "it has no content")
        Problem(record='line 3', reason='it has no content')
    """

    record: str
    reason: str


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        messages: messages stored.
        chats: chats made.
        seconds: how long it took.
        skipped: messages that were there already.
        namespaces: the namespaces written to.
        empty: records without any text, such as deleted messages; nothing was stored for them.
        bad: records that were left out because they could not be used (``skip_bad``).
        problems: the first 100 of these, with the reasons.

    Examples:
        >>> from pathlib import Path
        >>> from embedded_db.importers import import_file
        >>> _ = Path("chat.jsonl").write_text('{"chat_id": "c", "content": "Hello"}')
        >>> report = import_file(db, "chat.jsonl")
        >>> report.messages, report.chats, report.skipped, report.bad, report.problems
        (1, 1, 0, 0, [])
        >>> import_file(db, "chat.jsonl").skipped
        1
    """

    messages: int = 0
    chats: int = 0
    seconds: float = 0.0
    skipped: int = 0
    namespaces: list[str] = field(default_factory=list)
    empty: int = 0
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """A format: how to tell it, and how to read it.

    Attributes:
        name: what ``--format`` calls it.
        describes: what it is, for people.
        misfit: tells why a source is not of this format; None when it is.
        read: reads a source batch by batch.
        own_namespaces: whether it decides itself which namespaces messages go to.

    Examples:
        >>> from pathlib import Path
        >>> from embedded_db.importers import Source, reader_for
        >>> _ = Path("chat.jsonl").write_text('{"chat_id": "c", "content": "Hello"}')
        >>> reader = reader_for("chat.jsonl")
        >>> with Source("chat.jsonl") as source:
        ...     [batch] = reader.read(source)
        >>> reader.name, batch.chat_id, batch.messages[0]["content"]
        ('jsonl', 'c', 'Hello')
    """

    name: str
    describes: str
    misfit: "Callable[[Source], str | None]"
    read: "Callable[[Source], Iterator[Batch]]"
    own_namespaces: bool = False


def batches(
    messages: Iterator[tuple[str, dict[str, Any]]],
    chat_id: str,
    title: str | None = None,
    topic: str | None = None,
    namespace: str | None = None,
) -> Iterator[Batch]:
    """Cut the messages of one chat into batches.

    Args:
        messages: where each message stands, and the message.
        chat_id: the chat.
        title: its title.
        topic: its topic.
        namespace: its namespace; None for the one of the handle.
    """
    batch = Batch(chat_id, [], title, topic, namespace)
    size = 0
    for place, message in messages:
        batch.messages.append(message)
        batch.places.append(place)
        size += len(message["content"])
        if len(batch.messages) == BATCH_SIZE or size >= BATCH_TEXT:
            yield batch
            batch, size = Batch(chat_id, [], title, topic, namespace), 0
    if batch.messages:
        yield batch


def made_id(prefix: str, *parts: str) -> str:
    """Make the id that the same record gets every time it is read.

    Args:
        prefix: what it begins with.
        parts: what tells the record from all others.
    """
    spelled = "-".join((prefix, *parts))
    # A lone surrogate has no UTF-8 form, and no id either.
    encoded = spelled.encode(errors="replace")
    fits = len(encoded) <= MOST_ID and encoded.decode() == spelled and "\0" not in spelled
    return spelled if fits else hashed_id(prefix, *parts)


def hashed_id(prefix: str, *parts: str) -> str:
    """Make such an id that shows nothing of the parts.

    Args:
        prefix: what it begins with.
        parts: what tells the record from all others.
    """
    facts = json.dumps(parts).encode()
    return f"{prefix}-{hashlib.blake2b(facts, digest_size=16).hexdigest()}"


def from_seconds(seconds: float) -> datetime:
    """Give the time that is so many seconds after 1970, in UTC.

    Raises:
        ValueError: there is no such time.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds} seconds are outside of the years 1 to 9999") from error
