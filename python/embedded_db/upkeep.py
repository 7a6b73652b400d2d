"""What keeps a database whole: backups, restoring, verifying, compacting."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from . import _native
from .arguments import path_argument

if TYPE_CHECKING:
    from .database import EmbeddedDB

__all__ = ["BackupReport", "CompactReport", "RestoreReport", "Upkeep"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was backed up.

    Attributes:
        path: the directory of the backup.
        lsn: the instant: log sequence number of the last change that it holds.
        namespaces: how many namespaces.
        nodes: how many nodes, in all namespaces.
        edges: how many edges, with those that were retracted.
        embeddings: how many embeddings; a long text has one for each part.
        bytes: size of the data.
        seconds: how long it took.

    Examples:
        >>> _ = db.create_chat().add_message("Hello")
        >>> report = db.backup("monday")
        >>> report.namespaces, report.nodes, report.edges, report.embeddings
        (1, 2, 1, 0)
    """

    path: str
    lsn: int
    namespaces: int
    nodes: int
    edges: int
    embeddings: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored.

    Attributes:
        path: the directory of the database.
        lsn: the instant: log sequence number of the last change that it holds.
        namespaces: how many namespaces.
        nodes: how many nodes, in all namespaces.
        edges: how many edges, with those that were retracted.
        embeddings: how many embeddings; a long text has one for each part.
        bytes: size of the data.
        seconds: how long it took.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> _ = db.create_chat().add_message("Hello")
        >>> backup = db.backup("monday")
        >>> report = EmbeddedDB.restore("monday", "again.db")
        >>> report.nodes, report.edges, report.lsn == backup.lsn
        (2, 1, True)
    """

    path: str
    lsn: int
    namespaces: int
    nodes: int
    edges: int
    embeddings: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What became of the files.

    Attributes:
        bytes_before: size of the data before.
        bytes_after: size of the data now.
        seconds: how long it took.

    Examples:
        >>> report = db.compact()
        >>> report.bytes_before >= report.bytes_after > 0
        True
    """

    bytes_before: int
    bytes_after: int
    seconds: float


