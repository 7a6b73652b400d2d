"""A query gives its k results whenever k are there, whatever has expired beside them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from embedded_db import EmbeddedDB

from .shared import TTL, after_expiry


@pytest.mark.parametrize("k", [1, 10, 40, 100])
def test_a_query_gives_its_k_whenever_k_are_there(path, clock, k):
    rng = np.random.default_rng(7)
    with EmbeddedDB(path, ml=None) as db:
        db.declare_label("Note", text=["text"])
        nodes = [
            {
                "id": f"n{n}",
                "label": "Note",
                "properties": {"text": f"rust {n}", "even": n % 2 == 0},
                # The best by every leg are among those that expire.
                **({"ttl": TTL} if n < 150 else {}),
            }
            for n in range(200)
        ]
        db.create_nodes(nodes)
        vectors = rng.standard_normal((200, 8)).astype(np.float32)
        vectors[:150] += np.float32(5)
        db.set_embeddings([node["id"] for node in nodes], vectors, space="mine")
    query = {"vector": np.ones(8), "space": "mine"}
    even = [{"property": "even", "operator": "Equals", "value": True}]
    after_expiry(clock)
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        for restricted, there in (({}, 50), ({"structural_filters": even}, 25)):
            for legs in (
                {"semantic_query": query},
                {"text_query": {"text": "rust"}},
                {"semantic_query": query, "text_query": {"text": "rust"}},
                {"labels": ["Note"]},
            ):
                found = db.query(limit=k, **legs, **restricted)
                assert len(found) == min(k, there), legs
                assert all(int(result.node.id[1:]) >= 150 for result in found)
        best = sorted(range(150, 200), key=lambda n: -cosine(vectors[n], np.ones(8)))[:k]
        exact = db.query(semantic_query=query, limit=k)
        assert [result.node.id for result in exact] == [f"n{n}" for n in best]


@pytest.mark.parametrize("k", [1, 10, 100])
def test_an_index_gives_its_k_whenever_k_are_there(path, clock, k):
    with EmbeddedDB(path, ml=None) as db:
        for name in ("n", "name"):
            db.create_index("Note", name)
        # The first by every order expire, and some in between.
        gone = {n for n in range(3000) if n < 1000 or n % 3 == 0 or n >= 2900}
        for first in range(0, 3000, 1000):
            db.create_nodes(
                [
                    {
                        "id": f"n{n}",
                        "label": "Note",
                        "properties": {"n": n, "name": f"{n:05}", "plain": n},
                        **({"ttl": TTL} if n in gone else {}),
                    }
                    for n in range(first, first + 1000)
                ]
            )
        db.flush(timeout=60)
    left = [n for n in range(3000) if n not in gone]
    after_expiry(clock)
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        for labels in (None, ["Note"]):
            for property, value in (("n", 10), ("name", "00010"), ("plain", 10)):
                above = [{"property": property, "operator": "GreaterThan", "value": value}]
                found = db.query(labels=labels, structural_filters=above, limit=k)
                assert [r.node["n"] for r in found] == left[:k]
                for way, expected in (("asc", left), ("desc", left[::-1])):
                    found = db.query(
                        labels=labels,
                        structural_filters=above,
                        order_by=[(property, way)],
                        limit=k,
                    )
                    assert [r.node["n"] for r in found] == expected[:k]
        found = db.query(labels=["Note"], limit=k)
        assert [r.node["n"] for r in found] == left[:k]


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_range_of_times_gives_its_k_whenever_k_are_there(path, clock, k):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat(id="chat")
        chat.add_messages(
            [
                {
                    "id": f"m{n}",
                    "content": f"message {n}",
                    "timestamp": begin + timedelta(minutes=n),
                    # The first by every order expire, and some in between.
                    **({"ttl": TTL} if n < 1000 or n % 3 == 0 or n >= 2900 else {}),
                }
                for n in range(3000)
            ]
        )
    left = [f"m{n}" for n in range(1000, 2900) if n % 3]
    after_expiry(clock)
    later = [{"property": "timestamp", "operator": "GreaterThan", "value": begin}]
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        for labels in (None, ["Message"]):
            found = db.query(labels=labels, structural_filters=later, limit=k)
            assert [r.node.id for r in found] == left[:k]
            more = db.query(labels=labels, structural_filters=later, limit=k, after=found.cursor)
            assert [r.node.id for r in more] == left[k : 2 * k]
            for way, expected in (("asc", left), ("desc", left[::-1])):
                order = [("timestamp", way)]
                found = db.query(labels=labels, structural_filters=later, order_by=order, limit=k)
                assert [r.node.id for r in found] == expected[:k]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
