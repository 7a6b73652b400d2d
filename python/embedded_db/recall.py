"""Associative recall: what is checked before activation spreads."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .checks import (
    SEVERAL,
    ids,
    moment,
    names,
    native_query,
    number,
    vector,
    whole,
    wrong,
)
from .checks import direction as facing
from .query import ConvergedQuery, Direction, Filter, GraphFilter

__all__ = ["MAX_SEEDS", "native_recall"]

MAX_BURSTS: Final = 100
MAX_SEEDS: Final = 1000
MOST_RESTART: Final = 1.0 - 1e-6


def native_recall(
    cue: object,
    *,
    bursts: object,
    seeds: object,
    restart: object,
    edge_types: object,
    direction: Direction,
    valid_at: object,
    structural_filters: Sequence[Filter],
    graph_filter: GraphFilter | None,
    labels: object,
    limit: object,
    timeout: object,
    explain: object,
    strengthen: object,
) -> dict[str, Any]:
    """Check what something is recalled by, and give the dict that native code takes.

    Raises:
        InvalidQuery: a field is malformed.
        NonFiniteVector: the vector holds NaN or an infinity.
    """
    within = native_query(
        structural_filters=structural_filters,
        graph_filter=graph_filter,
        semantic_query=None,
        # It ranks, so that nothing else need restrict.
        text_query={"text": "recall"},
        order_by=(),
        labels=labels,
        limit=limit,
        rank=None,
        wait=None,
        timeout=timeout,
        explain=explain,
        exact=False,
    )
    del within["text_query"]
    if not isinstance(strengthen, bool):
        raise wrong("strengthen", strengthen, "True or False")
    native = {
        **_cue(cue),
        "strengthen": strengthen,
        "bursts": whole("bursts", bursts, 1, MAX_BURSTS),
        "seeds": whole("seeds", seeds, 1, MAX_SEEDS),
        "restart": number("restart", restart, least=0.0, most=MOST_RESTART),
        "direction": facing(direction),
        "within": within,
    }
    if edge_types is not None:
        native["edge_types"] = names("edge_types", edge_types)
    if valid_at is not None:
        native["valid_at"] = moment("valid_at", valid_at)
    return native


def _cue(cue: object) -> dict[str, Any]:
    """Tell a text, a query, nodes and a vector apart."""
    if isinstance(cue, str):
        if not cue.strip():
            raise wrong("cue", cue, "a text that is not empty")
        return {"text": cue}
    if isinstance(cue, ConvergedQuery):
        return {"query": cue.native}
    if isinstance(getattr(cue, "id", None), str):
        return {"nodes": ids("cue", cue)}
    if isinstance(cue, np.ndarray) and cue.dtype.kind in "fiu":
        return {"vector": vector(cue, "cue")}
    if isinstance(cue, SEVERAL) and cue:
        first = next(iter(cue))
        is_number = isinstance(first, int | float | np.number) and not isinstance(first, bool)
        return {"vector": vector(cue, "cue")} if is_number else {"nodes": _nodes(cue)}
    raise wrong("cue", cue, "a text, ids of nodes, a vector or a ConvergedQuery")


def _nodes(cue: object) -> list[str]:
    found = ids("cue", cue)
    if len(found) > MAX_SEEDS:
        raise wrong("cue", f"{len(found)} nodes", f"at most {MAX_SEEDS} nodes")
    return found
