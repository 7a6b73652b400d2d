"""What helps when something is wrong: looking at a database, and saving what reads of it."""

import platform
import time
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, cast

import numpy as np

from . import _native
from .arguments import path_argument
from .upkeep import Progress

__all__ = [
    "DoctorReport",
    "Finding",
    "Level",
    "RepairCounts",
    "RepairReport",
    "RepairedObject",
    "Rescue",
]

Level = Literal["ok", "warning", "error"]
"""How grave a finding is: as it should be; something to be done about; it does not work."""


@dataclass(frozen=True, slots=True)
class RepairCounts:
    """How much of each kind; None where nobody knows.

    Attributes:
        namespaces: namespaces.
        names: names of labels, edge types and properties.
        spaces: embedding spaces.
        indexes: definitions of indexes made on demand.
        labels: declarations of labels.
        nodes: nodes of all namespaces.
        edges: edges, with those that were retracted.
        versions: earlier versions of edges.
        embeddings: embeddings; a long text has one for each part.
        jobs: work of the weaver that waits, or has failed.
        changes: rows of the list of changes. Only those that follow each other up to the last one
            are of use, so one that does not read costs all before it.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> _ = db.create_chat().add_message("Hello")
        >>> db.close()
        >>> report = EmbeddedDB.repair(db.path, "repaired.db")
        >>> report.saved.nodes, report.saved.edges, report.lost.nodes
        (2, 1, 0)
    """

    namespaces: int | None
    names: int | None
    spaces: int | None
    indexes: int | None
    labels: int | None
    nodes: int | None
    edges: int | None
    versions: int | None
    embeddings: int | None
    jobs: int | None
    changes: int | None


@dataclass(frozen=True, slots=True)
class RepairedObject:
    """Something of which a repair tells by its id.

    Attributes:
        kind: ``"node"``, ``"edge"`` or ``"embedding"``.
        namespace: its namespace; empty when the name of that was lost.
        id: its id.
        why: what happened to it, or what is not known of it.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> db.close()
        >>> report = EmbeddedDB.repair(db.path, "repaired.db")
        >>> [(it.kind, it.namespace, it.id, it.why) for it in report.missing]
        []
    """

    kind: str
    namespace: str
    id: str
    why: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair saved of a database, and what it lost.

    Attributes:
        path: the directory of the new database.
        lsn: log sequence number of the last change that it holds.
        generation: the generation of the damaged database that was read.
        state: how the last state was found. ``"newest"``: by the meta page of the last commit;
            ``"found"``: by its tables, for that page is damaged; ``"older"``: it is that of an
            earlier commit, or of the last one, and nobody can tell; ``"scanned"``: not at all, so
            that every row is taken that nothing shows to be old.
        complete: nothing was lost, and nothing is in doubt.
        saved: how much is in the new database.
        lost: how much is not.
        missing: what is not in the new database, as far as its id reads.
        doubtful: what is in it though a newer version of it, or its deletion, may have been lost.
        remarks: what else was wrong, in sentences.
        pages: pages of the data file.
        damaged_pages: pages of its state that are damaged or missing.
        bytes: size of the new data.
        seconds: how long it took.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> db.close()
        >>> report = EmbeddedDB.repair(db.path, "repaired.db")
        >>> report.complete, report.state, report.damaged_pages, report.remarks
        (True, 'newest', 0, [])
    """

    path: str
    lsn: int
    generation: int
    state: Literal["newest", "found", "older", "scanned"]
    complete: bool
    saved: RepairCounts
    lost: RepairCounts
    missing: list[RepairedObject]
    doubtful: list[RepairedObject]
    remarks: list[str]
    pages: int
    damaged_pages: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what it is about: ``"database"``, ``"data"``, ``"sums"``, ``"log"``, ``"size"``,
            ``"file system"``, ``"free space"``, ``"limits"``, ``"versions"``, ``"lock"``,
            ``"readers"``, ``"leftovers"`` or ``"jobs"``.
        level: ``"ok"``, ``"warning"`` or ``"error"``.
        text: what was found, in a sentence.
        remedy: what to do, in a sentence; empty when nothing is to be done.
        facts: the same for programs: names with texts, numbers (sizes in bytes), truth values, and
            None for what nobody can tell.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> found = {finding.about: finding for finding in EmbeddedDB.doctor(db.path).findings}
        >>> found["lock"].level, found["lock"].facts["held"], found["lock"].facts["alive"]
        ('ok', True, True)
        >>> found["sums"].text, found["sums"].remedy
        ('data.sums is that of the data', '')
    """

    about: str
    level: Level
    text: str
    remedy: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What was found of a database and of what it lies on.

    Attributes:
        path: the directory that was looked at.
        findings: one for each thing.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> report = EmbeddedDB.doctor(db.path)
        >>> report.ok, report.level
        (True, 'ok')
    """

    path: str
    findings: list[Finding]

    @property
    def level(self) -> Level:
        """The gravest level of all findings."""
        levels = {finding.level for finding in self.findings}
        return "error" if "error" in levels else "warning" if "warning" in levels else "ok"

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return self.level == "ok"


class Rescue:
    """Looking at a database whatever state it is in, and saving what reads of it."""

    @staticmethod
    def repair(
        path: str | PathLike[str],
        to: str | PathLike[str],
        *,
        progress: Progress | None = None,
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
            >>> from embedded_db import EmbeddedDB
            >>> _ = db.create_chat(id="trip").add_message("Hello")
            >>> db.close()
            >>> data = next(Path(db.path).glob("gen-*/data.mdb"))
            >>> with data.open("r+b") as file:  # a disk that has lost its first page
            ...     _ = file.write(bytes(4096))
            >>> report = EmbeddedDB.repair(db.path, "repaired.db")
            >>> report.complete, report.saved.nodes, report.lost.nodes
            (True, 2, 0)
            >>> with EmbeddedDB("repaired.db", ml=None) as repaired:
            ...     [message.content for message in repaired.get_node("trip").messages()]
            ['Hello']
        """
        begun = time.perf_counter()
        source, target = path_argument("path", path), path_argument("to", to)
        made = _native.repair(source, target, progress)
        for part in ("saved", "lost"):
            made[part] = RepairCounts(**made[part])
        for part in ("missing", "doubtful"):
            made[part] = [RepairedObject(*found) for found in made[part]]
        return RepairReport(**made, seconds=time.perf_counter() - begun)

    @staticmethod
    def doctor(path: str | PathLike[str]) -> DoctorReport:
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
            >>> from embedded_db import EmbeddedDB
            >>> report = EmbeddedDB.doctor("nowhere.db")
            >>> report.level, report.findings[0].about, report.findings[0].remedy
            ('error', 'database', 'check the path, and the permission to read it')
        """
        location = path_argument("path", path)
        findings = [
            Finding(about, cast("Level", level), text, remedy, facts)
            for about, level, text, remedy, facts in _native.doctor(location)
        ]
        return DoctorReport(location, [_with_python(finding) for finding in findings])


def _with_python(finding: Finding) -> Finding:
    """Add what only Python knows to the versions."""
    if finding.about != "versions":
        return finding
    python = f"{platform.python_implementation()} {platform.python_version()}"
    facts = {**finding.facts, "python": python, "numpy": np.__version__}
    text = f"{finding.text}, {python}, NumPy {np.__version__}"
    return Finding(finding.about, finding.level, text, finding.remedy, facts)
