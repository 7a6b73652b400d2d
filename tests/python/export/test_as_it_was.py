"""A copy goes on from where the original was: times, versions, history, and work that is due."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import AlreadyExists, EmbeddedDB, NotFound
from embedded_db.testing import FakeModel

from .shared import PROPERTIES, T0, fill, raw_nodes, same_files, woven_database


def comes_back(db, place, **options):
    """Export, import into a new database, export again: the same bytes; nothing is damaged."""
    db.export(place / "one")
    with EmbeddedDB(":memory:", **{"ml": None, **options}) as copy:
        report = copy.import_(place / "one")
        assert (report.derived, report.left_out, report.skipped) == ("keep", 0, 0)
        assert copy.verify()["problems"] == []
        copy.export(place / "two")
        same_files(place / "one", place / "two")
        # What is believed goes on from where it was.
        before = [(node.id, node.version) for node in copy.nodes()]
        for id_, version in before:
            copy.update_node(id_, {"new": 1})
            assert copy.get_node(id_).version == version + 1
        for node in copy.nodes():
            for edge in copy.edges(node.id):
                copy.update_edge(edge.id, {"weight": 9.0})
                history = copy.edge_history(edge.id)
                pairs = itertools.pairwise(history)
                assert all(a.retracted_at == b.recorded_at for a, b in pairs)
        assert copy.verify()["problems"] == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["node", "change", "drop", "tie", "tie", "turn", "turn", "retract", "supersede"]
            + ["untie", "vector", "message", "forget"]
        ),
        st.integers(0, 5),
        st.integers(0, 5),
        PROPERTIES,
        st.sampled_from(["default", "other"]),
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(steps=STEPS)
def test_any_history_comes_back_to_the_byte(tmp_path_factory, steps):
    with EmbeddedDB(":memory:", ml=None) as whole:
        whole.declare_label("L1", text=["a"], embed=["b", "c"])
        for number, (name, one, two, properties, namespace) in enumerate(steps):
            db = whole if namespace == "default" else whole.namespace(namespace)
            act(db, name, f"n{one}", f"n{two}", f"e{one}", f"x{number}", properties)
        comes_back(whole, tmp_path_factory.mktemp("history"))


def act(db, name, one, two, edge, new, properties):
    """Do one thing, if it can be done."""
    if name == "node" and not db.exists(one):
        db.create_node({"id": one, "labels": ["L2", "L1"], "properties": properties})
    elif name == "change" and db.exists(one):
        db.update_node(one, properties)
    elif name == "drop" and db.exists(one):
        db.delete_node(one)
    elif name == "tie" and db.exists(one) and db.exists(two):
        known = [e.id for e in db.edges(one)]
        id_ = edge if edge not in known and not ever(db, edge) else new
        kind = f"T{len(known) % 3}"
        db.create_edge({"id": id_, "source": one, "target": two, "type": kind, "sources": [one]})
    elif name == "turn" and db.get_edge(edge):
        db.update_edge(edge, {"valid_from": T0, "weight": 0.5, **properties})
    elif name == "retract" and db.get_edge(edge):
        db.retract_edge(edge)
    elif name == "supersede" and db.get_edge(edge):
        db.supersede_edge(edge, {"id": new, "properties": properties})
    elif name == "untie" and ever(db, edge):
        db.delete_edge(edge)
    elif name == "vector" and db.exists(one):
        db.set_embeddings([one], [[1.0, float(len(new))]], space="mine")
    elif name == "message":
        db.create_message(chat_id="chat", content=f"{one} met {two}", id=new, sender="Ann")
    elif name == "forget" and db.exists("chat"):
        first = next(db.get_node("chat").messages(), None)
        (first or db.get_node("chat")).delete()


def ever(db, edge):
    try:
        return bool(db.edge_history(edge))
    except NotFound:
        return False


def test_times_versions_and_beliefs_come_back(db, other, tmp_path):
    fill(db)
    for weight in (1.5, 2.5, 3.5):
        db.update_edge("e1", {"weight": weight})
    db.update_node("a", {"float": 7})
    db.retract_edge("e3")
    believed = [version.recorded_at for version in db.edge_history("e1")]
    db.export(tmp_path / "out")
    report = other.import_(tmp_path / "out")
    assert (report.nodes, report.edges, report.history, report.embeddings) == (7, 9, 3, 3)
    for node in db.nodes():
        back = other.get_node(node.id)
        facts = [(n.version, n.created_at, n.updated_at) for n in (node, back)]
        assert facts[0] == facts[1]
    assert other.get_node("a").version == 2
    for edge in ("e1", "e2", "e3", "e4"):
        told = [
            [
                (v.weight, v.version, v.recorded_at, v.retracted_at, v.valid_from, v.sources)
                for v in each.edge_history(edge)
            ]
            for each in (db, other)
        ]
        assert told[0] == told[1]
    assert other.get_edge("e3") is None
    for at in believed:
        weights = [each.get_edge("e1", known_at=at).weight for each in (db, other)]
        assert weights[0] == weights[1]
    between = db.edge_history("e3")[0].retracted_at - timedelta(microseconds=1)
    known = [[n.id for n in each.neighbors("b/ü 1", known_at=between)] for each in (db, other)]
    assert known[0] == known[1] == ["a"]
    with pytest.raises(AlreadyExists):
        other.create_edge({"id": "e3", "source": "a", "target": "a", "type": "T"})
    made = [each.get_embedding("v1") for each in (db, other)]
    assert made[0].created_at == made[1].created_at
    assert made[1].set_by_user


def test_what_the_weaver_made_comes_back_as_the_weavers(tmp_path, model):
    with woven_database(tmp_path / "one.db", model) as db:
        db.create_node({"id": "x", "label": "X"})
        db.set_embeddings(["x"], [[1, 2]], space="mine")
        failing = db.create_message(chat_id="chat", content="Bob met Alice again", id="m3")
        db.flush(timeout=60)
        assert failing.status.to_dict()
        db.weaver.pause()
        # One that is not enriched yet, and a text that changed.
        db.create_message(chat_id="chat", content="Carol met Dave in Oslo", id="m4")
        comes_back(db, tmp_path)
        with EmbeddedDB(tmp_path / "two.db", ml=FakeModel()) as other:
            calls = other.stats()["embeddings"]
            assert calls == 0
            report = other.import_(tmp_path / "one")
            assert (report.derived, report.left_out) == ("keep", 0)
            derived = [node.id for node in raw_nodes(db) if node.derived]
            assert derived
            # The weaver of the copy may have made more by now.
            back = [node.id for node in raw_nodes(other) if node.derived]
            assert back[: len(derived)] == derived
            other.flush(timeout=60)
            assert other.get_node("m4").status.to_dict() == dict.fromkeys(
                ("embedding", "entities", "links"), "ready"
            )
            assert other.verify()["problems"] == []
            # They follow their messages, as the weaver's do.
            paris = next(e for e in other.nodes("Entity") if e.label == "Paris")
            count = paris.mention_count
            other.delete_node("m1")
            paris.refresh()
            assert paris.mention_count == count - 1
            for message in ("m2", "m3", "m4"):
                other.delete_node(message)
            assert other.count("Entity") == 0
            assert other.verify()["problems"] == []


def test_vectors_of_another_model_are_made_again(tmp_path, model):
    with woven_database(tmp_path / "one.db", model) as db:
        db.export(tmp_path / "out")
        vectors = db.stats()["embeddings"]
    with EmbeddedDB(tmp_path / "two.db", ml=FakeModel(dim=64)) as other:
        report = other.import_(tmp_path / "out")
        assert (report.embeddings, report.left_out) == (0, vectors)
        other.flush(timeout=60)
        assert other.get_node("m1").embedding().dim == 64
        assert other.verify()["problems"] == []
    with EmbeddedDB(tmp_path / "two.db", ml=FakeModel(dim=64)) as again:
        assert again.get_node("m1").embedding().dim == 64


def test_an_import_that_is_made_twice_adds_nothing(db, other, tmp_path):
    fill(db)
    db.update_edge("e2", {"weight": 2.0})
    db.export(tmp_path / "one")
    other.import_(tmp_path / "one")
    again = other.import_(tmp_path / "one", on_conflict="skip")
    assert (again.nodes, again.edges, again.history, again.embeddings) == (0, 0, 0, 0)
    assert (again.skipped, again.left_out) == (19, 0)
    other.export(tmp_path / "two")
    same_files(tmp_path / "one", tmp_path / "two")
