"""What is exported comes back as it was, from one instant; damage is seen before it is stored."""

import hashlib
import itertools
import json
import math
import os
import random
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import (
    AlreadyExists,
    BadText,
    Conflict,
    Corruption,
    EmbeddedDB,
    FormatTooNew,
    InvalidInput,
    NotFound,
    ReadOnly,
    SnapshotExpired,
    StorageError,
)
from embedded_db.interchange import exporting, layout, values
from embedded_db.testing import FakeModel

T0 = datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
ODD = {
    "none": None,
    "yes": True,
    "least": -(2**63),
    "most": 2**63 - 1,
    "float": 0.1,
    "whole": 1.0,
    "zero": -0.0,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "nan": math.nan,
    "inf": [math.inf, -math.inf],
    "bytes": b"\x00\xff",
    "time": T0,
    "first": datetime.min.replace(tzinfo=UTC),
    "last": datetime.max.replace(tzinfo=UTC),
    "text": "a\nb\u2028c\x1b[31m 👩‍🚀 e\u0301 שלום",
    "$float": "nan",
    "nested": {"$time": "x", "a": [{"$map": {"$bytes": b""}}, [[]], {}]},
    "": "no name" * 0,
}
ODD.pop("")


def content(db):
    """Everything a namespace holds that an import can set, in a comparable form."""
    nodes = [
        (node.id, node.labels, values.encoded({"$": node.properties})) for node in raw_nodes(db)
    ]
    edges = {
        edge.id: (
            *(edge.source, edge.target, edge.type, edge.weight, edge.sources),
            *(edge.valid_from, edge.valid_to),
            values.encoded({"$": edge.properties}),
        )
        for node in raw_nodes(db)
        for edge in db.edges(node.id)
    }
    order = [[edge.id for edge in db.edges(node.id, direction="in")] for node in raw_nodes(db)]
    embeddings = {
        each.id: (each.node_id, each.space, each.vector.tobytes())
        for node in raw_nodes(db)
        for space in db.spaces()
        for each in db.get_embeddings_for_node(node.id, space["name"])
    }
    return nodes, edges, order, embeddings


def raw_nodes(db):
    return [db._native.get_node(node.id) for node in db.nodes()]


def fill(db):
    db.create_nodes(
        [
            {"id": "a", "labels": ["Person", "Admin"], "properties": ODD},
            {"id": "b/ü 1", "label": "Person"},
            {"id": "entity_" + "0" * 32, "label": "Entity", "properties": {"label": "mine"}},
        ]
    )
    later = timezone(timedelta(hours=5, minutes=30))
    db.create_edge(
        {
            "id": "e1",
            "source": "a",
            "target": "b/ü 1",
            "type": "KNOWS",
            "weight": -2.5,
            "properties": ODD,
            "valid_from": datetime(1999, 1, 1, tzinfo=later),
            "valid_to": T0,
            "sources": ["s1", "anything"],
        }
    )
    db.create_edges(
        [
            {"id": "e2", "source": "a", "target": "a", "type": "LIKES"},
            {"id": "e3", "source": "b/ü 1", "target": "a", "type": "KNOWS"},
            {"id": "e4", "source": "a", "target": "b/ü 1", "type": "KNOWS"},
        ]
    )
    db.create_embedding({"id": "v1", "node_id": "a", "vector": [1.0, -0.0, 3e-39], "space": "mine"})
    db.set_embeddings(["a", "b/ü 1"], [[1, 2], [3, 4]], space="other")
    chat = db.create_chat("Trip", id="chat")
    chat.add_messages([{"id": f"m{n}", "content": f"text {n}", "sender": "Ann"} for n in range(3)])


@pytest.fixture
def other(tmp_path):
    with EmbeddedDB(tmp_path / "other.db", ml=None) as opened:
        yield opened


