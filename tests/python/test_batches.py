"""A batch is one step: all of it is stored, in order, or none of it is."""

import pickle
from datetime import UTC, datetime

import numpy as np
import pytest

from embedded_db import AlreadyExists, DbError, DimensionMismatch, InvalidInput, NotFound


def contents(db):
    return db.count(), db.count_edges(), {node.id for node in db.nodes()}


def test_ids_come_back_in_the_order_given(db):
    nodes = [{"id": f"n{i}" if i % 2 else None, "label": "X"} for i in range(100)]
    nodes = [{name: value for name, value in node.items() if value} for node in nodes]
    ids = db.create_nodes(nodes)
    assert ids[1::2] == [f"n{i}" for i in range(1, 100, 2)]
    assert len(set(ids)) == 100
    assert [node.id for node in db.get_many(ids)] == ids
    assert db.create_nodes([]) == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"id": "fine5", "label": "X"}, AlreadyExists),
        ({"id": "there", "label": "X"}, AlreadyExists),
        ({"labels": []}, InvalidInput),
        ({"label": "X", "properties": {"when": datetime(2026, 1, 1)}}, InvalidInput),
        ({"label": "X", "colour": "red"}, InvalidInput),
    ],
)
def test_one_bad_node_stores_none(db, bad, error):
    db.create_node({"id": "there", "label": "X"})
    before = contents(db)
    nodes = [{"id": f"fine{i}", "label": "X"} for i in range(50)]
    with pytest.raises(error):
        db.create_nodes([*nodes, bad])
    assert contents(db) == before
    assert db.verify()["ok"]


def test_one_bad_edge_stores_none(db):
    db.create_nodes([{"id": "a", "label": "X"}, {"id": "b", "label": "X"}])
    good = {"source": "a", "target": "b", "type": "T"}
    with pytest.raises(NotFound):
        db.create_edges([good, good, {"source": "a", "target": "missing", "type": "T"}])
    assert db.count_edges() == 0
    assert len(db.create_edges([good, good])) == 2


def test_messages_of_a_batch_follow_one_another(db):
    chat = db.create_chat(title="Long")
    first = chat.add_message("zero", sender="Ann")
    batch = chat.add_messages(
        [{"content": f"text {i}", "sender": "Bob", "mood": i} for i in range(600)]
    )
    last = chat.add_message("end")
    expected = [first.id, *(message.id for message in batch), last.id]
    assert [message.id for message in chat.messages()] == expected
    assert [message.id for message in chat.messages(after=batch[99], limit=3)] == expected[101:104]
    assert [message.id for message in chat.messages(limit=2)] == expected[:2]
    assert first.next == batch[0]
    assert batch[-1].next == last
    assert last.next is None
    assert batch[5]["mood"] == 5
    assert batch[5].sender == "Bob"
    assert batch[5].role == "user"


def test_one_bad_message_stores_none(db):
    chat = db.create_chat()
    kept = chat.add_message("kept", id="taken")
    good = {"content": "good"}
    for bad in ({"sender": "Ann"}, {"content": 7}, {"content": "x", "id": "taken"}):
        with pytest.raises(DbError):
            chat.add_messages([good, bad])
    assert list(chat.messages()) == [kept]
    assert chat.add_message("next") == kept.next


def test_vectors_are_set_for_many_nodes(db):
    ids = db.create_nodes([{"label": "X"} for _ in range(100)])
    vectors = np.random.default_rng(1).standard_normal((100, 8))
    made = db.set_embeddings(ids, vectors, space="s")
    assert len(set(made)) == 100
    stored = np.stack([db.get_embedding_for_node(id, "s").vector for id in ids])
    np.testing.assert_array_equal(stored, vectors.astype(np.float32))
    again = db.set_embeddings(ids[:1], [[1.0] * 8], space="s")
    assert db.get_embedding(again[0]).vector.tolist() == [1.0] * 8
    assert len(db.get_embeddings_for_node(ids[0], "s")) == 1


def test_a_node_named_twice_is_refused_by_name(db):
    ids = db.create_nodes([{"label": "X", "id": "first"}, {"label": "X", "id": "second"}])
    with pytest.raises(InvalidInput, match="second"):
        db.set_embeddings([*ids, ids[1]], np.eye(3), space="s")
    assert db.spaces() == []


def test_bad_vectors_set_none(db):
    ids = db.create_nodes([{"label": "X"}, {"label": "X"}])
    db.set_embeddings(ids[:1], [[1.0, 0.0]], space="s")
    nan = [[1.0, 0.0], [np.nan, 0.0]]
    for bad, error in (
        ([[1.0, 0.0]], InvalidInput),
        ([1.0, 0.0], InvalidInput),
        ("vectors", InvalidInput),
        ([[1.0], [1.0, 2.0]], InvalidInput),
        ([[1.0, 0.0, 0.0]] * 2, DimensionMismatch),
        (nan, InvalidInput),
    ):
        with pytest.raises(error):
            db.set_embeddings(ids, bad, space="s")
        assert db.get_embedding_for_node(ids[1], "s") is None
        assert db.get_embedding_for_node(ids[0], "s").vector.tolist() == [1.0, 0.0]


