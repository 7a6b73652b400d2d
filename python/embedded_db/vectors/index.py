"""An index of vectors in memory, for those who need no database."""

import os
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, shown
from . import backend
from .given import (
    Floats,
    Integers,
    check_metric,
    count,
    integers,
    matrix,
    refuse_non_finite,
    vector,
)

__all__ = ["HnswIndex"]

MAX_DIMENSION: Final = 4096
LINKS: Final = (64, 32)


class HnswIndex:
    """Vectors under ids, of which the nearest to a query are found quickly.

    A graph over int8 codes of the vectors (hierarchical navigable small worlds, Malkov and
    Yashunin, 2016), the same as in the database; the best by codes are compared by float32. A
    vector is found from the moment it was added. New ones are compared one by one until they are
    many, 4,096 or an eighth of those in the graph; the call that makes them so many links them, and
    takes some 100 µs a vector. Any number of threads may search, add and remove: one at a time
    changes the index, searches go on meanwhile.

    All of it is in memory, about 2,300 bytes a vector of 384 dimensions, and on the disk when it is
    saved. Without the native module every search compares all vectors: that is exact, and slower.

    Args:
        dim: number of dimensions, at most 4,096.
        metric: ``"cosine"``, ``"dot"`` or ``"euclidean"``.
        links: links of a vector in the graph: 64, or 32, which takes 128 bytes less a vector and
            1.3 times as long for the same recall.
        threads: threads that link vectors and search for batches; as many as there are processors
            without.

    Raises:
        InvalidInput: an argument is none of these.

    Examples:
        >>> index = HnswIndex(2)
        >>> index.add_batch([[1, 0], [0, 1], [1, 1]])
        array([0, 1, 2])
        >>> ids, scores = index.search([1, 0.1], k=2)
        >>> ids, scores.round(3)
        (array([0, 2]), array([0.995, 0.774], dtype=float32))
        >>> len(index), 2 in index, index.dim, index.metric, index.links
        (3, True, 2, 'cosine', 64)
    """

    _index: backend.VectorIndex

    def __init__(
        self,
        dim: int,
        metric: Literal["cosine", "dot", "euclidean"] = "cosine",
        *,
        links: Literal[64, 32] = 64,
        threads: int | None = None,
    ) -> None:
        dimensions = count(dim, "dim")
        if dimensions > MAX_DIMENSION:
            raise InvalidInput(f"dim is {dim}", hint=f"It is at most {MAX_DIMENSION}", field="dim")
        if links not in LINKS:
            raise InvalidInput(f"links is {shown(links)}", hint="It is 64 or 32", field="links")
        name, workers = check_metric(metric), _threads(threads)
        self._index = backend.VectorIndex(dimensions, name, links, workers)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> Self:
        """Read an index that was saved.

        Args:
            path: the file.
            threads: as for the constructor.

        Returns:
            The index as it was.

        Raises:
            Corruption: the file is not what was saved.
            FormatTooNew: a later version has saved it.
            StorageError: the file cannot be read.

        Examples:
            >>> index = HnswIndex(2, "dot")
            >>> index.add([1, 2], id=7)
            7
            >>> index.save("vectors.hnsw")
            >>> HnswIndex.load("vectors.hnsw").search([1, 1], k=1)
            (array([7]), array([3.], dtype=float32))
        """
        index = cls.__new__(cls)
        index._index = backend.VectorIndex.load(os.fsdecode(path), _threads(threads))
        return index

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index into a file, in the place of what is there.

        After a crash the file is the old or the new one. What is added meanwhile is in it or not.
        It has a version and a checksum, and is read with or without the native module.

        Args:
            path: the file; its directory is there.

        Raises:
            StorageError: the file cannot be written.
            StorageFull: there is no room.

        Examples:
            >>> index = HnswIndex(2)
            >>> index.save("vectors.hnsw")
            >>> len(HnswIndex.load("vectors.hnsw"))
            0
        """
        self._index.save(os.fsdecode(path))

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return self._index.dim

    @property
    def metric(self) -> str:
        """How vectors are compared."""
        return self._index.metric

    @property
    def links(self) -> int:
        """Links of a vector in the graph."""
        return self._index.links

    def __len__(self) -> int:
        return self._index.count()

    def __contains__(self, id: object) -> bool:
        if isinstance(id, bool) or not isinstance(id, (int, np.integer)):
            return False
        number = int(id)
        return 0 <= number < 1 << 63 and self._index.contains(number)

    def __repr__(self) -> str:
        return f"HnswIndex({self.dim}, {self.metric!r}, links={self.links}) of {len(self)} vectors"

    def add(self, vector: npt.ArrayLike, id: int | None = None) -> int:
        """Add a vector.

        Args:
            vector: float32[d]; it is copied.
            id: a whole number from 0 on; one more than the greatest there was without.

        Returns:
            Its id.

        Raises:
            AlreadyExists: the id is taken.
            DimensionMismatch: the vector has another dimension than the index.
            InvalidInput: it is no vector, or the id is none.
            NonFiniteVector: the vector holds NaN or an infinity.

        Examples:
            >>> index = HnswIndex(2)
            >>> index.add([1, 0]), index.add([0, 1], id=40), index.add([1, 1])
            (0, 40, 41)
        """
        row = _vector(vector, "vector", self.dim)
        ids = None if id is None else integers([id], "id")
        added = self._index.add(row.reshape(1, -1), ids)
        if added is None:
            raise _not_finite(vector=row)
        return int(added[0])

    def add_batch(self, vectors: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> Integers:
        """Add vectors, all or none; searches see them one after the other.

        Ctrl-C while they are linked leaves them in the index.

        Args:
            vectors: float32[n, d]; they are copied.
            ids: int64[n], each from 0 on; counted up from the greatest there was without.

        Returns:
            Their ids, int64[n].

        Raises:
            AlreadyExists: an id is taken, or given twice; ``item`` is its place.
            DimensionMismatch: the vectors have another dimension than the index.
            InvalidInput: something is no array of vectors or of ids, or has another length.
            NonFiniteVector: a vector holds NaN or an infinity; ``item`` is its row.

        Examples:
            >>> HnswIndex(2).add_batch([[1, 0], [0, 1]], ids=[7, 3])
            array([7, 3])
        """
        rows = matrix(vectors, "vectors", self.dim)
        numbers = None if ids is None else integers(ids, "ids")
        if numbers is not None and len(numbers) != len(rows):
            raise InvalidInput(
                f"{len(rows)} vectors have {len(numbers)} ids",
                hint="Give one id for each",
                field="ids",
            )
        added = self._index.add(rows, numbers)
        if added is None:
            raise _not_finite(vectors=rows)
        return added

    def remove(self, ids: int | npt.ArrayLike) -> None:
        """Remove vectors, all or none.

        They are not found from now on. Their memory is given back when three tenths of the vectors,
        and 1,024, were removed: the call that makes them so many links all others anew.

        Args:
            ids: an id, or int64[n].

        Raises:
            NotFound: an id is not there.
            InvalidInput: it is no array of ids, or one is given twice.

        Examples:
            >>> index = HnswIndex(2)
            >>> ids = index.add_batch([[1, 0], [0, 1], [1, 1]])
            >>> index.remove(1)
            >>> index.remove([0, 2])
            >>> len(index)
            0
        """
        given: Any = [ids] if isinstance(ids, (int, np.integer)) else ids
        self._index.remove(integers(given, "ids"))

    def search(
        self,
        query: npt.ArrayLike,
        k: int = 10,
        *,
        recall: float = 0.98,
        filter: npt.ArrayLike | None = None,
    ) -> tuple[Integers, Floats]:
        """Find the nearest vectors.

        Args:
            query: float32[d].
            k: how many, from 1 on.
            recall: which part of the nearest should be found: up to 0.95, to 0.98, and above are
                three efforts; 1.0 compares all vectors by float32, and misses none.
            filter: ids that may be found, as an array, a list or a set; others do not matter. As
                many as qualify are found. It costs time for each id.

        Returns:
            The ids, int64[m], and the scores, float32[m], best first, of equal ones the first
            added; ``m`` is ``k``, or how many there are. A larger score is better: for
            ``"euclidean"`` it is the negative distance.

        Raises:
            DimensionMismatch: the query has another dimension than the index.
            InvalidInput: an argument is none of these.
            NonFiniteVector: the query holds NaN or an infinity.

        Examples:
            >>> index = HnswIndex(2)
            >>> ids = index.add_batch([[1, 0], [0, 1], [1, 1]])
            >>> ids, scores = index.search([1, 0], k=2, filter=[1, 2])
            >>> ids, scores.round(3)
            (array([2, 1]), array([0.707, 0.   ], dtype=float32))
        """
        asked = vector(query, "query", self.dim)
        found = self._index.search(asked, count(k, "k"), _recall(recall), _ids(filter))
        if found is None:
            raise _not_finite(query=asked)
        return found

    def search_batch(
        self,
        queries: npt.ArrayLike,
        k: int = 10,
        *,
        recall: float = 0.98,
        filter: npt.ArrayLike | None = None,
    ) -> tuple[Integers, Floats]:
        """Find the nearest vectors for many queries, in several threads.

        All see the same state of the index: adding and removing wait for the last of them.

        Args:
            queries: float32[m, d].
            k: as for `search`.
            recall: as for `search`.
            filter: as for `search`, for all queries.

        Returns:
            The ids, int64[m, k], and the scores, float32[m, k]; fewer than ``k`` where fewer
            qualify.

        Raises:
            DimensionMismatch: the queries have another dimension than the index.
            InvalidInput: an argument is none of these.
            NonFiniteVector: a query holds NaN or an infinity; ``item`` is its row.

        Examples:
            >>> index = HnswIndex(2, "euclidean")
            >>> ids = index.add_batch([[1, 0], [0, 1], [4, 4]])
            >>> index.search_batch([[1, 0], [3, 4]], k=1)
            (array([[0],
                   [2]]), array([[ 0.],
                   [-1.]], dtype=float32))
        """
        asked = matrix(queries, "queries", self.dim)
        found = self._index.search_batch(asked, count(k, "k"), _recall(recall), _ids(filter))
        if found is None:
            raise _not_finite(queries=asked)
        return found


# A parameter has this name, too.
_vector = vector


def _threads(threads: int | None) -> int:
    return (os.cpu_count() or 1) if threads is None else min(count(threads, "threads"), 1024)


def _ids(ids: npt.ArrayLike | None) -> Integers | None:
    return None if ids is None else integers(ids, "filter")


def _recall(recall: float) -> float:
    given: object = recall
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= 1:
        raise InvalidInput(
            f"recall is {shown(recall)}", hint="It is a share above 0, at most 1", field="recall"
        )
    return float(given)


def _not_finite(**arrays: Floats) -> InvalidInput:
    refuse_non_finite(**arrays)
    return InvalidInput(
        "an array was changed while it was read", hint="Change it when the call has returned"
    )
