"""Whatever a property may hold comes back as it was, through a reopened database too."""

import math
import tempfile
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
times = st.datetimes(
    datetime(1, 1, 3),
    datetime(9999, 12, 29),
    timezones=st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours))),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    texts,
    st.binary(max_size=50),
    times,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
properties = st.dictionaries(names, values, max_size=6)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (
            a == b and math.copysign(1, a) == math.copysign(1, b)
        )
    if isinstance(a, datetime):
        return a == b and b.utcoffset() == timedelta(0)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    return a == b


@settings(max_examples=3 * settings.default.max_examples)
@given(st.lists(properties, min_size=1, max_size=3))
def test_any_value(stored):
    with EmbeddedDB(":memory:", ml=None) as db:
        made = db.create_nodes([{"label": "X", "properties": each} for each in stored])
        for id, each in zip(made, stored, strict=True):
            node = db.get_node(id)
            assert same(each, node.properties)
            for name, value in each.items():
                assert same(value, node[name])
            edge = db.create_edge({"source": id, "target": id, "type": "T", "properties": each})
            assert same(each, db.get_edge(edge).properties)
            other = db.create_node({"label": "X"})
            db.update_node(other, each)
            assert same(each, db.get_node(other).properties)


@settings(max_examples=20)
@given(st.lists(properties, min_size=1, max_size=3))
def test_any_value_after_reopening(stored):
    with tempfile.TemporaryDirectory() as path:
        with EmbeddedDB(path, ml=None) as db:
            made = db.create_nodes([{"label": "X", "properties": each} for each in stored])
        with EmbeddedDB(path, ml=None) as db:
            for id, each in zip(made, stored, strict=True):
                assert same(each, db.get_node(id).properties)


@given(texts, st.none() | texts, names)
def test_any_message(content, sender, id):
    with EmbeddedDB(":memory:", ml=None) as db:
        message = db.create_message("chat", content, sender, id=f"m{id}")
        again = db.get_node(message.id)
        assert again == message
        assert (again.id, again.content, again.sender) == (f"m{id}", content, sender)


def test_a_tuple_reads_back_as_a_list_and_a_time_as_utc():
    berlin = timezone(timedelta(hours=2))
    with EmbeddedDB(":memory:", ml=None) as db:
        moment = datetime(2026, 6, 1, 14, 0, 0, 123456, tzinfo=berlin)
        db.create_node({"id": "a", "label": "X", "properties": {"t": (1, 2), "when": moment}})
        node = db.get_node("a")
        assert node["t"] == [1, 2]
        assert node["when"] == moment
        assert node["when"].tzinfo is UTC
