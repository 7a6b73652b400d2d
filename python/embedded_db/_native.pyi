"""The private native module. Only modules of this package import it."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import (
    Any,
    Final,
    Literal,
    ParamSpec,
    Self,
    SupportsIndex,
    TypedDict,
    TypeVar,
    Unpack,
    final,
    overload,
    type_check_only,
)

import numpy as np
import numpy.typing as npt
import pyarrow
from typing_extensions import disjoint_base

from .intuition import IntuitionStats

__all__ = [
    "AXIS_ANCHORS",
    "Access",
    "Bus",
    "Caller",
    "Cancel",
    "Cancelled",
    "Cursor",
    "Database",
    "DeadLetter",
    "Delivery",
    "Edge",
    "Embedding",
    "Graph",
    "Hit",
    "Hits",
    "Ids",
    "Intuition",
    "Network",
    "Node",
    "Path",
    "Server",
    "Snapshot",
    "Step",
    "Subscription",
    "Token",
    "TokenArray",
    "TokenIterator",
    "Transaction",
    "VectorIndex",
    "_Reads",
    "__version__",
    "_shift_clock",
    "ask_caller",
    "best",
    "best_of_codes",
    "best_of_halves",
    "calls_end",
    "calls_refuse",
    "check_text_query",
    "compare",
    "doctor",
    "kinds_of",
    "logs_begin",
    "logs_end",
    "logs_flush",
    "logs_level",
    "normalize",
    "quantize",
    "read_blackbox",
    "repair",
    "restore_backup",
    "work_for",
    "works_for",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

AXIS_ANCHORS: Final[list[list[str]]]
__version__: Final[str]

def _shift_clock(by: int) -> None:
    """Set the clock of this process forward by so many microseconds, or back: for tests."""

def work_for(weaver: int) -> None:
    """This thread calls model functions in the place of a weaver's."""

def kinds_of(nodes: list[Node]) -> list[int]: ...
def works_for() -> int:
    """The number of the weaver that this thread works for; 0 if it works for none."""

def logs_begin(deliver: Callable[[list[Any], int], object]) -> None:
    """Have records of native code delivered, with the number of those that found no room."""

def logs_level(level: str | None) -> None:
    """Set the least level that is delivered; None for nothing."""

def logs_flush(timeout: float) -> bool:
    """Wait until what has happened is delivered; False when time ran out."""

def logs_end() -> None:
    """Deliver what there is, and nothing more."""

def calls_refuse() -> None:
    """Let no thread but the calling one begin a call from now on."""

def calls_end(timeout: float) -> bool:
    """Wait until no thread is in a call outside of the interpreter; False when time ran out."""

def ask_caller(ask: Callable[[], Caller | None]) -> None:
    """Have calls ask for the trace that they are a part of."""

@final
class Caller:
    """A span of another program."""

    @staticmethod
    def parse(header: str) -> Caller | None: ...

def compare(
    metric: str, queries: npt.NDArray[np.float32], rows: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32] | None:
    """Scores of rows, an array of them for each query."""

