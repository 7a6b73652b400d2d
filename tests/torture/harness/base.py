"""The database that most faults befall: a little of everything."""

from .model import Model
from .operations import (
    AddMessages,
    CreateEdge,
    CreateNamespace,
    CreateNodes,
    Declare,
    Operation,
    Retract,
    Revise,
    SetVector,
)

__all__ = ["BASE", "MODEL", "OTHER"]

OTHER = "other"
"""A second namespace in it."""

BASE: list[Operation] = [
    Declare(),
    CreateNodes(tuple(f"n{i}" for i in range(60))),
    *(CreateEdge(f"e{i}", f"n{i}", f"n{i * 7 % 60}") for i in range(20)),
    *(SetVector(f"n{i}", i) for i in range(5)),
    Revise("e1", 0.5),
    Retract("e2"),
    AddMessages("chat", ("m0",)),
    AddMessages("chat", tuple(f"m{i}" for i in range(1, 6))),
    CreateNamespace(namespace=OTHER),
    CreateNodes(tuple(f"o{i}" for i in range(40)), namespace=OTHER),
    CreateEdge("oe", "o1", "o2", namespace=OTHER),
    SetVector("o1", 99, namespace=OTHER),
    AddMessages("ochat", ("om0",), namespace=OTHER),
]
"""How it is made."""

MODEL = Model().after(*BASE)
"""What is in it."""
