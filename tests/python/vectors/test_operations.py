"""Promise: vectors are compared, ranked and quantised as their definitions say.

The same holds with the native module and without, for arrays of any kind, size and place in memory;
what cannot be compared is refused, and says where.
"""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from embedded_db import DimensionMismatch, InvalidInput, NonFiniteVector

METRICS = ["cosine", "dot", "euclidean"]
NUMBERS = st.one_of(
    st.floats(-4, 4, width=32),
    st.sampled_from([0.0, 1e-38, -3e-30, 2e15, -1e19, 3e37]),
)


DIM = st.shared(st.integers(1, 40), key="dim")


def rows(count, dim=DIM, numbers=NUMBERS):
    shape = st.tuples(st.integers(0, count), dim)
    return shape.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=numbers))


def reference(metric, a, b):
    """Give what two arrays of rows score, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "euclidean":
        return -np.sqrt(((a[:, None] - b) ** 2).sum(axis=2))
    dots = (a[:, None] * b).sum(axis=2)
    if metric == "dot":
        return dots
    lengths = np.sqrt((a**2).sum(axis=1))[:, None] * np.sqrt((b**2).sum(axis=1))
    with np.errstate(all="ignore"):
        return np.where(lengths > 0, dots / lengths, 0.0)


def slack(metric, a, b):
    """Give how far results may be off: 1e-5 of what is added up."""
    if metric == "cosine":
        return np.full((len(a), len(b)), 1e-5)
    if metric == "euclidean":
        return 1e-5 * np.abs(reference(metric, a, b)) + 1e-37
    length = [np.sqrt((x.astype(np.float64) ** 2).sum(axis=1)) for x in (a, b)]
    return 1e-5 * length[0][:, None] * length[1] + 1e-37


def assert_close(found, expected, slack):
    with np.errstate(over="ignore"):
        expected32 = expected.astype(np.float32)
    assert found.dtype == np.float32
    finite = np.isfinite(expected32)
    assert (found[~finite] == expected32[~finite]).all()
    assert (np.abs(found.astype(np.float64) - expected)[finite] <= slack[finite]).all()


@given(queries=rows(9), matrix=rows(12))
def test_arrays_score_what_is_defined(both, queries, matrix):
    for vectors in both:
        cosines = vectors.cosine_similarity_batch(queries, matrix)
        assert_close(
            cosines, reference("cosine", queries, matrix), slack("cosine", queries, matrix)
        )
        products = vectors.dot(queries, matrix)
        assert_close(products, reference("dot", queries, matrix), slack("dot", queries, matrix))
        distances = vectors.euclidean(queries, matrix)
        expected = -reference("euclidean", queries, matrix)
        assert_close(distances, expected, slack("euclidean", queries, matrix))
        for q, query in enumerate(queries):
            alone = vectors.cosine_similarity_batch(query, matrix)
            assert np.abs(alone - cosines[q]).max(initial=0) <= 1e-6
            for r, row in enumerate(matrix):
                assert abs(vectors.cosine_similarity(query, row) - cosines[q, r]) <= 1e-6
                assert type(vectors.dot(query, row)) is type(vectors.euclidean(query, row)) is float


@given(query=rows(1).filter(len), matrix=rows(30), k=st.integers(1, 40))
def test_the_best_are_those_with_the_highest_scores(both, query, matrix, k):
    for metric in METRICS:
        expected = reference(metric, query, matrix)[0]
        off = slack(metric, query, matrix)[0]
        for vectors in both:
            places, scores = vectors.top_k(query[0], matrix, k, metric)
            assert len(places) == len(set(places.tolist())) == len(scores) == min(k, len(matrix))
            assert places.dtype == np.int64
            assert (scores[:-1] >= scores[1:]).all()
            assert_close(scores, expected[places], off[places])
            if len(scores):
                left = np.setdiff1d(np.arange(len(matrix)), places)
                with np.errstate(over="ignore"):
                    others = expected[left].astype(np.float32).astype(np.float64)
                assert (others <= scores[-1].astype(np.float64) + off[left]).all()


def test_of_equal_scores_the_first_rows_are_best(vectors):
    matrix = np.tile([[1, 2], [2, 4], [-1, 0]], (500, 1))
    places, scores = vectors.top_k([1, 2], matrix, 7)
    assert scores == pytest.approx(1)
    places, _ = vectors.top_k([0, 0], matrix, 7)
    assert places.tolist() == list(range(7))
    places, _ = vectors.top_k([1, 0], np.ones((2_000, 2)), 5, "dot")
    assert places.tolist() == list(range(5))


def test_a_zero_vector_is_like_nothing(vectors):
    zero, some = np.zeros(5), np.arange(5.0)
    assert vectors.cosine_similarity(zero, some) == vectors.cosine_similarity(zero, zero) == 0.0
    assert vectors.cosine_similarity_batch([zero, some], [zero, some]).tolist()[0] == [0.0, 0.0]
    assert not np.signbit(vectors.cosine_similarity_batch(some, [-zero, zero])).any()
    assert (vectors.normalize(zero) == 0).all()


@given(given_rows=rows(12))
def test_what_is_normalised_has_length_one(both, given_rows):
    for vectors in both:
        out = vectors.normalize(given_rows)
        assert out.shape == given_rows.shape
        lengths = np.sqrt((out.astype(np.float64) ** 2).sum(axis=1))
        is_zero = (given_rows == 0).all(axis=1)
        assert np.abs(lengths - ~is_zero).max(initial=0) < 1e-5
        same = np.diagonal(reference("cosine", given_rows, out))
        assert (same[~is_zero] > 1 - 1e-5).all()
    assert (
        np.abs(both[0].normalize(given_rows) - both[1].normalize(given_rows)).max(initial=0) < 1e-6
    )


# --- what is taken -------------------------------------------------------------------------------


def forms(array):
    """Give the same numbers in many forms."""
    wide = np.zeros((2 * len(array), 3 * array.shape[1]), np.float32)
    wide[::2, ::3] = array
    unaligned = np.zeros(array.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(array.shape)
    unaligned[:] = array
    read_only = array.copy()
    read_only.setflags(write=False)
    yield array.tolist()
    yield [tuple(row) for row in array.tolist()]
    yield list(array)
    yield wide[::2, ::3]
    yield np.asfortranarray(array)
    yield array[::-1][::-1]
    yield unaligned
    yield read_only
    for kind in (np.float64, np.float16, ">f4", "<f8", np.int64, np.int8, object):
        yield array.astype(kind)


def test_every_form_of_numbers_gives_the_same(vectors):
    matrix = np.random.default_rng(1).integers(-9, 9, (7, 33)).astype(np.float32)
    query = matrix[3] + 1
    expected = vectors.cosine_similarity_batch(query, matrix)
    for form in forms(matrix):
        before = np.array(form, dtype=np.float64)
        assert (vectors.cosine_similarity_batch(query, form) == expected).all()
        assert (vectors.top_k(query, form, 7)[1] == vectors.top_k(query, matrix, 7)[1]).all()
        assert (vectors.normalize(form) == vectors.normalize(matrix)).all()
        assert (np.array(form, dtype=np.float64) == before).all()
    for form in forms(query[None]):
        assert (vectors.cosine_similarity_batch(form, matrix)[0] == expected).all()


def test_float32_is_not_copied(both):
    """What is C-contiguous float32 reaches the calculation as the same array."""
    for vectors in both:
        kept = []
        backend = vectors.ops.backend
        compare = backend.compare
        backend.compare = lambda metric, a, b, kept=kept, compare=compare: (
            kept.extend([a, b]) or compare(metric, a, b)
        )
        try:
            query, matrix = np.ones((2, 8), np.float32), np.ones((5, 8), np.float32)
            vectors.cosine_similarity_batch(query, matrix)
            vectors.cosine_similarity_batch(query[0], matrix[1:3])
        finally:
            backend.compare = compare
        assert kept[0] is query
        assert kept[1] is matrix
        assert np.shares_memory(kept[2], query)
        assert np.shares_memory(kept[3], matrix)


def test_nothing_at_all(vectors):
    query, none = np.ones(4, np.float32), np.empty((0, 4), np.float32)
    assert vectors.cosine_similarity_batch(query, none).shape == (0,)
    assert vectors.cosine_similarity_batch(query, []).shape == (0,)
    assert vectors.cosine_similarity_batch(none, [query]).shape == (0, 1)
    assert vectors.cosine_similarity_batch(none, none).shape == (0, 0)
    assert vectors.dot(none, query).shape == (0,)
    assert vectors.normalize(none).shape == (0, 4)
    for kind in ("int8", "f16", "binary"):
        small = vectors.quantize(none, kind)
        assert vectors.dequantize(small).shape == (0, 4)
        assert [len(each) for each in vectors.top_k(query, small, 3)] == [0, 0]
    assert [each.shape for each in vectors.top_k(query, [], 3)] == [(0,), (0,)]
    for empty in ([], [[]], np.empty((3, 0))):
        with pytest.raises(InvalidInput, match="at least one dimension"):
            vectors.cosine_similarity_batch(empty, [[1.0]])
        with pytest.raises(InvalidInput):
            vectors.normalize(empty)


def test_many_numbers(vectors):
    """Long vectors, and more rows than are compared at once."""
    long = np.ones(300_001, np.float32)
    assert vectors.cosine_similarity(long, -long) == pytest.approx(-1)
    assert vectors.dot(long, long) == 300_001
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(70_000, 40)).astype(np.float32)
    expected = reference("cosine", matrix[:1], matrix)[0]
    found = vectors.cosine_similarity_batch(matrix[0], matrix)
    assert np.abs(found - expected).max() < 1e-5
    places, _ = vectors.top_k(matrix[0], matrix, 20)
    assert places[0] == 0
    assert set(places.tolist()) == set(np.argsort(-expected)[:20].tolist())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_its_place(vectors, bad):
    matrix = np.ones((40, 20), np.float32)
    matrix[31, 17] = bad
    query = np.ones(20, np.float32)
    calls = {
        "matrix": [
            lambda: vectors.cosine_similarity_batch(query, matrix),
            lambda: vectors.cosine_similarity_batch([query] * 6, matrix),
            *(lambda m=m: vectors.top_k(query, matrix, 1, m) for m in METRICS),
        ],
        "b": [lambda: vectors.dot(query, matrix), lambda: vectors.euclidean(query, matrix)],
        "vectors": [
            lambda: vectors.normalize(matrix),
            *(lambda k=k: vectors.quantize(matrix, k) for k in ("int8", "f16", "binary")),
        ],
        "queries": [lambda: vectors.cosine_similarity_batch(matrix, [query])],
    }
    for field, some in calls.items():
        for call in some:
            with pytest.raises(NonFiniteVector) as refused:
                call()
            error = refused.value
            assert (error.field, error.item, error.index) == (field, 31, 17)
    for call in (
        lambda: vectors.cosine_similarity(query, matrix[31]),
        lambda: vectors.top_k(matrix[31], [query], 1),
        lambda: vectors.top_k(matrix[31], vectors.quantize([query]), 1),
        lambda: vectors.cosine_similarity_batch(matrix[31], []),
    ):
        with pytest.raises(NonFiniteVector) as refused:
            call()
        assert (refused.value.item, refused.value.index) == (None, 17)


def test_what_float32_cannot_hold_is_refused(vectors):
    with pytest.raises(NonFiniteVector):
        vectors.cosine_similarity([1e300, 1], [1, 1])
    with pytest.raises(InvalidInput):
        vectors.cosine_similarity([10**400, 1], [1, 1])


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        ["a", "b"],
        None,
        [[1, 2], [3]],
        [1j, 2],
        np.array(["2020-01-01"], "M8[D]"),
        [[[1.0, 2.0]]],
        1.5,
        object(),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        [True, "x"],
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_is_no_array_of_vectors_is_refused(vectors, wrong):
    for call in (
        lambda: vectors.cosine_similarity(wrong, [1, 2]),
        lambda: vectors.cosine_similarity_batch(wrong, [[1, 2]]),
        lambda: vectors.cosine_similarity_batch([1, 2], wrong),
        lambda: vectors.dot([1, 2], wrong),
        lambda: vectors.normalize(wrong),
        lambda: vectors.top_k([1, 2], wrong, 1),
        lambda: vectors.quantize(wrong),
    ):
        with pytest.raises(InvalidInput):
            call()


def test_other_arguments(vectors):
    with pytest.raises(DimensionMismatch) as refused:
        vectors.cosine_similarity_batch([1, 2, 3], [[1, 2]])
    assert (refused.value.expected, refused.value.got, refused.value.field) == (3, 2, "matrix")
    for call in (
        lambda: vectors.cosine_similarity([1], [1, 2]),
        lambda: vectors.dot([[1]], [[1, 2]]),
        lambda: vectors.top_k([1], [[1, 2]], 1),
        lambda: vectors.top_k([1], vectors.quantize([[1, 2]]), 1),
    ):
        with pytest.raises(DimensionMismatch):
            call()
    for k in (0, -1, True, 1.5, "3", None):
        with pytest.raises(InvalidInput, match="k is"):
            vectors.top_k([1], [[1]], k)
    assert vectors.top_k([1], [[1]], 10**30)[0].tolist() == [0]
    with pytest.raises(InvalidInput, match=r"metric 'cosin'.*'cosine'"):
        vectors.top_k([1], [[1]], 1, "cosin")
    with pytest.raises(InvalidInput, match=r"kind 'int4'"):
        vectors.quantize([[1]], "int4")


# --- fewer bytes ---------------------------------------------------------------------------------


@given(
    given_rows=rows(12, numbers=st.floats(-100, 100, width=16)),
    kind=st.sampled_from(["int8", "f16", "binary"]),
)
def test_codes_are_the_nearest_and_the_same_everywhere(both, given_rows, kind):
    lengths = np.linalg.norm(given_rows.astype(np.float64), axis=1)
    if ((lengths > 0) & (lengths < 1e-15)).any():
        return
    native, pure = (vectors.quantize(given_rows, kind) for vectors in both)
    assert (native.codes == pure.codes).all()
    assert native.codes.dtype == pure.codes.dtype
    assert np.abs(native.scales - pure.scales).max(initial=0) <= 1e-6 * 100
    for vectors, small in zip(both, (native, pure), strict=True):
        assert (len(small), small.dim) == given_rows.shape
        back = vectors.dequantize(small)
        assert back.dtype == np.float32
        off = np.abs(back - given_rows)
        if kind == "int8":
            assert (off <= small.scales[:, None] * 0.501).all()
        elif kind == "f16":
            assert (off <= np.abs(given_rows) / 2048 + 1e-7).all()
        else:
            assert ((back > 0) == (given_rows > 0))[lengths > 0].all()
        if kind != "f16":
            assert small.norms == pytest.approx(np.linalg.norm(back, axis=1), rel=1e-4, abs=1e-6)


@given(
    matrix=rows(30, numbers=st.floats(-2, 2, width=16)),
    query=rows(1, numbers=st.floats(-2, 2, width=16)).filter(len),
    kind=st.sampled_from(["int8", "f16", "binary"]),
    metric=st.sampled_from(METRICS),
)
def test_codes_are_ranked_by_what_they_stand_for(both, matrix, query, kind, metric):
    for array in (matrix, query):
        lengths = np.linalg.norm(array.astype(np.float64), axis=1)
        if ((lengths > 0) & (lengths < 1e-10)).any():
            return
    found = []
    for vectors in both:
        small = vectors.quantize(matrix, kind)
        places, scores = vectors.top_k(query[0], small, 11, metric)
        asked = query if kind == "f16" else vectors.dequantize(vectors.quantize(query, kind))
        expected = reference(metric, asked, vectors.dequantize(small))[0]
        size = (
            2e-3 * np.sqrt(query.shape[1]) * 3 if metric == "euclidean" else 1e-4 * query.shape[1]
        )
        assert np.abs(scores - expected[places]).max(initial=0) <= size
        assert len(places) == min(11, len(matrix))
        found.append((places, scores))
    (places, scores), (others, other_scores) = found
    assert np.abs(scores - other_scores).max(initial=0) <= 1e-5 * max(1, query.shape[1])
    if kind != "f16":  # whole numbers: the order is the same to the last bit
        assert places.tolist() == others.tolist()


def test_codes_find_nearly_all_of_the_best(vectors):
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(40, 128))
    matrix = (centres[rng.integers(0, 40, 3_000)] + rng.normal(size=(3_000, 128))).astype(
        np.float32
    )
    queries = matrix[:50] + 0.3 * rng.normal(size=(50, 128)).astype(np.float32)
    least = {"int8": 0.95, "f16": 0.99, "binary": 0.4}
    for kind, share in least.items():
        small = vectors.quantize(matrix, kind)
        right = 0
        for query in queries:
            best = vectors.top_k(query, matrix, 10)[0]
            right += len(np.intersect1d(best, vectors.top_k(query, small, 10)[0]))
        assert right >= share * 500, kind


def test_what_codes_cannot_hold_is_refused(vectors):
    for row in ([1e20, 0], [1e-20, 0]):
        with pytest.raises(InvalidInput, match="row 1 of vectors has a length"):
            vectors.quantize([[1, 1], row])
        with pytest.raises(InvalidInput, match="length"):
            vectors.top_k(row, vectors.quantize([[1, 1]]), 1)
    with pytest.raises(InvalidInput, match=r"row 0 of vectors has a number above 65,504"):
        vectors.quantize([[1e5, 0]], "f16")
    with pytest.raises(InvalidInput, match="too long"):
        vectors.quantize([[3e38] * 9], "binary")
    with pytest.raises(InvalidInput, match="4097 dimensions"):
        vectors.quantize(np.ones((1, 4097)))
    assert len(vectors.quantize(np.ones((1, 4097)), "binary")) == 1


def test_arrays_that_do_not_belong_together_are_refused(vectors):
    small = vectors.quantize(np.eye(3, 9))
    bits = vectors.quantize(np.eye(3, 9), "binary")
    mixed = [
        ("int8", 9, small.codes, small.scales[:2], small.norms),
        ("int8", 8, small.codes, small.scales, small.norms),
        ("int8", 9, small.codes.astype(np.int16), small.scales, small.norms),
        ("int8", 9, np.asfortranarray(small.codes), small.scales, small.norms),
        ("binary", 17, bits.codes, bits.scales, bits.norms),
        ("f16", 9, small.codes, small.scales, small.norms),
        ("int9", 9, small.codes, small.scales, small.norms),
        ("int8", 9, small.codes, small.scales * np.float32(np.nan), small.norms),
    ]
    for fields in mixed:
        with pytest.raises(InvalidInput):
            vectors.top_k(np.ones(fields[1]), vectors.Quantized(*fields), 1)
        with pytest.raises(InvalidInput):
            vectors.dequantize(vectors.Quantized(*fields))


# --- beside others -------------------------------------------------------------------------------


def test_others_run_meanwhile(both):
    """The interpreter is released: a thread counts on while rows are compared."""
    vectors = both[0]
    matrix = np.random.default_rng(4).normal(size=(60_000, 384)).astype(np.float32)
    queries, ticks, done = matrix[:64], [], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(None)

    thread = threading.Thread(target=tick)
    thread.start()
    vectors.cosine_similarity_batch(queries, matrix)
    during = len(ticks)
    done.set()
    thread.join()
    assert during > 3


def test_all_functions_are_in_one_class(vectors):
    for name in vectors.__all__:
        if name not in ("HnswIndex", "Quantized", "VectorOps"):
            assert getattr(vectors.VectorOps, name) is getattr(vectors, name)
