"""The private native module. Only modules of this package import it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Literal, ParamSpec, Self, TypeVar, final

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

__all__ = [
    "Cancel",
    "Cancelled",
    "Cursor",
    "Database",
    "Edge",
    "Embedding",
    "Graph",
    "Hit",
    "Hits",
    "Ids",
    "Node",
    "Path",
    "Snapshot",
    "Step",
    "Transaction",
    "_Reads",
    "__version__",
    "_shift_clock",
    "check_text_query",
    "doctor",
    "repair",
    "restore_backup",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

__version__: Final[str]

def _shift_clock(by: int) -> None:
    """Set the clock of this process forward by so many microseconds, or back: for tests."""

class Cancelled(BaseException):
    """Ends a call whose task was cancelled."""

@final
class Cancel:
    """Runs a call, and may end it from another thread.

    The call ends with the exception `Cancelled` at its next native step, once: what it does
    afterwards to leave things in order goes on undisturbed.
    """

    def __new__(cls) -> Self: ...
    @property
    def cancelled(self) -> bool: ...
    def cancel(self) -> None: ...
    def run(self, function: Callable[_P, _R], /, *arguments: _P.args, **named: _P.kwargs) -> _R: ...

def check_text_query(query: str) -> None:
    """Refuse a text that is no query in the syntax of ``text_query["query"]``."""

def restore_backup(
    backup: str, directory: str, progress: Callable[[int, int], None] | None
) -> dict[str, Any]: ...
def repair(path: str, to: str, progress: Callable[[int, int], None] | None) -> dict[str, Any]: ...
def doctor(path: str) -> list[tuple[str, str, str, str, dict[str, Any]]]: ...

@final
class Node:
    """A stored node as one snapshot saw it; properties are decoded when asked for.

    Examples:
        >>> id = db.create_node({"label": "Person", "properties": {"name": "Ann"}})
        >>> node = db.get_node(id)
        >>> node.labels, node.properties, node["name"], node.get("age", 0)
        (['Person'], {'name': 'Ann'}, 'Ann', 0)
        >>> node.id == id, node.version, node.updated_at == node.created_at, node.derived
        (True, 1, True, False)
        >>> node.expires_at is None
        True
    """

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    @property
    def id(self) -> str:
        """The id."""
    @property
    def labels(self) -> list[str]:
        """The labels, in the order they were given."""
    @property
    def properties(self) -> dict[str, Any]:
        """All properties."""
    @property
    def created_at(self) -> datetime:
        """When it was made (UTC)."""
    @property
    def updated_at(self) -> datetime:
        """When a user last changed it (UTC)."""
    @property
    def expires_at(self) -> datetime | None:
        """When it expires (UTC); None when it does not."""
    @property
    def version(self) -> int:
        """1 at creation, one more at each change by a user."""
    @property
    def derived(self) -> bool:
        """Whether the database made it by itself."""
    def get(self, key: str, default: Any = None) -> Any:
        """The value of a property, or `default`.

        Args:
            key: the name of the property.
            default: what to give when there is none of this name.
        """
    def __getitem__(self, key: str, /) -> Any: ...
    def __contains__(self, key: str, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Edge:
    """A stored edge as one snapshot saw it; properties are decoded when asked for.

    Examples:
        >>> from datetime import UTC, datetime
        >>> ann, oslo = db.create_nodes([{"label": "Person"}, {"label": "City"}])
        >>> id = db.create_edge({
        ...     "source": ann, "target": oslo, "type": "LIVES_IN", "properties": {"floor": 3},
        ...     "valid_from": datetime(2020, 1, 1, tzinfo=UTC), "sources": ["letter"],
        ... })
        >>> edge = db.get_edge(id)
        >>> edge.type, edge.source == ann, edge.target == oslo, edge.weight, edge.sources
        ('LIVES_IN', True, True, 1.0, ['letter'])
        >>> edge.properties, edge["floor"], edge.get("street", "unknown")
        ({'floor': 3}, 3, 'unknown')
        >>> edge.valid_from.year, edge.valid_to, edge.retracted_at
        (2020, None, None)
        >>> edge.id == id, edge.version, edge.derived, edge.recorded_at.tzname()
        (True, 1, False, 'UTC')
    """

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    @property
    def id(self) -> str:
        """The id."""
    @property
    def source(self) -> str:
        """Id of the node where it begins."""
    @property
    def target(self) -> str:
        """Id of the node where it ends."""
    @property
    def type(self) -> str:
        """The type."""
    @property
    def properties(self) -> dict[str, Any]:
        """All properties."""
    @property
    def weight(self) -> float:
        """The weight."""
    @property
    def valid_from(self) -> datetime | None:
        """True in the world from here on."""
    @property
    def valid_to(self) -> datetime | None:
        """True in the world until here."""
    @property
    def recorded_at(self) -> datetime:
        """Believed by the database from here on."""
    @property
    def retracted_at(self) -> datetime | None:
        """Believed by the database until here."""
    @property
    def sources(self) -> list[str]:
        """Ids of what it was derived from."""
    @property
    def version(self) -> int:
        """1 at creation, one more at each change by a user."""
    @property
    def derived(self) -> bool:
        """Whether the database made it by itself."""
    def get(self, key: str, default: Any = None) -> Any:
        """The value of a property, or `default`.

        Args:
            key: the name of the property.
            default: what to give when there is none of this name.
        """
    def __getitem__(self, key: str, /) -> Any: ...
    def __contains__(self, key: str, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Embedding:
    """One stored vector: of a whole node, or of one part of a long text.

    Examples:
        >>> red = db.create_node({"label": "Colour"})
        >>> id = db.create_embedding({"node_id": red, "vector": [1.0, 0.0, 0.0], "space": "rgb"})
        >>> embedding = db.get_embedding(id)
        >>> embedding.vector, embedding.dim, embedding.space
        (array([1., 0., 0.], dtype=float32), 3, 'rgb')
        >>> embedding.id == id, embedding.node_id == red, embedding.part, embedding.set_by_user
        (True, True, 0, True)
        >>> embedding.model, embedding.created_at.tzname()
        ('', 'UTC')
    """

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    @property
    def id(self) -> str:
        """The id."""
    @property
    def node_id(self) -> str:
        """Id of the node."""
    @property
    def vector(self) -> npt.NDArray[np.float32]:
        """The numbers, read-only."""
    @property
    def space(self) -> str:
        """Name of the space."""
    @property
    def model(self) -> str:
        """The model of its space; empty when there is none, and users alone set its vectors."""
    @property
    def dim(self) -> int:
        """Number of dimensions."""
    @property
    def part(self) -> int:
        """Which part of a long text it is of, from 0; 0 for a whole node."""
    @property
    def set_by_user(self) -> bool:
        """Whether a user set it: then the weaver leaves it alone."""
    @property
    def created_at(self) -> datetime:
        """When it was made (UTC)."""
    def __len__(self) -> int: ...
    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]: ...

@final
class Path:
    """A path through the graph: n nodes, n - 1 edges, and its cost."""

    @property
    def nodes(self) -> list[Node]: ...
    @property
    def edges(self) -> list[Edge]: ...
    @property
    def cost(self) -> float: ...
    def __len__(self) -> int: ...

@final
class Graph:
    """A graph as it was at one instant."""

    @property
    def ids(self) -> Ids: ...
    def pagerank(
        self,
        direction: str,
        weights: Sequence[float] | None,
        damping: float,
        max_iterations: int,
        tolerance: float,
    ) -> npt.NDArray[np.float64]: ...
    def components(self) -> npt.NDArray[np.uint32]: ...
    def communities(
        self, resolution: float, seed: int, max_iterations: int
    ) -> tuple[npt.NDArray[np.uint32], float]: ...
    def label_propagation(self, max_iterations: int) -> npt.NDArray[np.uint32]: ...
    def degrees(self, direction: str) -> npt.NDArray[np.float64]: ...
    def triangles(self) -> npt.NDArray[np.uint64]: ...
    def clustering(self, directed: bool) -> npt.NDArray[np.float64]: ...
    def cores(self) -> npt.NDArray[np.uint32]: ...
    def distances(self, direction: str) -> npt.NDArray[np.float64]: ...

@final
class Ids:
    """The ids of the nodes of a graph, by number."""

    def number(self, id: str) -> int | None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> str: ...

@final
class Hit:
    """One result of a query with each leg's raw score and rank."""

    @property
    def node(self) -> Node: ...
    @property
    def text(self) -> str | None: ...
    @property
    def highlights(self) -> list[tuple[str, int | None, str, list[tuple[int, int]]]]: ...
    @property
    def score(self) -> float: ...
    @property
    def similarity_score(self) -> float | None: ...
    @property
    def text_score(self) -> float | None: ...
    @property
    def graph_distance(self) -> int | None: ...
    @property
    def ranks(self) -> dict[str, int]: ...
    @property
    def shares(self) -> dict[str, float]: ...

