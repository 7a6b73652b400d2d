"""The score of a result is what the documentation says, and its shares add up to it."""

import math
import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import ConvergedQuery, EmbeddedDB, InvalidInput, InvalidQuery

WORDS = ["rust", "database", "paris", "graph", "memory", "spring"]
VECTOR = np.array([1.0, 0.5, -0.5, 0.0], dtype=np.float32)


def fill(db, seed, count):
    rng = random.Random(seed)
    chat = db.create_chat(id="chat")
    made = chat.add_messages(
        [{"content": " ".join(rng.choices(WORDS, k=rng.randint(1, 6)))} for i in range(count)]
    )
    numbers = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    db.set_embeddings([m.id for m in made], numbers, space="s")
    return [m.id for m in made], numbers


def scaled(scores):
    low, high = min(scores.values()), max(scores.values())
    flat = high - low <= 1e-6 * abs(high)
    return {id: 1.0 if flat else (score - low) / (high - low) for id, score in scores.items()}


@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 40),
    weights=st.fixed_dictionaries(
        {},
        optional={
            "text": st.sampled_from([0.0, 0.3, 1.0]),
            "semantic": st.sampled_from([0.0, 0.7, 2.0]),
            "graph": st.sampled_from([0.0, 0.4]),
            "neighbors": st.sampled_from([0.0, 0.3, 0.5]),
            "fusion": st.sampled_from(["weighted", "rrf"]),
        },
    ),
)
def test_both_legs(seed, count, weights):
    with EmbeddedDB(":memory:", ml=None) as db:
        made, _ = fill(db, seed, count)
        legs = {
            "text_query": {"text": "rust paris"},
            "semantic_query": {"vector": VECTOR, "space": "s"},
            "labels": ["Message"],
        }
        text = {
            r.node.id: r.text_score
            for r in db.query(text_query=legs["text_query"], labels=["Message"], limit=1000)
        }
        semantic = {
            r.node.id: r.similarity_score
            for r in db.query(semantic_query=legs["semantic_query"], limit=1000)
        }
        places = {
            name: {id: at for at, id in enumerate(leg, 1)}
            for name, leg in (("text", text), ("semantic", semantic))
        }
        graph = {"start": "chat", "edge_types": ["CONTAINS"]}
        found = db.query(**legs, graph_filter=graph, limit=1000, rank=weights or None)

        text_scaled = scaled({id: text.get(id, 0.0) for id in made})
        semantic_scaled = scaled(semantic)
        rrf = weights.get("fusion") == "rrf"
        base = {}
        for id in made:
            words = text_scaled[id] if id in text else 0.0
            parts = {"text": words, "semantic": semantic_scaled[id]}
            if rrf:
                parts = {n: 1 / (60 + at[id]) if id in at else 0.0 for n, at in places.items()}
            base[id] = (
                weights.get("text", 0.5) * parts["text"]
                + weights.get("semantic", 0.5) * parts["semantic"]
                + weights.get("graph", 0.0) / 2
            )
        lending = weights.get("neighbors", 0.0 if rrf else 0.3)
        for result in found:
            at = made.index(result.node.id)
            expected = base[made[at]]
            for step, share in ((1, 1.0), (2, 1 / 3)):
                for there in (at - step, at + step):
                    if 0 <= there < len(made):
                        expected += lending * share * base[made[there]]
            assert math.isclose(result.score, expected, rel_tol=1e-3, abs_tol=1e-4)
            assert math.isclose(result.score, sum(result.shares.values()), abs_tol=1e-5)
        assert len(found) == count
        assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)


def test_recency_halves(db):
    now = datetime.now(UTC)
    chat = db.create_chat(id="chat")
    made = [
        chat.add_message("rust rust", timestamp=now - timedelta(days=days)) for days in range(4)
    ]
    future = chat.add_message("rust rust", timestamp=now + timedelta(days=50))
    rank = {"recency_half_life": timedelta(days=1)}
    found = db.query(text_query={"text": "rust"}, rank=rank)
    scores = {r.node.id: r.score for r in found}
    newest = scores[made[0].id]
    for days, message in enumerate(made):
        assert math.isclose(scores[message.id], newest / 2**days, rel_tol=1e-3)
    assert math.isclose(scores[future.id], newest, rel_tol=1e-3), "never more than new"
    for result in found:
        assert math.isclose(sum(result.shares.values()), result.score, rel_tol=1e-5)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), diversity=st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_diversity(seed, diversity):
    with EmbeddedDB(":memory:", ml=None) as db:
        made, numbers = fill(db, seed, 12)
        query = {"vector": VECTOR, "space": "s"}
        plain = db.query(semantic_query=query, limit=12)
        left = {r.node.id: r.score for r in plain}
        relevance = scaled(left)
        unit = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
        vectors = dict(zip(made, unit, strict=True))
        found = db.query(semantic_query=query, rank={"mmr": diversity}, limit=5)
        chosen = []
        for result in found:

            def gain(id, chosen=tuple(chosen)):
                near = max((float(vectors[id] @ vectors[other]) for other in chosen), default=0.0)
                return (1 - diversity) * relevance[id] - diversity * max(0.0, near)

            best = max(gain(id) for id in relevance if id not in chosen)
            assert math.isclose(gain(result.node.id), best, abs_tol=1e-4)
            chosen.append(result.node.id)
        assert len(chosen) == 5
        assert found.cursor is None