def test_times_of_a_batch_are_kept(db):
    when = datetime(1970, 4, 13, 3, 7, 53, tzinfo=UTC)
    chat = db.create_chat()
    [message] = chat.add_messages([{"content": "Houston", "timestamp": when}])
    assert message.timestamp == when
    before = datetime.now(UTC)
    [now] = chat.add_messages([{"content": "now"}])
    assert before <= now.timestamp <= datetime.now(UTC)


T0 = datetime(2024, 5, 6, tzinfo=UTC)
SURROGATE = "\ud800"


@pytest.mark.parametrize(
    ("bad", "field", "property"),
    [
        ({"id": "fine0", "label": "X"}, "id", None),
        ({"id": "", "label": "X"}, "id", None),
        ({"id": 7, "label": "X"}, "id", None),
        ({"id": "x" * 256, "label": "X"}, "id", None),
        ({"labels": []}, "labels", None),
        ({"labels": ["X", ""]}, "labels", None),
        ({"label": SURROGATE}, "label", None),
        ({"label": "X", "properties": {"when": datetime(2026, 1, 1)}}, "properties", "when"),
        ({"label": "X", "properties": {"n": 2**64}}, "properties", "n"),
        ({"label": "X", "properties": {"": 1}}, "properties", ""),
        ({"label": "X", "properties": {"code": 1}}, "properties", "code"),
        ({"label": "X", "properties": 7}, "properties", None),
        (7, None, None),
    ],
)
def test_an_error_says_which_node_and_which_of_its_fields(db, bad, field, property):
    db.create_index("X", "code", unique=True)
    db.create_node({"id": "first", "label": "X", "properties": {"code": 1}})
    before = contents(db)
    with pytest.raises(DbError) as caught:
        db.create_nodes([{"id": "fine0", "label": "X"}, {"label": "X"}, bad, {"label": "X"}])
    error = caught.value
    assert (error.item, error.field, error.property) == (2, field, property)
    assert error.message.startswith("item 2: ")
    assert contents(db) == before
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.item, copy.field) == (str(error), 2, field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "nowhere"}, "source"),
        ({"target": "nowhere"}, "target"),
        ({"target": None}, "target"),
        ({"type": ""}, "type"),
        ({"id": "e0"}, "id"),
        ({"weight": float("nan")}, "weight"),
        ({"weight": "much"}, "weight"),
        ({"valid_from": T0, "valid_to": T0}, "valid_to"),
        ({"valid_from": 2024}, "valid_from"),
        ({"valid_to": datetime(2024, 1, 1)}, "valid_to"),
        ({"sources": [""]}, "sources"),
        ({"sources": ["a", 7]}, "sources"),
        ({"properties": {"x": object()}}, "properties"),
    ],
)
def test_an_error_says_which_edge_and_which_of_its_fields(db, change, field):
    db.create_nodes([{"id": "a", "label": "X"}, {"id": "b", "label": "X"}])
    edges = [{"id": f"e{at}", "source": "a", "target": "b", "type": "T"} for at in range(3)]
    edges[1].update(change)
    with pytest.raises(DbError) as caught:
        db.create_edges(edges)
    assert (caught.value.item, caught.value.field) == (1, field)
    assert db.count_edges() == 0
    with pytest.raises(DbError) as alone:
        db.create_edge({"source": "a", "target": "b", "type": "T", **change, "id": "x" * 300})
    assert alone.value.item is None
    assert not alone.value.message.startswith("item")


def test_an_error_says_which_vector_and_which_message(db):
    chat = db.create_chat(id="c")
    with pytest.raises(InvalidInput) as caught:
        chat.add_messages([{"content": "fine"}, {"content": "bad", "mood": {"x": object()}}])
    assert (caught.value.item, caught.value.property) == (1, "mood")
    with pytest.raises(AlreadyExists) as taken:
        chat.add_messages([{"content": "fine", "id": "m"}, {"content": "bad", "id": "m"}])
    assert (taken.value.item, taken.value.field) == (1, "id")
    with pytest.raises(AlreadyExists) as alone:
        chat.add_message("bad", id="c")
    assert alone.value.item is None
    ids = db.create_nodes([{"label": "X"}, {"label": "X"}])
    with pytest.raises(NotFound) as missing:
        db.set_embeddings([*ids, "nowhere"], np.ones((3, 2), np.float32), space="s")
    assert (missing.value.item, missing.value.field) == (2, "node_id")
    with pytest.raises(InvalidInput) as twice:
        db.set_embeddings([ids[0], ids[0]], np.ones((2, 2), np.float32), space="s")
    assert (twice.value.item, twice.value.field) == (1, "node_id")


def test_what_the_caller_raises_stays_what_it_is(db):
    def nodes():
        yield {"label": "X"}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        db.create_nodes(nodes())
    assert db.count() == 0
