"""The asynchronous twins of stored nodes: chats, messages, entities, documents and facts."""

from ..._native import Node
from ...models import Chat, Document, Entity, Fact, Message, Part, Summary, Topic
from ..twin import register
from .base import AsyncModel
from .chat import AsyncChat
from .documents import AsyncDocument, AsyncFact, AsyncPart
from .entity import AsyncEntity, AsyncSummary
from .message import AsyncMessage
from .selection import AsyncSelection
from .topic import AsyncTopic

__all__ = [
    "AsyncAnyNode",
    "AsyncChat",
    "AsyncDocument",
    "AsyncEntity",
    "AsyncFact",
    "AsyncMessage",
    "AsyncModel",
    "AsyncPart",
    "AsyncSelection",
    "AsyncSummary",
    "AsyncTopic",
]

AsyncAnyNode = Node | AsyncMessage | AsyncChat | AsyncEntity | AsyncSummary | AsyncTopic
"""A node as reads give it: the twin of its model class where there is one, else the plain node."""

register(Chat, AsyncChat)
register(Document, AsyncDocument)
register(Entity, AsyncEntity)
register(Fact, AsyncFact)
register(Message, AsyncMessage)
register(Part, AsyncPart)
register(Summary, AsyncSummary)
register(Topic, AsyncTopic)
