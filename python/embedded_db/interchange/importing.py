"""Reading an export into a database."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from .._native import Database, Transaction
from ..arguments import choice_argument
from ..errors import AlreadyExists, Conflict, DbError, InvalidInput, NotFound, ReadOnly
from ..fields import DELETE
from .layout import Manifest, damaged, read_lines
from .values import decoded, to_time

if TYPE_CHECKING:
    from ..database import EmbeddedDB

__all__ = ["Derived", "OnConflict", "TransferReport", "import_export"]

T = TypeVar("T")

DERIVED_ID: Final = re.compile(r"(?:entity|summary)_[0-9a-f]{32}")

BATCH: Final = 1000
"""Records that are stored in one step."""
MOST_LISTED: Final = 100
"""Conflicts that an error lists."""
ATTEMPTS: Final = 10
SPARED: Final = timedelta(days=1)
"""What is to expire stays so long at the least, until its edges and vectors are there too."""

OnConflict = Literal["error", "skip", "replace"]
"""What becomes of ids that are taken: an error, what is there stays, or the export's."""
Derived = Literal["auto", "keep", "rebuild"]
"""What becomes of what the weaver had made; see `EmbeddedDB.import_`."""
Progress = Callable[[int, int], None]
Located = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class TransferReport:
    """What an import of an export did.

    Attributes:
        namespaces: the namespaces written to.
        nodes: nodes stored.
        edges: edges stored.
        embeddings: embeddings stored.
        skipped: nodes, edges and embeddings that were there already and stayed as they were.
        replaced: those that were there already and are now as in the export.
        left_out: those that the weaver makes anew.
        derived: ``"keep"`` or ``"rebuild"``, as it was done.
        seconds: how long it took.

    Examples:
        >>> _ = db.create_chat().add_message("Hello")
        >>> _ = db.export("copy")
        >>> report = db.import_("copy", on_conflict="skip")
        >>> report.nodes, report.skipped, report.derived
        (0, 3, 'keep')
    """

    namespaces: list[str]
    nodes: int = 0
    edges: int = 0
    embeddings: int = 0
    skipped: int = 0
    replaced: int = 0
    left_out: int = 0
    derived: str = "keep"
    seconds: float = 0.0


def import_export(
    db: "EmbeddedDB",
    directory: str | os.PathLike[str],
    on_conflict: OnConflict = "error",
    derived: Derived = "auto",
    progress: Progress | None = None,
) -> TransferReport:
    """Read an export into a database; see `EmbeddedDB.import_`."""
    begun = time.perf_counter()
    choice_argument("on_conflict", on_conflict, get_args(OnConflict))
    choice_argument("derived", derived, get_args(Derived))
    if db.read_only:
        raise ReadOnly(
            f"{db.path!r} is open for reading only", hint="Open it for writing", path=db.path
        )
    manifest = Manifest.read(os.fspath(directory))
    handles = _handles(db, manifest)
    rebuild = _rebuilds(db, derived)
    report = TransferReport(
        [handle.namespace_name for handle, _ in handles],
        derived="rebuild" if rebuild else "keep",
    )
    parts = [
        _Namespace(handle, manifest, entry, on_conflict, rebuild, report)
        for handle, entry in handles
    ]
    if on_conflict != "skip":
        _check_conflicts(parts, on_conflict)
    total = sum(sum(entry["counts"].values()) for _, entry in handles)
    done = 0
    with _resting(db):
        for part in parts:
            for count in part.write():
                done += count
                if progress is not None:
                    progress(done, total)
    report.seconds = time.perf_counter() - begun
    return report


def _handles(db: "EmbeddedDB", manifest: Manifest) -> list[tuple[Database, Mapping[str, Any]]]:
    """Give what each namespace of the export goes to."""
    entries = manifest.namespaces
    if db._parent is None:
        return [(db._native.namespace(entry["name"]), entry) for entry in entries]
    if len(entries) != 1:
        raise InvalidInput(
            f"the export holds {len(entries)} namespaces, but is imported into the namespace "
            f"{db.namespace_name!r}",
            hint="Import it through the handle that EmbeddedDB(path) gives, or export one of them",
            path=manifest.directory,
        )
    return [(db._native, entries[0])]


def _rebuilds(db: "EmbeddedDB", derived: Derived) -> bool:
    woven = db.config.ml is not None
    if derived == "keep" and woven:
        raise InvalidInput(
            'derived is "keep", but the weaver of this database makes the same once more',
            hint='Import with derived="rebuild", or into a database opened with ml=None',
        )
    return woven if derived == "auto" else derived == "rebuild"


@contextmanager
def _resting(db: "EmbeddedDB") -> Iterator[None]:
    """Keep the weaver from messages whose chats are not there yet."""
    if db.config.ml is None:
        yield
        return
    db._native.pause_weaver()
    try:
        yield
    finally:
        db._native.resume_weaver()


# ---------------------------------------------------------------------- records


