"""`db.recall` gives the activations of its formula.

The formula is written down here a second time, over dense matrices. Random small graphs, with
parallel edges, loops, weights that carry nothing and times, are changed and asked again: the edges
that a handle holds in memory are those of the newest state, or of its snapshot.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import ConvergedQuery, EmbeddedDB

NAMES = [f"n{at}" for at in range(7)]
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)

edges = st.fixed_dictionaries(
    {
        "source": st.sampled_from(NAMES),
        "target": st.sampled_from(NAMES),
        "type": st.sampled_from(["KNOWS", "LIKES"]),
        "weight": st.sampled_from([1.0, 1.0, 3.0, 0.25, 0.0, -1.0]),
    },
    optional={"valid_to": st.integers(1, 3).map(lambda days: BEGIN + timedelta(days=days))},
)
asked = st.fixed_dictionaries(
    {
        "bursts": st.integers(1, 5),
        "restart": st.sampled_from([0.0, 0.2, 0.9]),
        "direction": st.sampled_from(["out", "in", "any"]),
        "edge_types": st.sampled_from([None, ["KNOWS"], ["LIKES", "UNKNOWN"]]),
        "valid_at": st.sampled_from([None, BEGIN, BEGIN + timedelta(days=2)]),
    }
)


def reference(nodes, edges, seeds, *, bursts, restart, direction, edge_types, valid_at):
    """Give the activation of each node by name."""
    at = {name: number for number, name in enumerate(nodes)}
    carrying = [e for e in edges if e["weight"] > 0 and e["source"] != e["target"]]
    ends = [at[e[end]] for e in carrying for end in ("source", "target")]
    degrees = np.bincount(ends, minlength=len(nodes)) if ends else np.zeros(len(nodes))
    connected = np.count_nonzero(degrees)
    weights = np.zeros((len(nodes), len(nodes)))
    for edge in carrying:
        if edge_types is not None and edge["type"] not in edge_types:
            continue
        if valid_at is not None and "valid_to" in edge and edge["valid_to"] <= valid_at:
            continue
        one, other = at[edge["source"]], at[edge["target"]]
        carries = edge["weight"] * np.log(1 + connected / max(degrees[one], degrees[other]))
        if direction in ("out", "any"):
            weights[one, other] += carries
        if direction in ("in", "any"):
            weights[other, one] += carries
    begin = np.zeros(len(nodes))
    for seed in seeds:
        begin[at[seed]] += 1 / len(seeds)
    sums = weights.sum(axis=1)
    active = begin
    for _ in range(bursts):
        lost = active[sums == 0].sum()
        shares = np.divide(active, sums, out=np.zeros(len(nodes)), where=sums > 0)
        active = (1 - restart) * (shares @ weights + lost * begin) + restart * begin
    return {name: active[number] for name, number in at.items() if active[number] > 0}


def assert_right(reads, nodes, edges, seeds, asked):
    found = reads.recall(seeds, limit=100, **asked)
    expected = reference(nodes, edges, seeds, **asked)
    got = {result.node.id: result.activation for result in found}
    # What is fainter than a millionth is not passed on.
    faint = {name for name, value in expected.items() if value < 1e-5}
    assert set(expected) - faint <= set(got) <= set(expected)
    for name, value in got.items():
        assert value == pytest.approx(expected[name], rel=1e-4, abs=1e-5)
    assert [r.activation for r in found] == sorted((r.activation for r in found), reverse=True)
    assert sum(got.values()) == pytest.approx(1, abs=1e-4)
    for result in found:
        assert_lit(result, seeds, asked)


def assert_lit(result, seeds, asked):
    """A path leads from a seed to the node, over edges that carry that way."""
    nodes = [node.id for node in result.path.nodes]
    assert nodes[0] in seeds
    assert nodes[-1] == result.node.id
    assert len(set(nodes)) == len(nodes)
    assert len(nodes) - 1 == len(result.path.edges) <= asked["bursts"]
    for one, other, edge in zip(nodes, nodes[1:], result.path.edges, strict=False):
        ways = {"out": [(one, other)], "in": [(other, one)]}
        ways["any"] = ways["out"] + ways["in"]
        assert (edge.source, edge.target) in ways[asked["direction"]]
        assert asked["edge_types"] is None or edge.type in asked["edge_types"]


@given(
    first=st.lists(edges, max_size=14),
    second=st.lists(edges, max_size=6),
    data=st.data(),
    asked=asked,
)
def test_activation_is_that_of_the_formula(first, second, data, asked):
    seeds = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_nodes([{"label": "N", "id": name} for name in NAMES])
        ids = db.create_edges(first) if first else []
        assert_right(db, NAMES, first, seeds, asked)
        with db.snapshot() as before:
            gone = data.draw(st.sets(st.sampled_from(ids), max_size=3)) if ids else set()
            for id in gone:
                db.delete_edge(id)
            if second:
                db.create_edges(second)
            kept = [edge for id, edge in zip(ids, first, strict=True) if id not in gone]
            assert_right(db, NAMES, kept + second, seeds, asked)
            assert_right(before, NAMES, first, seeds, asked)
        last = NAMES[-1]
        if last not in seeds:
            db.delete_node(last)
            left = [e for e in kept + second if last not in (e["source"], e["target"])]
            assert_right(db, NAMES[:-1], left, seeds, asked)


def test_seeds_of_a_query_weigh_the_square_of_their_scores():
    with EmbeddedDB(":memory:", ml=None) as db:
        one, two, three = db.create_nodes([{"label": "N"}] * 3)
        db.create_edge({"source": one, "target": two, "type": "TIE"})
        db.set_embeddings([one, three], [[1.0, 0.0], [3.0, 4.0]], space="two")
        near = ConvergedQuery(semantic_query={"vector": [1.0, 0.0], "space": "two"})
        found = {r.node.id: r.activation for r in db.recall(near, bursts=1, restart=0.0)}
        weights = np.square([1.0, 0.6])
        of_one, of_three = weights / weights.sum()
        # What finds no edge goes back to the seeds.
        assert found[two] == pytest.approx(of_one, rel=1e-5)
        assert found[one] == pytest.approx(of_three * of_one, rel=1e-5)
        assert found[three] == pytest.approx(of_three * of_three, rel=1e-5)
        only = db.recall(near, seeds=1, bursts=1, restart=0.0)
        assert [result.node.id for result in only] == [two]
