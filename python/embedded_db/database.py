"""The database: opening, writing, the weaver, operations."""

import atexit
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, cast, get_args
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from . import transaction as transactions
from . import weaver as weaving
from ._native import Database as NativeDatabase
from ._native import Edge, Embedding, Node
from ._native import Snapshot as NativeSnapshot
from .arguments import choice_argument
from .checks import vector as checked_vector
from .config import ActivityLevel, Config, ConfigOptions, ModelFunctions
from .errors import DatabaseClosed, InvalidInput, NotFound, shown
from .indexes import Indexes
from .memory import Memory
from .models import (
    AnyNode,
    Artefact,
    Chat,
    IdLike,
    Message,
    Status,
    id_of,
    wrap,
)
from .models.content import Content
from .models.drafts import message_dict, stored_messages
from .objects import Objects, store_in_database
from .query import ConvergedQuery
from .querying import checked_query
from .reads import Reads, with_space
from .snapshot import Snapshot
from .transaction import Transaction
from .weaver import Weaver

if TYPE_CHECKING:
    from .interchange import Derived, ExportReport, LoadReport, OnConflict, TransferReport
    from .models.edges import EdgeModel
    from .models.nodes import NodeModel

__all__ = ["EmbeddedDB"]

R = TypeVar("R")

DEFAULT_NAMESPACE: Final = "default"


