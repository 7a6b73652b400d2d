"""The commands ``health``, ``metrics`` and ``blackbox``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from ..database import EmbeddedDB
from ..operating import HealthReport
from ..rescue import DoctorReport, Level
from . import exit_codes, output
from .base import EPILOG, AsJson, ConfigFile, Db, app, command, opened

__all__ = ["print_findings"]

DIAGNOSES: Final[dict[Level, int]] = {
    "ok": exit_codes.DONE,
    "warning": exit_codes.FINDINGS,
    "error": exit_codes.WRONG,
}
"""Exit codes by the gravest finding."""


@app.command(epilog=EPILOG)
@command
def health(db: Db, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Tell whether a database can do its work; exit code 1 with a warning, 2 with an error."""
    with opened(db, None, config, read_only=True) as database:
        report = database.health()
    print_findings(report, as_json)


@app.command(epilog=EPILOG)
@command
def metrics(db: Db, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the figures of the database, and of this process, as text for Prometheus."""
    with opened(db, None, config, read_only=True) as database:
        text = database.metrics()
    if as_json:
        output.as_json({"content_type": "text/plain; version=0.0.4", "text": text})
    else:
        output.text(text)


@app.command(epilog=EPILOG)
@command
def blackbox(
    path: Annotated[Path, typer.Argument(help="The database, whatever state it is in.")],
    last: Annotated[int, typer.Option(min=1, help="How many events at most.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Show the last events of a database, also of one whose process was killed."""
    events = EmbeddedDB.read_blackbox(path)[-last:]
    if as_json:
        output.as_json([asdict(event) for event in events])
        return
    columns = ("number", "time", "ms", "process", "thread", "what", "ending", "detail", "lsn")
    rows = [
        (
            *(it.number, it.time.isoformat()),
            "" if it.seconds is None else f"{it.seconds * 1000:.3f}",
            *(it.process, it.thread, it.what, it.ending, it.detail, it.lsn or ""),
        )
        for it in events
    ]
    output.table(columns, rows)


def print_findings(report: DoctorReport | HealthReport, as_json: bool) -> None:
    """Print what was found, and end with the exit code of it."""
    if as_json:
        output.as_json({"level": report.level, **asdict(report)})
    else:
        rows = [(it.level, it.about, it.text, it.remedy) for it in report.findings]
        output.table(("level", "about", "found", "what to do"), rows)
    raise typer.Exit(DIAGNOSES[report.level])
