"""`db.batch()` stores a chunk at a time: whole chunks, nothing twice, and the last change wins."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import (
    AlreadyExists,
    Batch,
    DatabaseClosed,
    EmbeddedDB,
    InvalidInput,
    NotFound,
    SnapshotExpired,
)
from embedded_db import batch as batches


def test_chunks_are_stored_as_they_fill(db):
    with db.batch(size=3) as batch:
        ids = [batch.create_node({"id": f"n{n}", "label": "X"}) for n in range(7)]
        assert (batch.stored, db.count("X")) == (6, 6)
        batch.create_edge({"source": "n0", "target": "n6", "type": "T"})
        batch.flush()
        assert (batch.stored, db.count("X")) == (8, 7)
    assert ids == [f"n{n}" for n in range(7)]
    assert batch.stored == 8
    assert [node.id for node in db.neighbors("n0")] == ["n6"]


def test_every_kind_of_write(db):
    db.create_nodes([{"id": id, "label": "X"} for id in ("a", "b", "gone")])
    kept = db.create_edge({"source": "a", "target": "b", "type": "T"})
    lost = db.create_edge({"source": "b", "target": "a", "type": "T"})
    vector = db.create_embedding({"node_id": "b", "vector": [1.0, 0.0], "space": "s"})
    with db.batch() as batch:
        batch.update_node("a", {"p": 1})
        batch.delete_node("gone")
        batch.update_edge(kept, {"weight": 3.0})
        batch.delete_edge(lost)
        batch.delete_embedding(vector)
        batch.create_embedding({"node_id": "a", "vector": [0.0, 1.0], "space": "s"})
        assert db.exists("gone"), "nothing is stored yet"
    assert db.get_node("a")["p"] == 1
    assert not db.exists("gone")
    assert db.get_edge(kept).weight == 3.0
    assert db.get_edge(lost) is None
    assert db.get_embedding_for_node("b", "s") is None
    assert db.get_embedding_for_node("a", "s").vector.tolist() == [0.0, 1.0]
    assert db.verify()["ok"]


def test_an_exception_drops_what_is_not_stored(db):
    def work(batch):
        for n in range(5):
            batch.create_node({"id": f"n{n}", "label": "X"})
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"), db.batch(size=2) as batch:
        work(batch)
    assert batch.stored == db.count("X") == 4


def test_a_refused_write_is_left_out_and_the_others_go_on(db):
    db.create_node({"id": "a", "label": "X"})
    with db.batch() as batch:
        batch.create_node({"id": "b", "label": "X"})
        with pytest.raises(AlreadyExists, match='"a"'):
            batch.create_node({"id": "a", "label": "X"})
        with pytest.raises(NotFound, match='"nobody"'):
            batch.create_edge({"source": "b", "target": "nobody", "type": "T"})
        with pytest.raises(InvalidInput):
            batch.create_node({"label": ""})
        batch.create_node({"id": "c", "label": "X"})
    assert {node.id for node in db.nodes("X")} == {"a", "b", "c"}
    assert batch.stored == 2


def test_what_others_wrote_meanwhile_is_no_conflict(db):
    db.create_node({"id": "a", "label": "X", "properties": {"n": 0}})
    with db.batch() as batch:
        batch.update_node("a", {"n": 1})
        made = batch.create_node({"label": "X"})
        batch.create_edge({"source": "a", "target": made, "type": "T"})
        db.update_node("a", {"n": 2, "m": 2})
    assert db.get_node("a").properties == {"n": 1, "m": 2}, "the last change wins"
    assert [node.id for node in db.neighbors("a")] == [made], "made once, under the id it was given"
    assert batch.stored == 3


def test_what_went_meanwhile_fails_its_whole_chunk(db):
    db.create_node({"id": "a", "label": "X"})
    with db.batch() as batch:
        batch.create_node({"id": "b", "label": "X"})
        batch.update_node("a", {"n": 1})
        db.delete_node("a")
        with pytest.raises(NotFound, match='"a"'):
            batch.flush()
    assert (batch.stored, db.count("X")) == (0, 0)


def test_a_chunk_does_not_wait_for_ever(db, monkeypatch):
    monkeypatch.setattr(batches, "LONGEST", -1.0)  # the clock may not have moved
    with db.batch() as batch:
        batch.create_node({"label": "X"})
        batch.create_node({"label": "X"})
        assert batch.stored == 1


def test_a_chunk_outlives_its_snapshot(path):
    with EmbeddedDB(path, ml=None, max_snapshot_age=0.05) as db, db.batch() as batch:
        made = batch.create_node({"label": "X"})
        db.create_node({"id": "a", "label": "X"})
        with db.snapshot() as snapshot:
            time.sleep(0.2)
            with pytest.raises(SnapshotExpired):
                snapshot.get_node("a")
        batch.flush()
        assert db.exists(made)


def test_chats_and_messages(db):
    said = {"sender": "Ann", "metadata": {"n": 1}, "mood": "glad"}
    with db.batch(size=3) as batch:
        chat = batch.create_chat("Trip", topic="Oslo", language="de")
        first = batch.create_message(chat, "one", **said)
        assert (batch.stored, db.exists(chat)) == (0, False)
        parts = [{"type": "text", "text": "two"}]
        batch.create_message(chat, parts, role="assistant", id="second")
        assert batch.stored == 3
        batch.create_message("made", "by its first message", ttl=60)
        batch.update_node(first, {"mood": "calm"})
    assert (batch.stored, db.get_node(chat)["language"]) == (5, "de")
    one, two = db.get_node(chat).messages()
    assert (one.id, one.sender, one["mood"], one.metadata) == (first, "Ann", "calm", {"n": 1})
    assert (two.id, two.content, two.parts, one.next.id) == ("second", "two", parts, "second")
    assert next(db.get_node("made").messages()).expires_at is not None
    with pytest.raises(InvalidInput, match="content"), db.batch() as batch:
        batch.create_message(chat, 7)
    assert db.count("Message") == 3


def test_messages_are_made_once_beside_others(db):
    db.create_node({"id": "a", "label": "X"})
    with db.batch() as batch:
        batch.update_node("a", {"n": 1})
        made = [batch.create_chat("Trip", id="c"), batch.create_message("c", "mine")]
        db.update_node("a", {"m": 1})
        db.create_message("d", "theirs")
    assert [message.id for message in db.get_node("c").messages()] == made[1:]
    assert db.get_node("a").properties == {"n": 1, "m": 1}


def test_use_outside_of_the_block(db):
    batch = db.batch()
    assert isinstance(batch, Batch)
    with pytest.raises(InvalidInput, match="not open"):
        batch.create_node({"label": "X"})
    with batch:
        batch.create_node({"label": "X"})
    with pytest.raises(InvalidInput, match="not open"):
        batch.create_node({"label": "X"})
    for wrong in (0, -1, True, 1.5, "9", math.nan, None):
        with pytest.raises(InvalidInput, match="size"):
            db.batch(wrong)
    db.close()
    with pytest.raises(DatabaseClosed), batch:
        batch.create_node({"label": "X"})


writes = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(0, 8)),
        st.tuples(st.just("update"), st.integers(0, 8), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.integers(0, 8)),
    ),
    max_size=30,
)


@given(writes, st.integers(1, 6))
def test_the_end_is_that_of_single_writes(writes, size):
    """What a batch leaves is what the same writes leave one by one."""
    with EmbeddedDB(":memory:", ml=None) as db:
        single, chunked = db.namespace("single"), db.namespace("chunked")
        with chunked.batch(size) as batch:
            for what, number, *value in writes:
                outcomes = []
                for target in (single, batch):
                    try:
                        if what == "create":
                            target.create_node({"id": f"n{number}", "label": "X"})
                        elif what == "update":
                            target.update_node(f"n{number}", {"p": value[0]})
                        else:
                            target.delete_node(f"n{number}")
                        outcomes.append(None)
                    except (AlreadyExists, NotFound) as error:
                        outcomes.append(type(error))
                assert outcomes[0] == outcomes[1]
        left = [{n.id: n.properties for n in each.nodes("X")} for each in (single, chunked)]
        assert left[0] == left[1]
