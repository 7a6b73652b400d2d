"""Tables become nodes, edges and vectors; what cannot is named by column and row."""

import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from embedded_db import (
    AlreadyExists,
    DbError,
    DimensionMismatch,
    InvalidInput,
    NonFiniteVector,
    NotFound,
)

pa = pytest.importorskip("pyarrow")

T0 = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def test_columns_become_properties(db):
    nodes = pa.table(
        {
            "id": ["a", "b", "c"],
            "labels": [["Person", "Admin"], ["Person"], ["Person"]],
            "name": ["Ann", None, "🐟"],
            "age": pa.array([41, 2**63 - 1, None], pa.int64()),
            "small": pa.array([1, 2, 3], pa.uint8()),
            "half": pa.array(np.array([0.5, 1, 2], np.float16)),
            "ok": [True, False, None],
            "raw": pa.array([b"\x00", b"", None], pa.large_binary()),
            "born": pa.array([T0, None, T0], pa.timestamp("us", "Europe/Berlin")),
            "tags": pa.array([["x"], [], None], pa.large_list(pa.string())),
            "kind": pa.array(["k", "k", "l"]).dictionary_encode(),
            "more": pa.array([{"x": 1, "y": None}, {"x": 2, "y": [T0]}, None]),
        }
    )
    edges = pa.table(
        {
            "id": ["e1", "e2"],
            "source": ["a", "b"],
            "target": ["b", "c"],
            "type": ["KNOWS", "LIKES"],
            "weight": [0.5, None],
            "valid_from": pa.array([T0, None], pa.timestamp("us", "UTC")),
            "sources": [["m1"], None],
            "since": [1999, None],
        }
    )
    report = db.load_arrow(nodes, edges)
    assert (report.nodes, report.edges, report.embeddings) == (3, 2, 0)
    assert db.get_node("a").labels == ["Person", "Admin"]
    assert db.get_node("a").properties == {
        "name": "Ann",
        "age": 41,
        "small": 1,
        "half": 0.5,
        "ok": True,
        "raw": b"\x00",
        "born": T0,
        "tags": ["x"],
        "kind": "k",
        "more": {"x": 1},
    }
    second = db.get_node("b").properties
    assert "name" not in second
    assert "born" not in second
    assert (second["age"], second["more"]) == (2**63 - 1, {"x": 2, "y": [T0]})
    first, other = db.get_edge("e1"), db.get_edge("e2")
    assert (first.weight, first.valid_from, first.sources) == (0.5, T0, ["m1"])
    assert first.properties == {"since": 1999}
    assert (other.weight, other.valid_from, other.sources, other.properties) == (1.0, None, [], {})
    assert db.verify()["ok"]


def test_properties_in_one_column(db):
    struct = pa.table({"label": ["X"], "properties": [{"a": 1, "gone": None}], "id": ["s"]})
    pairs = pa.array([[("a", 1), ("b", None)]], pa.map_(pa.string(), pa.int64()))
    mapped = pa.table({"label": ["X"], "properties": pairs, "id": ["m"]})
    empty = pa.table({"label": ["X"], "properties": pa.array([None], pairs.type), "id": ["n"]})
    for table in (struct, mapped, empty):
        db.load_arrow(table)
    assert db.get_node("s").properties == {"a": 1}
    assert db.get_node("m").properties == {"a": 1, "b": None}
    assert db.get_node("n").properties == {}


def test_vectors(db):
    numbers = np.arange(12, dtype=np.float32).reshape(4, 3)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), 3)
    nodes = pa.table({"id": list("abcd"), "label": ["X"] * 4, "vector": fixed})
    assert db.load_arrow(nodes, space="pictures").embeddings == 4
    assert db.get_embedding_for_node("c", "pictures").vector.tolist() == [6, 7, 8]
    lists = pa.table({"label": ["X", "X"], "vector": [[1.5, 2.0, 3.0], None]})
    assert db.load_arrow(lists, space="pictures").embeddings == 1
    none = pa.table({"label": ["X"], "vector": pa.array([None], pa.list_(pa.float64()))})
    assert db.load_arrow(none, space="pictures").embeddings == 0


