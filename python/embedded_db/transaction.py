"""Several writes, all or nothing."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast
from weakref import ReferenceType, WeakValueDictionary, ref

from ._native import Edge, Embedding, Node, Step
from ._native import Transaction as NativeTransaction
from .arguments import names_argument, whole_argument
from .chats import Chats, ChatStore
from .checks import direction as native_direction
from .errors import Conflict, InvalidInput, NotFound
from .guesses import TRANSACTION, Guessing
from .memory import Memory, forget_in
from .models import AnyNode, IdLike, id_of, wrap, wrap_all
from .models.drafts import with_vector_space
from .objects import Objects, store_in_transaction
from .querying import Asked, Querying
from .reads import Pages, checked_cursor, checked_limit, with_space

if TYPE_CHECKING:
    from .database import EmbeddedDB
    from .models.edges import EdgeModel
    from .models.nodes import NodeModel
    from .models.owner import Held, Owner

__all__ = ["Transaction"]

R = TypeVar("R")

# Those that were entered in a context. A task takes them over from where it is made, and one may
# end in another context or be forgotten: what counts is whether it is open.
_entered: "ContextVar[tuple[ReferenceType[Transaction], ...]]" = ContextVar(
    "embedded_db_transactions", default=()
)

MOST: Final = 1 << 32
"""More messages than a chat can have, and more neighbours than a node."""
FIRST_PAUSE: Final = 0.001
LONGEST_PAUSE: Final = 0.1


class Transaction(Objects, Chats, Memory, Querying, Guessing):
    """Writes that become visible together at commit, over one pinned state.

    Made by `EmbeddedDB.transaction`; a context manager that commits at its end and rolls back on
    an exception. No lock is held while it is open: at commit the versions of everything that was
    read or written are checked, and the first committer wins. Point reads, neighbours and the
    messages of chats see its own writes, queries and searches see the state at its beginning. What
    only a query found is not checked: a node that comes to match it meanwhile, or stops to, is no
    conflict.

    Objects that it gives are bound to it: what they write goes into it. At the commit they go over
    to the database, as they were stored; after a rollback they can only be looked at. Messages
    that are added to a chat are put behind what is in it at the commit, so that others who add to
    the same chat are no conflict.

    Several threads may use one. What a call writes is made or undone as a whole, and what other
    threads read, write or commit waits for it. Their calls should have ended before the block
    does: those that come later are refused.

    Examples:
        >>> ann = db.create_node({"label": "Person", "properties": {"name": "Ann"}})
        >>> with db.transaction() as tx:
        ...     bob = tx.create_node({"label": "Person", "properties": {"name": "Bob"}})
        ...     knows = tx.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
        ...     tx.update_node(ann, {"friends": 1})
        ...     [node["name"] for node in tx.neighbors(ann)], tx.get_node(ann)["friends"]
        (['Bob'], 1)
        >>> try:
        ...     with db.transaction() as tx:
        ...         tx.delete_node(ann)
        ...         raise RuntimeError("never mind")
        ... except RuntimeError:
        ...     db.exists(ann)
        True
        >>> with db.transaction() as tx:
        ...     chat = tx.create_chat(title="Trip")
        ...     _ = chat.add_message("To Paris?", sender="Ann")
        ...     _ = tx.create_message(chat, "Gladly!", sender="Bob")
        ...     [message.content for message in chat.messages()], db.exists(chat)
        (['To Paris?', 'Gladly!'], False)
        >>> chat.add_message("When?", sender="Ann").previous.content
        'Gladly!'
    """

    _guesses = TRANSACTION
    _called = "tx"
    _apart = "A transaction has it not, for it is about what is committed"

    def __init__(self, database: "EmbeddedDB", *, own: bool = False) -> None:
        # `own`: one of the library's, within one call, which may run inside a user's block.
        self._parent = database
        self._is_own = own
        self._begun: NativeTransaction | None = None
        self._ended = False
        self._is_committed = False
        # The objects that it gave, as far as somebody has them still, by their identity: those that
        # equal each other are several.
        self._given: WeakValueDictionary[int, Held] = WeakValueDictionary()

    @property
    def _native(self) -> NativeTransaction:
        if self._begun is None:
            if self._ended:
                raise InvalidInput(
                    "the transaction has ended",
                    hint="Read an object that was made or read in it again, with db.get or "
                    "db.get_node; for more writes begin a new one with db.transaction()",
                )
            raise InvalidInput(
                "the transaction is not open",
                hint="Use it inside its with block: with db.transaction() as tx: …",
            )
        return self._begun

    def __enter__(self) -> Self:
        if self._begun is not None or self._ended:
            raise InvalidInput(
                "the transaction was entered twice", hint="Begin a new one with db.transaction()"
            )
        if self._is_own:
            self._begun = self._parent._native.transaction()
            return self
        still_open = _still_open()
        if any(other._parent.path == self._parent.path for other in still_open):
            raise InvalidInput(
                f"a transaction on {self._parent._shown!r} is open already; "
                "transactions do not nest",
                hint="Use the open one, or commit it first",
            )
        self._begun = self._parent._native.transaction()
        self._enter()
        return self

    def _enter(self) -> None:
        """Note in the context that it is open."""
        _entered.set((*map(ref, _still_open()), ref(self)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(commit=kind is None)

    def _end(self, *, commit: bool) -> None:
        transaction = self._begun
        if transaction is None:
            return
        try:
            if not commit:
                return
            with transaction.step():  # what another thread is at comes to its end first
                given = self._release()
        finally:
            if self._begun is not None:
                self._release()
                transaction.rollback()
        nodes = [
            (each, record) for each in given if isinstance(record := each._record_held(), Node)
        ]
        edges = [
            (each, record) for each in given if isinstance(record := each._record_held(), Edge)
        ]
        stored_nodes, stored_edges = transaction.commit(
            [record for _, record in nodes], [record for _, record in edges]
        )
        self._is_committed = True
        for (each, _), stored in zip([*nodes, *edges], [*stored_nodes, *stored_edges], strict=True):
            each._go_over(self._parent, stored)

    def _release(self) -> "list[Held]":
        """Take no more calls, and give the objects that somebody has still."""
        self._begun, self._ended = None, True
        # One step for the interpreter: the collector may take some meanwhile.
        given = [held for ref in self._given.valuerefs() if (held := ref()) is not None]
        self._given.clear()
        return given

    def _step(self) -> Step:
        """Undo what the block has written when it fails, and nothing else; other threads wait."""
        return self._native.step()

    def create_node(self, node: Mapping[str, Any]) -> str:
        """Buffer a new node; see `EmbeddedDB.create_node`."""
        return self._native.create_node(with_vector_space(node, self._default_space()))

    def get_node(self, id: IdLike) -> AnyNode | None:
        """Read a node as `EmbeddedDB.get_node`, this transaction's own writes included."""
        node = self._raw_node(id_of(id))
        return None if node is None else wrap(self, node)

    def update_node(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Buffer a change of properties; see `EmbeddedDB.update_node`.

        Raises:
            NotFound: the node does not exist.
        """
        self._native.update_node(id_of(id), cast("dict[str, Any]", updates))

    def set_ttl(self, id: IdLike, ttl: float | timedelta | None) -> None:
        """Buffer how long a node is to be there, from the commit on; see `EmbeddedDB.set_ttl`.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: ``ttl`` is no such time.
        """
        self._native.set_ttl(id_of(id), ttl)

    def delete_node(self, id: IdLike) -> None:
        """Buffer the deletion of a node with its edges; see `EmbeddedDB.delete_node`.

        A chat goes with its messages and summaries as they are at the commit, as with
        `EmbeddedDB.delete_node`: a message that was changed or added meanwhile is no conflict, and
        goes too, unless the transaction read it by its id.

        Raises:
            NotFound: the node does not exist.
        """
        self._native.delete_node(id_of(id))

    def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Buffer a new edge; see `EmbeddedDB.create_edge`.

        Raises:
            NotFound: one of its ends does not exist.
        """
        return self._native.create_edge(cast("dict[str, Any]", edge))

    def get_edge(self, id: IdLike) -> Edge | None:
        """Read an edge as `EmbeddedDB.get_edge`, this transaction's own writes included."""
        return self._native.get_edge(id_of(id))

    def update_edge(self, id: IdLike, updates: Mapping[str, Any]) -> None:
        """Buffer a change of an edge; see `EmbeddedDB.update_edge`.

        Raises:
            NotFound: the edge does not exist.
        """
        self._native.update_edge(id_of(id), cast("dict[str, Any]", updates))

    def supersede_edge(self, id: IdLike, new_edge: Mapping[str, Any]) -> str:
        """Buffer an edge in the place of another; see `EmbeddedDB.supersede_edge`.

        Raises:
            NotFound: the edge or an end of the new one does not exist.
            AlreadyExists: the new id is taken.
            InvalidInput: the new edge does not begin after the other.
        """
        return self._native.supersede_edge(id_of(id), cast("dict[str, Any]", new_edge))

    def retract_edge(self, id: IdLike) -> None:
        """Buffer that an edge is taken back; see `EmbeddedDB.retract_edge`.

        Raises:
            NotFound: the edge does not exist, or was retracted already.
        """
        self._native.retract_edge(id_of(id))

    def delete_edge(self, id: IdLike) -> None:
        """Buffer the deletion of an edge with its history; see `EmbeddedDB.delete_edge`.

        Raises:
            NotFound: the edge does not exist.
        """
        self._native.delete_edge(id_of(id))

    def create_embedding(self, embedding: Mapping[str, Any]) -> str:
        """Buffer a new embedding; see `EmbeddedDB.create_embedding`.

        Raises:
            NotFound: its node does not exist.
        """
        return self._native.create_embedding(with_space(embedding, self._default_space()))

    def get_embedding_for_node(self, id: IdLike, space: str | None = None) -> Embedding | None:
        """Read an embedding as `EmbeddedDB.get_embedding_for_node`, own writes included.

        A node whose text was changed in the transaction has none, unless a user has set it.

        Raises:
            NotFound: the node or the space does not exist.
        """
        space = self._default_space() if space is None else space
        return self._native.get_embedding_for_node(id_of(id), space)

    def delete_embedding(self, id: IdLike) -> None:
        """Buffer the deletion of an embedding; see `EmbeddedDB.delete_embedding`.

        Raises:
            NotFound: the embedding does not exist.
        """
        self._native.delete_embedding(id_of(id))

    def forget(self, id: IdLike | None = None, *, source: IdLike | None = None) -> int:
        """Buffer the deletion of a node, or of everything from one source.

        See `EmbeddedDB.forget`; a namespace is dropped outside of transactions. Found by its source
        is what had it when the transaction began, and what the transaction itself has written.

        Args:
            id: a node of any kind, or its id.
            source: the source.

        Returns:
            How many nodes were asked for.

        Raises:
            InvalidInput: none or both of the arguments are given.
            NotFound: there is no such node. A source without nodes gives 0.

        Examples:
            >>> old = db.remember("Eve lives in Oslo", source="call")
            >>> with db.transaction() as tx:
            ...     new = tx.remember("Eve lives in Rome", source="letter", supersedes=old)
            ...     tx.forget(source="letter"), tx.get_node(old).current
            (1, True)
        """
        with self._step():
            return forget_in(self, id, source)

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
    ) -> "Pages[AnyNode]":
        """Iterate over neighbours as `EmbeddedDB.neighbors`, own writes included.

        A node that several edges lead to comes once for each of them. What is iterated over is
        the state at the call.

        Args:
            id: the node.
            type: one edge type or several; all when left out.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most nodes.
            after: the ``cursor`` of an earlier, exhausted iterator, to go on behind it.
            valid_at: only edges that are true in the world then (a time with a time zone); their
                validity is not asked for when left out.
            known_at: the edges as the database, or this transaction, held them for true then; as
                they are now when left out.

        Raises:
            NotFound: the node does not exist.
            InvalidInput: the direction, the type, ``limit`` or ``after`` is none, or a time has no
                time zone.

        Examples:
            >>> one, two = db.create_nodes([{"label": "City"}, {"label": "City"}])
            >>> with db.transaction() as tx:
            ...     _ = tx.create_edge({"source": one, "target": two, "type": "ROAD"})
            ...     [node.id == two for node in tx.neighbors(one)], list(db.neighbors(one))
            ([True], [])
        """
        node, types, way = id_of(id), names_argument("type", type), native_direction(direction)
        behind, most = checked_cursor(after), _most(limit)
        nodes, cursor = self._native.neighbors(node, types, way, behind, most, valid_at, known_at)
        # At once, for they are to go over at the commit.
        return Pages(wrap_all(self, nodes), cursor)

    def _messages(
        self, chat_id: str, after: str | None, limit: int | None, newest_first: bool
    ) -> "Iterator[AnyNode]":
        nodes = self._native.messages(chat_id, after, newest_first, _most(limit))
        return iter(wrap_all(self, nodes))

    def _asked(self) -> Asked:
        return self._native

    def _default_space(self) -> str | None:
        return self._parent._default_space()

    def _location(self) -> tuple[str, str]:
        return self._parent._location()

    def _raw_node(self, id: str) -> Node | None:
        return self._native.get_node(id)

    def _save_node(self, id: str, updates: dict[str, Any], expected: Node | None) -> Node:
        transaction = self._native
        with transaction.step():
            stored = transaction.get_node(id)
            if expected is not None and stored is not None and _state(stored) != _state(expected):
                raise Conflict(
                    f"node {id!r} was changed in this transaction after it was read",
                    hint="Read it again, or save(force=True)",
                    id=id,
                )
            transaction.update_node(id, updates)
            node = transaction.get_node(id)
        assert node is not None, "a node that was just updated can be read"
        return node

    def _save_edge(self, id: str, updates: dict[str, Any], expected: Edge | None) -> Edge:
        transaction = self._native
        with transaction.step():
            stored = transaction.get_edge(id)
            if expected is not None and stored is not None and _state(stored) != _state(expected):
                raise Conflict(
                    f"edge {id!r} was changed after it was read",
                    hint="Read it again, or save(force=True)",
                    id=id,
                )
            transaction.update_edge(id, updates)
            edge = transaction.get_edge(id)
        assert edge is not None, "an edge that was just updated can be read"
        return edge

    def _of_database(self) -> "EmbeddedDB":
        return self._parent

    def _store(
        self,
        nodes: "list[NodeModel]",
        edges: "list[EdgeModel]",
        ttl: float | timedelta | None,
    ) -> None:
        store_in_transaction(self, nodes, edges, ttl)

    def _chat_store(self) -> ChatStore:
        return self._native

    def _writer(self, purpose: str) -> "Transaction":
        return self

    def _unlink(self, id: str, type: str, direction: str, far: str) -> int:
        edges = self._native.edges_between(id, far, type, native_direction(direction))
        if not edges:
            raise NotFound(
                f"{id!r} has no edge {type} to {far!r}",
                hint="It may have been removed already",
                id=far,
            )
        with self._step():
            for edge in edges:
                self._native.delete_edge(edge)
        return len(edges)

    def _in_one_step(self, write: "Callable[[Transaction], str]") -> object:
        with self._step():
            return self.get_node(write(self))

    def _hold(self, held: "Held") -> "Owner":
        if self._is_committed:
            return self._parent
        self._given[id(held)] = held
        return self

    def _database(self, purpose: str) -> "EmbeddedDB":
        raise InvalidInput(
            f"{purpose} does not work on what was read in a transaction: it tells of what is "
            "committed, and of nothing that the transaction has written",
            hint="Read the object from the database itself, outside the transaction",
        )

    def __repr__(self) -> str:
        state = "open" if self._begun is not None else "not open"
        return f"<Transaction on {self._parent!r}, {state}>"


