"""The database: opening, chats, transactions, the weaver, operations."""

import atexit
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import timedelta
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, cast, get_args
from weakref import WeakSet

from . import tracing
from . import transaction as transactions
from . import weaver as weaving
from ._native import Database as NativeDatabase
from ._native import Edge, Hits, Node, calls_end, calls_refuse
from ._native import Snapshot as NativeSnapshot
from .adapting import Adapting
from .arguments import choice_argument, path_argument
from .batch import Batch
from .changes import Feed
from .chats import Chats, ChatStore
from .config import ActivityLevel, Config, ConfigOptions, ModelFunctions
from .errors import DatabaseClosed, InvalidInput, NotFound, shown
from .forgetting import Forgetting
from .guesses import DATABASE, Guessing
from .indexes import Indexes
from .log_records import follow
from .models import Artefact, IdLike, Status, id_of
from .objects import Objects, store_in_database
from .operating import Operating
from .placing import Placing
from .rescue import Rescue
from .snapshot import Snapshot
from .transaction import Transaction
from .transfers import Transfers
from .upkeep import Upkeep
from .weaver import Weaver
from .writes import Writes

if TYPE_CHECKING:
    from .aio.pool import Pool
    from .models.edges import EdgeModel
    from .models.nodes import NodeModel

__all__ = ["EmbeddedDB", "checked_config"]

R = TypeVar("R")

DEFAULT_NAMESPACE: Final = "default"
MEMORY: Final = ":memory:"


class _Closed:
    """Stands in the place of a native handle that was closed."""

    __slots__ = ("_shown",)

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __getattr__(self, name: str) -> Any:
        raise DatabaseClosed(
            f"the database {self._shown!r} is closed",
            hint="Open it again with EmbeddedDB(path)",
            path=self._shown,
        )


