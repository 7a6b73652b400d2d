"""The sub-commands."""

import functools
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec

import typer

from .._native import __version__
from ..config import Config
from ..database import EmbeddedDB
from ..errors import DbError, EnrichmentFailed, InvalidInput, NotFound
from ..importers import FORMATS, ImportProgress, check_file, import_file
from ..models import AnyNode, Chat, Message
from ..progress import ProgressBar
from ..results import Results
from . import output

__all__ = ["app", "run"]

P = ParamSpec("P")

DONE: Final = 0
REFUSED: Final = 1
DAMAGED: Final = 3
GIVEN_UP: Final = 4

EPILOG: Final = (
    "Exit codes: 0 done; 1 the database, the file or a value refused; 2 wrong command line; "
    "3 damage found; 4 some enrichment failed."
)

app = typer.Typer(
    name="embedded-db",
    help="An embedded graph, vector and full-text memory database.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Db = Annotated[Path, typer.Option("--db", envvar="EMBEDDED_DB", help="Directory of the database.")]
Namespace = Annotated[str | None, typer.Option(help="Namespace; the default one if left out.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with the options.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


class Legs(StrEnum):
    """What ranks the results of a query."""

    both = "both"
    text = "text"
    semantic = "semantic"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"embedded-db {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run() -> int:
    """Run the command line of the process.

    Returns:
        The exit code, when the command line did not end the process itself.
    """
    app(prog_name="embedded-db")
    return DONE


def _command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn the library's errors into a line on standard error and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except EnrichmentFailed as error:
            output.error(error)
            raise typer.Exit(GIVEN_UP) from None
        except DbError as error:
            output.error(error)
            raise typer.Exit(REFUSED) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(REFUSED) from None

    return guarded


@contextmanager
def _opened(
    path: Path, namespace: str | None, config: Path | None, *, read_only: bool
) -> Iterator[EmbeddedDB]:
    settings = Config() if config is None else Config.from_file(config)
    _check_directory(path, read_only)
    with EmbeddedDB(path, config=settings, read_only=read_only) as db:
        yield db if namespace is None else db.namespace(namespace)


def _check_directory(path: Path, read_only: bool) -> None:
    if path.is_file():
        raise InvalidInput(
            f"{str(path)!r} is a file; a database is a directory",
            hint="Give --db the directory of the database",
            path=str(path),
        )
    if read_only and (not path.exists() or (path.is_dir() and not any(path.iterdir()))):
        raise InvalidInput(
            f"{str(path)!r} is no database: "
            f"{'the directory is empty' if path.exists() else 'there is no such directory'}",
            hint=f"`embedded-db import FILE --db {shlex.quote(str(path))}` makes one",
            path=str(path),
        )


@app.command("import", epilog=EPILOG)
@_command
def import_command(
    file: Annotated[Path, typer.Argument(help="File with messages; .gz is accepted.")],
    db: Db,
    format: Annotated[str, typer.Option(help=f"One of: auto, {', '.join(FORMATS)}.")] = "auto",
    namespace: Namespace = None,
    config: ConfigFile = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all is enriched.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store the messages of a file; those that are there already are skipped."""
    reader = check_file(file, format)
    if namespace is not None and reader.own_namespaces:
        raise InvalidInput(
            f"--namespace is {namespace!r}, but every {reader.name} conversation has its own",
            hint="Leave --namespace out",
        )
    with _opened(db, namespace, config, read_only=False) as opened:
        with ProgressBar("importing") as bar:

            def draw(progress: ImportProgress) -> None:
                bar.update(progress.bytes_read, progress.bytes_total, "bytes")

            report = import_file(opened, file, reader.name, draw)
        failure: EnrichmentFailed | None = None
        if wait:
            try:
                opened.flush(progress=True)
            except EnrichmentFailed as error:
                failure = error  # told when it is told what was stored
        left = int(opened.weaver_status()["queue_size"])
    rate = report.messages / report.seconds if report.seconds else 0.0
    output.facts(
        {
            "messages": report.messages,
            "chats": report.chats,
            "skipped": report.skipped,
            "seconds": round(report.seconds, 3),
            "messages_per_second": round(rate),
            "namespaces": report.namespaces,
            "jobs_left": left,
        },
        as_json,
    )
    if failure is not None:
        raise failure
    if left and not wait:
        output.note(
            f"{left} jobs of enrichment run when the database is next opened for writing; "
            "import with --wait runs them at once"
        )


@app.command(epilog=EPILOG)
@_command
def stats(
    db: Db, namespace: Namespace = None, config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Count what is stored, and show what the weaver has to do."""
    with _opened(db, namespace, config, read_only=True) as opened:
        facts = _stored(opened, namespace)
    if as_json:
        output.as_json(facts)
    else:
        output.facts(_for_people(facts), machine=False)


COUNTED: Final = ("nodes", "edges", "embeddings")
"""What `EmbeddedDB.stats` counts for one namespace only."""


def _stored(db: EmbeddedDB, namespace: str | None) -> dict[str, Any]:
    names = db.namespaces() if namespace is None else [namespace]
    each = [db.namespace(name) for name in names]
    stats = [one.stats() for one in each]
    return {
        "messages": sum(one.count("Message") for one in each),
        "chats": sum(one.count("Chat") for one in each),
        "entities": sum(one.count("Entity") for one in each),
        **db.stats(),
        **{name: sum(found[name] for found in stats) for name in COUNTED},
        "jobs": db.weaver_status()["per_job"],
        "namespaces": names,
        "spaces": db.spaces(),
    }


def _for_people(facts: Mapping[str, Any]) -> dict[str, Any]:
    jobs = facts["jobs"]
    shown = {name: facts[name] for name in ("messages", "chats", "entities", "nodes", "edges")}
    return {
        **shown,
        "vectors": facts["embeddings"],
        "pending jobs": _jobs(jobs, "pending"),
        "given up": _jobs(jobs, "dead"),
        "size": output.size(facts["file_bytes"]),
        "namespaces": facts["namespaces"],
        "spaces": [
            f"{space['name']} ({space['dim']} dimensions, {space['metric']})"
            for space in facts["spaces"]
        ],
    }


def _jobs(jobs: Mapping[str, Mapping[str, int]], state: str) -> str:
    """Name the kinds of jobs that are in this state, with their number."""
    counts = ((kind, found[state]) for kind, found in jobs.items())
    return ", ".join(f"{count} {kind}" for kind, count in counts if count) or "none"


@app.command(epilog=EPILOG)
@_command
def query(
    db: Db,
    text: Annotated[str | None, typer.Argument(help="Words, or a question.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only nodes with this label.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Condition, such as sender=Alice or count>=3.")
    ] = None,
    start: Annotated[
        list[str] | None, typer.Option("--from", help="Only what this node reaches.")
    ] = None,
    hops: Annotated[int, typer.Option(help="Most hops from there.")] = 2,
    legs: Annotated[Legs, typer.Option(help="What ranks the results.")] = Legs.both,
    limit: Annotated[int, typer.Option(help="Most results.")] = 10,
    namespace: Namespace = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Find nodes by words, meaning, properties and graph reach."""
    with _opened(db, namespace, config, read_only=True) as opened:
        results = opened.query(
            structural_filters=[_condition(text) for text in where or []],
            graph_filter={"start": start, "max_hops": hops} if start else None,
            text_query={"text": text} if text and legs != Legs.semantic else None,
            semantic_query={"text": text} if text and legs != Legs.text else None,
            labels=label,
            limit=limit,
        )
        _print_results(results, as_json)


@app.command(epilog=EPILOG)
@_command
def show(
    db: Db,
    id: Annotated[str, typer.Argument(help="Id of a node; of a chat: its messages too.")],
    limit: Annotated[int, typer.Option(help="Most messages of a chat.")] = 50,
    namespace: Namespace = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show a node: its properties, what it mentions; of a chat its summary and messages."""
    with _opened(db, namespace, config, read_only=True) as opened:
        node = opened.get_node(id)
        if node is None:
            raise NotFound(
                f"no node has the id {id!r}", hint="Find ids with: embedded-db query", id=id
            )
        _print_node(opened, node, limit, as_json)


@app.command(epilog=EPILOG)
@_command
def verify(db: Db, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Read everything and check that it agrees; exit code 3 when it does not."""
    with _opened(db, None, config, read_only=True) as opened:
        facts = opened.verify()
    output.facts(facts, as_json)
    if not facts["ok"]:
        raise typer.Exit(DAMAGED)


COMPARISONS: Final = {
    ">=": "GreaterThanOrEqual",
    "<=": "LessThanOrEqual",
    "!=": "NotEquals",
    ">": "GreaterThan",
    "<": "LessThan",
    "=": "Equals",
}


def _condition(text: str) -> dict[str, Any]:
    places = [(text.find(sign), -len(sign), sign) for sign in COMPARISONS if sign in text]
    if not places:
        raise InvalidInput(
            f"--where is {text!r}", hint="Write it as property=value; also != < <= > >="
        )
    at, _, sign = min(places)
    return {
        "property": text[:at].strip(),
        "operator": COMPARISONS[sign],
        "value": _value(text[at + len(sign) :].strip()),
    }


def _value(text: str) -> Any:
    """Read a number, true, false, null or a time; anything else is a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass  # not a literal of JSON: a time or a text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment if moment.tzinfo is not None else moment.astimezone()


def _print_results(results: Results, as_json: bool) -> None:
    if as_json:
        output.as_json({"pending": results.pending, "results": results.to_dicts()})
        return
    rows = [
        (
            result.score,
            result.similarity_score,
            result.text_score,
            result.graph_distance,
            result.node.id,
            _headline(result.node),
        )
        for result in results
    ]
    if rows:
        output.table(("score", "similarity", "text", "hops", "id", ""), rows)
    else:
        output.note("nothing found")
    if results.pending:
        output.note(f"{results.pending} matching nodes are not embedded yet")


def _headline(node: AnyNode) -> str:
    if isinstance(node, Message):
        return f"{node.sender}: {node.content}" if node.sender else node.content
    for name in ("label", "title", "text", "name", "content"):
        value = node.get(name)
        if isinstance(value, str):
            return value
    return ", ".join(node.labels)


def _print_node(db: EmbeddedDB, node: AnyNode, limit: int, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "id": node.id,
        "labels": node.labels,
        "properties": node.properties,
        "created_at": node.created_at,
        "updated_at": node.updated_at,
        "version": node.version,
    }
    messages: list[Message] = []
    if isinstance(node, Message):
        facts["entities"] = [entity.label for entity in node.entities()]
        facts["status"] = node.status.to_dict()
    if isinstance(node, Chat):
        summary = node.summary()
        facts["summary"] = None if summary is None else summary.text
        messages = list(node.messages(limit=limit))
    if as_json:
        if isinstance(node, Chat):
            facts["messages"] = [message.to_dict() for message in messages]
        output.as_json(facts)
        return
    output.facts(facts, machine=False)
    if isinstance(node, Chat):
        rows = [
            (message.timestamp, message.id, message.sender, message.content) for message in messages
        ]
        output.table(("time", "id", "sender", "content"), rows)
