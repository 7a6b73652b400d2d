"""Models of a user's own: nodes as pydantic objects."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from time import time_ns
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, dataclass_transform
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator
from pydantic import Field as PydanticField
from pydantic._internal._model_construction import ModelMetaclass

from .._native import Edge, Node
from ..errors import InvalidInput, nearest
from ..fields import DELETE, Condition
from . import show
from .declared import Field
from .owner import Owner
from .refusals import gone, not_pickled
from .relations import Relation
from .selection import Selection
from .stored_fields import FieldExpression, checked_changes, reasons, storable

__all__ = ["NodeModel", "StoredModel", "named"]

BUILT_IN: Final = ("Chat", "Message", "Entity", "Summary", "Topic")
LONGEST_PREFIX: Final = 255 - 33

N = TypeVar("N", bound="NodeModel")

# By name, then by module: what a relation means by a name. A notebook declares a class anew.
_declared: dict[str, dict[str, type[NodeModel]]] = {}


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PydanticField, PrivateAttr))
class Declaring(ModelMetaclass):
    """Gives an `Expression` for a field that is asked for on the class."""

    if not TYPE_CHECKING:

        def __getattr__(cls, name: str) -> Any:
            own = cls.__dict__  # before pydantic 2.10, fields were kept under the second name
            fields = own.get("__pydantic_fields__") or own.get("model_fields")
            # While pydantic collects the fields of a class, it looks for defaults and shadowed
            # names by asking for attributes; an expression is neither.
            asking = sys._getframe(1).f_globals.get("__name__", "")
            if fields and name in fields and not asking.startswith("pydantic."):
                return FieldExpression(name, cls, name)
            if fields and not name.startswith("_") and not asking.startswith("pydantic"):
                raise AttributeError(
                    f"{cls.__name__} has no field {name!r}. {nearest(name, fields)}",
                    name=name,
                    obj=cls,
                )
            return super().__getattr__(name)


class StoredModel(BaseModel, metaclass=Declaring):
    """What nodes and edges of a user's own have in common."""

    model_config = ConfigDict(
        extra="forbid",
        ignored_types=(Relation,),
        populate_by_name=True,
        validate_assignment=True,
    )

    id: str = PydanticField(default="", frozen=True)
    """The id, unique in its namespace; made when left out."""

    _owner: Any = PrivateAttr(default=None)
    _record: Any = PrivateAttr(default=None)
    _extra: dict[str, Any] = PrivateAttr(default_factory=dict)

    own_fields: ClassVar[frozenset[str]] = frozenset({"id"})
    """Fields that are no properties: they have a place of their own in a record."""

    @classmethod
    def _prefix(cls) -> str:
        raise NotImplementedError

    @model_validator(mode="after")
    def _identify(self) -> Self:
        if not self.id:
            self.__dict__["id"] = new_id(self._prefix())
        return self

    @property
    def version(self) -> int:
        """How often it was written, from 1; 0 before it is stored."""
        return 0 if self._record is None else int(self._record.version)

    @property
    def stored(self) -> bool:
        """Whether it was read from a database or added to one."""
        return self._record is not None

    @property
    def extra(self) -> dict[str, Any]:
        """Stored properties that the model does not declare; changes are kept until `save`."""
        return self._extra

    @property
    def changed(self) -> bool:
        """Whether there are changes that are not saved; True before it is stored."""
        return self._record is None or bool(self._updates())

    def _properties(self) -> dict[str, Any]:
        """Give the properties as they are stored."""
        dumped = self.model_dump(exclude=set(self.own_fields))
        return {name: storable(value) for name, value in {**self._extra, **dumped}.items()}

    def _updates(self) -> dict[str, Any]:
        """Give what differs from the record."""
        before, now = self._record.properties, self._properties()
        updates = {
            name: value
            for name, value in now.items()
            if name not in before or not same(before[name], value)
        }
        return updates | {name: DELETE for name in before if name not in now}

    @classmethod
    def _from_record(cls, owner: Owner, record: Node | Edge, own: Mapping[str, Any]) -> Self:
        properties = record.properties
        known = cls.model_fields
        allows = cls.model_config.get("extra") == "allow"
        declared = {
            name: value
            for name, value in properties.items()
            if (name in known or allows) and name not in cls.own_fields
        }
        try:
            found = cls.model_validate({**declared, **own})
        except ValidationError as error:
            raise InvalidInput(
                f"{record.id!r} as it is stored is no {cls.__name__}: {reasons(error)}",
                hint="Give new fields a default, or read it with get_node or get_edge",
            ) from error
        found._extra = {name: properties[name] for name in properties if name not in declared}
        found._bind(owner, record)
        return found

    def _bind(self, owner: Owner, record: Node | Edge) -> None:
        self._record = record
        self._owner = owner._hold(self)

    def _record_held(self) -> Node | Edge | None:
        record: Node | Edge | None = self._record
        return record

    def _go_over(self, owner: Owner, record: Node | Edge | None) -> None:
        self._owner = owner
        if record is not None:
            self._record = record

    def __copy__(self) -> Self:
        return self._held_too(super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # The owner is no part of the object: a copy belongs to the same.
        shared = {} if memo is None else memo
        shared[id(self._owner)] = self._owner
        return self._held_too(super().__deepcopy__(shared))

    def _held_too(self, copied: Self) -> Self:
        if self._owner is not None:
            copied._owner = self._owner._hold(copied)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        if self._owner is not None:
            raise not_pickled(type(self).__name__, self.id, "model_dump()")
        return super().__getstate__()

    def _reload(self, other: Self) -> None:
        """Take over what another object of the same record holds."""
        self.__dict__.update(other.__dict__)
        if other.__pydantic_extra__ is not None:
            object.__setattr__(self, "__pydantic_extra__", dict(other.__pydantic_extra__))
        self._extra = other._extra
        self._bind(other._owner, other._record)

    def _bound(self) -> Owner:
        owner: Owner | None = self._owner
        if owner is None:
            raise InvalidInput(
                f"{type(self).__name__} {self.id!r} is not stored yet",
                hint="Store it first with db.add(…)",
            )
        return owner

    def save(self, *, force: bool = False) -> None:
        """Store the changes; only what changed is written.

        Args:
            force: overwrite what someone else changed since this object was read.

        Raises:
            Conflict: it was changed since; `refresh` and try again.
            NotFound: it was deleted.
            InvalidInput: it is not stored yet, or a value cannot be stored.

        Examples:
            >>> from embedded_db import Conflict, NodeModel
            >>> class Note(NodeModel, label="Note"):
            ...     text: str
            >>> mine = db.add(Note(text="draft"))
            >>> theirs = db.get(Note, mine.id)
            >>> theirs.text = "done"
            >>> theirs.save()
            >>> mine.text = "better"
            >>> try:
            ...     mine.save()
            ... except Conflict:
            ...     mine.save(force=True)
            >>> db.get(Note, mine.id).text
            'better'
        """
        owner = self._bound()
        updates = self._updates()
        if updates:
            self._reload(self._save_record(owner, updates, None if force else self._record))

    def refresh(self) -> None:
        """Read it again; unsaved changes are dropped.

        Raises:
            NotFound: it was deleted.
            InvalidInput: it is not stored yet, or what is stored does not fit the model.

        Examples:
            >>> from embedded_db import NodeModel
            >>> class Note(NodeModel, label="Note"):
            ...     text: str
            >>> note = db.add(Note(text="draft"))
            >>> _ = db.update_node(note.id, {"text": "done"})
            >>> note.refresh()
            >>> note.text
            'done'
        """
        self._refresh()

    def _refresh(self) -> None:
        found = self._read_record(self._bound())
        if found is None:
            raise gone(type(self).__name__, self.id)
        self._reload(found)

    def delete(self) -> None:
        """Delete it; a node with its edges.

        Raises:
            NotFound: it was deleted already.
            InvalidInput: it is not stored yet.

        Examples:
            >>> from embedded_db import NodeModel
            >>> class Note(NodeModel, label="Note"):
            ...     text: str
            >>> note = db.add(Note(text="draft"))
            >>> note.delete()
            >>> db.get(Note, note.id) is None
            True
        """
        self._delete_record(self._bound())

    def _save_record(self, owner: Owner, updates: dict[str, Any], expected: Any) -> Self:
        """Store changes, and give what is stored then."""
        raise NotImplementedError

    def _read_record(self, owner: Owner) -> Self | None:
        raise NotImplementedError

    def _delete_record(self, owner: Owner) -> None:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredModel):
            return NotImplemented
        return (
            type(self) is type(other)
            and self.__dict__ == other.__dict__
            and self.__pydantic_extra__ == other.__pydantic_extra__
            and self._extra == other._extra
        )

    def __hash__(self) -> int:
        return hash((type(self), self.id))

    def _shown(self) -> Iterator[tuple[str, object]]:
        for name, value in [*self.__dict__.items(), *self._extra.items()]:
            if value is not None:
                yield name, value

    def __repr__(self) -> str:
        star = "*" if self.stored and self.changed else ""
        return show.line(f"{type(self).__name__}{star}", self._shown())

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return show.table(type(self).__name__, self._shown())


