"""Writes that are sent together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from .forms import changes_form, edge_changes_form, new_edge, new_embedding, new_id, new_node
from .values import Json

__all__ = ["Transaction"]


class Transaction:
    """Writes that are stored together; see `Client.transaction`."""

    def __init__(self) -> None:
        self._operations: list[Json] = []

    def _add(self, op: str, **given: Any) -> None:
        self._operations.append({"op": op, **given})

    def create_node(self, node: Mapping[str, Any]) -> str:
        """Store a node; give its id.

        Args:
            node: as `Client.create_node` takes it.
        """
        made = new_node(node)
        made.setdefault("id", new_id(made["labels"][0] if made["labels"] else "node"))
        self._add("create_node", node=made)
        return cast("str", made["id"])

    def update_node(
        self, id: str, updates: Mapping[str, Any], *, version: int | None = None
    ) -> None:
        """Change properties of a node.

        Args:
            id: its id.
            updates: the new values by name.
            version: only if it still has this version.
        """
        changes = changes_form(updates) | ({} if version is None else {"version": version})
        self._add("update_node", id=id, changes=changes)

    def delete_node(self, id: str) -> None:
        """Delete a node with its edges.

        Args:
            id: its id.
        """
        self._add("delete_node", id=id)

    def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Store an edge; give its id.

        Args:
            edge: as `Client.create_edge` takes it.
        """
        made = new_edge(edge)
        made.setdefault("id", new_id("edge"))
        self._add("create_edge", edge=made)
        return cast("str", made["id"])

    def update_edge(self, id: str, updates: Mapping[str, Any]) -> None:
        """Change an edge.

        Args:
            id: its id.
            updates: the new values by name.
        """
        self._add("update_edge", id=id, changes=edge_changes_form(updates))

    def retract_edge(self, id: str) -> None:
        """End the belief in an edge.

        Args:
            id: its id.
        """
        self._add("retract_edge", id=id)

    def delete_edge(self, id: str) -> None:
        """Delete an edge with its history.

        Args:
            id: its id.
        """
        self._add("delete_edge", id=id)

    def create_embedding(self, embedding: Mapping[str, Any]) -> None:
        """Store an embedding.

        Args:
            embedding: as `Client.create_embedding` takes it.
        """
        self._add("create_embedding", embedding=new_embedding(embedding))

    def delete_embedding(self, id: str) -> None:
        """Delete an embedding.

        Args:
            id: its id.
        """
        self._add("delete_embedding", id=id)
