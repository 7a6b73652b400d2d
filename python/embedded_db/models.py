"""Chats, messages, entities and summaries as objects over stored nodes.

A model holds a node as one read saw it. Properties are decoded when they are asked for, changes
are kept until `Model.save`, which refuses to overwrite what someone else changed meanwhile.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Protocol,
    Self,
    TypeVar,
    cast,
    overload,
)

from ._native import Embedding, Node
from .errors import InvalidInput, NotFound, nearest, shown
from .fields import DELETE

if TYPE_CHECKING:
    from .database import EmbeddedDB
    from .results import Result

__all__ = [
    "AnyNode",
    "Artefact",
    "Chat",
    "Entity",
    "IdLike",
    "Message",
    "Model",
    "Property",
    "State",
    "Status",
    "Summary",
]

T = TypeVar("T")

State = Literal["pending", "ready", "failed"]
"""How far one artefact of a message is."""

Artefact = Literal["embedding", "entities", "links", "summary"]
"""What the weaver makes of a message or a chat."""


class HasId(Protocol):
    """Anything with an id: a node, an edge, a model."""

    @property
    def id(self) -> str:
        """The id."""
        ...


IdLike = str | HasId
"""An id, or an object that has one."""


def id_of(thing: IdLike) -> str:
    """Give the id of an object, or the id itself.

    Raises:
        InvalidInput: it is neither.
    """
    if isinstance(thing, str):
        return thing
    identity = getattr(thing, "id", None)
    if not isinstance(identity, str):
        raise InvalidInput(
            f"{shown(thing)} is not an id", hint="Give an id (str) or an object that has one"
        )
    return identity


class Owner(Protocol):
    """Where a model was read from: a database, a snapshot or a transaction."""

    def _location(self) -> tuple[str, str]:
        """Give the path and the namespace."""
        ...

    def _raw_node(self, id: str) -> Node | None:
        """Read a node without making a model of it."""
        ...

    def _save_node(self, id: str, updates: dict[str, Any], expected: Node | None) -> Node:
        """Update a node, if it is still the one that was read, in the same version."""
        ...

    def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges."""
        ...

    def get_node(self, id: IdLike) -> "AnyNode | None":
        """Read a node."""
        ...

    def neighbors(
        self,
        id: IdLike,
        type: str | Sequence[str] | None = None,
        direction: str = "out",
        limit: int | None = None,
        after: str | None = None,
    ) -> "Iterator[AnyNode]":
        """Iterate over neighbours."""
        ...

    def _following(self, id: str, type: str, limit: int | None) -> "Iterator[AnyNode]":
        """Iterate over a chain of edges of one type, the node itself left out."""
        ...

    def _database(self, purpose: str) -> "EmbeddedDB":
        """Give the database for what only it can do."""
        ...


class Property(Generic[T]):
    """A typed property of a model, read from the stored node and written by `Model.save`."""

    __slots__ = ("default", "doc", "name", "settable")

    def __init__(self, doc: str, *, default: Any = None, settable: bool = True) -> None:
        self.doc = doc
        self.default = default
        self.settable = settable
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: "Model", owner: type) -> T: ...
    def __get__(self, instance: "Model | None", owner: type) -> Self | T:
        if instance is None:
            return self
        return cast("T", instance.get(self.name, self.default))

    def __set__(self, instance: "Model", value: T) -> None:
        if not self.settable:
            raise InvalidInput(
                f"{type(instance).__name__}.{self.name} is kept by the database",
                hint="Leave it as it is",
            )
        instance[self.name] = value


