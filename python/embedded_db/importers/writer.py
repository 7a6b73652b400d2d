"""Storing what readers yield."""

from typing import TYPE_CHECKING, Any

from ..errors import AlreadyExists, InvalidInput
from ..models import Chat
from .base import Batch, ImportReport
from .source import Source

if TYPE_CHECKING:
    from ..database import EmbeddedDB

__all__ = ["Writer"]


class Writer:
    """Stores batches, making chats where they are missing.

    Args:
        db: where to.
        report: what was done is counted here.
        source: what is read; it is told of messages that cannot be stored.
    """

    def __init__(self, db: "EmbeddedDB", report: ImportReport, source: Source) -> None:
        self._db = db
        self._report = report
        self._source = source
        self._handles: dict[str, EmbeddedDB] = {}
        self._chat: tuple[str, Chat] | None = None

    def store(self, batch: Batch) -> None:
        """Store a batch, all or nothing; messages whose ids are there already are left out.

        Raises:
            InvalidInput: a message cannot be stored, and bad records are not to be skipped.
        """
        db = self._handle(batch.namespace or self._db.namespace_name)
        try:
            self._store(db, batch)
        except InvalidInput as error:
            kept = self._storable(db, batch)
            if len(kept.messages) == len(batch.messages):
                # It was not a message that was refused, but their chat.
                raise self._located(batch, 0, error) from error
            if kept.messages:
                self._store(db, kept)

    def _store(self, db: "EmbeddedDB", batch: Batch) -> None:
        known = db.get_many([message["id"] for message in batch.messages])
        unique = {
            message["id"]: message
            for message, stored in zip(batch.messages, known, strict=True)
            if stored is None
        }
        chat = self._chat_of(db, batch)
        if unique:
            chat.add_messages(list(unique.values()))
        self._report.messages += len(unique)
        self._report.skipped += len(batch.messages) - len(unique)

    def _storable(self, db: "EmbeddedDB", batch: Batch) -> Batch:
        """Give the batch without the messages that the database refuses."""
        messages: list[dict[str, Any]] = []
        places: list[str] = []
        for at, message in enumerate(batch.messages):
            error = _refusal(db, message)
            if error is None:
                messages.append(message)
                places.append(self._place(batch, at))
            else:
                self._source.refuse(self._located(batch, at, error))
        return Batch(
            batch.chat_id, messages, batch.chat_title, batch.chat_topic, batch.namespace, places
        )

    def _place(self, batch: Batch, at: int) -> str:
        if at < len(batch.places):
            return batch.places[at]
        return f"message {batch.messages[at].get('id')!r:.80}"

    def _located(self, batch: Batch, at: int, error: InvalidInput) -> InvalidInput:
        hint = error.hint or "Mend the record, or leave bad records out"
        place, kind = self._place(batch, at), type(error)
        return self._source.problem(place, error.message, hint, kind, **error._fields)

    def _handle(self, namespace: str) -> "EmbeddedDB":
        if namespace not in self._handles:
            own = namespace == self._db.namespace_name
            self._handles[namespace] = self._db if own else self._db.namespace(namespace)
            self._report.namespaces.append(namespace)
        return self._handles[namespace]

    def _chat_of(self, db: "EmbeddedDB", batch: Batch) -> Chat:
        if self._chat is not None and self._chat[0] == db.namespace_name:
            chat = self._chat[1]
            if chat.id == batch.chat_id:
                return chat
        stored = db.get_node(batch.chat_id)
        if stored is None:
            stored = db.create_chat(batch.chat_title, batch.chat_topic, id=batch.chat_id)
            self._report.chats += 1
        if not isinstance(stored, Chat):
            raise InvalidInput(
                f"the chat {batch.chat_id!r} cannot be made: a node of another kind has this id",
                hint="Import into another namespace, or rename the chat",
            )
        self._chat = db.namespace_name, stored
        return stored


def _refusal(db: "EmbeddedDB", message: dict[str, Any]) -> InvalidInput | None:
    """Tell why the database refuses a message, without storing it."""
    own: dict[str, Any] = {
        name: message[name] for name in ("id", "ttl", "expires_at") if name in message
    }
    properties = {name: value for name, value in message.items() if name not in own}
    trial = db._native.transaction()
    try:
        db.get_many([message["id"]])
        trial.create_node({**own, "labels": ["Message"], "properties": properties})
    except AlreadyExists:
        return None
    except InvalidInput as error:
        return error
    finally:
        trial.rollback()
    return None
