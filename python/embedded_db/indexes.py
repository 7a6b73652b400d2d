"""Indexes over properties, made on demand, and what is declared of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from .errors import InvalidInput, shown

if TYPE_CHECKING:
    from ._native import Database as NativeDatabase

__all__ = ["Index", "Indexes"]


@dataclass(frozen=True)
class Index:
    """An index as it was when it was asked for.

    Attributes:
        label: the label of its nodes.
        property: the property, or a dotted path into dicts.
        unique: whether no two of these nodes may have the same value.
        state: ``"building"``; ``"ready"``, from when on queries use it; ``"failed"`` when the
            process ended while a unique one was being made, over values that are not unique.
        entries: the nodes in it.
        error: why it failed.

    Examples:
        >>> db.create_index("City", "name")
        Index(label='City', property='name', unique=False, state='ready', entries=0, error=None)
    """

    label: str
    property: str
    unique: bool
    state: Literal["building", "ready", "failed"]
    entries: int
    error: str | None

    def to_dict(self) -> dict[str, Any]:
        """Give the attributes by name.

        Examples:
            >>> db.create_index("City", "name", unique=True).to_dict()["unique"]
            True
        """
        return asdict(self)


class Indexes:
    """What a database does with indexes."""

    _native: NativeDatabase

    def create_index(self, label: str, property: str, unique: bool = False) -> Index:
        """Make an index over a property of the nodes with a label; an equal one stays as it is.

        Queries whose ``labels`` name the label use it for ``Equals``, ``In``, ``Between``,
        ``StartsWith``, the comparisons and ``order_by``, once it is ready. A larger one is built in
        the background, while reading and writing go on; `flush` waits for it. Lists and dicts are
        not indexed.

        Args:
            label: of the nodes; none needs to exist.
            property: its name, or a dotted path into dicts (``"address.city"``).
            unique: refuse a second node of the label with an equal value, also in transactions
                and batches. None, NaN and nodes without the property are not concerned; lists and
                dicts are refused. Such an index is ready when this returns.

        Returns:
            The index.

        Raises:
            AlreadyExists: nodes share a value that is to be unique (the error lists them), or there
                is an index of these which differs in ``unique``.
            InvalidInput: a name is no name, or the property is the node's own (``id``).
            ReadOnly: the handle only reads.

        Examples:
            >>> id = db.create_node({"label": "City", "properties": {"name": "Oslo"}})
            >>> db.create_index("City", "name", unique=True).state
            'ready'
            >>> db.create_node({"label": "City", "properties": {"name": "Oslo"}})
            Traceback (most recent call last):
            ...
            embedded_db.errors.AlreadyExists: City.name is unique, and the node ...
        """
        return Index(**self._native.create_index(*_names(label, property), _flag(unique)))

    def drop_index(self, label: str, property: str) -> None:
        """Remove an index; its values need no longer be unique.

        Args:
            label: the label it was made for.
            property: the name or path it was made for.

        Raises:
            NotFound: there is no such index.
            ReadOnly: the handle only reads.

        Examples:
            >>> index = db.create_index("City", "country")
            >>> db.drop_index("City", "country")
            >>> [index.property for index in db.indexes() if index.property == "country"]
            []
        """
        self._native.drop_index(*_names(label, property))

    def indexes(self) -> list[Index]:
        """Give the indexes of the namespace that `create_index` has made, oldest first.

        Examples:
            >>> index = db.create_index("City", "inhabitants")
            >>> [(i.label, i.property, i.state) for i in db.indexes()][-1]
            ('City', 'inhabitants', 'ready')
        """
        return [Index(**found) for found in self._native.indexes()]

    def declare_label(
        self, label: str, *, text: Sequence[str] = (), embed: Sequence[str] = ()
    ) -> None:
        """Declare which texts of the nodes with a label are searched by words, and which embedded.

        The declaration is stored with the namespace, and replaces an earlier one for the label.
        Nodes that are there already follow in the background, which `flush` waits for; new and
        changed ones at once. Several properties are read one after the other, each on its own line;
        of a list its texts.

        Args:
            label: the label; not one of the database's own (``Message``, ``Chat``…).
            text: names of the properties that `query` and `search` find by words.
            embed: names of the properties whose texts get a vector, for search by meaning.

        Raises:
            InvalidInput: a name is no name, or the label is one of the database's own.
            ReadOnly: the handle only reads.

        Examples:
            >>> db.declare_label("Book", text=["title", "blurb"])
            >>> id = db.create_node({"label": "Book", "properties": {"title": "Hiking in Norway"}})
            >>> [r.node["title"] for r in db.query(text_query={"text": "norway"}, labels=["Book"])]
            ['Hiking in Norway']
        """
        label, _ = _names(label, "")
        self._native.declare_label(label, _properties("text", text), _properties("embed", embed))

    def declared_labels(self) -> dict[str, dict[str, list[str]]]:
        """Give the properties under ``text`` and ``embed`` of every label that was declared.

        Examples:
            >>> db.declare_label("Film", text=["plot"], embed=["plot"])
            >>> db.declared_labels()["Film"]
            {'text': ['plot'], 'embed': ['plot']}
        """
        declared = self._native.declared_labels()
        return {label: {"text": text, "embed": embed} for label, text, embed in declared}


def _names(label: object, property: object) -> tuple[str, str]:
    for what, name in (("label", label), ("property", property)):
        if not isinstance(name, str):
            raise InvalidInput(f"{what} is {shown(name)}", hint="Give a name")
    return str(label), str(property)


def _properties(what: str, names: object) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidInput(f"{what} is {shown(names)}", hint="Give a list of names of properties")
    return list(names)


def _flag(unique: object) -> bool:
    if not isinstance(unique, bool):
        raise InvalidInput(f"unique is {shown(unique)}", hint="It has to be True or False")
    return unique
