"""The commands ``stats``, ``namespaces``, ``indexes`` and ``show``."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Final

import typer

from .._native import Edge
from ..database import EmbeddedDB
from ..errors import NotFound
from ..indexes import Index
from ..models import AnyNode, Chat, Message
from . import output
from .base import EPILOG, AsJson, ConfigFile, Db, Namespace, app, command, opened

__all__ = ["facts_of", "for_people", "stored"]


@app.command(epilog=EPILOG)
@command
def stats(
    db: Db, namespace: Namespace = None, config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Count what is stored, and show what the weaver has to do."""
    with opened(db, namespace, config, read_only=True) as database:
        facts = stored(database, namespace)
    if as_json:
        output.as_json(facts)
    else:
        output.facts(for_people(facts), machine=False)


COUNTED: Final = ("nodes", "edges", "embeddings")
"""What `EmbeddedDB.stats` counts for one namespace only."""


def stored(db: EmbeddedDB, namespace: str | None) -> dict[str, Any]:
    """Count what is stored."""
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


def for_people(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what only programs want."""
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
@command
def namespaces(db: Db, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the namespaces with what each of them holds."""
    with opened(db, None, config, read_only=True) as database:
        rows = [_namespace(database.namespace(name)) for name in database.namespaces()]
    if as_json:
        output.as_json(rows)
    else:
        output.table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def _namespace(db: EmbeddedDB) -> dict[str, Any]:
    stats = db.stats()
    return {
        "name": db.namespace_name,
        "messages": db.count("Message"),
        "chats": db.count("Chat"),
        **{name: stats[name] for name in COUNTED},
    }


@app.command(epilog=EPILOG)
@command
def indexes(
    db: Db, namespace: Namespace = None, config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """List the indexes that were made on demand, with their state and how many nodes they hold."""
    with opened(db, namespace, config, read_only=True) as database:
        names = database.namespaces() if namespace is None else [namespace]
        rows = [
            {"namespace": name, **index.to_dict()}
            for name in names
            for index in database.namespace(name).indexes()
        ]
    if as_json:
        output.as_json(rows)
    else:
        columns = ("namespace", *(field.name for field in fields(Index)))
        output.table(columns, [tuple(row[name] for name in columns) for row in rows])


@app.command(epilog=EPILOG)
@command
def show(
    db: Db,
    id: Annotated[str, typer.Argument(help="Id of a node or edge; of a chat: its messages too.")],
    limit: Annotated[int, typer.Option(min=0, help="Most messages of a chat.")] = 50,
    namespace: Namespace = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show a node or edge with its properties.

    Of a message also what it mentions, of a chat its summary and messages.
    """
    with opened(db, namespace, config, read_only=True) as database:
        node = database.get_node(id)
        edge = database.get_edge(id) if node is None else None
        if node is not None:
            _print_node(database, node, limit, as_json)
        elif edge is not None:
            output.facts(_edge(edge), as_json)
        else:
            raise NotFound(
                f"no node or edge has the id {id!r}",
                hint="Find ids with: embedded-db query",
                id=id,
            )


def _edge(edge: Edge) -> dict[str, Any]:
    names = ("id", "source", "target", "type", "properties", "weight", "valid_from", "valid_to")
    more = ("recorded_at", "retracted_at", "sources", "version")
    return {name: getattr(edge, name) for name in (*names, *more)}


def facts_of(node: AnyNode) -> dict[str, Any]:
    """Tell what every node has."""
    return {
        "id": node.id,
        "labels": node.labels,
        "properties": node.properties,
        "created_at": node.created_at,
        "updated_at": node.updated_at,
        "expires_at": node.expires_at,
        "version": node.version,
    }


def _print_node(db: EmbeddedDB, node: AnyNode, limit: int, as_json: bool) -> None:
    facts = facts_of(node)
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
