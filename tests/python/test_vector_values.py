"""What is no vector is refused by name, and every score of what is one is a number."""

import math

import numpy as np
import pytest

from embedded_db import DimensionMismatch, InvalidInput, NonFiniteVector


@pytest.fixture
def space(db):
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(20)])
    db.create_embedding({"node_id": "n0", "vector": [1.0, 0.0, 0.0], "space": "s"})
    return db


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39, -1e300])
def test_what_is_not_finite_in_32_bits_is_refused(space, bad):
    before = space.stats()["lsn"]
    with np.errstate(over="ignore"):
        for call in (
            lambda: space.create_embedding({"node_id": "n1", "vector": [0, bad, 0], "space": "s"}),
            lambda: space.set_embeddings(["n1", "n2"], [[1, 2, 3], [0, bad, 0]], "s"),
            lambda: space.query(semantic_query={"vector": [0, bad, 0], "space": "s"}),
        ):
            with pytest.raises(NonFiniteVector) as caught:
                call()
            assert caught.value.index == 1
    assert space.stats()["lsn"] == before


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


@pytest.mark.parametrize(("length", "words"), [(0, "shape|dimension|vector"), (65_536, "65,?536")])
def test_lengths_that_no_space_may_have(space, length, words):
    with pytest.raises(InvalidInput, match=words):
        space.create_embedding({"node_id": "n1", "vector": np.ones(length), "space": "new"})
    assert [each["name"] for each in space.spaces()] == ["s"]


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


def test_equal_vectors_are_all_found(db):
    ids = db.create_nodes([{"label": "X"} for _ in range(20_000)])
    db.set_embeddings(ids, np.ones((20_000, 4), np.float32), "s")
    for limit in (1, 100, 10_000):
        query = {"vector": [1.0, 1.0, 1.0, 1.0], "space": "s"}
        assert len(db.query(semantic_query=query, limit=limit)) == limit


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