def test_a_function_may_rank_anew(db):
    fill(db, 7, 30)
    seen = []

    def longest(results):
        seen.extend(r.node.id for r in results)
        return [len(r.node.content) for r in results]

    found = db.query(text_query={"text": "rust paris graph"}, limit=3, rerank=longest)
    lengths = [len(db.get_node(id).content) for id in seen]
    assert [r.rerank_score for r in found] == sorted(lengths, reverse=True)[:3]
    assert all(r.text_score for r in found)
    assert found.cursor is None
    for wrong in (
        lambda rs: [1.0],
        lambda rs: [math.nan] * len(rs),
        lambda rs: ["a"] * len(rs),
        lambda rs: [10**400] * len(rs),
    ):
        with pytest.raises(InvalidInput, match="rerank gave"):
            db.query(text_query={"text": "rust"}, rerank=wrong)


def test_equal_scores_are_equal_in_spite_of_rounding(db):
    chat = db.create_chat(id="chat")
    made = chat.add_messages([{"content": "rust"} for _ in range(3)])
    vectors = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], dtype=np.float32)
    db.set_embeddings([m.id for m in made], vectors, space="s")
    found = db.query(
        text_query={"text": "rust"},
        semantic_query={"vector": [0.1, 0.7, 0.3], "space": "s"},
        rank={"neighbors": 0.0},
    )
    assert [r.score for r in found] == pytest.approx([1.0, 1.0, 1.0])


def test_sets_of_nodes(db):
    for sender, count in (("Ann", 3), ("Bob", 1)):
        for _ in range(count):
            db.create_message(chat_id="c", content="x", sender=sender)
    db.create_message(chat_id="c", content="nobody said this")
    query = ConvergedQuery(labels=["Message"], limit=1)
    assert db.count_matching(query) == 5
    groups = db.group_count(query, "sender")
    assert list(groups.items()) == [("Ann", 3), ("Bob", 1), (None, 1)]
    by_ann = ConvergedQuery(
        structural_filters=[{"property": "sender", "operator": "Equals", "value": "Ann"}]
    )
    assert db.update_matching(by_ann, {"sender": "Anna", "seen": True}) == 3
    assert db.group_count(query, "sender") == {"Anna": 3, "Bob": 1, None: 1}
    assert db.count_matching(by_ann) == 0
    with db.snapshot() as before:
        gone = ConvergedQuery(
            structural_filters=[{"property": "seen", "operator": "Equals", "value": True}]
        )
        assert db.delete_matching(gone) == 3
        assert before.count_matching(query) == 5
        assert before.group_count(query, "seen") == {True: 3, None: 2}
    assert db.count_matching(query) == 2
    assert db.verify()["problems"] == []
    chats = ConvergedQuery(labels=["Chat", "Message"])
    assert db.delete_matching(chats) == 3
    assert db.count_matching(chats) == 0


def test_groups_that_are_one_key_to_python_are_in_order_as_one(db):
    values = [{"x": value} for value in ("a", "a", "a", True, True, 1, 1.0)] + [{}] * 5
    db.create_nodes([{"label": "X", "properties": value} for value in values])
    groups = db.group_count(ConvergedQuery(labels=["X"]), "x")
    assert list(groups.items()) == [(True, 4), ("a", 3), (None, 5)]


def test_sets_need_queries_that_do_not_rank(db):
    text = ConvergedQuery(labels=["X"], text_query={"text": "a"})
    vector = ConvergedQuery(labels=["X"], semantic_query={"vector": [1.0]})
    db.create_node({"label": "X", "properties": {"tags": ["a"]}})
    for call in (
        db.count_matching,
        db.delete_matching,
        lambda q: db.update_matching(q, {"tags": []}),
        lambda q: db.group_count(q, "x"),
    ):
        with pytest.raises(InvalidQuery, match="text_query"):
            call(text)
        with pytest.raises(InvalidQuery, match="semantic_query"):
            call(vector)
    [kept] = db.query(labels=["X"])
    assert kept.node["tags"] == ["a"]
    with pytest.raises(InvalidQuery, match="group_count.*tags"):
        db.group_count(ConvergedQuery(labels=["X"]), "tags")


