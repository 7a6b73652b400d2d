"""What models of a user's own declare about their fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field as PydanticField
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from ..database import EmbeddedDB

__all__ = ["Field", "Stored", "declare", "marks"]


@dataclass(frozen=True)
class Stored:
    """How the database treats a field; what `Field` leaves among its metadata.

    Attributes:
        index: whether conditions on it use an index.
        unique: whether no two nodes of the label may have the same value.
        embed: whether its text is embedded, for search by meaning.
        text: whether its text is searched by words.
    """

    index: bool = False
    unique: bool = False
    embed: bool = False
    text: bool = False


def Field(
    default: Any = ...,
    *,
    default_factory: Callable[[], Any] | None = None,
    index: bool = False,
    unique: bool = False,
    embed: bool = False,
    text: bool = False,
    **constraints: Any,
) -> Any:
    """Declare a field: pydantic's ``Field`` and how the database treats the property.

    The declarations take effect with `EmbeddedDB.register`, or when the first object is added.

    Args:
        default: the value of a new object that is given none; needed when left out.
        default_factory: makes that value.
        index: let conditions on it use an index.
        unique: refuse a second node of the label with the same value; is an index too.
        embed: embed its text, for search by meaning.
        text: search its text by words.
        **constraints: what pydantic's ``Field`` takes: ``ge``, ``max_length``, ``description``…

    Example:
        >>> from embedded_db import Field, NodeModel
        >>> class City(NodeModel, label="City"):
        ...     name: str = Field(index=True, min_length=1)
        ...     inhabitants: int = Field(default=0, ge=0)
        >>> City(name="Oslo").inhabitants
        0
    """
    if default_factory is not None:
        constraints["default_factory"] = default_factory
    elif default is not ...:
        constraints["default"] = default
    info = cast("FieldInfo", PydanticField(**constraints))
    if index or unique or embed or text:
        info.metadata.append(Stored(index=index or unique, unique=unique, embed=embed, text=text))
    return info


def marks(info: FieldInfo) -> Stored:
    """Give what a field declares; nothing when it was no `Field` of ours."""
    found = [mark for mark in info.metadata if isinstance(mark, Stored)]
    return found[-1] if found else Stored()


def declare(database: EmbeddedDB, label: str, fields: dict[str, FieldInfo]) -> None:
    """Make what the fields of a label declare: indexes, texts for words and for vectors.

    This is the one place where declarations become calls of the database.

    Raises:
        InvalidInput: texts of one of the database's own labels are declared.
        AlreadyExists: a field is declared unique, and stored nodes share a value.
    """
    marked = {name: marks(info) for name, info in fields.items()}
    text = [name for name, mark in marked.items() if mark.text]
    embed = [name for name, mark in marked.items() if mark.embed]
    if text or embed:
        database.declare_label(label, text=text, embed=embed)
    for name, mark in marked.items():
        if mark.index:
            database.create_index(label, name, unique=mark.unique)