def test_everything_comes_back(db, other, tmp_path):
    fill(db)
    fill(db.namespace("ns/1 ü"))
    db.namespace("ns/1 ü").create_node({"id": "more", "label": "X"})
    steps = []
    report = db.export(tmp_path / "out", progress=lambda done, total: steps.append((done, total)))
    assert (report.nodes, report.edges, report.embeddings) == (7 + 8, 9 + 9, 3 + 3)
    assert report.namespaces == ["default", "ns/1 ü"]
    assert steps[-1] == (33, 33)
    assert report.bytes == sum(
        file.stat().st_size
        for file in Path(report.path).rglob("*")
        if file.is_file() and file.name != "manifest.json"
    )
    back = other.import_(tmp_path / "out", progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (39, 39)
    assert (back.nodes, back.edges, back.embeddings) == (15, 18, 6)
    assert (back.skipped, back.replaced, back.left_out, back.derived) == (0, 0, 0, "keep")
    for name in ("default", "ns/1 ü"):
        assert content(other.namespace(name)) == content(db.namespace(name))
    assert other.verify()["ok"]
    names = [(space["name"], space["dim"], space["default"]) for space in db.spaces()]
    assert [(each["name"], each["dim"], each["default"]) for each in other.spaces()] == names
    message = other.get_node("m1")
    assert (message.chat.title, message.next.id) == ("Trip", "m2")
    assert [found.node.id for found in other.query(text_query={"text": "trip"})] == ["chat"]
    message.chat.delete()
    assert not other.exists("m1"), "a chat goes with its messages"


def test_the_layout_is_as_documented(db, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["format"], manifest["version"]) == ("embedded-db-export", 2)
    paths = {each["path"]: each for each in manifest["files"]}
    assert set(paths) == {
        "0000/nodes.jsonl",
        "0000/edges.jsonl",
        "0000/history.jsonl",
        *(f"0000/embeddings-{at}.{end}" for at in (0, 1) for end in ("jsonl", "npy")),
    }
    found = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.*")}
    assert found == {*paths, "manifest.json"}
    lines = (tmp_path / "out" / "0000/nodes.jsonl").read_text().split("\n")
    assert lines.pop() == ""
    assert paths["0000/nodes.jsonl"]["records"] == len(lines) == 7
    node = json.loads(lines[0])
    stored = db.get_node("a")
    assert (node["id"], node["labels"], node["version"]) == ("a", ["Person", "Admin"], 1)
    assert datetime.fromisoformat(node["created_at"]) == stored.created_at
    assert node["properties"]["bytes"] == {"$bytes": "AP8="}
    assert node["properties"]["nan"] == {"$float": "nan"}
    assert node["properties"]["time"] == {"$time": "2001-02-03T04:05:06.000789Z"}
    assert node["properties"]["most"] == 2**63 - 1
    [one] = (tmp_path / "out" / "0000/embeddings-0.jsonl").read_text().splitlines()
    assert json.loads(one)["made_by"] == "user"
    vectors = np.load(tmp_path / "out" / "0000/embeddings-1.npy")
    assert (vectors.dtype, vectors.tolist()) == (np.float32, [[1, 2], [3, 4]])


TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | TEXT
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.just("$map"), inner),
    max_leaves=6,
)
NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=5)
PROPERTIES = st.dictionaries(NAMES | st.just("$time"), VALUES, max_size=3)
NODES = st.lists(
    st.tuples(NAMES, st.lists(NAMES, min_size=1, max_size=2, unique=True), PROPERTIES),
    min_size=1,
    max_size=5,
    unique_by=lambda node: node[0],
)
FLOAT32 = st.floats(-1e3, 1e3, width=32)


@settings(max_examples=40)
@given(nodes=NODES, data=st.data())
def test_any_graph_comes_back(tmp_path_factory, nodes, data):
    ids = st.sampled_from([id_ for id_, _, _ in nodes])
    times = st.none() | st.datetimes(timezones=st.just(UTC))
    edges = data.draw(
        st.lists(st.tuples(ids, ids, NAMES, PROPERTIES, st.floats(-10, 10), times), max_size=5)
    )
    vectors = data.draw(st.dictionaries(ids, st.lists(FLOAT32, min_size=3, max_size=3)))
    place = tmp_path_factory.mktemp("graph") / "out"
    with EmbeddedDB(":memory:", ml=None) as db, EmbeddedDB(":memory:", ml=None) as other:
        db.create_nodes(
            [{"id": id_, "labels": labels, "properties": props} for id_, labels, props in nodes]
        )
        for number, (source, target, kind, props, weight, time) in enumerate(edges):
            edge = {"id": f"e{number}", "source": source, "target": target, "type": kind}
            more = {} if time is None else {"valid_from": time}
            db.create_edge({**edge, "properties": props, "weight": weight, **more})
        if vectors:
            db.set_embeddings(list(vectors), list(vectors.values()), space="s")
        db.export(place)
        other.import_(place)
        assert content(other) == content(db)
        assert other.verify()["ok"]