class EmbeddedDB(
    Objects,
    Chats,
    Feed,
    Forgetting,
    Indexes,
    Adapting,
    Placing,
    Transfers,
    Operating,
    Upkeep,
    Rescue,
    Writes,
    Guessing,
):
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
        DatabaseLocked: another process is writing and did not leave within ``lock_timeout``; with
            ``shared=True``, one that does not share the database.
        FormatTooNew: the files were written by a later version.
        Corruption: the files are damaged.
        ModelUnavailable: a model provider is named whose package is not installed.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> with EmbeddedDB(":memory:", ml=None) as scratch:
        ...     chat = scratch.create_chat(title="Trip")
        ...     _ = chat.add_message("Alice met Bob in Paris", sender="Carol")
        ...     [r.node.content for r in scratch.query(text_query={"text": "paris"})]
        ['Alice met Bob in Paris']
        >>> scratch.closed, scratch.read_only, scratch.namespace_name, scratch.config.ml
        (True, False, 'default', None)
        >>> db.path.endswith("memory.db")
        True
        >>> db.weaver.dead_letters()
        []
    """

    _native: NativeDatabase
    _guesses = DATABASE
    _pool: "Pool | None" = None
    """The threads of the asynchronous handle that it belongs to."""

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        config: Config | None = None,
        read_only: bool = False,
        **overrides: Unpack[ConfigOptions],
    ) -> None:
        location = path_argument("path", path, "Give the name of a directory, or ':memory:'")
        settings = checked_config(config).with_options(overrides)
        functions = settings._functions()
        follow()
        if settings.tracing is not None:
            tracing.begin()
        native = NativeDatabase.open(location, settings._to_native(read_only=read_only), *functions)
        self._set_up(native, settings, functions, parent=None, shown=location)
        _open_handles.add(self)

    def _set_up(
        self,
        native: NativeDatabase,
        config: Config,
        functions: tuple[ModelFunctions | None, ModelFunctions | None],
        parent: "EmbeddedDB | None",
        shown: str,
    ) -> None:
        self._native = native
        self._closed = False
        self._config = config
        self._functions, self._previous = functions
        self._parent = parent
        self._path = native.path
        # How messages call it: the directory of one in memory means nothing to anybody.
        self._shown = MEMORY if shown == MEMORY else self._path
        self._namespace = native.namespace_name
        self._read_only = native.read_only
        self._process = os.getpid()
        self._children: WeakSet[EmbeddedDB] = WeakSet()
        self._registered: set[type[object]] = set()

    # ------------------------------------------------------------------ the handle

    def _by_reflex(self, query: dict[str, Any], near: bool) -> Hits:
        return self._native.query_by_reflex(query, near)

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

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> scratch = EmbeddedDB(":memory:", ml=None)
            >>> scratch.close()
            >>> scratch.count()
            Traceback (most recent call last):
            ...
            embedded_db.errors.DatabaseClosed: the database ... is closed. Open it again ...
        """
        if self._closed:
            return
        self._closed = True
        native = self._native
        for child in list(self._children):
            child.close()
        self._native = cast("NativeDatabase", _Closed(self._shown))
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
        parts = [repr(self._shown)]
        if self._parent is not None:
            parts.append(f"namespace={self._namespace!r}")
        if self._read_only:
            parts.append("read_only=True")
        holds = None if self.closed else self._holds()
        if holds is not None:
            parts.append(f"shared=True, {'holds' if holds else 'forwards'}")
        state = " (closed)" if self.closed else ""
        return f"EmbeddedDB({', '.join(parts)}){state}"

    def _holds(self) -> bool | None:
        """Tell whether a shared database is written by this process; None when it is not shared."""
        return self._native.holds() if self._config.shared else None

    def namespace(self, name: str) -> "EmbeddedDB":
        """Give a handle on another namespace of the same database, which is made if it is new.

        A namespace has its own nodes, edges and ids; edges and queries never cross over. Once it
        is dropped, handles on it raise ``NotFound``; what was a snapshot before still shows it.

        Args:
            name: the namespace, 1 to 255 bytes of UTF-8.

        Raises:
            InvalidInput: the name is empty or too long.
            NotFound: the database is open read-only, and there is no such namespace.

        Examples:
            >>> ann = db.namespace("ann")
            >>> _ = ann.create_chat(title="Trip")
            >>> ann.count("Chat"), db.count("Chat")
            (1, 0)
        """
        root = self if self._parent is None else self._parent
        handle = EmbeddedDB.__new__(EmbeddedDB)
        handle._set_up(
            self._native.namespace(name),
            self._config,
            (self._functions, self._previous),
            root,
            self._shown,
        )
        root._children.add(handle)
        return handle

    def namespaces(self) -> list[str]:
        """Give the names of all namespaces, in order.

        Examples:
            >>> _ = db.namespace("ann")
            >>> db.namespaces()
            ['ann', 'default']
        """
        return self._native.namespaces()

    def drop_namespace(self, name: str) -> None:
        """Delete a namespace with everything in it, in one step.

        Args:
            name: the namespace.

        Raises:
            NotFound: there is none of this name.

        Examples:
            >>> _ = db.namespace("ann").create_chat()
            >>> db.drop_namespace("ann")
            >>> db.namespaces()
            ['default']
        """
        self._native.drop_namespace(name)

    # ------------------------------------------------------------------ transactions

    def transaction(self) -> Transaction:
        """Begin writes that become visible together: ``with db.transaction() as tx:``.

        An exception inside the block rolls back. Calls on the database itself inside the block
        are outside the transaction. No lock is held while the block runs.

        Raises:
            Conflict: at the end of the block, when something that was read or written has been
                changed by someone else; see `run`.
            InvalidInput: a transaction is open already; they do not nest.

        Examples:
            >>> with db.transaction() as tx:
            ...     ann = tx.create_node({"label": "Person", "properties": {"name": "Ann"}})
            ...     bob = tx.create_node({"label": "Person", "properties": {"name": "Bob"}})
            ...     _ = tx.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            ...     db.count("Person")
            0
            >>> db.count("Person")
            2
        """
        return Transaction(self)

    def batch(self, size: int = 1_000) -> Batch:
        """Write much, stored a chunk at a time; see `embedded_db.Batch`.

        Quicker than single writes by far, for a chunk is one step of the store. Not all or
        nothing: for that there is `transaction`. What is there as lists or tables already goes in
        by `create_nodes`, `create_edges` and `load_arrow`.

        Args:
            size: most writes of a chunk.

        Raises:
            InvalidInput: ``size`` is not 1 or more.

        Examples:
            >>> with db.batch() as batch:
            ...     ann = batch.create_node({"label": "Person", "properties": {"name": "Ann"}})
            ...     rex = batch.create_node({"label": "Dog"})
            ...     owns = batch.create_edge({"source": ann, "target": rex, "type": "OWNS"})
            >>> [node.id == rex for node in db.neighbors(ann)]
            [True]
        """
        return Batch(self, size)

    def run(self, function: Callable[[Transaction], R], attempts: int = 10) -> R:
        """Run a function in a transaction, again when someone else committed first.

        Args:
            function: called with the transaction; may be called several times.
            attempts: most calls.

        Returns:
            What the function returned.

        Raises:
            Conflict: every attempt met one.

        Examples:
            >>> id = db.create_node({"label": "Counter", "properties": {"n": 1}})
            >>> def count_up(tx):
            ...     n = tx.get_node(id)["n"] + 1
            ...     tx.update_node(id, {"n": n})
            ...     return n
            >>> db.run(count_up)
            2
        """
        return transactions.run(self, function, attempts)

    def snapshot(self) -> Snapshot:
        """Pin this instant for several reads: ``with db.snapshot() as s:``.

        Raises:
            QuotaExceeded: 1,000 states are held already; close snapshots that are not needed.

        Examples:
            >>> with db.snapshot() as before:
            ...     _ = db.create_chat(title="Trip")
            ...     before.count("Chat"), db.count("Chat")
            (0, 1)
        """
        return Snapshot(self, self._native.snapshot())

    # ------------------------------------------------------------------ the weaver

    @property
    def weaver(self) -> Weaver:
        """The background worker: dead letters, retrying, pausing."""
        return Weaver(self)

    def weaver_status(self) -> dict[str, Any]:
        """Tell what the background worker is doing.

        Returns:
            ``active_workers``, ``paused`` (whether it takes up nothing), ``queue_size`` (jobs
            waiting or running, but for topics and proposed ties, which are made in SleepMode),
            ``last_event``, ``activity_level``, ``per_job`` (pending, running, done, failed and dead
            of each job), ``lag_seconds`` (age of the oldest that waits, of the first hundred of
            each namespace), ``throughput`` (texts embedded per second of work), ``reembedding``:
            None, or, while
            texts are embedded with another model, ``space`` (of that), ``from`` (the one in use),
            ``done`` and ``failed`` of ``total`` nodes, and ``limits``: a dict for each function
            that has a `Limit`: ``calls``, ``texts`` and ``characters`` of the last sixty seconds,
            ``cost_today``, and ``waits_for`` and ``waits_until``: the attribute of the limit that
            its work waits for, and the time; both None when it does not wait. Without a weaver,
            with ``ml=None`` or ``read_only``, event and level are ``"off"``.

        Examples:
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> _ = woven.create_chat().add_message("Alice met Bob")
            >>> woven.flush(timeout=30)
            >>> status = woven.weaver_status()
            >>> status["queue_size"], status["per_job"]["embedding"]["done"]
            (0, 1)
            >>> woven.close()
        """
        return self._native.weaver_status()

    def set_activity_level(self, level: ActivityLevel) -> None:
        """Say how much of the machine the weaver may take.

        Args:
            level: ``"HighActivity"`` (embedding and entities only, few at a time), ``"Normal"``,
                ``"LowActivity"`` (all work but topics, many at a time), ``"SleepMode"`` (topics,
                too) or ``"Auto"``: HighActivity while writes and queries come quickly, eight of
                them within five seconds, but for the last ten seconds of each minute of that;
                SleepMode after thirty minutes without any; else Normal. While somebody waits, in
                `flush` or for links or a summary, all work is done that Normal does.

        Raises:
            InvalidInput: there is no such level.

        Examples:
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> woven.set_activity_level("SleepMode")
            >>> woven.weaver_status()["activity_level"]
            'SleepMode'
            >>> woven.close()
        """
        choice_argument("the activity level", level, get_args(ActivityLevel))
        self._native.set_activity_level(level)

    def flush(self, timeout: float | None = None, *, progress: bool = False) -> None:
        """Wait until everything stored so far is enriched, and indexes are built.

        What has expired is deleted by then. What is stored meanwhile is waited for, too: beside
        somebody who writes faster than the models work, give a ``timeout``. With ``ml=None``
        nothing is enriched: messages stay pending, as their ``status.waits_for`` says, until the
        database is opened with a model.

        Args:
            timeout: seconds to wait at most; no limit when left out.
            progress: draw a progress bar on standard error.

        Raises:
            EnrichmentFailed: some work was given up; ``failures`` lists it.
            StorageFull: results find no room; none is lost, the work goes on when there is some.
            QuotaExceeded: results find no room within a quota; what does not need it is done.
            Timeout: the time passed; the work goes on, unless the weaver is paused. The message
                says what waits for a `Limit`.
            ReadOnly: the handle only reads.

        Examples:
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> message = woven.create_chat().add_message("Alice met Bob")
            >>> woven.flush(timeout=30)
            >>> message.status.embedding
            'ready'
            >>> woven.close()
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
            EnrichmentFailed: the work was given up, or waits for a model that cannot be used; the
                hint says which, and ``failures`` lists it.
            StorageFull: results find no room; the work goes on when there is some.
            Timeout: the time passed; the work goes on, unless the weaver is paused.

        Examples:
            >>> from embedded_db.testing import FakeModel
            >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
            >>> message = woven.create_chat().add_message("Alice met Bob")
            >>> woven.wait_for(message, "entities", timeout=30).entities
            'ready'
            >>> woven.close()
        """
        return weaving.wait_for(self, id_of(message), artefact, timeout)

    # ------------------------------------------------------------------ operations

    def stats(self) -> dict[str, Any]:
        """Count what is stored: nodes, edges, embeddings, jobs, bytes and more, by name.

        ``unsynced_commits`` were acknowledged but are not on the disk yet, with
        ``durability="relaxed"``: what a power cut would take now. It is None where that is not
        known: in a reader, and with ``durability="memory"``. ``quota`` tells for each resource of a
        `Quota` how much is ``used`` in all namespaces, the ``limit``, and how many ``rejections``
        there were for it since the opening. ``operations`` tells for each kind of call how often it
        was made since then: ``ok``, ``failed`` (by the name of the error), and of those that were
        ``measured`` how many ``seconds`` they took together. `metrics` gives more, as text for
        Prometheus. ``shared`` tells of a database that is open with ``shared=True`` whether this
        process ``holds`` the right to write or ``forwards`` its writes (``role``), the ``pid`` of
        the one that holds it, and there how many ``connections`` others have to it.

        Examples:
            >>> _ = db.create_chat().add_message("Hello")
            >>> stats = db.stats()
            >>> stats["nodes"], stats["edges"], stats["operations"]["write"]["ok"]
            (2, 1, 2)
        """
        return self._native.stats()

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

    def _writer(self, purpose: str) -> "EmbeddedDB":
        transactions.refuse_apart(self._location(), purpose)
        return self

    def _unlink(self, id: str, type: str, direction: str, far: str) -> int:
        return transactions.run(self, lambda tx: tx._unlink(id, type, direction, far), own=True)

    def _store(
        self,
        nodes: "list[NodeModel]",
        edges: "list[EdgeModel]",
        ttl: float | timedelta | None,
    ) -> None:
        store_in_database(self, nodes, edges, ttl)

    def _chat_store(self) -> ChatStore:
        return self._native

    def _status(self, id: str) -> Status:
        waits_for = None
        if self._read_only:
            waits_for = "a process that writes, for this handle only reads"
        elif self._config.ml is None and not self._config.shared:
            waits_for = "a model, for the database is open with ml=None"
        return Status(id, self._native.artefact_status(id), waits_for)


