"""`db.recall` brings back what hangs together with a cue, and `rank={"activation": w}` ranks by it.

What is deleted, expired, of another namespace or filtered does not come back; a handle that only
reads recalls, too; and what cannot be a cue is refused with what is wrong about it.
"""

import itertools
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from embedded_db import (
    ConvergedQuery,
    DimensionMismatch,
    EmbeddedDB,
    InvalidQuery,
    ModelUnavailable,
    NonFiniteVector,
    NotFound,
    QuotaExceeded,
    Timeout,
)
from embedded_db.testing import FakeModel


def ids(results):
    return [result.node.id for result in results]


@pytest.fixture
def chain(db):
    """Four nodes in a row."""
    names = ["a", "b", "c", "d"]
    db.create_nodes([{"label": "N", "id": name} for name in names])
    pairs = itertools.pairwise(names)
    db.create_edges([{"source": one, "target": two, "type": "TIE"} for one, two in pairs])
    return names


@pytest.fixture
def woven():
    """Passages that mention one another's people and places, found and joined by the weaver."""
    names = {"Moreau": "PERSON", "Trondheim": "GPE", "Jensen": "PERSON"}
    with EmbeddedDB(":memory:", ml=FakeModel(entities=names)) as db:
        for id, text in {
            "film": "The film Sunrise was directed by Moreau",
            "alice": "Moreau was born in Trondheim",
            "town": "Trondheim lies on a fjord",
            "other": "The book Evening was written by Jensen",
        }.items():
            db.create_chat(id=f"chat-{id}").add_message(text, id=id)
        db.flush(timeout=30)
        yield db


def test_evidence_is_reached_over_what_is_mentioned(woven):
    found = woven.recall("film Sunrise", labels=["Message"], seeds=1)
    assert ids(found)[0] == "film"
    assert "alice" in ids(found)
    alice = next(result for result in found if result.node.id == "alice")
    assert [edge.type for edge in alice.path.edges] == ["MENTIONS", "MENTIONS"]
    assert alice.path.nodes[1].label == "Moreau"
    assert alice.score == alice.activation == alice.shares["activation"]
    assert alice.similarity_score is None


def test_entities_that_the_question_names_are_seeds(woven):
    named = woven.recall("where is moreau's sunrise", seeds=1, explain=True)
    entity = next(r for r in named if "Entity" in r.node.labels and r.node.label == "Moreau")
    assert len(entity.path) == 1, "it is a seed itself"
    assert named.plan["steps"][-1]["step"] == "activation"


def test_activation_is_a_leg_of_the_query(woven):
    words = {"text_query": {"text": "film sunrise"}, "labels": ["Message"]}
    assert "alice" not in ids(woven.query(**words))
    found = woven.query(**words, rank={"activation": 0.5})
    alice = next(result for result in found if result.node.id == "alice")
    assert alice.text_score is None
    assert alice.activation > 0
    assert alice.ranks == {"activation": 2}
    assert alice.shares["activation"] == pytest.approx(alice.score)
    assert next(node.id for node in alice.path.nodes) == "film"
    assert found[0].node.id == "film"
    assert found[0].score == pytest.approx(1.0)
    alone = {"text": 0, "semantic": 0, "neighbors": 0, "activation": 1}
    by_activation = woven.query(**words, rank=alone)
    assert [r.ranks["activation"] for r in by_activation] == list(range(1, len(by_activation) + 1))
    fused = woven.query(**words, rank={"activation": 1.0, "fusion": "rrf"})
    assert fused[0].shares["activation"] == pytest.approx(1 / 61)


def test_pages_of_a_query_by_activation_go_on_without_gap(woven):
    query = {"text_query": {"text": "film sunrise"}, "rank": {"activation": 0.5}}
    whole = [(r.node.id, r.score) for r in woven.query(**query, limit=100)]
    after, paged = None, []
    while True:
        page = woven.query(**query, limit=2, after=after)
        paged += [(r.node.id, r.score) for r in page]
        after = page.cursor
        if after is None:
            break
    assert paged == whole
    assert len(whole) > 4


