"""The files of an export.

::

    manifest.json             format, version, counts, spaces; size and SHA-256 of every file
    0000/nodes.jsonl          the first namespace: a node a line, in the order they were made
    0000/edges.jsonl          an edge a line, in the order they were made
    0000/history.jsonl        what these edges said before: an earlier version a line, oldest first
    0000/embeddings-0.jsonl   the embeddings of the first space: an embedding a line
    0000/embeddings-0.npy     their vectors, float32[n, dim]; row k belongs to line k

Text is UTF-8, lines end with a line feed. Property values are as in `values`. The last line but
one of the manifest is ``  "sha256": "…"`` in every version: that of all bytes before the line.
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

from ..errors import BadText, Corruption, FormatTooNew, InvalidInput, shown

__all__ = [
    "FORMAT",
    "MANIFEST",
    "VERSION",
    "LineWriter",
    "Manifest",
    "VectorWriter",
    "damaged",
    "read_lines",
    "sealed",
]

FORMAT: Final = "embedded-db-export"
VERSION: Final = 2
MANIFEST: Final = "manifest.json"
CHUNK: Final = 1 << 20
MOST_MANIFEST: Final = 1 << 28
"""Bytes of a manifest at most: of one with hundreds of namespaces it is a few hundred thousand."""
SEAL: Final = re.compile(rb'  "sha256": "([0-9a-f]{64})"\n}\n\Z')

Record = dict[str, Any]


class LineWriter:
    """Writes a file of JSON lines.

    Args:
        path: the file; it must not exist.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "x", encoding="utf-8", newline="\n")  # noqa: SIM115
        self.count = 0

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record."""
        json.dump(record, self._file, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self._file.write("\n")
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class VectorWriter:
    """Writes rows to a ``.npy`` file whose number of rows is known at the end only.

    Args:
        path: the file; it must not exist.
        dim: numbers of a row.
    """

    def __init__(self, path: str, dim: int) -> None:
        self._file: BinaryIO = open(path, "x+b")  # noqa: SIM115
        self._dim = dim
        self._rows = 0
        self._header()
        self._begin = self._file.tell()

    def _header(self) -> None:
        # NumPy leaves room in the header for the number of rows to grow.
        shape = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._dim)}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, shape)

    def write(self, row: npt.NDArray[np.float32]) -> None:
        """Append a row, float32[dim]."""
        self._file.write(np.ascontiguousarray(row, dtype="<f4").tobytes())
        self._rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._header()
        assert self._file.tell() == self._begin, "the header has the length it began with"
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says of itself.

    Attributes:
        directory: where it is.
        content: the content of ``manifest.json``.
    """

    directory: str
    content: Mapping[str, Any]

    @property
    def namespaces(self) -> list[Mapping[str, Any]]:
        """The namespaces, each with ``name``, ``directory`` and ``counts``."""
        return list(self.content["namespaces"])

    @property
    def spaces(self) -> list[Mapping[str, Any]]:
        """The embedding spaces, as `EmbeddedDB.spaces` gives them."""
        return list(self.content["spaces"])

    def file(self, namespace: Mapping[str, Any], name: str) -> str:
        """Give the path of a file of a namespace."""
        return os.path.join(self.directory, namespace["directory"], name)

    @classmethod
    def write(cls, directory: str, content: Mapping[str, Any], files: Mapping[str, int]) -> int:
        """Write the manifest over files that are complete.

        Args:
            directory: where they are.
            content: everything but the files.
            files: number of records by path in the directory, with ``/``.

        Returns:
            Bytes of all files.
        """
        described, total = [], 0
        for name, records in files.items():
            size, digest = _digest(os.path.join(directory, *name.split("/")))
            described.append({"path": name, "bytes": size, "records": records, "sha256": digest})
            total += size
        whole = {"format": FORMAT, "version": VERSION, **content, "files": described}
        with open(os.path.join(directory, MANIFEST), "xb") as file:
            file.write(sealed(whole))
            file.flush()
            os.fsync(file.fileno())
        return total

    @classmethod
    def read(cls, directory: str) -> "Manifest":
        """Read the manifest, and check every file against it.

        Raises:
            InvalidInput: there is no export in the directory.
            FormatTooNew: a later version has written it.
            Corruption: a file is missing, cut off or changed, or the manifest itself is.
        """
        path = os.path.join(directory, MANIFEST)
        try:
            with open_plain(path) as file:
                data = file.read(MOST_MANIFEST + 1)
        except ValueError as error:  # a NUL, or what is no Unicode
            raise BadText(
                f"{shown(directory)} cannot be the name of a directory: {error}",
                hint="Leave out NUL characters and lone surrogates",
            ) from error
        except OSError as error:
            raise InvalidInput(
                f"{shown(directory)} is no export: {MANIFEST} cannot be read: {error.strerror}",
                hint="Give the directory that db.export has written",
                path=directory,
            ) from error
        content = _unsealed(path, data)
        if content.get("format") != FORMAT:
            raise InvalidInput(
                f"{path!r} is no manifest of an export",
                hint="Give the directory that db.export has written",
                path=path,
            )
        found = content.get("version")
        if type(found) is not int or found < VERSION:
            raise damaged(path, f"its version is {found!r}, which no release has written")
        if found > VERSION:
            raise FormatTooNew(
                f"the export {directory!r} has version {found}; this library reads up to {VERSION}",
                hint="Read it with the library that has written it, or a later one",
                path=directory,
                found=found,
                supported=VERSION,
            )
        manifest = cls(directory, content)
        manifest._check(path)
        return manifest

    def _check(self, path: str) -> None:
        try:
            known = {each["path"] for each in self.content["files"]}
            for namespace in self.content["namespaces"]:
                prefix = namespace["directory"]
                wanted = {f"{prefix}/{name}.jsonl" for name in ("nodes", "edges", "history")}
                for declared in namespace["declared"]:
                    _texts([declared["label"], *declared["text"], *declared["embed"]])
                for at in namespace["embeddings"]:
                    wanted |= {f"{prefix}/embeddings-{at}.{end}" for end in ("jsonl", "npy")}
                    self.content["spaces"][at]["dim"] + 0
                if not isinstance(namespace["name"], str) or not wanted <= known:
                    raise damaged(path, f"it names no files for {namespace['name']!r}")
            for each in self.content["files"]:
                self._check_file(each)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise damaged(path, f"it has not the form of a manifest: {error!r}") from error

    def _check_file(self, each: Mapping[str, Any]) -> None:
        parts = each["path"].split("/")
        if any(part in ("", ".", "..") or os.sep in part or "\0" in part for part in parts):
            raise damaged(self.directory, f"its manifest names the file {each['path']!r}")
        path = os.path.join(self.directory, *parts)
        try:
            size, digest = _digest(path)
        except OSError as error:
            raise damaged(path, f"it cannot be read: {error.strerror}") from error
        if (size, digest) != (each["bytes"], each["sha256"]):
            raise damaged(path, "it is not as it was written: its size or SHA-256 differs")


