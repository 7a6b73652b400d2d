"""Written by scripts/make-async from `embedded_db.models.selection`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
)

from ...models.selection import Selection
from ..models.asking import Asking
from ..twin import AsyncRerank, called

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    import numpy.typing as npt

    from ..._native import Cursor
    from ...fields import Condition
    from ...models.owner import IdLike
    from ...query import ConvergedQuery, Direction, Rank
    from ..results import (
        AsyncResults,
    )

__all__ = ["AsyncSelection"]

M = TypeVar("M")


class AsyncSelection(Asking[M]):
    """Stored objects of one class, as a query that can be narrowed and kept.

    Every method gives a new selection; nothing is read before it is iterated over, and each
    iteration asks anew. It is asked of the one database handle that is open in the process;
    with several, and for a namespace, a snapshot or a transaction, `on` says which.

    Examples:
        >>> chat = await db.create_chat()
        >>> _ = await chat.add_messages(
        ...     [
        ...         {"content": "Rust is fast", "sender": "Ann"},
        ...         {"content": "Python is handy", "sender": "Ann"},
        ...         {"content": "Rust is safe", "sender": "Bob"},
        ...     ]
        ... )
        >>> from embedded_db import AsyncMessage
        >>> said = AsyncMessage.where(
        ...     AsyncMessage.chat_id == chat.id, AsyncMessage.sender == "Ann"
        ... ).on(db)
        >>> [message.content async for message in said.matching("rust")]
        ['Rust is fast']
        >>> (await said.limit(1).first()).sender
        'Ann'
    """

    __slots__ = ()

    def where(self, *conditions: Condition | bool) -> AsyncSelection[M]:
        """Keep what meets these conditions too.

        Args:
            *conditions: comparisons of properties of the class, such as ``Person.age >= 18``. To
                a type checker some are bool; a real bool is refused.

        Raises:
            InvalidQuery: something else than a condition is given.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> some = AsyncMessage.where(AsyncMessage.content != "a").on(db)
            >>> [message.content async for message in some.where(AsyncMessage.content != "b")]
            ['c']
        """
        return self._with(self._sync.where(*conditions))

    def connected_to(
        self,
        start: IdLike | Sequence[IdLike],
        via: str | Sequence[str] | None = None,
        *,
        direction: Direction = "any",
        min_hops: int = 1,
        max_hops: int = 1,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> AsyncSelection[M]:
        """Keep what edges lead to.

        Args:
            start: a node, or several.
            via: one edge type or several; all when left out.
            direction: ``"out"``, ``"in"`` or ``"any"``, seen from the start.
            min_hops: fewest edges.
            max_hops: most edges.
            valid_at: over edges that are true in the world then (a time with a time zone).
            known_at: over the edges as the database held them for true then.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> chat = await db.create_chat()
            >>> _ = await chat.add_message("Hello")
            >>> _ = await db.create_message("another", "Bye")
            >>> [
            ...     m.content
            ...     async for m in AsyncMessage.where().on(db).connected_to(chat, via="CONTAINS")
            ... ]
            ['Hello']
        """
        return self._with(
            self._sync.connected_to(
                start,
                via,
                direction=direction,
                min_hops=min_hops,
                max_hops=max_hops,
                valid_at=valid_at,
                known_at=known_at,
            )
        )

    def similar_to(
        self,
        query: str | npt.ArrayLike,
        threshold: float | None = None,
        *,
        space: str | None = None,
    ) -> AsyncSelection[M]:
        """Rank by meaning.

        Args:
            query: a text, or a vector of float32[dim].
            threshold: least raw cosine similarity.
            space: the embedding space; the default one when left out.

        Examples:
            >>> from embedded_db import AsyncNodeModel
            >>> class Colour(AsyncNodeModel, label="Colour"):
            ...     name: str
            >>> red, blue = await db.add_all([Colour(name="red"), Colour(name="blue")])
            >>> _ = await db.set_embeddings([red, blue], [[1, 0, 0], [0, 0, 1]], space="rgb")
            >>> (await Colour.where().on(db).similar_to([0.9, 0.1, 0], space="rgb").first()).name
            'red'
        """
        return self._with(self._sync.similar_to(query, threshold, space=space))

    def matching(
        self,
        words: str | None = None,
        *,
        query: str | None = None,
        k1: float | None = None,
        b: float | None = None,
    ) -> AsyncSelection[M]:
        """Rank by words (BM25) and keep what has any of them, or what a query in the syntax says.

        Args:
            words: what to look for.
            query: a query in the syntax of `TextQuery`, instead of words.
            k1: how much further occurrences of a word count; 0.9 unless given.
            b: how much long texts are held back, 0 to 1; 0.4 unless given.

        Raises:
            InvalidQuery: the query has a mistake, or both or none of words and query are given.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": "Rust is fast"}, {"content": "Bye"}]
            ... )
            >>> [message.content async for message in AsyncMessage.where().on(db).matching("rust")]
            ['Rust is fast']
            >>> phrase = AsyncMessage.where().on(db).matching(query='"is fast" -java')
            >>> [message.content async for message in phrase]
            ['Rust is fast']
        """
        return self._with(self._sync.matching(words, query=query, k1=k1, b=b))

    def rank(self, rank: Rank) -> AsyncSelection[M]:
        """Say how results are ranked.

        Args:
            rank: weights of the legs, fusion, recency, diversity; see `Rank`.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": "Rust"}, {"content": "Rust"}, {"content": "Rust and Python"}]
            ... )
            >>> varied = (
            ...     AsyncMessage.where().on(db).matching("rust python").rank({"mmr": 0.9}).limit(2)
            ... )
            >>> [message.content async for message in varied]
            ['Rust and Python', 'Rust']
        """
        return self._with(self._sync.rank(rank))

    def order_by(self, *order: Any) -> AsyncSelection[M]:
        """Say the order, where nothing ranks.

        Args:
            *order: properties of the class, ``Person.age`` or ``Person.age.desc()``; also names,
                and pairs such as ``("timestamp", "desc")``. What lacks a property comes last. (To
                a type checker a field may be of its own type, so anything is taken here.)

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "bca"]
            ... )
            >>> ordered = AsyncMessage.where().on(db).order_by(AsyncMessage.content.desc())
            >>> [message.content async for message in ordered]
            ['c', 'b', 'a']
        """
        return self._with(self._sync.order_by(*order))

    def limit(self, most: int) -> AsyncSelection[M]:
        """Give at most so many.

        Args:
            most: 1 to 10,000.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "bca"]
            ... )
            >>> [
            ...     message.content
            ...     async for message in AsyncMessage.where().on(db).order_by("content").limit(2)
            ... ]
            ['a', 'b']
        """
        return self._with(self._sync.limit(most))

    def on(self, owner: object) -> AsyncSelection[M]:
        """Ask this database handle, snapshot or transaction.

        Args:
            owner: an `AsyncEmbeddedDB`, an `AsyncSnapshot` or an `AsyncTransaction`.

        Raises:
            InvalidInput: it is none of these.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_message("one")
            >>> everything = AsyncMessage.where()
            >>> async with db.snapshot() as before:
            ...     _ = await (await db.create_chat()).add_message("two")
            ...     (await everything.on(before).count(), await everything.on(db).count())
            (1, 2)
        """
        return self._asked_of(owner)

    def to_query(self) -> ConvergedQuery:
        """Give the query as a plain value; without a limit it is for 10,000 results.

        Raises:
            InvalidQuery: a part is malformed.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> AsyncMessage.where(AsyncMessage.role == "user").limit(5).to_query().limit
            5
        """
        held: ConvergedQuery = self._sync.to_query()
        return held

    async def results(
        self, *, after: Cursor | None = None, rerank: AsyncRerank | None = None
    ) -> AsyncResults:
        """Ask, and give the results with every score, best first.

        Args:
            after: ``results.cursor`` of the page before.
            rerank: orders the best results anew; see `AsyncEmbeddedDB.query`.

        Raises:
            InvalidInput: several handles are open, or none, and `on` did not say which to ask.
            DbError: as `AsyncEmbeddedDB.query`.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_message("Rust is fast")
            >>> [result] = await AsyncMessage.where().on(db).matching("rust").results()
            >>> result.node.content, result.text_score > 0
            ('Rust is fast', True)
        """
        found: AsyncResults = await self._made(
            Selection.results, after=after, rerank=called(rerank, self._pool)
        )
        return found

    def __aiter__(self) -> AsyncIterator[M]:
        return self._each(Selection.__iter__)

    async def first(self) -> M | None:
        """Give the best one, or None when there is none."""
        found: M | None = await self._made(Selection.first)
        return found

    async def count(self) -> int:
        """Count them, up to the limit.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> await AsyncMessage.where(AsyncMessage.content != "a").on(db).count()
            2
        """
        return await self._run(Selection.count)

    async def group_count(self, property: Any) -> dict[Any, int]:
        """Count them by the value of a property; see `AsyncEmbeddedDB.group_count`.

        Args:
            property: a property of the class, such as ``Person.town``, or its name or dotted path.

        Raises:
            InvalidQuery: there is a limit or a ranking, or a value is a list or dict.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": "a", "sender": "Ann"}, {"content": "b", "sender": "Ann"}]
            ... )
            >>> await AsyncMessage.where().on(db).group_count("sender")
            {'Ann': 2}
        """
        found: dict[Any, int] = await self._made(Selection.group_count, property)
        return found

    async def update(self, **changes: Any) -> int:
        """Change properties of all that are selected, up to the limit, all or nothing.

        Args:
            **changes: values by property name; `DELETE` as a value removes the property. They are
                checked as the class's objects are, property by property: one that does not fit is
                refused, and nothing is written. Of an `AsyncNodeModel` so is a field that the class
                does not declare; validators of the whole model are not asked, nor are subclasses
                that declare a field anew.

        Returns:
            How many there were.

        Raises:
            InvalidInput: a value does not fit its field or cannot be stored, or the class has no
                such field.
            ReadOnly: it is asked of a snapshot.
            Conflict: others changed them time and again.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> await (
            ...     AsyncMessage.where(AsyncMessage.content.in_(["a", "b"]))
            ...     .on(db)
            ...     .update(read=True)
            ... )
            2
        """
        return await self._run(Selection.update, **changes)

    async def delete(self) -> int:
        """Delete all that are selected, up to the limit, with what was derived from them.

        It is all or nothing.

        Returns:
            How many there were.

        Raises:
            ReadOnly: it is asked of a snapshot.
            Conflict: others changed them time and again.

        Examples:
            >>> from embedded_db import AsyncMessage
            >>> _ = await (await db.create_chat()).add_messages(
            ...     [{"content": text} for text in "abc"]
            ... )
            >>> (
            ...     await AsyncMessage.where(AsyncMessage.content == "b").on(db).delete(),
            ...     await db.count("Message"),
            ... )
            (1, 2)
        """
        return await self._run(Selection.delete)
