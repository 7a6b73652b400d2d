"""The commands ``import`` and ``export``."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..database import EmbeddedDB
from ..errors import EnrichmentFailed, InvalidInput
from ..importers import (
    FORMATS,
    DateOrder,
    ImportProgress,
    ImportReport,
    Reader,
    check_file,
    import_file,
)
from ..interchange.layout import FORMAT, MANIFEST
from ..progress import ProgressBar
from . import exit_codes, output
from .base import EPILOG, AsJson, ConfigFile, Db, Namespace, app, command, opened

__all__: list[str] = []

EXPORT: Final = "export"
"""What ``--format`` calls a directory that ``export`` has written."""
SHOWN: Final = 10
PATIENT: Final[dict[str, Any]] = {"max_snapshot_age": 86_400.0, "max_snapshot_growth": 1 << 46}
"""For a snapshot that is held on purpose, and goes with the process."""


class OnConflictChoice(StrEnum):
    """What becomes of ids that are taken."""

    ERROR = "error"
    SKIP = "skip"
    REPLACE = "replace"


class DerivedChoice(StrEnum):
    """What becomes of what the weaver has made."""

    AUTO = "auto"
    KEEP = "keep"
    REBUILD = "rebuild"


class DateOrderChoice(StrEnum):
    """In which order dates stand."""

    AUTO = "auto"
    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


@app.command("import", epilog=EPILOG)
@command
def import_command(
    file: Annotated[
        Path, typer.Argument(help="File, archive or directory with messages, or an export.")
    ],
    db: Db,
    format: Annotated[
        str, typer.Option(help=f"One of: auto, {', '.join([*FORMATS, EXPORT])}.")
    ] = "auto",
    namespace: Namespace = None,
    config: ConfigFile = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all is enriched.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out bad records, and count them.")
    ] = False,
    date_order: Annotated[
        DateOrderChoice, typer.Option(help="Day and month of WhatsApp, if they cannot be told.")
    ] = DateOrderChoice.AUTO,
    time_zone: Annotated[str, typer.Option(help="Zone of times that have none.")] = "UTC",
    on_conflict: Annotated[
        OnConflictChoice, typer.Option(help="Of an export: what becomes of ids that are taken.")
    ] = OnConflictChoice.ERROR,
    derived: Annotated[
        DerivedChoice, typer.Option(help="Of an export: what becomes of what the weaver made.")
    ] = DerivedChoice.AUTO,
    as_json: AsJson = False,
) -> None:
    """Store the messages of a file, or read an export back.

    Messages that are there already are skipped.
    """
    if format == EXPORT or (format == "auto" and _is_export(file)):
        _import_export(file, db, namespace, config, wait, on_conflict, derived, as_json)
        return
    order: DateOrder = date_order.value
    reader = check_file(file, format, skip_bad=skip_bad, date_order=order, time_zone=time_zone)
    if namespace is not None and reader.own_namespaces:
        raise InvalidInput(
            f"--namespace is {namespace!r}, but every {reader.name} conversation has its own",
            hint="Leave --namespace out",
        )
    with opened(db, namespace, config, read_only=False) as database:
        report = _import_messages(database, file, reader, skip_bad, order, time_zone)
        failure, left = _enriched(database, wait)
    output.facts(_facts(report, left, as_json), as_json)
    for problem in report.problems[:SHOWN]:
        output.note(f"left out: {problem.record}: {problem.reason}")
    if report.bad > SHOWN:
        output.note(f"and {report.bad - SHOWN} more")
    _finish(failure, left, wait)
    if report.bad:
        raise typer.Exit(exit_codes.FINDINGS)


def _import_messages(
    db: EmbeddedDB,
    file: Path,
    reader: Reader,
    skip_bad: bool,
    date_order: DateOrder,
    time_zone: str,
) -> ImportReport:
    with ProgressBar("importing") as bar:

        def draw(progress: ImportProgress) -> None:
            bar.update(progress.bytes_read, progress.bytes_total, "bytes")

        return import_file(
            db,
            file,
            reader.name,
            draw,
            skip_bad=skip_bad,
            date_order=date_order,
            time_zone=time_zone,
        )


def _facts(report: ImportReport, left: int, machine: bool) -> dict[str, Any]:
    rate = report.messages / report.seconds if report.seconds else 0.0
    problems = [asdict(problem) for problem in report.problems]
    return {
        "messages": report.messages,
        "chats": report.chats,
        "skipped": report.skipped,
        "empty": report.empty,
        "bad": report.bad,
        **({"problems": problems} if machine else {}),
        "seconds": round(report.seconds, 3),
        "messages_per_second": round(rate),
        "namespaces": report.namespaces,
        "jobs_left": left,
    }


def _is_export(file: Path) -> bool:
    """Tell an export by its manifest; one whose manifest is damaged by its first file."""
    try:
        content = json.loads((file / MANIFEST).read_text(encoding="utf-8"))
    except OSError:
        return False
    except ValueError:
        return (file / "0000" / "nodes.jsonl").exists()
    return isinstance(content, dict) and content.get("format") == FORMAT


def _import_export(
    file: Path,
    db: Path,
    namespace: str | None,
    config: Path | None,
    wait: bool,
    on_conflict: OnConflictChoice,
    derived: DerivedChoice,
    as_json: bool,
) -> None:
    with opened(db, namespace, config, read_only=False) as database:
        with ProgressBar("importing") as bar:
            report = database.import_(
                file,
                on_conflict=on_conflict.value,
                derived=derived.value,
                progress=lambda done, total: bar.update(done, total, "records"),
            )
        failure, left = _enriched(database, wait)
    facts = {**asdict(report), "seconds": round(report.seconds, 3), "jobs_left": left}
    output.facts(facts, as_json)
    _finish(failure, left, wait)


def _enriched(db: EmbeddedDB, wait: bool) -> tuple[EnrichmentFailed | None, int]:
    """Wait for the enrichment if wanted; a failure is told after what was stored."""
    failure: EnrichmentFailed | None = None
    if wait:
        try:
            db.flush(progress=True)
        except EnrichmentFailed as error:
            failure = error
    return failure, int(db.weaver_status()["queue_size"])


def _finish(failure: EnrichmentFailed | None, left: int, wait: bool) -> None:
    if failure is not None:
        raise failure
    if left and not wait:
        output.note(
            f"{left} jobs of enrichment run when the database is next opened for writing; "
            "import with --wait runs them at once"
        )


@app.command(epilog=EPILOG)
@command
def export(
    directory: Annotated[Path, typer.Argument(help="Where to; it must not exist, or be empty.")],
    db: Db,
    namespace: Annotated[
        list[str] | None, typer.Option(help="Only this namespace; may be given several times.")
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write one instant of the database as JSON Lines and .npy files."""
    # Nobody else holds the snapshot of this process, and it goes with it.
    with (
        opened(db, None, config, read_only=True, **PATIENT) as database,
        ProgressBar("exporting") as bar,
    ):
        report = database.export(
            directory,
            namespaces=namespace or None,
            progress=lambda done, total: bar.update(done, total, "records"),
        )
    facts = {**asdict(report), "seconds": round(report.seconds, 3)}
    output.facts(facts if as_json else {**facts, "bytes": output.size(report.bytes)}, as_json)
