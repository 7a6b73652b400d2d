"""Stored nodes as objects: chats, messages, entities, summaries, topics, documents and facts.

A model holds a node as one read saw it. Properties are decoded when they are asked for, changes
are kept until `Model.save`, which refuses to overwrite what someone else changed meanwhile.

Models of a user's own are in `embedded_db.models.nodes`, `embedded_db.models.edges` and
`embedded_db.models.relations`, which need pydantic and are loaded when they are asked for.
"""

from .base import Model, Property
from .chat import Chat
from .documents import Document, Fact, Part
from .entity import Entity, Summary, entities_of
from .message import Message
from .owner import HasId, IdLike, Owner, id_of
from .selection import Selection
from .status import Artefact, State, Status, status_of
from .topic import Topic
from .wrapping import MODELS, AnyNode, wrap, wrap_all

__all__ = [
    "MODELS",
    "AnyNode",
    "Artefact",
    "Chat",
    "Document",
    "Entity",
    "Fact",
    "HasId",
    "IdLike",
    "Message",
    "Model",
    "Owner",
    "Part",
    "Property",
    "Selection",
    "State",
    "Status",
    "Summary",
    "Topic",
    "entities_of",
    "id_of",
    "status_of",
    "wrap",
    "wrap_all",
]
