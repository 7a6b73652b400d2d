"""A converged query is a plain value: it can be kept, compared, sent and made again."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import ConvergedQuery, InvalidInput, InvalidQuery

WHOLE = {
    "structural_filters": [
        {"property": "chat_id", "operator": "Equals", "value": "c"},
        {
            "any": [
                {"property": "n", "operator": "In", "value": [1, 2]},
                {"not": {"property": "gone", "operator": "Exists"}},
            ]
        },
    ],
    "graph_filter": {
        "start": ["a", "b"],
        "edge_types": ["MENTIONS"],
        "direction": "both",
        "min_hops": 1,
        "max_hops": 2,
        "exclude": True,
    },
    "semantic_query": {"vector": [1.0, 0.5], "threshold": 0.7, "space": "s", "recall": 0.98},
    "text_query": {"text": "rust performance"},
    "labels": ["Message"],
    "limit": 5,
    "rank": {"text": 0.4, "semantic": 0.6, "graph": 0.1, "neighbors": 0.0},
    "wait": 1.0,
    "timeout": 2.0,
    "explain": True,
    "exact": True,
}


def test_a_query_makes_a_dict_and_a_dict_the_query():
    query = ConvergedQuery.from_dict(WHOLE)
    assert query.to_dict() == WHOLE
    assert ConvergedQuery.from_dict(json.loads(json.dumps(query.to_dict()))) == query
    assert hash(ConvergedQuery.from_dict(WHOLE)) == hash(query)
    assert query != ConvergedQuery(labels=["Message"])
    assert query != "query"
    assert "rust performance" in repr(query)
    assert ConvergedQuery(labels="X").to_dict() == {"labels": ["X"], "limit": 10}


def test_what_may_be_written_in_several_ways_is_one():
    class Thing:
        id = "a"

    graph = ConvergedQuery(graph_filter={"start": Thing(), "direction": "any"}).graph_filter
    assert graph == {"start": ["a"], "direction": "both", "min_hops": 1, "max_hops": 1}
    one = ConvergedQuery(semantic_query={"vector": np.array([1, 2])})
    other = ConvergedQuery(semantic_query={"vector": (1.0, 2.0)})
    assert one == other
    in_set = ConvergedQuery(
        structural_filters=[{"property": "n", "operator": "In", "value": {np.int64(3)}}]
    )
    assert in_set.to_dict()["structural_filters"][0]["value"] == [3]
    assert ConvergedQuery(graph_filter={"start": "a", "edge_types": "T"}) == ConvergedQuery(
        graph_filter={"start": ["a"], "edge_types": ["T"]}
    )


def test_a_query_does_not_change_with_what_it_was_made_of():
    filters = [{"property": "n", "operator": "Equals", "value": 1}]
    vector = np.array([1.0, 2.0], np.float32)
    query = ConvergedQuery(structural_filters=filters, semantic_query={"vector": vector})
    before = query.to_dict()
    filters[0]["value"] = 2
    filters.append({})
    vector[0] = 9.0
    assert query.to_dict() == before
    with pytest.raises(AttributeError):
        query.limit = 3


def test_times_are_values():
    when = datetime(2026, 1, 1, tzinfo=UTC)
    query = ConvergedQuery(
        structural_filters=[{"property": "t", "operator": "Between", "value": (when, when)}]
    )
    assert query.to_dict()["structural_filters"][0]["value"] == [when, when]


def test_nesting_has_an_end():
    condition = {"property": "a", "operator": "Exists"}
    for _ in range(64):
        condition = {"not": condition}
    ConvergedQuery(structural_filters=[condition])
    for _ in range(1000):
        condition = {"not": condition}
    with pytest.raises(InvalidQuery, match="64"):
        ConvergedQuery(structural_filters=[condition])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), json_values))
def test_nonsense_is_refused_by_name(nonsense):
    """Whatever stands in a field, the answer is a query or `InvalidInput`, no other error."""
    try:
        query = ConvergedQuery.from_dict(nonsense)
    except InvalidInput:
        return
    assert ConvergedQuery.from_dict(query.to_dict()) == query
