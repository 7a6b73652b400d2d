"""What is read: a file, compressed or not, a zip archive, or a directory."""

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TextIO, cast

from ..errors import InvalidInput
from .base import ImportOptions, Problem

__all__ = ["MOST_TEXT", "READ_ERRORS", "Document", "Source"]

READ_ERRORS: Final = (UnicodeDecodeError, EOFError, OSError, zlib.error, zipfile.BadZipFile)
"""What reading damaged, cut off or foreign bytes raises."""

HEAD: Final = 1 << 16
MOST_LINE: Final = 1 << 26
"""Bytes of one line at most, so that a file without line ends does not fill the memory."""
MOST_TEXT: Final = 1 << 26
"""Characters of one message at most; the database takes 64 MiB with all properties."""
MOST_PROBLEMS: Final = 100
GZIP: Final = b"\x1f\x8b"
ZIP: Final = b"PK\x03\x04"
ENDINGS: Final = (".gz", ".zip", ".jsonl", ".json", ".ndjson", ".txt")


class Readable:
    """What is read, with places in it that errors name."""

    path: str
    """The file or directory, as given."""
    _member: str | None = None

    def place(self, where: str) -> str:
        """Name a place in here, with the member if there are several.

        Args:
            where: the place, such as ``line 3``.

        Examples:
            >>> import zipfile
            >>> with zipfile.ZipFile("chats.zip", "w") as archive:
            ...     archive.writestr("a.txt", "one")
            ...     archive.writestr("b.txt", "two")
            >>> with Source("chats.zip") as source, source.open("b.txt") as document:
            ...     document.place("line 3")
            'b.txt, line 3'
        """
        return where if self._member is None else f"{self._member}, {where}"

    def problem(
        self,
        where: str,
        what: str,
        hint: str,
        kind: type[InvalidInput] = InvalidInput,
        **fields: Any,
    ) -> InvalidInput:
        """Build the error for content that cannot be used.

        Args:
            where: the place, such as ``line 3``.
            what: what is wrong.
            hint: the remedy.
            kind: its class.
            **fields: what errors of that class say besides.

        Returns:
            The error, with ``path``, ``record`` (the place) and ``reason``.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one, two")
            >>> with Source("chat.txt") as source:
            ...     error = source.problem("line 1", "it has no time", "Give a whole export")
            >>> error.record, error.reason, error.hint
            ('line 1', 'it has no time', 'Give a whole export')
            >>> with Source("chat.txt") as source, source.open() as document:
            ...     document.problem("line 1", "it has no time", "Give a whole export")
            InvalidInput('chat.txt, line 1: it has no time')
        """
        where = self.place(where)
        fields |= {"path": self.path, "record": where, "reason": what}
        return kind(f"{self.path}, {where}: {what}", hint=hint, **fields)


