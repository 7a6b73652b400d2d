"""What is sent to a server, in the forms of its document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from ..checks import plain
from ..errors import BadText, InvalidInput, shown
from ..fields import DELETE
from ..interchange.values import encoded, from_time
from .values import Json

__all__ = [
    "as_of_form",
    "changes_form",
    "edge_changes_form",
    "edges_form",
    "formed",
    "new_edge",
    "new_embedding",
    "new_id",
    "new_message",
    "new_node",
    "numbers_form",
    "query_form",
    "seconds_form",
    "segment",
    "time_form",
    "walk_form",
]


def time_form(value: object) -> str:
    """Give a time as text."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidInput(f"{shown(value)} is no time with a time zone", hint="Add one")
    return from_time(value)


def seconds_form(ttl: float | timedelta) -> float:
    """Give a duration in seconds."""
    return ttl.total_seconds() if isinstance(ttl, timedelta) else ttl


def numbers_form(vector: npt.ArrayLike) -> list[float]:
    """Give the numbers of a vector."""
    return cast("list[float]", np.asarray(vector, dtype=np.float32).tolist())


def _dict(given: object, what: str) -> Json:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{what} is {shown(given)}", hint="Give a dict")
    return dict(given)


_FORMS: Final[dict[str, Callable[[Any], Any]]] = {
    "properties": encoded,
    "set": encoded,
    "expires_at": time_form,
    "valid_from": time_form,
    "valid_to": time_form,
    "timestamp": time_form,
    "ttl": seconds_form,
    "embedding": numbers_form,
    "vector": numbers_form,
}


def formed(given: Json) -> Json:
    """Give what is not left out in the forms of JSON."""
    kept = {name: value for name, value in given.items() if value is not None}
    return {name: _FORMS.get(name, lambda it: it)(value) for name, value in kept.items()}


def new_node(node: object) -> Json:
    """Give a node as it is sent."""
    given = _dict(node, "a node")
    labels = given.pop("labels", None) or []
    labels = [labels] if isinstance(labels, str) else list(labels)
    if (label := given.pop("label", None)) is not None:
        labels.append(label)
    return {**formed(given), "labels": labels}


def new_edge(edge: object) -> Json:
    """Give an edge as it is sent."""
    given = _dict(edge, "an edge")
    for end in ("source", "target"):
        given[end] = getattr(given.get(end), "id", given.get(end))
    return formed(given)


def new_embedding(embedding: object) -> Json:
    """Give an embedding as it is sent."""
    given = _dict(embedding, "an embedding")
    given["node_id"] = getattr(given.get("node_id"), "id", given.get("node_id"))
    return formed(given)


_MESSAGE: Final = (
    *("id", "content", "sender", "role", "timestamp", "ttl", "expires_at"),
    *("embedding", "embedding_space"),
)


def new_message(message: Json) -> Json:
    """Give a checked message as it is sent."""
    own = {name: value for name, value in message.items() if name in _MESSAGE}
    rest = {name: value for name, value in message.items() if name not in own}
    rest.pop("chat_id", None)
    return formed({**own, "properties": rest or None})


def changes_form(updates: object) -> Json:
    """Give changes of properties as they are sent."""
    given = _dict(updates, "updates")
    put = {name: value for name, value in given.items() if value is not DELETE}
    removed = [name for name, value in given.items() if value is DELETE]
    return {"set": encoded(put), "remove": removed}


def edge_changes_form(updates: object) -> Json:
    """Give changes of an edge as they are sent."""
    given = _dict(updates, "updates")
    own: Json = {}
    for name in ("weight", "valid_from", "valid_to"):
        if name in given:
            value = given.pop(name)
            if name == "weight":
                own[name] = 1.0 if value is DELETE else value
            else:
                own[name] = None if value is DELETE or value is None else time_form(value)
    return {**own, **changes_form(given)}


def query_form(native: Mapping[str, Any]) -> Json:
    """Give a checked query as it is sent."""
    out = cast("Json", encoded(plain(dict(native))))
    for name in ("valid_at", "known_at"):
        if name in out.get("graph_filter", {}):
            out["graph_filter"][name] = out["graph_filter"][name]["$time"]
    return out


def segment(id: object) -> str:
    """Give an id, or that of an object, as a part of a path."""
    text = id if isinstance(id, str) else getattr(id, "id", None)
    if not isinstance(text, str) or not text:
        raise InvalidInput(f"the id is {shown(id)}", hint="Give a text that is not empty")
    try:
        encoded_id = quote(text, safe="")
    except UnicodeEncodeError:
        raise BadText(f"the id {shown(text)} is not valid Unicode") from None
    # Whole segments of dots mean something else in paths.
    return encoded_id.replace(".", "%2E") if set(text) == {"."} else encoded_id


def as_of_form(valid_at: datetime | None, known_at: datetime | None) -> Json:
    """Give the times of a read, where there are any."""
    given = {"valid_at": valid_at, "known_at": known_at}
    return {name: time_form(value) for name, value in given.items() if value is not None}


def edges_form(
    type: str | Sequence[str] | None,
    direction: str,
    valid_at: datetime | None,
    known_at: datetime | None,
) -> Json:
    """Give which edges of a node are asked for."""
    way = "both" if direction == "any" else direction
    return {"type": type, "direction": way, **as_of_form(valid_at, known_at)}


def walk_form(
    edge_types: str | Sequence[str] | None,
    direction: str,
    valid_at: datetime | None,
    known_at: datetime | None,
) -> Json:
    """Give which edges a walk follows."""
    types = [edge_types] if isinstance(edge_types, str) else edge_types
    given = {"edge_types": None if types is None else list(types), "direction": direction}
    return {**given, **as_of_form(valid_at, known_at)}


def new_id(label: str) -> str:
    """Make an id."""
    return f"{label.lower()}_{uuid4().hex}"