def open_plain(path: str) -> BinaryIO:
    """Open a file for reading; a pipe, at which one might wait for ever, is no file.

    Raises:
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no plain file", path)
    return open(path, "rb")


def sealed(content: Mapping[str, Any]) -> bytes:
    """Give the bytes of a manifest, with its checksum."""
    head = json.dumps({**content, "sha256": ""}, ensure_ascii=False, indent=2).encode()
    head = head[: head.rindex(b'  "sha256"')]
    return head + f'  "sha256": "{hashlib.sha256(head).hexdigest()}"\n}}\n'.encode()


def _unsealed(path: str, data: bytes) -> dict[str, Any]:
    """Read the bytes of a manifest.

    Raises:
        Corruption: they are not as they were written.
        InvalidInput: they were never those of a manifest.
    """
    seal = SEAL.search(data[-100:])
    if seal is not None:
        head = data[: len(data) - len(seal[0])]
        if hashlib.sha256(head).hexdigest().encode() != seal[1]:
            raise damaged(path, "it is not as it was written: its SHA-256 differs")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or (seal is None and content.get("format") != FORMAT):
        raise InvalidInput(
            f"{path!r} is no manifest of an export",
            hint="Give the directory that db.export has written",
            path=path,
        )
    if seal is None:
        raise damaged(path, "it is not as it was written: its last lines are no SHA-256 of it")
    return content


def _texts(values: list[Any]) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError(f"{shown(values)} are no texts")


def _digest(path: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with open_plain(path) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def read_lines(path: str) -> Iterator[tuple[str, Record]]:
    """Iterate over the records of a file of JSON lines, each with its place.

    Raises:
        Corruption: a line is no JSON object.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise damaged(place, f"it is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise damaged(place, f"it is {record!r:.60}, not an object")
            yield place, record


def damaged(place: str, what: str) -> Corruption:
    """Build the error for an export that is not as it was written."""
    return Corruption(
        f"{place}: {what}",
        hint="Copy the export again from where it is whole, or make a new one",
        path=place.partition(", line ")[0],
    )