def test_restrictions_hold_back_results_but_no_activation(db, chain):
    db.update_node("d", {"kind": "end"})
    at_the_end = [{"property": "kind", "operator": "Equals", "value": "end"}]
    assert ids(db.recall(["a"], structural_filters=at_the_end)) == ["d"]
    db.create_node({"label": "Other", "id": "o"})
    db.create_edge({"source": "d", "target": "o", "type": "TIE"})
    assert ids(db.recall(["a"], bursts=4, labels=["Other"])) == ["o"]
    near = {"start": "a", "direction": "out", "max_hops": 1}
    assert ids(db.recall(["a"], graph_filter=near)) == ["b"]
    assert len(db.recall(["a"], bursts=4, limit=2)) == 2


def test_edges_carry_by_type_direction_and_time(db, chain):
    assert set(ids(db.recall(["b"], direction="out"))) == {"b", "c", "d"}
    assert set(ids(db.recall(["b"], direction="in"))) == {"a", "b"}
    assert ids(db.recall(["b"], edge_types=["NONE"])) == ["b"]
    then = datetime(2024, 5, 1, tzinfo=UTC)
    db.create_node({"label": "N", "id": "late"})
    edge = {"source": "a", "target": "late", "type": "TIE", "valid_from": then}
    late = db.create_edge(edge)
    assert "late" in ids(db.recall(["a"]))
    assert "late" in ids(db.recall(["a"], valid_at=then))
    assert "late" not in ids(db.recall(["a"], valid_at=then - timedelta(days=1)))
    db.retract_edge(late)
    assert "late" not in ids(db.recall(["a"]))


def test_what_goes_does_not_come_back(db, chain, clock):
    assert "c" in ids(db.recall(["a"]))
    db.delete_node("b")
    assert ids(db.recall(["a"])) == ["a"]
    db.create_edge({"source": "a", "target": "c", "type": "TIE"})
    assert set(ids(db.recall(["a"]))) == {"a", "c", "d"}
    db.set_ttl("c", timedelta(seconds=60))
    clock.move(61)
    assert ids(db.recall(["a"])) == ["a"]
    with pytest.raises(NotFound):
        db.recall(["c"])


def test_namespaces_do_not_mix(db, chain):
    other = db.namespace("other")
    other.create_nodes([{"label": "N", "id": "a"}, {"label": "N", "id": "z"}])
    other.create_edge({"source": "a", "target": "z", "type": "TIE"})
    assert set(ids(other.recall(["a"]))) == {"a", "z"}
    assert set(ids(db.recall(["a"]))) == set("abcd")
    db.drop_namespace("other")
    assert set(ids(db.recall(["a"]))) == set("abcd")


def test_a_handle_that_only_reads_sees_every_commit(path):
    with EmbeddedDB(path, ml=None) as db:
        one, two, three = db.create_nodes([{"label": "N"}] * 3)
        db.create_edge({"source": one, "target": two, "type": "TIE"})
        with EmbeddedDB(path, ml=None, read_only=True) as reader:
            assert set(ids(reader.recall([one]))) == {one, two}
            db.create_edge({"source": two, "target": three, "type": "TIE"})
            assert set(ids(reader.recall([one]))) == {one, two, three}
            db.compact()
            assert set(ids(reader.recall([one]))) == {one, two, three}


def test_a_transaction_recalls_what_its_snapshot_has(db, chain):
    with db.transaction() as tx:
        tx.create_edge({"source": "a", "target": "d", "type": "TIE"})
        assert "d" not in ids(tx.recall(["a"], bursts=1))
    assert "d" in ids(db.recall(["a"], bursts=1))


def test_vectors_are_cues(db, chain):
    db.set_embeddings(["a", "d"], [[1.0, 0.0], [0.0, 1.0]])
    assert ids(db.recall(np.array([1.0, 0.1]), seeds=1, bursts=1))[0] == "b"
    assert ids(db.recall([0.1, 1.0], seeds=1, bursts=1))[0] == "c"
    with pytest.raises(DimensionMismatch):
        db.recall([1.0, 2.0, 3.0])
    with pytest.raises(NonFiniteVector):
        db.recall([1.0, float("nan")])


def test_nodes_are_cues_by_themselves_and_by_their_ids(db, chain):
    node = db.get_node("a")
    assert ids(db.recall(node)) == ids(db.recall([node])) == ids(db.recall(["a"]))


