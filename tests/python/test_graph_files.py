"""A part of the graph goes into networkx, and by GraphML into other programs, without loss."""

import json
import sys

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, InvalidInput

# What is no XML is a case of its own.
plain = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=8)
values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    plain,
    st.none(),
    st.lists(st.integers(0, 9), max_size=3),
)
names = st.sampled_from(["a", "b", "labels", "type", "weight", 'q"<&>'])
properties = st.dictionaries(names, values, max_size=4)


@given(
    st.lists(properties, min_size=2, max_size=5),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), properties), max_size=6),
)
def test_what_is_stored_comes_back(nodes, edges):
    with EmbeddedDB(":memory:", ml=None) as db:
        ids = db.create_nodes(
            [{"id": f'n"<{n}', "label": "X", "properties": p} for n, p in enumerate(nodes)]
        )
        keys = db.create_edges(
            [
                {
                    "source": ids[a % len(ids)],
                    "target": ids[b % len(ids)],
                    "type": "R",
                    "weight": 0.5,
                    "properties": {k: v for k, v in p.items() if k not in ("type", "weight")},
                }
                for a, b, p in edges
            ]
        )
        found = db.subgraph(ids, hops=0)
        graph = found.to_networkx()
        assert graph.is_directed()
        assert graph.is_multigraph()
        for id, given_ in zip(ids, nodes, strict=True):
            assert graph.nodes[id] == {**given_, "labels": ["X"]}
        assert {key for _, _, key in graph.edges} == set(keys)
        for edge in found.edges:
            data = graph.edges[edge.source, edge.target, edge.id]
            assert data == {**edge.properties, "type": "R", "weight": 0.5}
        read = nx.parse_graphml(found.to_graphml(), force_multigraph=True)
        assert set(read.nodes) == set(ids)
        assert {key for _, _, key in read.edges(keys=True)} == set(keys)
        for id in ids:
            same(read.nodes[id], graph.nodes[id], [graph.nodes[each] for each in ids])
        all_edges = [graph.edges[each] for each in graph.edges]
        for each in read.edges(keys=True):
            same(read.edges[each], graph.edges[each], all_edges)


def same(read, wanted, others):
    """Of one kind as it is, else in JSON."""
    assert set(read) - {"id"} == {name for name, value in wanted.items() if value is not None}
    for name, value in wanted.items():
        if value is None:
            continue
        all_values = [other[name] for other in others if name in other]
        kinds = {type(each) for each in all_values}
        # A float does not hold every large integer.
        large = any(isinstance(each, int) and abs(each) > 1 << 53 for each in all_values)
        numbers = kinds == {int} or (kinds <= {int, float} and not large)
        if kinds in ({bool}, {str}) or numbers:
            assert read[name] == value
        else:
            assert json.loads(read[name]) == value


def test_what_xml_cannot_hold(db):
    db.create_node({"id": "a\x1b", "label": "X", "properties": {"p": "\x00\r\n\t\ufffe<"}})
    read = nx.parse_graphml(db.subgraph("a\x1b").to_graphml())
    assert dict(read.nodes) == {"a\ufffd": {"p": "\ufffd\r\n\t\ufffd<", "labels": '["X"]'}}


def test_without_networkx(db, monkeypatch):
    db.create_node({"id": "a", "label": "X"})
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(InvalidInput, match="needs networkx"):
        db.subgraph("a").to_networkx()
    assert "<node" in db.subgraph("a").to_graphml()
