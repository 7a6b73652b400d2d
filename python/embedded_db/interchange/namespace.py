"""One namespace of an export, brought in beside what is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from ..errors import Conflict, DbError, NotFound
from ..fields import DELETE
from .layout import Manifest, damaged, read_lines
from .records import Located, batched, edge_of, joined, node_of, spared, vectors_in, whole

if TYPE_CHECKING:
    from .._native import Database, Transaction
    from .importing import OnConflict, TransferReport

__all__ = ["Namespace"]

DERIVED_ID: Final = re.compile(r"(?:entity|summary)_[0-9a-f]{32}")
ATTEMPTS: Final = 10


class Namespace:
    """Brings one namespace of an export in beside what is there: with new times and versions."""

    def __init__(
        self,
        native: Database,
        manifest: Manifest,
        entry: Mapping[str, Any],
        on_conflict: OnConflict,
        rebuild: bool,
        report: TransferReport,
    ) -> None:
        self._native = native
        self._manifest = manifest
        self._entry = entry
        self._on_conflict = on_conflict
        self._rebuild = rebuild
        self._report = report
        self._tied = self._tied_nodes() if rebuild else set()
        self._expiries: list[tuple[str, datetime | None]] = []

    def _lines(self, name: str) -> Iterator[Located]:
        return read_lines(self._manifest.file(self._entry, name))

    def _tied_nodes(self) -> set[str]:
        """Nodes of the weaver that something of a user's is tied to: they come along."""
        tied: set[str] = set()
        for place, record in self._lines("edges.jsonl"):
            with whole(place):
                if not record["derived"]:
                    ends = (record["source"], record["target"])
                    tied |= {end for end in ends if _has_an_id_that_was_made(end)}
        for at in self._entry["embeddings"]:
            for place, record in self._lines(f"embeddings-{at}.jsonl"):
                with whole(place):
                    if record["made_by"] == "user" and _has_an_id_that_was_made(record["node_id"]):
                        tied.add(record["node_id"])
        return tied

    def _wanted(self, file: str, *, count: bool = False) -> Iterator[Located]:
        """Iterate over the nodes or edges that are not left out."""
        for place, record in self._lines(file):
            if not self._leaves(place, record):
                yield place, record
            elif count:
                self._report.left_out += 1

    def _leaves(self, place: str, record: Mapping[str, Any]) -> bool:
        with whole(place):
            left_to_weaver = self._rebuild and record["derived"] and record["id"] not in self._tied
            return left_to_weaver or record.get("retracted_at") is not None

    def _wanted_embeddings(
        self, at: int, *, count: bool = False
    ) -> Iterator[tuple[str, list[dict[str, Any]], int]]:
        """Iterate over the embeddings of whole nodes: their parts, and the first one's row."""
        row = 0
        lines = self._lines(f"embeddings-{at}.jsonl")
        for _, group in groupby(lines, key=lambda located: located[1].get("node_id")):
            parts = list(group)
            place, first = parts[0]
            with whole(place):
                leave = self._rebuild and first["made_by"] == "model"
            if not leave:
                yield place, [record for _, record in parts], row
            elif count:
                self._report.left_out += len(parts)
            row += len(parts)

    # ------------------------------------------------------------------ conflicts

    def conflicts(self, on_conflict: OnConflict) -> Iterator[str]:
        """Give the ids that are taken, or that cannot be replaced."""
        if self._native.count() == 0:
            return
        for batch in batched(self._wanted("nodes.jsonl")):
            stored = self._native.get_many([record["id"] for _, record in batch])
            for (_, record), node in zip(batch, stored, strict=True):
                if node is not None and (
                    on_conflict == "error" or set(node.labels) != set(record["labels"])
                ):
                    yield record["id"]
        if on_conflict == "error":
            for _, record in self._wanted("edges.jsonl"):
                if self._native.get_edge(record["id"]) is not None:
                    yield record["id"]
        for at in self._entry["embeddings"]:
            for _, parts, _ in self._wanted_embeddings(at):
                stored_embedding = self._native.get_embedding(parts[0]["id"])
                if stored_embedding is not None and (
                    on_conflict == "error" or stored_embedding.node_id != parts[0]["node_id"]
                ):
                    yield parts[0]["id"]

    # ------------------------------------------------------------------ writing

    def write(self) -> Iterator[int]:
        """Store everything, yielding how many records each step was about."""
        for batch in batched(self._wanted("nodes.jsonl", count=True)):
            self._write_nodes([node_of(place, record) for place, record in batch])
            yield len(batch)
        for batch in batched(self._wanted("edges.jsonl", count=True)):
            self._write_edges([edge_of(place, record) for place, record in batch])
            yield len(batch)
        self._report.left_out += self._entry["counts"]["history"]
        spaces = self._manifest.spaces
        # The first space of a new database becomes its default one.
        for at in sorted(self._entry["embeddings"], key=lambda at: not spaces[at].get("default")):
            yield from self._write_space(at, spaces[at])
        for id, expires_at in self._expiries:
            with suppress(NotFound):  # somebody deleted it meanwhile
                self._native.set_expires_at(id, expires_at)

    def _write_nodes(self, nodes: list[dict[str, Any]]) -> None:
        times = [node.pop("expires_at") for node in nodes]
        for node, at in zip(nodes, times, strict=True):
            if at is not None:
                node["expires_at"] = spared(at)
        stored = self._native.get_many([node["id"] for node in nodes])
        new = [node for node, found in zip(nodes, stored, strict=True) if found is None]
        self._native.create_bare_nodes(new)
        self._report.nodes += len(new)
        self._expiries += [
            (node["id"], at)
            for node, found, at in zip(nodes, stored, times, strict=True)
            if (at is not None and found is None)
            or (found is not None and self._on_conflict == "replace" and found.expires_at != at)
        ]
        known = [
            (node, found.properties)
            for node, found in zip(nodes, stored, strict=True)
            if found is not None
        ]
        if self._on_conflict != "replace":
            self._settle(len(known))
            return
        for node, properties in known:
            gone = dict.fromkeys(properties.keys() - node["properties"].keys(), DELETE)
            self._native.update_node(node["id"], {**gone, **node["properties"]})
        self._report.replaced += len(known)

    def _settle(self, known: int) -> None:
        """Count what is there already; nobody had it there when conflicts were looked for."""
        if known and self._on_conflict == "error":
            raise Conflict(
                f"{known} ids of the export were taken by another writer meanwhile",
                hint='Import once more with on_conflict="skip" or "replace"',
            )
        self._report.skipped += known

    def _write_edges(self, edges: list[dict[str, Any]]) -> None:
        new = [edge for edge in edges if self._native.get_edge(edge["id"]) is None]
        self._native.create_edges(new)
        self._report.edges += len(new)
        if len(new) == len(edges):
            return
        if self._on_conflict != "replace":
            self._settle(len(edges) - len(new))
            return
        fresh = {edge["id"] for edge in new}
        known = [edge for edge in edges if edge["id"] not in fresh]

        def replace(transaction: Transaction) -> None:
            for edge in known:
                transaction.delete_edge(edge["id"])
                transaction.create_edge(edge)

        self._commit(replace)
        self._report.replaced += len(known)

    def _write_space(self, at: int, space: Mapping[str, Any]) -> Iterator[int]:
        path = self._manifest.file(self._entry, f"embeddings-{at}.npy")
        vectors = vectors_in(path, space["dim"])
        for batch in batched(self._wanted_embeddings(at, count=True)):
            drafts = []
            for place, parts, row in batch:
                with whole(place):
                    if row + len(parts) > len(vectors):
                        raise damaged(path, f"it has {len(vectors)} rows, too few")
                    drafts.append(
                        {
                            "id": parts[0]["id"],
                            "node_id": parts[0]["node_id"],
                            "space": space["name"],
                            "vector": joined(vectors[row : row + len(parts)]),
                        }
                    )
            self._write_embeddings(drafts, space["name"])
            yield len(batch)

    def _write_embeddings(self, drafts: list[dict[str, Any]], space: str) -> None:
        new: list[dict[str, Any]] = []
        known: list[dict[str, Any]] = []
        for draft in drafts:
            (known if self._has(draft, space) else new).append(draft)

        def store(transaction: Transaction) -> None:
            if self._on_conflict == "replace":
                for draft in known:
                    if self._native.get_embedding(draft["id"]) is not None:
                        transaction.delete_embedding(draft["id"])
                    transaction.create_embedding(draft)
            for draft in new:
                transaction.create_embedding(draft)

        self._commit(store)
        self._report.embeddings += len(new)
        if self._on_conflict == "replace":
            self._report.replaced += len(known)
        else:
            self._settle(len(known))

    def _has(self, draft: Mapping[str, Any], space: str) -> bool:
        """Tell whether the id is taken, or the node has a vector in this space already."""
        if self._native.get_embedding(draft["id"]) is not None:
            return True
        if all(known["name"] != space for known in self._native.spaces()):
            return False
        return self._native.get_embedding_for_node(draft["node_id"], space) is not None

    def _commit(self, write: Callable[[Transaction], None]) -> None:
        for attempt in range(ATTEMPTS):
            transaction = self._native.transaction()
            try:
                write(transaction)
                transaction.commit([], [])
            except Conflict:
                if attempt + 1 == ATTEMPTS:
                    raise
            except DbError:
                transaction.rollback()
                raise
            else:
                return


def _has_an_id_that_was_made(id: str) -> bool:
    """Tell whether the weaver may have made a node: it never gives another form of id."""
    return DERIVED_ID.fullmatch(id) is not None