def _node(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    with _whole(place):
        expires_at = record.get("expires_at")
        return {
            "expires_at": None if expires_at is None else to_time(expires_at),
            "id": record["id"],
            "labels": record["labels"],
            "properties": {name: decoded(value) for name, value in record["properties"].items()},
        }


def _edge(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    with _whole(place):
        if record["retracted_at"] is not None:
            raise InvalidInput(
                f"{place}: the edge {record['id']!r} was retracted, which cannot be stored again",
                hint="Remove it from the export with a library that reads it",
            )
        times = {
            name: to_time(record[name])
            for name in ("valid_from", "valid_to")
            if record[name] is not None
        }
        return {
            **{name: record[name] for name in ("id", "source", "target", "type", "weight")},
            "properties": {name: decoded(value) for name, value in record["properties"].items()},
            "sources": record["sources"],
            **times,
        }


@contextmanager
def _whole(place: str) -> Iterator[None]:
    """Make an error of what a record lacks or has in another form."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise damaged(place, f"it has not the form of a record: {error!r}") from error


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


# ---------------------------------------------------------------------- conflicts


def _check_conflicts(parts: Sequence["_Namespace"], on_conflict: OnConflict) -> None:
    found: list[str] = []
    count = 0
    for part in parts:
        for conflict in part.conflicts(on_conflict):
            count += 1
            if len(found) < MOST_LISTED:
                found.append(conflict)
    if count:
        listed = ", ".join(found[:10]) + (", …" if count > 10 else "")
        what = "are taken" if on_conflict == "error" else "are of other labels or nodes"
        raise AlreadyExists(
            f"{count} ids of the export {what}: {listed}",
            hint='Import into an empty database or namespace, or with on_conflict="skip"'
            + (' or "replace"' if on_conflict == "error" else ""),
            id=found[0],
            conflicts=found,
            count=count,
        )


class _Namespace:
    """Brings one namespace of an export into the database."""

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
            with _whole(place):
                if not record["derived"]:
                    ends = (record["source"], record["target"])
                    tied |= {end for end in ends if _has_an_id_that_was_made(end)}
        for at in self._entry["embeddings"]:
            for place, record in self._lines(f"embeddings-{at}.jsonl"):
                with _whole(place):
                    if record["made_by"] == "user" and _has_an_id_that_was_made(record["node_id"]):
                        tied.add(record["node_id"])
        return tied

    def _wanted(self, file: str, *, count: bool = False) -> Iterator[Located]:
        """Iterate over the nodes or edges that are not left to the weaver."""
        for place, record in self._lines(file):
            with _whole(place):
                leave = self._rebuild and record["derived"] and record["id"] not in self._tied
            if not leave:
                yield place, record
            elif count:
                self._report.left_out += 1

    def _wanted_embeddings(
        self, at: int, *, count: bool = False
    ) -> Iterator[tuple[str, list[dict[str, Any]], int]]:
        """Iterate over the embeddings of whole nodes: their parts, and the first one's row."""
        row = 0
        lines = self._lines(f"embeddings-{at}.jsonl")
        for _, group in groupby(lines, key=lambda located: located[1].get("node_id")):
            parts = list(group)
            place, first = parts[0]
            with _whole(place):
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
        for batch in _batched(self._wanted("nodes.jsonl")):
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
        for batch in _batched(self._wanted("nodes.jsonl", count=True)):
            self._write_nodes([_node(place, record) for place, record in batch])
            yield len(batch)
        for batch in _batched(self._wanted("edges.jsonl", count=True)):
            self._write_edges([_edge(place, record) for place, record in batch])
            yield len(batch)
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
                node["expires_at"] = max(at, datetime.now(UTC) + SPARED)
        stored = self._native.get_many([node["id"] for node in nodes])
        new = [node for node, found in zip(nodes, stored, strict=True) if found is None]
        self._native.create_nodes(new)
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
        vectors = _vectors(path, space["dim"])
        for batch in _batched(self._wanted_embeddings(at, count=True)):
            drafts = []
            for place, parts, row in batch:
                with _whole(place):
                    if row + len(parts) > len(vectors):
                        raise damaged(path, f"it has {len(vectors)} rows, too few")
                    drafts.append(
                        {
                            "id": parts[0]["id"],
                            "node_id": parts[0]["node_id"],
                            "space": space["name"],
                            "vector": _joined(vectors[row : row + len(parts)]),
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
                transaction.commit()
            except Conflict:
                if attempt + 1 == ATTEMPTS:
                    raise
            except DbError:
                transaction.rollback()
                raise
            else:
                return


def _vectors(path: str, dim: int) -> npt.NDArray[np.float32]:
    try:
        vectors: npt.NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise damaged(path, f"it is no array: {error}") from error
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != dim:
        raise damaged(path, f"it holds {vectors.dtype}{list(vectors.shape)}, not float32[n, {dim}]")
    return vectors


def _joined(parts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give one vector for a node that was embedded in parts: their normalised mean."""
    if len(parts) == 1:
        return np.array(parts[0], dtype=np.float32)
    mean = parts.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length else mean, dtype=np.float32)


def _has_an_id_that_was_made(id: str) -> bool:
    """Tell whether the weaver may have made a node: it never gives another form of id."""
    return DERIVED_ID.fullmatch(id) is not None
