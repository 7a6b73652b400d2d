"""Promise: an index finds what is in it, whatever was added, removed and saved before.

The same holds with the native module and without; a file of one is read by the other, and a
damaged one is told.
"""

import hashlib
import os
import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from embedded_db import (
    AlreadyExists,
    Corruption,
    DimensionMismatch,
    FormatTooNew,
    InvalidInput,
    NonFiniteVector,
    NotFound,
    StorageError,
)

from .shared import NATIVE, PURE

METRICS = ["cosine", "dot", "euclidean"]


def scores_of(metric, query, rows):
    query, rows = query.astype(np.float64), rows.astype(np.float64)
    if metric == "euclidean":
        return -np.linalg.norm(rows - query, axis=1)
    dots = rows @ query
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    return dots if metric == "dot" else np.where(lengths > 0, dots / np.maximum(lengths, 1e-30), 0)


class Histories(RuleBasedStateMachine):
    """Both forms of an index beside a dict."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(5)
        self.made = None

    @precondition(lambda self: self.made is None)
    @rule(metric=st.sampled_from(METRICS), dim=st.integers(1, 20))
    def make(self, metric, dim):
        self.made, self.dim, self.metric = {}, dim, metric
        self.indexes = [each.HnswIndex(dim, metric, threads=2) for each in (NATIVE, PURE)]

    @precondition(lambda self: self.made is not None)
    @rule(count=st.integers(0, 40), odd=st.booleans())
    def add(self, count, odd):
        rows = self.rng.normal(size=(count, self.dim)).astype(np.float32)
        if odd and count:
            rows[0], rows[-1] = 0, rows[count // 2]
        first, second = (index.add_batch(rows) for index in self.indexes)
        assert first.tolist() == second.tolist()
        self.made.update(zip(first.tolist(), rows, strict=True))

    @precondition(lambda self: self.made is not None)
    @rule(id=st.integers(0, 200))
    def add_one(self, id):
        row = self.rng.normal(size=self.dim).astype(np.float32)
        for index in self.indexes:
            if id in self.made:
                with pytest.raises(AlreadyExists):
                    index.add(row, id=id)
            else:
                assert index.add(row, id=id) == id
        self.made.setdefault(id, row)

    @precondition(lambda self: self.made)
    @rule(step=st.integers(1, 5))
    def remove(self, step):
        gone = list(self.made)[::step]
        for index in self.indexes:
            index.remove(gone)
        for id in gone:
            del self.made[id]

    @precondition(lambda self: self.made is not None)
    @rule(k=st.integers(1, 12), few=st.booleans(), recall=st.sampled_from([0.9, 0.98, 1.0]))
    def search(self, k, few, recall):
        query = self.rng.normal(size=self.dim).astype(np.float32)
        allowed = [*list(self.made)[::3], 10**9] if few else None
        known = [id for id in self.made if allowed is None or id in allowed]
        rows = np.array([self.made[id] for id in known], np.float32).reshape(-1, self.dim)
        expected = scores_of(self.metric, query, rows)
        best = np.sort(expected)[::-1][:k]
        for index in self.indexes:
            ids, scores = index.search(query, k, recall=recall, filter=allowed)
            assert len(ids) == len(scores) == min(k, len(known))
            assert scores == pytest.approx(best, rel=1e-5, abs=1e-5)
            own = expected[[known.index(id) for id in ids.tolist()]]
            assert scores == pytest.approx(own, rel=1e-5, abs=1e-5)
            many = index.search_batch([query, query], k, recall=recall, filter=allowed)
            assert many[0].tolist() == [ids.tolist()] * 2
            assert many[1].tolist() == [scores.tolist()] * 2

    @invariant()
    def counted(self):
        for index in self.indexes if self.made is not None else ():
            assert len(index) == len(self.made)
            assert all(id in index for id in list(self.made)[:5])
            assert -1 not in index
            assert 10**9 not in index


Histories.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
test_both_find_what_a_dict_has = Histories.TestCase


def clustered(count, dim, seed=6):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(60, dim))
    wide = centres[rng.integers(0, 60, count)] + 0.6 * rng.normal(size=(count, dim))
    return wide.astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_a_graph_finds_what_comparing_all_finds(both, metric):
    rows, queries = clustered(9_000, 48), clustered(60, 48, seed=8)
    indexes = [vectors.HnswIndex(48, metric) for vectors in both]
    for index in indexes:
        index.add_batch(rows)
        index.remove(np.arange(0, 9_000, 9))
    half = np.arange(0, 9_000, 2)
    for allowed, least in ((None, 0.95), (half, 0.95), (half[:300], 1.0)):
        exact, _ = indexes[1].search_batch(queries, 10, filter=allowed)
        checked, _ = indexes[0].search_batch(queries, 10, recall=1.0, filter=allowed)
        assert np.mean(checked == exact) > 0.99  # but for scores that are nearly equal
        found, scores = indexes[0].search_batch(queries, 10, filter=allowed)
        right = sum(len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True))
        assert right >= least * exact.size
        assert (found % 9 != 0).all()
        for query, ids, score in zip(queries, found, scores, strict=True):
            assert score == pytest.approx(scores_of(metric, query, rows[ids]), rel=1e-5, abs=1e-5)


def test_searches_beside_an_adder_are_right(vectors):
    rows = clustered(6_000, 16)
    index = vectors.HnswIndex(16, "euclidean", threads=1)
    added, errors = [0], []

    def add():
        for begin in range(0, len(rows), 200):
            ids = index.add_batch(rows[begin : begin + 200])
            index.remove(ids[:1])
            added[0] = begin + 200

    def search():
        turn = 0
        while turn < 40 or added[0] < len(rows):
            known = added[0]
            if not known:
                continue
            row = turn * 7919 % known
            ids, _ = index.search(rows[row], k=2)
            if (ids[0] == row) == (row % 200 == 0):
                errors.append(row)
            turn += 1

    threads = [threading.Thread(target=target) for target in (add, search, search)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(index) == 6_000 - 30


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", [0, 1], ids=["native writes", "pure writes"])
@pytest.mark.parametrize("reader", [0, 1], ids=["native reads", "pure reads"])
@pytest.mark.parametrize("count", [0, 1, 500, 5_000])
def test_a_saved_index_is_the_same(both, writer, reader, count, tmp_path):
    path = tmp_path / "vectors.hnsw"
    rows, queries = clustered(count, 12), clustered(20, 12, seed=9)
    index = both[writer].HnswIndex(12, "dot", links=32)
    index.add_batch(rows, ids=np.arange(count) * 3)
    index.remove(np.arange(0, count, 7) * 3)
    index.save(str(path))
    index.save(path)
    assert os.listdir(tmp_path) == [path.name]
    again = both[reader].HnswIndex.load(path, threads=1)
    assert (again.dim, again.metric, again.links) == (12, "dot", 32)
    assert len(again) == len(index)
    ids, scores = index.search_batch(queries, 5, recall=1.0)
    found, others = again.search_batch(queries, 5, recall=1.0)
    assert scores == pytest.approx(others, rel=1e-5, abs=1e-5)
    assert np.mean(ids == found) > 0.98 if ids.size else found.size == 0
    assert again.add(np.ones(12)) == max(0, 3 * count - 2)


def test_a_damaged_file_is_told(both, vectors, tmp_path):
    for writer in both:
        index = writer.HnswIndex(3)
        index.add_batch([[1, 2, 3], [4, 5, 6]])
        index.save(tmp_path / "good")
        good = (tmp_path / "good").read_bytes()
        bad = tmp_path / "bad"
        for place in range(0, len(good), 3):
            for damaged in (
                good[:place],
                good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :],
            ):
                bad.write_bytes(damaged)
                with pytest.raises(Corruption) as refused:
                    vectors.HnswIndex.load(bad)
                assert refused.value.path == str(bad)
                assert refused.value.hint
        bad.write_bytes(good + b"x")
        with pytest.raises(Corruption):
            vectors.HnswIndex.load(bad)


def sealed(content):
    return content + hashlib.sha256(content).digest()


def test_a_file_whose_checksum_is_right_is_not_trusted_either(both, vectors, tmp_path):
    index = both[1].HnswIndex(3, links=32)
    index.add_batch([[1, 2, 3], [4, 5, 6]])
    index.save(tmp_path / "good")
    content = (tmp_path / "good").read_bytes()[:-32]
    bad = tmp_path / "bad"

    def changed(place, new):
        return sealed(content[:place] + new + content[place + len(new) :])

    wrong = {
        "metric": changed(12, b"\x07"),
        "dimension": changed(16, b"\x00"),
        "links": changed(20, b"\x05"),
        "slots": changed(24, b"\xff" * 8),
        "next id": changed(32, b"\xff" * 8),
        "graph": changed(40, b"\x08"),
        "id below": changed(64, (-2).to_bytes(8, "little", signed=True)),
        "id twice": changed(72, (0).to_bytes(8, "little")),
        "id too high": changed(72, (9).to_bytes(8, "little")),
        "not finite": changed(80, np.float32(np.nan).tobytes()),
        "short": sealed(content[:-4]),
        "header": sealed(content[:60]),
    }
    for damaged in wrong.values():
        bad.write_bytes(damaged)
        with pytest.raises(Corruption, match="damaged"):
            vectors.HnswIndex.load(bad)
    bad.write_bytes(changed(8, b"\x02"))
    with pytest.raises(FormatTooNew) as refused:
        vectors.HnswIndex.load(bad)
    assert (refused.value.found, refused.value.supported) == (2, 1)


def test_places_that_cannot_be_read_or_written(vectors, tmp_path):
    index = vectors.HnswIndex(2)
    for path in (tmp_path, tmp_path / "no" / "where"):
        with pytest.raises(StorageError) as refused:
            index.save(path)
        assert refused.value.path == str(path)
        with pytest.raises(StorageError):
            vectors.HnswIndex.load(path)
    assert os.listdir(tmp_path) == []


# --- what is refused -----------------------------------------------------------------------------


def test_what_is_refused_changes_nothing(vectors):
    index = vectors.HnswIndex(2, "dot")
    index.add_batch([[1, 2], [3, 4]], ids=[7, 3])
    for ids in ([9, 7], [9, 9]):
        with pytest.raises(AlreadyExists) as taken:
            index.add_batch(np.ones((2, 2)), ids=ids)
        assert (taken.value.item, taken.value.id) == (1, str(ids[1]))
    for ids in (
        [9, -1],
        [9, 2**63 - 1],
        [9, 2**63],
        [9, 1.5],
        [9, "a"],
        [9],
        [[9, 1]],
        [True, False],
    ):
        with pytest.raises(InvalidInput):
            index.add_batch(np.ones((2, 2)), ids=ids)
    with pytest.raises(NonFiniteVector) as refused:
        index.add_batch([[0, 1], [0, np.nan]])
    assert (refused.value.item, refused.value.index) == (1, 1)
    with pytest.raises(NonFiniteVector):
        index.search([np.inf, 0])
    for wrong in ([1, 2, 3], [[1, 2, 3]]):
        with pytest.raises((DimensionMismatch, InvalidInput)):
            index.add(wrong)
        with pytest.raises((DimensionMismatch, InvalidInput)):
            index.search(wrong)
    with pytest.raises(DimensionMismatch):
        index.add_batch(np.ones((4, 3)))
    with pytest.raises(NotFound) as missing:
        index.remove([3, 8])
    assert (missing.value.item, missing.value.id, missing.value.kind) == (1, "8", "vector")
    with pytest.raises(InvalidInput):
        index.remove([3, 3])
    for arguments in ({"k": 0}, {"recall": 0}, {"recall": 1.1}, {"recall": "x"}, {"filter": [0.5]}):
        with pytest.raises(InvalidInput):
            index.search([1, 1], **arguments)
    assert len(index) == 2
    assert index.search([1, 1])[0].tolist() == [3, 7]


@pytest.mark.parametrize(
    "arguments",
    [
        {"dim": 0},
        {"dim": 4097},
        {"dim": 2.5},
        {"dim": 2, "metric": "cos"},
        {"dim": 2, "links": 16},
        {"dim": 2, "threads": 0},
    ],
)
def test_an_index_that_cannot_be(vectors, arguments):
    with pytest.raises(InvalidInput):
        vectors.HnswIndex(**arguments)


def test_forms_of_what_is_given(vectors):
    index = vectors.HnswIndex(2)
    assert index.add_batch([]).tolist() == []
    assert index.search([1, 0])[0].shape == (0,)
    assert index.search_batch(np.empty((0, 2)))[0].shape[0] == 0
    assert index.search_batch([[1, 0]] * 3)[0].shape == (3, 0)
    assert index.add_batch(np.eye(2)[::-1], ids=np.array([5, 6], np.uint8)).tolist() == [5, 6]
    given = np.array([1.0, 1.0], np.float32)
    assert index.add(given) == 7
    given[:] = 0
    assert index.search([1, 1], 1)[1] == pytest.approx([1])
    for allowed in ({6, 7}, [6, 7, 99], np.array([7, 6]), range(6, 9), frozenset({6, 7})):
        assert index.search([1, 1], filter=allowed)[0].tolist() == [7, 6]
    assert index.search([1, 1], filter=[])[0].tolist() == []
    index.remove(6)
    index.remove([])
    assert 6 not in index
    assert "6" not in index
    assert np.int64(5) in index
    assert repr(index) == "HnswIndex(2, 'cosine', links=64) of 2 vectors"
    assert index.search([1, 1], 10**30)[0].tolist() == [7, 5]
