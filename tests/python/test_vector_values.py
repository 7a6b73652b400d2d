"""What is no vector is refused by name, and every score of what is one is a number."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from embedded_db import DimensionMismatch, EmbeddedDB, InvalidInput, NonFiniteVector
from harness.lengths import more


@pytest.fixture
def space(db):
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(20)])
    db.create_embedding({"node_id": "n0", "vector": [1.0, 0.0, 0.0], "space": "s"})
    return db


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39, -1e300])
def test_what_is_not_finite_in_32_bits_is_refused(space, bad):
    before = space.stats()["lsn"]
    for call in (
        lambda: space.create_embedding({"node_id": "n1", "vector": [0, bad, 0], "space": "s"}),
        lambda: space.create_embedding({"node_id": "n1", "vector": [0.0, bad, 0.0], "space": "s"}),
        lambda: space.set_embeddings(["n1", "n2"], [[1, 2, 3], [0, bad, 0]], "s"),
        lambda: space.query(semantic_query={"vector": [0, bad, 0], "space": "s"}),
    ):
        with pytest.raises(NonFiniteVector, match="finite") as caught:
            call()
        assert caught.value.index == 1
    assert space.stats()["lsn"] == before


numbers = st.one_of(
    st.floats(width=32),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e39, 3.4028236e38, 1e-46, 5e-324, -0.0]),
)


@given(st.lists(numbers, min_size=1, max_size=8), st.sampled_from(["list", "f8", "f4"]))
def test_any_numbers_are_stored_to_the_bit_or_refused_by_their_index(given_numbers, kind):
    with np.errstate(over="ignore"):
        rounded = np.array(given_numbers, np.float32)
    vector = given_numbers if kind == "list" else np.array(given_numbers, np.float64)
    if kind == "f4":
        vector = rounded
    bad = np.flatnonzero(~np.isfinite(rounded))
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_node({"id": "a", "label": "X"})
        db.create_node({"id": "b", "label": "X"})
        calls = (
            lambda: db.create_embedding({"node_id": "a", "vector": vector, "space": "s"}),
            lambda: db.set_embeddings(["b"], [vector], "s"),
        )
        for call in calls:
            if len(bad):
                with pytest.raises(NonFiniteVector) as caught:
                    call()
                assert caught.value.index == bad[0]
            else:
                call()
        if len(bad):
            assert db.stats()["embeddings"] == 0
            return
        for id in ("a", "b"):
            stored = db.get_embedding_for_node(id, "s").vector
            assert stored.tobytes() == rounded.tobytes()
        for query in (vector, [3e38] * len(vector)):
            for result in db.query(semantic_query={"vector": query, "space": "s"}):
                assert math.isfinite(result.score)
                assert abs(result.similarity_score) <= 1.0001


@given(st.lists(st.floats(-1e18, 1e18), min_size=3, max_size=3))
def test_the_length_of_a_vector_changes_no_score(direction):
    vector = np.array(direction, np.float32)
    assume(np.linalg.norm(vector.astype(float)) > 1e-20)
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"id": id, "label": "X"} for id in "ab"])
        unit = vector / np.linalg.norm(vector.astype(float))
        db.set_embeddings(["a", "b"], np.stack([vector, unit.astype(np.float32)]), "s")
        found = db.query(semantic_query={"vector": [1.0, 2.0, 3.0], "space": "s"})
        scores = [result.similarity_score for result in found]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_the_smallest_numbers_are_numbers(space):
    tiny = np.array([1e-45, 1e-40, 0], np.float32)
    space.create_embedding({"node_id": "n1", "vector": tiny, "space": "s"})
    for query in (tiny, [1.0, 0.0, 0.0], [3e38, 3e38, 3e38]):
        found = space.query(semantic_query={"vector": query, "space": "s"})
        assert all(math.isfinite(r.similarity_score) for r in found)
        assert all(abs(r.similarity_score) <= 1.0001 for r in found)


def test_a_zero_vector_is_similar_to_nothing(space):
    zero = [0.0, 0.0, 0.0]
    space.create_embedding({"node_id": "n1", "vector": zero, "space": "s"})
    for query, expected in ((zero, {"n0": 0.0, "n1": 0.0}), ([1, 0, 0], {"n0": 1.0, "n1": 0.0})):
        found = space.query(semantic_query={"vector": query, "space": "s"})
        assert {r.node.id: r.similarity_score for r in found} == expected
        assert all(math.isfinite(r.score) for r in found)
    assert space.get_embedding_for_node("n1").vector.tolist() == zero


def test_the_guide_tells_what_a_zero_vector_is():
    guide = Path(__file__).resolve().parents[2] / "docs" / "guide.md"
    assert "vector of zeros" in guide.read_text()


@pytest.mark.parametrize("length", [0, 4097, 65_535, 65_536, 65_537, 1_000_000])
def test_lengths_that_no_space_may_have(space, length):
    vector = np.ones(length, np.float32)
    for call in (
        lambda: space.create_embedding({"node_id": "n1", "vector": vector, "space": "new"}),
        lambda: space.set_embeddings(["n1"], vector.reshape(1, -1), "new"),
        lambda: space.query(semantic_query={"vector": vector, "space": "s"}),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        text = str(caught.value).replace(",", "").replace("_", "")
        assert str(length) in text, "it names the length"
        if not isinstance(caught.value, DimensionMismatch) and length:
            assert "4096" in text, "it names the limit"
    assert [each["name"] for each in space.spaces()] == ["s"]


def test_the_largest_length_of_a_space(space):
    space.create_embedding({"node_id": "n1", "vector": np.ones(4096), "space": "large"})
    found = space.query(semantic_query={"vector": np.ones(4096), "space": "large"})
    assert [(r.node.id, round(r.similarity_score, 4)) for r in found] == [("n1", 1.0)]


def test_another_length_than_the_space_has(space):
    for length in (1, 2, 4, 4096):
        with pytest.raises(DimensionMismatch) as caught:
            space.create_embedding({"node_id": "n1", "vector": np.ones(length), "space": "s"})
        error = caught.value
        assert (error.expected, error.got, error.space) == (3, length, "s")


def test_one_dimension_is_enough(space):
    space.set_embeddings(["n1", "n2"], [[1.0], [-2.0]], "line")
    found = space.query(semantic_query={"vector": [3.0], "space": "line"})
    assert {r.node.id: round(r.similarity_score, 3) for r in found} == {"n1": 1.0, "n2": -1.0}


@pytest.mark.parametrize(
    "numbers", [np.full(3, 1e300), [1.0, 2.0, 1e39], np.array([0, 0, -np.inf]), [1, 2, 10**38 * 4]]
)
def test_what_is_too_large_for_a_vector_is_named(db, numbers):
    """Warnings of NumPy, which may be errors, do not come before it."""
    db.create_nodes([{"id": "a", "label": "X"}, {"id": "b", "label": "X"}])
    made = db.create_embedding({"node_id": "b", "vector": [1.0, 2.0, 3.0], "space": "s"})
    for write in (
        lambda: db.set_embeddings(["a"], [numbers], space="s"),
        lambda: db.create_embedding({"node_id": "a", "vector": numbers, "space": "s"}),
        lambda: db.update_embedding(made, numbers),
        lambda: db.query(semantic_query={"vector": numbers, "space": "s"}),
    ):
        with pytest.raises(NonFiniteVector):
            write()
    assert db.get_embedding(made).vector.tolist() == [1, 2, 3]
    assert db.get_embedding_for_node("a", "s") is None


def test_complex_numbers_are_no_vector(db):
    db.create_node({"id": "a", "label": "X"})
    numbers = np.ones(3, dtype=complex)
    for write in (
        lambda: db.set_embeddings(["a"], [numbers], space="s"),
        lambda: db.set_embeddings(["a"], np.stack([numbers]), space="s"),
        lambda: db.create_embedding({"node_id": "a", "vector": numbers, "space": "s"}),
        lambda: db.query(semantic_query={"vector": numbers, "space": "s"}),
    ):
        with pytest.raises(InvalidInput):
            write()


@pytest.mark.parametrize("labels", [{"X": 1}, {"X"}, b"X", 7, [b"X"]])
def test_labels_are_a_list(db, labels):
    if isinstance(labels, set):
        assert db.get_node(db.create_node({"labels": labels})).labels == ["X"]
        return
    with pytest.raises(InvalidInput, match="labels"):
        db.create_node({"labels": labels})


@pytest.fixture(scope="module")
def equal():
    """A hundred thousand nodes with one and the same vector, and one with another."""
    count = 100_000
    with EmbeddedDB(":memory:", ml=None) as db:
        for first in range(0, count, 20_000):
            ids = db.create_nodes(
                [{"label": "X", "properties": {"n": n}} for n in range(first, first + 20_000)]
            )
            db.set_embeddings(ids, np.ones((20_000, 8), np.float32), "s")
        db.create_node({"id": "other", "label": "X", "properties": {"n": -1}})
        db.create_embedding({"node_id": "other", "vector": [1.0] + [0.0] * 7, "space": "s"})
        yield db


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("limit", [1, more(100), 10_000])
def test_equal_vectors_are_all_found(equal, limit, exact):
    query = {"vector": [1.0] * 8, "space": "s"}
    found = equal.query(semantic_query=query, limit=limit, exact=exact)
    assert len({result.node.id for result in found}) == limit
    assert {round(result.similarity_score, 4) for result in found} == {1.0}


def test_equal_vectors_hide_no_other(equal):
    query = {"vector": [1.0] + [0.0] * 7, "space": "s"}
    assert equal.query(semantic_query=query, limit=1)[0].node.id == "other"
    few = [{"property": "n", "operator": "LessThan", "value": 7}]
    found = equal.query(semantic_query=query, structural_filters=few, limit=100)
    assert len(found) == 8
    seen = set()
    cursor = None
    for _ in range(5):
        page = equal.query(semantic_query=query, limit=100, after=cursor)
        cursor = page.cursor
        ids = {result.node.id for result in page}
        assert len(ids) == 100
        assert not ids & seen, "pages of equal scores do not overlap"
        seen |= ids


def test_the_bits_of_a_vector_survive_a_reopening(path):
    rows = np.frombuffer(struct.pack("<4I", 1, 0x007FFFFF, 0x7F7FFFFF, 0x80000000), np.float32)
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "a", "label": "X"})
        db.create_embedding({"node_id": "a", "vector": rows, "space": "s"})
    with EmbeddedDB(path, ml=None) as db:
        assert db.get_embedding_for_node("a", "s").vector.tobytes() == rows.tobytes()