def test_batches_and_slices(db):
    whole = pa.table({"id": [str(n) for n in range(100)], "label": ["X"] * 100})
    chunked = pa.concat_tables([whole.slice(5, 30), whole.slice(50, 41)])
    assert db.load_arrow(chunked, batch_size=8).nodes == 71
    assert db.count("X") == 71
    [batch] = whole.slice(0, 5).to_batches()
    assert db.load_arrow(batch).nodes == 5
    reader = pa.RecordBatchReader.from_batches(whole.schema, whole.slice(96, 2).to_batches())
    assert db.load_arrow(reader).nodes == 2


def test_anything_with_the_interface(db):
    class Stream:
        def __init__(self, table):
            self.table = table

        def __arrow_c_stream__(self, requested_schema=None):
            return self.table.__arrow_c_stream__(requested_schema)

    assert db.load_arrow(Stream(pa.table({"label": ["X"]}))).nodes == 1


BAD_NODES = [
    ({"id": ["a"]}, InvalidInput, "columns id", None, None),
    ({"label": ["X"], "labels": [["X"]]}, InvalidInput, "columns label, labels", None, None),
    ({"label": ["X", None]}, InvalidInput, "it is None", "label", 1),
    ({"id": ["a", None], "label": ["X", "X"]}, InvalidInput, "it is None", "id", 1),
    ({"id": ["a", ""], "label": ["X", "X"]}, InvalidInput, "is empty", "id", 1),
    ({"id": [1, 2], "label": ["X", "X"]}, InvalidInput, "it is 1", "id", 0),
    ({"id": ["a", "a"], "label": ["X", "X"]}, AlreadyExists, "exists already", "id", 1),
    ({"id": ["b", "there"], "label": ["X", "X"]}, AlreadyExists, "there", "id", 1),
    ({"label": ["X", ""]}, InvalidInput, "label is empty", "label", 1),
    ({"labels": [["X"], []]}, InvalidInput, "at least one label", "labels", 1),
    ({"label": ["X"], "day": [date(2024, 1, 1)]}, InvalidInput, "date32", "day", None),
    ({"label": ["X"], "t": [datetime(2024, 1, 1)]}, InvalidInput, "time zone", "t", None),
    ({"label": ["X"], "d": [timedelta(1)]}, InvalidInput, "duration", "d", None),
    (
        {"label": ["X", "X"], "big": pa.array([1, 2**63], pa.uint64())},
        InvalidInput,
        "64 bits",
        "big",
        1,
    ),
    (
        {"label": ["X", "X"], "t": pa.array([1000, 1001], pa.timestamp("ns", "UTC"))},
        InvalidInput,
        "lose data",
        "t",
        1,
    ),
    ({"label": ["X"], "properties": [7]}, InvalidInput, "struct or a map", "properties", 0),
    (
        {"label": ["X"], "m": pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64()))},
        InvalidInput,
        "keys of a map",
        "m",
        None,
    ),
    ({"label": ["X"], "vector": ["x"]}, InvalidInput, "lists of numbers", "vector", None),
    (
        {"label": ["X"] * 3, "vector": [None, [1.0, 2.0], [1.0]]},
        DimensionMismatch,
        "it has 1 numbers",
        "vector",
        2,
    ),
    (
        {"label": ["X"] * 2, "vector": [[1.0], [float("nan")]]},
        NonFiniteVector,
        "number 0 is nan",
        "vector",
        1,
    ),
    ({"label": ["X"] * 2, "vector": [[1.0], [None]]}, InvalidInput, "a null", "vector", 1),
]