@given(VALUES)
def test_any_value_comes_back(value):
    text = json.dumps(values.encoded(value), allow_nan=False)
    back = values.decoded(json.loads(text))
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "form",
    [
        {"$float": "1"},
        {"$float": []},
        {"$time": "2001-01-01T00:00:00"},
        {"$time": "yesterday"},
        {"$bytes": "?"},
        {"$map": 1},
        {"$other": 1},
        {"$map": {}, "a": 1},
    ],
)
def test_what_is_no_value_is_refused(form):
    with pytest.raises(ValueError, match="."):
        values.decoded({"a": [form]})


def test_one_instant_while_others_write(db, other, tmp_path):
    """Both namespaces grow in step: an export that mixed instants would see them apart."""
    second = db.namespace("second")
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            db.create_nodes([{"id": f"{number}-{n}", "label": "X"} for n in range(2)])
            db.create_edge({"source": f"{number}-0", "target": f"{number}-1", "type": "T"})
            second.create_node({"id": str(number), "label": "X"})
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while second.count() < 5:
            pass
        reports = [db.export(tmp_path / f"out{n}") for n in range(3)]
    finally:
        stop.set()
        thread.join()
    assert reports[0].lsn < reports[-1].lsn
    for number, report in enumerate(reports):
        with EmbeddedDB(":memory:", ml=None) as copy:
            copy.import_(report.path)
            pairs, singles = copy.count() // 2, copy.namespace("second").count()
            assert copy.count() % 2 == 0
            assert 0 <= pairs - singles <= 1, number
            assert 0 <= pairs - copy.count_edges() <= 1
            assert copy.count_edges() >= singles


def test_one_namespace_under_another_name(db, tmp_path):
    fill(db.namespace("one"))
    db.namespace("one").export(tmp_path / "out")
    report = db.namespace("two").import_(tmp_path / "out")
    assert report.namespaces == ["two"]
    nodes, edges, order, _ = content(db.namespace("one"))
    assert content(db.namespace("two"))[:3] == (nodes, edges, order)
    db.export(tmp_path / "all")
    with pytest.raises(InvalidInput, match="3 namespaces"):
        db.namespace("two").import_(tmp_path / "all")
    assert db.export(tmp_path / "some", namespaces=["two"]).namespaces == ["two"]
    with pytest.raises(NotFound, match=r"'tow'.*'two'"):
        db.export(tmp_path / "none", namespaces=["tow"])


