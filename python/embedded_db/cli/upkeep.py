"""The commands that keep a database whole: from ``verify`` and ``backup`` to ``doctor``."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..database import EmbeddedDB
from ..progress import ProgressBar
from ..rescue import RepairReport
from ..upkeep import BackupReport, CompactReport, Progress, RestoreReport
from . import exit_codes, output
from .base import EPILOG, AsJson, ConfigFile, Db, app, command, opened
from .operating import print_findings

__all__: list[str] = []

LISTED: Final = 20
"""Objects that are listed by their ids, of each kind of finding."""


@app.command(epilog=EPILOG)
@command
def verify(
    db: Db,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also every page of the data file, by itself.")
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Read everything and check that it agrees; exit code 1 when it does not."""
    with opened(db, None, config, read_only=True) as database:
        facts = database.verify(deep=deep)
    if as_json:
        output.as_json(facts)
    else:
        output.facts({**facts, "problems": len(facts["problems"])}, machine=False)
        for problem in facts["problems"]:
            output.note(problem)
    if not facts["ok"]:
        raise typer.Exit(exit_codes.FINDINGS)


@app.command(epilog=EPILOG)
@command
def backup(
    directory: Annotated[Path, typer.Argument(help="Where to; it must not exist, or be empty.")],
    db: Db,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy one instant of the whole database, while writing goes on."""
    with opened(db, None, config, read_only=True) as database, _bar("copying", "rows") as drawn:
        report = database.backup(directory, progress=drawn)
    _print(report, as_json)


@app.command(epilog=EPILOG)
@command
def restore(
    backup: Annotated[Path, typer.Argument(help="What backup has written.")],
    directory: Annotated[Path, typer.Argument(help="Where to; it must not exist, or be empty.")],
    as_json: AsJson = False,
) -> None:
    """Make a database of a backup, in a new directory, checked before it appears."""
    with _bar("restoring", "bytes") as drawn:
        report = EmbeddedDB.restore(backup, directory, progress=drawn)
    _print(report, as_json)


@app.command(epilog=EPILOG)
@command
def compact(db: Db, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Write the whole database anew, without the room of what is gone."""
    with _renewed(db, config) as database, _bar("compacting", "rows") as drawn:
        report = database.compact(progress=drawn)
    _print_sizes(report, as_json)


@app.command(epilog=EPILOG)
@command
def scrub(db: Db, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Compact, so that nothing that was deleted is left in any file of the database."""
    with _renewed(db, config) as database, _bar("scrubbing", "rows") as drawn:
        report = database.scrub(progress=drawn)
    _print_sizes(report, as_json)


@app.command(epilog=EPILOG)
@command
def repair(
    path: Annotated[Path, typer.Argument(help="The damaged database, or backup.")],
    to: Annotated[Path, typer.Option("--to", help="Where to; it must not exist, or be empty.")],
    as_json: AsJson = False,
) -> None:
    """Save what reads of a damaged database in a new one; exit code 1 when that is not all."""
    with _bar("repairing", "") as drawn:
        report = EmbeddedDB.repair(path, to, progress=drawn)
    _print_repaired(report, as_json)
    if not report.complete:
        raise typer.Exit(exit_codes.FINDINGS)


@app.command(epilog=EPILOG)
@command
def doctor(
    path: Annotated[Path, typer.Argument(help="The database, whatever state it is in.")],
    as_json: AsJson = False,
) -> None:
    """Look at a database and what it lies on; exit code 1 with a warning, 2 with an error."""
    report = EmbeddedDB.doctor(path)
    print_findings(report, as_json)


def _print_repaired(report: RepairReport, as_json: bool) -> None:
    facts: dict[str, Any] = {**asdict(report), "seconds": round(report.seconds, 3)}
    if as_json:
        output.as_json(facts)
        return
    saved, lost = facts.pop("saved"), facts.pop("lost")
    listed = {name: facts.pop(name) for name in ("missing", "doubtful", "remarks")}
    output.facts({**facts, "bytes": output.size(report.bytes)}, machine=False)
    output.table(
        ("", "saved", "lost"),
        [(kind, saved[kind], "unknown" if lost[kind] is None else lost[kind]) for kind in saved],
    )
    for remark in listed["remarks"]:
        output.note(remark)
    for what, title in (("missing", "lost"), ("doubtful", "in doubt")):
        for found in listed[what][:LISTED]:
            where = f"{found['kind']} {found['namespace']}/{found['id']}"
            output.note(f"{title}: {where}: {found['why']}")
        if (more := len(listed[what]) - LISTED) > 0:
            output.note(f"{title}: {more} more, which --json lists")


def _renewed(db: Path, config: Path | None) -> AbstractContextManager[EmbeddedDB]:
    """Open a database to write it anew: nothing is enriched meanwhile."""
    return opened(db, None, config, read_only=False, existing=True, ml=None)


def _print_sizes(report: CompactReport, as_json: bool) -> None:
    facts: dict[str, Any] = {**asdict(report), "seconds": round(report.seconds, 3)}
    if not as_json:
        facts |= {
            "bytes_before": output.size(report.bytes_before),
            "bytes_after": output.size(report.bytes_after),
        }
    output.facts(facts, as_json)


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Progress]:
    """Draw how far work is that leaves nothing when it is interrupted."""
    try:
        with ProgressBar(title) as bar:
            yield lambda done, total: bar.update(done, total, unit)
    except KeyboardInterrupt:
        output.note("interrupted; what was begun is removed")
        raise typer.Exit(exit_codes.INTERRUPTED) from None


def _print(report: BackupReport | RestoreReport, as_json: bool) -> None:
    facts: dict[str, Any] = {**asdict(report), "seconds": round(report.seconds, 3)}
    output.facts(facts if as_json else {**facts, "bytes": output.size(report.bytes)}, as_json)
