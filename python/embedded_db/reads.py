"""Reading: what a database and a snapshot have in common."""

from __future__ import annotations  # those of inner functions would be evaluated at every call

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from ._native import Edge, Embedding, Node
from ._native import Snapshot as NativeSnapshot
from ._native import _Reads as NativeReads
from .analytics import MAX_VISITED, Analytics
from .arguments import names_argument
from .checks import direction as native_direction
from .checks import flag
from .errors import InvalidInput, shown
from .models import AnyNode, Entity, IdLike, Owner, entities_of, id_of, wrap, wrap_all
from .models.owner import Held
from .querying import Asked

__all__ = ["Pages", "Path", "Reads", "Visit"]

T = TypeVar("T")

Page = tuple[list[T], str | None]

PAGE: Final = 512


class Pages(Iterator[T], Generic[T]):
    """An iterator that reads page by page.

    Attributes:
        cursor: where to go on (as ``after=`` of the call that gave this iterator) when it is
            exhausted; None when there is nothing further.
    """

    __slots__ = ("_left", "_page", "_read", "_release", "cursor")

    def __init__(
        self,
        page: Sequence[T],
        cursor: str | None,
        read: Callable[[str, int], tuple[Sequence[T], str | None]] | None = None,
        left: int | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.cursor = cursor
        self._page = iter(page)
        self._read = read
        self._left = left
        self._release = release

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        for item in self._page:
            return item
        if self._read is None:
            raise StopIteration
        if self.cursor is None or self._left == 0:
            self._end()
            raise StopIteration
        wanted = PAGE if self._left is None else min(PAGE, self._left)
        page, self.cursor = self._read(self.cursor, wanted)
        if self._left is not None:
            self._left -= len(page)
        self._page = iter(page)
        return self.__next__()

    def _end(self) -> None:
        self._read = None
        if self._release is not None:
            self._release()


class Visit(NamedTuple):
    """One node of a traversal and its distance from the start, in hops.

    Attributes:
        node: the node.
        depth: hops from the start.

    Examples:
        >>> one, two = db.create_chat().add_messages([{"content": "one"}, {"content": "two"}])
        >>> [(visit.node.content, visit.depth) for visit in db.traverse(one, "NEXT")]
        [('one', 0), ('two', 1)]
    """

    node: AnyNode
    depth: int


@dataclass(frozen=True, slots=True)
class Path:
    """A path through the graph.

    Attributes:
        nodes: the nodes from start to end, n of them.
        edges: the edges between them, n - 1; an edge may be followed against its direction.
        cost: the number of its edges; the sum of their weights if these were asked for.

    Examples:
        >>> one, two = db.create_chat().add_messages([{"content": "one"}, {"content": "two"}])
        >>> path = db.find_shortest_path(one, two)
        >>> [node.content for node in path.nodes], [edge.type for edge in path.edges], path.cost
        (['one', 'two'], ['NEXT'], 1.0)
    """

    nodes: list[AnyNode]
    edges: list[Edge]
    cost: float

    def __len__(self) -> int:
        return len(self.nodes)


class Reads(Analytics):
    """Reads of nodes, edges, embeddings and paths."""

    _native: NativeReads

    @abstractmethod
    def _pinned(self) -> tuple[NativeSnapshot, Callable[[], None] | None]:
        """Give a snapshot for reading several pages, and what releases it."""

    def _owner(self) -> Owner:
        return cast("Owner", self)

    def _asked(self) -> Asked:
        return self._native

    def _raw_node(self, id: str) -> Node | None:
        return self._native.get_node(id)

    def get_node(self, id: IdLike) -> AnyNode | None:
        """Read a node.

        Args:
            id: the id.

        Returns:
            A `Message`, `Chat`, `Entity` or `Summary` if the node is one, else a plain `Node`;
            None when there is no such node.

        Examples:
            >>> chat = db.create_chat(title="Trip")
            >>> db.get_node(chat.id).title, db.get_node("nobody")
            ('Trip', None)
        """
        node = self._native.get_node(id_of(id))
        return None if node is None else wrap(self._owner(), node)

    def get_many(self, ids: Iterable[IdLike]) -> list[AnyNode | None]:
        """Read many nodes in one step.

        Args:
            ids: the ids.

        Returns:
            The nodes in the order of the ids; None where there is none.

        Examples:
            >>> ids = db.create_nodes([{"label": "City", "properties": {"name": "Oslo"}}])
            >>> [node and node["name"] for node in db.get_many([*ids, "nowhere"])]
            ['Oslo', None]
        """
        found = self._native.get_many([id_of(id) for id in ids])
        made = iter(wrap_all(self._owner(), [node for node in found if node is not None]))
        return [None if node is None else next(made) for node in found]

    def exists(self, id: IdLike) -> bool:
        """Tell whether a node exists.

        Args:
            id: the id.

        Examples:
            >>> db.exists(db.create_chat()), db.exists("nobody")
            (True, False)
        """
        return self._native.exists(id_of(id))

    def count(self, label: str | None = None) -> int:
        """Count nodes.

        Args:
            label: only nodes with this label; all when left out.

        Examples:
            >>> _ = db.create_chat().add_message("Hello")
            >>> db.count("Message"), db.count()
            (1, 2)
        """
        return self._native.count(label)

    def count_edges(self, type: str | None = None) -> int:
        """Count edges.

        Args:
            type: only edges of this type; all when left out.

        Examples:
            >>> _ = db.create_chat().add_messages([{"content": "one"}, {"content": "two"}])
            >>> db.count_edges("NEXT"), db.count_edges()
            (1, 3)
        """
        return self._native.count_edges(type)

    def nodes(self, label: str | None = None) -> Iterator[AnyNode]:
        """Iterate over nodes in the order they were made, reading page by page.

        What is iterated over is the state at the call: writes meanwhile do not show.

        Args:
            label: only nodes with this label; all when left out.

        Raises:
            SnapshotExpired: iterating took longer than ``max_snapshot_age``.

        Examples:
            >>> _ = db.create_chat().add_messages([{"content": "one"}, {"content": "two"}])
            >>> [message.content for message in db.nodes("Message")]
            ['one', 'two']
        """
        owner = self._owner()

        def read(source: NativeReads, after: str | None, limit: int) -> Page[AnyNode]:
            nodes = source.nodes_page(label, after, limit)
            cursor = nodes[-1].id if len(nodes) == limit else None
            return wrap_all(owner, nodes), cursor

        return self._pages(read, None, None)

    def neighbors(
        self,
        id: IdLike,
        type: str | Sequence[str] | None = None,
        direction: str = "out",
        limit: int | None = None,
        after: str | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Pages[AnyNode]:
        """Iterate over the nodes that edges lead to: by type, then oldest edge first.

        A node that several edges lead to comes once for each of them. What is iterated over is
        the state at the call: writes meanwhile do not show.

        Args:
            id: the node.
            type: one edge type or several; all when left out.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most nodes.
            after: the ``cursor`` of an earlier, exhausted iterator, to go on behind it.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction or the type is none, or a time has no time zone.
            SnapshotExpired: iterating took longer than ``max_snapshot_age``.

        Examples:
            >>> chat = db.create_chat()
            >>> _ = chat.add_messages([{"content": text} for text in "abc"])
            >>> page = db.neighbors(chat, type="CONTAINS", direction="out", limit=2)
            >>> [message.content for message in page]
            ['a', 'b']
            >>> [message.content for message in db.neighbors(chat, "CONTAINS", after=page.cursor)]
            ['c']
        """
        node, types, way = id_of(id), names_argument("type", type), native_direction(direction)
        owner = self._owner()

        def read(source: NativeReads, after: str | None, limit: int) -> Page[AnyNode]:
            page = source.neighbors_page(node, types, way, after, limit, valid_at, known_at)
            nodes, cursor = page
            return wrap_all(owner, nodes), cursor

        return self._pages(read, limit, after)

    def edges(
        self,
        id: IdLike,
        type: str | Sequence[str] | None = None,
        direction: str = "out",
        limit: int | None = None,
        after: str | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Pages[Edge]:
        """Iterate over the edges of a node: by type, then oldest first.

        What is iterated over is the state at the call: writes meanwhile do not show.

        Args:
            id: the node.
            type: one edge type or several; all when left out.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most edges.
            after: the ``cursor`` of an earlier, exhausted iterator, to go on behind it.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction or the type is none, or a time has no time zone.
            SnapshotExpired: iterating took longer than ``max_snapshot_age``.

        Examples:
            >>> chat = db.create_chat()
            >>> message = chat.add_message("Hello")
            >>> [(edge.type, edge.source == chat.id) for edge in db.edges(message, direction="in")]
            [('CONTAINS', True)]
        """
        node, types, way = id_of(id), names_argument("type", type), native_direction(direction)

        def read(source: NativeReads, after: str | None, limit: int) -> Page[Edge]:
            return source.edges_page(node, types, way, after, limit, valid_at, known_at)

        return self._pages(read, limit, after)

    def _messages(
        self, chat_id: str, after: str | None, limit: int | None, newest_first: bool
    ) -> Pages[AnyNode]:
        owner = self._owner()
        # Where the last page ended: a place is exact, also of a message that is there twice.
        ended: dict[str, int] = {}

        def read(source: NativeReads, after: str | None, wanted: int) -> Page[AnyNode]:
            place = None if after is None else ended.get(after)
            nodes, places, more = source.messages_page(chat_id, after, place, newest_first, wanted)
            ended.clear()
            if not more:
                return wrap_all(owner, nodes), None
            last = nodes[-1].id
            ended[last] = places[-1]
            return wrap_all(owner, nodes), last

        return self._pages(read, limit, after)

    def _hold(self, held: Held) -> Owner:
        return self._owner()

    def _pages(
        self,
        read: Callable[[NativeReads, str | None, int], Page[T]],
        limit: int | None,
        after: str | None,
    ) -> Pages[T]:
        """Read the first page; only when there are more of them, read all from one snapshot."""
        left, after = checked_limit(limit), checked_cursor(after)
        wanted = PAGE if left is None else min(PAGE, left)
        page, cursor = read(self._native, after, wanted)
        if cursor is None or left == wanted:
            return Pages(page, cursor)
        snapshot, release = self._pinned()
        page, cursor = read(snapshot, after, wanted)
        left = None if left is None else left - len(page)
        return Pages(page, cursor, lambda after, limit: read(snapshot, after, limit), left, release)

    def get_edge(
        self,
        id: IdLike,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Edge | None:
        """Read an edge.

        Args:
            id: the id of the edge.
            valid_at: only if it is true in the world then (a time with a time zone).
            known_at: as the database held it for true then; as it is now when left out.

        Returns:
            The edge; None when there is none, it was retracted, or was not true or not known
            then.

        Raises:
            InvalidInput: a time has no time zone.

        Examples:
            >>> ids = db.create_nodes([{"label": "Person"}, {"label": "City"}])
            >>> edge = db.create_edge({"source": ids[0], "target": ids[1], "type": "LIVES_IN"})
            >>> known = db.get_edge(edge).recorded_at
            >>> db.retract_edge(edge)
            >>> db.get_edge(edge) is None, db.get_edge(edge, known_at=known).type
            (True, 'LIVES_IN')
        """
        return self._native.get_edge(id_of(id), valid_at, known_at)

    def edge_history(self, id: IdLike) -> list[Edge]:
        """Give all that an edge ever said, as far as the database held it for true.

        A version was held for true from its ``recorded_at`` to its ``retracted_at``, when the
        next one took its place. What was changed again within the same microsecond, as in one
        transaction, left no version. Deleting an edge deletes its history.

        Args:
            id: the id of the edge, retracted or not.

        Returns:
            The versions, oldest first; the last is the present one, or the one that was retracted.

        Raises:
            NotFound: the edge does not exist.

        Examples:
            >>> ids = db.create_nodes([{"label": "Person"}, {"label": "City"}])
            >>> edge = db.create_edge({"source": ids[0], "target": ids[1], "type": "LIVES_IN"})
            >>> changed = db.update_edge(edge, {"weight": 0.5})
            >>> first, second = db.edge_history(edge)
            >>> first.weight, second.weight, first.retracted_at == second.recorded_at
            (1.0, 0.5, True)
        """
        return self._native.edge_history(id_of(id))

    def get_embedding_for_node(self, id: IdLike, space: str | None = None) -> Embedding | None:
        """Read the embedding of a whole node.

        For a long text, embedded in parts, it is the normalised mean of the parts.

        Args:
            id: the node.
            space: the embedding space; the default one when left out.

        Returns:
            The embedding, whose ``vector`` is a read-only float32[dim]; None when there is none.

        Raises:
            NotFound: the node or the space does not exist.

        Examples:
            >>> red = db.create_node({"label": "Colour"})
            >>> _ = db.set_embeddings([red], [[1, 0, 0]], space="rgb")
            >>> db.get_embedding_for_node(red, space="rgb").vector
            array([1., 0., 0.], dtype=float32)
        """
        return self._native.get_embedding_for_node(id_of(id), self._space(space))

    def get_embeddings_for_node(self, id: IdLike, space: str | None = None) -> list[Embedding]:
        """Read the embeddings of the parts of a node, in the order of the text.

        Args:
            id: the node.
            space: the embedding space; the default one when left out.

        Raises:
            NotFound: the node or the space does not exist.

        Examples:
            >>> red = db.create_node({"label": "Colour"})
            >>> _ = db.set_embeddings([red], [[1, 0, 0]], space="rgb")
            >>> [(each.part, each.dim) for each in db.get_embeddings_for_node(red, space="rgb")]
            [(0, 3)]
        """
        return self._native.get_embeddings_for_node(id_of(id), self._space(space))

    def _space(self, space: str | None) -> str | None:
        return self._default_space() if space is None else space

    def get_entities_mentioned_in(self, id: IdLike) -> list[Entity]:
        """Give the entities that a message mentions, as far as they have been recognised.

        Args:
            id: the message.

        Raises:
            NotFound: the node does not exist.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> message = woven.create_chat().add_message("Alice went to Paris")
            >>> woven.flush(timeout=30)
            >>> sorted(entity.label for entity in woven.get_entities_mentioned_in(message.id))
            ['Alice', 'Paris']
            >>> woven.close()
        """
        return entities_of(self._owner(), id_of(id))

    def find_shortest_path(
        self,
        start_id: IdLike,
        end_id: IdLike,
        edge_types: str | Sequence[str] | None = None,
        direction: str = "any",
        max_hops: int | None = None,
        weighted: bool = False,
        max_visited: int = MAX_VISITED,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Path | None:
        """Find a path of the fewest edges, or of the least weight.

        The former by breadth-first search from both ends, the latter by Dijkstra's algorithm.

        Args:
            start_id: where it begins.
            end_id: where it ends.
            edge_types: only edges of these types.
            direction: ``"out"``, ``"in"`` or ``"any"``, seen from the start.
            max_hops: most edges; any number when left out.
            weighted: whether the length of an edge is its ``weight``, 0 or more, instead of 1. Of
                paths of the same weight one with the fewest edges is given.
            max_visited: most nodes that the search may meet from either end.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            The path, or None when there is none.

        Raises:
            NotFound: one of the nodes does not exist.
            InvalidInput: the direction or a number is out of range, a weight is negative, or a
                time has no time zone.
            Timeout: more than ``max_visited`` nodes were met without an answer.

        Examples:
            >>> chat = db.create_chat()
            >>> one, two, three = chat.add_messages([{"content": text} for text in "abc"])
            >>> path = db.find_shortest_path(one, three, edge_types="NEXT")
            >>> [node.content for node in path.nodes]
            ['a', 'b', 'c']
            >>> db.find_shortest_path(three, one, edge_types="NEXT", direction="out") is None
            True
        """
        path = self._native.find_shortest_path(
            id_of(start_id),
            id_of(end_id),
            names_argument("edge_types", edge_types),
            native_direction(direction),
            max_hops,
            flag("weighted", weighted),
            max_visited,
            valid_at,
            known_at,
        )
        if path is None:
            return None
        owner = self._owner()
        return Path(wrap_all(owner, path.nodes), path.edges, path.cost)

    def traverse(
        self,
        start: IdLike,
        edge_types: str | Sequence[str] | None = None,
        direction: str = "out",
        max_depth: int = 3,
        depth_first: bool = False,
        limit: int = 10_000,
        max_visited: int = MAX_VISITED,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Iterator[Visit]:
        """Walk the graph from a node, each node once, the start (depth 0) first.

        Args:
            start: where to begin.
            edge_types: only edges of these types.
            direction: ``"out"``, ``"in"`` or ``"any"``.
            max_depth: most hops from the start.
            depth_first: depth first instead of breadth first.
            limit: most nodes to give.
            max_visited: most nodes that the walk may meet.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database held them for true then; as they are now when
                left out.

        Returns:
            An iterator over (node, depth).

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction or a number is out of range, or a time has no time zone.
            Timeout: more than ``max_visited`` nodes were met before the walk was complete.

        Examples:
            >>> one, *_ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> [node.content for node, depth in db.traverse(one, edge_types="NEXT", max_depth=1)]
            ['a', 'b']
        """
        nodes, depths = self._native.traverse(
            id_of(start),
            names_argument("edge_types", edge_types),
            native_direction(direction),
            max_depth,
            depth_first,
            limit,
            max_visited,
            valid_at,
            known_at,
        )
        return map(Visit, wrap_all(self._owner(), nodes), depths)


def with_space(embedding: object, space: str | None) -> dict[str, Any]:
    """Give an embedding's dict a space, if it names none and there is a default one."""
    if space is not None and isinstance(embedding, Mapping):
        return {"space": space, **embedding}
    return cast("dict[str, Any]", embedding)  # what is no dict is refused by native code


def checked_cursor(after: object) -> str | None:
    """Take where an earlier iterator ended, or None for the beginning.

    Raises:
        InvalidInput: it is neither.
    """
    if after is None or isinstance(after, str):
        return after
    raise InvalidInput(
        f"after is {shown(after)}", hint="Give the cursor of an earlier iterator, or None"
    )


def checked_limit(limit: object) -> int | None:
    """Take a number of items, or None for all.

    Raises:
        InvalidInput: it is negative or no number.
    """
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidInput(
            f"limit is {shown(limit)}", hint="It has to be 1 or more, or None for all"
        )
    return limit
