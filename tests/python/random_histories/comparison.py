"""What a database, a snapshot or a transaction gives, beside the state that it has to hold."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from embedded_db import ConvergedQuery
from embedded_db.testing import ENTITIES

from .state import Line, words_of
from .values import LABELS, TYPES, WORDS, vector


def least(label, n):
    return ConvergedQuery(
        labels=[label],
        structural_filters=[{"property": "n", "operator": "GreaterThanOrEqual", "value": n}],
        order_by=["s"],
        limit=1000,
    )


def check_node(reads, state, id):
    found, expected = reads.get_node(id), state.nodes.get(id)
    if expected is None:
        assert found is None, id
        return
    assert found is not None, id
    assert tuple(found.labels) == expected.labels
    properties = dict(found.properties)
    if expected.chat is not None:
        assert properties.pop("chat_id") == expected.chat
        properties.pop("timestamp")
        properties.pop("role", None)
    assert properties == expected.properties
    assert found.version == expected.version, id


def check_edge(reads, state, id):
    found, expected = reads.get_edge(id), state.edges.get(id)
    if expected is None:
        assert found is None, id
        return
    assert found is not None, id
    line = Line(found.source, found.target, found.type, found.properties, found.weight)
    assert line._replace(version=found.version) == expected


def check_reads(reads, state, rng):
    """One read of each kind, as a database and a snapshot give them."""
    id = rng.choice([*state.nodes, "nobody"])
    check_node(reads, state, id)
    type, direction = rng.choice(TYPES), rng.choice(["out", "in", "both"])
    if id in state.nodes:
        assert Counter(n.id for n in reads.neighbors(id, type, direction)) == Counter(
            state.neighbors(id, type, direction)
        )
    label, n = rng.choice(LABELS), rng.randint(0, 9)
    query = least(label, n)
    expected = state.matching(label, n)
    assert {r.node.id for r in reads.execute_query(query)} == set(expected)
    assert reads.count_matching(query) == len(expected)
    assert reads.count(label) == len(state.labelled(label))
    word = rng.choice(WORDS)
    said = reads.query(text_query={"text": word}, labels=["Message"], limit=1000)
    assert {r.node.id for r in said} == {
        id for id, node in state.nodes.items() if node.chat and word in words_of(node)
    }


def check_reads_in(tx, state, rng):
    """A query in a transaction sees the state of its beginning."""
    label, n = rng.choice(LABELS), rng.randint(0, 9)
    assert {r.node.id for r in tx.execute_query(least(label, n))} == set(state.matching(label, n))


def check_vectors(reads, state, rng):
    if not state.vectors:
        return
    query = vector(rng)
    ids = list(state.vectors)
    rows = np.array([state.vectors[id] for id in ids])
    cosine = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    limit = rng.randint(1, 8)
    found = reads.query(semantic_query={"vector": query, "space": "s"}, limit=limit)
    assert len(found) == min(limit, len(ids))
    best = sorted(cosine, reverse=True)[:limit]
    assert [r.similarity_score for r in found] == pytest.approx(best, abs=1e-4)
    scores = dict(zip(ids, cosine, strict=True))
    for result in found:
        assert result.similarity_score == pytest.approx(scores[result.node.id], abs=1e-4)


def check_all(reads, state):
    """Everything that users made, and the edges that the database keeps for chats."""
    for id in state.nodes:
        check_node(reads, state, id)
        for type in TYPES:
            for direction in ("out", "in"):
                found = [node.id for node in reads.neighbors(id, type, direction)]
                assert found == state.neighbors(id, type, direction), "oldest edge first"
        stored = reads.get_embedding_for_node(id, "s") if state.vectors else None
        assert (stored is None) == (id not in state.vectors)
        if stored is not None:
            assert stored.vector == pytest.approx(state.vectors[id])
    for id in state.edges:
        check_edge(reads, state, id)
    for label in (*LABELS, "Chat", "Message"):
        assert {node.id for node in reads.nodes(label)} == set(state.labelled(label))
        assert reads.count(label) == len(state.labelled(label))
    for type in TYPES:
        assert reads.count_edges(type) == sum(e.type == type for e in state.edges.values())
    for chat in state.labelled("Chat"):
        messages = state.messages(chat)
        assert [m.id for m in reads.get_node(chat).messages()] == messages
        assert [m.id for m in reads.neighbors(chat, "CONTAINS")] == messages
        for before, after in pairwise([*messages, None]):
            assert [m.id for m in reads.neighbors(before, "NEXT")] == ([after] if after else [])


def check_derived(db, state):
    """What the model makes of the messages there are, and nothing of those that are gone."""
    mentions, pairs = set(), Counter()
    for id, node in state.nodes.items():
        if node.chat is None:
            continue
        names = sorted(set(words_of(node)) & set(ENTITIES))
        mentions |= {(id, name) for name in names}
        pairs.update(combinations(names, 2))
        message = db.get_node(id)
        assert {entity.label for entity in message.entities()} == set(names)
        assert (message.embedding() is not None) == bool(words_of(node))
    entities = {node.label: node for node in db.nodes("Entity")}
    assert set(entities) == {name for _, name in mentions}
    for name, node in entities.items():
        assert {m.id for m in db.neighbors(node, "MENTIONS", "in")} == {
            id for id, mentioned in mentions if mentioned == name
        }
    related: Counter[tuple[str, ...]] = Counter()
    for node in entities.values():
        for edge in db.edges(node, "RELATED_TO"):
            ends = (db.get_node(edge.source).label, db.get_node(edge.target).label)
            related[tuple(sorted(ends))] += edge.weight
    assert related == pairs
    return len(mentions)