def best(
    metric: str, query: npt.NDArray[np.float32], rows: npt.NDArray[np.float32], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """The best rows for one query."""

def best_of_halves(
    metric: str, query: npt.NDArray[np.float32], rows: npt.NDArray[np.uint16], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """The best of rows of 16-bit floats, given as whole numbers."""

def best_of_codes(
    metric: str,
    kind: str,
    dim: int,
    query: tuple[npt.NDArray[np.uint8], float, float],
    codes: npt.NDArray[np.uint8],
    scales: npt.NDArray[np.float32],
    norms: npt.NDArray[np.float32],
    k: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The best rows of codes; a row of the query's codes, its scale and its length."""

def normalize(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Rows of length 1."""

def quantize(
    rows: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Rows as int8 codes, 128 added to each, with the scale and the length of each row.

    None: a row that no code can stand for.
    """

@final
class VectorIndex:
    """Vectors in memory, linked."""

    def __new__(cls, dim: int, metric: str, links: int, threads: int) -> Self: ...
    @staticmethod
    def load(path: str, threads: int) -> VectorIndex: ...
    def save(self, path: str) -> None: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def links(self) -> int: ...
    def count(self) -> int: ...
    def contains(self, id: int) -> bool: ...
    def add(
        self, vectors: npt.NDArray[np.float32], ids: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.int64] | None: ...
    def remove(self, ids: npt.NDArray[np.int64]) -> None: ...
    def search(
        self,
        query: npt.NDArray[np.float32],
        k: int,
        recall: float,
        filter: npt.NDArray[np.int64] | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None: ...
    def search_batch(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        recall: float,
        filter: npt.NDArray[np.int64] | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None: ...

@final
class Bus:
    """Channels in this process, and a log."""

    def __new__(
        cls,
        path: str | None,
        capacity: int,
        overflow: str,
        ageing: int,
        ack_deadline: int,
        max_attempts: int,
        durability: str,
    ) -> Self: ...
    def publish(
        self,
        channel: str,
        kind: int,
        body: bytes,
        priority: int,
        ttl: int | None,
        key: str | None,
        reply_to: str | None,
        timeout: float | None,
    ) -> int:
        """Publishes one message; its number. Waits for room."""

    def publish_batch(
        self,
        channel: str,
        bodies: list[tuple[int, bytes]],
        priority: int,
        ttl: int | None,
        keys: list[str | None] | None,
        timeout: float | None,
    ) -> list[int]:
        """Publishes many, in their order; their numbers. Waits for room."""

    def try_publish_batch(
        self,
        channel: str,
        bodies: list[tuple[int, bytes]],
        priority: int,
        ttl: int | None,
        keys: list[str | None] | None,
        reply_to: str | None,
    ) -> tuple[list[int], Subscription | None]:
        """Publishes as many as there is room for at once: their numbers, and what is full."""

    def subscribe(self, pattern: str, group: str) -> Subscription: ...
    def unsubscribe(self, pattern: str, group: str) -> bool: ...
    def subscriptions(self) -> list[Subscription]: ...
    def unclaimed(self) -> int: ...
    def new_own_channel(self) -> str: ...
    @property
    def is_durable(self) -> bool: ...
    def close(self) -> None: ...

@final
class Subscription:
    """A pattern of channels and a group."""

    @property
    def pattern(self) -> str: ...
    @property
    def group(self) -> str: ...
    def take(self, limit: int, timeout: float | None) -> list[Delivery]:
        """Up to so many messages; none when the time is over. Waits for ever without one."""

    def ack(self, deliveries: Sequence[Delivery]) -> int:
        """Acknowledges deliveries of this subscription; how many were still this consumer's."""

    def release(self, deliveries: Sequence[Delivery]) -> int:
        """Gives back deliveries that nobody has looked at."""

    def next_due(self) -> float | None:
        """In how many seconds something may come without anybody doing anything."""

    def call_when_arrived(self, callback: Callable[[], object]) -> int: ...
    def leave_arrivals(self, number: int) -> None: ...
    def call_when_room(self, callback: Callable[[], object]) -> int: ...
    def leave_room(self, number: int) -> None: ...
    def dead_letters(self) -> list[DeadLetter]: ...
    def retry_dead_letters(self) -> int: ...
    def discard_dead_letters(self) -> int: ...
    def counts(self) -> dict[str, int]: ...

@final
class Delivery:
    """A message that was given to a consumer."""

    @property
    def id(self) -> int: ...
    @property
    def channel(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def priority(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def published(self) -> int:
        """Microseconds since 1970."""

    @property
    def kind(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def reply_to(self) -> str | None: ...
    def ack(self) -> bool: ...
    def nack(self, delay: int, reason: str) -> bool: ...

@final
class DeadLetter:
    """A message that nobody acknowledged."""

    @property
    def id(self) -> int: ...
    @property
    def channel(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def priority(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def published(self) -> int:
        """Microseconds since 1970."""

    @property
    def kind(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def reason(self) -> str: ...

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

_Event = tuple[int, datetime, float | None, int, int, str, str, str, int, int]

def read_blackbox(path: str) -> list[_Event]: ...
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
class Network:
    """A network; one call at a time is in it."""

    def __new__(
        cls,
        neurons: int,
        synapse_capacity: int,
        ledger_window: int,
        seed: int,
        threads: int,
    ) -> Self: ...
    @staticmethod
    def load(bytes: builtins.bytes, path: str, threads: int) -> Network: ...
    def save(self) -> builtins.bytes: ...
    def add_neurons(
        self,
        thresholds: npt.NDArray[np.float32],
        leak_rates: npt.NDArray[np.float32],
        refractory_periods: npt.NDArray[np.uint16],
        excitabilities: npt.NDArray[np.float32],
        areas: npt.NDArray[np.uint32],
        coordinates: npt.NDArray[np.float32],
    ) -> int: ...
    def set_areas(self, neurons: npt.NDArray[np.uint32], areas: npt.NDArray[np.uint32]) -> None: ...
    def add_synapses(
        self,
        sources: npt.NDArray[np.uint32],
        targets: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.uint8],
        conductances: npt.NDArray[np.uint8],
        types: npt.NDArray[np.uint8],
    ) -> None: ...
    def remove_synapses(
        self, sources: npt.NDArray[np.uint32], targets: npt.NDArray[np.uint32]
    ) -> int: ...
    def update_weights(
        self,
        sources: npt.NDArray[np.uint32],
        targets: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.uint8],
    ) -> int: ...
    def rebuild_indexes(self) -> None: ...
    def burst(
        self, power: npt.NDArray[np.uint32], amount: float | None
    ) -> tuple[int, npt.NDArray[np.uint32], list[float]]: ...
    def fire_history(self, neuron: int) -> list[int]: ...
    def facts(self) -> tuple[int, int, int, int, int, int]: ...
    def bytes(self) -> tuple[int, int, int]: ...
    def power_amount(self) -> float: ...
    def set_power_amount(self, amount: float) -> None: ...
    def threads(self) -> int: ...
    def set_threads(self, threads: int) -> None: ...
    def plasticity(self) -> tuple[float, float, tuple[float, int] | None] | None: ...
    def set_no_plasticity(self) -> None: ...
    def set_hebbian(self, potentiation: int, depression: int) -> None: ...
    def set_stdp(
        self, potentiation: float, depression: float, time_constant: float, window: int
    ) -> None: ...
    def neuron_array(self, name: str) -> npt.NDArray[Any]: ...
    def synapse_array(self, name: str) -> npt.NDArray[Any]: ...

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
    def activation(self) -> float | None: ...
    @property
    def path(self) -> Path | None: ...
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
    @property
    def told(self) -> tuple[Literal["exact", "near"], str | None, float | None] | None: ...
    def judge(self, right: bool) -> float | None: ...
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
    def recall(self, recall: dict[str, Any]) -> Hits: ...
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
    ) -> tuple[list[Node], list[int]]: ...
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
    def recall(self, recall: dict[str, Any]) -> Hits: ...
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
class Access:
    """The tokens of a file, of which only hashes are kept."""

    def __new__(cls, text: str) -> Access: ...
    def __bool__(self) -> bool: ...
    def find(self, token: bytes) -> tuple[bool, list[str] | None] | None: ...

@final
class Server:
    """A database that is served."""

    @staticmethod
    def start(database: Database, options: dict[str, Any]) -> Server: ...
    @property
    def address(self) -> tuple[str, int]: ...
    def stop(self) -> None: ...

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
    def identity(self) -> str: ...
    def holds(self) -> bool | None: ...
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
    def strengthen(self, edges: Sequence[str]) -> int: ...
    def strengths(self) -> list[tuple[str, float]]: ...
    def forget_strengths(self) -> int: ...
    def tokens(self, space: str | None, organised: bool) -> TokenArray: ...
    def token(self, id: str, space: str | None = None) -> Token | None: ...
    def token_ids(self, tokens: Sequence[int]) -> list[str | None]: ...
    def near_tokens(
        self, place: Sequence[float], limit: int, space: str | None, organised: bool
    ) -> list[tuple[str, Token, float]]: ...
    def fields(
        self, least: int, levels: int, space: str | None, organised: bool
    ) -> list[tuple[int | None, int, list[float], list[int]]]: ...
    def query_by_reflex(self, query: dict[str, Any], near: bool) -> Hits: ...
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
    def withdraw_proposals(self) -> int: ...
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
    def metrics(self) -> str: ...
    def blackbox(self) -> list[_Event]: ...
    def health(self) -> list[tuple[str, str, str, str, dict[str, Any]]]: ...
    def logical_hash(self) -> str: ...
    def backup(
        self, directory: str, progress: Callable[[int, int], None] | None
    ) -> dict[str, Any]: ...
    def compact(self, progress: Callable[[int, int], None] | None) -> tuple[int, int]: ...
    def scrub(self, progress: Callable[[int, int], None] | None) -> tuple[int, int]: ...
    def verify(self, deep: bool) -> dict[str, Any]: ...

@type_check_only
class _TokenFields(TypedDict, total=False):
    physical: float
    sensory: float
    motor: float
    emotional: float
    cognitive: float
    social: float
    temporal: float
    abstract: float
    weight: float
    flags: int
    created_at: datetime
    updated_at: datetime

@type_check_only
class _ChangedFields(_TokenFields, total=False):
    id: int

@final
class Token:
    """64 bytes that say where something lies on eight axes; a value, which never changes.

    ``Token(id)`` is known by a number from 0 to 2**64 - 1. Any of these may be given by name:
    ``physical``, ``sensory``, ``motor``, ``emotional``, ``cognitive``, ``social``, ``temporal`` and
    ``abstract`` (0.0 when left out), ``weight`` (1.0), ``flags`` (16 bits that are yours, 0),
    ``created_at`` (now) and ``updated_at`` (as ``created_at``). Numbers are kept as floats of 32
    bits.

    Examples:
        >>> from embedded_db import Token
        >>> token = Token(42, emotional=0.5, abstract=-1, flags=0b101)
        >>> token.id, token.weight, token.flags, token
        (42, 1.0, 5, Token(42, emotional=0.5, abstract=-1.0, flags=5))
        >>> token.physical, token.sensory, token.motor, token.emotional
        (0.0, 0.0, 0.0, 0.5)
        >>> token.cognitive, token.social, token.temporal, token.abstract
        (0.0, 0.0, 0.0, -1.0)
        >>> token.coordinates
        (0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, -1.0)
        >>> token.created_at == token.updated_at, token.created_at.tzname()
        (True, 'UTC')
        >>> nearer = token.clone(abstract=0.25)
        >>> nearer.abstract, token.abstract, token.clone() == token
        (0.25, -1.0, True)
        >>> len(token.to_bytes()), Token.from_bytes(token.to_bytes()) == token
        (64, True)
        >>> len(Token.create_batch(1000))
        1000
    """

    def __new__(cls, id: int, **fields: Unpack[_TokenFields]) -> Self: ...
    @classmethod
    def create_batch(cls, count: int, first_id: int = 0) -> TokenArray:
        """Many tokens with ids in a row, in one piece of memory.

        Args:
            count: how many.
            first_id: the id of the first.
        """
    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A token out of the bytes that `to_bytes` gave.

        Args:
            data: 64 bytes.
        """
    def to_bytes(self) -> bytes:
        """The 64 bytes; the documentation of tokens has their layout."""
    def clone(self, **fields: Unpack[_ChangedFields]) -> Self:
        """The same token, but for the fields that are given.

        Args:
            **fields: as of the class, and ``id``. When there are any, ``updated_at`` is now
                unless it is given.
        """
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @property
    def id(self) -> int:
        """What it is known by."""
    @property
    def coordinates(self) -> tuple[float, ...]:
        """Where it lies: the eight coordinates."""
    @property
    def physical(self) -> float:
        """The coordinate on the physical axis."""
    @property
    def sensory(self) -> float:
        """The coordinate on the sensory axis."""
    @property
    def motor(self) -> float:
        """The coordinate on the motor axis."""
    @property
    def emotional(self) -> float:
        """The coordinate on the emotional axis."""
    @property
    def cognitive(self) -> float:
        """The coordinate on the cognitive axis."""
    @property
    def social(self) -> float:
        """The coordinate on the social axis."""
    @property
    def temporal(self) -> float:
        """The coordinate on the temporal axis."""
    @property
    def abstract(self) -> float:
        """The coordinate on the abstract axis."""
    @property
    def weight(self) -> float:
        """How much it counts."""
    @property
    def flags(self) -> int:
        """16 bits that are yours."""
    @property
    def created_at(self) -> datetime:
        """When it was made (UTC)."""
    @property
    def updated_at(self) -> datetime:
        """When it was changed (UTC)."""

@final
class TokenArray:
    """Tokens in one piece of memory, which is that of a structured NumPy array, too.

    What is written there is read here. An element is given as a `Token`, a slice as a `TokenArray`
    of the same memory.

    Examples:
        >>> from embedded_db import Token, TokenArray
        >>> tokens = Token.create_batch(1000, first_id=5)
        >>> len(tokens), tokens[0].id, tokens[-1].id, [token.id for token in tokens[:3]]
        (1000, 5, 1004, [5, 6, 7])
        >>> array = tokens.to_numpy()
        >>> array["emotional"][7] = 0.5
        >>> tokens[7], tokens[5:][2] == tokens[7], tokens.coordinates[7, 3]
        (Token(12, emotional=0.5), True, np.float32(0.5))
        >>> tokens[7] = Token(12)
        >>> array["emotional"].any(), array.itemsize
        (np.False_, 64)
        >>> other = tokens.clone()
        >>> other == tokens, other.to_numpy() is array
        (True, False)
        >>> TokenArray.from_bytes(tokens.to_bytes()) == TokenArray.from_numpy(array) == tokens
        True
        >>> TokenArray.from_arrow(tokens.to_arrow()) == tokens
        True
    """

    @classmethod
    def from_numpy(cls, array: npt.NDArray[np.void]) -> Self:
        """The tokens of an array, without a copy.

        What is written into the array later is not checked any more.

        Args:
            array: of the type `TOKEN_DTYPE` and one dimension, with 1 in the field
                ``version``.
        """
    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Tokens out of the bytes that `to_bytes` gave.

        Args:
            data: 64 bytes for each.
        """
    @classmethod
    def from_arrow(cls, table: object) -> Self:
        """Tokens out of an Arrow table, such as `to_arrow` gives.

        Args:
            table: a pyarrow table, or anything with ``__arrow_c_stream__``, that has all
                columns of `to_arrow`.
        """
    def to_numpy(self) -> npt.NDArray[np.void]:
        """The memory as a NumPy array, without a copy."""
    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]: ...
    @property
    def coordinates(self) -> npt.NDArray[np.float32]:
        """The coordinates as a NumPy array of eight columns, without a copy."""
    def to_bytes(self) -> bytes:
        """64 bytes for each token, as of `Token.to_bytes`."""
    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table with a row for each token. Needs pyarrow.

        Its columns: ``id``, the eight coordinates, ``weight``, ``flags``, ``created_at`` and
        ``updated_at``.
        """
    def clone(self) -> Self:
        """The same tokens in memory of their own."""
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Token: ...
    @overload
    def __getitem__(self, index: slice, /) -> TokenArray: ...
    def __setitem__(self, index: SupportsIndex, token: Token, /) -> None: ...
    def __iter__(self) -> TokenIterator: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class TokenIterator:
    """Gives the tokens of an array one after another."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Token: ...

@disjoint_base
class Intuition:
    """What `IntuitionEngine` is made of."""

    def __new__(
        cls,
        capacity: int,
        min_confidence: float,
        reward: float,
        penalty: float,
        corrected_confidence: float,
    ) -> Self: ...
    def learn(self, key: str, answer: object, confidence: float) -> None:
        """Store an answer; the one that its key had before is gone.

        When there is no room, the least useful reflex leaves first.

        Args:
            key: what is asked, word by word.
            answer: any object but None. It is kept itself, not a copy.
            confidence: how sure it is, from 0 to 1.
        """
    def lookup(self, key: str) -> Any:
        """The answer to a key, or None when there is none, or none that is sure enough.

        Args:
            key: what is asked, word by word.
        """
    def feedback(
        self, key: str, verdict: Literal["y", "n", "c"], correction: object = None
    ) -> float:
        """Say what is to be thought of an answer; give how sure it is then.

        Args:
            key: what was asked.
            verdict: ``"y"``, the answer is right; ``"n"``, it is wrong; ``"c"``, it is wrong, and
                `correction` is right.
            correction: the right answer.
        """
    def forget(self, key: str) -> bool:
        """Forget the answer to a key; whether there was one.

        Args:
            key: what was asked.
        """
    def confidence(self, key: str) -> float | None:
        """How sure the answer to a key is; None when there is none.

        Args:
            key: what is asked.
        """
    def clear(self) -> None:
        """Forget all answers. What was counted stays counted."""
    def stats(self) -> IntuitionStats:
        """What there is and what was done; see `IntuitionStats`."""
    def __len__(self) -> int: ...