def test_taken_ids_are_listed_and_nothing_is_written(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.create_nodes([{"id": "a", "label": "Y"}, {"id": "m1", "label": "Y"}])
    before = content(other)
    with pytest.raises(AlreadyExists, match=r"2 ids .*: a, m1.*on_conflict") as caught:
        other.import_(tmp_path / "out")
    assert (caught.value.conflicts, caught.value.count) == (["a", "m1"], 2)
    assert content(other) == before


def test_what_is_there_can_stay(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.create_node({"id": "a", "label": "Y", "properties": {"own": 1}})
    other.create_embedding({"id": "own", "node_id": "a", "vector": [9, 9], "space": "other"})
    report = other.import_(tmp_path / "out", on_conflict="skip")
    assert (report.nodes, report.edges, report.embeddings) == (6, 9, 2)
    assert report.skipped == 2
    assert other.get_node("a").properties == {"own": 1}
    assert other.get_embedding_for_node("a", "other").vector.tolist() == [9, 9]
    again = other.import_(tmp_path / "out", on_conflict="skip")
    assert (again.nodes, again.edges, again.embeddings, again.skipped) == (0, 0, 0, 19)
    assert other.verify()["ok"]


def test_what_is_there_can_be_made_as_in_the_export(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.import_(tmp_path / "out")
    other.update_node("a", {"float": 7, "own": 1})
    other.delete_edge("e1")
    other.create_edge({"id": "e1", "source": "b/ü 1", "target": "a", "type": "OTHER"})
    other.update_embedding("v1", [7, 7, 7])
    other.delete_node("m2")
    report = other.import_(tmp_path / "out", on_conflict="replace")
    assert (report.nodes, report.replaced) == (1, 6 + 7 + 3)
    nodes, edges, _, embeddings = content(db)
    found = content(other)
    assert sorted(found[0]) == sorted(nodes)
    gone = set(found[1]) - set(edges)
    assert len(gone) == 0
    assert {id_: found[1][id_] for id_ in edges} == edges
    assert found[3] == embeddings
    assert other.verify()["ok"]


def test_labels_are_not_replaced(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.create_node({"id": "a", "label": "Y"})
    with pytest.raises(AlreadyExists, match="other labels"):
        other.import_(tmp_path / "out", on_conflict="replace")


# ---------------------------------------------------------------------- as it was


def same_files(one, two):
    """Two exports are the same, but for when they were made."""
    names = [{str(each.relative_to(place)) for each in place.rglob("*.*")} for place in (one, two)]
    assert names[0] == names[1]
    for name in names[0] - {"manifest.json"}:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    manifests = [json.loads((place / "manifest.json").read_text()) for place in (one, two)]
    for manifest in manifests:
        for name in ("exported_at", "lsn", "sha256"):
            manifest.pop(name)
    assert manifests[0] == manifests[1]


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


BAD_HISTORY = {
    "a gap": ("history.jsonl", "retracted_at", "2001-01-01T00:00:00Z", "follow each other"),
    "of nobody": ("history.jsonl", "id", "nobody", "whose turn it is not"),
    "no id": ("history.jsonl", "id", None, "follow|turn"),
    "no version": ("edges.jsonl", "version", 0, "version"),
    "half a version": ("edges.jsonl", "version", 1.5, "version"),
    "weightless": ("edges.jsonl", "weight", None, "weight"),
    "from nowhere": ("edges.jsonl", "source", "nowhere", "nowhere"),
    "in the future": ("nodes.jsonl", "updated_at", "2999-01-01T00:00:00Z", "set the clock"),
    "backwards": ("nodes.jsonl", "updated_at", "1999-01-01T00:00:00Z", "updated_at"),
    "due what?": ("nodes.jsonl", "due", ["dinner"], "artefact"),
    "due when?": ("nodes.jsonl", "due", 7, "due"),
    "twice": ("nodes.jsonl", "id", "b/ü 1", "twice"),
    "derived?": ("nodes.jsonl", "derived", "yes", "derived"),
    "no label": ("nodes.jsonl", "labels", [], "label"),
    "part": ("embeddings-0.jsonl", "part", 70_000, "part"),
    "of no node": ("embeddings-0.jsonl", "node_id", "nobody", "nobody"),
}


@pytest.mark.parametrize("case", BAD_HISTORY.values(), ids=BAD_HISTORY)
def test_records_that_cannot_have_been(db, other, tmp_path, case):
    name, field, value, words = case
    fill(db)
    db.update_edge("e1", {"weight": 2.0})
    db.export(tmp_path / "out")
    file = tmp_path / "out" / "0000" / name
    first, rest = file.read_text().split("\n", 1)
    file.write_text(json.dumps({**json.loads(first), field: value}) + "\n" + rest)
    sign_again(tmp_path / "out")
    with pytest.raises((Corruption, InvalidInput, NotFound, Conflict), match=words):
        other.import_(tmp_path / "out")
    assert other.verify()["problems"] == []


# ---------------------------------------------------------------------- what the weaver makes


def woven_database(path, model):
    db = EmbeddedDB(path, ml=model)
    chat = db.create_chat("Trip", id="chat")
    chat.add_message("Alice met Bob in Paris", sender="Carol", id="m1")
    chat.add_message("Bob likes Paris", sender="Dave", id="m2")
    db.flush(timeout=60)
    return db


def test_what_the_weaver_made_is_made_again(tmp_path, model):
    with (
        woven_database(tmp_path / "one.db", model) as db,
        EmbeddedDB(tmp_path / "two.db", ml=FakeModel()) as other,
    ):
        paris = next(e for e in db.nodes("Entity") if e.label == "Paris")
        db.create_edge({"id": "mine", "source": "m1", "target": paris.id, "type": "ABOUT"})
        report = db.export(tmp_path / "out")
        back = other.import_(tmp_path / "out", derived="rebuild")
        assert back.derived == "rebuild"
        assert back.left_out > 0
        assert back.nodes + back.edges + back.embeddings + back.left_out == (
            report.nodes + report.edges + report.embeddings
        )
        other.flush(timeout=60)
        assert other.get_node("m1").status.to_dict() == db.get_node("m1").status.to_dict()
        for id_ in ("m1", "m2"):
            mentioned = [
                sorted(e.label for e in each.get_node(id_).entities()) for each in (db, other)
            ]
            assert mentioned[0] == mentioned[1]
            vectors = [each.get_node(id_).embedding().vector for each in (db, other)]
            assert np.array_equal(*vectors)
        assert other.get_node("chat").summary().text == db.get_node("chat").summary().text
        [kept] = list(other.neighbors("m1", "ABOUT"))
        assert kept.label == "Paris", "an edge of the user's keeps what it leads to"
        assert other.verify()["ok"]


def test_what_the_weaver_made_can_be_kept_without_one(tmp_path, model, other):
    with woven_database(tmp_path / "one.db", model) as db:
        db.export(tmp_path / "out")
        report = other.import_(tmp_path / "out")
        assert (report.derived, report.left_out) == ("keep", 0)
        assert content(other) == content(db)
        assert [e.label for e in other.get_entities_mentioned_in("m1")]
        assert other.verify()["ok"]
        with pytest.raises(InvalidInput, match="makes the same once more"):
            db.import_(tmp_path / "out", derived="keep")


def test_marks_of_who_made_it(tmp_path, model):
    with woven_database(tmp_path / "one.db", model) as db:
        db.create_node({"id": "x", "label": "X"})
        db.set_embeddings(["x"], [[1, 2]], space="mine")
        db.export(tmp_path / "out")
    folder = tmp_path / "out" / "0000"
    nodes = [json.loads(line) for line in (folder / "nodes.jsonl").read_text().splitlines()]
    assert {node["labels"][0] for node in nodes if node["derived"]} == {"Entity", "Summary"}
    assert {node["labels"][0] for node in nodes if not node["derived"]} == {"Chat", "Message", "X"}
    edges = [json.loads(line) for line in (folder / "edges.jsonl").read_text().splitlines()]
    derived = {edge["type"] for edge in edges if edge["derived"]}
    assert derived == {"MENTIONS", "RELATED_TO", "SUMMARIZES"}
    makers = {
        json.loads(line)["made_by"]
        for file in folder.glob("embeddings-*.jsonl")
        for line in file.read_text().splitlines()
    }
    assert makers == {"user", "model"}


def test_the_parts_of_a_long_text_become_one_vector_beside_others(tmp_path, other, model):
    with woven_database(tmp_path / "one.db", model) as db:
        db.export(tmp_path / "out")
    folder = tmp_path / "out" / "0000"
    lines = (folder / "embeddings-0.jsonl").read_text().splitlines()
    parts = [json.loads(lines[0]), {**json.loads(lines[0]), "id": "part2", "part": 1}]
    (folder / "embeddings-0.jsonl").write_text("".join(json.dumps(each) + "\n" for each in parts))
    vectors = np.zeros((2, 256), np.float32)
    vectors[0, 0] = vectors[1, 1] = 1
    np.save(folder / "embeddings-0.npy", vectors)
    sign_again(tmp_path / "out")
    whole = other.namespace("whole")
    whole.import_(tmp_path / "out")
    assert [part.part for part in whole.get_embeddings_for_node("m1", "fake")] == [0, 1]
    other.create_node({"id": "there", "label": "X"})
    other.import_(tmp_path / "out")
    joined = other.get_embedding_for_node("m1", "fake").vector
    assert joined[:3] == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0])


# ---------------------------------------------------------------------- faults


def sign_again(directory):
    """Make a manifest fit files that were changed on purpose."""
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["sha256"]
    for each in manifest["files"]:
        content = (directory / each["path"]).read_bytes()
        each["bytes"], each["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    file.write_bytes(layout.sealed(manifest))


@pytest.fixture
def exported(db, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(
    "name", ["nodes.jsonl", "edges.jsonl", "embeddings-0.jsonl", "embeddings-0.npy"]
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "longer"])
def test_a_damaged_file_is_seen_before_anything_is_stored(exported, other, name, damage):
    file = exported / "0000" / name
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        data[len(data) // 2] ^= 1
        if damage == "cut":
            data = data[:-1]
        file.write_bytes(data + b"\n" if damage == "longer" else data)
    with pytest.raises(Corruption, match=name) as caught:
        other.import_(exported)
    assert caught.value.path == str(file)
    assert other.count() == 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda m: m.update(version=3), FormatTooNew, "version 3"),
        (lambda m: m.update(version=1), Corruption, "version"),
        (lambda m: m.update(version="2"), Corruption, "version"),
        (lambda m: m.update(version=True), Corruption, "version"),
        (lambda m: m.update(format="x"), InvalidInput, "no manifest"),
        (lambda m: m.pop("files"), Corruption, "form of a manifest"),
        (lambda m: m.update(namespaces=[1]), Corruption, "form of a manifest"),
        (lambda m: m["files"].pop(), Corruption, "names no files"),
        (lambda m: m["namespaces"][0].update(embeddings=[7]), Corruption, "form of a manifest"),
        (lambda m: m["files"][0].update(path="../../x"), Corruption, "names"),
        (lambda m: m["files"].append({"path": "../x", "bytes": 1}), Corruption, "'../x'"),
        (lambda m: m["files"].append({"path": "/etc/x", "bytes": 1}), Corruption, "/etc/x"),
    ],
)
def test_a_manifest_of_another_kind(exported, other, change, error, words):
    file = exported / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["sha256"]
    change(manifest)
    file.write_bytes(layout.sealed(manifest))
    with pytest.raises(error, match=words):
        other.import_(exported)
    assert other.count() == 0


def test_a_changed_manifest_is_seen(exported, other):
    file = exported / "manifest.json"
    data = file.read_bytes()
    rng = random.Random(7)
    changed = [data[:-1], data + b"\n", data + b" ", data.replace(b"default", b"defauIt", 1)]
    changed += [data.replace(b'"nodes": 7', b'"nodes": 8'), data.replace(b",\n", b", \n", 1)]
    changed += [data.replace(b'"version": 2', b'"version": 3')]
    # One without the checksum, too.
    changed += [json.dumps(json.loads(data)).encode()]
    for at in [*range(40), *range(len(data) - 110, len(data)), *rng.sample(range(len(data)), 200)]:
        bad = bytearray(data)
        bad[at] ^= 1 << rng.randrange(8)
        changed.append(bytes(bad))
    changed += [data[: rng.randrange(2, len(data))] for _ in range(50)]
    for bad in changed:
        assert bad != data
        file.write_bytes(bad)
        with pytest.raises(Corruption, match=r"manifest\.json"):
            other.import_(exported)
    assert other.count() == 0
    file.write_bytes(data)
    assert other.import_(exported).nodes == 7


def test_the_checksum_of_a_manifest_is_as_documented(exported):
    head, seal, end = (exported / "manifest.json").read_bytes().rpartition(b'  "sha256": "')
    assert seal
    assert end == hashlib.sha256(head).hexdigest().encode() + b'"\n}\n'


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("nodes.jsonl", "{", "line 8: it is not JSON"),
        ("nodes.jsonl", "[]", "line 8: it is \\[\\], not an object"),
        ("nodes.jsonl", '{"id": "z"}', "line 8: it has not the form"),
        ("edges.jsonl", '{"id": "z", "derived": false}', "line 10: it has not the form"),
    ],
)
def test_records_of_another_form(exported, other, name, line, words):
    with (exported / "0000" / name).open("a") as file:
        file.write(line + "\n")
    sign_again(exported)
    with pytest.raises(Corruption, match=words):
        other.import_(exported)


