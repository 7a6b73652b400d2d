"""Writing an export: one instant of a database as plain files."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from .._native import Edge, Embedding, Node, Snapshot, __version__
from ..errors import BadText, InvalidInput, NotFound, StorageError, Timeout, nearest, shown
from ..files import sync_directory
from .layout import LineWriter, Manifest, VectorWriter
from .values import encoded, from_time

if TYPE_CHECKING:
    from ..database import EmbeddedDB

__all__ = ["ExportReport", "export"]

WOVEN: Final = frozenset({"MENTIONS", "RELATED_TO", "SUMMARIZES"})
"""Types of the edges that the weaver makes; those of chats are made with their messages."""

PAGE: Final = 512
MOST_NAMESPACES: Final = 900
"""Namespaces of one export: each needs a snapshot, of which 1,000 may be held."""
PATIENCE: Final = 10.0
"""Seconds to look for an instant that all namespaces share."""
TRIES: Final = 100
"""How often to look for it at the least."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported.

    Attributes:
        path: the directory.
        lsn: the instant: log sequence number of the last write that it holds.
        namespaces: the namespaces.
        nodes: how many nodes.
        edges: how many edges, with those that were retracted.
        history: how many earlier versions of edges.
        embeddings: how many embeddings; a long text has one for each part.
        bytes: size of all files.
        seconds: how long it took.

    Examples:
        >>> _ = db.create_chat().add_message("Hello")
        >>> report = db.export("copy")
        >>> report.nodes, report.edges, report.embeddings, report.namespaces
        (2, 1, 0, ['default'])
    """

    path: str
    lsn: int
    namespaces: list[str]
    nodes: int
    edges: int
    history: int
    embeddings: int
    bytes: int
    seconds: float


def export(
    db: "EmbeddedDB",
    directory: str | os.PathLike[str],
    namespaces: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Write an export; see `EmbeddedDB.export`."""
    begun = time.perf_counter()
    if not os.fspath(directory):
        raise InvalidInput("the name of the directory is empty", hint="Give a new directory")
    target = os.path.abspath(os.fspath(directory))
    with _new_directory(target, db._native.path) as place, _one_instant(db, namespaces) as pinned:
        spaces = _known_spaces(db, pinned)
        writer = _Writer(place, spaces, pinned, progress)
        described = [
            writer.namespace(number, name, snapshot)
            for number, (name, snapshot) in enumerate(pinned.items())
        ]
        lsn = next(iter(pinned.values())).lsn
        content = {
            "library": __version__,
            "exported_at": from_time(datetime.now(UTC)),
            "lsn": lsn,
            "spaces": spaces,
            "namespaces": described,
        }
        size = Manifest.write(place, content, writer.files)
    counts = {
        kind: sum(each["counts"][kind] for each in described)
        for kind in ("nodes", "edges", "history", "embeddings")
    }
    seconds = time.perf_counter() - begun
    names = [each["name"] for each in described]
    return ExportReport(target, lsn, names, **counts, bytes=size, seconds=seconds)


@contextmanager
def _new_directory(target: str, database: str) -> Iterator[str]:
    """Give a directory that takes the place of ``target`` when all is well, and else goes."""
    try:
        real = os.path.realpath(target)
        if _is_inside(real, database):
            raise InvalidInput(
                f"{shown(target)} lies in the directory of the database itself",
                hint="Export to a directory outside of it",
                path=target,
            )
        parent = os.path.dirname(real)
        if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
            raise InvalidInput(
                f"{shown(target)} exists and is not an empty directory",
                hint="Export to a directory that does not exist",
                path=target,
            )
        place = os.path.join(parent, f".{os.path.basename(real)}.{secrets.token_hex(8)}")
        os.mkdir(place)
    except OSError as error:
        raise _refused(target, error) from error
    except ValueError as error:  # a NUL, or what is no Unicode
        raise BadText(
            f"{shown(target)} cannot be the name of a directory: {error}",
            hint="Leave out NUL characters and lone surrogates",
        ) from error
    try:
        yield place
        if os.path.isdir(real):
            os.rmdir(real)
        os.rename(place, real)
        sync_directory(parent)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _is_inside(path: str, directory: str) -> bool:
    """Tell whether a path without links leads to a directory or into it, by whatever spelling."""
    while True:
        if os.path.exists(path) and os.path.samefile(path, directory):
            return True
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent


