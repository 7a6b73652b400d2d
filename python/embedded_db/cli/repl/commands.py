"""The commands, which begin with a slash."""

import argparse
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Never

from ...checks import MAX_LIMIT
from ...errors import InvalidInput, InvalidQuery, NotFound
from ...interchange.values import decoded
from ...query import ConvergedQuery
from ...reads import Path
from ..looking import facts_of, for_people, stored
from ..querying import condition, headline
from .answers import Answer, Table
from .judging import Queried

if TYPE_CHECKING:
    from .session import Session

__all__ = ["COMMANDS", "Command"]

EDGES: Final = 50
"""Edges of a node that are shown."""


@dataclass(frozen=True)
class Command:
    """A command."""

    run: Callable[["Session", str], Answer]
    takes: str
    does: str


def _help(session: "Session", text: str) -> Answer:
    rows = [(f"/{name} {each.takes}".rstrip(), each.does) for name, each in COMMANDS.items()]
    rows += [
        ("any other text", "recalls what hangs together with it"),
        ("y, y 1 3", "the first result was right, or these were"),
        ("n", "none was right"),
        ("c 2, c", "this one was right, or what the next line says"),
    ]
    return Answer("help", {"help": dict(rows)}, [Table((), rows)])


def _status(session: "Session", text: str) -> Answer:
    db, reflexes = session.db, session.reflexes.stats()
    weaver, health = db.weaver_status(), db.health()
    facts = {
        "namespace": db.namespace_name,
        "read_only": db.read_only,
        "recalls_by": "words" if session.by_words else "words and meaning",
        "activity_level": weaver["activity_level"],
        "jobs_left": weaver["queue_size"],
        "last_event": weaver["last_event"],
        "health": health.level,
        "findings": [f"{it.about}: {it.text}" for it in health.findings if it.level != "ok"],
        "reflexes": reflexes["total_reflexes"],
        "reflex_hits": reflexes["hits"],
    }
    return Answer("status", facts, [Table((), list(facts.items()))])


def _stats(session: "Session", text: str) -> Answer:
    facts = stored(session.db, session.db.namespace_name)
    return Answer("stats", facts, [Table((), list(for_people(facts).items()))])


class _Parser(argparse.ArgumentParser):
    """Raises what `argparse` would print."""

    def error(self, message: str) -> Never:
        raise InvalidInput(f"/query: {message}", hint="/help shows what it takes")


def _parser() -> _Parser:
    parser = _Parser(prog="/query", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--label", action="append")
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--from", dest="start", action="append")
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--limit", type=int)
    return parser


def _query(session: "Session", text: str) -> Answer:
    session.judged = None
    query = _from_json(text) if text.startswith("{") else _from_words(session, text)
    found = session.db.execute_query(query, reflex=True)
    nodes = [result.node for result in found]
    session.judged = Queried(found) if nodes else None
    session.show(nodes)
    facts = {"reflex": found.reflex, "pending": found.pending, "results": found.to_dicts()}
    rows = [
        (*(each.score, each.similarity_score, each.text_score, each.graph_distance),)
        + (each.node.id, headline(each.node))
        for each in found
    ]
    notes = [] if rows else ["nothing found"]
    if found.pending:
        notes.append(f"{found.pending} matching nodes are not embedded yet")
    columns = ("score", "similarity", "text", "hops", "id", "")
    return Answer("query", facts, [Table(columns, rows)], notes)


def _from_json(text: str) -> ConvergedQuery:
    try:
        return ConvergedQuery.from_dict(decoded(json.loads(text)))
    except (ValueError, RecursionError) as error:
        raise InvalidQuery(
            f"the query is not JSON: {error}", hint='Write {"text_query": {"text": "rust"}}'
        ) from None


def _from_words(session: "Session", text: str) -> ConvergedQuery:
    given = _parser().parse_intermixed_args(_words(text))
    words = " ".join(given.words)
    limit = session.limit if given.limit is None else given.limit
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"--limit is {limit}", hint=f"Give a number from 1 to {MAX_LIMIT}")
    return ConvergedQuery(
        structural_filters=[condition(each) for each in given.where],
        graph_filter={"start": given.start, "max_hops": given.hops} if given.start else None,
        text_query={"text": words} if words else None,
        semantic_query={"text": words} if words and not session.by_words else None,
        labels=given.label,
        limit=limit,
    )


