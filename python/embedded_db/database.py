"""The database: opening, writing, the weaver, operations."""

import atexit
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, cast, get_args
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from . import transaction as transactions
from . import weaver as weaving
from ._native import Database as NativeDatabase
from ._native import Edge, Embedding, Node
from ._native import Snapshot as NativeSnapshot
from .config import ActivityLevel, Config, ConfigOptions, ModelFunctions
from .errors import DatabaseClosed, InvalidInput, nearest
from .models import (
    AnyNode,
    Artefact,
    Chat,
    IdLike,
    Message,
    Status,
    check_messages,
    id_of,
    message_dict,
    wrap,
)
from .query import vector as checked_vector
from .reads import Reads, with_space
from .snapshot import Snapshot
from .transaction import Transaction
from .weaver import Weaver

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


class EmbeddedDB(Reads):
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
        """Give a handle on another namespace of the same database, made when first written to.

        A namespace has its own nodes, edges and ids; edges and queries never cross over.

        Args:
            name: the namespace, 1 to 255 bytes of UTF-8.

        Raises:
            InvalidInput: the name is empty or too long.
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
            InvalidInput: a value cannot be stored.
        """
        return wrap(self, self._native.update_node(id_of(id), cast("dict[str, Any]", updates)))

    def delete_node(self, id: IdLike) -> None:
        """Delete a node with its edges, its embeddings and what was derived from it.

        Args:
            id: the node.

        Raises:
            NotFound: the node does not exist.
        """
        self._native.delete_node(id_of(id))

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
            InvalidInput: a key is unknown, or a value cannot be stored.
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
            NotFound: the edge does not exist.
            InvalidInput: a value cannot be stored.
        """
        return self._native.update_edge(id_of(id), cast("dict[str, Any]", updates))

    def delete_edge(self, id: IdLike) -> None:
        """Delete an edge.

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
        """Replace the vector of an embedding.

        Args:
            id: the embedding.
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
        """Delete an embedding.

        Args:
            id: the embedding.

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
            InvalidInput: ``vectors`` has not the shape [n, dim].
        """
        nodes = [id_of(id) for id in ids]
        try:
            matrix = np.ascontiguousarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"vectors is {vectors!r:.100}", hint="Give float32[n, dim]"
            ) from error
        if matrix.ndim != 2 or matrix.shape[0] != len(nodes) or np.ndim(vectors) != 2:
            raise InvalidInput(
                f"vectors has the shape {np.shape(vectors)} for {len(nodes)} ids",
                hint="Give one row for each id: float32[n, dim]",
            )
        return self._native.set_embeddings(nodes, matrix, space or self._config.embedding_space)

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
        content: str,
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
            content: the text.
            sender: who wrote it.
            role: ``"user"``, ``"assistant"``, ``"system"`` or any other word.
            timestamp: when it was written, with a time zone; now when left out.
            id: an id of your own; made when left out.
            metadata: further facts, as one dict property.
            **properties: further properties.

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
        check_messages(messages, chat_id)
        native = cast("Sequence[dict[str, Any]]", messages)
        return [Message(self, node) for node in self._native.add_messages(chat_id, native)]

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
        levels = get_args(ActivityLevel)
        if level not in levels:
            raise InvalidInput(f"the activity level is {level!r}", hint=nearest(str(level), levels))
        self._native.set_activity_level(level)

    def flush(self, timeout: float | None = None, *, progress: bool = False) -> None:
        """Wait until everything stored so far is enriched.

        With ``ml=None`` nothing is ever enriched, and this returns at once.

        Args:
            timeout: seconds to wait at most; no limit when left out.
            progress: draw a progress bar on standard error.

        Raises:
            EnrichmentFailed: some work was given up; ``failures`` lists it.
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

    # ------------------------------------------------------------------ for the package

    def _pinned(self) -> tuple[NativeSnapshot, Callable[[], None] | None]:
        snapshot = self._native.snapshot()
        return snapshot, snapshot.close

    def _default_space(self) -> str | None:
        return self._config.embedding_space

    def _location(self) -> tuple[str, str]:
        return self._path, self._namespace

    def _save_node(self, id: str, updates: dict[str, Any], version: int | None) -> Node:
        return self._native.update_node(id, updates, version)

    def _database(self, purpose: str) -> "EmbeddedDB":
        return self

    def _status(self, id: str) -> Status:
        return Status(id, self._native.artefact_status(id))


def _checked_path(path: object) -> str:
    location = os.fspath(path) if isinstance(path, PathLike) else path
    if not isinstance(location, str) or not location:
        raise InvalidInput(f"path is {path!r}", hint="Give the name of a directory, or ':memory:'")
    return location


def _checked_config(config: object) -> Config:
    if config is None:
        return Config()
    if not isinstance(config, Config):
        raise InvalidInput(f"config is {config!r}", hint="Give a Config or Config.from_dict(…)")
    return config


_open_handles: WeakSet[EmbeddedDB] = WeakSet()


def _close_all(handles: Iterable[EmbeddedDB]) -> None:
    """Close what is still open at the end of the interpreter, so that every thread is joined."""
    for handle in list(handles):
        handle.close()


atexit.register(_close_all, _open_handles)
