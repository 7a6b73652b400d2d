"""The feed of changes: what was stored and deleted, in its order."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, cast

from .arguments import flag_argument
from .errors import InvalidInput, shown

if TYPE_CHECKING:
    from ._native import Database as NativeDatabase
    from .bridges import Bridge, BrokerConfig
    from .database import EmbeddedDB

__all__ = ["Change", "ChangeFeed", "Feed"]

SHORTEST_WAIT: Final = 0.001
LONGEST_WAIT: Final = 0.05
MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Change:
    """That something was stored or deleted; what it holds is read by its id.

    Attributes:
        lsn: its log sequence number; each change of the database has one more than that before.
        kind: of what: a node (a chat, a message, an entity too), an edge, an embedding, or the
            namespace itself, which was dropped with all that was in it.
        operation: ``"put"``, stored for the first time or anew, or ``"delete"``.
        id: of the node, edge or embedding; the name of the namespace.
        version: of the node or edge, from 1, one more after each change by a user; of a delete the
            last one it had.
        labels: of a node.
        type: of an edge, else None.
        space: of an embedding, else None.

    Examples:
        >>> id = db.create_node({"label": "Person", "id": "ada"})
        >>> change = list(db.changes())[-1]
        >>> change.kind, change.operation, change.id, change.version, change.labels
        ('node', 'put', 'ada', 1, ('Person',))
    """

    lsn: int
    kind: Literal["node", "edge", "embedding", "namespace"]
    operation: Literal["put", "delete"]
    id: str
    version: int
    labels: tuple[str, ...]
    type: str | None
    space: str | None


class ChangeFeed(Iterator[Change]):
    """An iterator over changes; `EmbeddedDB.changes` makes it.

    Examples:
        >>> feed = db.changes(labels=["Person"])
        >>> _ = db.create_chat()
        >>> list(feed), feed.position
        ([], 0)
        >>> list(db.changes(since=feed.position))[0].lsn
        1
    """

    def __init__(
        self,
        native: "NativeDatabase",
        since: int | None,
        labels: str | Sequence[str] | None,
        follow: bool,
    ) -> None:
        self._native = native
        self._labels = labels
        self._follow = follow
        changes, self._reached, self._end = native.changes_after(since, labels)
        self._page = iter(changes)
        oldest = changes[0][0] - 1 if changes else self._reached
        self._position = oldest if since is None else since

    @property
    def position(self) -> int:
        """Up to where changes were handed out, or passed over: ``since`` of a feed that goes on."""
        return self._position

    def __iter__(self) -> Self:
        """Give itself."""
        return self

    def __next__(self) -> Change:
        """Give the next change; with ``follow`` wait for it.

        Raises:
            ChangesTrimmed: changes went before they were asked for.
            DatabaseClosed: the database was closed.
        """
        wait = SHORTEST_WAIT
        while (change := self._next_there()) is None:
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        return change

    def _next_there(self) -> Change | None:
        """Give the next change, or None when there is none yet."""
        while True:
            for lsn, kind, operation, id, version, names in self._page:
                if lsn > self._end and not self._follow:
                    self._position = self._end
                    raise StopIteration
                self._position = lsn
                return Change(
                    lsn,
                    kind,
                    operation,
                    id,
                    version,
                    labels=tuple(names) if kind == "node" else (),
                    type=names[0] if kind == "edge" else None,
                    space=names[0] if kind == "embedding" else None,
                )
            self._position = self._reached if self._follow else min(self._reached, self._end)
            if not self._follow and self._reached >= self._end:
                raise StopIteration
            changes, reached, _ = self._native.changes_after(self._reached, self._labels)
            self._page = iter(changes)
            if reached == self._reached:
                return None
            self._reached = reached


class Feed:
    """What was changed."""

    def changes(
        self,
        since: int | None = None,
        *,
        labels: str | Sequence[str] | None = None,
        follow: bool = False,
    ) -> ChangeFeed:
        """Iterate over what was stored and deleted in this namespace, in its order.

        It is durable: every change that was committed is in it once, whoever made it: this process,
        another one, the weaver. It reaches back for `Config.changes_retention` seconds, unless that
        is more than ``changes_retention_bytes``; a `scrub` empties it. To keep something in step
        with the database, read all that is stored, then follow from the number of that moment
        (``snapshot.lsn``); store `ChangeFeed.position` with what you have done, and go on from
        there.

        Args:
            since: the changes after this log sequence number; from the oldest that is kept when
                left out.
            labels: only nodes with this label, or one of these, and the end of the namespace.
            follow: wait for more at the end, for ever; else it ends with the last change there was
                when it began.

        Raises:
            ChangesTrimmed: the changes after ``since`` are not kept any more; ``oldest`` is the
                first that is.
            InvalidInput: ``since`` is later than the last change, as that of another database.

        Examples:
            >>> chat = db.create_chat(id="trip")
            >>> seen = db.stats()["lsn"]
            >>> _ = db.create_node({"label": "Person", "id": "ada"})
            >>> chat.delete()
            >>> [(c.operation, c.id) for c in db.changes(since=seen)]
            [('put', 'ada'), ('delete', 'trip')]
            >>> [(c.operation, c.id) for c in db.changes(labels=["Chat"])]
            [('put', 'trip'), ('delete', 'trip')]
        """
        flag_argument("follow", follow)
        native = cast("EmbeddedDB", self)._native
        return ChangeFeed(native, _number(since), labels, follow)

    def bridge_changes(
        self,
        url: str,
        *,
        channel: str = "changes",
        since: int | None = None,
        labels: str | Sequence[str] | None = None,
        config: "BrokerConfig | None" = None,
    ) -> "Bridge":
        """Publish the changes of this namespace on a broker, in a thread, until it is closed.

        Each message has the fields of a `Change`, as a dict. The broker keeps with them how far
        it has them, so that another process goes on where this one ended: each is there once, in
        its order. Kafka may have the last ones twice, if a process dies while it sends them or two
        bridge the same. If the broker is away, or has no room, the changes wait
        in the feed, for as long as that keeps them.

        Args:
            url: the broker, as `embedded_db.bridges.connect` takes it.
            channel: the channel on which they are published.
            since: the changes after this log sequence number, where the broker has none yet; from
                the oldest that is kept when left out.
            labels: as for `changes`. Bridges with other labels have positions of their own.
            config: how the broker is used.

        Returns:
            What tells how far it is, waits for it, and ends it. When the feed has lost changes that
            the broker does not have, it ends by itself: `Bridge.flush` raises `ChangesTrimmed`.

        Raises:
            InvalidInput: an argument is none of these, or the client is not installed.

        Examples:
            >>> db.bridge_changes("redis://127.0.0.1:1/0")  # it waits for somebody there
            Changes('redis://127.0.0.1:1')
        """
        from .bridges.bridge import Changes  # the client of a broker is loaded when it is asked for

        native, start = cast("EmbeddedDB", self)._native, _number(since)
        names = [] if labels is None else sorted([labels] if isinstance(labels, str) else labels)
        origin = "-".join(["changes", native.identity(), native.namespace_name, *names])
        bridge = Changes(
            lambda after: ChangeFeed(native, after, labels, follow=True),
            lambda: native.changes_after(bridge.stats().position, labels)[2],
            origin,
            channel,
            start,
            url,
            config,
        )
        return bridge._start()


def _number(given: int | None) -> int | None:
    is_number = isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= MOST
    if given is not None and not is_number:
        raise InvalidInput(
            f"since is {shown(given)}; it must be a log sequence number, 0 or more",
            hint="Give the lsn of a change, the position of a feed, or db.stats()['lsn']",
        )
    return given
