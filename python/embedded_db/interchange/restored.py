"""One namespace of an export, brought into an empty one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import AlreadyExists, Conflict, InvalidInput, NotFound
from .layout import damaged
from .namespace import Namespace
from .records import BATCH, Located, batched, node_of, spared, vectors_in, version_of, whole
from .values import to_time

if TYPE_CHECKING:
    from .importing import OnConflict

__all__ = ["Restored"]

T = TypeVar("T")


class Restored(Namespace):
    """Brings one namespace of an export into an empty one, as it was."""

    _stored = 0

    def is_begun(self) -> bool:
        """Tell whether what is there is the beginning of this: an import that was broken off."""
        wanted = self._wanted("nodes.jsonl")
        after: str | None = None
        while page := self._native.nodes_page(None, after, BATCH):
            for node in page:
                place, record = next(wanted, ("", {}))
                if not record:
                    return False
                with whole(place):
                    said = record["id"], record["version"], to_time(record["created_at"])
                    changed = to_time(record["updated_at"])
                if (*said, changed) != (node.id, node.version, node.created_at, node.updated_at):
                    return False
            after = page[-1].id
        return True

    def conflicts(self, on_conflict: OnConflict) -> Iterator[str]:
        """Give nothing: nothing is there."""
        return iter(())

    def write(self) -> Iterator[int]:
        """Store everything, yielding how many records each step was about."""
        self._declare()
        spaces = self._manifest.spaces
        # What was in use comes first, and so is in use here.
        uses = [(not space["default"], space.get("state") != "in use") for space in spaces]
        order = sorted(range(len(spaces)), key=uses.__getitem__)
        foreign = {at for at in order if not self._make_space(spaces[at])}
        for batch in batched(self._wanted("nodes.jsonl", count=True)):
            records = [self._node(place, record) for place, record in batch]
            for record in records:
                if record["expires_at"] is not None:
                    self._expiries.append((record["id"], record["expires_at"]))
                    record["expires_at"] = spared(record["expires_at"])
            self._report.nodes += self._store(self._native.restore_nodes, batch, records)
            yield len(batch)
        for edges in batched(self._edges()):
            records = [record for _, record in edges]
            earlier = sum(len(record["versions"]) - 1 for record in records)
            stored = self._store(self._native.restore_edges, edges, records)
            self._report.edges += stored
            self._report.history += earlier if stored == len(records) else 0
            yield len(edges) + earlier
        for at in self._entry["embeddings"]:
            yield from self._restore_space(at, spaces[at], at in foreign)
        if not self._rebuild and self._stored:
            self._restore_due()
        for expiries in batched(self._expiries):
            self._native.restore_expiries([{"id": id, "expires_at": at} for id, at in expiries])

    def _declare(self) -> None:
        known = self._native.declared_labels()
        for each in self._entry["declared"]:
            if (each["label"], each["text"], each["embed"]) not in known:
                self._native.declare_label(each["label"], each["text"], each["embed"])

    def _make_space(self, space: Mapping[str, Any]) -> bool:
        with whole(self._manifest.directory):
            names = ("name", "model", "provider", "precision", "dim", "metric")
            return self._native.restore_space(
                {name: space[name] for name in names}, space["default"]
            )

    def _leaves(self, place: str, record: Mapping[str, Any]) -> bool:
        with whole(place):
            return self._rebuild and record["derived"] and record["id"] not in self._tied

    def _node(self, place: str, record: Mapping[str, Any]) -> dict[str, Any]:
        with whole(place):
            return {
                **node_of(place, record),
                "version": record["version"],
                "created_at": to_time(record["created_at"]),
                "updated_at": to_time(record["updated_at"]),
                # What comes along without the weaver's edges is the user's from now on.
                "derived": False if self._rebuild else record["derived"],
            }

    def _edges(self) -> Iterator[Located]:
        """Iterate over the edges with their earlier versions."""
        lines = self._lines("history.jsonl")
        before = groupby(lines, key=_id_of)
        of, versions = _next_versions(before)
        for place, record in self._lines("edges.jsonl"):
            earlier: list[Located] = []
            with whole(place):
                if of is not None and of == record["id"]:
                    earlier = versions
                    of, versions = _next_versions(before)
            if self._leaves(place, record):
                self._report.left_out += 1 + len(earlier)
                continue
            with whole(place):
                names = ("id", "source", "target", "type")
                edge = {name: record[name] for name in names}
                said = [version_of(*located) for located in [*earlier, (place, record)]]
                yield place, {**edge, "derived": record["automatic"], "versions": said}
        if of is not None:
            place = versions[0][0]
            raise damaged(
                place, f"it is of the edge {of!r:.80}, whose turn it is not in edges.jsonl"
            )

    def _restore_space(self, at: int, space: Mapping[str, Any], foreign: bool) -> Iterator[int]:
        path = self._manifest.file(self._entry, f"embeddings-{at}.npy")
        vectors = vectors_in(path, space["dim"])
        rows = enumerate(self._lines(f"embeddings-{at}.jsonl"))
        for batch in batched(rows):
            records, places = [], []
            for row, (place, record) in batch:
                with whole(place):
                    by_user = record["made_by"] == "user"
                    if not by_user and (foreign or self._rebuild):
                        self._report.left_out += 1
                        continue
                    if row >= len(vectors):
                        raise damaged(path, f"it has {len(vectors)} rows, too few")
                    places.append((place, record))
                    records.append(
                        {
                            "id": record["id"],
                            "node_id": record["node_id"],
                            "space": space["name"],
                            "part": record["part"],
                            "set_by_user": by_user,
                            "created_at": to_time(record["created_at"]),
                            "vector": np.array(vectors[row], dtype=np.float32),
                        }
                    )
            stored = self._store(self._native.restore_embeddings, places, records)
            self._report.embeddings += stored
            yield len(batch)

    def _restore_due(self) -> None:
        """Say what is due, now that everything is there that is not."""
        for batch in batched(self._lines("nodes.jsonl")):
            due = []
            for place, record in batch:
                with whole(place):
                    due.append({"id": record["id"], "due": record["due"]})
            self._located(self._native.restore_due, batch, due)

    def _store(
        self,
        store: Callable[[list[dict[str, Any]], bool], int],
        places: Sequence[Located],
        records: list[dict[str, Any]],
    ) -> int:
        skip = self._on_conflict == "skip"
        stored: int = self._located(lambda given: store(given, skip), places, records)
        self._report.skipped += len(records) - stored
        self._stored += stored
        return stored

    def _located(
        self,
        store: Callable[[list[dict[str, Any]]], T],
        places: Sequence[Located],
        records: list[dict[str, Any]],
    ) -> T:
        """Store records; an error says where the one stands that it is about."""
        try:
            return store(records)
        except AlreadyExists as error:
            raise Conflict(
                f"{error.message}: another writer made it meanwhile, or the export has it twice",
                hint='Import into an empty database or namespace, or with on_conflict="skip"',
            ) from error
        except (InvalidInput, NotFound) as error:
            if error.item is None:
                raise
            what = error.message.removeprefix(f"item {error.item}: ")
            fields = {name: value for name, value in error._fields.items() if name != "item"}
            place = places[error.item][0]
            raise type(error)(f"{place}: {what}", hint=error.hint, **fields) from error


def _id_of(located: Located) -> str:
    place, record = located
    with whole(place):
        return str(record["id"])


def _next_versions(groups: Iterator[tuple[Any, Iterator[Located]]]) -> tuple[Any, list[Located]]:
    of, group = next(groups, (None, iter(())))
    return of, list(group)
