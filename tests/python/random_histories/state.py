"""What a database has to hold, too simple to be wrong."""

from typing import Any, NamedTuple

import numpy as np

from embedded_db import DELETE


class Stored(NamedTuple):
    """A node as it has to be; a message has the chat it is in."""

    labels: tuple[str, ...]
    properties: dict[str, Any]
    version: int = 1
    chat: str | None = None


class Line(NamedTuple):
    """An edge that a user made."""

    source: str
    target: str
    type: str
    properties: dict[str, Any]
    weight: float = 1.0
    version: int = 1


class State:
    """What one namespace has to hold; values are replaced, never changed: a copy is cheap."""

    def __init__(self):
        self.nodes: dict[str, Stored] = {}
        self.edges: dict[str, Line] = {}
        self.vectors: dict[str, np.ndarray] = {}

    def copy(self):
        other = State()
        other.nodes, other.edges = dict(self.nodes), dict(self.edges)
        other.vectors = dict(self.vectors)
        return other

    def update(self, id, changes):
        node = self.nodes[id]
        self.nodes[id] = node._replace(
            properties=merged(node.properties, changes), version=node.version + 1
        )

    def delete(self, id):
        gone = {id, *(m for m, node in self.nodes.items() if node.chat == id)}
        for each in gone:
            self.nodes.pop(each)
            self.vectors.pop(each, None)
        self.edges = {
            edge: line
            for edge, line in self.edges.items()
            if line.source not in gone and line.target not in gone
        }
        return gone

    def labelled(self, *labels):
        return [id for id, node in self.nodes.items() if set(labels) & set(node.labels)]

    def messages(self, chat):
        return [id for id, node in self.nodes.items() if node.chat == chat]

    def matching(self, label, least):
        return [
            id
            for id in self.labelled(label)
            if isinstance(n := self.nodes[id].properties.get("n"), int) and n >= least
        ]

    def neighbors(self, id, type, direction):
        out = []
        for line in self.edges.values():
            if line.type == type:
                out += [line.target] * (direction in ("out", "both") and line.source == id)
                out += [line.source] * (direction in ("in", "both") and line.target == id)
        return out


def merged(properties, changes):
    both = {**properties, **changes}
    return {name: value for name, value in both.items() if value is not DELETE}


def words_of(node):
    return node.properties.get("content", "").split()
