"""The formats by name, telling them apart, and importing a file."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import InvalidInput, nearest
from .apollo13 import APOLLO13
from .base import DateOrder, ImportOptions, ImportProgress, ImportReport, Reader
from .chatgpt import CHATGPT
from .jsonl import JSONL
from .locomo import LOCOMO
from .openai import OPENAI
from .slack import SLACK
from .source import Source
from .whatsapp import WHATSAPP
from .writer import Writer

if TYPE_CHECKING:
    from ..database import EmbeddedDB

__all__ = ["FORMATS", "check_file", "detect", "import_file", "reader_for"]

FORMATS: Final[dict[str, Reader]] = {
    reader.name: reader for reader in (JSONL, CHATGPT, OPENAI, SLACK, WHATSAPP, LOCOMO, APOLLO13)
}
"""The formats that can be read, by name."""


def detect(path: str | os.PathLike[str]) -> str:
    """Tell the format of a file, archive or directory by its content.

    Args:
        path: where it is.

    Returns:
        A name of `FORMATS`.

    Raises:
        InvalidInput: it cannot be read, or is of none of the formats; the message says of each
            why not.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("chat.jsonl").write_text('{"chat_id": "c", "content": "Hello"}')
        >>> detect("chat.jsonl")
        'jsonl'
    """
    with Source(path) as source:
        if not source.members and (source.is_directory or not source.head().strip()):
            raise InvalidInput(
                f"the {'directory' if source.is_directory else 'file'} {source.path!r} is empty",
                hint="Give a file with messages",
                path=source.path,
            )
        reasons: list[str] = []
        for reader in FORMATS.values():
            reason = reader.misfit(source)
            if reason is None:
                return reader.name
            reasons.append(f"{reader.name} ({reader.describes}): {reason}")
        begins = f"begins with {source.head()[:40]!r}"
        if source.members:
            begins = f"holds {', '.join(source.members[:5])}"
    raise InvalidInput(
        f"the format of {source.path!r} is not known; it {begins}. Tried " + "; ".join(reasons),
        hint="If it is one of these, name the format; its reader then says what is wrong",
        path=source.path,
    )


def reader_for(path: str | os.PathLike[str], format: str = "auto") -> Reader:
    """Give the reader of a file.

    Args:
        path: the file.
        format: a name of `FORMATS`, or ``"auto"``.

    Raises:
        InvalidInput: the format is not known, or cannot be told.

    Examples:
        >>> reader_for("chat.txt", "whatsapp").describes
        'WhatsApp text export, or its archive'
    """
    name = detect(path) if format == "auto" else format
    reader = FORMATS.get(name)
    if reader is None:
        known = ["auto", *FORMATS]
        raise InvalidInput(f"the format {name!r} is not known", hint=nearest(name, known))
    return reader


def check_file(
    path: str | os.PathLike[str],
    format: str = "auto",
    *,
    skip_bad: bool = False,
    date_order: DateOrder = "auto",
    time_zone: str = "UTC",
) -> Reader:
    """Try whether a file can be imported, before a database is opened for it.

    Args:
        path: the file.
        format: a name of `FORMATS`, or ``"auto"``.
        skip_bad: as in `import_file`.
        date_order: as in `import_file`.
        time_zone: as in `import_file`.

    Returns:
        The reader of the file.

    Raises:
        InvalidInput: the file or its format cannot be used, or its first messages cannot; what
            comes after the first batch is not looked at.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("chat.jsonl").write_text('{"chat_id": "c", "content": "Hello"}')
        >>> check_file("chat.jsonl").name
        'jsonl'
    """
    options = ImportOptions(skip_bad, date_order, time_zone)
    reader = reader_for(path, format)
    with Source(path, options) as source:
        next(reader.read(source), None)
    return reader


def import_file(
    db: "EmbeddedDB",
    path: str | os.PathLike[str],
    format: str = "auto",
    progress: Callable[[ImportProgress], None] | None = None,
    *,
    skip_bad: bool = False,
    date_order: DateOrder = "auto",
    time_zone: str = "UTC",
) -> ImportReport:
    """Store the messages of a file; those whose ids are there already are skipped.

    Every batch of up to 500 messages is durable when ``progress`` is called; an import that was
    broken off goes on when it is run again.

    Args:
        db: where to. LoCoMo conversations go to namespaces of their own.
        path: the file, also compressed with gzip or in a zip archive; for Slack also a directory.
        format: a name of `FORMATS`, or ``"auto"``.
        progress: called after every batch.
        skip_bad: leave out records that cannot be used; the report counts them and says why.
        date_order: ``"dmy"``, ``"mdy"`` or ``"ymd"``, where a format leaves the order of day and
            month open; ``"auto"`` finds it in the whole file.
        time_zone: IANA name of the zone of times that have none.

    Returns:
        What was done.

    Raises:
        InvalidInput: the file, its format or a part of it cannot be used; batches before that
            part are stored. ``path``, ``record`` and ``reason`` say where and what.
        DbError: as `Chat.add_messages`.

    Examples:
        >>> from pathlib import Path
        >>> line = '{"chat_id": "c", "content": "Hello", "sender": "Ann"}'
        >>> _ = Path("chat.jsonl").write_text(line)
        >>> import_file(db, "chat.jsonl").messages
        1
        >>> [(message.sender, message.content) for message in db.get_node("c").messages()]
        [('Ann', 'Hello')]
    """
    begun = time.perf_counter()
    options = ImportOptions(skip_bad, date_order, time_zone)
    reader = reader_for(path, format)
    report = ImportReport()
    with Source(path, options) as source:
        writer = Writer(db, report, source)
        for batch in reader.read(source):
            writer.store(batch)
            if progress is not None:
                read = report.messages + report.skipped
                progress(ImportProgress(read, source.position, source.size))
        report.bad, report.empty, report.problems = source.bad, source.empty, source.problems
    report.seconds = time.perf_counter() - begun
    return report