class Document(Readable):
    """One text of a source: the file itself, or a member of an archive or directory.

    Args:
        source: where it is from.
        member: its name in there; None for the file itself.
        stream: its bytes, not compressed.
        weight: bytes of the source that are read when it is read to its end.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("chat.txt").write_text("one, two")
        >>> with Source("chat.txt") as source, source.open() as document:
        ...     document.text.read()
        'one, two'
    """

    def __init__(self, source: "Source", member: str | None, stream: BinaryIO, weight: int) -> None:
        self.source = source
        self.path = source.path
        self._member = member
        self._stream = stream
        self._weight = weight
        self._text: TextIO | None = None

    @property
    def text(self) -> TextIO:
        """The text, decoded; a byte order mark is left out. Not to be mixed with `lines`."""
        if self._text is None:
            self._text = io.TextIOWrapper(
                cast("io.BufferedReader", self._stream), encoding="utf-8-sig", newline="\n"
            )
        return self._text

    def head(self, size: int) -> str:
        """Give the first characters, those that are not UTF-8 replaced; nothing is read after.

        Args:
            size: bytes at most.

        Raises:
            InvalidInput: it is cut off or damaged.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one, two")
            >>> with Source("chat.txt") as source, source.open() as document:
            ...     document.head(3)
            'one'
        """
        try:
            return self._stream.read(size).decode("utf-8-sig", errors="replace")
        except READ_ERRORS as error:
            raise self.problem(
                "its beginning", f"it cannot be decoded: {error}", "Give a whole file"
            ) from error

    def lines(self) -> Iterator[tuple[int, str]]:
        r"""Iterate over the lines with their numbers, from 1, without their ends.

        A line that is not UTF-8 is a bad record.

        Raises:
            InvalidInput: the file is cut off or damaged, a line is no text or too long.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one\ntwo")
            >>> with Source("chat.txt") as source, source.open() as document:
            ...     list(document.lines())
            [(1, 'one'), (2, 'two')]
        """
        number = 0
        while True:
            number += 1
            where = f"line {number}"
            try:
                line = self._stream.readline(MOST_LINE)
            except READ_ERRORS as error:
                raise self.problem(
                    where, f"it cannot be decoded: {error}", "Give a whole file"
                ) from error
            if not line:
                return
            if len(line) == MOST_LINE:
                raise self.problem(
                    where, f"it has more than {MOST_LINE} bytes", "Give text with line ends"
                )
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                self.source.refuse(
                    self.problem(where, f"it cannot be decoded: {error}", "Give UTF-8 text")
                )
                continue
            yield number, text.removesuffix("\n").removesuffix("\r")

    def close(self) -> None:
        """Close it, and count it as read.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one, two")
            >>> with Source("chat.txt") as source:
            ...     document = source.open()
            ...     first = document.text.readline()
            ...     document.close()
            ...     source.position == source.size
            True
        """
        # Counted first: a plain file closes together with its text.
        self.source._close(self._weight)
        (self._text or self._stream).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Source(Readable):
    """What is being read, which knows how far it is and what could not be used.

    Args:
        path: a file, also compressed with gzip, a zip archive, or a directory.
        options: how it is read.

    Attributes:
        path: as given.
        options: as given.
        size: bytes of the file, or of the files of a directory.
        members: names of the files in the archive or directory, in order, with ``/`` between
            directories; empty for a single file, and for an archive of one file.
        bad: how many records were refused.
        empty: how many records had nothing in them.
        problems: the first refusals.

    Raises:
        InvalidInput: it does not exist, or cannot be opened.

    Examples:
        >>> import zipfile
        >>> with zipfile.ZipFile("holiday.zip", "w") as archive:
        ...     archive.writestr("chat.txt", "one, two")
        >>> with Source("holiday.zip") as source:
        ...     source.name, source.only, source.members, source.is_directory, source.position
        ('holiday', 'chat.txt', [], False, 0)
        >>> source.close()
    """

    def __init__(self, path: str | os.PathLike[str], options: ImportOptions | None = None) -> None:
        self.path = os.fspath(path)
        self.options = options or ImportOptions()
        self.bad = 0
        self.empty = 0
        self.problems: list[Problem] = []
        self.members: list[str] = []
        self._read = 0
        self._raw: io.BufferedReader | None = None
        self._archive: zipfile.ZipFile | None = None
        self._weights: dict[str, int] = {}
        self._only: str | None = None
        self._directory = os.path.isdir(self.path)
        try:
            if self._directory:
                self._list_directory()
            else:
                self._open_file()
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or error
            raise InvalidInput(
                f"the file {self.path!r} cannot be read: {reason}",
                hint="Check the path and the permissions",
                path=self.path,
            ) from error

    def _list_directory(self) -> None:
        for folder, folders, files in os.walk(self.path):
            folders.sort()
            for file in files:
                full = os.path.join(folder, file)
                name = os.path.relpath(full, self.path).replace(os.sep, "/")
                self._weights[name] = os.stat(full).st_size
        self.members = sorted(self._weights)
        self.size = sum(self._weights.values())

    def _open_file(self) -> None:
        with open(self.path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            if file.read(4) != ZIP:
                return
        self._archive = zipfile.ZipFile(self.path)
        for info in self._archive.infolist():
            if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
                self._weights[info.filename] = info.compress_size
        self.members = sorted(self._weights)
        if len(self.members) == 1:
            [self._only] = self.members
            self.members = []

    @property
    def name(self) -> str:
        """The name of the file without its directory and its endings."""
        name = os.path.basename(os.path.normpath(self.path))
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        return name or "chat"

    @property
    def position(self) -> int:
        """How many bytes have been read; of a member, when it has been read to its end."""
        return min(self._read if self._raw is None else self._raw.tell(), self.size)

    @property
    def only(self) -> str | None:
        """The name of the file in an archive of one file."""
        return self._only

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self._directory

    def open(self, member: str | None = None) -> Document:
        """Open one text.

        Args:
            member: one of `members`; None for a single file.

        Raises:
            InvalidInput: it is encrypted, damaged or gone.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one, two")
            >>> with Source("chat.txt") as source, source.open() as document:
            ...     document.text.read()
            'one, two'
        """
        name = member or self._only
        if name is None and (self.members or self._directory):
            raise self.problem(
                "the directory" if self._directory else "the archive",
                f"it holds {len(self.members)} files, where one is wanted",
                "Give the file itself",
            )
        try:
            return Document(self, member, self._stream(name), self._weights.get(name or "", 0))
        except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
            raise self.problem(
                member or "the file", f"it cannot be opened: {error}", "Give a whole file"
            ) from error

    def _stream(self, name: str | None) -> BinaryIO:
        if self._archive is not None and name is not None:
            return cast("BinaryIO", io.BufferedReader(self._archive.open(name)))
        if self._directory:
            return open(os.path.join(self.path, *(name or "").split("/")), "rb")
        file = self._raw = open(self.path, "rb")  # noqa: SIM115 - closed with the document
        if file.peek(2)[:2] != GZIP:
            return file
        return cast(
            "BinaryIO", io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=file)))
        )

    def head(self, member: str | None = None) -> str:
        """Give the first characters of a text.

        Args:
            member: one of `members`; None for a single file.

        Raises:
            InvalidInput: it is cut off or damaged.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one, two")
            >>> with Source("chat.txt") as source:
            ...     source.head()
            'one, two'
        """
        if member is None and self.members:
            return ""
        with self.open(member) as document:
            return document.head(HEAD)

    def refuse(self, error: InvalidInput) -> None:
        """Leave out a bad record and count it, or stop.

        Args:
            error: as `problem` builds it.

        Raises:
            InvalidInput: the error itself, unless bad records are to be skipped.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one, two")
            >>> with Source("chat.txt", ImportOptions(skip_bad=True)) as source:
            ...     source.refuse(source.problem("line 1", "it has no time", "Give a whole export"))
            >>> source.bad, source.problems
            (1, [Problem(record='line 1', reason='it has no time')])
        """
        if not self.options.skip_bad:
            raise error
        self.bad += 1
        if len(self.problems) < MOST_PROBLEMS:
            fields = vars(error)
            self.problems.append(Problem(fields["record"], fields["reason"]))

    def _close(self, weight: int) -> None:
        self._read = self.position if self._raw is not None else self._read + weight
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def restart(self) -> None:
        """Count from the beginning again: what was read was only looked at.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("chat.txt").write_text("one, two")
            >>> with Source("chat.txt") as source:
            ...     beginning, read = source.head(), source.position
            ...     source.restart()
            ...     read, source.position
            (8, 0)
        """
        self._read = self.bad = self.empty = 0
        self.problems.clear()

    def close(self) -> None:
        """Close the file."""
        if self._archive is not None:
            self._archive.close()
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