def _refused(target: str, error: OSError) -> StorageError:
    return StorageError(
        f"the export {shown(target)} cannot be written: {error.strerror or shown(str(error))}",
        hint="Check the room on the disk and the permissions",
        path=target,
    )


@contextmanager
def _one_instant(db: "EmbeddedDB", names: Sequence[str] | None) -> Iterator[dict[str, Snapshot]]:
    """Pin the same instant in several namespaces."""
    deadline, tries = time.monotonic() + PATIENCE, 0
    pinned: dict[str, Snapshot] = {}
    try:
        while True:
            wanted = _wanted(db, names)
            handles = {name: db._native.namespace(name) for name in wanted}
            for name, handle in handles.items():
                pinned[name] = handle.snapshot()
            same = len({snapshot.lsn for snapshot in pinned.values()}) == 1
            # A namespace made meanwhile would be missing.
            if same and _wanted(db, names) == wanted:
                break
            _close(pinned)
            tries += 1
            # A thread that stood still for as long has not tried.
            if time.monotonic() > deadline and tries >= TRIES:
                raise Timeout(
                    f"in {PATIENCE:.0f} s of steady writing no instant was found that the "
                    f"{len(wanted)} namespaces share",
                    hint="Export when less is written, or name one namespace at a time",
                )
        yield pinned
    finally:
        _close(pinned)


def _close(pinned: dict[str, Snapshot]) -> None:
    for snapshot in pinned.values():
        snapshot.close()
    pinned.clear()


