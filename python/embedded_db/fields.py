"""Conditions on properties, written as Python: ``Person.age >= 18``; and the marker `DELETE`.

A property asked for on a model class is an `Expression`. Comparing one gives a `Condition`, which
`Model.where` and every query take; ``&``, ``|`` and ``~`` combine conditions.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    TypeVar,
    final,
    get_args,
    overload,
)

from .errors import InvalidQuery, shown
from .nesting import refuse_deep

__all__ = ["DELETE", "Attr", "Condition", "End", "Expression"]

T = TypeVar("T")
S = TypeVar("S")

LONGEST_SHOWN: Final = 1_000
"""Characters of a condition's representation."""


@final
class _Delete:
    """The type of `DELETE`; it has one instance."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DELETE"

    def __bool__(self) -> bool:
        return False

    def __copy__(self) -> "_Delete":
        return self

    def __deepcopy__(self, memo: object) -> "_Delete":
        return self

    def __reduce__(self) -> str:
        return "DELETE"


DELETE: Final = _Delete()
"""As a value of an update: remove this property. Recognised by identity."""


@final
class Condition(Mapping[str, Any]):
    """A condition on properties, in the form in which a query takes its filters.

    Made by comparing an `Expression`; it is a mapping, so that it may stand among the
    ``structural_filters`` of `EmbeddedDB.query`.

    Examples:
        >>> from embedded_db import Message
        >>> dict((Message.sender == "Ann") | (Message.role != "user"))
        {'any': [Condition(sender Equals 'Ann'), Condition(role NotEquals 'user')]}
        >>> _ = db.create_chat().add_message("Hello", sender="Ann")
        >>> len(db.query(structural_filters=[Message.sender == "Ann"]))
        1
    """

    __slots__ = ("_filter",)

    def __init__(self, filter: Mapping[str, Any]) -> None:
        self._filter = dict(filter)

    def __getitem__(self, key: str) -> Any:
        return self._filter[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._filter)

    def __len__(self) -> int:
        return len(self._filter)

    def __and__(self, other: "Condition") -> "Condition":
        return self._with(other, "all")

    def __or__(self, other: "Condition") -> "Condition":
        return self._with(other, "any")

    def __invert__(self) -> "Condition":
        return Condition({"not": self})

    def __bool__(self) -> bool:
        raise InvalidQuery(
            f"{self!r} is neither true nor false before a query has looked",
            hint="Combine conditions with & | ~ (in parentheses), not with and, or, not; "
            "write a < b < c as .between(a, c)",
        )

    def _with(self, other: object, word: str) -> "Condition":
        if not isinstance(other, Condition):
            raise InvalidQuery(
                f"{shown(other)} is no condition on a property",
                hint="Compare a property of a class: Person.name == 'Ann'",
            )
        parts = [part for one in (self, other) for part in one._filter.get(word, [one])]
        return Condition({word: parts})

    def __reduce__(self) -> tuple[Any, ...]:
        refuse_deep(self)  # pickle would go down into it, and come to no end
        return Condition, (self._filter,)

    def __repr__(self) -> str:
        shown, length = [], 0
        for piece in self._pieces():
            shown.append(piece)
            length += len(piece)
            if length > LONGEST_SHOWN:
                return "".join(shown)[:LONGEST_SHOWN] + "…"
        return "".join(shown)

    def _pieces(self) -> Iterator[str]:
        """Give what it looks like piece by piece: whoever has seen enough goes no deeper."""
        if "property" in self._filter:
            value = f" {shown(self._filter['value'])}" if "value" in self._filter else ""
            yield f"Condition({self._filter['property']} {self._filter.get('operator')}{value})"
            return
        for word, inner in self._filter.items():
            yield f"Condition({word} "
            yield from _inner_pieces(inner)
            yield ")"


def _inner_pieces(inner: object) -> Iterator[str]:
    if isinstance(inner, Condition):
        yield from inner._pieces()
    elif isinstance(inner, list | tuple):
        yield "["
        for at, one in enumerate(inner):
            yield ", " if at else ""
            yield from _inner_pieces(one)
        yield "]"
    else:
        yield shown(inner)


class Expression(Generic[T]):
    """A property of a model, to be compared in a query.

    What is missing satisfies ``!=``, `not_in` and `missing`; a value is compared with values of
    its own kind only. An item reaches into a property that is a dict.

    Attributes:
        name: the name of the property, or its dotted path.

    Examples:
        >>> from embedded_db import Message
        >>> Message.metadata["lang"] == "de"
        Condition(metadata.lang Equals 'de')
        >>> Message.sender.exists() & ~Message.metadata.missing()
        Condition(all [Condition(sender Exists), Condition(not Condition(metadata NotExists))])
    """

    __slots__ = ("name",)

    name: str

    def __init__(self, name: str) -> None:
        self.name = name

    def _operand(self, operator: str, value: object) -> object:
        """Give one value as it is stored, to be compared with what is."""
        return value

    def _is(self, operator: str, operand: object) -> Condition:
        return Condition({"property": self.name, "operator": operator, "value": operand})

    def _compared(self, operator: str, value: object) -> Condition:
        return self._is(operator, self._operand(operator, value))

    def _among(self, operator: str, values: Iterable[object]) -> Condition:
        return self._is(operator, [self._operand(operator, value) for value in values])

    def __eq__(self, value: T) -> Condition:  # type: ignore[override]
        return self._compared("Equals", value)

    def __ne__(self, value: T) -> Condition:  # type: ignore[override]
        return self._compared("NotEquals", value)

    def __lt__(self, value: T) -> Condition:
        return self._compared("LessThan", value)

    def __le__(self, value: T) -> Condition:
        return self._compared("LessThanOrEqual", value)

    def __gt__(self, value: T) -> Condition:
        return self._compared("GreaterThan", value)

    def __ge__(self, value: T) -> Condition:
        return self._compared("GreaterThanOrEqual", value)

    __hash__ = object.__hash__

    def __getitem__(self, key: str) -> "Expression[Any]":
        return Expression(f"{self.name}.{key}")

    # Else Python would iterate by __getitem__ with numbers.
    __iter__: ClassVar[None] = None

    def between(self, low: T, high: T) -> Condition:
        """Not under ``low`` and not over ``high``.

        Args:
            low: the least value that meets it.
            high: the greatest.

        Examples:
            >>> from embedded_db import Entity
            >>> Entity.mention_count.between(2, 5)
            Condition(mention_count Between [2, 5])
        """
        return self._among("Between", (low, high))

    def in_(self, values: Iterable[T]) -> Condition:
        """One of these values.

        Args:
            values: the values.

        Examples:
            >>> from embedded_db import Message
            >>> Message.role.in_(["user", "assistant"])
            Condition(role In ['user', 'assistant'])
        """
        return self._among("In", values)

    def not_in(self, values: Iterable[T]) -> Condition:
        """None of these values.

        Args:
            values: the values.

        Examples:
            >>> from embedded_db import Message
            >>> Message.role.not_in(["system"])
            Condition(role NotIn ['system'])
        """
        return self._among("NotIn", values)

    def contains(self, value: object) -> Condition:
        """A text that has this part, or a list that has this item.

        Args:
            value: the part or the item.

        Examples:
            >>> from embedded_db import Entity
            >>> Entity.aliases.contains("Bob")
            Condition(aliases Contains 'Bob')
        """
        return self._compared("Contains", value)

    def startswith(self, prefix: str) -> Condition:
        """A text that begins so.

        Args:
            prefix: how it begins.

        Examples:
            >>> from embedded_db import Message
            >>> Message.sender.startswith("bot-")
            Condition(sender StartsWith 'bot-')
        """
        return self._is("StartsWith", prefix)

    def endswith(self, suffix: str) -> Condition:
        """A text that ends so.

        Args:
            suffix: how it ends.

        Examples:
            >>> from embedded_db import Message
            >>> Message.content.endswith("?")
            Condition(content EndsWith '?')
        """
        return self._is("EndsWith", suffix)

    def asc(self) -> tuple[str, Literal["asc"]]:
        """The least first, for `Selection.order_by` and ``order_by=`` of a query.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "bca"])
            >>> found = db.query(labels=["Message"], order_by=[Message.content.asc()])
            >>> [result.node.content for result in found]
            ['a', 'b', 'c']
        """
        return self.name, "asc"

    def desc(self) -> tuple[str, Literal["desc"]]:
        """The greatest first, for `Selection.order_by` and ``order_by=`` of a query.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "bca"])
            >>> [found.content for found in Message.where().on(db).order_by(Message.content.desc())]
            ['c', 'b', 'a']
        """
        return self.name, "desc"

    def exists(self) -> Condition:
        """The property is there."""
        return Condition({"property": self.name, "operator": "Exists"})

    def missing(self) -> Condition:
        """The property is not there; one that is stored as None is, and equals None."""
        return Condition({"property": self.name, "operator": "NotExists"})

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Attr(Generic[T]):
    """The type of a field that a type checker shall know as an `Expression` on the class.

    A field annotated ``name: Attr[str]`` holds a str like ``name: str``. The difference is seen by
    type checkers only: to them ``Person.name`` is an ``Expression[str]``, with all its methods, and
    ``Person(...).name`` a str. A field annotated ``str`` is a str to them on the class too, which
    is enough for comparisons.

    Examples:
        >>> from embedded_db import Attr, NodeModel
        >>> class Town(NodeModel, label="Town"):
        ...     name: Attr[str]
        >>> Town(name="Oslo").name, Town.name.in_(["Oslo", "Bergen"])
        ('Oslo', Condition(name In ['Oslo', 'Bergen']))
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Expression[T]: ...
        @overload
        def __get__(self, instance: object, owner: type) -> T: ...
        def __get__(self, instance: object | None, owner: type) -> "Expression[T] | T": ...
        def __set__(self, instance: object, value: T) -> None: ...

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        kinds = get_args(source)
        return handler.generate_schema(kinds[0]) if kinds else handler.generate_schema(Any)


class End(Generic[T, S]):
    """The type of an edge's end: kept as an id (T), given as an id or an object (S).

    Examples:
        >>> from embedded_db import EdgeModel, NodeModel
        >>> class Person(NodeModel, label="Person"):
        ...     name: str
        >>> ann, bob = Person(name="Ann"), Person(name="Bob")
        >>> EdgeModel(source=ann, target=bob.id).source == ann.id
        True
    """

    if TYPE_CHECKING:

        def __get__(self, instance: object | None, owner: type) -> T: ...
        def __set__(self, instance: object, value: S) -> None: ...

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic import BeforeValidator

        return BeforeValidator(_end).__get_pydantic_core_schema__(str, handler)


def _end(value: object) -> object:
    identity = getattr(value, "id", None)
    return identity if isinstance(identity, str) else value