def test_beside_others_what_was_before_is_left_out_and_counted(db, other, tmp_path):
    fill(db)
    db.retract_edge("e1")
    db.update_edge("e2", {"weight": 2.0})
    db.update_edge("e2", {"weight": 3.0})
    report = db.export(tmp_path / "out")
    assert (report.edges, report.history) == (9, 2)
    other.create_node({"id": "there", "label": "X"})
    back = other.import_(tmp_path / "out")
    assert (back.edges, back.history, back.left_out) == (8, 0, 3)
    assert other.get_edge("e1") is None
    assert [version.weight for version in other.edge_history("e2")] == [3.0]
    assert other.verify()["ok"]


def test_where_an_export_cannot_go(db, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    for name in ("full", "file"):
        with pytest.raises(InvalidInput, match="not an empty directory"):
            db.export(tmp_path / name)
    with pytest.raises(StorageError, match="No such file"):
        db.export(tmp_path / "no" / "such" / "place")
    (tmp_path / "empty").mkdir()
    db.export(tmp_path / "empty")
    assert (tmp_path / "empty" / "manifest.json").exists()
    with pytest.raises(InvalidInput, match="no export"):
        db.import_(tmp_path / "full")


def test_an_export_does_not_go_into_the_database(db, path, tmp_path, monkeypatch):
    fill(db)
    before = sorted(path.rglob("*"))
    (tmp_path / "link").symlink_to(path, target_is_directory=True)
    (tmp_path / "sub").mkdir()
    (tmp_path / "deep").symlink_to(path / "gen-0000000001", target_is_directory=True)
    (path / "empty").mkdir()
    (tmp_path / "to-empty").symlink_to(path / "empty", target_is_directory=True)
    (tmp_path / "dangling").symlink_to(path / "nothing")
    monkeypatch.chdir(tmp_path / "sub")
    for where in (
        path,
        path / "out",
        path / "no" / "such",
        path / "empty",
        tmp_path / "sub" / ".." / path.name / "out",
        tmp_path / "link",
        tmp_path / "link" / "out",
        tmp_path / "deep" / "out",
        tmp_path / "to-empty",
        tmp_path / "dangling",
        f"../{path.name}/out",
    ):
        for handle in (db, db.namespace("user-1")):
            with pytest.raises(InvalidInput, match="directory of the database itself") as caught:
                handle.export(where)
        assert "outside" in caught.value.hint
    (path / "empty").rmdir()
    assert sorted(path.rglob("*")) == before
    # Beside it, and through a link to somewhere else, is fine.
    (tmp_path / "real").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "real", target_is_directory=True)
    for where in (tmp_path / f"{path.name}-2", tmp_path / "elsewhere"):
        assert db.export(where).nodes == 7
        assert (where / "manifest.json").exists()
    with EmbeddedDB(":memory:", ml=None) as memory, pytest.raises(InvalidInput, match="itself"):
        memory.export(Path(memory._native.path) / "out")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_is_no_name_of_a_directory(db, name):
    for transfer in (db.export, db.import_):
        with pytest.raises(BadText, match="cannot be the name"):
            transfer(name)
    with pytest.raises(InvalidInput, match="empty"):
        db.export("")


