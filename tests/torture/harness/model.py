"""What was acknowledged, in plain Python: the reference that a database is compared with.

A model's content and that of a database are flat dicts with the same keys, so that they are equal
or their difference is a few lines.
"""

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = [
    "DEFAULT",
    "DIMENSION",
    "EDGE",
    "SPACE",
    "Content",
    "Graph",
    "Model",
    "Words",
    "differences",
    "text_of",
    "vector_of",
    "word_of",
    "words_of",
]

DEFAULT = "default"
SPACE = "s"
DIMENSION = 16
EDGE = "T"

Content = dict[tuple[Any, ...], Any]
Words = dict[str, set[str]]


def word_of(id: str, n: int) -> str:
    """The word that only this version of this text has."""
    return f"word{id}v{n}"


def text_of(id: str, n: int) -> str:
    """The text of a message: two names for the weaver, and its word."""
    return f"Alice met Bob {word_of(id, n)}"


def vector_of(seed: int) -> np.ndarray:
    """A vector, as it is stored."""
    return np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)


@dataclass
class Line:
    """An edge: its ends, all its weights from the oldest, whether it was retracted."""

    source: str
    target: str
    weights: list[float] = field(default_factory=lambda: [1.0])
    retracted: bool = False


@dataclass
class Graph:
    """One namespace."""

    things: dict[str, int] = field(default_factory=dict)  # id -> n
    edges: dict[str, Line] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)  # thing -> seed
    chats: dict[str, list[str]] = field(default_factory=dict)  # chat -> messages in order
    messages: dict[str, int] = field(default_factory=dict)  # id -> n
    declared: bool = False  # things are found by their words
    indexed: bool = False
    said: set[tuple[str, int]] = field(default_factory=set)  # every version of every text

    def delete_thing(self, id: str) -> None:
        """With its vector, its edges and their history."""
        del self.things[id]
        self.vectors.pop(id, None)
        self.edges = {
            name: line for name, line in self.edges.items() if id not in (line.source, line.target)
        }

    def words(self) -> set[str]:
        """Every word that is or was there."""
        return {word_of(id, n) for id, n in self.said}


@dataclass
class Model:
    """A whole database."""

    graphs: dict[str, Graph] = field(default_factory=lambda: {DEFAULT: Graph()})

    def after(self, *operations: Any) -> "Model":
        """A model of the state after these."""
        later = copy.deepcopy(self)
        for operation in operations:
            operation.apply(later)
        return later

    def content(self, words: "Words | None" = None) -> Content:
        """What a database has to hold.

        Args:
            words: those that are looked up in it; those that were ever in it when left out.
        """
        out: Content = {}
        for name, graph in self.graphs.items():
            looked_up = graph.words() if words is None else words.get(name, set())
            content = _content(graph, looked_up)
            out.update({(name, *key): value for key, value in content.items()})
        return out

    def settle(self, unanswered: list[Any], found: Content) -> int:
        """Take what nobody answered as done or not, as the database says; how much was done."""
        done = 0
        for operation in unanswered:
            after = self.after(operation)
            key = operation.own()
            if found.get(key) == after.content().get(key):
                self.graphs = after.graphs
                done += 1
            for name in self.graphs.keys() & after.graphs.keys():
                # Its words must not be found.
                self.graphs[name].said |= after.graphs[name].said
        return done


def words_of(*models: Model) -> Words:
    """Every word that is or was in any of these, by namespace."""
    out: Words = defaultdict(set)
    for model in models:
        for name, graph in model.graphs.items():
            out[name] |= graph.words()
    return dict(out)


def _content(graph: Graph, words: set[str]) -> Content:
    out: Content = {}
    by_n: dict[int, list[str]] = defaultdict(list)
    found: dict[str, list[str]] = {word: [] for word in words}
    for id, n in graph.things.items():
        out["thing", id] = (n, word_of(id, n))
        by_n[n].append(id)
        if graph.declared and word_of(id, n) in found:
            found[word_of(id, n)].append(id)
    for id, n in graph.messages.items():
        out["message", id] = text_of(id, n)
        if word_of(id, n) in found:
            found[word_of(id, n)].append(id)
    for id, line in graph.edges.items():
        out["edge", id] = (line.source, line.target, tuple(line.weights), line.retracted)
    for id, seed in graph.vectors.items():
        out["vector", id] = vector_of(seed).tobytes()
    for id, messages in graph.chats.items():
        out["chat", id] = tuple(messages)
    for n, ids in by_n.items():
        out["things with", n] = tuple(sorted(ids))
    for word, ids in found.items():
        out["found by", word] = tuple(ids)
    out["found by a vector",] = tuple(sorted(graph.vectors))
    edges = sum(not line.retracted for line in graph.edges.values())
    out["counts",] = (len(graph.things), len(graph.messages), edges)
    out["declared",] = graph.declared
    out["indexed",] = graph.indexed
    return out


def differences(found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> list[str]:
    """What of a database is not as it has to be: nothing, or some lines."""
    keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    nothing = "nothing"
    lines = [
        f"{key}: {found.get(key, nothing)!r} where {wanted.get(key, nothing)!r} has to be"
        for key in keys
    ]
    return lines[:20] + ([f"… and {len(lines) - 20} more"] if len(lines) > 20 else [])