@pytest.mark.parametrize(
    ("rank", "named"),
    [
        ({"fusion": "sum"}, "rank.fusion"),
        ({"recency_half_life": 0}, "rank.recency_half_life"),
        ({"recency_half_life": timedelta(0)}, "rank.recency_half_life"),
        ({"mmr": 1.5}, "rank.mmr"),
        ({"mmr": math.nan}, "rank.mmr"),
        ({"neighbors": 1.1e6}, "rank.neighbors"),
        ({"neighbours": 1}, "neighbors"),
    ],
)
def test_ranks_that_cannot_be_meant_are_refused(db, rank, named):
    with pytest.raises(InvalidQuery, match=named):
        db.query(text_query={"text": "a"}, rank=rank)


@pytest.mark.parametrize(
    ("operator", "value"),
    [("In", []), ("Between", [2, 1]), ("Between", [1, "a"]), ("Between", [math.nan, 1])],
)
def test_conditions_that_nothing_can_fulfil_are_refused(db, operator, value):
    condition = {"property": "x", "operator": operator, "value": value}
    with pytest.raises(InvalidQuery, match="nothing could match"):
        db.query(structural_filters=[{"any": [{"not": condition}]}])


def test_tables(db):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("polars")
    db.create_node({"label": "X", "properties": {"a": 1, "b": "x", "c": [1, "y"]}})
    db.create_node({"label": "X", "properties": {"a": 2.5, "b": 7, "d": datetime.now(UTC)}})
    found = db.query(labels=["X"])
    table = found.to_arrow()
    assert table.num_rows == 2
    assert table["id"].to_pylist() == [r.node.id for r in found]
    assert table["labels"].to_pylist() == [["X"], ["X"]]
    assert table["property.a"].to_pylist() == [1.0, 2.5]
    assert table["property.b"].to_pylist() == ["'x'", "7"]
    frame = found.to_pandas()
    assert list(frame["property.b"]) == ["x", 7]
    assert list(frame["score"]) == [1.0, 1.0]
    assert isinstance(frame, pandas.DataFrame)
    assert found.to_polars().shape == (2, frame.shape[1])
    assert db.query(labels=["None"]).to_arrow().num_rows == 0


@pytest.mark.parametrize("big", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63) + 1, 2**62])
@pytest.mark.parametrize("beside", [0.5, math.nan, math.inf, None])
def test_no_table_changes_a_number(db, big, beside):
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    values = {"a": big, "b": beside, "c": 7}
    for id, value in values.items():
        inner = {"n": value, "l": [value, 1], "d": {"x": value}}
        db.create_node({"id": id, "label": "N", "properties": inner})
    found = db.query(labels=["N"])
    tables = [
        found.to_arrow().to_pylist(),
        found.to_polars().to_dicts(),
        found.to_pandas().to_dict("records"),
    ]
    for rows in tables:
        assert len(rows) == 3
        for row in rows:
            value = values[row["id"]]
            assert is_shown(row["property.n"], value)
            assert is_shown(row["property.l"], [value, 1])
            assert is_shown(row["property.d"], {"x": value})


def is_shown(cell, value):
    """Whether a cell has the value: as a text, or as a number that is exactly this one."""
    if isinstance(cell, str):
        return cell == repr(value)
    if isinstance(value, list):
        return len(cell) == len(value) and all(map(is_shown, cell, value))
    if isinstance(value, dict):
        return is_shown(cell["x"], value["x"])
    if value is None or math.isnan(value):
        return cell is None or math.isnan(cell)
    return Fraction(cell) == Fraction(value) if math.isfinite(value) else cell == value


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), budget=st.integers(1, 40))
def test_results_fit_a_token_budget(seed, budget):
    with EmbeddedDB(":memory:", ml=None) as db:
        fill(db, seed, 20)

        def count(text):
            return len(text.split())

        query = {"text_query": {"text": "rust paris graph"}, "limit": 20}
        expected, left = [], budget
        for result in db.query(**query):
            if count(result.node.content) <= left:
                left -= count(result.node.content)
                expected.append(result.node.id)
        found = db.query(**query, token_budget=budget, count_tokens=count)
        assert [r.node.id for r in found] == expected
        assert found.cursor is None
        best = db.query(**query, rerank=lambda rs: [-count(r.node.content) for r in rs])
        cut = db.query(
            **query,
            rerank=lambda rs: [-count(r.node.content) for r in rs],
            token_budget=1000,
            count_tokens=count,
        )
        assert [r.rerank_score for r in cut] == [r.rerank_score for r in best]


def test_token_budgets_that_cannot_be_meant_are_refused(db):
    for budget in (0, -1, 1.5, True, "10"):
        with pytest.raises(InvalidInput, match="token_budget"):
            db.query(labels=["Message"], token_budget=budget)