@pytest.mark.parametrize(("columns", "error", "words", "column", "row"), BAD_NODES)
def test_what_cannot_be_a_node(db, columns, error, words, column, row):
    db.create_node({"id": "there", "label": "X"})
    with pytest.raises(error, match=words) as caught:
        db.load_arrow(pa.table(columns))
    assert getattr(caught.value, "column", None) == column
    assert getattr(caught.value, "row", None) == row
    if column is not None:
        assert f"column {column!r}" in caught.value.message
    assert db.count() == 1, "a batch is stored all or nothing"
    assert db.count_edges() == 0


@pytest.mark.parametrize(
    ("change", "error", "words", "column", "row"),
    [
        ({"target": ["a", "nowhere"]}, NotFound, "nowhere", "target", 1),
        ({"source": ["nowhere", "a"]}, NotFound, "nowhere", "source", 0),
        ({"type": ["T", None]}, InvalidInput, "it is None", "type", 1),
        ({"type": ["T", ""]}, InvalidInput, "is empty", "type", 1),
        ({"weight": [1.0, float("inf")]}, InvalidInput, "finite", "weight", 1),
        ({"weight": ["1", "x"]}, InvalidInput, "weight is '1'", "weight", 0),
        (
            {"valid_from": [T0, T0], "valid_to": [T0 + timedelta(1), T0]},
            InvalidInput,
            "not before valid_to",
            "valid_to",
            1,
        ),
        ({"valid_to": [1, 2]}, InvalidInput, "datetime", "valid_to", 0),
        ({"id": ["e", "e"]}, AlreadyExists, "exists", "id", 1),
        ({"sources": [["x"], [""]]}, InvalidInput, "source", "sources", 1),
    ],
)
def test_what_cannot_be_an_edge(db, change, error, words, column, row):
    nodes = pa.table({"id": ["a", "b"], "label": ["X", "X"]})
    edges = {"source": ["a", "a"], "target": ["b", "b"], "type": ["T", "T"], **change}
    with pytest.raises(error, match=words) as caught:
        db.load_arrow(nodes, pa.table(edges))
    assert (caught.value.column, caught.value.row) == (column, row)
    assert (db.count(), db.count_edges()) == (2, 0)


def test_a_value_that_is_taken_is_named_by_its_column(db):
    db.create_index("X", "code", unique=True)
    db.create_node({"label": "X", "properties": {"code": 7}})
    plain = pa.table({"label": ["X"] * 3, "code": [5, 6, 7]})
    with pytest.raises(AlreadyExists, match="unique") as caught:
        db.load_arrow(plain)
    assert (caught.value.column, caught.value.row) == ("code", 2)
    packed = pa.table({"label": ["X"] * 2, "properties": [{"code": 5}, {"code": 5}]})
    with pytest.raises(AlreadyExists, match="unique") as caught:
        db.load_arrow(packed)
    assert (caught.value.column, caught.value.row) == ("properties", 1)
    # A property may have the name of a field.
    named = pa.table({"label": ["X"], "properties": [{"id": "", "": 1}]})
    with pytest.raises(InvalidInput, match="property name") as caught:
        db.load_arrow(named)
    assert (caught.value.column, caught.value.row) == ("properties", 0)
    assert db.count() == 1


def not_utf8(*texts):
    """An array of texts that are none, as another program may hand it over."""
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    buffers = [pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
    return pa.StringArray.from_buffers(len(texts), *buffers)


HOSTILE = [
    ("label", not_utf8(b"ok", b"\xff\xfe"), "utf-8", 1),
    ("id", not_utf8(b"\xff", b"ok"), "utf-8", 0),
    ("text", not_utf8(b"ok", b"\xff"), "utf-8", 1),
    ("time", pa.array([0, 2**62], pa.timestamp("us", "UTC")), "out of range", 1),
    ("time", pa.array([0, 2**62], pa.timestamp("s", "UTC")), "out of bounds", 1),
    ("labels", pa.array([["X"], None]), "it is None", 1),
    ("labels", pa.array([{"X": 1}, {"X": 2}]), "list of texts", 0),
    ("labels", pa.array([["X"], ["X", None]]), "must be a text", 1),
    (
        "twins",
        pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], ["x", "x"]),
        "duplicate",
        0,
    ),
    ("list", pa.array([[1], [2**64 - 1]], pa.list_(pa.uint64())), "64 bits", 1),
]


