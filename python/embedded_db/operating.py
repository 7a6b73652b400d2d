"""How a database is doing: health, figures for Prometheus, and what happened last."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, cast

from . import _native
from .arguments import path_argument
from .rescue import Finding, Level

if TYPE_CHECKING:
    from .database import EmbeddedDB

__all__ = ["BlackBoxEvent", "Ending", "HealthReport", "Operating"]

Ending = Literal["running", "ok", "failed"]
"""How an event ended. One that was running when its process died stays so."""


@dataclass(frozen=True, slots=True)
class BlackBoxEvent:
    """Something that a database did.

    Attributes:
        number: one more for each event, whatever process wrote it.
        time: when it began, by the clock that the process had when it opened the database.
        seconds: how long it took; None while it is running.
        process: id of the process.
        thread: number of the thread in its process, in the order in which they came.
        what: ``"open"``, ``"close"``, ``"commit"`` (of one or several writes), ``"query"``,
            ``"search"``, ``"walk"``, ``"graph"``, ``"backup"``, ``"verify"``, ``"compact"``,
            ``"scrub"`` or ``"panic"``.
        ending: ``"running"``, ``"ok"`` or ``"failed"``.
        detail: the name of the error, or of a panic its place in the library.
        lsn: of a commit, the number of its last change, by which `EmbeddedDB.changes` tells what
            it was; 0 if nothing was stored.
        entries: of a commit, how many writes it stored.

    Examples:
        >>> _ = db.create_node({"label": "Thing"})
        >>> last = db.blackbox()[-1]
        >>> last.what, last.ending, last.entries, last.lsn == db.stats()["lsn"]
        ('commit', 'ok', 1, True)
    """

    number: int
    time: datetime
    seconds: float | None
    process: int
    thread: int
    what: str
    ending: Ending
    detail: str
    lsn: int
    entries: int


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Whether an open database can do what it is for.

    Attributes:
        path: its directory.
        findings: one for each thing: ``"writing"`` (an error once a write has failed to reach the
            disk), ``"free space"``, ``"quota"``, ``"damage"`` (that a call has met), ``"defects"``
            (panics), ``"black box"``, ``"readers"`` (snapshots that are held), and ``"jobs"``.

    Examples:
        >>> report = db.health()
        >>> report.ok, report.level
        (True, 'ok')
        >>> {finding.about: finding.text for finding in report.findings}["writing"]
        'writes are accepted'
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


class Operating:
    """Health, figures and the black box."""

    def health(self) -> HealthReport:
        """Tell whether the database can do what it is for.

        Nothing is written, and no data is read; `verify` reads it, and `doctor` looks at a database
        that cannot be opened. Of a handle that only reads it tells what its own process has met.

        Returns:
            One finding for each thing, with what to do about it.

        Raises:
            DatabaseClosed: the handle was closed.

        Examples:
            >>> [(it.about, it.remedy) for it in db.health().findings if it.level != "ok"]
            []
        """
        db = cast("EmbeddedDB", self)
        findings = [
            Finding(about, cast("Level", level), text, remedy, facts)
            for about, level, text, remedy, facts in db._native.health()
        ]
        return HealthReport(db.path, findings)

    def metrics(self) -> str:
        """Give the figures of this process and database in the text format of Prometheus.

        What counts begins at the opening. Names begin with ``edb_``; durations are seconds, sizes
        bytes. No id, path or text of a user is in it. `stats` gives the most important ones as
        numbers; docs/operations.md lists all.

        Returns:
            Text of the content type ``text/plain; version=0.0.4``.

        Examples:
            >>> _ = db.create_chat()
            >>> text = db.metrics()
            >>> 'edb_operations_total{op="write",outcome="ok"} 1' in text.splitlines()
            True
        """
        return cast("EmbeddedDB", self)._native.metrics()

    def blackbox(self) -> list[BlackBoxEvent]:
        """Give the last 1,000 events of the database, oldest first, whatever process wrote them.

        They are in a file that outlives the end of its process by any means. Reads that take
        microseconds are no events, and what a handle that only reads does is none. No id, text or
        value of a user is in them.

        Raises:
            Corruption: the file is no black box.

        Examples:
            >>> db.blackbox()[0].what
            'open'
        """
        return _events(cast("EmbeddedDB", self)._native.blackbox())

    @staticmethod
    def read_blackbox(path: str | PathLike[str]) -> list[BlackBoxEvent]:
        """Give the last 1,000 events of a database without opening it, whatever state it is in.

        Args:
            path: the directory of the database, or its file ``blackbox``.

        Raises:
            NotFound: there is none.
            Corruption: the file is no black box.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> db.close()
            >>> [event.what for event in EmbeddedDB.read_blackbox(db.path)][-1]
            'close'
        """
        return _events(_native.read_blackbox(path_argument("path", path)))


def _events(events: Iterable[tuple[Any, ...]]) -> list[BlackBoxEvent]:
    return [BlackBoxEvent(*event) for event in events]