def test_nothing_is_waited_for_in_an_export(exported, other):
    """A pipe gives nothing until somebody writes to it."""
    for file in ("0000/edges.jsonl", "manifest.json"):
        (exported / file).unlink()
        os.mkfifo(exported / file)
        with pytest.raises((Corruption, InvalidInput), match="no plain file"):
            other.import_(exported)
    assert other.count() == 0


def test_a_failed_export_leaves_nothing(path, tmp_path, monkeypatch):
    from embedded_db.interchange import exporting

    with EmbeddedDB(path, ml=None, max_snapshot_age=0.0) as db:
        fill(db)
        with pytest.raises(SnapshotExpired):
            db.export(tmp_path / "out")

    def full(*_):
        raise OSError(28, "No space left on device")

    with EmbeddedDB(path, ml=None) as db:
        monkeypatch.setattr(exporting.LineWriter, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            db.export(tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["memory.db"]


def test_a_reader_exports_and_does_not_import(db, path, tmp_path, run_python):
    fill(db)
    program = """
        import sys
        from embedded_db import EmbeddedDB, ReadOnly
        with EmbeddedDB(sys.argv[1], read_only=True, ml=None) as db:
            print(db.export(sys.argv[2]).nodes)
            try:
                db.import_(sys.argv[2])
            except ReadOnly as error:
                print(type(error).__name__)
    """
    run = run_python(program, path, tmp_path / "out")
    assert run.stdout.split() == ["7", "ReadOnly"], run.stderr
    assert ReadOnly.__name__


def test_more_nodes_and_edges_than_are_read_at_once(db, other, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "PAGE", 7)
    fill(db)
    db.create_edges(
        [{"id": f"x{n}", "source": "a", "target": "b/ü 1", "type": "T"} for n in range(40)]
    )
    db.create_edge({"id": "last", "source": "b/ü 1", "target": "b/ü 1", "type": "KNOWS"})
    db.export(tmp_path / "out")
    other.import_(tmp_path / "out")
    assert content(other) == content(db)


def test_options_are_checked(exported, other):
    with pytest.raises(InvalidInput, match="'skip'"):
        other.import_(exported, on_conflict="skp")
    with pytest.raises(InvalidInput, match="'keep'"):
        other.import_(exported, derived="kept")


def test_an_empty_database(db, other, tmp_path):
    assert db.export(tmp_path / "out").nodes == 0
    assert other.import_(tmp_path / "out").nodes == 0