class Model:
    """A stored node of a built-in class.

    Declared properties are attributes; further ones are read as attributes or items and written
    as items: ``message["mood"] = "happy"``. Nothing is stored before `save`.
    """

    __slots__ = ("__weakref__", "_changes", "_node", "_owner")

    node_label: ClassVar[str] = ""

    def __init__(self, owner: Owner, node: Node) -> None:
        self._owner = owner
        self._node = node
        self._changes: dict[str, Any] = {}

    @property
    def id(self) -> str:
        """The id, unique in its namespace."""
        return self._node.id

    @property
    def labels(self) -> list[str]:
        """The labels of the node."""
        return self._node.labels

    @property
    def version(self) -> int:
        """How often the node was written, from 1."""
        return self._node.version

    @property
    def created_at(self) -> datetime:
        """When the node was made (UTC)."""
        return self._node.created_at

    @property
    def updated_at(self) -> datetime:
        """When the node was last changed by a user (UTC)."""
        return self._node.updated_at

    @property
    def properties(self) -> dict[str, Any]:
        """All properties, unsaved changes included; a copy."""
        properties = self._node.properties
        for name, value in self._changes.items():
            if value is DELETE:
                properties.pop(name, None)
            else:
                properties[name] = value
        return properties

    def get(self, key: str, default: Any = None) -> Any:
        """Give one property, or ``default``."""
        if self._changes and key in self._changes:
            value = self._changes[key]
            return default if value is DELETE else value
        return self._node.get(key, default)

    def __getitem__(self, key: str) -> Any:
        if key in self._changes:
            value = self._changes[key]
            if value is DELETE:
                raise KeyError(key)
            return value
        return self._node[key]

    def __setitem__(self, key: str, value: Any) -> None:
        declared = getattr(type(self), key, None)
        if isinstance(declared, Property) and not declared.settable:
            declared.__set__(self, value)
        self._changes[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self[key] = DELETE

    def __contains__(self, key: str) -> bool:
        if key in self._changes:
            return self._changes[key] is not DELETE
        return key in self._node

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            try:
                return self[name]
            except KeyError:
                known = {*self.properties, *(key for key in dir(type(self)) if key[0] != "_")}
                raise AttributeError(
                    f"{type(self).__name__} {self.id!r} has no property {name!r}. "
                    f"{nearest(name, known)}",
                    name=name,
                    obj=self,
                ) from None

    @property
    def changed(self) -> bool:
        """Whether there are changes that are not saved."""
        return bool(self._changes)

    def save(self, *, force: bool = False) -> None:
        """Store the changes.

        Args:
            force: overwrite what someone else changed since this object was read.

        Raises:
            Conflict: the node was changed since, or deleted and made again under its id;
                `refresh` and try again.
            NotFound: the node was deleted.
            InvalidInput: a value cannot be stored; the object keeps its changes.
        """
        if not self._changes:
            return
        expected = None if force else self._node
        self._node = self._owner._save_node(self.id, dict(self._changes), expected)
        self._changes.clear()

    def refresh(self) -> None:
        """Read the node again; unsaved changes are dropped.

        Raises:
            NotFound: the node was deleted.
        """
        node = self._owner._raw_node(self.id)
        if node is None:
            raise NotFound(
                f"{type(self).__name__} {self.id!r} does not exist any more",
                hint="It was deleted; drop this object",
                id=self.id,
            )
        self._node = node
        self._changes.clear()

    def delete(self) -> None:
        """Delete the node, its edges and what was derived from it.

        Raises:
            NotFound: it was deleted already.
        """
        self._owner.delete_node(self.id)

    def to_dict(self) -> dict[str, Any]:
        """Give id, labels, properties, times (UTC) and version as plain values."""
        return {
            "id": self.id,
            "labels": self.labels,
            "properties": self.properties,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "version": self.version,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        return (
            type(self) is type(other)
            and self.id == other.id
            and self.version == other.version
            and self._owner._location() == other._owner._location()
            and self._changes == other._changes
        )

    def __hash__(self) -> int:
        return hash((self.id, self._owner._location()))

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "id", self.id
        for kind in type(self).__mro__:
            for name, declared in vars(kind).items():
                if isinstance(declared, Property) and self.get(name) is not None:
                    yield name, self.get(name)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={_clipped(value)}" for name, value in self._shown())
        star = "*" if self._changes else ""
        return f"{type(self).__name__}{star}({parts})"

    def _repr_html_(self) -> str:
        import html

        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(_clipped(value))}</td></tr>"
            for name, value in self._shown()
        )
        return f"<table><caption>{type(self).__name__}</caption><tbody>{rows}</tbody></table>"


