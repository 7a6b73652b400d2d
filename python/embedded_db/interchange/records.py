"""Records of an export, as the database takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from .layout import damaged
from .values import decoded, to_time

__all__ = [
    "BATCH",
    "Located",
    "batched",
    "edge_of",
    "joined",
    "node_of",
    "spared",
    "vectors_in",
    "version_of",
    "whole",
]

T = TypeVar("T")

BATCH: Final = 1000
"""Records that are stored in one step."""
SPARED: Final = timedelta(days=1)
"""What is to expire stays so long at the least, until its edges and vectors are there too."""

Located = tuple[str, dict[str, Any]]
"""Where a record stands, and what it says."""


def node_of(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a node to be made."""
    with whole(place):
        expires_at = record.get("expires_at")
        return {
            "expires_at": None if expires_at is None else to_time(expires_at),
            "id": record["id"],
            "labels": record["labels"],
            "properties": _properties(record),
        }


def edge_of(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Give an edge to be made."""
    with whole(place):
        times = {
            name: to_time(record[name])
            for name in ("valid_from", "valid_to")
            if record[name] is not None
        }
        return {
            **{name: record[name] for name in ("id", "source", "target", "type", "weight")},
            "properties": _properties(record),
            "sources": record["sources"],
            **times,
        }


def version_of(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Give what an edge said."""
    with whole(place):
        times = ("valid_from", "valid_to", "recorded_at", "retracted_at")
        return {
            **{name: None if record[name] is None else to_time(record[name]) for name in times},
            "version": record["version"],
            "weight": record["weight"],
            "sources": record["sources"],
            "properties": _properties(record),
        }


def _properties(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: decoded(value) for name, value in record["properties"].items()}


def vectors_in(path: str, dim: int) -> npt.NDArray[np.float32]:
    """Map the vectors of a space.

    Raises:
        Corruption: they are none, or of another length.
    """
    try:
        vectors: npt.NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise damaged(path, f"it is no array: {error}") from error
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != dim:
        raise damaged(path, f"it holds {vectors.dtype}{list(vectors.shape)}, not float32[n, {dim}]")
    return vectors


def joined(parts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give one vector for a node that was embedded in parts: their normalised mean."""
    if len(parts) == 1:
        return np.array(parts[0], dtype=np.float32)
    mean = parts.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length else mean, dtype=np.float32)


def spared(expires_at: datetime) -> datetime:
    """Give the time at which something that is being brought in expires for now."""
    return max(expires_at, datetime.now(UTC) + SPARED)


def batched(items: Iterable[T]) -> Iterator[list[T]]:
    """Give what is stored in one step after the other."""
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


@contextmanager
def whole(place: str) -> Iterator[None]:
    """Make an error of what a record lacks or has in another form."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise damaged(place, f"it has not the form of a record: {error!r}") from error
