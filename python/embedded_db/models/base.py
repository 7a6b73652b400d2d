"""What all models of stored nodes share."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, Self, TypeVar, cast, overload

from .._native import Node
from ..errors import InvalidInput, shown
from ..fields import DELETE, Condition, Expression
from ..guesses import advice
from . import show
from .kinds import described, fitting
from .owner import Owner
from .refusals import gone, not_pickled

if TYPE_CHECKING:
    from .selection import Selection

__all__ = ["Model", "Property"]

T = TypeVar("T")


class Holder(Protocol):
    """What has properties: a `Model`, or its asynchronous twin."""

    def get(self, key: str, default: Any = None) -> Any:
        """Give one property, or ``default``."""
        ...

    def __setitem__(self, key: str, value: Any) -> None: ...


class Property(Expression[T]):
    """A typed property of a model, read from the stored node and written by `Model.save`.

    On the class it is an `Expression` for queries: ``Message.where(Message.role == "user")``.
    """

    __slots__ = ("__orig_class__", "_fits", "_kind", "default", "doc", "settable")

    def __init__(self, doc: str, *, default: Any = None, settable: bool = True) -> None:
        super().__init__("")
        self.doc = doc
        self.default = default
        self.settable = settable

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        # What stands in brackets: Property[str | None](…).
        alias = getattr(self, "__orig_class__", None)
        self._kind: Any = Any if alias is None else alias.__args__[0]
        self._fits = fitting(self._kind)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: "Holder", owner: type) -> T: ...
    def __get__(self, instance: "Holder | None", owner: type) -> Self | T:
        if instance is None:
            return self
        return cast("T", instance.get(self.name, self.default))

    def __set__(self, instance: "Holder", value: T) -> None:
        instance[self.name] = value

    def check(self, value: object, called: str) -> None:
        """Refuse a value of another kind than the property takes; `DELETE` is none.

        Args:
            value: the value.
            called: what the property is called in an error.

        Raises:
            InvalidInput: it does not fit.
        """
        if value is not DELETE and not self._fits(value):
            raise InvalidInput(
                f"{called} is {shown(value)}", hint=f"It has to be {described(self._kind)}"
            )

    def refusal(self, cls: type) -> InvalidInput:
        """Make the error of a change of what is not settable."""
        return InvalidInput(
            f"{cls.__name__}.{self.name} is kept by the database", hint="Leave it as it is"
        )


class Model:
    """A stored node of a built-in class.

    Declared properties are attributes; further ones are read as attributes or items and written
    as items: ``message["mood"] = "happy"``. Nothing is stored before `save`.

    Examples:
        >>> message = db.create_chat().add_message("Hello", sender="Ann", mood="glad")
        >>> message.sender, message.mood, message["mood"], message.get("tone", "none")
        ('Ann', 'glad', 'glad', 'none')
        >>> message["mood"] = "calm"
        >>> message.changed, message.version, message.properties["mood"]
        (True, 1, 'calm')
        >>> message.save()
        >>> message.changed, message.version, message.updated_at > message.created_at
        (False, 2, True)
        >>> message.labels, message.id == message.to_dict()["id"], message.expires_at
        (['Message'], True, None)
    """

    __slots__ = ("__weakref__", "_changes", "_node", "_owner")

    node_label: ClassVar[str] = ""
    """The label of such nodes in the database."""
    _guesses: ClassVar[Mapping[str, str]] = {}

    def __init__(self, owner: Owner, node: Node) -> None:
        self._node = node
        self._changes: dict[str, Any] = {}
        self._owner: Owner = owner._hold(self)

    def _record_held(self) -> Node:
        return self._node

    def _go_over(self, owner: Owner, record: Node | None) -> None:
        self._owner = owner
        if record is not None:
            self._node = record

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
    def expires_at(self) -> datetime | None:
        """When the node expires (UTC), or None; see `EmbeddedDB.set_ttl`."""
        return self._node.expires_at

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
        """Give one property, or ``default``; changes that are not saved count.

        Args:
            key: the name of the property.
            default: what to give when there is none of this name.

        Examples:
            >>> chat = db.create_chat(title="Trip")
            >>> chat.get("title"), chat.get("season", "summer")
            ('Trip', 'summer')
        """
        if self._changes and key in self._changes:
            value = self._changes[key]
            return default if value is DELETE else value
        return self._node.get(key, default)

    # Else Python would iterate by __getitem__ with numbers.
    __iter__: ClassVar[None] = None

    def __getitem__(self, key: str) -> Any:
        if key in self._changes:
            value = self._changes[key]
            if value is DELETE:
                raise KeyError(key)
            return value
        return self._node[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._changes[key] = self._checked({key: value})[key]

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
                known = [*self.properties, *dir(type(self))]
                raise AttributeError(
                    f"{type(self).__name__} {self.id!r} has no property {name!r}. "
                    f"{advice(name, self._guesses, known)}",
                    name=name,
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
            Conflict: the node was changed since; `refresh` and try again.
            NotFound: the node was deleted.
            InvalidInput: a value cannot be stored; the object keeps its changes.

        Examples:
            >>> message = db.create_chat().add_message("before")
            >>> message.content, message["mood"] = "after", "glad"
            >>> message.changed
            True
            >>> message.save()
            >>> message.changed, message.version, db.get_node(message.id).mood
            (False, 2, 'glad')
        """
        changes = dict(self._changes)
        if not changes:
            return
        expected = None if force else self._node
        self._node = self._owner._save_node(self.id, changes, expected)
        for name, value in changes.items():
            if self._changes.get(name) is value:  # not changed again meanwhile
                del self._changes[name]

    def refresh(self) -> None:
        """Read the node again; unsaved changes are dropped.

        Raises:
            NotFound: the node was deleted.

        Examples:
            >>> chat = db.create_chat(title="Trip")
            >>> _ = db.update_node(chat, {"title": "Journey"})
            >>> chat.refresh()
            >>> chat.title
            'Journey'
        """
        node = self._owner._raw_node(self.id)
        if node is None:
            raise gone(type(self).__name__, self.id)
        self._node = node
        self._changes.clear()

    def delete(self) -> None:
        """Delete the node, its edges and what was derived from it.

        Raises:
            NotFound: it was deleted already.

        Examples:
            >>> message = db.create_chat().add_message("gone")
            >>> message.delete()
            >>> db.get_node(message.id) is None
            True
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
            "expires_at": self.expires_at,
            "version": self.version,
        }

    def __copy__(self) -> Self:
        copied = type(self)(self._owner, self._node)
        copied._changes = dict(self._changes)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self)(self._owner, self._node)
        copied._changes = deepcopy(self._changes, memo)
        return copied

    def __reduce__(self) -> NoReturn:
        raise not_pickled(type(self).__name__, self.id, "to_dict()")

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

    @classmethod
    def where(cls, *conditions: "Condition | bool") -> "Selection[Self]":
        """Select the stored objects of this class that meet all conditions.

        The selection is lazy; see `Selection`.

        Args:
            *conditions: comparisons of properties of the class; ``&``, ``|`` and ``~`` combine
                them.

        Raises:
            InvalidQuery: something else than a condition is given.

        Examples:
            >>> from embedded_db import Message
            >>> chat = db.create_chat()
            >>> m = chat.add_message("We should use Rust", sender="Ann")
            >>> [found.content for found in Message.where(Message.sender == "Ann").on(db)]
            ['We should use Rust']
        """
        from .selection import Selection

        return Selection(cls._of, cls.node_label, cls._checked).where(*conditions)

    @classmethod
    def _checked(cls, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Take changes of nodes of the class.

        Raises:
            InvalidInput: one is of a property that the database keeps, or does not fit its kind.
        """
        for name, declared in cls._declared(changes):
            if not declared.settable:
                raise declared.refusal(cls)
            declared.check(changes[name], f"{cls.__name__}.{name}")
        return dict(changes)

    @classmethod
    def _declared(cls, names: Iterable[str]) -> "Iterator[tuple[str, Property[Any]]]":
        """Give those of some properties that the class declares."""
        for name in names:
            declared = getattr(cls, name, None)
            if isinstance(declared, Property):
                yield name, declared

    @classmethod
    def _checked_new(cls, properties: Mapping[str, Any]) -> None:
        """Look at the properties of a new node of the class.

        Raises:
            InvalidInput: one does not fit its kind.
        """
        for name, declared in cls._declared(properties):
            declared.check(properties[name], f"{name} of the {cls.__name__.lower()}")

    @classmethod
    def _of(cls, owner: Owner, node: Node) -> Self:
        from .wrapping import wrap

        return cast("Self", wrap(owner, node))

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "id", self.id
        for kind in type(self).__mro__:
            for name, declared in vars(kind).items():
                if isinstance(declared, Property) and self.get(name) is not None:
                    yield name, self.get(name)

    def __repr__(self) -> str:
        star = "*" if self._changes else ""
        return show.line(f"{type(self).__name__}{star}", self._shown())

    def _repr_html_(self) -> str:
        return show.table(type(self).__name__, self._shown())
