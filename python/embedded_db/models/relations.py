"""Relations of a user's own models as attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ForwardRef, Generic, Literal, Self, TypeVar, cast, overload

from ..arguments import choice_argument
from .base import Model
from .owner import IdLike, Owner, id_of

if TYPE_CHECKING:
    from .edges import EdgeModel
    from .nodes import NodeModel

__all__ = ["Related", "Relation"]

N = TypeVar("N")


class Relation(Generic[N]):
    """Nodes that edges of one type lead to, as an attribute of a `NodeModel`.

    ``friends = Relation["Person"](Knows)`` is read at the time it is iterated over, and gives the
    nodes of that model; without a model in brackets, it gives all as `EmbeddedDB.neighbors` does.
    Pydantic's plugin for mypy wants ``friends: ClassVar = Relation["Person"](Knows)``.

    Args:
        edge: the model of the edges, or their type.
        direction: ``"out"``, ``"in"`` or ``"both"``.

    Raises:
        InvalidInput: there is no such direction.

    Examples:
        >>> from embedded_db import EdgeModel, NodeModel, Relation
        >>> class Knows(EdgeModel, type="KNOWS"):
        ...     since: int
        >>> class Person(NodeModel, label="Person"):
        ...     name: str
        ...     friends = Relation["Person"](Knows)
        ...     known_by = Relation["Person"](Knows, direction="in")
        >>> ann, bob = db.add_all([Person(name="Ann"), Person(name="Bob")])
        >>> ann.friends.add(bob, since=2020).since
        2020
        >>> [friend.name for friend in ann.friends], bob.known_by.first().name
        (['Bob'], 'Ann')
        >>> Person.friends.edge_type, Person.known_by.direction
        ('KNOWS', 'in')
    """

    def __init__(
        self, edge: type[EdgeModel] | str, *, direction: Literal["out", "in", "both"] = "out"
    ) -> None:
        choice_argument("direction", direction, ("out", "in", "both"))
        self.edge = edge
        self.direction = direction
        self.name = ""
        self._module = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self._module = owner.__module__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: NodeModel, owner: type) -> Related[N]: ...
    def __get__(self, instance: NodeModel | None, owner: type) -> Self | Related[N]:
        return self if instance is None else Related(self, instance)

    @property
    def edge_type(self) -> str:
        """The type of the edges."""
        return self.edge if isinstance(self.edge, str) else self.edge.edge_type

    def model(self) -> type[NodeModel] | type[Model] | None:
        """Give the model named in brackets, or None.

        Raises:
            InvalidInput: a model of this name was not declared.

        Examples:
            >>> from embedded_db import NodeModel, Relation
            >>> class City(NodeModel, label="City"):
            ...     near = Relation["City"]("NEAR")
            ...     anything = Relation("NEAR")
            >>> City.near.model() is City, City.anything.model()
            (True, None)
        """
        from .nodes import named

        alias = getattr(self, "__orig_class__", None)
        [wanted] = alias.__args__ if alias is not None else [None]
        if isinstance(wanted, ForwardRef):
            return named(wanted.__forward_arg__, self._module)
        return wanted if isinstance(wanted, type) and hasattr(wanted, "node_label") else None

    def __repr__(self) -> str:
        return f"<Relation {self.name}: {self.edge_type}, {self.direction}>"


class Related(Generic[N]):
    """The nodes of one relation of one object; iterating reads them.

    Examples:
        >>> from embedded_db import NodeModel, Relation
        >>> class City(NodeModel, label="City"):
        ...     name: str
        ...     near = Relation["City"]("NEAR")
        >>> oslo, voss = db.add_all([City(name="Oslo"), City(name="Voss")])
        >>> oslo.near.first() is None
        True
        >>> _ = oslo.near.add(voss)
        >>> [city.name for city in oslo.near]
        ['Voss']
    """

    __slots__ = ("_node", "_relation")

    def __init__(self, relation: Relation[N], node: NodeModel) -> None:
        self._relation = relation
        self._node = node

    def __iter__(self) -> Iterator[N]:
        owner = self._node._bound()
        model: Any = self._relation.model()
        found = owner.neighbors(self._node.id, self._relation.edge_type, self._relation.direction)
        if model is None:
            return cast("Iterator[N]", found)
        return self._of_model(owner, model, cast("Iterator[Any]", found))

    def _of_model(self, owner: Owner, model: Any, found: Iterator[Any]) -> Iterator[N]:
        for node in found:
            raw = node._node if isinstance(node, Model) else node
            if model.node_label in raw.labels:
                yield model._of(owner, raw)

    def first(self) -> N | None:
        """Give the one whose edge is the oldest, or None when there is none."""
        return next(iter(self), None)

    def add(self, target: IdLike, **properties: Any) -> Any:
        """Store an edge to a node, in the database or transaction that the object was read from.

        Within the block of a transaction only objects that it gave take this: an edge of another
        object would be stored at once, whatever becomes of the transaction.

        Args:
            target: the node or its id; for a relation ``"in"`` the edge comes from it.
            **properties: fields of the edge.

        Returns:
            The edge: an object of its model, or a plain `Edge` for a relation by type.

        Raises:
            NotFound: one of the nodes does not exist.
            InvalidInput: the object is not stored yet, or does not belong to the transaction that
                is open here.
            ReadOnly: the object was read from a snapshot.
            ValidationError: the fields do not fit the model of the edge (pydantic's).

        Examples:
            >>> from embedded_db import NodeModel, Relation
            >>> class City(NodeModel, label="City"):
            ...     name: str
            ...     near = Relation["City"]("NEAR")
            >>> oslo, voss = db.add_all([City(name="Oslo"), City(name="Voss")])
            >>> oslo.near.add(voss, km=360).properties
            {'km': 360}
        """
        owner = self._node._bound()._writer("adding to a relation")
        ends = [self._node.id, id_of(target)]
        if self._relation.direction == "in":
            ends.reverse()
        edge = self._relation.edge
        if not isinstance(edge, str):
            return owner.add(edge(source=ends[0], target=ends[1], **properties))
        draft = {"source": ends[0], "target": ends[1], "type": edge, "properties": properties}
        return owner.get_edge(owner.create_edge(draft))

    def remove(self, target: IdLike) -> int:
        """Delete the edges of the relation that lead to a node, all or none.

        Args:
            target: the node or its id.

        Returns:
            How many edges there were.

        Raises:
            NotFound: there is none.
            InvalidInput: the object is not stored yet, or does not belong to the transaction that
                is open here.
            ReadOnly: the object was read from a snapshot.

        Examples:
            >>> from embedded_db import NodeModel, Relation
            >>> class City(NodeModel, label="City"):
            ...     name: str
            ...     near = Relation["City"]("NEAR")
            >>> oslo, voss = db.add_all([City(name="Oslo"), City(name="Voss")])
            >>> _ = oslo.near.add(voss)
            >>> oslo.near.remove(voss), list(oslo.near)
            (1, [])
        """
        owner = self._node._bound()._writer("removing from a relation")
        relation = self._relation
        return owner._unlink(self._node.id, relation.edge_type, relation.direction, id_of(target))

    def __repr__(self) -> str:
        return f"<{type(self._node).__name__}.{self._relation.name} of {self._node.id!r}>"
