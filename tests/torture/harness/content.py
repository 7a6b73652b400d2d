"""Everything that a database holds, read as users read it, in the form of a model's content."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from embedded_db import EmbeddedDB
from embedded_db.models import Chat, Message

from .model import DEFAULT, DIMENSION, EDGE, SPACE, Content, Model, Words, differences, words_of

__all__ = ["check", "check_woven", "content"]

MOST = 10_000


def content(db: EmbeddedDB, words: Words) -> Content:
    """Read everything but what the weaver makes: by ids, labels, edges, words, values, vectors.

    Args:
        db: the database.
        words: for each namespace the words that are looked up in its texts.
    """
    out: Content = {}
    for name in db.namespaces():
        graph = db if name == DEFAULT else db.namespace(name)
        out.update({(name, *key): value for key, value in _graph(graph, words.get(name, ()))})
    return out


def _graph(db: EmbeddedDB, words: Iterable[str]) -> "list[tuple[tuple[Any, ...], Any]]":
    out: list[tuple[tuple[Any, ...], Any]] = []
    by_n: dict[int, list[str]] = defaultdict(list)
    edges = 0
    has_space = SPACE in {space["name"] for space in db.spaces()}
    for node in db.nodes("Thing"):
        out.append((("thing", node.id), (node["n"], node["text"])))
        by_n[node["n"]].append(node.id)
        now = {edge.id: edge for edge in db.edges(node.id, EDGE)}
        edges += len(now)
        assert [n.id for n in db.neighbors(node.id, EDGE)] == [e.target for e in now.values()]
        if has_space and (vector := db.get_embedding_for_node(node.id, SPACE)) is not None:
            out.append((("vector", node.id), vector.vector.tobytes()))
    for id in _edges_ever(db):
        history = db.edge_history(id)
        last, weights = history[-1], tuple(edge.weight for edge in history)
        known = (last.source, last.target, weights, last.retracted_at is not None)
        assert (db.get_edge(id) is None) == known[3]
        assert db.get_edge(id, known_at=history[0].recorded_at).weight == weights[0]
        out.append((("edge", id), known))
    messages = 0
    for chat in db.nodes("Chat"):
        assert isinstance(chat, Chat)
        said = list(chat.messages())
        messages += len(said)
        assert [message.next for message in said[:-1]] == said[1:]
        out.append((("chat", chat.id), tuple(message.id for message in said)))
        out.extend((("message", message.id), message.content) for message in said)
    for n, ids in by_n.items():
        filters = [{"property": "n", "operator": "Equals", "value": n}]
        found = db.query(structural_filters=filters, labels=["Thing"], limit=MOST)
        assert sorted(result.node.id for result in found) == sorted(ids), f"things with {n}"
        out.append((("things with", n), tuple(sorted(ids))))
    for word in words:
        found = db.query(text_query={"text": word}, labels=["Thing", "Message"], limit=MOST)
        out.append((("found by", word), tuple(result.node.id for result in found)))
    alike: list[str] = []
    if has_space:
        query = {"vector": np.ones(DIMENSION), "space": SPACE}
        alike = [result.node.id for result in db.query(semantic_query=query, limit=MOST)]
    out.append((("found by a vector",), tuple(sorted(alike))))
    out.append((("counts",), (db.count("Thing"), db.count("Message"), db.count_edges(EDGE))))
    assert (db.count("Thing"), db.count("Message")) == (sum(map(len, by_n.values())), messages)
    assert db.count_edges(EDGE) == edges
    out.append((("declared",), "Thing" in db.declared_labels()))
    out.append((("indexed",), any(index.state == "ready" for index in db.indexes())))
    return out


def _edges_ever(db: EmbeddedDB) -> "list[str]":
    """Every edge that is stored, also those that were retracted."""
    ids: list[str] = []
    while page := db._native.edges_ever(ids[-1] if ids else None, 1000):
        ids.extend(edge.id for edge in page)
    return [id for id in ids if db.edge_history(id)[-1].type == EDGE]


def check(db: EmbeddedDB, model: Model) -> None:
    """Fail unless a database holds what it has to, and agrees with itself."""
    different = differences(content(db, words_of(model)), model.content())
    assert not different, "\n".join(different)
    report = db.verify()
    assert report["ok"], report["problems"]


def check_woven(db: EmbeddedDB, model: Model) -> None:
    """The same for a database with a weaver, after all of its work is done."""
    db.flush(timeout=60)
    check(db, model)
    for name, graph in model.graphs.items():
        handle = db if name == DEFAULT else db.namespace(name)
        for id in graph.messages:
            message = handle.get_node(id)
            assert isinstance(message, Message)
            assert set(message.status.to_dict().values()) == {"ready"}, (id, message.status)
            assert message.embedding("fake") is not None
            assert sorted(each.label for each in message.entities()) == ["Alice", "Bob"]
        named = {each.label: each.mention_count for each in handle.nodes("Entity")}
        said = len(graph.messages)
        assert named == ({"Alice": said, "Bob": said} if said else {}), name
        found = handle.query(
            semantic_query={"text": "Alice", "space": "fake"}, labels=["Message"], limit=MOST
        )
        assert len(found) == said
        assert found.pending == 0
