"""Written by scripts/make-async from `embedded_db.indexes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..indexes import Index, Indexes
from .twin import Twin

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["AsyncIndexes"]


class AsyncIndexes(Twin):
    """What a database does with indexes."""

    async def create_index(self, label: str, property: str, unique: bool = False) -> Index:
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
            >>> id = await db.create_node({"label": "City", "properties": {"name": "Oslo"}})
            >>> (await db.create_index("City", "name", unique=True)).state
            'ready'
            >>> await db.create_node({"label": "City", "properties": {"name": "Oslo"}})
            Traceback (most recent call last):
            ...
            embedded_db.errors.AlreadyExists: City.name is unique, and the node ...
        """
        return await self._wait(Indexes.create_index, label, property, unique)

    async def drop_index(self, label: str, property: str) -> None:
        """Remove an index; its values need no longer be unique.

        Args:
            label: the label it was made for.
            property: the name or path it was made for.

        Raises:
            NotFound: there is no such index.
            ReadOnly: the handle only reads.

        Examples:
            >>> index = await db.create_index("City", "country")
            >>> await db.drop_index("City", "country")
            >>> [index.property for index in await db.indexes() if index.property == "country"]
            []
        """
        await self._run(Indexes.drop_index, label, property)

    async def indexes(self) -> list[Index]:
        """Give the indexes of the namespace that `create_index` has made, oldest first.

        Examples:
            >>> index = await db.create_index("City", "inhabitants")
            >>> [(i.label, i.property, i.state) for i in await db.indexes()][-1]
            ('City', 'inhabitants', 'ready')
        """
        return await self._run(Indexes.indexes)

    async def declare_label(
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
            >>> await db.declare_label("Book", text=["title", "blurb"])
            >>> id = await db.create_node(
            ...     {"label": "Book", "properties": {"title": "Hiking in Norway"}}
            ... )
            >>> [
            ...     r.node["title"]
            ...     for r in await db.query(text_query={"text": "norway"}, labels=["Book"])
            ... ]
            ['Hiking in Norway']
        """
        await self._run(Indexes.declare_label, label, text=text, embed=embed)

    async def declared_labels(self) -> dict[str, dict[str, list[str]]]:
        """Give the properties under ``text`` and ``embed`` of every label that was declared.

        Examples:
            >>> await db.declare_label("Film", text=["plot"], embed=["plot"])
            >>> (await db.declared_labels())["Film"]
            {'text': ['plot'], 'embed': ['plot']}
        """
        return await self._run(Indexes.declared_labels)
