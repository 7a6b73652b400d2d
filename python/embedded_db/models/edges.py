"""Models of a user's own: edges as pydantic objects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pydantic import AwareDatetime
from pydantic import Field as PydanticField

from .._native import Edge
from ..errors import InvalidInput, shown
from ..fields import DELETE, End
from .nodes import StoredModel, check_names
from .owner import IdLike, Owner
from .refusals import gone

if TYPE_CHECKING:
    from ..reads import Reads

__all__ = ["EdgeModel"]


class EdgeModel(StoredModel):
    """An edge with declared properties.

    ``class Knows(EdgeModel, type="KNOWS")`` declares one; the type is the name of the class when
    left out.

    Attributes:
        id: the id, unique in its namespace; made when left out.
        source: id of the node where it begins; may be given as an object.
        target: id of the node where it ends; may be given as an object.
        weight: its weight.
        valid_from: true in the world from here on.
        valid_to: true in the world until here.
        sources: ids of what it was derived from.

    Examples:
        >>> from embedded_db import EdgeModel, NodeModel
        >>> class Person(NodeModel, label="Person"):
        ...     name: str
        >>> class Knows(EdgeModel, type="KNOWS"):
        ...     since: int
        >>> ann, bob = Person(name="Ann"), Person(name="Bob")
        >>> _ = db.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
        >>> [edge.since for edge in Knows.of(ann)]
        [2020]
        >>> [knows] = Knows.of(ann)
        >>> knows.version, knows.stored, knows.retracted_at, knows.recorded_at.tzname()
        (1, True, None, 'UTC')
    """

    edge_type: ClassVar[str] = ""
    """The type of the edges in the database."""
    own_fields: ClassVar[frozenset[str]] = frozenset(
        {"id", "source", "target", "weight", "valid_from", "valid_to", "sources"}
    )
    """Fields that are no properties: they have a place of their own in a record."""

    source: End[str, IdLike] = PydanticField(frozen=True)
    target: End[str, IdLike] = PydanticField(frozen=True)
    weight: float = 1.0
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None
    sources: list[str] = PydanticField(default_factory=list, frozen=True)

    def __init_subclass__(cls, *, type: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.edge_type = cls.__name__ if type is None else type
        if not cls.edge_type:
            raise InvalidInput(f"the type of {cls.__name__} is empty", hint="Give one: type=…")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        check_names(cls, EdgeModel)

    @classmethod
    def _prefix(cls) -> str:
        return cls.edge_type

    @property
    def recorded_at(self) -> datetime | None:
        """When this version was stored (UTC); None before."""
        return None if self._record is None else self._record.recorded_at

    @property
    def retracted_at(self) -> datetime | None:
        """When another version took its place or it was retracted (UTC); None if it holds."""
        return None if self._record is None else self._record.retracted_at

    @classmethod
    def of(
        cls,
        node: IdLike,
        direction: str = "out",
        limit: int | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Iterator[Self]:
        """Iterate over the edges of this model at a node, oldest first.

        Args:
            node: a stored object, read from a database or a snapshot.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most edges.
            valid_at: only edges that are true in the world then (a time with a time zone).
            known_at: the edges as the database held them for true then.

        Raises:
            InvalidInput: it is not stored, or was read in a transaction, or a time has no time
                zone.
            NotFound: the node was deleted.

        Examples:
            >>> from embedded_db import EdgeModel, NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str
            >>> class Knows(EdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = db.add_all([Person(name="Ann"), Person(name="Bob")])
            >>> _ = db.add(Knows(source=ann, target=bob, since=2020))
            >>> [edge.since for edge in Knows.of(bob, direction="in")]
            [2020]
        """
        reads = _reads(node, getattr(node, "_owner", None), "db.edges")
        found = reads.edges(
            node, cls.edge_type, direction, limit, valid_at=valid_at, known_at=known_at
        )
        return (cls._of(cast("Owner", reads), edge) for edge in found)

    @classmethod
    def _of(cls, owner: Owner, edge: Edge) -> Self:
        return cls._from_record(owner, edge, cls._own(edge))

    @classmethod
    def _own(cls, edge: Edge) -> dict[str, Any]:
        return {name: getattr(edge, name) for name in cls.own_fields}

    def _draft(self) -> dict[str, Any]:
        own = {name: self.__dict__[name] for name in self.own_fields}
        present = {name: value for name, value in own.items() if value is not None}
        return {**present, "type": self.edge_type, "properties": self._properties()}

    def _updates(self) -> dict[str, Any]:
        updates = super()._updates()
        for name in ("weight", "valid_from", "valid_to"):
            value = self.__dict__[name]
            if value != getattr(self._record, name):
                updates[name] = DELETE if value is None else value
        return updates

    def _save_record(self, owner: Owner, updates: dict[str, Any], expected: Edge | None) -> Self:
        return self._of(owner, owner._save_edge(self.id, updates, expected))

    def _read_record(self, owner: Owner) -> Self | None:
        edge = owner.get_edge(self.id)
        return None if edge is None else self._of(owner, edge)

    def _delete_record(self, owner: Owner) -> None:
        owner.delete_edge(self.id)

    def retract(self) -> None:
        """Take the edge back; see `EmbeddedDB.retract_edge`.

        Raises:
            NotFound: it was deleted or retracted already.
            InvalidInput: it is not stored yet.

        Examples:
            >>> from embedded_db import EdgeModel, NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str
            >>> class Knows(EdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = Person(name="Ann"), Person(name="Bob")
            >>> _, _, knows = db.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
            >>> knows.retract()
            >>> list(Knows.of(ann)), len(list(Knows.of(ann, known_at=knows.recorded_at)))
            ([], 1)
        """
        self._bound().retract_edge(self.id)

    def supersede(
        self, *, id: str | None = None, valid_from: datetime | None = None, **changes: Any
    ) -> Self:
        """Store an edge that is true from now on in the place of this one.

        This one stays, with a ``valid_to``; see `EmbeddedDB.supersede_edge`.

        Args:
            id: the id of the new edge; made when left out.
            valid_from: since when the new one is true; now when left out.
            **changes: fields in which the new one differs, ``source`` and ``target`` among them.
                It has none of this one's ``sources`` and no ``valid_to`` unless they are given.

        Returns:
            The new edge.

        Raises:
            NotFound: this edge was deleted or retracted, or an end of the new one does not exist.
            AlreadyExists: the new id is taken.
            InvalidInput: it is not stored yet, or the new one does not begin after it.
            ValidationError: the fields do not fit the model (pydantic's).

        Examples:
            >>> from embedded_db import EdgeModel, NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str
            >>> class WorksFor(EdgeModel, type="WORKS_FOR"):
            ...     role: str
            >>> ann, bob, eve = db.add_all([Person(name=name) for name in ("Ann", "Bob", "Eve")])
            >>> old = db.add(WorksFor(source=ann, target=bob, role="cook"))
            >>> new = old.supersede(target=eve)
            >>> new.role, old.valid_to == new.valid_from
            ('cook', True)
            >>> [edge.target == eve.id for edge in WorksFor.of(ann, valid_at=new.valid_from)]
            [True]
        """
        owner = self._bound()
        kept = {
            name: value
            for name, value in {**self.__dict__, **(self.__pydantic_extra__ or {})}.items()
            if name not in ("id", "valid_from", "valid_to", "sources")
        }
        given = {**kept, **changes, "valid_from": valid_from}
        new = type(self).model_validate(given if id is None else {**given, "id": id})
        new._extra = dict(self._extra)
        made = owner.get_edge(owner.supersede_edge(self.id, new._draft()))
        self._refresh()
        if made is None:
            raise gone(type(new).__name__, new.id)
        return self._of(owner, made)

    def history(self) -> list[Self]:
        """Give all that the edge ever said; see `EmbeddedDB.edge_history`.

        Returns:
            The versions, oldest first, each with ``recorded_at`` and ``retracted_at``.

        Raises:
            NotFound: it was deleted.
            InvalidInput: it is not stored yet, was read in a transaction, or a version does not
                fit the model.

        Examples:
            >>> from embedded_db import EdgeModel, NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str
            >>> class Knows(EdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = Person(name="Ann"), Person(name="Bob")
            >>> _, _, knows = db.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
            >>> knows.since = 2019
            >>> knows.save()
            >>> [version.since for version in knows.history()]
            [2020, 2019]
        """
        owner = self._bound()
        versions = _reads(self, owner, "db.edge_history").edge_history(self.id)
        return [self._of(owner, edge) for edge in versions]


def _reads(thing: object, owner: object, instead: str) -> Reads:
    """Give the database or the snapshot that something was read from.

    Raises:
        InvalidInput: it was read from neither.
    """
    from ..reads import Reads

    if isinstance(owner, Reads):
        return owner
    raise InvalidInput(
        f"{shown(thing)} was not read from a database or a snapshot",
        hint=f"Give a stored object; inside a transaction, use {instead} or the object from the "
        "database",
    )