def checked_config(config: object) -> Config:
    """Take a configuration, or None for the usual one.

    Raises:
        InvalidInput: it is neither.
    """
    if config is None:
        return Config()
    if not isinstance(config, Config):
        raise InvalidInput(
            f"config is {shown(config)}", hint="Give a Config or Config.from_dict(…)"
        )
    return config


_LONGEST_END: Final = 1.5
"""Seconds that the end of a program waits at most for calls of other threads."""

_open_handles: WeakSet[EmbeddedDB] = WeakSet()


def open_handles() -> list[EmbeddedDB]:
    """Give the handles that are open in this process, those on namespaces included.

    Those of asynchronous ones are not: reading from them would hold up an event loop.
    """
    roots = list(_open_handles)
    handles = [handle for root in roots for handle in (root, *root._children)]
    return [handle for handle in handles if not handle.closed and handle._pool is None]


def _close_all(handles: Iterable[EmbeddedDB]) -> None:
    """Close what is still open at the end of the interpreter, so that every thread is joined."""
    calls_refuse()
    with ExitStack() as stack:
        # Last of all, threads whose calls end now come back before the interpreter goes.
        stack.callback(calls_end, _LONGEST_END)
        for handle in list(handles):
            stack.callback(handle.close)


atexit.register(_close_all, _open_handles)
