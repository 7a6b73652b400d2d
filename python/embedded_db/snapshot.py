"""Many reads of one instant."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from ._native import Edge, Node
from ._native import Snapshot as NativeSnapshot
from .errors import InvalidInput, ReadOnly
from .guesses import DATABASE, Guessing
from .models import IdLike
from .reads import Reads

if TYPE_CHECKING:
    from .database import EmbeddedDB
    from .models.message import Message

__all__ = ["Snapshot"]


class _Ended:
    """Stands in the place of a native snapshot that was closed."""

    __slots__ = ()

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked of any object by the language's own tools
            raise AttributeError(name)
        raise InvalidInput("the snapshot was closed", hint="Take a new one with db.snapshot()")


_ENDED: Final = _Ended()


class Snapshot(Reads, Guessing):
    """The database as it was at one instant, whatever is written meanwhile.

    Made by `EmbeddedDB.snapshot`; a context manager. Objects read from it cannot be saved.

    Examples:
        >>> chat = db.create_chat(title="Trip")
        >>> with db.snapshot() as before:
        ...     _ = db.update_node(chat, {"title": "Journey"})
        ...     before.get_node(chat).title, db.get_node(chat).title
        ...     with db.snapshot() as after:
        ...         after.lsn > before.lsn
        ('Trip', 'Journey')
        True
    """

    _native: NativeSnapshot
    _guesses = DATABASE
    _apart = "A snapshot only reads"

    def __init__(self, database: "EmbeddedDB", native: NativeSnapshot) -> None:
        self._parent = database
        self._native = native

    @property
    def lsn(self) -> int:
        """The log sequence number it shows: the last write it sees."""
        return self._native.lsn

    def close(self) -> None:
        """Let go of the instant, so that its space can be used again; may be called twice.

        Examples:
            >>> snapshot = db.snapshot()
            >>> snapshot.count()
            0
            >>> snapshot.close()
        """
        self._native.close()
        self._native = cast("NativeSnapshot", _ENDED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Snapshot of {self._parent!r}>"

    def _pinned(self) -> tuple[NativeSnapshot, Callable[[], None] | None]:
        return self._native, None

    def _default_space(self) -> str | None:
        return self._parent._default_space()

    def _location(self) -> tuple[str, str]:
        return self._parent._location()

    def _save_node(self, id: str, updates: dict[str, Any], expected: Node | None) -> Node:
        raise self._refusal("save")

    def _save_edge(self, id: str, updates: dict[str, Any], expected: Edge | None) -> Edge:
        raise self._refusal("save")

    def delete_edge(self, id: IdLike) -> None:
        """Refuse what `EmbeddedDB.delete_edge` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        raise self._refusal("delete")

    def retract_edge(self, id: IdLike) -> None:
        """Refuse what `EmbeddedDB.retract_edge` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        raise self._refusal("retract")

    def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
        """Refuse what `EmbeddedDB.supersede_edge` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        raise self._refusal("supersede")

    def delete_node(self, id: IdLike) -> None:
        """Refuse what `EmbeddedDB.delete_node` does: a snapshot only reads.

        Raises:
            ReadOnly: always.
        """
        raise self._refusal("delete")

    def _add_message(self, chat_id: str, message: Mapping[str, Any]) -> "Message":
        raise self._refusal("chat.add_message")

    def _add_messages(self, chat_id: str, messages: Sequence[Mapping[str, Any]]) -> "list[Message]":
        raise self._refusal("chat.add_messages")

    def _database(self, purpose: str) -> "EmbeddedDB":
        raise self._refusal(purpose)

    def _writer(self, purpose: str) -> "EmbeddedDB":
        raise self._refusal(purpose)

    def _refusal(self, purpose: str) -> ReadOnly:
        return ReadOnly(
            f"{purpose} does not work on what was read from a snapshot",
            hint="Read the object from the database itself",
        )
