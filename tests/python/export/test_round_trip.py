"""What is exported comes back as it was, from one instant."""

import json
import threading
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, InvalidInput, NotFound
from embedded_db.interchange import exporting, values
from harness.waiting import eventually

from .shared import NAMES, PROPERTIES, VALUES, content, fill


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
        reports = []
        for n in range(3):
            before = second.count()
            eventually(lambda least=before + 5: second.count() >= least, "five more writes")
            reports.append(db.export(tmp_path / f"out{n}"))
    finally:
        stop.set()
        thread.join()
    assert reports[0].lsn < reports[1].lsn < reports[2].lsn, "they are of three instants"
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


def test_an_empty_database(db, other, tmp_path):
    assert db.export(tmp_path / "out").nodes == 0
    assert other.import_(tmp_path / "out").nodes == 0
