"""Single writes, and what they make of the state."""

import pytest

from embedded_db import DELETE, AlreadyExists, NotFound

from .comparison import check_edge, check_node
from .state import Line, Stored, merged
from .values import LABELS, MOST, TYPES, text, vector


class Writes:
    """Single writes, of a database or a transaction, and what they make of the state."""

    def __init__(self, target, state, rng):
        self.target = target
        self.state = state
        self.rng = rng
        self.touched: set[str] = set()
        """What a transaction has read or written by its id."""
        self.cascaded: set[str] = set()
        """What went with a chat: whether it changes beside is no matter."""

    def node(self):
        id = self.rng.choice([*self.state.nodes, "nobody"])
        self.touched.add(id)
        return id

    def properties(self):
        given = {"n": self.rng.randint(0, 9), "s": self.rng.choice("abc"), "l": [1, "x"]}
        return {name: given[name] for name in given if self.rng.random() < 0.7}

    def fresh(self):
        """An id, now and then one that is taken or was in use before."""
        return f"n{self.rng.randint(0, 4 * MOST)}"

    def create_node(self):
        id, label, properties = self.fresh(), self.rng.choice(LABELS), self.properties()
        self.touched.add(id)
        given = {"id": id, "label": label, "properties": properties}
        if id in self.state.nodes:
            with pytest.raises(AlreadyExists):
                self.target.create_node(given)
        else:
            assert self.target.create_node(given) == id
            self.state.nodes[id] = Stored((label,), properties)

    def update_node(self):
        id, changes = self.node(), self.properties()
        if self.rng.random() < 0.3:
            changes[self.rng.choice(["n", "s", "l"])] = DELETE
        if (node := self.state.nodes.get(id)) is None:
            with pytest.raises(NotFound):
                self.target.update_node(id, changes)
            return
        if node.chat is not None and self.rng.random() < 0.5:
            changes["content"] = text(self.rng)
        self.target.update_node(id, changes)
        self.state.update(id, changes)
        check_node(self.target, self.state, id)

    def delete_node(self):
        id = self.node()
        if id not in self.state.nodes:
            with pytest.raises(NotFound):
                self.target.delete_node(id)
            return
        self.target.delete_node(id)
        self.cascaded |= self.state.delete(id) - {id}
        check_node(self.target, self.state, id)

    def create_edge(self):
        id, source = f"e{self.rng.randint(0, 8 * MOST)}", self.node()
        target = self.node() if source in self.state.nodes else "nobody"
        type, properties = self.rng.choice(TYPES), self.properties()
        given = {"id": id, "source": source, "target": target, "type": type}
        given |= {"properties": properties}
        refused = NotFound if not {source, target} <= self.state.nodes.keys() else AlreadyExists
        if refused is NotFound or id in self.state.edges:
            with pytest.raises(refused):
                self.target.create_edge(given)
        else:
            assert self.target.create_edge(given) == id
            self.state.edges[id] = Line(source, target, type, properties)
        check_edge(self.target, self.state, id)

    def update_edge(self):
        id = self.rng.choice([*self.state.edges, "no edge"])
        changes = self.properties()
        if (line := self.state.edges.get(id)) is None:
            with pytest.raises(NotFound):
                self.target.update_edge(id, changes)
            return
        weight = self.rng.choice([0.5, 1.0, 2.0])
        self.target.update_edge(id, {**changes, "weight": weight})
        self.state.edges[id] = line._replace(
            properties=merged(line.properties, changes), weight=weight, version=line.version + 1
        )
        check_edge(self.target, self.state, id)

    def delete_edge(self):
        if self.state.edges:
            id = self.rng.choice(list(self.state.edges))
            self.target.delete_edge(id)
            del self.state.edges[id]
            check_edge(self.target, self.state, id)

    def create_embedding(self):
        id, given = self.node(), vector(self.rng)
        embedding = {"node_id": id, "vector": given, "space": "s"}
        if id not in self.state.nodes:
            with pytest.raises(NotFound):
                self.target.create_embedding(embedding)
        else:
            self.target.create_embedding(embedding)
            self.state.vectors[id] = given

    def neighbors(self):
        id, type = self.node(), self.rng.choice(TYPES)
        if id in self.state.nodes:
            found = {node.id for node in self.target.neighbors(id, type, "both")}
            assert found == set(self.state.neighbors(id, type, "both"))
            self.touched |= found

    def any(self):
        full = len(self.state.nodes) > MOST
        self.rng.choices(
            [
                self.create_node,
                self.update_node,
                self.delete_node,
                self.create_edge,
                self.update_edge,
                self.delete_edge,
                self.create_embedding,
                self.neighbors,
            ],
            weights=[4, 4, 5 if full else 2, 5, 2, 1, 3, 2],
        )[0]()