@pytest.mark.parametrize(("column", "values", "words", "row"), HOSTILE)
def test_hostile_columns_are_named_by_row(db, column, values, words, row):
    plain = {} if column in ("label", "labels") else {"label": ["X", "X"]}
    with pytest.raises(InvalidInput, match=words) as caught:
        db.load_arrow(pa.table({**plain, column: values}))
    assert (caught.value.column, caught.value.row) == (column, row)
    assert db.count() == 0


def test_encodings_of_columns_do_not_matter(db):
    lists = pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), pa.array([[1], [2, 3]]))
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"])
    times = pa.array([0, None, 1], pa.timestamp("us", "Mars/Olympus"))
    columns = {"id": list("xyz"), "label": runs, "lists": lists, "runs": runs, "times": times}
    db.load_arrow(pa.table(columns), batch_size=2**70)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert db.get_node("x").properties == {"lists": [2, 3], "runs": "a", "times": epoch}
    assert db.get_node("y").properties == {"lists": [1], "runs": "a"}
    assert db.get_node("z").labels == ["b"]


def test_a_number_too_large_for_a_vector_is_named(db):
    table = pa.table({"label": ["X", "X"], "vector": [[1.0, 2.0], [1.0, 1e300]]})
    with pytest.raises(NonFiniteVector, match="number 1 is inf") as caught:
        db.load_arrow(table)
    assert (caught.value.column, caught.value.row, caught.value.index) == ("vector", 1, 1)


def test_a_table_that_breaks_off_has_stored_the_batches_before(db):
    def batches():
        yield pa.record_batch({"label": ["X", "X"]})
        raise ValueError("the source is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("label", pa.string())]), batches())
    with pytest.raises(InvalidInput, match="nodes broke off.*the source is gone"):
        db.load_arrow(reader)
    assert db.count() == 2


def test_rows_are_counted_over_the_whole_table(db):
    ids = [*map(str, range(25)), "3"]
    table = pa.table({"id": ids, "label": ["X"] * 26})
    with pytest.raises(AlreadyExists) as caught:
        db.load_arrow(table, batch_size=10)
    assert (caught.value.row, db.count()) == (25, 20)


def test_a_missing_column_is_named(db):
    with pytest.raises(InvalidInput, match=r"no column 'target'.*'targt'"):
        db.load_arrow(edges=pa.table({"source": ["a"], "targt": ["b"], "type": ["T"]}))
    twice = pa.Table.from_arrays([pa.array(["X"]), pa.array(["X"])], ["label", "label"])
    with pytest.raises(InvalidInput, match="two columns 'label'"):
        db.load_arrow(twice)


@pytest.mark.parametrize("what", [[{"label": "X"}], pa.array([1]), 7, "x"])
def test_what_is_no_table(db, what):
    with pytest.raises(InvalidInput, match="nodes is"):
        db.load_arrow(what)


def test_nothing_to_load(db):
    with pytest.raises(InvalidInput, match="nothing to load"):
        db.load_arrow()
    with pytest.raises(InvalidInput, match="batch_size is 0"):
        db.load_arrow(pa.table({"label": ["X"]}), batch_size=0)


def test_a_space_of_another_dimension(db):
    table = pa.table({"id": ["a"], "label": ["X"], "vector": [[1.0, 2.0]]})
    db.load_arrow(table, space="s")
    wide = pa.table({"id": ["b"], "label": ["X"], "vector": [[1.0, 2.0, 3.0]]})
    with pytest.raises(DimensionMismatch, match="column 'vector' of nodes, row 0") as caught:
        db.load_arrow(wide, space="s")
    assert (caught.value.expected, caught.value.got) == (2, 3)


def test_without_pyarrow_the_remedy_is_named(db, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match=r'pip install "embedded-db\[arrow\]"') as caught:
        db.load_arrow(object())
    assert isinstance(caught.value, DbError)
