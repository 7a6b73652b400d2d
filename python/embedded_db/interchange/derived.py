"""Telling what the weaver has made by the look of it.

The store knows, and does not say: so a record counts as the weaver's when it has the form that only
the weaver gives, an id that was made, and was never changed by anyone else (version 1).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

__all__ = ["MadeBy", "is_derived_node_id", "made_by", "was_made_by_weaver"]

MadeBy = Literal["user", "model"]

NODE_ID: Final = re.compile(r"(?:entity|summary)_[0-9a-f]{32}")
EMBEDDING_ID: Final = re.compile(r"embedding_[0-9a-f]{32}")
NODES: Final = {
    "Entity": ("entity", {"label", "entity_type", "aliases", "mention_count"}),
    "Summary": ("summary", {"chat_id", "text", "first_message", "last_message"}),
}
EDGES: Final = {
    "MENTIONS": ("mentions", {"start", "end"}),
    "RELATED_TO": ("related_to", set[str]()),
    "SUMMARIZES": ("summarizes", set[str]()),
}


def was_made_by_weaver(record: Mapping[str, Any]) -> bool:
    """Tell whether a node or edge is one that the weaver has made and will make again.

    Args:
        record: its line in an export.
    """
    if "labels" in record:
        known = NODES.get(record["labels"][0]) if len(record["labels"]) == 1 else None
    else:
        known = EDGES.get(record["type"])
    if known is None:
        return False
    prefix, properties = known
    return (
        re.fullmatch(rf"{prefix}_[0-9a-f]{{32}}", record["id"]) is not None
        and set(record["properties"]) == properties
        # A summary is rewritten in place, each time as a new version.
        and (record["version"] == 1 or prefix == "summary")
        and ("labels" in record or _is_between_derived(record))
    )


def _is_between_derived(edge: Mapping[str, Any]) -> bool:
    if edge["type"] == "MENTIONS":
        return edge["sources"] == [edge["source"]] and is_derived_node_id(edge["target"])
    if edge["type"] == "SUMMARIZES":
        return edge["sources"] == [edge["target"]] and is_derived_node_id(edge["source"])
    ends = (edge["source"], edge["target"])
    return edge["sources"] == [] and all(is_derived_node_id(end) for end in ends)


def is_derived_node_id(id: str) -> bool:
    """Tell whether an id has the form of those the weaver gives to nodes."""
    return NODE_ID.fullmatch(id) is not None


def made_by(id: str, labels: Sequence[str], model: str) -> MadeBy:
    """Tell who has made an embedding.

    The weaver embeds messages, in the space of its model. A vector that a user has set on a
    message in that very space looks the same, unless it has an id of the user's.

    Args:
        id: the embedding's.
        labels: its node's.
        model: of its space; empty for a space of the user's.
    """
    if not model or "Message" not in labels or EMBEDDING_ID.fullmatch(id) is None:
        return "user"
    return "model"