class _Closed:
    """Stands in the place of a native handle that was closed."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        raise DatabaseClosed(
            f"the database {self._path!r} is closed",
            hint="Open it again with EmbeddedDB(path)",
            path=self._path,
        )


class EmbeddedDB(Objects, Memory, Indexes, Reads):
    """A handle on one namespace of a memory database.

    Nodes, edges, vectors and text live in one directory; what is written is enriched in the
    background. A handle may be used from several threads. It is a context manager that closes
    at its end; handles still open when the interpreter ends are closed then.

    Args:
        path: the directory, made when missing; ``":memory:"`` for a private one that is gone
            when it is closed.
        config: the options; `Config()` when left out.
        read_only: read beside a writer in another process; nothing is enriched.
        **overrides: single options of `Config`, such as ``durability="memory"`` or ``ml=None``.

    Raises:
        InvalidInput: an option is unknown or wrong, the path is open in this process with other
            options, or ``read_only`` and there is no database.
        DatabaseLocked: another process is writing and did not leave within ``lock_timeout``.
        FormatTooNew: the files were written by a later version.
        Corruption: the files are damaged.
        ModelUnavailable: a model provider is named whose package is not installed.
    """

    _native: NativeDatabase

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        config: Config | None = None,
        read_only: bool = False,
        **overrides: Unpack[ConfigOptions],
    ) -> None:
        location = _checked_path(path)
        settings = _checked_config(config).with_options(overrides)
        functions = settings.functions()
        native = NativeDatabase.open(location, settings.to_native(read_only=read_only), functions)
        self._set_up(native, settings, functions, parent=None)
        _open_handles.add(self)

    def _set_up(
        self,
        native: NativeDatabase,
        config: Config,
        functions: ModelFunctions | None,
        parent: "EmbeddedDB | None",
    ) -> None:
        self._native = native
        self._closed = False
        self._config = config
        self._functions = functions
        self._parent = parent
        self._path = native.path
        self._namespace = native.namespace_name
        self._read_only = native.read_only
        self._process = os.getpid()
        self._children: WeakSet[EmbeddedDB] = WeakSet()
        self._registered: set[type[object]] = set()

    # ------------------------------------------------------------------ the handle

    @property
    def path(self) -> str:
        """The directory of the database."""
        return self._path

    @property
    def config(self) -> Config:
        """The options it was opened with."""
        return self._config

    @property
    def read_only(self) -> bool:
        """Whether this handle only reads."""
        return self._read_only

    @property
    def closed(self) -> bool:
        """Whether the handle was closed."""
        return self._closed

    @property
    def namespace_name(self) -> str:
        """The namespace this handle reads and writes."""
        return self._namespace

    def close(self) -> None:
        """Stop the weaver and let go of the files; may be called more than once.

        Nothing that was acknowledged is lost; work not done yet goes on at the next opening.
        Snapshots, transactions and iterators that are still held raise ``DatabaseClosed``.
        Closing a handle on a namespace closes that handle only. In a forked child process the
        handle is let go of without touching the files, which are the parent's.
        """
        if self._closed:
            return
        self._closed = True
        native = self._native
        for child in list(self._children):
            child.close()
        self._native = cast("NativeDatabase", _Closed(self._path))
        _open_handles.discard(self)
        if self._parent is None and self._process == os.getpid():
            native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        parts = [repr(self._path)]
        if self._parent is not None:
            parts.append(f"namespace={self._namespace!r}")
        if self._read_only:
            parts.append("read_only=True")
        state = " (closed)" if self.closed else ""
        return f"EmbeddedDB({', '.join(parts)}){state}"

    def namespace(self, name: str) -> "EmbeddedDB":
        """Give a handle on another namespace of the same database, which is made if it is new.

        A namespace has its own nodes, edges and ids; edges and queries never cross over. Once it
        is dropped, handles on it raise ``NotFound``; what was a snapshot before still shows it.

        Args:
            name: the namespace, 1 to 255 bytes of UTF-8.

        Raises:
            InvalidInput: the name is empty or too long.
            NotFound: the database is open read-only, and there is no such namespace.
        """
        root = self if self._parent is None else self._parent
        handle = EmbeddedDB.__new__(EmbeddedDB)
        handle._set_up(self._native.namespace(name), self._config, self._functions, root)
        root._children.add(handle)
        return handle

    def namespaces(self) -> list[str]:
        """Give the names of all namespaces, in order."""
        return self._native.namespaces()

    def drop_namespace(self, name: str) -> None:
        """Delete a namespace with everything in it, in one step.

        Args:
            name: the namespace.

        Raises:
            NotFound: there is none of this name.
        """
        self._native.drop_namespace(name)

    # ------------------------------------------------------------------ nodes

    def create_node(self, node: Mapping[str, Any]) -> str:
        """Store a node.

        Args:
            node: ``labels`` (a list) or ``label``, and where wanted ``id`` and ``properties``.

        Returns:
            The id: the one given, or a new one beginning with the label.

        Raises:
            AlreadyExists: the id is taken.
            InvalidInput: a key is unknown, or a value cannot be stored.
        """
        return self._native.create_node(cast("dict[str, Any]", node))

    def create_nodes(self, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
        """Store many nodes, all or nothing, in one step.

        Args:
            nodes: dicts as in `create_node`.

        Returns:
            The ids in the order given.

        Raises:
            AlreadyExists: an id is taken.
            InvalidInput: a key is unknown, or a value cannot be stored; the message says which.
        """
        return self._native.create_nodes(cast("Sequence[dict[str, Any]]", nodes))

    def update_node(self, id: IdLike, updates: Mapping[str, Any]) -> AnyNode:
        """Change properties; those not named stay.

        Args:
            id: the node.
            updates: values by property name; `DELETE` as a value removes the property.

        Returns:
            The node as it now is.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: a value cannot be stored, or it is the ``chat_id`` of a message, which
                stays in the chat it was added to.
        """
        return wrap(self, self._native.update_node(id_of(id), cast("dict[str, Any]", updates)))

    def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges and their history, its embeddings and all derived.

        Args:
            id: the node.

        Raises:
            NotFound: the node does not exist.
        """
        self._native.delete_node(id_of(id))

    def update_matching(self, query: ConvergedQuery, updates: Mapping[str, Any]) -> int:
        """Change all nodes that a query matches, in one step, all or nothing.

        The nodes are found in the state that is being changed: nobody's write comes in between.

        Args:
            query: a query without semantic and text legs; its limit and order do not matter.
            updates: as in `update_node`.

        Returns:
            How many nodes there were.

        Raises:
            InvalidQuery: the query has a ranking leg.
            InvalidInput: a name or value cannot be stored.
        """
        native = checked_query(query).native
        return self._native.update_matching(native, cast("dict[str, Any]", updates))

    def delete_matching(self, query: ConvergedQuery) -> int:
        """Delete all nodes that a query matches, in one step, all or nothing.

        Args:
            query: a query without semantic and text legs; its limit and order do not matter.

        Returns:
            How many nodes matched. A chat takes its messages along, whether they match or not.

        Raises:
            InvalidQuery: the query has a ranking leg.
        """
        return self._native.delete_matching(checked_query(query).native)

    # ------------------------------------------------------------------ edges

    def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Store an edge; parallel edges and loops are allowed.

        Args:
            edge: ``source``, ``target`` and ``type``, and where wanted ``id``, ``properties``,
                ``weight`` (1.0), ``valid_from`` and ``valid_to`` (times with a time zone),
                ``sources`` (ids it was derived from).

        Returns:
            The id: the one given, or a new one beginning with the type.

        Raises:
            NotFound: one of its ends does not exist.
            AlreadyExists: the id is taken.
            InvalidInput: a key is unknown, a value cannot be stored, or ``valid_from`` is not
                before ``valid_to``.
        """
        return self._native.create_edge(cast("dict[str, Any]", edge))

    def create_edges(self, edges: Sequence[Mapping[str, Any]]) -> list[str]:
        """Store many edges, all or nothing, in one step.

        Args:
            edges: dicts as in `create_edge`.

        Returns:
            The ids in the order given.

        Raises:
            NotFound: an end does not exist.
            AlreadyExists: an id is taken.
            InvalidInput: a key is unknown, or a value cannot be stored; the message says which.
        """
        return self._native.create_edges(cast("Sequence[dict[str, Any]]", edges))

    def update_edge(self, id: IdLike, updates: Mapping[str, Any]) -> Edge:
        """Change an edge; what is not named stays.

        Args:
            id: the edge.
            updates: values by property name; ``weight``, ``valid_from`` and ``valid_to`` are
                the edge's own. `DELETE` as a value removes a property or a bound.

        Returns:
            The edge as it now is.

        Raises:
            NotFound: the edge does not exist, or was retracted.
            InvalidInput: a value cannot be stored, or ``valid_from`` is not before ``valid_to``.
        """
        return self._native.update_edge(id_of(id), cast("dict[str, Any]", updates))

    def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
        """Store an edge that is true from now on in the place of another, in one step.

        The other one stays: its ``valid_to`` becomes the ``valid_from`` of the new one, unless it
        has ended before.

        Args:
            id: the edge that is true no longer.
            new_edge: as in `create_edge`; ``source``, ``target`` and ``type`` are those of the
                other edge when left out, ``valid_from`` is now.

        Returns:
            The id of the new edge.

        Raises:
            NotFound: the edge does not exist or was retracted, or an end of the new one does not
                exist.
            AlreadyExists: the new id is taken.
            InvalidInput: a value cannot be stored, or the new edge does not begin after the other.

        Example:
            >>> ann, oslo, bergen = db.create_nodes([{"label": n} for n in ("A", "B", "C")])
            >>> old = db.create_edge({"source": ann, "target": oslo, "type": "LIVES_IN"})
            >>> new = db.supersede_edge(old, {"target": bergen})
            >>> moved = db.get_edge(new).valid_from
            >>> db.get_edge(old).valid_to == moved
            True
            >>> [edge.id == new for edge in db.edges(ann, "LIVES_IN", valid_at=moved)]
            [True]
        """
        return self._native.supersede_edge(id_of(id), cast("dict[str, Any]", new_edge))

    def retract_edge(self, id: IdLike) -> None:
        """Take an edge back: it was never true, or the database is to hold it for true no more.

        It is hidden from then on, but for reads with ``known_at`` and `edge_history`. Its id
        stays taken. What was derived goes as with `delete_edge`, which removes the history too.

        Args:
            id: the edge.

        Raises:
            NotFound: the edge does not exist, or was retracted already.

        Example:
            >>> ids = db.create_nodes([{"label": "Person"}, {"label": "City"}])
            >>> edge = db.create_edge({"source": ids[0], "target": ids[1], "type": "LIVES_IN"})
            >>> known = db.get_edge(edge).recorded_at
            >>> db.retract_edge(edge)
            >>> len(list(db.edges(ids[0]))), len(list(db.edges(ids[0], known_at=known)))
            (0, 1)
        """
        self._native.retract_edge(id_of(id))

    def delete_edge(self, id: IdLike) -> None:
        """Delete an edge with its history; one that was retracted too.

        Args:
            id: the edge.

        Raises:
            NotFound: the edge does not exist.
        """
        self._native.delete_edge(id_of(id))

    # ------------------------------------------------------------------ embeddings

    def create_embedding(self, embedding: Mapping[str, Any]) -> str:
        """Set the embedding of a node by hand; the weaver never overwrites it.

        Args:
            embedding: ``node_id`` and ``vector`` (float32[dim]), and where wanted ``id`` and
                ``space``, which is made when it is new.

        Returns:
            The id: the one given, or a new one.

        Raises:
            NotFound: the node does not exist.
            AlreadyExists: the id is taken.
            DimensionMismatch: the vector has another length than its space.
            NonFiniteVector: the vector holds NaN or an infinity.
        """
        return self._native.create_embedding(with_space(embedding, self._default_space()))

    def get_embedding(self, id: IdLike) -> Embedding | None:
        """Read an embedding by its own id, or None when there is none.

        Args:
            id: the id of the embedding (not of its node).
        """
        return self._native.get_embedding(id_of(id))

    def update_embedding(self, id: IdLike, vector: npt.ArrayLike) -> Embedding:
        """Replace the embedding of a node by one vector, which stands for the whole node.

        Args:
            id: the embedding; of one in several parts, any of them. The others go.
            vector: float32[dim], of the dimension of its space.

        Returns:
            The embedding as it now is.

        Raises:
            NotFound: the embedding does not exist.
            DimensionMismatch: the vector has another length than its space.
            NonFiniteVector: the vector holds NaN or an infinity.
        """
        return self._native.update_embedding(id_of(id), checked_vector(vector))

    def delete_embedding(self, id: IdLike) -> None:
        """Delete an embedding with all its parts; of a message the model computes it again.

        Args:
            id: the embedding, or a part of it.

        Raises:
            NotFound: the embedding does not exist.
        """
        self._native.delete_embedding(id_of(id))

    def set_embeddings(
        self, ids: Sequence[IdLike], vectors: npt.ArrayLike, space: str | None = None
    ) -> list[str]:
        """Set the embeddings of many nodes, all or nothing, in one step.

        Args:
            ids: n nodes.
            vectors: float32[n, dim]; other kinds of numbers are converted once.
            space: the embedding space; the default one when left out.

        Returns:
            The ids of the embeddings in the order given.

        Raises:
            NotFound: a node does not exist.
            DimensionMismatch: the vectors have another length than their space.
            NonFiniteVector: a vector holds NaN or an infinity.
            InvalidInput: ``vectors`` has not the shape [n, dim], or a node is named twice.
        """
        nodes = [id_of(id) for id in ids]
        try:
            matrix = np.ascontiguousarray(vectors, dtype=np.float32)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f"vectors is {shown(vectors)}", hint="Give float32[n, dim]"
            ) from error
        if matrix.ndim != 2 or matrix.shape[0] != len(nodes) or np.ndim(vectors) != 2:
            raise InvalidInput(
                f"vectors has the shape {np.shape(vectors)} for {len(nodes)} ids",
                hint="Give one row for each id: float32[n, dim]",
            )
        return self._native.set_embeddings(nodes, matrix, self._space(space))

    def spaces(self) -> list[dict[str, Any]]:
        """Give the embedding spaces: name, model, dimension, metric and count of each."""
        return self._native.spaces()

    # ------------------------------------------------------------------ chats

    def create_chat(
        self,
        title: str | None = None,
        topic: str | None = None,
        *,
        id: str | None = None,
        **properties: Any,
    ) -> Chat:
        """Store a chat.

        Args:
            title: what it is called.
            topic: what it is about.
            id: an id of your own; made when left out.
            **properties: further properties.

        Raises:
            AlreadyExists: the id is taken.
            InvalidInput: a value cannot be stored.
        """
        given = {"id": id, "title": title, "topic": topic}
        chat = {name: value for name, value in given.items() if value is not None}
        return Chat(self, self._native.create_chat({**properties, **chat}))

    def create_message(
        self,
        chat_id: IdLike,
        content: Content,
        sender: str | None = None,
        role: str = "user",
        timestamp: datetime | None = None,
        *,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **properties: Any,
    ) -> Message:
        """Store a message at the end of a chat, which is made when it does not exist.

        It is durable when this returns; its embedding and its entities follow.

        Args:
            chat_id: the chat.
            content: the text, or OpenAI-style parts; see `Chat.add_message`.
            sender: who wrote it.
            role: ``"user"``, ``"assistant"``, ``"system"`` or any other word.
            timestamp: when it was written, with a time zone; now when left out.
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            **properties: further properties, ``name``, ``tool_calls`` and ``tool_call_id`` among
                them.

        Raises:
            AlreadyExists: the id is taken.
            InvalidInput: a value cannot be stored.
        """
        message = message_dict(
            content=content,
            sender=sender,
            role=role,
            timestamp=timestamp,
            id=id,
            metadata=metadata,
            properties=properties,
        )
        return self._add_messages(id_of(chat_id), [message])[0]

    def _add_messages(self, chat_id: str, messages: Sequence[Mapping[str, Any]]) -> list[Message]:
        drafts = stored_messages(messages, chat_id)
        return [Message(self, node) for node in self._native.add_messages(chat_id, drafts)]

    # ------------------------------------------------------------------ transactions

    def transaction(self) -> Transaction:
        """Begin several writes that become visible together: ``with db.transaction() as tx:``.

        An exception inside the block rolls back. Calls on the database itself inside the block
        are outside the transaction. No lock is held while the block runs.

        Raises:
            Conflict: at the end of the block, when something that was read or written has been
                changed by someone else; see `run`.
            InvalidInput: a transaction is open already; they do not nest.
        """
        return Transaction(self)

    def run(self, function: Callable[[Transaction], R], attempts: int = 10) -> R:
        """Run a function in a transaction, again when someone else committed first.

        Args:
            function: called with the transaction; may be called several times.
            attempts: most calls.

        Returns:
            What the function returned.

        Raises:
            Conflict: every attempt met one.
        """
        return transactions.run(self, function, attempts)

    def snapshot(self) -> Snapshot:
        """Pin this instant for several reads: ``with db.snapshot() as s:``."""
        return Snapshot(self, self._native.snapshot())

    # ------------------------------------------------------------------ the weaver

    @property
    def weaver(self) -> Weaver:
        """The background worker: dead letters, retrying, pausing."""
        return Weaver(self)

    def weaver_status(self) -> dict[str, Any]:
        """Tell what the background worker is doing.

        Returns:
            ``active_workers``, ``queue_size`` (jobs waiting or running), ``last_event``,
            ``activity_level``, ``per_job`` (pending, running, done, failed and dead of each
            job), ``lag_seconds`` and ``throughput`` (jobs a second). Without a weaver, with
            ``ml=None`` or ``read_only``, event and level are ``"off"``.
        """
        return self._native.weaver_status()

    def set_activity_level(self, level: ActivityLevel) -> None:
        """Say how much of the machine the weaver may take.

        Args:
            level: ``"Auto"`` (by what the application does), ``"HighActivity"`` (embedding and
                entities only, few at a time), ``"Normal"``, ``"LowActivity"`` (all work, many at
                a time) or ``"SleepMode"`` (heavy work too).

        Raises:
            InvalidInput: there is no such level.
        """
        choice_argument("the activity level", level, get_args(ActivityLevel))
        self._native.set_activity_level(level)

    def flush(self, timeout: float | None = None, *, progress: bool = False) -> None:
        """Wait until everything stored so far is enriched, and indexes are built.

        With ``ml=None`` nothing is ever enriched, and only indexes are waited for.

        Args:
            timeout: seconds to wait at most; no limit when left out.
            progress: draw a progress bar on standard error.

        Raises:
            EnrichmentFailed: some work was given up; ``failures`` lists it.
            StorageFull: results find no room; none is lost, the work goes on when there is some.
            Timeout: the time passed; the work goes on.
            ReadOnly: the handle only reads.
        """
        weaving.flush(self, timeout, progress)

    def wait_for(self, message: IdLike, artefact: Artefact, timeout: float | None = None) -> Status:
        """Wait until one artefact of a message or chat is ready.

        Args:
            message: the message or chat.
            artefact: ``"embedding"``, ``"entities"``, ``"links"`` or ``"summary"``.
            timeout: seconds to wait at most; no limit when left out.

        Returns:
            The status, in which the artefact is ready.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: it has no such artefact.
            EnrichmentFailed: the work was given up.
            StorageFull: results find no room; the work goes on when there is some.
            Timeout: the time passed; the work goes on.
        """
        return weaving.wait_for(self, id_of(message), artefact, timeout)

    # ------------------------------------------------------------------ operations

    def stats(self) -> dict[str, Any]:
        """Count what is stored: nodes, edges, embeddings, jobs, bytes and more, by name."""
        return self._native.stats()

    def verify(self) -> dict[str, Any]:
        """Read everything and check that nodes, edges, text, vectors and jobs agree.

        Returns:
            ``ok`` (bool), ``problems`` (a list of texts), and how much was checked.
        """
        return self._native.verify()

    # ------------------------------------------------------------------ interchange

    def export(
        self,
        directory: str | PathLike[str],
        *,
        namespaces: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "ExportReport":
        """Write nodes, edges and embeddings of one instant as plain files, while writing goes on.

        The layout is JSON Lines and ``.npy``, described in `embedded_db.interchange.layout`.

        Args:
            directory: where to; it must not exist, or be empty. It appears when it is complete.
            namespaces: names; all when left out, of the handle of a namespace its own.
            progress: called with how many nodes and edges are written, and how many there are.

        Returns:
            What was exported.

        Raises:
            NotFound: there is no such namespace.
            InvalidInput: the directory is not empty.
            StorageError: it cannot be written.
            SnapshotExpired: it took longer than ``max_snapshot_age``; open with a longer one.
            Timeout: other writers left no instant that all namespaces share.
        """
        from .interchange import export

        return export(self, directory, namespaces, progress)

    def import_(
        self,
        directory: str | PathLike[str],
        *,
        on_conflict: "OnConflict" = "error",
        derived: "Derived" = "auto",
        progress: Callable[[int, int], None] | None = None,
    ) -> "TransferReport":
        """Read an export. Every file is checked against its SHA-256 before anything is written.

        Records are stored in steps of 1,000; when one fails, those before it stay, and
        ``on_conflict="skip"`` goes on. The weaver rests meanwhile, and goes on at the end. What is
        stored is new: ``created_at``, ``updated_at``, ``recorded_at`` and ``version`` begin again.

        Args:
            directory: what `export` has written. Its namespaces keep their names; the handle of
                a namespace takes an export of one namespace, whatever its name.
            on_conflict: what becomes of ids that are taken: ``"error"`` refuses all of it with a
                list, ``"skip"`` leaves what is there, ``"replace"`` makes it as in the export.
            derived: ``"rebuild"`` leaves out what the weaver makes anew (entities, mentions,
                relations, summaries, vectors of the model); ``"keep"`` stores it as if a user had
                made it, for databases without a weaver; ``"auto"`` does the one with a weaver,
                the other without.
            progress: called with how many records are stored, and how many there are.

        Returns:
            What was stored.

        Raises:
            AlreadyExists: ids are taken; ``conflicts`` lists the first 100, ``count`` says how
                many there are. Nothing was written.
            InvalidInput: the directory holds no export, or ``derived`` does not fit.
            FormatTooNew: a later version has written it.
            Corruption: a file is missing, cut off or changed.
            ReadOnly: the handle only reads.
        """
        from .interchange import import_export

        return import_export(self, directory, on_conflict, derived, progress)

    def load_arrow(
        self,
        nodes: object = None,
        edges: object = None,
        *,
        space: str | None = None,
        batch_size: int = 10_000,
    ) -> "LoadReport":
        """Store nodes and edges of Arrow tables, nodes first; needs pyarrow.

        A table is a pyarrow Table, RecordBatch or RecordBatchReader, a Polars or pandas DataFrame,
        or anything else with ``__arrow_c_stream__`` or ``__arrow_c_array__``.

        Args:
            nodes: columns ``labels`` (lists of texts) or ``label`` (a text), and where wanted
                ``id``, ``vector`` (lists of numbers) and ``properties`` (a struct or map). Without
                ``properties`` every other column is a property; a null is one that is not there.
            edges: columns ``source``, ``target``, ``type``, and where wanted ``id``, ``weight``,
                ``valid_from``, ``valid_to``, ``sources`` and ``properties``, or other columns.
            space: the embedding space of ``vector``; the default one when left out.
            batch_size: rows that are stored in one step, all or nothing.

        Returns:
            How much was stored.

        Raises:
            InvalidInput: a column is missing or of a type that cannot be stored, or a value is;
                ``column`` and ``row`` (from 0) name it. Batches before it are stored. Or pyarrow
                is not installed.
            AlreadyExists: an id is taken; ``column`` and ``row`` name it.
            NotFound: an end of an edge does not exist; ``column`` and ``row`` name it.
            DimensionMismatch: a vector has another length than the others or its space.
        """
        from .interchange import load_arrow

        return load_arrow(self, nodes, edges, space=space, batch_size=batch_size)

    # ------------------------------------------------------------------ for the package

    def _pinned(self) -> tuple[NativeSnapshot, Callable[[], None] | None]:
        snapshot = self._native.snapshot()
        return snapshot, snapshot.close

    def _default_space(self) -> str | None:
        return self._config.embedding_space

    def _location(self) -> tuple[str, str]:
        return self._path, self._namespace

    def _save_node(self, id: str, updates: dict[str, Any], expected: Node | None) -> Node:
        return self._native.update_node(id, updates, expected)

    def _save_edge(self, id: str, updates: dict[str, Any], expected: Edge | None) -> Edge:
        if expected is None:
            return self._native.update_edge(id, updates)
        with Transaction(self, own=True) as tx:
            tx._save_edge(id, updates, expected)
        edge = self._native.get_edge(id)  # with the times of the commit
        if edge is None:
            raise NotFound(f"edge {id!r} was deleted as soon as it was saved", id=id)
        return edge

    def _database(self, purpose: str) -> "EmbeddedDB":
        return self

    def _of_database(self) -> "EmbeddedDB":
        return self

    def _store(self, nodes: "list[NodeModel]", edges: "list[EdgeModel]") -> None:
        store_in_database(self, nodes, edges)

    def _status(self, id: str) -> Status:
        return Status(id, self._native.artefact_status(id))


def _checked_path(path: object) -> str:
    location = os.fspath(path) if isinstance(path, PathLike) else path
    if not isinstance(location, str) or not location:
        raise InvalidInput(
            f"path is {shown(path)}", hint="Give the name of a directory, or ':memory:'"
        )
    return location


def _checked_config(config: object) -> Config:
    if config is None:
        return Config()
    if not isinstance(config, Config):
        raise InvalidInput(
            f"config is {shown(config)}", hint="Give a Config or Config.from_dict(…)"
        )
    return config


_open_handles: WeakSet[EmbeddedDB] = WeakSet()


def open_handles() -> list[EmbeddedDB]:
    """Give the handles that are open in this process, those on namespaces included."""
    roots = list(_open_handles)
    handles = [handle for root in roots for handle in (root, *root._children)]
    return [handle for handle in handles if not handle.closed]


def _close_all(handles: Iterable[EmbeddedDB]) -> None:
    """Close what is still open at the end of the interpreter, so that every thread is joined."""
    for handle in list(handles):
        handle.close()


atexit.register(_close_all, _open_handles)
