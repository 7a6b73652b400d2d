"""Nodes and edges out of Arrow tables."""

from __future__ import annotations  # names of TYPE_CHECKING

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ..arguments import whole_argument
from ..errors import AlreadyExists, DbError, InvalidInput, NotFound
from .arrow_table import Batch, Rows, Vectors

if TYPE_CHECKING:
    from .._native import Transaction
    from ..database import EmbeddedDB

__all__ = ["LoadReport", "load_arrow"]

BATCH: Final = 10_000
NODE_COLUMNS: Final = ("id", "labels", "label", "properties", "vector")
EDGE_COLUMNS: Final = (
    "id",
    "source",
    "target",
    "type",
    "weight",
    "valid_from",
    "valid_to",
    "sources",
    "properties",
)


@dataclass(slots=True)
class LoadReport:
    """What was loaded.

    Attributes:
        nodes: nodes stored.
        edges: edges stored.
        embeddings: vectors stored.
        seconds: how long it took.

    Examples:
        >>> import pyarrow
        >>> cities = pyarrow.table({"label": ["City"], "vector": [[1.0, 0.0]]})
        >>> report = db.load_arrow(nodes=cities, space="map")
        >>> report.nodes, report.edges, report.embeddings
        (1, 0, 1)
    """

    nodes: int = 0
    edges: int = 0
    embeddings: int = 0
    seconds: float = 0.0


def load_arrow(
    db: EmbeddedDB,
    nodes: object = None,
    edges: object = None,
    *,
    space: str | None = None,
    batch_size: int = BATCH,
) -> LoadReport:
    """Store nodes and edges of tables; see `EmbeddedDB.load_arrow`."""
    begun = time.perf_counter()
    if nodes is None and edges is None:
        raise InvalidInput("there is nothing to load", hint="Give nodes, edges or both")
    whole_argument("batch_size", batch_size)
    report = LoadReport()
    # Both are looked at before anything is stored.
    node_rows = None if nodes is None else Rows("nodes", nodes, NODE_COLUMNS, batch_size)
    edge_rows = None if edges is None else Rows("edges", edges, EDGE_COLUMNS, batch_size)
    if node_rows is not None:
        _check_node_columns(node_rows)
    if edge_rows is not None:
        edge_rows.require("source", "target", "type")
    if node_rows is not None:
        _load_nodes(db, node_rows, space or db._default_space(), report)
    if edge_rows is not None:
        _load_edges(db, edge_rows, report)
    report.seconds = time.perf_counter() - begun
    return report


def _check_node_columns(rows: Rows) -> None:
    if ("labels" in rows.names) == ("label" in rows.names):
        raise InvalidInput(
            f"the nodes have the columns {', '.join(rows.names)}",
            hint="They need one of the columns labels (lists of texts) and label (a text each)",
        )


def _load_nodes(db: EmbeddedDB, rows: Rows, space: str | None, report: LoadReport) -> None:
    for batch in rows.batches():
        drafts = [_node(batch, at) for at in range(batch.size)]
        vectors = Vectors(batch) if "vector" in batch.columns else None
        ids = _stored(db, batch, drafts, db._native.create_nodes, _try_node)
        report.nodes += len(ids)
        if vectors is not None and vectors.rows:
            wanted = [ids[row] for row in vectors.rows]
            with batch.named("vector", vectors.rows[0]):
                db._native.set_embeddings(wanted, vectors.matrix, space)
            report.embeddings += len(wanted)


def _load_edges(db: EmbeddedDB, rows: Rows, report: LoadReport) -> None:
    for batch in rows.batches():
        drafts = [_edge(batch, at) for at in range(batch.size)]
        report.edges += len(_stored(db, batch, drafts, db._native.create_edges, _try_edge))


def _node(batch: Batch, at: int) -> dict[str, Any]:
    labels = batch.value("labels", at)
    draft: dict[str, Any] = {
        "labels": [batch.text("label", at)] if labels is None else labels,
        "properties": batch.properties(at),
    }
    return _with_id(draft, batch, at)


def _edge(batch: Batch, at: int) -> dict[str, Any]:
    draft: dict[str, Any] = {name: batch.text(name, at) for name in ("source", "target", "type")}
    draft["properties"] = batch.properties(at)
    for name in ("weight", "valid_from", "valid_to", "sources"):
        value = batch.value(name, at)
        if value is not None:
            draft[name] = value
    _check_edge(batch, at, draft)
    return _with_id(draft, batch, at)


def _check_edge(batch: Batch, at: int, draft: Mapping[str, Any]) -> None:
    """Check what a trial does not: the database looks at these when they are stored."""
    weight = draft.get("weight", 1.0)
    if not isinstance(weight, int | float) or not math.isfinite(weight):
        raise batch.problem("weight", at, f"it is {weight!r:.60}", "It has to be a finite number")
    begin, end = draft.get("valid_from"), draft.get("valid_to")
    for name, moment in (("valid_from", begin), ("valid_to", end)):
        if moment is not None and not isinstance(moment, datetime):
            raise batch.problem(name, at, f"it is {moment!r:.60}", "It has to be a timestamp")
    if begin is not None and end is not None and begin >= end:
        raise batch.problem("valid_to", at, f"it is {end}, not after valid_from", "Swap them")
    sources = draft.get("sources", [])
    if not isinstance(sources, list) or not all(map(_is_id, sources)):
        raise batch.problem(
            "sources", at, f"it is {sources!r:.60}", "It has to be a list of ids, 1 to 255 bytes"
        )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value.encode()) <= 255 and "\0" not in value


def _with_id(draft: dict[str, Any], batch: Batch, at: int) -> dict[str, Any]:
    """Add the id. A null is refused where there is a column: the row could not be found again."""
    return {**draft, "id": batch.text("id", at)} if "id" in batch.columns else draft


def _try_node(trial: Transaction, draft: dict[str, Any]) -> None:
    trial.create_node(draft)


def _try_edge(trial: Transaction, draft: dict[str, Any]) -> None:
    trial.create_edge(draft)


def _stored(
    db: EmbeddedDB,
    batch: Batch,
    drafts: list[dict[str, Any]],
    store: Callable[[Sequence[dict[str, Any]]], list[str]],
    attempt: Callable[[Transaction, dict[str, Any]], None],
) -> list[str]:
    try:
        return store(drafts)
    except (InvalidInput, AlreadyExists, NotFound) as error:
        # Which row it was is found in a trial that is taken back.
        trial = db._native.transaction()
        try:
            for at, draft in enumerate(drafts):
                _tried(batch, at, trial, draft, attempt)
        finally:
            trial.rollback()
        raise batch.located(error, None, None) from error


def _tried(
    batch: Batch,
    at: int,
    trial: Transaction,
    draft: dict[str, Any],
    attempt: Callable[[Transaction, dict[str, Any]], None],
) -> None:
    try:
        attempt(trial, draft)
    except DbError as error:
        column = _column_of(draft, error)
        if column == "labels" and column not in batch.columns:
            column = "label"
        raise batch.located(error, column, at) from error


def _column_of(draft: Mapping[str, Any], error: DbError) -> str | None:
    """Give the column that a refusal of the database is about."""
    if isinstance(error, NotFound):
        id = vars(error).get("id")
        return "source" if draft.get("source") == id else "target"
    if isinstance(error, AlreadyExists):
        return "id"
    for name in draft.get("properties", {}):
        if f'property "{name}"' in error.message:
            return str(name)
    named = {
        "a label": "labels",
        "at least one label": "labels",
        "a node id": "id",
        "an edge id": "id",
        "an edge type": "type",
    }
    return next((column for words, column in named.items() if words in error.message), None)
