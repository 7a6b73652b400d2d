"""Nodes and edges out of Arrow tables."""

from __future__ import annotations  # names of TYPE_CHECKING

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..arguments import whole_argument
from ..errors import AlreadyExists, InvalidInput, NotFound
from .arrow_table import Batch, Rows, Vectors

if TYPE_CHECKING:
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
        ids = _stored(batch, drafts, db._native.create_nodes)
        report.nodes += len(ids)
        if vectors is not None and vectors.rows:
            wanted = [ids[row] for row in vectors.rows]
            try:
                db._native.set_embeddings(wanted, vectors.matrix, space)
            except (InvalidInput, NotFound) as error:
                at = None if error.item is None else vectors.rows[error.item]
                raise batch.located(error, "vector", at) from error
            report.embeddings += len(wanted)


def _load_edges(db: EmbeddedDB, rows: Rows, report: LoadReport) -> None:
    for batch in rows.batches():
        drafts = [_edge(batch, at) for at in range(batch.size)]
        report.edges += len(_stored(batch, drafts, db._native.create_edges))


def _node(batch: Batch, at: int) -> dict[str, Any]:
    labels = batch.value("labels", at)
    if "label" in batch.columns:
        labels = [batch.text("label", at)]
    elif not isinstance(labels, list | str):
        what = f"it is {labels!r:.60}"
        raise batch.problem("labels", at, what, "It has to be a list of texts")
    draft: dict[str, Any] = {
        "labels": labels,
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
    return _with_id(draft, batch, at)


def _with_id(draft: dict[str, Any], batch: Batch, at: int) -> dict[str, Any]:
    """Add the id. A null is refused where there is a column: the row could not be found again."""
    return {**draft, "id": batch.text("id", at)} if "id" in batch.columns else draft


def _stored(
    batch: Batch,
    drafts: list[dict[str, Any]],
    store: Callable[[Sequence[dict[str, Any]]], list[str]],
) -> list[str]:
    try:
        return store(drafts)
    except (InvalidInput, AlreadyExists, NotFound) as error:
        raise batch.located(error, _column(batch, error), error.item) from error


def _column(batch: Batch, error: InvalidInput | AlreadyExists | NotFound) -> str | None:
    """Give the column that a refusal of the database is about."""
    own = "properties" not in batch.columns and error.property not in batch.known
    column = error.property if own and error.property in batch.columns else error.field
    if column == "labels" and column not in batch.columns:
        column = "label"
    return column if column in batch.columns else None