def _wanted(db: "EmbeddedDB", names: Sequence[str] | None) -> list[str]:
    known = db.namespaces()
    if names is None:
        wanted = known if db._parent is None else [db.namespace_name]
    else:
        wanted = list(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in wanted:
        if name not in known:
            raise NotFound(f"there is no namespace {name!r}", hint=nearest(name, known), id=name)
    if not 1 <= len(wanted) <= MOST_NAMESPACES:
        raise InvalidInput(
            f"{len(wanted)} namespaces are to be exported; 1 to {MOST_NAMESPACES} share an instant",
            hint="Name those that are wanted, and export the others apart",
        )
    return wanted


def _known_spaces(db: "EmbeddedDB", pinned: dict[str, Snapshot]) -> list[dict[str, Any]]:
    """Give the spaces that the instant knows; one made since has nothing in it to export."""
    for snapshot in pinned.values():
        page = snapshot.nodes_page(None, None, 1)
        if page:
            spaces = [each for each in db.spaces() if _is_known(snapshot, page[0].id, each)]
            break
    else:
        return []  # without nodes there are no embeddings
    names = [space["name"] for space in spaces]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(
                f"two embedding spaces have the name {name!r}; an export cannot tell them apart",
                hint="Make a database with one of them, and copy to it what is wanted",
            )
    return spaces


def _is_known(snapshot: Snapshot, node: str, space: dict[str, Any]) -> bool:
    try:
        snapshot.get_embeddings_for_node(node, space["name"])
    except NotFound:
        return False
    return True


class _Writer:
    """Writes the files of namespaces."""

    def __init__(
        self,
        directory: str,
        spaces: Sequence[dict[str, Any]],
        pinned: dict[str, Snapshot],
        progress: Progress | None,
    ) -> None:
        self._directory = directory
        self._spaces = spaces
        self._progress = progress
        self._done = 0
        self._total = sum(each.count() + each.count_edges() for each in pinned.values())
        self.files: dict[str, int] = {}

    def namespace(self, number: int, name: str, snapshot: Snapshot) -> dict[str, Any]:
        """Write one namespace.

        Returns:
            What the manifest says of it.
        """
        folder = f"{number:04}"
        os.mkdir(os.path.join(self._directory, folder))
        names = ("nodes", "edges", "history")
        with ExitStack() as open_files:
            files = {
                name: open_files.enter_context(LineWriter(self._path(folder, f"{name}.jsonl")))
                for name in names
            }
            for page in _pages(snapshot):
                for node, due in zip(page, snapshot.due([n.id for n in page]), strict=True):
                    files["nodes"].write(node_record(node, due))
                    self._step()
            for edge in _edges(snapshot):
                files["edges"].write(edge_record(edge))
                if edge.version > 1:
                    for version in snapshot.edge_history(edge.id)[:-1]:
                        files["history"].write({"id": edge.id, **_version(version)})
                if edge.retracted_at is None:
                    self._step()
        counts = {name: files[name].count for name in names} | {"embeddings": 0}
        self.files |= {f"{folder}/{name}.jsonl": counts[name] for name in names}
        embeddings = []
        for at, space in enumerate(self._spaces):
            count = self._embeddings(folder, at, space, snapshot)
            if count:
                embeddings.append(at)
                counts["embeddings"] += count
        declared = [
            {"label": label, "text": text, "embed": embed}
            for label, text, embed in sorted(snapshot.declared_labels())
        ]
        return {
            "name": name,
            "directory": folder,
            "counts": counts,
            "declared": declared,
            "embeddings": embeddings,
        }

    def _path(self, folder: str, file: str) -> str:
        return os.path.join(self._directory, folder, file)

    def _step(self) -> None:
        self._done += 1
        if self._progress is not None and (self._done % PAGE == 0 or self._done == self._total):
            self._progress(self._done, self._total)

    def _embeddings(self, folder: str, at: int, space: dict[str, Any], snapshot: Snapshot) -> int:
        names = [f"embeddings-{at}.jsonl", f"embeddings-{at}.npy"]
        with (
            LineWriter(self._path(folder, names[0])) as lines,
            VectorWriter(self._path(folder, names[1]), space["dim"]) as vectors,
        ):
            for node in chain.from_iterable(_pages(snapshot)):
                for embedding in snapshot.get_embeddings_for_node(node.id, space["name"]):
                    lines.write(_embedding_record(embedding, node, space))
                    vectors.write(embedding.vector)
        for name in names:
            if lines.count:
                self.files[f"{folder}/{name}"] = lines.count
            else:
                os.unlink(self._path(folder, name))
        return lines.count


def _pages(snapshot: Snapshot) -> Iterator[list[Node]]:
    """Iterate over the nodes in the order they were made."""
    after: str | None = None
    while page := snapshot.nodes_page(None, after, PAGE):
        yield page
        after = page[-1].id


def _edges(snapshot: Snapshot) -> Iterator[Edge]:
    """Iterate over the edges in the order they were made, with those that were retracted."""
    after: str | None = None
    while page := snapshot.edges_ever(after, PAGE):
        yield from page
        after = page[-1].id


def node_record(node: Node, due: list[str]) -> dict[str, Any]:
    """Give the line of a node, of which this is due."""
    return {
        "id": node.id,
        "labels": node.labels,
        # Not `encoded` as a whole: names of properties may begin with $.
        "properties": {name: encoded(value) for name, value in node.properties.items()},
        "created_at": from_time(node.created_at),
        "updated_at": from_time(node.updated_at),
        "expires_at": None if node.expires_at is None else from_time(node.expires_at),
        "version": node.version,
        "derived": node.derived,
        "due": due,
    }


def edge_record(edge: Edge) -> dict[str, Any]:
    """Give the line of an edge."""
    return {
        "id": edge.id,
        "source": edge.source,
        "target": edge.target,
        "type": edge.type,
        **_version(edge),
        "derived": edge.derived and edge.type in WOVEN,
        "automatic": edge.derived,
    }


def _version(edge: Edge) -> dict[str, Any]:
    """Give what an edge says, or said."""
    return {
        "properties": {name: encoded(value) for name, value in edge.properties.items()},
        "weight": edge.weight,
        "valid_from": _optional(edge.valid_from),
        "valid_to": _optional(edge.valid_to),
        "recorded_at": from_time(edge.recorded_at),
        "retracted_at": _optional(edge.retracted_at),
        "sources": edge.sources,
        "version": edge.version,
    }


def _optional(moment: datetime | None) -> str | None:
    return None if moment is None else from_time(moment)


def _embedding_record(embedding: Embedding, node: Node, space: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": embedding.id,
        "node_id": embedding.node_id,
        "part": embedding.part,
        "model": embedding.model,
        "made_by": "user" if embedding.set_by_user else "model",
        "created_at": from_time(embedding.created_at),
    }
