"""Written by scripts/make-async from `embedded_db.upkeep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..upkeep import BackupReport, CompactReport, RestoreReport, Upkeep
from .pool import in_thread
from .twin import AsyncProgress, Twin, called

if TYPE_CHECKING:
    from os import PathLike


__all__ = ["AsyncUpkeep"]


class AsyncUpkeep(Twin):
    """Backups, restoring, verifying, compacting."""

    async def backup(
        self, directory: str | PathLike[str], *, progress: AsyncProgress | None = None
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
            >>> _ = await (await db.create_chat()).add_message("Hello")
            >>> report = await db.backup("monday")
            >>> report.nodes, report.edges
            (2, 1)
        """
        return await self._wait(Upkeep.backup, directory, progress=called(progress))

    @staticmethod
    async def restore(
        backup: str | PathLike[str],
        directory: str | PathLike[str],
        *,
        progress: AsyncProgress | None = None,
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
            >>> from embedded_db import AsyncEmbeddedDB
            >>> _ = await (await db.create_chat()).add_message("Hello")
            >>> _ = await db.backup("monday")
            >>> _ = await AsyncEmbeddedDB.restore("monday", "again.db")
            >>> async with AsyncEmbeddedDB("again.db", ml=None) as again:
            ...     (
            ...         await again.count("Message"),
            ...         await again.logical_hash() == await db.logical_hash(),
            ...     )
            (1, True)
        """
        return await in_thread(lambda: Upkeep.restore(backup, directory, progress=called(progress)))

    async def verify(self, *, deep: bool = False) -> dict[str, Any]:
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
            >>> _ = await (await db.create_chat()).add_message("Hello")
            >>> report = await db.verify()
            >>> report["ok"], report["problems"]
            (True, [])
            >>> (await db.verify(deep=True))["pages"] > 10
            True
        """
        return await self._wait(Upkeep.verify, deep=deep)

    async def logical_hash(self) -> str:
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
            >>> empty = await db.logical_hash()
            >>> _ = await db.create_chat(id="trip")
            >>> await db.logical_hash() == empty
            False
            >>> await db.delete_node("trip")
            >>> await db.logical_hash() == empty
            True
        """
        return await self._wait(Upkeep.logical_hash)

    async def compact(self, *, progress: AsyncProgress | None = None) -> CompactReport:
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
            >>> chat = await db.create_chat()
            >>> _ = await chat.add_messages([{"content": "Hello " * 100}] * 50)
            >>> await chat.delete()
            >>> report = await db.compact()
            >>> report.bytes_after < report.bytes_before
            True
        """
        return await self._wait(Upkeep.compact, progress=called(progress))

    async def scrub(self, *, progress: AsyncProgress | None = None) -> CompactReport:
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
            >>> id = await db.create_node({"label": "Secret", "properties": {"word": "swordfish"}})
            >>> await db.delete_node(id)
            >>> _ = await db.scrub()
            >>> files = [file for file in Path(db.path).rglob("*") if file.is_file()]
            >>> any(b"swordfish" in file.read_bytes() for file in files)
            False
        """
        return await self._wait(Upkeep.scrub, progress=called(progress))
