"""The index of vectors in NumPy: it compares all of them, so it misses none."""

import errno
import hashlib
import struct
import threading
from typing import Final, NoReturn, Self

import numpy as np

from ..errors import (
    AlreadyExists,
    Corruption,
    FormatTooNew,
    InvalidInput,
    NotFound,
    StorageError,
    StorageFull,
)
from ..files import replace_file
from .given import METRICS, Floats, Integers
from .pure import compare, first_best

__all__ = ["VectorIndex"]

MAGIC: Final = b"edb-hnsw"
VERSION: Final = 1
HEADER: Final = struct.Struct("<8sIIIIQqQ16x")
DIGEST: Final = 32
MAX_ID: Final = (1 << 63) - 2
MAX_DIMENSION: Final = 4096
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class VectorIndex:
    """Vectors in memory, in the order in which they were added."""

    def __init__(self, dim: int, metric: str, links: int, threads: int) -> None:
        self.dim, self.metric, self.links = dim, metric, links
        self._lock = threading.Lock()
        self._ids: Integers = np.empty(0, np.int64)
        self._rows: Floats = np.empty((0, dim), np.float32)
        self._known: set[int] = set()
        self._used = 0
        self._next = 0

    @classmethod
    def load(cls, path: str, threads: int) -> Self:
        """Read the file; what is in it of a graph is not used."""
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise _refused(path, "read", error) from error
        try:
            return cls._parse(content, threads)
        except _Damage as damage:
            raise Corruption(
                f"{path} is damaged: {damage}",
                hint="use another copy of it",
                path=path,
            ) from None
        except _TooNew as found:
            raise FormatTooNew(
                f"{path} has format {found.version}, this version reads up to {VERSION}",
                hint="install a newer embedded-db",
                path=path,
                found=found.version,
                supported=VERSION,
            ) from None

    @classmethod
    def _parse(cls, content: bytes, threads: int) -> Self:
        end = len(content) - DIGEST
        if end < HEADER.size:
            raise _Damage("it is too short")
        if not content.startswith(MAGIC):
            raise _Damage("it does not begin as one")
        view = memoryview(content)
        if hashlib.sha256(view[:end]).digest() != view[end:]:
            raise _Damage("its checksum does not agree")
        _, version, metric, dim, links, slots, following, graph = HEADER.unpack_from(content)
        if version > VERSION:
            raise _TooNew(version)
        if following < 0:
            raise _Damage("its next id")
        if metric >= len(METRICS) or not 1 <= dim <= MAX_DIMENSION or links not in (32, 64):
            raise _Damage("its metric, its dimension or its number of links")
        if HEADER.size + slots * (8 + 4 * dim) + graph != end:
            raise _Damage("its length")
        ids = np.frombuffer(content, "<i8", slots, HEADER.size)
        rows = np.frombuffer(content, "<f4", slots * dim, HEADER.size + 8 * slots)
        held = ids >= 0
        index = cls(dim, METRICS[metric], links, threads)
        index._ids = ids[held].astype(np.int64)
        index._rows = rows.reshape(slots, dim)[held].astype(np.float32)
        index._known, index._used = set(index._ids.tolist()), int(held.sum())
        index._next = following
        unknown = ids[~held] != -1
        if len(index._known) != index._used or unknown.any() or (ids >= following).any():
            raise _Damage("an id")
        if not np.isfinite(index._rows).all():
            raise _Damage("a number that is not finite")
        return index

    def save(self, path: str) -> None:
        """Write the file, without a graph."""
        with self._lock:
            ids, rows = self._ids[: self._used], self._rows[: self._used]
            parts = [
                HEADER.pack(
                    MAGIC,
                    VERSION,
                    METRICS.index(self.metric),
                    self.dim,
                    self.links,
                    self._used,
                    self._next,
                    0,
                ),
                ids.astype("<i8").tobytes(),
                rows.astype("<f4").tobytes(),
            ]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        try:
            replace_file(path, [*parts, digest.digest()])
        except OSError as error:
            raise _refused(path, "write", error) from error

    def count(self) -> int:
        """Number of vectors."""
        return len(self._known)

    def contains(self, id: int) -> bool:
        """Whether there is a vector with this id."""
        return id in self._known

    def add(self, vectors: Floats, ids: Integers | None) -> Integers | None:
        """Add vectors, all or none."""
        if not np.isfinite(vectors).all():
            return None
        with self._lock:
            if ids is None:
                if self._next + len(vectors) > MAX_ID + 1:
                    raise InvalidInput("there are no more ids", hint="give ids that are free")
                ids = np.arange(self._next, self._next + len(vectors), dtype=np.int64)
            else:
                ids = ids.copy()
                self._check_new(ids)
            self._append(vectors, ids)
        return ids

    def _check_new(self, ids: Integers) -> None:
        given: set[int] = set()
        for item, id in enumerate(ids.tolist()):
            if not 0 <= id <= MAX_ID:
                _at(item, InvalidInput(f"the id {id} is not one from 0 to {MAX_ID}"))
            if id in self._known or id in given:
                hint = "remove its vector first, or choose another id"
                _at(item, AlreadyExists(f"the id {id} is taken; {hint}", hint=hint, id=str(id)))
            given.add(id)

    def _append(self, vectors: Floats, ids: Integers) -> None:
        end = self._used + len(vectors)
        if end > len(self._ids):
            size = max(end, 2 * len(self._ids))
            rows, numbers = np.empty((size, self.dim), np.float32), np.empty(size, np.int64)
            rows[: self._used], numbers[: self._used] = (
                self._rows[: self._used],
                self._ids[: self._used],
            )
            # A search that is under way has the arrays of before.
            self._rows, self._ids = rows, numbers
        self._rows[self._used : end], self._ids[self._used : end] = vectors, ids
        self._used = end
        self._known.update(ids.tolist())
        if len(ids):
            self._next = max(self._next, int(ids.max()) + 1)

    def remove(self, ids: Integers) -> None:
        """Remove vectors, all or none."""
        with self._lock:
            gone: set[int] = set()
            for item, id in enumerate(ids.tolist()):
                if id not in self._known:
                    message = f'no vector has the id "{id}"; check the id, it may have been deleted'
                    hint = "check the id, it may have been deleted"
                    _at(item, NotFound(message, hint=hint, kind="vector", id=str(id)))
                if id in gone:
                    hint = "give each id once"
                    _at(item, InvalidInput(f"the id {id} is given twice; {hint}", hint=hint))
                gone.add(id)
            kept = ~np.isin(self._ids[: self._used], ids)
            self._ids, self._rows = self._ids[: self._used][kept], self._rows[: self._used][kept]
            self._used = len(self._ids)
            self._known -= gone

    def search(
        self, query: Floats, k: int, recall: float, filter: Integers | None
    ) -> tuple[Integers, Floats] | None:
        """Give the best for one query."""
        found = self.search_batch(query.reshape(1, -1), k, recall, filter)
        return None if found is None else (found[0][0], found[1][0])

    def search_batch(
        self, queries: Floats, k: int, recall: float, filter: Integers | None
    ) -> tuple[Integers, Floats] | None:
        """Give the best for each query."""
        with self._lock:
            ids, rows = self._ids[: self._used], self._rows[: self._used]
        if filter is not None:
            allowed = np.isin(ids, filter)
            ids, rows = ids[allowed], rows[allowed]
        k = min(k, len(ids)) if len(queries) else 0
        found_ids, found_scores = (
            np.empty((len(queries), k), np.int64),
            np.empty((len(queries), k), np.float32),
        )
        for place, query in enumerate(queries):
            scores = compare(self.metric, query.reshape(1, -1), rows)
            if scores is None:
                return None
            best, found_scores[place] = first_best(scores[0], k)
            found_ids[place] = ids[best]
        return found_ids, found_scores


class _Damage(Exception):
    """What a file says cannot be."""


class _TooNew(Exception):
    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def _at(item: int, error: InvalidInput | AlreadyExists | NotFound) -> NoReturn:
    error._place("item", item)
    raise error


def _refused(path: str, doing: str, error: OSError) -> StorageError | StorageFull:
    kind = StorageFull if error.errno in FULL else StorageError
    return kind(f"{path}: cannot {doing} the file: {error.strerror or error}", path=path)