def test_without_a_model_a_query_by_words_is_a_cue(db):
    one, two = db.create_chat().add_messages([{"content": "zor"}, {"content": "mip"}])
    with pytest.raises(ModelUnavailable, match="text_query"):
        db.recall("zor")
    found = db.recall(ConvergedQuery(text_query={"text": "zor"}), edge_types="NEXT", bursts=1)
    assert set(ids(found)) == {one.id, two.id}
    assert len(db.recall(ConvergedQuery(text_query={"text": "nothing"}))) == 0


@pytest.mark.parametrize(
    ("cue", "options"),
    [
        ("", {}),
        (" \n", {}),
        ([], {}),
        (7, {}),
        (None, {}),
        ([None], {}),
        (["a", 3], {}),
        (["a"] * 1001, {}),
        (np.zeros((2, 2)), {}),
        (["a"], {"bursts": 0}),
        (["a"], {"bursts": 101}),
        (["a"], {"bursts": 10**30}),
        (["a"], {"bursts": 1.5}),
        (["a"], {"seeds": 0}),
        (["a"], {"seeds": 10**9}),
        (["a"], {"restart": 1.0}),
        (["a"], {"restart": -0.1}),
        (["a"], {"restart": float("nan")}),
        (["a"], {"limit": 0}),
        (["a"], {"limit": 10_001}),
        (["a"], {"edge_types": []}),
        (["a"], {"edge_types": [3]}),
        (["a"], {"direction": "up"}),
        (["a"], {"valid_at": datetime(2024, 1, 1)}),
        (["a"], {"labels": []}),
        (["a"], {"timeout": -1}),
        (["a"], {"explain": 1}),
    ],
)
def test_what_is_no_cue_is_refused(db, chain, cue, options):
    with pytest.raises(InvalidQuery):
        db.recall(cue, **options)
    assert ids(db.recall(["a"], bursts=1)) == ["b", "a"]


def test_unknown_nodes_are_not_found(db, chain):
    with pytest.raises(NotFound, match="nobody"):
        db.recall(["a", "nobody"])
    with pytest.raises(NotFound):
        db.recall(["a"], graph_filter={"start": "nobody"})


def test_activation_needs_legs_to_begin_at(db, chain):
    with pytest.raises(InvalidQuery, match=r"rank\.activation"):
        db.query(labels=["N"], rank={"activation": 1.0})
    with pytest.raises(InvalidQuery, match=r"rank\.activation"):
        db.query(text_query={"text": "x"}, rank={"activation": -1.0})


def test_edges_beyond_the_bound_are_refused(path):
    with EmbeddedDB(path, ml=None, recall_memory=1 << 20) as db:
        db.create_nodes([{"label": "N", "id": str(at)} for at in range(1000)])
        pairs = [(at, (at * 7 + hop) % 1000) for at in range(1000) for hop in range(1, 31)]
        edges = [{"source": str(a), "target": str(b), "type": "TIE"} for a, b in pairs]
        db.create_edges(edges[:15_000])
        assert len(db.recall(["1"])) == 10
        db.create_edges(edges[15_000:])
        with pytest.raises(QuotaExceeded, match="recall_memory"):
            db.recall(["1"])
    with EmbeddedDB(path, ml=None) as db:
        assert len(db.recall(["1"])) == 10


def test_recall_ends_in_time(path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"label": "N", "id": str(at)} for at in range(2000)])
        pairs = [(at, (at * 7 + hop) % 2000) for at in range(2000) for hop in range(1, 21)]
        db.create_edges([{"source": str(a), "target": str(b), "type": "TIE"} for a, b in pairs])
        with pytest.raises(Timeout):
            db.recall(["0"], bursts=100, timeout=0.0)


def test_recalls_beside_writers_are_of_one_state(db):
    """Each commit ties a new node to the hub: a recall sees as many as were committed."""
    db.create_node({"label": "N", "id": "hub"})
    errors = []

    def tie():
        for at in range(60):
            with db.transaction() as tx:
                tx.create_node({"label": "N", "id": f"m{at}"})
                tx.create_edge({"source": "hub", "target": f"m{at}", "type": "TIE"})

    def recall():
        most = 0
        while most < 60 and not errors:
            found = set(ids(db.recall(["hub"], bursts=1, limit=100))) - {"hub"}
            if found != {f"m{at}" for at in range(len(found))} or len(found) < most:
                errors.append(found)
            most = len(found)

    threads = [threading.Thread(target=tie), *(threading.Thread(target=recall) for _ in range(2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
