"""Reading an export into a database."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from .._native import Database
from ..arguments import choice_argument
from ..errors import AlreadyExists, InvalidInput, ReadOnly
from .layout import Manifest
from .namespace import Namespace
from .restored import Restored

if TYPE_CHECKING:
    from ..database import EmbeddedDB

__all__ = ["Derived", "OnConflict", "TransferReport", "import_export"]

MOST_LISTED: Final = 100
"""Conflicts that an error lists."""

OnConflict = Literal["error", "skip", "replace"]
"""What becomes of ids that are taken: an error, what is there stays, or the export's."""
Derived = Literal["auto", "keep", "rebuild"]
"""What becomes of what the weaver had made; see `EmbeddedDB.import_`."""
Progress = Callable[[int, int], None]


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
) -> Namespace:
    """Decide how a namespace is brought in: as it was where nothing is, or beside what is there."""
    rebuild = derived == "rebuild"
    restored = Restored(native, manifest, entry, on_conflict, rebuild, report)
    if native.count() == 0 or (on_conflict == "skip" and restored.is_begun()):
        part: Namespace = restored
    else:
        woven = db.config.ml is not None
        if derived == "keep" and woven:
            raise InvalidInput(
                'derived is "keep", but the weaver of this database makes the same once more for '
                f"what is in {native.namespace_name!r} already",
                hint='Import with derived="rebuild", or into an empty database or namespace',
            )
        rebuild = rebuild or (derived == "auto" and woven)
        part = Namespace(native, manifest, entry, on_conflict, rebuild, report)
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


def _check_conflicts(parts: Sequence[Namespace], on_conflict: OnConflict) -> None:
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
