"""What is done to databases: each operation as users do it, and what it promises to a model.

An operation is a value, so that it can be sent to the process that does it. All but those that say
otherwise are atomic: done wholly, or not at all.
"""

import time
from dataclasses import dataclass

from embedded_db import EmbeddedDB

from .model import DEFAULT, EDGE, SPACE, Graph, Line, Model, text_of, vector_of, word_of

__all__ = [
    "AddMessages",
    "CreateEdge",
    "CreateIndex",
    "CreateNamespace",
    "CreateNode",
    "CreateNodes",
    "Declare",
    "DeleteEdge",
    "DeleteMessage",
    "DeleteNode",
    "DropIndex",
    "DropNamespace",
    "Operation",
    "Pair",
    "Renew",
    "Retract",
    "Revise",
    "Rewrite",
    "SetVector",
    "UpdateNode",
    "wait_for_index",
]


def wait_for_index(db: EmbeddedDB) -> None:
    """Wait until the only index is built."""
    while (state := db.indexes()[0].state) != "ready":
        assert state == "building", state
        time.sleep(0.001)


def _thing(id: str, n: int) -> dict[str, object]:
    return {"id": id, "label": "Thing", "properties": {"n": n, "text": word_of(id, n)}}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Something that is done once."""

    namespace: str = DEFAULT

    def handle(self, db: EmbeddedDB) -> EmbeddedDB:
        """The handle that it is done through."""
        return db if self.namespace == DEFAULT else db.namespace(self.namespace)

    def graph(self, model: Model) -> Graph:
        """What it changes of a model."""
        return model.graphs.setdefault(self.namespace, Graph())

    def perform(self, db: EmbeddedDB) -> None:
        """Do it."""
        raise NotImplementedError

    def apply(self, model: Model) -> None:
        """Do the same to a model."""
        raise NotImplementedError

    def own(self) -> tuple[object, ...]:
        """The key of something in the content that shows whether it was done."""
        raise NotImplementedError


@dataclass(frozen=True)
class CreateNamespace(Operation):
    def perform(self, db):
        db.namespace(self.namespace)

    def apply(self, model):
        model.graphs[self.namespace] = Graph()

    def own(self):
        return self.namespace, "counts"


@dataclass(frozen=True)
class Declare(Operation):
    """Have things found by their words, those that are there already too."""

    def perform(self, db):
        self.handle(db).declare_label("Thing", text=["text"])

    def apply(self, model):
        self.graph(model).declared = True

    def own(self):
        return self.namespace, "declared"


@dataclass(frozen=True)
class CreateNode(Operation):
    id: str
    n: int = 0

    def perform(self, db):
        self.handle(db).create_node(_thing(self.id, self.n))

    def apply(self, model):
        self.graph(model).things[self.id] = self.n
        self.graph(model).said.add((self.id, self.n))

    def own(self):
        return self.namespace, "thing", self.id


@dataclass(frozen=True)
class CreateNodes(Operation):
    ids: tuple[str, ...]
    n: int = 0

    def perform(self, db):
        self.handle(db).create_nodes([_thing(id, self.n) for id in self.ids])

    def apply(self, model):
        self.graph(model).things.update(dict.fromkeys(self.ids, self.n))
        self.graph(model).said.update((id, self.n) for id in self.ids)

    def own(self):
        return self.namespace, "thing", self.ids[0]


@dataclass(frozen=True)
class UpdateNode(Operation):
    id: str
    n: int

    def perform(self, db):
        self.handle(db).update_node(self.id, {"n": self.n, "text": word_of(self.id, self.n)})

    def apply(self, model):
        self.graph(model).things[self.id] = self.n
        self.graph(model).said.add((self.id, self.n))

    def own(self):
        return self.namespace, "thing", self.id


@dataclass(frozen=True)
class DeleteNode(Operation):
    """With its edges, their history and its vector."""

    id: str

    def perform(self, db):
        self.handle(db).delete_node(self.id)

    def apply(self, model):
        self.graph(model).delete_thing(self.id)

    def own(self):
        return self.namespace, "thing", self.id


@dataclass(frozen=True)
class CreateEdge(Operation):
    id: str
    source: str
    target: str

    def perform(self, db):
        edge = {"id": self.id, "source": self.source, "target": self.target, "type": EDGE}
        self.handle(db).create_edge(edge)

    def apply(self, model):
        self.graph(model).edges[self.id] = Line(self.source, self.target)

    def own(self):
        return self.namespace, "edge", self.id


@dataclass(frozen=True)
class Revise(Operation):
    """Change an edge, which keeps what it was."""

    id: str
    weight: float

    def perform(self, db):
        self.handle(db).update_edge(self.id, {"weight": self.weight})

    def apply(self, model):
        self.graph(model).edges[self.id].weights.append(self.weight)

    def own(self):
        return self.namespace, "edge", self.id


@dataclass(frozen=True)
class Retract(Operation):
    id: str

    def perform(self, db):
        self.handle(db).retract_edge(self.id)

    def apply(self, model):
        self.graph(model).edges[self.id].retracted = True

    def own(self):
        return self.namespace, "edge", self.id


@dataclass(frozen=True)
class DeleteEdge(Operation):
    id: str

    def perform(self, db):
        self.handle(db).delete_edge(self.id)

    def apply(self, model):
        del self.graph(model).edges[self.id]

    def own(self):
        return self.namespace, "edge", self.id


@dataclass(frozen=True)
class SetVector(Operation):
    id: str
    seed: int

    def perform(self, db):
        self.handle(db).set_embeddings([self.id], [vector_of(self.seed)], space=SPACE)

    def apply(self, model):
        self.graph(model).vectors[self.id] = self.seed

    def own(self):
        return self.namespace, "vector", self.id


@dataclass(frozen=True)
class AddMessages(Operation):
    """A batch, at the end of a chat that is made when there is none."""

    chat: str
    ids: tuple[str, ...]

    def perform(self, db):
        handle = self.handle(db)
        if len(self.ids) == 1:
            handle.create_message(self.chat, text_of(self.ids[0], 0), id=self.ids[0])
            return
        messages = [{"id": id, "content": text_of(id, 0)} for id in self.ids]
        handle.get_node(self.chat).add_messages(messages)

    def apply(self, model):
        graph = self.graph(model)
        graph.chats.setdefault(self.chat, []).extend(self.ids)
        graph.messages.update(dict.fromkeys(self.ids, 0))
        graph.said.update((id, 0) for id in self.ids)

    def own(self):
        return self.namespace, "message", self.ids[0]


@dataclass(frozen=True)
class Rewrite(Operation):
    """Give a message another text: what was made of the old one is due again."""

    id: str
    n: int

    def perform(self, db):
        self.handle(db).update_node(self.id, {"content": text_of(self.id, self.n)})

    def apply(self, model):
        self.graph(model).messages[self.id] = self.n
        self.graph(model).said.add((self.id, self.n))

    def own(self):
        return self.namespace, "message", self.id


@dataclass(frozen=True)
class DeleteMessage(Operation):
    """Those before and after it are neighbours then."""

    chat: str
    id: str

    def perform(self, db):
        self.handle(db).delete_node(self.id)

    def apply(self, model):
        graph = self.graph(model)
        graph.chats[self.chat].remove(self.id)
        del graph.messages[self.id]

    def own(self):
        return self.namespace, "message", self.id


@dataclass(frozen=True)
class Pair(Operation):
    """A transaction: two nodes, the edge between them, a vector, and an edge to what was there."""

    id: str
    neighbour: str

    def perform(self, db):
        first, second = self.id + "a", self.id + "b"
        with self.handle(db).transaction() as tx:
            tx.create_node(_thing(first, 0))
            tx.create_node(_thing(second, 0))
            tx.create_edge({"id": self.id, "source": first, "target": second, "type": EDGE})
            tx.create_embedding({"node_id": first, "vector": vector_of(7), "space": SPACE})
            near = {"id": self.id + "n", "source": second, "target": self.neighbour, "type": EDGE}
            tx.create_edge(near)

    def apply(self, model):
        graph, first, second = self.graph(model), self.id + "a", self.id + "b"
        graph.things.update({first: 0, second: 0})
        graph.said.update({(first, 0), (second, 0)})
        graph.edges[self.id] = Line(first, second)
        graph.edges[self.id + "n"] = Line(second, self.neighbour)
        graph.vectors[first] = 7

    def own(self):
        return self.namespace, "edge", self.id


@dataclass(frozen=True)
class CreateIndex(Operation):
    """Of a number of things. It is built in steps, so a crash leaves one that goes on."""

    def perform(self, db):
        handle = self.handle(db)
        handle.create_index("Thing", "n")
        wait_for_index(handle)

    def apply(self, model):
        self.graph(model).indexed = True

    def own(self):
        return self.namespace, "indexed"


@dataclass(frozen=True)
class DropIndex(Operation):
    def perform(self, db):
        self.handle(db).drop_index("Thing", "n")

    def apply(self, model):
        self.graph(model).indexed = False

    def own(self):
        return self.namespace, "indexed"


@dataclass(frozen=True)
class Renew(Operation):
    """Everything is written anew: nothing of what can be read changes."""

    scrub: bool

    def perform(self, db):
        if self.scrub:
            db.scrub()
        else:
            db.compact()

    def apply(self, model):
        pass

    def own(self):
        return self.namespace, "counts"


@dataclass(frozen=True)
class DropNamespace(Operation):
    def perform(self, db):
        db.drop_namespace(self.namespace)

    def apply(self, model):
        del model.graphs[self.namespace]

    def own(self):
        return self.namespace, "counts"