@final
class Cursor:
    """Where the results of a query go on, in the state that it saw."""

@final
class Hits:
    """The results of a query, best first."""

    @property
    def pending(self) -> int: ...
    @property
    def plan(self) -> dict[str, Any] | None: ...
    @property
    def cursor(self) -> Cursor | None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Hit: ...
    def __iter__(self) -> Iterator[Hit]: ...

@disjoint_base
class _Reads:
    """Reads of a namespace: of what is committed at the call, or of one instant."""

    def _panic_for_test(self, released: bool) -> None: ...
    # nodes
    def get_node(self, id: str) -> Node | None: ...
    def get_many(self, ids: Sequence[str]) -> list[Node | None]: ...
    def exists(self, id: str) -> bool: ...
    def count(self, label: str | None = None) -> int: ...
    def count_edges(self, type: str | None = None) -> int: ...
    def nodes_page(self, label: str | None, after: str | None, limit: int) -> list[Node]: ...
    # edges
    def get_edge(
        self, id: str, valid_at: datetime | None = None, known_at: datetime | None = None
    ) -> Edge | None: ...
    def edge_history(self, id: str) -> list[Edge]: ...
    def edges_ever(self, after: str | None, limit: int) -> list[Edge]: ...
    def due(self, ids: Sequence[str]) -> list[list[str]]: ...
    def declared_labels(self) -> list[tuple[str, list[str], list[str]]]: ...
    def edges_page(
        self,
        id: str,
        types: Sequence[str] | None,
        direction: str,
        after: str | None,
        limit: int,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> tuple[list[Edge], str | None]: ...
    def neighbors_page(
        self,
        id: str,
        types: Sequence[str] | None,
        direction: str,
        after: str | None,
        limit: int,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> tuple[list[Node], str | None]: ...
    # embeddings
    def messages_page(
        self,
        chat_id: str,
        after: str | None,
        place: int | None,
        newest_first: bool,
        limit: int,
    ) -> tuple[list[Node], list[int], bool]: ...
    def place_in_chat(self, chat_id: str, message: str) -> int | None: ...
    def get_embedding(self, id: str) -> Embedding | None: ...
    def get_embedding_for_node(self, id: str, space: str | None = None) -> Embedding | None: ...
    def get_embeddings_for_node(self, id: str, space: str | None = None) -> list[Embedding]: ...
    # queries
    def query(self, query: dict[str, Any], after: Cursor | None = None) -> Hits: ...
    def count_matching(self, query: dict[str, Any]) -> int: ...
    def group_count(self, query: dict[str, Any], property: str) -> dict[Any, int]: ...
    def search(self, search: dict[str, Any]) -> tuple[Hits, dict[str, Any]]: ...
    def traverse(
        self,
        start: str,
        types: Sequence[str] | None,
        direction: str,
        max_depth: int,
        depth_first: bool,
        limit: int,
        max_visited: int,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> list[tuple[Node, int]]: ...
    def find_shortest_path(
        self,
        start: str,
        end: str,
        types: Sequence[str] | None,
        direction: str,
        max_hops: int | None,
        weighted: bool,
        max_visited: int,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Path | None: ...
    def graph(
        self,
        labels: Sequence[str] | None,
        types: Sequence[str] | None,
        starts: Sequence[str],
        weighted: bool,
        max_visited: int,
        timeout: float | None,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Graph: ...
    def subgraph(
        self,
        ids: Sequence[str],
        hops: int,
        types: Sequence[str] | None,
        direction: str,
        max_visited: int,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> tuple[list[Node], list[Edge]]: ...

@final
class Snapshot(_Reads):
    """Reads of one instant."""

    @property
    def lsn(self) -> int: ...
    def close(self) -> None: ...

@final
class Transaction:
    """Buffered writes over a pinned snapshot, checked and applied at commit."""

    def create_node(self, node: dict[str, Any]) -> str: ...
    def get_node(self, id: str) -> Node | None: ...
    def update_node(self, id: str, updates: dict[str, Any]) -> None: ...
    def set_ttl(self, id: str, ttl: float | timedelta | None) -> None: ...
    def delete_node(self, id: str) -> None: ...
    def create_edge(self, edge: dict[str, Any]) -> str: ...
    def get_edge(self, id: str) -> Edge | None: ...
    def update_edge(self, id: str, updates: dict[str, Any]) -> None: ...
    def supersede_edge(self, id: str, edge: dict[str, Any]) -> str: ...
    def retract_edge(self, id: str) -> None: ...
    def delete_edge(self, id: str) -> None: ...
    def create_embedding(self, embedding: dict[str, Any]) -> str: ...
    def get_embedding_for_node(self, id: str, space: str | None = None) -> Embedding | None: ...
    def delete_embedding(self, id: str) -> None: ...
    def neighbors(
        self,
        id: str,
        types: Sequence[str] | None,
        direction: str,
        after: str | None,
        limit: int,
        valid_at: datetime | None,
        known_at: datetime | None,
    ) -> tuple[list[Node], str | None]: ...
    def edges_between(self, id: str, far: str, edge_type: str, direction: str) -> list[str]: ...
    def query(self, query: dict[str, Any], after: Cursor | None = None) -> Hits: ...
    def search(self, search: dict[str, Any]) -> tuple[Hits, dict[str, Any]]: ...
    def count_matching(self, query: dict[str, Any]) -> int: ...
    def group_count(self, query: dict[str, Any], property: str) -> dict[Any, int]: ...
    def create_chat(self, chat: dict[str, Any]) -> Node: ...
    def add_message(self, chat_id: str, message: dict[str, Any], must_exist: bool) -> Node: ...
    def add_messages(
        self, chat_id: str, messages: Sequence[dict[str, Any]], must_exist: bool
    ) -> list[Node]: ...
    def messages(
        self, chat_id: str, after: str | None, newest_first: bool, limit: int
    ) -> list[Node]: ...
    def written_nodes(self) -> list[str]: ...
    def step(self) -> Step: ...
    def commit(
        self, nodes: Sequence[Node], edges: Sequence[Edge]
    ) -> tuple[list[Node | None], list[Edge | None]]: ...
    def rollback(self) -> None: ...

@final
class Step:
    """Writes that are undone together when one fails; other threads wait for its end."""

    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

@final
class Database(_Reads):
    """A handle on one namespace of an open database."""

    @staticmethod
    def open(
        path: str,
        options: dict[str, Any],
        functions: object | None,
        previous: object | None,
    ) -> Database: ...
    @property
    def path(self) -> str: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def namespace_name(self) -> str: ...
    def close(self) -> None: ...
    def namespace(self, name: str) -> Database: ...
    def changes_after(
        self, after: int | None, labels: str | Sequence[str] | None
    ) -> tuple[
        list[
            tuple[
                int,
                Literal["node", "edge", "embedding", "namespace"],
                Literal["put", "delete"],
                str,
                int,
                list[str],
            ]
        ],
        int,
        int,
    ]: ...
    def namespaces(self) -> list[str]: ...
    def drop_namespace(self, name: str) -> None: ...
    def noop(self) -> None: ...
    def snapshot(self) -> Snapshot: ...
    def transaction(self) -> Transaction: ...
    # nodes
    def create_node(self, node: dict[str, Any]) -> str: ...
    def create_nodes(self, nodes: Sequence[dict[str, Any]]) -> list[str]: ...
    def create_bare_nodes(self, nodes: Sequence[dict[str, Any]]) -> list[str]: ...
    def update_node(
        self, id: str, updates: dict[str, Any], expected: Node | None = None
    ) -> Node: ...
    def set_ttl(self, id: str, ttl: float | timedelta | None) -> Node: ...
    def set_expires_at(self, id: str, expires_at: datetime | None) -> Node: ...
    def delete_node(self, id: str) -> None: ...
    def merge_entities(self, id: str, other: str) -> Node: ...
    def split_entity(self, id: str, name: str) -> Node: ...
    def update_matching(self, query: dict[str, Any], updates: dict[str, Any]) -> int: ...
    def delete_matching(self, query: dict[str, Any]) -> int: ...
    # edges
    def create_edge(self, edge: dict[str, Any]) -> str: ...
    def create_edges(self, edges: Sequence[dict[str, Any]]) -> list[str]: ...
    def update_edge(self, id: str, updates: dict[str, Any]) -> Edge: ...
    def supersede_edge(self, id: str, edge: dict[str, Any]) -> str: ...
    def retract_edge(self, id: str) -> None: ...
    def delete_edge(self, id: str) -> None: ...
    # embeddings
    def create_embedding(self, embedding: dict[str, Any]) -> str: ...
    def update_embedding(self, id: str, vector: npt.ArrayLike) -> Embedding: ...
    def delete_embedding(self, id: str) -> None: ...
    def set_embeddings(
        self, ids: Sequence[str], vectors: npt.NDArray[np.float32], space: str | None = None
    ) -> list[str]: ...
    def spaces(self) -> list[dict[str, Any]]: ...
    def drop_space(self, name: str) -> None: ...
    # indexes
    def create_index(self, label: str, property: str, unique: bool) -> dict[str, Any]: ...
    def drop_index(self, label: str, property: str) -> None: ...
    def declare_label(self, label: str, text: Sequence[str], embed: Sequence[str]) -> None: ...
    def indexes(self) -> list[dict[str, Any]]: ...
    # what was stored before
    def restore_space(self, space: dict[str, Any], default: bool) -> bool: ...
    def restore_nodes(self, nodes: Sequence[dict[str, Any]], skip: bool) -> int: ...
    def restore_edges(self, edges: Sequence[dict[str, Any]], skip: bool) -> int: ...
    def restore_embeddings(self, embeddings: Sequence[dict[str, Any]], skip: bool) -> int: ...
    def restore_expiries(self, expiries: Sequence[dict[str, Any]]) -> None: ...
    def restore_due(self, due: Sequence[dict[str, Any]]) -> None: ...
    # chats
    def create_chat(self, chat: dict[str, Any]) -> Node: ...
    def add_message(self, chat_id: str, message: dict[str, Any], must_exist: bool) -> Node: ...
    def add_messages(
        self, chat_id: str, messages: Sequence[dict[str, Any]], must_exist: bool
    ) -> list[Node]: ...
    # weaver
    def weaver_status(self) -> dict[str, Any]: ...
    def set_activity_level(self, level: str) -> None: ...
    def artefact_status(self, id: str) -> dict[str, tuple[str, str | None]]: ...
    def wait_idle(self, timeout: float | None) -> bool: ...
    def wait_for(self, id: str, artefact: str, timeout: float | None) -> bool: ...
    def failures(self) -> list[dict[str, Any]]: ...
    def retry_failed(self) -> int: ...
    def pause_weaver(self) -> None: ...
    def resume_weaver(self) -> None: ...
    # operations
    def stats(self) -> dict[str, Any]: ...
    def logical_hash(self) -> str: ...
    def backup(
        self, directory: str, progress: Callable[[int, int], None] | None
    ) -> dict[str, Any]: ...
    def compact(self, progress: Callable[[int, int], None] | None) -> tuple[int, int]: ...
    def scrub(self, progress: Callable[[int, int], None] | None) -> tuple[int, int]: ...
    def verify(self, deep: bool) -> dict[str, Any]: ...