class Upkeep:
    """Backups, restoring, verifying, compacting."""

    def backup(
        self, directory: str | PathLike[str], *, progress: Progress | None = None
    ) -> BackupReport:
        """Copy one instant of the whole database into a directory, while writing goes on.

        Every stored row is read and checked on the way, so what is damaged is never backed up. The
        directory is a backup from the moment at which its file ``MANIFEST`` appears, when all is on
        the disk; what fails, or is ended by Ctrl-C or by ``progress`` raising, leaves nothing.

        Args:
            directory: where to; it must not exist, or be empty, and lie outside of the database.
            progress: called with how many rows are copied, and how many there are.

        Returns:
            What was backed up.

        Raises:
            InvalidInput: the directory is not empty, or lies in that of the database itself.
            Corruption: a stored row is damaged.
            StorageFull: there is no room for it.
            StorageError: it cannot be written.

        Examples:
            >>> _ = db.create_chat().add_message("Hello")
            >>> report = db.backup("monday")
            >>> report.nodes, report.edges
            (2, 1)
        """
        begun = time.perf_counter()
        target = path_argument("directory", directory)
        made = cast("EmbeddedDB", self)._native.backup(target, progress)
        return BackupReport(**made, seconds=time.perf_counter() - begun)

    @staticmethod
    def restore(
        backup: str | PathLike[str],
        directory: str | PathLike[str],
        *,
        progress: Progress | None = None,
    ) -> RestoreReport:
        """Make a database of a backup, in a new directory.

        Length and SHA-256 of the data must be what the backup says, and what it holds must agree,
        as `verify` finds; only then does the directory appear, in one step. The database holds what
        the backed up one held, with the same `logical_hash`, and its log sequence numbers go on
        from there; its identity is new, for from then on it is another database.

        Args:
            backup: what `backup` has written.
            directory: where to; it must not exist, or be empty.
            progress: called with how many bytes are copied, and how many there are.

        Returns:
            What was restored.

        Raises:
            InvalidInput: there is no backup, or the directory is not empty.
            Corruption: the backup is damaged.
            FormatTooNew: a later version has written it.
            StorageFull: there is no room for it.
            StorageError: it cannot be read or written.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> _ = db.create_chat().add_message("Hello")
            >>> _ = db.backup("monday")
            >>> _ = EmbeddedDB.restore("monday", "again.db")
            >>> with EmbeddedDB("again.db", ml=None) as again:
            ...     again.count("Message"), again.logical_hash() == db.logical_hash()
            (1, True)
        """
        begun = time.perf_counter()
        source, target = path_argument("backup", backup), path_argument("directory", directory)
        made = _native.restore_backup(source, target, progress)
        return RestoreReport(**made, seconds=time.perf_counter() - begun)

    def verify(self, *, deep: bool = False) -> dict[str, Any]:
        """Read everything and check that nodes, edges, text, vectors and jobs agree.

        Args:
            deep: also read every page of the data file by itself: whether each is used once or
                free, and its keys are in order; and look for each entity by its name. When a page
                is not in order, nothing else is looked at.

        Returns:
            ``ok`` (bool), ``problems`` (a list of texts), and how much was checked; of a deep one
            also ``pages``.

        Raises:
            Corruption: a row is damaged, so that nothing behind it can be told.

        Examples:
            >>> _ = db.create_chat().add_message("Hello")
            >>> report = db.verify()
            >>> report["ok"], report["problems"]
            (True, [])
            >>> db.verify(deep=True)["pages"] > 10
            True
        """
        return cast("EmbeddedDB", self)._native.verify(deep)

    def logical_hash(self) -> str:
        """Compute one hash of all that is stored, in all namespaces.

        It is the same for two databases that hold the same nodes, edges with their history,
        embeddings, work, indexes and declared labels, with the same ids, versions and times. How
        and where they are stored makes no difference: a restored database has the hash of the one
        that was backed up.

        Returns:
            A SHA-256 in 64 hex digits.

        Raises:
            Corruption: something stored is damaged.

        Examples:
            >>> empty = db.logical_hash()
            >>> _ = db.create_chat(id="trip")
            >>> db.logical_hash() == empty
            False
            >>> db.delete_node("trip")
            >>> db.logical_hash() == empty
            True
        """
        return cast("EmbeddedDB", self)._native.logical_hash()

    def compact(self, *, progress: Progress | None = None) -> CompactReport:
        """Write the whole database anew beside the old files, without the room of what is gone.

        Reading and writing go on meanwhile; writes wait only while the new files take the place of
        the old ones. Snapshots keep the old files until they are closed; readers in other processes
        open the new ones at their next read. Killed at any moment, it leaves a database that opens.
        It needs as much free space as the database has data. What is searched in memory is loaded
        again by the next query. `logical_hash` is what it was.

        Args:
            progress: called with how many rows are copied, and how many there are. Raising an
                exception ends it, and all is as it was.

        Returns:
            How large the data was and is.

        Raises:
            ReadOnly: the handle only reads.
            InvalidInput: it is being compacted already.
            Corruption: something stored is damaged; see `verify`.
            StorageFull: there is no room for the new files.
            StorageError: they cannot be written.

        Examples:
            >>> chat = db.create_chat()
            >>> _ = chat.add_messages([{"content": "Hello " * 100}] * 50)
            >>> chat.delete()
            >>> report = db.compact()
            >>> report.bytes_after < report.bytes_before
            True
        """
        return _compacted(cast("EmbeddedDB", self)._native.compact, progress)

    def scrub(self, *, progress: Progress | None = None) -> CompactReport:
        """Compact, so that nothing that was deleted before can be found in any file.

        Gone are then the bytes of deleted nodes, edges, embeddings and namespaces, earlier values
        of properties, ids of what was deleted, and names of properties, labels and edge types that
        nothing uses any more. The changes up to now are forgotten with them. Earlier versions of
        edges that are still there stay, and `logical_hash` is what it was. Backups and exports are
        not touched, nor are copies that the disk keeps by itself.

        Args:
            progress: called with how many rows are copied, and how many there are. Raising an
                exception ends it, and all is as it was.

        Returns:
            How large the data was and is.

        Raises:
            ReadOnly: the handle only reads.
            InvalidInput: it is being compacted already.
            Corruption: something stored is damaged; see `verify`.
            StorageFull: there is no room for the new files.
            StorageError: they cannot be written, or the old ones not removed.

        Examples:
            >>> from pathlib import Path
            >>> id = db.create_node({"label": "Secret", "properties": {"word": "swordfish"}})
            >>> db.delete_node(id)
            >>> _ = db.scrub()
            >>> files = [file for file in Path(db.path).rglob("*") if file.is_file()]
            >>> any(b"swordfish" in file.read_bytes() for file in files)
            False
        """
        return _compacted(cast("EmbeddedDB", self)._native.scrub, progress)


def _compacted(
    call: Callable[[Progress | None], tuple[int, int]], progress: Progress | None
) -> CompactReport:
    begun = time.perf_counter()
    before, after = call(progress)
    return CompactReport(before, after, time.perf_counter() - begun)
