"""Nodes, edges and embeddings can be made, read, changed and deleted, and stay what they were.

What is missing reads as None; changing or deleting what is missing is `NotFound`.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from embedded_db import DELETE, AlreadyExists, EmbeddedDB, InvalidInput, NotFound

T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_node_reads_back_as_it_was_written(db):
    before = datetime.now(UTC) - timedelta(seconds=1)
    id = db.create_node(
        {"id": "ann", "labels": ["Person", "Author"], "properties": {"name": "Ann", "age": 7}}
    )
    node = db.get_node(id)
    assert id == node.id == "ann"
    assert node.labels == ["Person", "Author"]
    assert node.properties == {"name": "Ann", "age": 7}
    assert node["name"] == node.get("name") == "Ann"
    assert "name" in node
    assert "town" not in node
    assert node.get("town") is None
    assert node.get("town", "Rome") == "Rome"
    with pytest.raises(KeyError, match="town"):
        node["town"]
    assert node.version == 1
    assert before <= node.created_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert node.created_at.tzinfo is not None
    assert node == db.get_node("ann")


def test_an_id_is_made_of_the_label_when_none_is_given(db):
    made = db.create_node({"label": "WorkItem"})
    prefix, digits = made.rsplit("_", 1)
    assert prefix == "work_item"
    assert len(digits) == 32
    assert db.get_node(made).labels == ["WorkItem"]
    assert db.create_node({"label": "WorkItem"}) > made


def test_an_update_merges_and_delete_removes_one(db):
    db.create_node({"id": "a", "label": "X", "properties": {"keep": 1, "change": 1, "drop": 1}})
    first = db.get_node("a")
    updated = db.update_node("a", {"change": 2, "drop": DELETE, "add": None})
    expected = {"keep": 1, "change": 2, "add": None}
    assert updated.properties == db.get_node("a").properties == expected
    assert updated.version == 2
    assert updated.updated_at >= first.updated_at
    assert updated.created_at == first.created_at
    assert first.properties["change"] == 1, "a node that was read does not change"


def test_what_is_missing_reads_as_none_and_cannot_be_changed(db):
    assert db.get_node("no") is None
    assert db.get_edge("no") is None
    assert db.get_embedding("no") is None
    assert not db.exists("no")
    assert db.get_many(["no", "no"]) == [None, None]
    for change in (
        lambda: db.update_node("no", {"a": 1}),
        lambda: db.delete_node("no"),
        lambda: db.update_edge("no", {"a": 1}),
        lambda: db.delete_edge("no"),
        lambda: db.update_embedding("no", [1.0]),
        lambda: db.delete_embedding("no"),
        lambda: db.create_edge({"source": "no", "target": "no", "type": "T"}),
        lambda: db.create_embedding({"node_id": "no", "vector": [1.0]}),
        lambda: db.get_embedding_for_node("no"),
        lambda: db.neighbors("no"),
        lambda: db.edges("no"),
        lambda: list(db.traverse("no")),
        lambda: db.find_shortest_path("no", "no"),
        lambda: db.get_entities_mentioned_in("no"),
    ):
        with pytest.raises(NotFound, match="'no'|\"no\"") as caught:
            change()
        assert caught.value.id == "no"


def test_an_id_is_taken_once(db):
    db.create_node({"id": "a", "label": "X"})
    with pytest.raises(AlreadyExists) as caught:
        db.create_node({"id": "a", "label": "Y"})
    assert caught.value.id == "a"
    assert db.get_node("a").labels == ["X"]


def test_an_edge_reads_back_as_it_was_written(db):
    for id in "ab":
        db.create_node({"id": id, "label": "X"})
    db.create_edge(
        {
            "id": "e",
            "source": "a",
            "target": "b",
            "type": "KNOWS",
            "properties": {"since": 2020},
            "weight": 0.5,
            "valid_from": T0,
            "valid_to": T0 + timedelta(days=1),
            "sources": ["a"],
        }
    )
    edge = db.get_edge("e")
    assert (edge.id, edge.source, edge.target, edge.type) == ("e", "a", "b", "KNOWS")
    assert edge.properties == {"since": 2020}
    assert edge["since"] == 2020
    assert edge.weight == 0.5
    assert edge.valid_from == T0
    assert edge.valid_to == T0 + timedelta(days=1)
    assert edge.recorded_at.tzinfo is not None
    assert edge.retracted_at is None
    assert edge.sources == ["a"]
    assert db.create_edge({"source": "a", "target": "b", "type": "KNOWS"}).startswith("knows_")


def test_parallel_edges_and_loops_are_edges_of_their_own(db):
    for id in "ab":
        db.create_node({"id": id, "label": "X"})
    ids = {db.create_edge({"source": "a", "target": "b", "type": "T"}) for _ in range(3)}
    loop = db.create_edge({"source": "a", "target": "a", "type": "T"})
    assert {edge.id for edge in db.edges("a", "T", "out")} == {*ids, loop}
    assert {edge.id for edge in db.edges("b", "T", "in")} == ids
    assert db.count_edges("T") == 4
    assert [node.id for node in db.neighbors("a", "T")] == ["b", "b", "b", "a"]
    db.delete_edge(ids.pop())
    assert db.count_edges() == 3
    assert db.get_edge(loop) is not None


def test_an_edge_can_be_changed(db):
    db.create_node({"id": "a", "label": "X"})
    db.create_edge(
        {"id": "e", "source": "a", "target": "a", "type": "T", "properties": {"a": 1, "b": 1}}
    )
    edge = db.update_edge("e", {"a": 2, "b": DELETE, "weight": 3.0, "valid_from": T0})
    assert edge.properties == {"a": 2}
    assert edge.weight == 3.0
    assert edge.valid_from == T0
    assert edge.version == 2
    assert db.get_edge("e") == edge


def test_deleting_a_node_takes_its_edges_and_embedding(db):
    for id in "abc":
        db.create_node({"id": id, "label": "X"})
    db.create_edge({"id": "ab", "source": "a", "target": "b", "type": "T"})
    db.create_edge({"id": "bc", "source": "b", "target": "c", "type": "T"})
    db.create_edge({"id": "ac", "source": "a", "target": "c", "type": "T"})
    embedding = db.create_embedding({"node_id": "b", "vector": [1.0, 2.0]})
    db.delete_node("b")
    assert db.get_node("b") is None
    assert db.get_edge("ab") is None
    assert db.get_edge("bc") is None
    assert db.get_embedding(embedding) is None
    assert [node.id for node in db.neighbors("a")] == ["c"]
    assert db.count_edges() == 1
    db.create_node({"id": "b", "label": "X"})
    assert list(db.edges("b", direction="both")) == []


def test_neighbours_by_direction_type_and_page(db):
    db.create_nodes([{"id": f"n{i:04}", "label": "X"} for i in range(1200)])
    db.create_edges(
        [{"source": "n0000", "target": f"n{i:04}", "type": "OUT"} for i in range(1, 1200)]
    )
    db.create_edge({"source": "n0007", "target": "n0000", "type": "BACK"})
    everything = [f"n{i:04}" for i in range(1, 1200)]
    assert [n.id for n in db.neighbors("n0000")] == everything
    assert [n.id for n in db.neighbors("n0000", "BACK", "in")] == ["n0007"]
    assert [n.id for n in db.neighbors("n0000", ["OUT", "BACK"], "out")] == everything
    assert [n.id for n in db.neighbors("n0000", "NONE")] == []
    assert {n.id for n in db.neighbors("n0000", direction="both")} == set(everything)
    paged: list[str] = []
    cursor = None
    while True:
        page = db.neighbors("n0000", "OUT", limit=100, after=cursor)
        paged += [node.id for node in page]
        cursor = page.cursor
        if cursor is None:
            break
    assert paged == everything


def test_nodes_are_listed_as_they_were_at_the_call(db):
    db.create_nodes([{"id": f"n{i:04}", "label": "X"} for i in range(1500)])
    listed = db.nodes("X")
    first = next(listed)
    db.delete_node("n0700")
    db.create_node({"id": "late", "label": "X"})
    assert [first.id, *(node.id for node in listed)] == [f"n{i:04}" for i in range(1500)]
    assert db.count("X") == 1500
    assert db.count() == 1500
    assert db.count("Y") == 0


def test_an_embedding_reads_back_as_it_was_written(db):
    db.create_node({"id": "a", "label": "X"})
    vector = np.arange(1, 5, dtype=np.float32)
    id = db.create_embedding({"node_id": "a", "vector": vector, "space": "mine"})
    embedding = db.get_embedding(id)
    assert embedding.node_id == "a"
    assert embedding.space == "mine"
    assert embedding.dim == 4
    assert embedding.vector.dtype == np.float32
    np.testing.assert_array_equal(embedding.vector, vector)
    assert not embedding.vector.flags.writeable
    assert db.get_embedding_for_node("a", "mine").id == id
    updated = db.update_embedding(id, [4.0, 3.0, 2.0, 1.0])
    np.testing.assert_array_equal(updated.vector, [4.0, 3.0, 2.0, 1.0])
    assert [space["name"] for space in db.spaces()] == ["mine"]
    db.delete_embedding(id)
    assert db.get_embedding(id) is None
    assert db.get_embedding_for_node("a", "mine") is None


def test_everything_is_there_after_closing_and_opening(path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "a", "label": "X", "properties": {"n": 1}})
        db.create_node({"id": "b", "label": "X"})
        db.create_edge({"id": "e", "source": "a", "target": "b", "type": "T"})
        db.create_embedding({"id": "v", "node_id": "a", "vector": [1.0, 0.0], "space": "s"})
    with EmbeddedDB(path, ml=None) as db:
        assert db.get_node("a").properties == {"n": 1}
        assert [node.id for node in db.neighbors("a")] == ["b"]
        assert db.get_embedding("v").vector.tolist() == [1.0, 0.0]
        found = db.query(semantic_query={"vector": [1.0, 0.0], "space": "s"})
        assert [result.node.id for result in found] == ["a"]


def test_objects_are_as_good_as_their_ids(db):
    db.create_nodes([{"id": "a", "label": "X"}, {"id": "b", "label": "X"}])
    db.create_edge({"source": "a", "target": "b", "type": "T"})
    a, b = db.get_many(["a", "b"])
    assert [node.id for node in db.neighbors(a)] == ["b"]
    assert len(db.find_shortest_path(a, b)) == 2
    assert db.exists(a)
    with pytest.raises(InvalidInput, match=r"7 is not an id"):
        db.get_node(7)


def test_a_property_in_the_wrong_place_is_told_the_right_one(db):
    with pytest.raises(InvalidInput, match=r'"name" is no field of a node.*properties, a dict'):
        db.create_node({"label": "Person", "name": "Ann"})
    with pytest.raises(InvalidInput, match=r'"since" is no field of an edge.*properties, a dict'):
        db.create_edge({"source": "a", "target": "b", "type": "T", "since": 2020})


def test_ends_of_edges_are_ids_or_objects(db):
    class Thing:
        id = "town"

    class Nameless:
        id = 5

    chat = db.create_chat(id="chat")
    message = chat.add_message("text", id="message")
    db.create_node({"id": "town", "label": "Town"})
    node = db.get_node("town")
    made = db.create_edge({"source": message, "target": node, "type": "ABOUT", "sources": [chat]})
    edge = db.get_edge(made)
    assert (edge.source, edge.target, edge.sources) == ("message", "town", ["chat"])
    batch = db.create_edges(
        [
            {"source": chat, "target": Thing(), "type": "T"},
            {"source": "town", "target": chat, "type": "T"},
        ]
    )
    assert [db.get_edge(id).target for id in batch] == ["town", "chat"]
    new = db.supersede_edge(made, {"target": chat})
    assert db.get_edge(new).target == "chat"
    with db.transaction() as tx:
        inside = tx.get_node(tx.create_node({"id": "inside", "label": "Town"}))
        own = tx.create_edge({"source": inside, "target": message, "type": "T"})
        own = tx.supersede_edge(own, {"source": node, "valid_from": datetime.now(UTC)})
    assert db.get_edge(own).source == "town"
    vector = db.create_embedding({"node_id": message, "vector": [1.0, 0.0], "space": "mine"})
    assert db.get_embedding(vector).node_id == "message"
    for wrong in (5, None, Nameless(), {"id": "town"}, ["town"]):
        for end in ("source", "target"):
            with pytest.raises(InvalidInput, match=rf"{end} is .*an id or an object"):
                db.create_edge({"source": "town", "target": "chat", "type": "T", end: wrong})
    with pytest.raises(InvalidInput, match="sources is"):
        db.create_edge({"source": "town", "target": "chat", "type": "T", "sources": 5})