def _clipped(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


class Chat(Model):
    """A conversation: it contains messages in order."""

    __slots__ = ()
    node_label = "Chat"

    title = Property[str | None]("What the chat is called.")
    topic = Property[str | None]("What the chat is about.")

    def add_message(
        self,
        content: str,
        sender: str | None = None,
        role: str = "user",
        *,
        timestamp: datetime | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **properties: Any,
    ) -> "Message":
        """Store a message at the end of this chat; it is enriched in the background.

        Args:
            content: the text.
            sender: who wrote it.
            role: ``"user"``, ``"assistant"``, ``"system"`` or any other word.
            timestamp: when it was written, with a time zone; now when left out.
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            **properties: further properties.

        Returns:
            The message, already durable.

        Raises:
            AlreadyExists: the id is taken.
            InvalidInput: a value cannot be stored.
        """
        message = message_dict(
            content=content,
            sender=sender,
            role=role,
            timestamp=timestamp,
            id=id,
            metadata=metadata,
            properties=properties,
        )
        return self.add_messages([message])[0]

    def add_messages(self, messages: Sequence[Mapping[str, Any]]) -> "list[Message]":
        """Store many messages at the end of this chat, all or nothing, in one step.

        Args:
            messages: dicts with ``content`` and, where wanted, ``id``, ``sender``, ``role``,
                ``timestamp``, ``metadata`` and further properties.

        Returns:
            The messages in the order given.

        Raises:
            AlreadyExists: an id is taken.
            InvalidInput: a value cannot be stored; the message says which.
        """
        database = self._owner._database("chat.add_messages")
        return database._add_messages(self.id, messages)

    def messages(
        self, after: IdLike | None = None, limit: int | None = None
    ) -> "Iterator[Message]":
        """Iterate over the messages in order, reading page by page.

        Args:
            after: a message of this chat (or its id) to begin behind.
            limit: most messages.

        Raises:
            NotFound: the chat was deleted, or ``after`` is no message of it.
        """
        if after is None:
            nodes = self._owner.neighbors(self.id, "CONTAINS", "out", limit)
            return cast("Iterator[Message]", nodes)
        message = self._owner.get_node(after)
        if not isinstance(message, Message) or message.chat_id != self.id:
            raise NotFound(
                f"{id_of(after)!r} is no message of chat {self.id!r}",
                hint="Give a message of this chat, or its id",
                id=id_of(after),
            )
        return cast("Iterator[Message]", self._owner._following(message.id, "NEXT", limit))

    def summary(self) -> "Summary | None":
        """Give the newest summary of the chat, or None when there is none yet.

        It covers the messages from ``first_message`` to ``last_message``. When the text of one of
        them changes or goes, the summary goes too, until it is made again; a message behind
        them leaves it, and ``status.summary`` is ``"pending"`` until a newer one is there.
        """
        found: Summary | None = None
        for node in self._owner.neighbors(self.id, "SUMMARIZES", "in"):
            if isinstance(node, Summary) and (found is None or node.created_at >= found.created_at):
                found = node
        return found

    @property
    def status(self) -> "Status":
        """How far the enrichment of the chat (its summary) is."""
        return status_of(self._owner, self.id)


class Message(Model):
    """One message of a chat."""

    __slots__ = ()
    node_label = "Message"

    chat_id = Property[str]("The chat it belongs to.", settable=False)
    sender = Property[str | None]("Who wrote it.")
    content = Property[str]("The text.", default="")
    role = Property[str]("user, assistant, system or any other word.", default="user")
    timestamp = Property[datetime]("When it was written (UTC).")
    metadata = Property[dict[str, Any] | None]("Further facts.")

    @property
    def chat(self) -> Chat:
        """The chat of this message.

        Raises:
            NotFound: the chat was deleted.
        """
        chat = self._owner.get_node(self.chat_id)
        if not isinstance(chat, Chat):
            raise NotFound(
                f"the chat {self.chat_id!r} of message {self.id!r} does not exist",
                hint="It was deleted; make it again with create_chat(id=…)",
                id=self.chat_id,
            )
        return chat

    @property
    def next(self) -> "Message | None":
        """The message after this one, or None at the end of the chat."""
        for node in self._owner.neighbors(self.id, "NEXT", "out", 1):
            return cast("Message", node)
        return None

    def entities(self) -> "list[Entity]":
        """Give the entities this message mentions, as far as they have been recognised."""
        return entities_of(self._owner, self.id)

    def embedding(self, space: str | None = None) -> Embedding | None:
        """Give the embedding (float32[dim]) of the whole text, or None when there is none yet.

        Args:
            space: the embedding space; the default one when left out.
        """
        return self._owner._database("message.embedding").get_embedding_for_node(self.id, space)

    def similar(self, limit: int = 5) -> "list[Result]":
        """Find the messages most like this one by their embeddings; itself is not among them.

        Args:
            limit: most results.

        Raises:
            NotFound: this message has no embedding yet.
        """
        database = self._owner._database("message.similar")
        embedding = database.get_embedding_for_node(self.id)
        if embedding is None:
            raise NotFound(
                f"message {self.id!r} has no embedding yet (it is {self.status.embedding})",
                hint="Wait for it with db.wait_for(message, 'embedding')",
                id=self.id,
            )
        results = database.query(
            semantic_query={"vector": embedding.vector, "space": embedding.space},
            labels=[self.node_label],
            limit=limit + 1,
        )
        return [result for result in results if result.node.id != self.id][:limit]

    @property
    def status(self) -> "Status":
        """How far the enrichment is, artefact by artefact."""
        return status_of(self._owner, self.id)


class Entity(Model):
    """A person, place or thing that messages mention."""

    __slots__ = ()
    node_label = "Entity"

    label = Property[str]("The name as people write it, such as ``Paris``.")
    entity_type = Property[str]("Its class, such as ``GPE``.")
    aliases = Property[list[str]]("Other ways it is written.", default=())
    mention_count = Property[int]("How many messages mention it.", default=0, settable=False)

    def messages(self, limit: int | None = None) -> Iterator[Message]:
        """Iterate over the messages that mention this entity.

        Args:
            limit: most messages.
        """
        nodes = self._owner.neighbors(self.id, "MENTIONS", "in", limit)
        return cast("Iterator[Message]", nodes)


class Summary(Model):
    """A summary the weaver made of a chat; extractive: sentences of its messages."""

    __slots__ = ()
    node_label = "Summary"

    chat_id = Property[str]("The chat it summarises.", settable=False)
    text = Property[str]("The summary.", settable=False)
    first_message = Property[str]("Id of the first message it covers.", settable=False)
    last_message = Property[str]("Id of the last message it covers.", settable=False)

    @property
    def chat(self) -> Chat:
        """The chat it summarises.

        Raises:
            NotFound: the chat was deleted.
        """
        chat = self._owner.get_node(self.chat_id)
        if not isinstance(chat, Chat):
            raise NotFound(f"the chat {self.chat_id!r} does not exist", id=self.chat_id)
        return chat


class Status:
    """How far the enrichment of one node is, as it was when asked."""

    __slots__ = ("_id", "_states")

    def __init__(self, id: str, states: Mapping[str, tuple[str, str | None]]) -> None:
        self._id = id
        self._states = dict(states)

    def _state(self, name: str) -> tuple[State, str | None]:
        if name not in self._states:
            raise InvalidInput(
                f"{self._id!r} has no artefact {name!r}", hint=nearest(name, self._states)
            )
        return cast("tuple[State, str | None]", self._states[name])

    @property
    def embedding(self) -> State:
        """Whether its vector can be searched."""
        return self._state("embedding")[0]

    @property
    def entities(self) -> State:
        """Whether the entities it mentions are known."""
        return self._state("entities")[0]

    @property
    def links(self) -> State:
        """Whether the entities it mentions are linked with one another."""
        return self._state("links")[0]

    @property
    def summary(self) -> State:
        """Whether the summary of a chat is up to date."""
        return self._state("summary")[0]

    def error(self, name: str) -> str | None:
        """Give the reason of the last failure of an artefact in one line, or None.

        Args:
            name: ``"embedding"``, ``"entities"``, ``"links"`` or ``"summary"``.

        Raises:
            InvalidInput: there is no such artefact.
        """
        error = self._state(name)[1]
        return None if error is None else error.partition("\n")[0]

    def to_dict(self) -> dict[str, State]:
        """Give the state of every artefact by name."""
        return {name: self._state(name)[0] for name in self._states}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Status):
            return NotImplemented
        return self._id == other._id and self._states == other._states

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{name}={state}" + (f" ({self.error(name)})" if error else "")
            for name, (state, error) in self._states.items()
        )
        return f"Status({parts})"


