"""Queries in fluent form: ``Message.where(Message.sender == "Ann").matching("rust").limit(10)``."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import numpy.typing as npt

from .._native import Node
from ..checks import MAX_LIMIT
from ..errors import InvalidInput, InvalidQuery, shown
from ..fields import Condition
from ..query import (
    ConvergedQuery,
    Direction,
    GraphFilter,
    Rank,
    Rerank,
    SemanticQuery,
    TextQuery,
)
from ..results import Results
from .owner import IdLike, Owner

if TYPE_CHECKING:
    from .._native import Cursor
    from ..database import EmbeddedDB
    from ..transaction import Transaction

__all__ = ["Selection"]

M = TypeVar("M")

PAGE: Final = 512


class Selection(Generic[M]):
    """Stored objects of one class, as a query that can be narrowed and kept.

    Every method gives a new selection; nothing is read before it is iterated over, and each
    iteration asks anew. It is asked of the one database handle that is open in the process; with
    several, and for a namespace, a snapshot or a transaction, `on` says which.

    Examples:
        >>> chat = db.create_chat()
        >>> _ = chat.add_messages([
        ...     {"content": "Rust is fast", "sender": "Ann"},
        ...     {"content": "Python is handy", "sender": "Ann"},
        ...     {"content": "Rust is safe", "sender": "Bob"},
        ... ])
        >>> from embedded_db import Message
        >>> said = Message.where(Message.chat_id == chat.id, Message.sender == "Ann").on(db)
        >>> [message.content for message in said.matching("rust")]
        ['Rust is fast']
        >>> said.limit(1).first().sender
        'Ann'
    """

    __slots__ = ("_check", "_label", "_make", "_owner", "_parts")

    def __init__(
        self,
        make: Callable[[Owner, Node], M],
        label: str,
        check: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._make = make
        self._label = label
        self._check = check
        self._parts: dict[str, Any] = {}
        self._owner: Owner | None = None

    def _with(self, **parts: object) -> "Selection[M]":
        other = Selection(self._make, self._label, self._check)
        other._parts = {**self._parts, **parts}
        other._owner = self._owner
        return other

    def where(self, *conditions: Condition | bool) -> "Selection[M]":
        """Keep what meets these conditions too.

        Args:
            *conditions: comparisons of properties of the class, such as ``Person.age >= 18``. To
                a type checker some are bool; a real bool is refused.

        Raises:
            InvalidQuery: something else than a condition is given.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> some = Message.where(Message.content != "a").on(db)
            >>> [message.content for message in some.where(Message.content != "b")]
            ['c']
        """
        for condition in conditions:
            if not isinstance(condition, Condition):
                raise InvalidQuery(
                    f"{shown(condition)} is no condition on a property",
                    hint="Compare a property of the class: Person.name == 'Ann'",
                )
        filters = self._parts.get("structural_filters", ())
        return self._with(structural_filters=(*filters, *conditions))

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
    ) -> "Selection[M]":
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
            >>> from embedded_db import Message
            >>> chat = db.create_chat()
            >>> _ = chat.add_message("Hello")
            >>> _ = db.create_message("another", "Bye")
            >>> [m.content for m in Message.where().on(db).connected_to(chat, via="CONTAINS")]
            ['Hello']
        """
        reach = GraphFilter(
            start=start,
            edge_types=via,
            direction=direction,
            min_hops=min_hops,
            max_hops=max_hops,
            valid_at=valid_at,
            known_at=known_at,
        )
        return self._with(graph_filter=reach)

    def similar_to(
        self,
        query: str | npt.ArrayLike,
        threshold: float | None = None,
        *,
        space: str | None = None,
    ) -> "Selection[M]":
        """Rank by meaning.

        Args:
            query: a text, or a vector of float32[dim].
            threshold: least raw cosine similarity.
            space: the embedding space; the default one when left out.

        Examples:
            >>> from embedded_db import NodeModel
            >>> class Colour(NodeModel, label="Colour"):
            ...     name: str
            >>> red, blue = db.add_all([Colour(name="red"), Colour(name="blue")])
            >>> _ = db.set_embeddings([red, blue], [[1, 0, 0], [0, 0, 1]], space="rgb")
            >>> Colour.where().on(db).similar_to([0.9, 0.1, 0], space="rgb").first().name
            'red'
        """
        semantic: dict[str, Any] = {"text" if isinstance(query, str) else "vector": query}
        semantic.update(threshold=threshold, space=space)
        return self._with(semantic_query=cast("SemanticQuery", semantic))

    def matching(
        self,
        words: str | None = None,
        *,
        query: str | None = None,
        k1: float | None = None,
        b: float | None = None,
    ) -> "Selection[M]":
        """Rank by words (BM25) and keep what has any of them, or what a query in the syntax says.

        Args:
            words: what to look for.
            query: a query in the syntax of `TextQuery`, instead of words.
            k1: how much further occurrences of a word count; 0.9 unless given.
            b: how much long texts are held back, 0 to 1; 0.4 unless given.

        Raises:
            InvalidQuery: the query has a mistake, or both or none of words and query are given.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": "Rust is fast"}, {"content": "Bye"}])
            >>> [message.content for message in Message.where().on(db).matching("rust")]
            ['Rust is fast']
            >>> phrase = Message.where().on(db).matching(query='"is fast" -java')
            >>> [message.content for message in phrase]
            ['Rust is fast']
        """
        given = {"text": words, "query": query, "k1": k1, "b": b}
        text_query = {name: value for name, value in given.items() if value is not None}
        return self._with(text_query=cast("TextQuery", text_query))

    def rank(self, rank: Rank) -> "Selection[M]":
        """Say how results are ranked.

        Args:
            rank: weights of the legs, fusion, recency, diversity; see `Rank`.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages(
            ...     [{"content": "Rust"}, {"content": "Rust"}, {"content": "Rust and Python"}]
            ... )
            >>> varied = Message.where().on(db).matching("rust python").rank({"mmr": 0.9}).limit(2)
            >>> [message.content for message in varied]
            ['Rust and Python', 'Rust']
        """
        return self._with(rank=rank)

    def order_by(self, *order: Any) -> "Selection[M]":
        """Say the order, where nothing ranks.

        Args:
            *order: properties of the class, ``Person.age`` or ``Person.age.desc()``; also names,
                and pairs such as ``("timestamp", "desc")``. What lacks a property comes last. (To
                a type checker a field may be of its own type, so anything is taken here.)

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "bca"])
            >>> ordered = Message.where().on(db).order_by(Message.content.desc())
            >>> [message.content for message in ordered]
            ['c', 'b', 'a']
        """
        return self._with(order_by=order)

    def limit(self, most: int) -> "Selection[M]":
        """Give at most so many.

        Args:
            most: 1 to 10,000.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "bca"])
            >>> [message.content for message in Message.where().on(db).order_by("content").limit(2)]
            ['a', 'b']
        """
        return self._with(limit=most)

    def on(self, owner: object) -> "Selection[M]":
        """Ask this database handle, snapshot or transaction.

        Args:
            owner: an `EmbeddedDB`, a `Snapshot` or a `Transaction`.

        Raises:
            InvalidInput: it is none of these.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_message("one")
            >>> everything = Message.where()
            >>> with db.snapshot() as before:
            ...     _ = db.create_chat().add_message("two")
            ...     everything.on(before).count(), everything.on(db).count()
            (1, 2)
        """
        from ..querying import Querying

        if not isinstance(owner, Querying):
            raise InvalidInput(
                f"{shown(owner)} cannot be queried",
                hint="Give a database, a snapshot or a transaction",
            )
        other = self._with()
        other._owner = cast("Owner", owner)
        return other

    def to_query(self) -> ConvergedQuery:
        """Give the query as a plain value; without a limit it is for 10,000 results.

        Raises:
            InvalidQuery: a part is malformed.

        Examples:
            >>> from embedded_db import Message
            >>> Message.where(Message.role == "user").limit(5).to_query().limit
            5
        """
        return ConvergedQuery(labels=[self._label], **{"limit": MAX_LIMIT, **self._parts})

    def results(self, *, after: "Cursor | None" = None, rerank: Rerank | None = None) -> Results:
        """Ask, and give the results with every score, best first.

        Args:
            after: ``results.cursor`` of the page before.
            rerank: orders the best results anew; see `EmbeddedDB.query`.

        Raises:
            InvalidInput: several handles are open, or none, and `on` did not say which to ask.
            DbError: as `EmbeddedDB.query`.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_message("Rust is fast")
            >>> [result] = Message.where().on(db).matching("rust").results()
            >>> result.node.content, result.text_score > 0
            ('Rust is fast', True)
        """
        return self._asked().execute_query(self.to_query(), after=after, rerank=rerank)

    def __iter__(self) -> Iterator[M]:
        owner = self._asked()
        return (self._make(owner, node) for node in self._selected(owner))

    def _selected(self, owner: Owner) -> Iterator[Node]:
        """Give all there are up to the limit, in the state that the first page saw."""
        query = self.to_query()
        if "limit" in self._parts:
            return owner.execute_query(query)._raw_nodes()
        return _pages(owner, dataclasses.replace(query, limit=PAGE))

    def first(self) -> M | None:
        """Give the best one, or None when there is none."""
        return next(iter(self.limit(1)), None)

    def count(self) -> int:
        """Count them, up to the limit.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> Message.where(Message.content != "a").on(db).count()
            2
        """
        if self._is_a_whole_set():
            return self._asked().count_matching(self.to_query())
        return sum(1 for _ in self)

    def group_count(self, property: Any) -> dict[Any, int]:
        """Count them by the value of a property; see `EmbeddedDB.group_count`.

        Args:
            property: a property of the class, such as ``Person.town``, or its name or dotted path.

        Raises:
            InvalidQuery: there is a limit or a ranking, or a value is a list or dict.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages(
            ...     [{"content": "a", "sender": "Ann"}, {"content": "b", "sender": "Ann"}]
            ... )
            >>> Message.where().on(db).group_count("sender")
            {'Ann': 2}
        """
        if "limit" in self._parts:
            raise InvalidQuery("a selection with a limit is counted in groups", hint="Leave it out")
        return self._asked().group_count(self.to_query(), property)

    def update(self, **changes: Any) -> int:
        """Change properties of all that are selected, up to the limit, all or nothing.

        Args:
            **changes: values by property name; `DELETE` as a value removes the property. They are
                checked as the class's objects are, property by property: one that does not fit is
                refused, and nothing is written. Of a `NodeModel` so is a field that the class does
                not declare; validators of the whole model are not asked, nor are subclasses that
                declare a field anew.

        Returns:
            How many there were.

        Raises:
            InvalidInput: a value does not fit its field or cannot be stored, or the class has no
                such field.
            ReadOnly: it is asked of a snapshot.
            Conflict: others changed them time and again.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> Message.where(Message.content.in_(["a", "b"])).on(db).update(read=True)
            2
        """
        checked = self._check(changes)
        return self._written(
            lambda db, query: db.update_matching(query, checked),
            lambda tx, id: tx.update_node(id, checked),
        )

    def delete(self) -> int:
        """Delete all that are selected, up to the limit, with what was derived from them.

        It is all or nothing.

        Returns:
            How many there were.

        Raises:
            ReadOnly: it is asked of a snapshot.
            Conflict: others changed them time and again.

        Examples:
            >>> from embedded_db import Message
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> Message.where(Message.content == "b").on(db).delete(), db.count("Message")
            (1, 2)
        """
        return self._written(
            lambda db, query: db.delete_matching(query),
            lambda tx, id: tx.delete_node(id),
        )

    def _is_a_whole_set(self) -> bool:
        return not {"limit", "semantic_query", "text_query"} & self._parts.keys()

    def _written(
        self,
        change_set: "Callable[[EmbeddedDB, ConvergedQuery], int]",
        change_one: "Callable[[Transaction, str], None]",
    ) -> int:
        from ..transaction import Transaction, run

        def change_each(tx: Transaction) -> int:
            ids = [node.id for node in self._selected(cast("Owner", tx))]
            for id in ids:
                if tx.get_node(id) is not None:  # it may have gone with another
                    change_one(tx, id)
            return len(ids)

        owner = self._asked()
        if isinstance(owner, Transaction):
            with owner._step():
                return change_each(owner)
        database = owner._database("changing a selection")
        if self._is_a_whole_set():
            return change_set(database, self.to_query())
        return run(database, change_each, own=True)

    def _asked(self) -> Owner:
        return self._owner or cast("Owner", only_open())

    def __repr__(self) -> str:
        parts: Mapping[str, Any] = self._parts
        shown = "".join(f", {name}={value!r:.80}" for name, value in parts.items())
        return f"<Selection of {self._label}{shown}>"


def _pages(owner: Owner, query: ConvergedQuery) -> Iterator[Node]:
    after = None
    while True:
        results = owner.execute_query(query, after=after)
        after = results.cursor
        yield from results._raw_nodes()
        if after is None:
            return


NONE_OPEN: Final = "no database is open"


def only_open() -> "EmbeddedDB":
    """Give the one handle that is open in this process.

    Raises:
        InvalidInput: there is none, or there are several: guessing might show one user's
            memory to another.
    """
    from ..database import open_handles

    handles = open_handles()
    if len(handles) == 1:
        return handles[0]
    problem = f"{len(handles)} database handles are open" if handles else NONE_OPEN
    raise InvalidInput(f"{problem}, so it is not clear which to ask", hint="Say it with .on(db)")