class NodeModel(StoredModel):
    """A node with declared properties: a pydantic model that can be stored and asked for.

    ``class Person(NodeModel, label="Person")`` declares one; the label is the class's name when
    left out, and a subclass has the labels of its bases too. An object is made like any pydantic
    object and stored by `EmbeddedDB.add`. Values that the database does not store as they are
    (dates, enums, UUIDs, nested models…) are stored as pydantic writes them to JSON.

    Attributes:
        id: the id, unique in its namespace; made when left out.

    Examples:
        >>> from embedded_db import Field, NodeModel
        >>> class Person(NodeModel, label="Person"):
        ...     name: str = Field(index=True)
        ...     age: int | None = None
        >>> ann = db.add(Person(name="Ann", age=41))
        >>> ann.age = 42
        >>> ann.save()
        >>> [person.name for person in Person.where(Person.age > 40).on(db)]
        ['Ann']
        >>> db.get(Person, ann.id) == ann
        True
        >>> ann.labels, ann.version, ann.stored, ann.changed, ann.updated_at > ann.created_at
        (['Person'], 2, True, False, True)
        >>> _ = db.update_node(ann.id, {"city": "Oslo"})
        >>> ann.refresh()
        >>> ann.extra, ann.expires_at
        ({'city': 'Oslo'}, None)
    """

    node_label: ClassVar[str] = ""
    """The label of the model, by which its nodes are found."""
    node_labels: ClassVar[tuple[str, ...]] = ()
    """All labels that a new node gets: that of the model, then those of its bases."""

    def __init_subclass__(cls, *, label: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.node_label = cls.__name__ if label is None else label
        if cls.node_label in BUILT_IN or not cls.node_label:
            raise InvalidInput(
                f"the label of {cls.__name__} is {cls.node_label!r}",
                hint="Give another: label=…; those of chats, messages, entities, summaries and "
                "topics are the database's",
            )
        bases = (base.node_label for base in cls.__mro__ if issubclass(base, NodeModel))
        cls.node_labels = tuple(dict.fromkeys(label for label in bases if label))

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        check_names(cls, NodeModel)
        _declared.setdefault(cls.__name__, {})[cls.__module__] = cls

    @classmethod
    def _prefix(cls) -> str:
        return cls.node_label

    @property
    def labels(self) -> list[str]:
        """The labels of the node."""
        return list(self.node_labels) if self._record is None else self._record.labels

    @property
    def created_at(self) -> datetime | None:
        """When it was stored first (UTC); None before."""
        return None if self._record is None else self._record.created_at

    @property
    def updated_at(self) -> datetime | None:
        """When it was last changed by a user (UTC); None before it is stored."""
        return None if self._record is None else self._record.updated_at

    @property
    def expires_at(self) -> datetime | None:
        """When it expires (UTC); None before it is stored, and when it does not."""
        return None if self._record is None else self._record.expires_at

    @classmethod
    def where(cls, *conditions: Condition | bool) -> Selection[Self]:
        """Select the stored nodes of this model that meet all conditions; see `Selection`.

        Args:
            *conditions: comparisons of fields of the class; ``&``, ``|`` and ``~`` combine them.

        Raises:
            InvalidQuery: something else than a condition is given.

        Examples:
            >>> from embedded_db import NodeModel
            >>> class Town(NodeModel, label="Town"):
            ...     name: str
            ...     people: int
            >>> _ = db.add_all([Town(name="Oslo", people=700), Town(name="Voss", people=15)])
            >>> [town.name for town in Town.where((Town.people < 20) | (Town.name == "X")).on(db)]
            ['Voss']
        """
        return Selection(cls._of, cls.node_label, cls._checked).where(*conditions)

    @classmethod
    def _checked(cls, changes: Mapping[str, Any]) -> dict[str, Any]:
        return checked_changes(cls, changes)

    @classmethod
    def _of(cls, owner: Owner, node: Node) -> Self:
        return cls._kind(node.labels)._from_record(owner, node, {"id": node.id})

    @classmethod
    def _kind(cls, labels: list[str]) -> type[Self]:
        """Give the subclass, declared last, whose label comes first; else the class itself."""
        for label in labels:
            if label == cls.node_label:
                break
            for kind in reversed(list(_below(cls))):
                if kind.node_label == label:
                    return kind
        return cls

    def _draft(self) -> dict[str, Any]:
        return {"id": self.id, "labels": list(self.node_labels), "properties": self._properties()}

    def _save_record(self, owner: Owner, updates: dict[str, Any], expected: Node | None) -> Self:
        node = owner._save_node(self.id, updates, expected)
        return self._from_record(owner, node, {"id": self.id})

    def _read_record(self, owner: Owner) -> Self | None:
        node = owner._raw_node(self.id)
        return None if node is None else self._from_record(owner, node, {"id": self.id})

    def _delete_record(self, owner: Owner) -> None:
        owner.delete_node(self.id)


def _below(cls: type[N]) -> Iterator[type[N]]:
    for kind in cls.__subclasses__():
        yield kind
        yield from _below(kind)


def named(name: str, module: str) -> type[NodeModel]:
    """Give the model whose class has this name: that of the module, or else the only one.

    Raises:
        InvalidInput: there is none, or there are several in other modules.
    """
    found = _declared.get(name, {})
    if module in found:
        return found[module]
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise InvalidInput(
            f"several models are called {name!r}: in {', '.join(sorted(found))}",
            hint="Name the class itself instead of a text",
        )
    raise InvalidInput(f"no model is called {name!r}", hint=nearest(name, _declared))


def check_names(cls: type[StoredModel], base: type[StoredModel]) -> None:
    """Refuse fields that would hide what every model has.

    Raises:
        InvalidInput: there is one.
    """
    for name in cls.model_fields:
        if name not in cls.own_fields and any(name in vars(kind) for kind in base.__mro__):
            raise InvalidInput(
                f"{cls.__name__}.{name} would hide what every model has by this name",
                hint=f"Call it otherwise, such as {name}_",
            )


def new_id(name: str) -> str:
    """Give ``name_in_snake_case_`` and 32 hex digits of a UUIDv7, as the database makes them."""
    prefix, lower = "", False
    for letter in name:
        prefix += "_" if letter.isupper() and lower else ""
        lower = letter.islower() or letter.isnumeric()
        prefix += letter.lower() if letter.isalnum() else "_"
    while len(prefix.encode()) > LONGEST_PREFIX:
        prefix = prefix[:-1]
    random = uuid4().int & ((1 << 80) - 1) & ~(0xF << 76) | (0x7 << 76)
    return f"{prefix}_{(time_ns() // 1_000_000) << 80 | random:032x}"


def same(one: Any, other: Any) -> bool:
    """Tell whether two stored values are one: equal and of one kind, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