MODELS: Final[dict[str, type[Model]]] = {
    model.node_label: model for model in (Message, Entity, Chat, Summary)
}

AnyNode = Node | Message | Chat | Entity | Summary
"""A node as reads give it: its model class where there is one, else the plain node."""


def wrap(owner: Owner, node: Node) -> AnyNode:
    """Give a node as its model class, if one of its labels has one."""
    for label in node.labels:
        model = MODELS.get(label)
        if model is not None:
            return cast("AnyNode", model(owner, node))
    return node


def status_of(owner: Owner, id: str) -> Status:
    """Read how far the enrichment of a node is."""
    return owner._database("status")._status(id)


def entities_of(owner: Owner, id: str) -> list[Entity]:
    """Give the entities that a node mentions."""
    found = owner.neighbors(id, "MENTIONS", "out")
    return [node for node in found if isinstance(node, Entity)]


MESSAGE_KINDS: Final = (
    ("content", str, "a text"),
    ("id", str, "a text"),
    ("sender", str, "a text"),
    ("role", str, "a text"),
    ("timestamp", datetime, "a datetime with a time zone"),
    ("metadata", dict, "a dict"),
)


def check_messages(messages: Sequence[Mapping[str, Any]], chat_id: str) -> None:
    """Check that messages have what every message has, of the kind it has.

    Raises:
        InvalidInput: one has not; its place in the sequence is named.
    """
    for at, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        if content is None:
            raise InvalidInput(
                f"message {at} is {shown(message)}, without a content",
                hint="Give a dict with a content, which is a text",
            )
        for name, kind, wanted in MESSAGE_KINDS:
            value = message.get(name)
            if value is not None and not isinstance(value, kind):
                raise InvalidInput(
                    f"{name} of message {at} is {shown(value)}", hint=f"It has to be {wanted}"
                )
        if message.get("chat_id", chat_id) != chat_id:
            raise InvalidInput(
                f"chat_id of message {at} is {shown(message['chat_id'])}, but it is added to "
                f"{chat_id!r}",
                hint="Leave chat_id out, or add it to that chat",
            )


def message_dict(
    *,
    content: str,
    sender: str | None,
    role: str,
    timestamp: datetime | None,
    id: str | None,
    metadata: Mapping[str, Any] | None,
    properties: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a message in the form native code takes; what is None is left out."""
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata is {shown(metadata)}", hint="It has to be a dict")
    message = {
        "id": id,
        "sender": sender,
        "timestamp": timestamp,
        "metadata": metadata if isinstance(metadata, dict | None) else dict(metadata),
    }
    kept = {name: value for name, value in message.items() if value is not None}
    return {**properties, **kept, "content": content, "role": role}
