"""How far the enrichment of a node is."""

from collections.abc import Mapping
from typing import Literal, cast

from ..errors import InvalidInput, nearest
from . import show
from .owner import Owner

__all__ = ["Artefact", "State", "Status", "status_of"]

State = Literal["pending", "ready", "failed"]
"""How far one artefact of a message is."""

Artefact = Literal["embedding", "entities", "links", "summary"]
"""What the weaver makes of a message or a chat."""


class Status:
    """How far the enrichment of one node is, as it was when asked.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> message = woven.create_chat().add_message("Alice met Bob")
        >>> woven.flush(timeout=30)
        >>> status = message.status
        >>> status.embedding, status.entities, status.links, message.chat.status.summary
        ('ready', 'ready', 'ready', 'ready')
        >>> status.to_dict(), status.waits_for
        ({'embedding': 'ready', 'entities': 'ready', 'links': 'ready'}, None)
        >>> woven.close()
    """

    __slots__ = ("_id", "_states", "_waits_for")

    def __init__(
        self,
        id: str,
        states: Mapping[str, tuple[str, str | None]],
        waits_for: str | None = None,
    ) -> None:
        self._id = id
        self._states = dict(states)
        self._waits_for = waits_for

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

    @property
    def waits_for(self) -> str | None:
        """What pending work waits for, where this handle enriches nothing; else None.

        With ``ml=None`` what is pending stays so until the database is opened with a model, and
        on a handle that only reads until a process that writes takes it up.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> with EmbeddedDB(":memory:", ml=None) as plain:
            ...     status = plain.create_message("chat", "Hello").status
            >>> status.embedding, status.waits_for
            ('pending', 'a model, for the database is open with ml=None')
        """
        pending = any(state == "pending" for state, _ in self._states.values())
        return self._waits_for if pending else None

    def error(self, name: str) -> str | None:
        """Give the reason of the last failure of an artefact in one line, or None.

        Args:
            name: ``"embedding"``, ``"entities"``, ``"links"`` or ``"summary"``.

        Raises:
            InvalidInput: there is no such artefact.

        Examples:
            >>> from embedded_db import EmbeddedDB, EnrichmentFailed
            >>> from embedded_db.testing import FakeModel
            >>> model = FakeModel()
            >>> model.fail("raise")
            >>> woven = EmbeddedDB(":memory:", ml=model, weaver={"max_attempts": 1})
            >>> message = woven.create_chat().add_message("Alice met Bob")
            >>> try:
            ...     woven.wait_for(message, "embedding", timeout=30)
            ... except EnrichmentFailed:
            ...     message.status.error("embedding")
            'ModelFailure: enrich fails because the test says so'
            >>> woven.close()
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

    def _repr_html_(self) -> str:
        rows = [
            (name, state if error is None else f"{state}: {self.error(name)}")
            for name, (state, error) in self._states.items()
        ]
        if self.waits_for is not None:
            rows.append(("waits for", self.waits_for))
        return show.table("Status", rows)

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{name}={state}" + (f" ({self.error(name)})" if error else "")
            for name, (state, error) in self._states.items()
        )
        waits = f", waits_for={self.waits_for!r}" if self.waits_for is not None else ""
        return f"Status({parts}{waits})"


def status_of(owner: Owner, id: str) -> Status:
    """Read how far the enrichment of a node is."""
    return owner._database("status")._status(id)
