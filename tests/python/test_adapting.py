"""Recall strengthens the edges that were used, and forgets them; nothing else changes.

What strengthening does is said by a second database, whose weights are multiplied by the factors
instead: activations are the same. Factors halve with each half-life, outlive the process and a
compaction, go with their edges, and are taken back without a trace. Weights, versions, times,
history and the feed of changes never tell of them.
"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import (
    Config,
    EmbeddedDB,
    InvalidInput,
    InvalidQuery,
    NotFound,
    ReadOnly,
)
from embedded_db.aio import AsyncEmbeddedDB

NAMES = [f"n{at}" for at in range(6)]
DAY = 86_400
EDGES = [
    {"id": f"e{at}", "source": one, "target": other, "type": "TIE"}
    for at, (one, other) in enumerate(
        [("n0", "n1"), ("n0", "n2"), ("n1", "n3"), ("n2", "n4"), ("n4", "n5"), ("n0", "n5")]
    )
]


def fill(db, factors=None):
    db.create_nodes([{"id": name, "label": "Node"} for name in NAMES])
    factors = factors or {}
    db.create_edges([{**edge, "weight": factors.get(edge["id"], 1.0)} for edge in EDGES])


def activations(db, **more):
    return {r.node.id: r.activation for r in db.recall(["n0"], limit=100, **more)}


@given(
    used=st.lists(
        st.lists(st.sampled_from([edge["id"] for edge in EDGES]), max_size=4), max_size=6
    ),
    bursts=st.integers(1, 4),
)
def test_a_strengthened_edge_carries_as_one_of_a_greater_weight(used, bursts):
    added = {}
    with EmbeddedDB(":memory:", ml=None, recall_half_life=None) as db:
        fill(db)
        for edges in used:
            assert db.strengthen(edges) == len(set(edges))
            for edge in set(edges):
                added[edge] = added.get(edge, 0.0) + (4 - added.get(edge, 0.0)) / 4
        factors = {edge: 1 + more for edge, more in added.items()}
        assert db.strengths() == pytest.approx(factors)
        found = activations(db, bursts=bursts)
    with EmbeddedDB(":memory:", ml=None) as other:
        fill(other, factors)
        assert found == pytest.approx(activations(other, bursts=bursts), rel=1e-4)


def test_nothing_adapts_unless_it_is_asked_for(db):
    fill(db)
    before = activations(db)
    db.recall(["n0"])
    db.query(graph_filter={"start": "n0"})
    assert db.strengths() == {}
    assert activations(db) == before


def test_recall_strengthens_the_edges_that_led_to_its_results(db):
    fill(db)
    found = db.recall(["n1"], limit=3, strengthen=True)
    led = {edge.id for result in found for edge in result.path.edges}
    assert set(db.strengths()) == led != set()
    before = activations(db)
    one = next(result for result in db.recall(["n0"]) if result.node.id == "n5")
    db.strengthen(one)
    assert activations(db)["n5"] > before["n5"]


def test_what_is_not_used_is_forgotten(path, clock):
    with EmbeddedDB(path, ml=None, recall_half_life=DAY) as db:
        fill(db)
        before = activations(db)
        db.strengthen(["e0"])
        assert db.strengths() == pytest.approx({"e0": 2.0}, abs=1e-3)
        lit = activations(db)["n1"]
        clock.move(DAY)
        assert db.strengths() == pytest.approx({"e0": 1.5}, abs=1e-3)
        assert before["n1"] < activations(db)["n1"] < lit
        clock.move(30 * DAY)
        assert db.strengths() == {}
        assert activations(db) == pytest.approx(before)
        db.strengthen(["e1"])
        assert set(db.strengths()) == {"e1"}


def test_it_is_taken_back_without_a_trace(db):
    fill(db)
    before = activations(db)
    edges = [db.get_edge(edge["id"]) for edge in EDGES]
    lsn = db.stats()["lsn"]
    db.strengthen(["e0", "e3"])
    db.recall(["n0"], strengthen=True)
    told = [db.get_edge(edge["id"]) for edge in EDGES]
    assert [(e.weight, e.version, e.recorded_at) for e in told] == [
        (e.weight, e.version, e.recorded_at) for e in edges
    ]
    assert all(len(db.edge_history(edge["id"])) == 1 for edge in EDGES)
    assert db.stats()["lsn"] == lsn
    count = len(db.strengths())
    assert db.forget_strengths() == count > 2
    assert (db.strengths(), activations(db)) == ({}, before)


def test_it_outlives_the_process_and_a_compaction_and_goes_with_its_edge(path):
    with EmbeddedDB(path, ml=None, recall_half_life=None) as db:
        db.create_node({"id": "gone", "label": "Node"})
        fill(db)
        db.delete_node("gone")
        db.strengthen(["e0", "e3"])
    with EmbeddedDB(path, ml=None, recall_half_life=None) as db:
        found = activations(db)
        assert db.strengths() == {"e0": 2.0, "e3": 2.0}
        db.compact()
        assert db.strengths() == {"e0": 2.0, "e3": 2.0}
        assert activations(db) == pytest.approx(found)
        db.delete_edge("e0")
        db.retract_edge("e3")
        assert "e0" not in db.strengths()
        assert db.verify(deep=True)["problems"] == []
        db.delete_node("n2")
        assert db.strengths() == {}
        assert db.verify(deep=True)["problems"] == []
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        assert reader.strengths() == {}


def test_who_only_reads_sees_it_and_strengthens_nothing(path):
    with EmbeddedDB(path, ml=None) as db:
        fill(db)
        before = activations(db)["n1"]
        db.strengthen(["e0"])
        held = activations(db)["n1"]
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        assert activations(reader)["n1"] == pytest.approx(held, rel=1e-3)
        assert held > before
        with pytest.raises(ReadOnly):
            reader.strengthen(["e0"])
        with pytest.raises(ReadOnly):
            reader.recall(["n0"], strengthen=True)
        with pytest.raises(ReadOnly):
            reader.forget_strengths()


def test_a_snapshot_sees_the_strengths_of_its_instant(db):
    fill(db)
    with db.snapshot() as snapshot:
        before = activations(snapshot)
        db.strengthen(["e0"])
        assert activations(snapshot) == before != activations(db)
        with pytest.raises(InvalidQuery, match="strengthen"):
            snapshot.recall(["n0"], strengthen=True)


def test_namespaces_do_not_share_strengths(db):
    other = db.namespace("other")
    fill(db)
    fill(other)
    db.strengthen(["e0"])
    assert other.strengths() == {}
    db.drop_namespace("other")
    assert set(db.strengths()) == {"e0"}


def test_a_query_whose_activation_fades_is_asked_anew(db):
    chat = db.create_chat()
    chat.add_messages([{"content": "rust"}, {"content": "memory"}])
    query = {"text_query": {"text": "rust"}, "rank": {"activation": 1.0}}
    db.query(**query, reflex=True)
    assert db.query(**query, reflex=True).reflex == "exact"
    db.strengthen(db.recall([chat]))
    assert [db.query(**query, reflex=True).reflex for _ in range(2)] == [None, None]


def test_bad_input_is_refused(db):
    fill(db)
    with pytest.raises(NotFound, match="nowhere"):
        db.strengthen(["e0", "nowhere"])
    assert db.strengths() == {}
    with pytest.raises(InvalidInput):
        db.strengthen([7])
    with pytest.raises(InvalidInput):
        db.strengthen(7)
    with pytest.raises(InvalidQuery, match="strengthen"):
        db.recall(["n0"], strengthen="yes")
    for wrong in (0, -1, "a day", float("nan")):
        with pytest.raises(InvalidInput, match="recall_half_life"):
            Config(recall_half_life=wrong)
    assert db.strengthen([]) == 0
    assert db.strengthen("e0") == db.strengthen(db.get_edge("e1")) == 1


def test_the_asynchronous_twin_does_the_same(path):
    async def ask():
        async with AsyncEmbeddedDB(path, ml=None) as db:
            await db.create_nodes([{"id": name, "label": "Node"} for name in NAMES])
            await db.create_edges(EDGES)
            assert await db.strengthen(await db.recall(["n0"], limit=2)) == 1
            assert len(await db.strengths()) == 1
            assert await db.forget_strengths() == 1

    asyncio.run(ask())
