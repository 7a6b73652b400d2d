"""Which class stands for a stored node."""

from typing import Final, cast

from .._native import Node
from .base import Model
from .chat import Chat
from .documents import Document, Fact, Part, is_built_in
from .entity import Entity, Summary
from .message import Message
from .owner import Owner

__all__ = ["MODELS", "AnyNode", "wrap"]

MODELS: Final[dict[str, type[Model]]] = {
    model.node_label: model for model in (Message, Entity, Chat, Summary, Document, Part, Fact)
}

AnyNode = Node | Message | Chat | Entity | Summary
"""A node as reads give it: its model class where there is one, else the plain node. Parts and facts
are messages, documents are chats."""


def wrap(owner: Owner, node: Node) -> AnyNode:
    """Give a node as its model class, if one of its labels has one."""
    for label in node.labels:
        model = MODELS.get(label)
        if model is not None and is_built_in(model, node):
            return cast("AnyNode", model(owner, node))
    return node
