"""Everything that a database holds, read as users read it, in the form of a model's content."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from embedded_db import Edge, EmbeddedDB
from embedded_db.models import Chat, Message

from .model import DEFAULT, DIMENSION, EDGE, SPACE, Content, Model, Words, differences, words_of

__all__ = ["check", "check_woven", "content", "piece"]

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
        known = _line(history)
        assert (db.get_edge(id) is None) == known[3]
        assert db.get_edge(id, known_at=history[0].recorded_at).weight == history[0].weight
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
        assert sorted(_all(db, structural_filters=filters, labels=["Thing"])) == sorted(ids), (
            f"things with {n}"
        )
        out.append((("things with", n), tuple(sorted(ids))))
    for word in words:
        out.append((("found by", word), _found_by(db, word)))
    out.append((("found by a vector",), _found_by_a_vector(db) if has_space else ()))
    out.append((("counts",), (db.count("Thing"), db.count("Message"), db.count_edges(EDGE))))
    assert (db.count("Thing"), db.count("Message")) == (sum(map(len, by_n.values())), messages)
    assert db.count_edges(EDGE) == edges
    out.append((("declared",), "Thing" in db.declared_labels()))
    out.append((("indexed",), any(index.state == "ready" for index in db.indexes())))
    return out


def piece(db: EmbeddedDB, key: tuple[Any, ...]) -> Any:
    """Read one thing of the content of a database; None when it is not there."""
    namespace, what, *rest = key
    graph = db if namespace == DEFAULT else db.namespace(namespace)
    if what == "thing":
        node = graph.get_node(rest[0])
        return None if node is None else (node["n"], node["text"])
    if what == "message":
        message = graph.get_node(rest[0])
        return None if message is None else message.content
    if what == "edge":
        return _line(graph.edge_history(rest[0]))
    if what == "vector":
        vector = graph.get_embedding_for_node(rest[0], SPACE)
        return None if vector is None else vector.vector.tobytes()
    if what == "chat":
        return tuple(message.id for message in graph.get_node(rest[0]).messages())
    if what == "things with":
        filters = [{"property": "n", "operator": "Equals", "value": rest[0]}]
        return tuple(sorted(_all(graph, structural_filters=filters, labels=["Thing"])))
    if what == "found by":
        return _found_by(graph, rest[0])
    if what == "found by a vector":
        return _found_by_a_vector(graph)
    if what == "counts":
        return graph.count("Thing"), graph.count("Message"), graph.count_edges(EDGE)
    if what == "declared":
        return "Thing" in graph.declared_labels()
    assert what == "indexed"
    return any(index.state == "ready" for index in graph.indexes())


def _line(history: list[Edge]) -> tuple[Any, ...]:
    last = history[-1]
    weights = tuple(edge.weight for edge in history)
    return last.source, last.target, weights, last.retracted_at is not None


def _all(db: EmbeddedDB, **query: Any) -> list[str]:
    """The ids of all results, on however many pages."""
    page = db.query(**query, limit=MOST)
    ids = [result.node.id for result in page]
    while page.cursor is not None:
        page = db.query(**query, limit=MOST, after=page.cursor)
        ids.extend(result.node.id for result in page)
    return ids


def _found_by(db: EmbeddedDB, word: str) -> tuple[str, ...]:
    found = db.query(text_query={"text": word}, labels=["Thing", "Message"], limit=MOST)
    return tuple(result.node.id for result in found)


def _found_by_a_vector(db: EmbeddedDB) -> tuple[str, ...]:
    query = {"vector": np.ones(DIMENSION), "space": SPACE}
    return tuple(sorted(result.node.id for result in db.query(semantic_query=query, limit=MOST)))


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
