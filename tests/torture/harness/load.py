"""A mixed load at random: what to do next to a database that is as a model says."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from embedded_db import EmbeddedDB

from .child import Refused
from .content import content
from .model import DEFAULT, Graph, Model, words_of
from .operations import (
    AddMessages,
    CreateEdge,
    CreateNamespace,
    CreateNode,
    CreateNodes,
    Declare,
    DeleteEdge,
    DeleteMessage,
    DeleteNode,
    Operation,
    Pair,
    Renew,
    Retract,
    Revise,
    Rewrite,
    SetVector,
    UpdateNode,
)
from .processes import Child, Dead

__all__ = ["OTHER", "Load"]

OTHER = "other"
KINDS = [
    *("node", "node", "nodes", "update", "delete", "edge", "edge", "revise", "retract", "cut"),
    *("vector", "message", "messages", "rewrite", "unsay", "pair"),
]


@dataclass
class Load:
    """A model, and random operations on it in several lanes; what each of them is doing.

    The lanes work at the same time, each on ids of its own, so that what is in the middle in one
    does not depend on another. The last one has a namespace of its own.
    """

    rng: random.Random
    lanes: int
    model: Model
    number: int = 0
    acknowledged: int = 0
    renewing: bool = False
    """Whether the first lane compacts and scrubs, too."""
    doing: dict[int, Operation] = field(default_factory=dict)

    @classmethod
    def start(
        cls, rng: random.Random, lanes: int, db: EmbeddedDB, *, renewing: bool = False
    ) -> "Load":
        """A load on a new database."""
        load = cls(rng, lanes, Model(), renewing=renewing)
        for operation in (Declare(), CreateNamespace(namespace=OTHER), Declare(namespace=OTHER)):
            operation.perform(db)
            operation.apply(load.model)
        return load

    def next(self, lane: int) -> Operation:
        """What comes next in a lane."""
        self.number += 1
        id, own, chat = f"l{lane}n{self.number}", f"l{lane}", f"chat{lane}"
        space = OTHER if lane == self.lanes else DEFAULT
        graph = self.model.graphs[space]
        kind = self.rng.choice([*KINDS, "renew"] if self.renewing and lane == 1 else KINDS)
        operation = self._operation(kind, id, own, chat, graph)
        made = operation or CreateNode(id, self.rng.randrange(5))
        return type(made)(**{**vars(made), "namespace": space})

    def _operation(self, kind: str, id: str, own: str, chat: str, graph: Graph) -> Operation | None:
        """None when there is nothing that this could be done to."""
        pick = self.rng.choice
        things = [thing for thing in graph.things if thing.startswith(own)]
        edges = [
            edge
            for edge, line in graph.edges.items()
            if edge.startswith(own) and not line.retracted
        ]
        said = graph.chats.get(chat, [])
        if kind == "renew":
            return Renew(self.number % 2 == 0)
        if kind == "nodes":
            return CreateNodes(tuple(f"{id}x{i}" for i in range(self.rng.randrange(2, 30))))
        if kind == "message" or (kind == "messages" and not said):
            return AddMessages(chat, (id,))
        if kind == "messages":
            return AddMessages(chat, tuple(f"{id}x{i}" for i in range(3)))
        if kind in ("rewrite", "unsay") and said:
            old = pick(said)
            return Rewrite(old, self.number) if kind == "rewrite" else DeleteMessage(chat, old)
        if kind in ("update", "delete", "edge", "vector", "pair") and things:
            thing = pick(things)
            return {
                "update": UpdateNode(thing, self.number),
                "delete": DeleteNode(thing),
                "edge": CreateEdge(id, thing, pick(things)),
                "vector": SetVector(thing, self.number),
                "pair": Pair(id, thing),
            }[kind]
        if kind in ("revise", "retract", "cut") and edges:
            edge = pick(edges)
            return {
                "revise": Revise(edge, float(self.number)),
                "retract": Retract(edge),
                "cut": DeleteEdge(edge),
            }[kind]
        return None

    def begin(self, child: Child) -> None:
        """Give every lane that does nothing something to do."""
        for lane in range(1, self.lanes + 1):
            if lane not in self.doing:
                self.doing[lane] = self.next(lane)
                child.tell("do", self.doing[lane], lane=lane)

    def hear(self, child: Child) -> None:
        """Wait for one acknowledgement."""
        lane, answer = child.hear()
        assert not isinstance(answer, Refused), answer
        self.doing.pop(lane).apply(self.model)
        self.acknowledged += 1

    def run(self, child: Child, stop: Callable[[], bool] = lambda: False) -> None:
        """Keep a child at work until it is dead, or it is to stop."""
        try:
            self.begin(child)
            while not stop():
                self.hear(child)
                self.begin(child)
        except Dead:
            return

    def settle(self, db: EmbeddedDB) -> int:
        """Look which of what nobody answered was done; how many."""
        unanswered = list(self.doing.values())
        self.doing.clear()
        found = content(db, words_of(self.model.after(*unanswered)))
        return self.model.settle(unanswered, found)
