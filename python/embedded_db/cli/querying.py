"""The command ``query``."""

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from ..errors import InvalidInput
from ..models import AnyNode, Message
from ..results import Results
from . import output
from .base import EPILOG, AsJson, ConfigFile, Db, Namespace, app, command, opened

__all__: list[str] = []


class Legs(StrEnum):
    """What ranks the results of a query."""

    both = "both"
    text = "text"
    semantic = "semantic"


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
    hops: Annotated[int, typer.Option(help="Most hops from there.")] = 2,
    legs: Annotated[Legs, typer.Option(help="What ranks the results.")] = Legs.both,
    limit: Annotated[int, typer.Option(help="Most results.")] = 10,
    namespace: Namespace = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Find nodes by words, meaning, properties and graph reach."""
    with opened(db, namespace, config, read_only=True) as database:
        results = database.query(
            structural_filters=[_condition(text) for text in where or []],
            graph_filter={"start": start, "max_hops": hops} if start else None,
            text_query={"text": text} if text and legs != Legs.semantic else None,
            semantic_query={"text": text} if text and legs != Legs.text else None,
            labels=label,
            limit=limit,
        )
        _print_results(results, as_json)


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
