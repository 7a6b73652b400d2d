"""Written by scripts/make-async from `embedded_db.database`."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    TypeVar,
)

from ..database import EmbeddedDB
from ..guesses import Guessing
from .adapting import AsyncAdapting
from .batch import AsyncBatch
from .changes import AsyncFeed
from .chats import AsyncChats
from .forgetting import AsyncForgetting
from .handles import Handle, run
from .indexes import AsyncIndexes
from .objects import AsyncObjects
from .operating import AsyncOperating
from .placing import AsyncPlacing
from .rescue import AsyncRescue
from .snapshot import AsyncSnapshot
from .transaction import AsyncTransaction
from .transfers import AsyncTransfers
from .upkeep import AsyncUpkeep
from .weaver import AsyncWeaver
from .writes import AsyncWrites

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..config import ActivityLevel, Config
    from ..models import Artefact, IdLike, Status
    from ..transaction import Transaction

__all__ = ["AsyncEmbeddedDB"]

R = TypeVar("R")


class AsyncEmbeddedDB(
    AsyncObjects,
    AsyncChats,
    AsyncFeed,
    AsyncForgetting,
    AsyncIndexes,
    AsyncAdapting,
    AsyncPlacing,
    AsyncTransfers,
    AsyncOperating,
    AsyncUpkeep,
    AsyncRescue,
    AsyncWrites,
    Guessing,
    Handle,
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
        DatabaseLocked: another process is writing and did not leave within ``lock_timeout``;
            with ``shared=True``, one that does not share the database.
        FormatTooNew: the files were written by a later version.
        Corruption: the files are damaged.
        ModelUnavailable: a model provider is named whose package is not installed.

    Examples:
        >>> from embedded_db import AsyncEmbeddedDB
        >>> async with AsyncEmbeddedDB(":memory:", ml=None) as scratch:
        ...     chat = await scratch.create_chat(title="Trip")
        ...     _ = await chat.add_message("Alice met Bob in Paris", sender="Carol")
        ...     [r.node.content for r in await scratch.query(text_query={"text": "paris"})]
        ['Alice met Bob in Paris']
        >>> scratch.closed, scratch.read_only, scratch.namespace_name, scratch.config.ml
        (True, False, 'default', None)
        >>> db.path.endswith("memory.db")
        True
        >>> await db.weaver.dead_letters()
        []
    """

    _guesses: ClassVar[Any] = EmbeddedDB._guesses

    @property
    def path(self) -> str:
        """The directory of the database."""
        return self._opened().path

    @property
    def config(self) -> Config:
        """The options it was opened with."""
        return self._config

    @property
    def read_only(self) -> bool:
        """Whether this handle only reads."""
        return self._is_read_only

    @property
    def closed(self) -> bool:
        """Whether the handle was closed."""
        return self._is_closed or (self._sync is not None and self._sync.closed)

    @property
    def namespace_name(self) -> str:
        """The namespace this handle reads and writes."""
        return self._opened().namespace_name

    async def close(self) -> None:
        """Stop the weaver and let go of the files; may be called more than once.

        Nothing that was acknowledged is lost; work not done yet goes on at the next opening.
        Snapshots, transactions and iterators that are still held raise ``DatabaseClosed``.
        Closing a handle on a namespace closes that handle only. In a forked child process the
        handle is let go of without touching the files, which are the parent's.

        Examples:
            >>> from embedded_db import AsyncEmbeddedDB
            >>> scratch = AsyncEmbeddedDB(":memory:", ml=None)
            >>> await scratch.close()
            >>> await scratch.count()
            Traceback (most recent call last):
            ...
            embedded_db.errors.DatabaseClosed: the database ... is closed. Open it again ...
        """
        await self._close()

    async def namespace(self, name: str) -> AsyncEmbeddedDB:
        """Give a handle on another namespace of the same database, which is made if it is new.

        A namespace has its own nodes, edges and ids; edges and queries never cross over. Once it
        is dropped, handles on it raise ``NotFound``; what was a snapshot before still shows it.

        Args:
            name: the namespace, 1 to 255 bytes of UTF-8.

        Raises:
            InvalidInput: the name is empty or too long.
            NotFound: the database is open read-only, and there is no such namespace.

        Examples:
            >>> ann = await db.namespace("ann")
            >>> _ = await ann.create_chat(title="Trip")
            >>> await ann.count("Chat"), await db.count("Chat")
            (1, 0)
        """
        return await self._namespace(name)

    async def namespaces(self) -> list[str]:
        """Give the names of all namespaces, in order.

        Examples:
            >>> _ = await db.namespace("ann")
            >>> await db.namespaces()
            ['ann', 'default']
        """
        return await self._run(EmbeddedDB.namespaces)

    async def drop_namespace(self, name: str) -> None:
        """Delete a namespace with everything in it, in one step.

        Args:
            name: the namespace.

        Raises:
            NotFound: there is none of this name.

        Examples:
            >>> _ = await (await db.namespace("ann")).create_chat()
            >>> await db.drop_namespace("ann")
            >>> await db.namespaces()
            ['default']
        """
        await self._wait(EmbeddedDB.drop_namespace, name)

    def transaction(self) -> AsyncTransaction:
        """Begin writes that become visible together: ``async with db.transaction() as tx:``.

        An exception inside the block rolls back. Calls on the database itself inside the block
        are outside the transaction. No lock is held while the block runs.

        Raises:
            Conflict: at the end of the block, when something that was read or written has been
                changed by someone else; see `run`.
            InvalidInput: a transaction is open already; they do not nest.

        Examples:
            >>> async with db.transaction() as tx:
            ...     ann = await tx.create_node({"label": "Person", "properties": {"name": "Ann"}})
            ...     bob = await tx.create_node({"label": "Person", "properties": {"name": "Bob"}})
            ...     _ = await tx.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
            ...     await db.count("Person")
            0
            >>> await db.count("Person")
            2
        """
        return AsyncTransaction(self)

    def batch(self, size: int = 1000) -> AsyncBatch:
        """Write much, stored a chunk at a time; see `embedded_db.Batch`.

        Quicker than single writes by far, for a chunk is one step of the store. Not all or
        nothing: for that there is `transaction`. What is there as lists or tables already goes in
        by `create_nodes`, `create_edges` and `load_arrow`.

        Args:
            size: most writes of a chunk.

        Raises:
            InvalidInput: ``size`` is not 1 or more.

        Examples:
            >>> async with db.batch() as batch:
            ...     ann = await batch.create_node(
            ...         {"label": "Person", "properties": {"name": "Ann"}}
            ...     )
            ...     rex = await batch.create_node({"label": "Dog"})
            ...     owns = await batch.create_edge({"source": ann, "target": rex, "type": "OWNS"})
            >>> [node.id == rex async for node in db.neighbors(ann)]
            [True]
        """
        return AsyncBatch(self, size)

    async def run(
        self,
        function: Callable[[AsyncTransaction], Awaitable[R]] | Callable[[Transaction], R],
        attempts: int = 10,
    ) -> R:
        """Run a function in a transaction, again when someone else committed first.

        Args:
            function: called with the transaction; may be called several times.
            attempts: most calls.

        Returns:
            What the function returned.

        Raises:
            Conflict: every attempt met one.

        Examples:
            >>> id = await db.create_node({"label": "Counter", "properties": {"n": 1}})
            >>> async def count_up(tx):
            ...     n = (await tx.get_node(id))["n"] + 1
            ...     await tx.update_node(id, {"n": n})
            ...     return n
            >>> await db.run(count_up)
            2
        """
        result: R = await run(self, function, attempts)
        return result

    def snapshot(self) -> AsyncSnapshot:
        """Pin this instant for several reads: ``async with db.snapshot() as s:``.

        Raises:
            QuotaExceeded: 1,000 states are held already; close snapshots that are not needed.

        Examples:
            >>> async with db.snapshot() as before:
            ...     _ = await db.create_chat(title="Trip")
            ...     (await before.count("Chat"), await db.count("Chat"))
            (0, 1)
        """
        return AsyncSnapshot(self)

    @property
    def weaver(self) -> AsyncWeaver:
        """The background worker: dead letters, retrying, pausing."""
        return AsyncWeaver(self)

    async def weaver_status(self) -> dict[str, Any]:
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
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> _ = await (await woven.create_chat()).add_message("Alice met Bob")
            >>> await woven.flush(timeout=30)
            >>> status = await woven.weaver_status()
            >>> status["queue_size"], status["per_job"]["embedding"]["done"]
            (0, 1)
            >>> await woven.close()
        """
        return await self._run(EmbeddedDB.weaver_status)

    async def set_activity_level(self, level: ActivityLevel) -> None:
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
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> await woven.set_activity_level("SleepMode")
            >>> (await woven.weaver_status())["activity_level"]
            'SleepMode'
            >>> await woven.close()
        """
        await self._run(EmbeddedDB.set_activity_level, level)

    async def flush(self, timeout: float | None = None, *, progress: bool = False) -> None:
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
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> message = await (await woven.create_chat()).add_message("Alice met Bob")
            >>> await woven.flush(timeout=30)
            >>> (await message.status()).embedding
            'ready'
            >>> await woven.close()
        """
        await self._wait(EmbeddedDB.flush, timeout, progress=progress)

    async def wait_for(
        self, message: IdLike, artefact: Artefact, timeout: float | None = None
    ) -> Status:
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
            >>> woven = AsyncEmbeddedDB(":memory:", ml=FakeModel())
            >>> message = await (await woven.create_chat()).add_message("Alice met Bob")
            >>> (await woven.wait_for(message, "entities", timeout=30)).entities
            'ready'
            >>> await woven.close()
        """
        return await self._wait(EmbeddedDB.wait_for, message, artefact, timeout)

    async def stats(self) -> dict[str, Any]:
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
            >>> _ = await (await db.create_chat()).add_message("Hello")
            >>> stats = await db.stats()
            >>> stats["nodes"], stats["edges"], stats["operations"]["write"]["ok"]
            (2, 1, 2)
        """
        return await self._run(EmbeddedDB.stats)
