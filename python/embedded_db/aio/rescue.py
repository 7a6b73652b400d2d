"""Written by scripts/make-async from `embedded_db.rescue`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
)

from ..rescue import (
    DoctorReport,
    RepairReport,
    Rescue,
)
from .pool import in_thread
from .twin import AsyncProgress, Twin, called

if TYPE_CHECKING:
    from os import PathLike


__all__ = ["AsyncRescue"]


class AsyncRescue(Twin):
    """Looking at a database whatever state it is in, and saving what reads of it."""

    @staticmethod
    async def repair(
        path: str | PathLike[str], to: str | PathLike[str], *, progress: AsyncProgress | None = None
    ) -> RepairReport:
        """Save what reads of a damaged database in a new one.

        The damaged database, or backup, is not written to and may lie in a place that is read-only;
        nobody may write to it meanwhile. Whatever is saved was in it with a right checksum, and is
        saved as it was or not at all. Edges without one of their ends are left out, and so is what
        a lost name belongs to; indexes, neighbours, counters and whatever else follows from the
        records are made anew, and work that was lost is due again. The new database, with an
        identity of its own, is checked as `verify` does with ``deep=True`` before it appears, in
        one step.

        Args:
            path: the directory of the database.
            to: where to; it must not exist, or be empty, and lie outside of the database.
            progress: called with how many steps are done, and how many there are.

        Returns:
            What was saved, and what was lost.

        Raises:
            InvalidInput: there is no database, or the directory is not empty.
            Corruption: nothing of it reads.
            DatabaseLocked: another process, or this one, writes to it.
            FormatTooNew: a later version has written it.
            StorageFull: there is no room for the new one.
            StorageError: the new one cannot be written.

        Examples:
            >>> from pathlib import Path
            >>> from embedded_db import AsyncEmbeddedDB
            >>> _ = await (await db.create_chat(id="trip")).add_message("Hello")
            >>> await db.close()
            >>> data = next(Path(db.path).glob("gen-*/data.mdb"))
            >>> with data.open("r+b") as file:  # a disk that has lost its first page
            ...     _ = file.write(bytes(4096))
            >>> report = await AsyncEmbeddedDB.repair(db.path, "repaired.db")
            >>> report.complete, report.saved.nodes, report.lost.nodes
            (True, 2, 0)
            >>> async with AsyncEmbeddedDB("repaired.db", ml=None) as repaired:
            ...     [
            ...         message.content
            ...         async for message in (await repaired.get_node("trip")).messages()
            ...     ]
            ['Hello']
        """
        return await in_thread(lambda: Rescue.repair(path, to, progress=called(progress)))

    @staticmethod
    async def doctor(path: str | PathLike[str]) -> DoctorReport:
        """Look at a database and at what it lies on, whatever state it is in.

        It is not opened: nothing is written, and a writer may be at work. What cannot be opened
        says why. Told are what is in the directory, whether the data reads, its sums, sizes and
        what could be given back, file system, room, limits and versions, who writes and who reads,
        what was left half done, and what the weaver has to do. Only a few pages are read; to read
        all of them there is `verify`. Its table of readers stays open until the process ends:
        closing it would drop what shows others that the readers of this process live.

        Args:
            path: the directory of the database; it need not be one.

        Returns:
            One finding for each thing, with what to do about it.

        Raises:
            InvalidInput: ``path`` is no path.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> report = await AsyncEmbeddedDB.doctor("nowhere.db")
            >>> report.level, report.findings[0].about, report.findings[0].remedy
            ('error', 'database', 'check the path, and the permission to read it')
        """
        return await in_thread(lambda: Rescue.doctor(path))