def _words(text: str) -> list[str]:
    """Split as a shell does, so that ids and conditions may hold spaces."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"{text[:100]!r}: {error}", hint="Close the quotes") from None


def _ids(text: str, name: str, count: int) -> list[str]:
    ids = _words(text)
    if len(ids) != count:
        raise InvalidInput(
            f"/{name} takes {count} ids, and {len(ids)} are given",
            hint="Put an id with spaces in quotes",
        )
    return ids


def _node(session: "Session", text: str) -> Answer:
    [id] = _ids(text, "node", 1)
    node = session.db.get_node(id)
    if node is None:
        raise NotFound(f"no node has the id {id!r}", hint="Find ids with /query", id=id)
    session.show([node])
    facts = facts_of(node)
    out = list(session.db.edges(id, limit=EDGES))
    into = list(session.db.edges(id, direction="in", limit=EDGES))
    edges = [{"id": e.id, "type": e.type, "source": e.source, "target": e.target} for e in out]
    edges += [{"id": e.id, "type": e.type, "source": e.source, "target": e.target} for e in into]
    named = [*(("out", e.type, e.target) for e in out), *(("in", e.type, e.source) for e in into)]
    others = session.db.get_many([other for *_, other in named])
    rows = [
        (*edge, "" if other is None else headline(other))
        for edge, other in zip(named, others, strict=True)
    ]
    session.show([other for other in others if other is not None])
    shown = {**facts, **{f"  {name}": value for name, value in node.properties.items()}}
    del shown["properties"]
    tables = [Table((), list(shown.items())), Table(("edge", "type", "id", ""), rows)]
    return Answer("node", {**facts, "edges": edges}, tables)


def _path(session: "Session", text: str) -> Answer:
    start, end = _ids(text, "path", 2)
    path = session.db.find_shortest_path(start, end)
    if path is None:
        return Answer("path", {"path": None}, notes=["no path leads from one to the other"])
    session.show(path.nodes)
    edges = [{"type": e.type, "source": e.source, "target": e.target} for e in path.edges]
    types = ["", *(edge.type for edge in path.edges)]
    rows = [(type, n.id, headline(n)) for type, n in zip(types, path.nodes, strict=True)]
    facts = {"nodes": [node.id for node in path.nodes], "edges": edges, "cost": path.cost}
    return Answer("path", {"path": facts}, [Table(("by", "id", ""), rows)])


def _explain(session: "Session", text: str) -> Answer:
    question = text or session.question
    if question is None:
        raise InvalidInput("nothing was asked yet", hint="Ask something, or /explain a question")
    found = session.recalled(question, explain=True)
    plan: Mapping[str, Any] = found.plan or {}
    steps = plan.get("steps", [])
    rows = [(it["step"], it["detail"], it["rows"], it["micros"]) for it in steps]
    paths = [(result.activation, result.node.id, _steps(result.path)) for result in found]
    tables = [
        Table(("step", "detail", "rows", "µs"), rows),
        Table(("active", "id", "how activation came"), paths),
    ]
    facts = {
        "question": question,
        "plan": plan,
        "results": [{"activation": a, "id": id, "path": path} for a, id, path in paths],
    }
    return Answer("explain", facts, tables)


def _steps(path: Path | None) -> str:
    if path is None or not path.edges:
        return "by the question itself"
    parts = [path.nodes[0].id]
    for edge, node in zip(path.edges, path.nodes[1:], strict=True):
        arrow = f"-{edge.type}->" if edge.target == node.id else f"<-{edge.type}-"
        parts += [arrow, node.id]
    return " ".join(parts)


def _quit(session: "Session", text: str) -> Answer:
    session.ended = True
    return Answer("quit", {})


COMMANDS: Final[Mapping[str, Command]] = {
    "help": Command(_help, "", "lists the commands"),
    "status": Command(_status, "", "tells what the database is doing, and how it is"),
    "stats": Command(_stats, "", "counts what is stored"),
    "query": Command(
        _query,
        "WORDS [--label L] [--where a=b] [--from ID] [--hops N] [--limit N], or {JSON}",
        "finds nodes by words, meaning, properties and reach",
    ),
    "node": Command(_node, "ID", "shows a node with its edges"),
    "path": Command(_path, "ID ID", "shows the shortest path from one node to another"),
    "explain": Command(_explain, "[QUESTION]", "tells how the last question was answered, or one"),
    "quit": Command(_quit, "", "ends; so does Ctrl-D"),
}
