"""Messages."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from .._native import Embedding
from ..errors import Conflict, InvalidInput, NotFound, shown
from ..guesses import MESSAGE
from .base import Model, Property
from .content import appended, openai_message
from .entity import Entity, entities_of
from .status import Status, status_of

if TYPE_CHECKING:
    from ..results import Result
    from .chat import Chat

__all__ = ["Message"]


class Message(Model):
    """One message of a chat.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> chat = woven.create_chat()
        >>> one = chat.add_message("Alice met Bob in Paris", sender="Carol")
        >>> two = chat.add_message("Bob met Alice", sender="Dave")
        >>> woven.flush(timeout=30)
        >>> one.next.content, two.previous.sender, two.chat == chat
        ('Bob met Alice', 'Carol', True)
        >>> sorted(entity.label for entity in one.entities())
        ['Alice', 'Bob', 'Paris']
        >>> one.embedding().vector.shape, [found.node.content for found in one.similar(limit=5)]
        ((256,), ['Bob met Alice'])
        >>> one.status
        Status(embedding=ready, entities=ready, links=ready)
        >>> one.chat_id == chat.id, one.role, one.timestamp.tzname(), one.metadata
        (True, 'user', 'UTC', None)
        >>> woven.close()
    """

    __slots__ = ()
    node_label = "Message"
    _guesses = MESSAGE

    chat_id = Property[str]("The chat it belongs to.", settable=False)
    sender = Property[str | None]("Who wrote it.")
    content = Property[str]("The text: all of it, or the text parts, one a line.", default="")
    parts = Property[list[dict[str, Any]] | None](
        "OpenAI-style parts, if the content was given so; they count while their text is `content`."
    )
    role = Property[str]("user, assistant, system or any other word.", default="user")
    timestamp = Property[datetime]("When it was written (UTC).")
    metadata = Property[dict[str, Any] | None]("Further facts.")
    name = Property[str | None]("The name of its author towards a model.")
    tool_calls = Property[list[dict[str, Any]] | None]("Calls of tools an assistant asks for.")
    tool_call_id = Property[str | None]("The call that a tool answers with this message.")

    @property
    def chat(self) -> "Chat":
        """The chat of this message.

        Raises:
            NotFound: the chat was deleted, or it is in none.
        """
        from .chat import Chat

        chat_id: str | None = self.get("chat_id")
        if chat_id is None:
            raise NotFound(
                f"{type(self).__name__} {self.id!r} belongs to no chat",
                hint="Only messages that were added to a chat do",
                id=self.id,
            )
        chat = self._owner.get_node(chat_id)
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

    @property
    def previous(self) -> "Message | None":
        """The message before this one, or None at the beginning of the chat.

        Examples:
            >>> one, two = db.create_chat().add_messages([{"content": "one"}, {"content": "two"}])
            >>> two.previous.content, one.next.content, one.previous
            ('one', 'two', None)
        """
        for node in self._owner.neighbors(self.id, "NEXT", "in", 1):
            return cast("Message", node)
        return None

    def append(self, text: str) -> None:
        """Put a text behind the content, at once and in one step: for answers that stream in.

        What others appended meanwhile stays before it. The message is enriched anew.

        Args:
            text: what to add as it is, without a space between; nothing happens when it is empty.

        Raises:
            InvalidInput: there is a content that was not saved, or ``text`` is no text.
            NotFound: the message was deleted.

        Examples:
            >>> answer = db.create_chat().add_message("", role="assistant")
            >>> for piece in ("Rust", " is", " fast"):
            ...     answer.append(piece)
            >>> db.get_node(answer.id).content
            'Rust is fast'
        """
        if not isinstance(text, str):
            raise InvalidInput(f"{shown(text)} cannot be appended", hint="Give a text")
        if {"content", "parts"} & self._changes.keys():
            raise InvalidInput(
                f"the content of message {self.id!r} was changed and not saved",
                hint="Save it before you append to it, or refresh",
            )
        while text:
            node = self._owner._raw_node(self.id)
            if node is None:
                self.refresh()  # raises what a deleted message raises
                continue
            changes = appended(node.get("content") or "", node.get("parts"), text)
            try:
                self._node = self._owner._save_node(self.id, changes, node)
            except Conflict:  # somebody else got further: look again
                continue
            return

    def to_openai(self) -> dict[str, Any]:
        """Give the message as OpenAI's chat interfaces take it; see `Chat.to_openai`.

        Examples:
            >>> m = db.create_chat().add_message("Hello", sender="Ann Lee", role="user")
            >>> m.to_openai()
            {'role': 'user', 'content': 'Hello', 'name': 'Ann_Lee'}
        """
        return openai_message(self.get)

    def entities(self) -> "list[Entity]":
        """Give the entities this message mentions, as far as they have been recognised."""
        return entities_of(self._owner, self.id)

    def embedding(self, space: str | None = None) -> Embedding | None:
        """Give the embedding (float32[dim]) of the whole text, or None when there is none yet.

        Args:
            space: the embedding space; the default one when left out.

        Examples:
            >>> message = db.create_chat().add_message("Hello")
            >>> _ = db.set_embeddings([message], [[1, 0, 0]], space="mine")
            >>> message.embedding(space="mine").vector
            array([1., 0., 0.], dtype=float32)
        """
        return self._owner.get_embedding_for_node(self.id, space)

    def similar(self, limit: int = 5) -> "list[Result]":
        """Find the messages most like this one by their embeddings; itself is not among them.

        Of a message that a snapshot or a transaction gave, they are those of its state; what the
        transaction has written is not among them.

        Args:
            limit: most results.

        Raises:
            NotFound: this message has no embedding yet.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> texts = ["Rust is fast", "Good morning", "Rust is safe"]
            >>> rust, *_ = woven.create_chat().add_messages([{"content": text} for text in texts])
            >>> woven.flush(timeout=30)
            >>> [found.node.content for found in rust.similar(limit=1)]
            ['Rust is safe']
            >>> woven.close()
        """
        from ..query import ConvergedQuery

        embedding = self.embedding()
        if embedding is None:
            raise self._not_embedded()
        query = ConvergedQuery(
            semantic_query={"vector": embedding.vector, "space": embedding.space},
            labels=[self.node_label],
            limit=limit + 1,
        )
        results = self._owner.execute_query(query)
        return [result for result in results if result.node.id != self.id][:limit]

    def _not_embedded(self) -> NotFound:
        from ..database import EmbeddedDB

        if not isinstance(self._owner, EmbeddedDB):
            return NotFound(
                f"message {self.id!r} has no embedding in the state that it was read from",
                hint="Read it from the database itself, once it is embedded",
                id=self.id,
            )
        status = self.status
        waits = "" if status.waits_for is None else f" and waits for {status.waits_for}"
        return NotFound(
            f"message {self.id!r} has no embedding yet (it is {status.embedding}{waits})",
            hint="Open the database with a model, and let it write"
            if waits
            else "Wait for it with db.wait_for(message, 'embedding')",
            id=self.id,
        )

    @property
    def status(self) -> "Status":
        """How far the enrichment is, artefact by artefact."""
        return status_of(self._owner, self.id)
