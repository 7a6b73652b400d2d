"""The commands ``query`` and ``search``."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, get_args

import typer

from ..checks import MAX_LIMIT
from ..database import EmbeddedDB
from ..errors import InvalidInput, InvalidQuery, ModelUnavailable, NotFound
from ..models import AnyNode, Message
from ..results import Results
from ..search import Part, SearchResults
from . import output
from .base import EPILOG, AsJson, ConfigFile, Db, Namespace, app, command, opened

__all__ = ["condition", "headline"]


class Legs(StrEnum):
    """What ranks the results of a query."""

    both = "both"
    text = "text"
    semantic = "semantic"


class Profiles(StrEnum):
    """How a search ranks."""

    auto = "auto"
    conversation = "conversation"
    window = "window"
    plain = "plain"


WEIGHTS: Final[Mapping[Legs, Mapping[Part, float]]] = {
    Legs.both: {},
    Legs.text: {"semantic": 0.0, "window_semantic": 0.0},
    Legs.semantic: {"text": 0.0, "window": 0.0},
}

Ranking = Annotated[Legs, typer.Option(help="What ranks the results.")]
Most = Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="Most results.")]


@app.command(epilog=EPILOG)
@command
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
    hops: Annotated[int, typer.Option(min=0, max=1000, help="Most hops from there.")] = 2,
    legs: Ranking = Legs.both,
    limit: Most = 10,
    namespace: Namespace = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Find nodes by words, meaning, properties and graph reach."""
    if not (text or label or where or start):
        raise InvalidQuery(
            "the query is empty: it has neither words nor conditions",
            hint="Give words, or --label, --where or --from",
        )
    with opened(db, namespace, config, read_only=True) as database:
        if text:
            _check_model(database, legs)
        results = database.query(
            structural_filters=[condition(text) for text in where or []],
            graph_filter={"start": start, "max_hops": hops} if start else None,
            text_query={"text": text} if text and legs != Legs.semantic else None,
            semantic_query={"text": text} if text and legs != Legs.text else None,
            labels=label,
            limit=limit,
        )
        _print_results(results, as_json)


@app.command(epilog=EPILOG)
@command
def search(
    db: Db,
    question: Annotated[str, typer.Argument(help="A question in plain words.")],
    chat: Annotated[list[str] | None, typer.Option(help="Only messages of this chat.")] = None,
    profile: Annotated[Profiles, typer.Option(help="How to rank.")] = Profiles.auto,
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Find facts too whose place others took.")
    ] = False,
    legs: Ranking = Legs.both,
    limit: Most = 10,
    namespace: Namespace = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask a question in plain words, and see what every part gave to each score."""
    if not question.strip():
        raise InvalidQuery("the question is empty", hint="Ask something, in quotes")
    with opened(db, namespace, config, read_only=True) as database:
        _check_model(database, legs)
        try:
            results = database.search(
                question,
                chat or None,
                limit,
                profile.value,
                weights=WEIGHTS[legs],
                superseded=superseded,
            )
        except NotFound as error:
            hint = "Find the ids of chats with: embedded-db query --label Chat"
            raise NotFound(f"no chat has the id {error.id!r}", hint=hint, id=error.id) from None
        _print_found(results, as_json)


def _check_model(database: EmbeddedDB, legs: Legs) -> None:
    if legs != Legs.text and database.config.ml is None:
        raise ModelUnavailable(
            "comparing by meaning needs a model, and the configuration has none",
            hint="Go by words alone with --legs text, or leave ml out of the --config",
        )


def _print_found(results: SearchResults, as_json: bool) -> None:
    if as_json:
        found = {"analysis": results.analysis, "pending": results.pending}
        output.as_json({**found, "results": results.to_dicts()})
        return
    shares = [result.shares or {} for result in results]
    parts = [part for part in get_args(Part) if any(each.get(part) for each in shares)]
    rows = [
        (
            result.score,
            *(each.get(part, 0.0) for part in parts),
            result.node.id,
            headline(result.node),
        )
        for result, each in zip(results, shares, strict=True)
    ]
    _print_rows(("score", *parts, "id", ""), rows, results.pending)


COMPARISONS: Final = {
    ">=": "GreaterThanOrEqual",
    "<=": "LessThanOrEqual",
    "!=": "NotEquals",
    ">": "GreaterThan",
    "<": "LessThan",
    "=": "Equals",
}


def condition(text: str) -> dict[str, Any]:
    """Read a condition such as ``count>=3``."""
    places = [(text.find(sign), -len(sign), sign) for sign in COMPARISONS if sign in text]
    if not places:
        raise InvalidInput(
            f"--where is {text!r}", hint="Write it as property=value; also != < <= > >="
        )
    at, _, sign = min(places)
    given = text[at + len(sign) :].strip()
    condition = {"property": text[:at].strip(), "operator": COMPARISONS[sign]}
    read = {**condition, "value": _value(given)}
    if not _is_day(given):
        return read
    # Models store a date as text, messages have times; a value is compared with its own kind only.
    return {"all" if sign == "!=" else "any": [read, {**condition, "value": given}]}


def _is_day(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def _value(text: str) -> Any:
    """Read a number, true, false, null or a time; anything else is a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
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
            headline(result.node),
        )
        for result in results
    ]
    _print_rows(("score", "similarity", "text", "hops", "id", ""), rows, results.pending)


def _print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], pending: int) -> None:
    if rows:
        output.table(columns, rows)
    else:
        output.note("nothing found")
    if pending:
        output.note(f"{pending} matching nodes are not embedded yet")


def headline(node: AnyNode) -> str:
    """Say in a line what a node is."""
    if isinstance(node, Message):
        return f"{node.sender}: {node.content}" if node.sender else node.content
    for name in ("label", "title", "text", "name", "content"):
        value = node.get(name)
        if isinstance(value, str):
            return value
    return ", ".join(node.labels)
