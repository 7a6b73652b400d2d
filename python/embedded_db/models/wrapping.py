"""Which class stands for a stored node."""

from typing import Final

from .._native import Node, kinds_of
from .chat import Chat
from .documents import Document, Fact, Part, is_built_in
from .entity import Entity, Summary
from .message import Message
from .owner import Owner
from .topic import Topic

__all__ = ["MODELS", "AnyNode", "wrap", "wrap_all"]

BuiltIn = Message | Chat | Entity | Summary | Topic

MODELS: Final[dict[str, type[BuiltIn]]] = {
    model.node_label: model
    for model in (Message, Entity, Chat, Summary, Topic, Document, Part, Fact)
}

AnyNode = Node | BuiltIn
"""A node as reads give it: its model class where there is one, else the plain node. Parts and facts
are messages, documents are chats."""


def wrap(owner: Owner, node: Node) -> AnyNode:
    """Give a node as its model class, if one of its labels has one."""
    model = model_of(node)
    return node if model is None else model(owner, node)


def wrap_all(owner: Owner, nodes: list[Node]) -> list[AnyNode]:
    """Give nodes as their model classes, those that have one."""
    models: dict[int, type[BuiltIn] | None] = {}
    made: list[AnyNode] = []
    for node, kind in zip(nodes, kinds_of(nodes), strict=True):
        if kind not in models:
            models[kind] = model_of(node)
        model = models[kind]
        made.append(node if model is None else model(owner, node))
    return made


def model_of(node: Node) -> type[BuiltIn] | None:
    """Find the model class of a node, by its labels and whether the database made it."""
    for label in node.labels:
        model = MODELS.get(label)
        if model is not None and is_built_in(model, node):
            return model
    return None
