"""What keeps a database whole: backups, restoring, verifying."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from . import _native
from .arguments import path_argument

if TYPE_CHECKING:
    from .database import EmbeddedDB

__all__ = ["BackupReport", "RestoreReport", "Upkeep"]

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


class Upkeep:
    """Backups, restoring, verifying."""

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
            >>> db.verify(deep=True)["pages"] > 20
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
