"""Storing and reading objects of a user's own models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from .errors import InvalidInput, shown
from .models.owner import IdLike, Owner, id_of

if TYPE_CHECKING:
    from .database import EmbeddedDB
    from .models.edges import EdgeModel
    from .models.nodes import NodeModel, StoredModel
    from .transaction import Transaction

__all__ = ["Objects"]

S = TypeVar("S", bound="StoredModel")
NM = TypeVar("NM", bound="NodeModel")
EM = TypeVar("EM", bound="EdgeModel")

Drafts = list[dict[str, Any]]


class Objects:
    """What databases and transactions do with objects of `NodeModel` and `EdgeModel`."""

    def register(self, *models: type[StoredModel]) -> None:
        """Make the indexes that the fields of models declare.

        Adding the first object of a model does the same.

        Args:
            *models: classes of nodes; those of edges declare no indexes.

        Raises:
            InvalidInput: a field declares what the database cannot do, or one is no model.
            AlreadyExists: a field is declared unique, and stored nodes share a value.

        Examples:
            >>> from embedded_db import Field, NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str = Field(index=True)
            >>> db.register(Person)
            >>> [(index.label, index.property) for index in db.indexes()]
            [('Person', 'name')]
        """
        from .models.declared import declare
        from .models.edges import EdgeModel
        from .models.nodes import NodeModel

        database = self._of_database()
        given: tuple[object, ...] = models
        for model in given:
            if not isinstance(model, type) or not issubclass(model, NodeModel | EdgeModel):
                raise _no_model(model)
            if model not in database._registered and issubclass(model, NodeModel):
                declare(database, model.node_label, model.model_fields)
                database._registered.add(model)

    def add(self, obj: S, *, ttl: float | timedelta | None = None) -> S:
        """Store a new object.

        Args:
            obj: an object of a `NodeModel` or an `EdgeModel`, of no other database or namespace.
            ttl: how long a node is to be there, in seconds or as a timedelta; for ever when left
                out. See `EmbeddedDB.set_ttl`.

        Returns:
            The same object, now bound to this database: it can be saved, refreshed, deleted.

        Raises:
            AlreadyExists: the id or a unique value is taken.
            NotFound: an end of an edge does not exist.
            InvalidInput: it is no such object, it belongs to another database or namespace, or a
                value cannot be stored.

        Examples:
            >>> from embedded_db import NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str
            >>> ann = db.add(Person(id="ann", name="Ann"))
            >>> ann.stored, ann.version, db.get_node("ann")["name"]
            (True, 1, 'Ann')
            >>> guest = db.add(Person(name="Bob"), ttl=3600)
            >>> (guest.expires_at - guest.created_at).total_seconds()
            3600.0
        """
        return self._add([obj], ttl)[0]

    def add_all(self, objs: Iterable[S]) -> list[S]:
        """Store new objects, all or nothing, nodes before edges.

        Args:
            objs: objects of `NodeModel` and `EdgeModel`; edges may lead to nodes among them.

        Returns:
            The same objects in the order given.

        Raises:
            AlreadyExists: an id or a unique value is taken.
            NotFound: an end of an edge does not exist.
            InvalidInput: one is no such object, belongs to another database or namespace, or has a
                value that cannot be stored.

        Examples:
            >>> from embedded_db import EdgeModel, NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str
            >>> class Knows(EdgeModel, type="KNOWS"):
            ...     since: int
            >>> ann, bob = Person(name="Ann"), Person(name="Bob")
            >>> _ = db.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
            >>> [node["name"] for node in db.neighbors(ann, "KNOWS")]
            ['Bob']
        """
        return self._add(list(_iterable(objs)), None)

    def _add(self, given: list[S], ttl: float | timedelta | None) -> list[S]:
        from .models.edges import EdgeModel
        from .models.nodes import NodeModel

        nodes: list[NodeModel] = [obj for obj in given if isinstance(obj, NodeModel)]
        edges: list[EdgeModel] = [obj for obj in given if isinstance(obj, EdgeModel)]
        if len(nodes) + len(edges) < len(given):
            wrong = next(obj for obj in given if not isinstance(obj, NodeModel | EdgeModel))
            raise InvalidInput(
                f"{shown(wrong)} cannot be added",
                hint="Give objects of NodeModel or EdgeModel; for plain values there are "
                "create_node and create_edge",
            )
        if edges and ttl is not None:
            raise InvalidInput(
                f"ttl is {shown(ttl)} for {shown(edges[0])}, but edges do not expire",
                hint="Leave ttl out: an edge goes with the nodes at its ends, and its valid_to "
                "says until when it is true",
            )
        owner = cast("Owner", self)
        for obj in given:
            _refuse_others(owner, obj)
        self.register(*dict.fromkeys(type(obj) for obj in given))
        self._store(nodes, edges, ttl)
        return given

    @overload
    def get(self, model: type[NM], id: IdLike) -> NM | None: ...
    @overload
    def get(self, model: type[EM], id: IdLike) -> EM | None: ...
    def get(self, model: Any, id: IdLike) -> Any:
        """Read a node or an edge as an object of a model.

        Args:
            model: the class.
            id: the id.

        Returns:
            The object, of a subclass if the node was stored as one; None when there is none of
            this id.

        Raises:
            InvalidInput: what has this id is no object of the model.

        Examples:
            >>> from embedded_db import NodeModel
            >>> class Person(NodeModel, label="Person"):
            ...     name: str
            >>> _ = db.create_node({"id": "ann", "label": "Person", "properties": {"name": "Ann"}})
            >>> db.get(Person, "ann").name, db.get(Person, "nobody")
            ('Ann', None)
        """
        from .models.edges import EdgeModel
        from .models.nodes import NodeModel

        if not isinstance(model, type) or not issubclass(model, NodeModel | EdgeModel):
            raise _no_model(model)
        owner, wanted = cast("Owner", self), id_of(id)
        if issubclass(model, EdgeModel):
            edge = owner.get_edge(wanted)
            if edge is not None and edge.type != model.edge_type:
                raise _other_kind(wanted, f"an edge {edge.type}", model)
            return None if edge is None else model._of(owner, edge)
        node = owner._raw_node(wanted)
        if node is not None and model.node_label not in node.labels:
            raise _other_kind(wanted, f"a node {'/'.join(node.labels)}", model)
        return None if node is None else model._of(owner, node)

    def _store(
        self, nodes: list[NodeModel], edges: list[EdgeModel], ttl: float | timedelta | None
    ) -> None:
        """Write drafts, all or nothing, and bind them to what they are in from then on."""
        raise NotImplementedError

    def _of_database(self) -> EmbeddedDB:
        """Give the database whose indexes are declared."""
        raise NotImplementedError


def store_in_database(
    database: EmbeddedDB,
    nodes: list[NodeModel],
    edges: list[EdgeModel],
    ttl: float | timedelta | None,
) -> None:
    """Write objects, all or nothing."""
    from .transaction import run

    node_drafts, edge_drafts = _drafts(nodes, edges, ttl)
    if len(nodes) + len(edges) == 1:  # an error names no place in a list
        for node in node_drafts:
            database.create_node(node)
        for edge in edge_drafts:
            database.create_edge(edge)
    elif not edges:
        database.create_nodes(node_drafts)
    elif not nodes:
        database.create_edges(edge_drafts)
    else:
        run(database, lambda tx: _write(tx, node_drafts, edge_drafts), own=True)
    _bind(database, nodes, edges)


def store_in_transaction(
    tx: Transaction,
    nodes: list[NodeModel],
    edges: list[EdgeModel],
    ttl: float | timedelta | None,
) -> None:
    """Buffer objects, all or nothing."""
    # What users make of their values may take its time: no step holds up other threads for it.
    drafts = _drafts(nodes, edges, ttl)
    with tx._step():
        _write(tx, *drafts)
        _bind(tx, nodes, edges)


def _drafts(
    nodes: list[NodeModel], edges: list[EdgeModel], ttl: float | timedelta | None
) -> tuple[Drafts, Drafts]:
    return [_draft(node, ttl) for node in nodes], [edge._draft() for edge in edges]


def _write(tx: Transaction, nodes: Drafts, edges: Drafts) -> None:
    for node in nodes:
        tx.create_node(node)
    for edge in edges:
        tx.create_edge(edge)


def _draft(node: NodeModel, ttl: float | timedelta | None) -> dict[str, Any]:
    return node._draft() if ttl is None else {**node._draft(), "ttl": ttl}


def _bind(owner: Owner, nodes: list[NodeModel], edges: list[EdgeModel]) -> None:
    for node in nodes:
        node._bind(owner, cast("Any", owner._raw_node(node.id)))
    for edge in edges:
        edge._bind(owner, cast("Any", owner.get_edge(edge.id)))


def _refuse_others(owner: Owner, obj: StoredModel) -> None:
    """Refuse an object that belongs to another database or namespace.

    Raises:
        InvalidInput: it does.
    """
    if obj._owner is None or obj._owner._location() == owner._location():
        return
    path, namespace = obj._owner._location()
    name = type(obj).__name__
    raise InvalidInput(
        f"{name} {obj.id!r} belongs to the namespace {namespace!r} of {path!r}, and cannot be "
        f"added to {owner._location()[1]!r} of {owner._location()[0]!r} too",
        hint=f"Add a new object of the same values: {name}(**obj.model_dump())",
    )


def _iterable(objs: object) -> Iterable[Any]:
    other = isinstance(objs, Mapping | str | bytes) or hasattr(objs, "model_dump")
    if isinstance(objs, Iterable) and not other:  # models are iterable too
        return objs
    raise InvalidInput(f"{shown(objs)} is no list of objects", hint="Give a list, or use db.add")


def _no_model(model: object) -> InvalidInput:
    return InvalidInput(
        f"{shown(model)} is no model",
        hint="Give a class of NodeModel or EdgeModel; chats, messages and other objects of the "
        "database's own classes are read with get_node",
    )


def _other_kind(id: str, found: str, model: type) -> InvalidInput:
    return InvalidInput(
        f"{id!r} is {found}, no {model.__name__}", hint="Read it with get_node or get_edge"
    )