def _still_open() -> list[Transaction]:
    """Give the transactions of users that were entered in this context and have not ended."""
    entered = (reference() for reference in _entered.get())
    return [each for each in entered if each is not None and each._begun is not None]


def _most(limit: int | None) -> int:
    most = checked_limit(limit)
    return MOST if most is None else min(most, MOST)


def _state(record: Node | Edge) -> tuple[int, datetime]:
    """What a change of a node or edge makes another, and making it anew under its id."""
    made = record.created_at if isinstance(record, Node) else record.recorded_at
    return record.version, made


def refuse_apart(location: tuple[str, str], purpose: str) -> None:
    """Refuse a write beside the transaction in whose block it stands, which it would escape.

    Args:
        location: path and namespace of what is written.
        purpose: what is done.

    Raises:
        InvalidInput: a transaction on them is open here.
    """
    if any(location == each._location() for each in _still_open()):
        raise InvalidInput(
            f"{purpose} of an object that was not read in the transaction that is open here: it "
            "would be written at once, and stay if the transaction does not",
            hint="Read the object in the transaction, with tx.get(…), or write after its block",
        )


def run(
    database: "EmbeddedDB",
    function: Callable[[Transaction], R],
    attempts: int = 10,
    *,
    own: bool = False,
) -> R:
    """Run a function in a transaction, again after every conflict.

    With ``own`` it is one of the library's, within one call: it may run inside a user's block.
    """
    attempts = whole_argument("attempts", attempts)
    pause = FIRST_PAUSE
    for attempt in range(1, attempts + 1):
        try:
            with Transaction(database, own=own) as transaction:
                return function(transaction)
        except Conflict:
            if attempt == attempts:
                raise
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
    raise AssertionError("unreachable: the last attempt returns or raises")
