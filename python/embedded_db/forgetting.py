"""Forgetting, for good: what only a database does with what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from .checks import MAX_LIMIT
from .errors import NotFound, is_one_of, shown
from .memory import Memory, one_to_forget, source_of
from .models.owner import IdLike
from .transaction import Transaction, run

if TYPE_CHECKING:
    from .database import EmbeddedDB

__all__ = ["Forgetting"]


class Forgetting(Memory):
    """What only a database does with what it keeps."""

    def forget(
        self,
        id: IdLike | None = None,
        *,
        source: IdLike | None = None,
        namespace: str | None = None,
    ) -> int:
        """Delete a node, everything from one source, or a namespace, with all that was derived.

        A chat goes with its messages, a document with its parts, an entity that nobody mentions
        any more goes too. A fact that is forgotten might never have been told: the facts whose
        place it took are current again, or superseded by the one that took its own place. To have
        neither, forget both. Exactly one argument is given.

        Args:
            id: a node of any kind, or its id.
            source: the source of documents, facts and whatever else has a property ``source`` of
                this value. Up to 10,000 nodes are forgotten in one step, more in several.
            namespace: the namespace to drop.

        Returns:
            How many nodes were asked for and deleted: 1 for an id, those of the source, or those
            the namespace held.

        Raises:
            InvalidInput: none or several of the arguments are given.
            NotFound: there is no such node or namespace. A source without nodes gives 0.

        Examples:
            >>> _ = db.remember("The launch is on Friday", source="https://example.org/plan")
            >>> db.forget(source="https://example.org/plan")
            1
            >>> db.forget(source="https://example.org/plan")
            0
            >>> old = db.remember("Eve lives in Oslo")
            >>> new = db.remember("Eve lives in Rome", supersedes=old)
            >>> _ = db.forget(new)
            >>> old.refresh()
            >>> old.current
            True
        """
        one_to_forget(id=id, source=source, namespace=namespace)
        database = cast("EmbeddedDB", self)
        if namespace is not None:
            if not is_one_of(namespace, database.namespaces()):
                raise NotFound(
                    f"the namespace {shown(namespace)} does not exist",
                    hint="db.namespaces() lists them",
                    id=shown(namespace),
                )
            held = database.namespace(namespace).count()
            database.drop_namespace(namespace)
            return held
        if id is not None:
            database.delete_node(id)
            return 1
        return _forget_source(database, source_of(source))

    def _in_one_step(self, write: Callable[[Transaction], str]) -> object:
        database = cast("EmbeddedDB", self)
        id = run(database, write, own=True)
        found = database.get_node(id)
        if found is None:  # somebody deleted it in between
            raise NotFound(f"node {id!r} was deleted as soon as it was made", id=id)
        return found


def _forget_source(database: EmbeddedDB, source: object) -> int:
    by_source = [{"property": "source", "operator": "Equals", "value": source}]

    def delete_some(tx: Transaction) -> int:
        found = tx.query(structural_filters=by_source, limit=MAX_LIMIT)
        ids = [result.node.id for result in found]
        for id in ids:
            if tx.get_node(id) is not None:  # it may have gone with its document
                tx.delete_node(id)
        return len(ids)

    forgotten = 0
    while True:
        step = run(database, delete_some, own=True)
        forgotten += step
        if step < MAX_LIMIT:
            return forgotten
