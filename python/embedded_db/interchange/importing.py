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
        history: earlier versions of edges stored.
        embeddings: embeddings stored.
        skipped: nodes, edges and embeddings that were there already and stayed as they were.
        replaced: those that were there already and are now as in the export.
        left_out: those that the weaver makes anew; and, of a namespace that was not empty, edges
            that were retracted and earlier versions of edges.
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
    history: int = 0
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
    report = TransferReport([handle.namespace_name for handle, _ in handles])
    parts = [
        _part(db, handle, manifest, entry, on_conflict, derived, report)
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


def _part(
    db: "EmbeddedDB",
    native: Database,
    manifest: Manifest,
    entry: Mapping[str, Any],
    on_conflict: OnConflict,
    derived: Derived,
    report: TransferReport,
) -> "_Namespace":
    """Decide how a namespace is brought in: as it was where nothing is, or beside what is there."""
    rebuild = derived == "rebuild"
    restored = _Restored(native, manifest, entry, on_conflict, rebuild, report)
    if native.count() == 0 or (on_conflict == "skip" and restored.is_begun()):
        part: _Namespace = restored
    else:
        woven = db.config.ml is not None
        if derived == "keep" and woven:
            raise InvalidInput(
                'derived is "keep", but the weaver of this database makes the same once more for '
                f"what is in {native.namespace_name!r} already",
                hint='Import with derived="rebuild", or into an empty database or namespace',
            )
        rebuild = rebuild or (derived == "auto" and woven)
        part = _Namespace(native, manifest, entry, on_conflict, rebuild, report)
    if rebuild:
        report.derived = "rebuild"
    return part


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


def _spared(expires_at: datetime) -> datetime:
    return max(expires_at, datetime.now(UTC) + SPARED)


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
        """Iterate over the nodes or edges that are not left out."""
        for place, record in self._lines(file):
            if not self._leaves(place, record):
                yield place, record
            elif count:
                self._report.left_out += 1

    def _leaves(self, place: str, record: Mapping[str, Any]) -> bool:
        with _whole(place):
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
                node["expires_at"] = _spared(at)
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
                transaction.commit([], [])
            except Conflict:
                if attempt + 1 == ATTEMPTS:
                    raise
            except DbError:
                transaction.rollback()
                raise
            else:
                return


class _Restored(_Namespace):
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
                with _whole(place):
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
        foreign = {at for at, space in enumerate(spaces) if not self._make_space(space)}
        for batch in _batched(self._wanted("nodes.jsonl", count=True)):
            records = [self._node(place, record) for place, record in batch]
            for record in records:
                if record["expires_at"] is not None:
                    self._expiries.append((record["id"], record["expires_at"]))
                    record["expires_at"] = _spared(record["expires_at"])
            self._report.nodes += self._store(self._native.restore_nodes, batch, records)
            yield len(batch)
        for edges in _batched(self._edges()):
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
        for expiries in _batched(self._expiries):
            self._native.restore_expiries([{"id": id, "expires_at": at} for id, at in expiries])

    def _declare(self) -> None:
        known = self._native.declared_labels()
        for each in self._entry["declared"]:
            if (each["label"], each["text"], each["embed"]) not in known:
                self._native.declare_label(each["label"], each["text"], each["embed"])

    def _make_space(self, space: Mapping[str, Any]) -> bool:
        with _whole(self._manifest.directory):
            names = ("name", "model", "provider", "precision", "dim", "metric")
            return self._native.restore_space(
                {name: space[name] for name in names}, space["default"]
            )

    def _leaves(self, place: str, record: Mapping[str, Any]) -> bool:
        with _whole(place):
            return self._rebuild and record["derived"] and record["id"] not in self._tied

    def _node(self, place: str, record: Mapping[str, Any]) -> dict[str, Any]:
        with _whole(place):
            return {
                **_node(place, record),
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
            with _whole(place):
                if of is not None and of == record["id"]:
                    earlier = versions
                    of, versions = _next_versions(before)
            if self._leaves(place, record):
                self._report.left_out += 1 + len(earlier)
                continue
            with _whole(place):
                names = ("id", "source", "target", "type")
                edge = {name: record[name] for name in names}
                said = [_version(*located) for located in [*earlier, (place, record)]]
                yield place, {**edge, "derived": record["automatic"], "versions": said}
        if of is not None:
            place = versions[0][0]
            raise damaged(
                place, f"it is of the edge {of!r:.80}, whose turn it is not in edges.jsonl"
            )

    def _restore_space(self, at: int, space: Mapping[str, Any], foreign: bool) -> Iterator[int]:
        path = self._manifest.file(self._entry, f"embeddings-{at}.npy")
        vectors = _vectors(path, space["dim"])
        rows = enumerate(self._lines(f"embeddings-{at}.jsonl"))
        for batch in _batched(rows):
            records, places = [], []
            for row, (place, record) in batch:
                with _whole(place):
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
        for batch in _batched(self._lines("nodes.jsonl")):
            due = []
            for place, record in batch:
                with _whole(place):
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
    with _whole(place):
        return str(record["id"])


def _next_versions(groups: Iterator[tuple[Any, Iterator[Located]]]) -> tuple[Any, list[Located]]:
    of, group = next(groups, (None, iter(())))
    return of, list(group)


def _version(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Give what an edge said."""
    with _whole(place):
        times = ("valid_from", "valid_to", "recorded_at", "retracted_at")
        return {
            **{name: None if record[name] is None else to_time(record[name]) for name in times},
            "version": record["version"],
            "weight": record["weight"],
            "sources": record["sources"],
            "properties": {name: decoded(value) for name, value in record["properties"].items()},
        }


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
