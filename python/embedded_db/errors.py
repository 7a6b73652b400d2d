"""The errors of the library: one tree with one base.

::

    DbError
    ├── NotFound             an id, chat, namespace or space that does not exist
    ├── AlreadyExists        an id or unique value that is taken
    ├── Conflict             someone else committed first                (retryable)
    ├── InvalidInput         a value that cannot be accepted
    │   ├── DimensionMismatch    a vector of another length than its space
    │   ├── NonFiniteVector      NaN or an infinity in a vector
    │   ├── ValueTooLarge        over a stated limit
    │   ├── BadText              text that is not valid Unicode
    │   └── InvalidQuery         a query that is empty or contradicts itself
    ├── QuotaExceeded        a limit set by the owner of the database, or of snapshots held
    │   └── LimitReached         a model function may be called again later  (retryable)
    ├── ChangesTrimmed       the change feed no longer reaches so far back
    ├── SnapshotExpired      a snapshot held for too long                (retryable)
    ├── RecoveryNeeded       a writer has to open the database first
    ├── StorageFull          no room on the disk
    ├── StorageError         the operating system refused
    ├── Corruption           stored bytes are damaged
    ├── DatabaseLocked       another process is writing                  (retryable)
    ├── OutcomeUnknown       the process that was to write has ended meanwhile
    ├── DatabaseClosed       the handle was closed
    ├── ForkedHandle         a handle used in a forked child process
    ├── ReadOnly             a write through a handle that only reads
    ├── FormatTooNew         files written by a later version
    ├── Timeout              a limit of time or work was reached         (retryable)
    ├── EnrichmentFailed     the weaver gave up on some work
    ├── ModelUnavailable     a model that is not installed or will not load
    └── InternalError        a defect of the library itself

Every error has ``code`` (its class name, stable), ``retryable`` (the same call may succeed when
it is simply made again), ``hint`` (the remedy) and, where files are concerned, ``path``. An error
about what was given says with ``item`` which one of a batch it is about, counted from 0, with
``field`` which field of it, and with ``property`` which property; they are None where it is not so.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from reprlib import Repr
from typing import Any, ClassVar, Final

__all__ = [
    "AlreadyExists",
    "BadText",
    "ChangesTrimmed",
    "Conflict",
    "Corruption",
    "DatabaseClosed",
    "DatabaseLocked",
    "DbError",
    "DimensionMismatch",
    "EnrichmentFailed",
    "ForkedHandle",
    "FormatTooNew",
    "InternalError",
    "InvalidInput",
    "InvalidQuery",
    "LimitReached",
    "ModelUnavailable",
    "NonFiniteVector",
    "NotFound",
    "OutcomeUnknown",
    "QuotaExceeded",
    "ReadOnly",
    "RecoveryNeeded",
    "SnapshotExpired",
    "StorageError",
    "StorageFull",
    "Timeout",
    "ValueTooLarge",
]


class DbError(Exception):
    """Base of every error the library raises on purpose.

    Args:
        message: what was wrong, with the value.
        hint: what to do about it.
        path: the file or directory concerned.
        **fields: further facts; each becomes an attribute of the error.

    Attributes:
        code: the name of its class, which stays the same.
        retryable: whether the same call may succeed when it is simply made again.
        message: what was wrong, with the value.
        hint: what to do about it, or None.
        path: the file or directory concerned, or None.
        item: of a call with many items, which one was refused, from 0; else None.
        field: which of its fields, such as ``"source"`` or ``"properties"``; None when not one.
        property: which property, or None.

    Examples:
        >>> from embedded_db import DbError
        >>> try:
        ...     db.update_node("nobody", {"name": "Ann"})
        ... except DbError as error:
        ...     print(error.code, error.retryable, error.id, error.hint, sep=" | ")
        NotFound | False | nobody | check the id, it may have been deleted
    """

    code: ClassVar[str] = "DbError"
    retryable: ClassVar[bool] = False

    message: str
    hint: str | None
    path: str | None
    item: int | None = None
    field: str | None = None
    property: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = cls.__name__

    def __init__(
        self, message: str, *, hint: str | None = None, path: str | None = None, **fields: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path
        self._fields = fields
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        # The messages of native code end with the remedy.
        if not self.hint or self.message.endswith(self.hint):
            return self.message
        return f"{self.message.rstrip('.')}. {self.hint}"

    def _place(self, name: str, value: object) -> None:
        """Say which item of a batch, or which field, it is about, unless it says so already."""
        if name in self._fields:
            return
        self._fields[name] = value
        setattr(self, name, value)
        if name == "item":
            self.message = f"item {value}: {self.message}"
            self.args = (self.message,)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.path, self._fields)


def _rebuild(
    kind: type[DbError],
    message: str,
    hint: str | None,
    path: str | None,
    fields: Mapping[str, Any],
) -> DbError:
    return kind(message, hint=hint, path=path, **fields)


class NotFound(DbError):
    """An id, chat, namespace or space that does not exist. ``id`` names it."""

    id: str | None = None


class AlreadyExists(DbError):
    """An id or unique value that is taken. ``id`` names it."""

    id: str | None = None


class Conflict(DbError):
    """Someone else changed what was read or written. ``id`` names the first such thing."""

    retryable = True
    id: str | None = None


class InvalidInput(DbError):
    """A value that cannot be accepted; nothing was written."""


class DimensionMismatch(InvalidInput):
    """A vector of ``got`` numbers for a ``space`` of ``expected``."""

    expected: int | None = None
    got: int | None = None
    space: str | None = None


class NonFiniteVector(InvalidInput):
    """NaN or an infinity in a vector; ``index`` is the first such position."""

    index: int | None = None


class ValueTooLarge(InvalidInput):
    """A value over a stated ``limit``."""

    limit: int | None = None


class BadText(InvalidInput):
    """Text that is not valid Unicode, such as a lone surrogate, or an id with a NUL."""


class InvalidQuery(InvalidInput):
    """A query that is empty, malformed or contradicts itself; the message names the field."""


class QuotaExceeded(DbError):
    """A limit would be passed: there would be ``used``, the limit is ``limit``.

    Of a `Quota`: nothing was stored, and deleting is always allowed. ``resource`` is ``"nodes"``,
    ``"edges"``, ``"embeddings"``, ``"bytes"``, ``"memory"`` or ``"disk"`` (of which ``used`` bytes
    are left, and ``limit`` are to stay free), ``namespace`` the one whose quota it is, or None for
    that of the database. Of snapshots that are held: reading and writing go on.
    """

    limit: float | None = None
    used: float | None = None
    resource: str | None = None
    namespace: str | None = None


class LimitReached(QuotaExceeded):
    """A model function has taken what its `Limit` allows; it may be called again at ``until``.

    ``function`` is ``"embedding"``, ``"entities"`` or ``"summary"``, ``option`` the attribute of
    its `Limit`, of whose ``limit`` so much is ``used``.
    """

    retryable = True
    function: str | None = None
    option: str | None = None
    until: datetime | None = None


class ChangesTrimmed(DbError):
    """The change feed begins at ``oldest``, later than asked for."""

    oldest: int | None = None


class SnapshotExpired(DbError):
    """A snapshot held for too long; take a new one.

    It is older than ``max_snapshot_age``, or the file has grown by ``max_snapshot_growth`` while it
    was held, or it is a cursor that gave way to newer ones.
    """

    retryable = True


class RecoveryNeeded(DbError):
    """A process that may write has to open the database before it can be read."""


class StorageFull(DbError):
    """There is no room on the disk; nothing was written."""


class StorageError(DbError):
    """The operating system refused an operation on the files."""


class Corruption(DbError):
    """Stored bytes are damaged: a checksum or a length does not agree."""


class DatabaseLocked(DbError):
    """Process ``pid`` on ``host`` is writing and did not leave within ``lock_timeout``."""

    retryable = True
    pid: int | None = None
    host: str | None = None


class OutcomeUnknown(DbError):
    """Process ``pid``, to which a write was forwarded, has not answered.

    The write was done as a whole, or not at all. Look for what it was to leave before it is made
    again: with an id of its own, one that was done raises ``AlreadyExists`` the second time.
    """

    pid: int | None = None


class DatabaseClosed(DbError):
    """The handle was closed."""


class ForkedHandle(DbError):
    """A handle opened before ``fork`` was used in the child process."""


class ReadOnly(DbError):
    """A write through a handle that only reads."""


class FormatTooNew(DbError):
    """Files of format ``found``, while this version knows up to ``supported``."""

    found: int | None = None
    supported: int | None = None


class Timeout(DbError):
    """A limit of time or work given by the caller was reached without an answer.

    What was begun goes on or was undone. ``limit`` is the most nodes that a search might visit,
    when it gave up for that; such a one is not ``retryable`` as it is, for it would end alike.
    """

    retryable = True
    limit: int | None = None


class EnrichmentFailed(DbError):
    """The weaver gave up on some work; ``failures`` has one dict for each.

    A failure has ``namespace``, ``id`` (of the node), ``job``, ``error``, ``attempts`` and
    ``traceback``.
    """

    failures: Sequence[Mapping[str, Any]] = ()


class ModelUnavailable(DbError):
    """A model that is not installed or cannot be loaded; the hint has the exact command."""


class InternalError(DbError):
    """A defect of the library itself; the database goes on."""


class _Short(Repr):
    """Representations that stay short whatever the size and the depth of the value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxstring = self.maxlong = self.maxother = 80


_SHORT: Final = _Short()


def shown(value: object) -> str:
    """Show a value in a message: cut to some 80 characters a part, and never failing.

    Args:
        value: anything, however large, deep or broken.
    """
    try:
        return _SHORT.repr(value)
    except Exception:  # a broken __repr__, or an integer of too many digits to print
        return f"<{type(value).__name__}>"


def is_one_of(value: object, names: Iterable[str]) -> bool:
    """Tell whether a value is one of some names; what is no text, such as an array, is none.

    Args:
        value: what was given.
        names: the names that are known.
    """
    return isinstance(value, str) and value in names


def nearest(name: str, known: Iterable[str]) -> str:
    """Build the remedy for a misspelt name: the nearest known one, then all of them.

    Args:
        name: what was given.
        known: the names that exist.

    Returns:
        A sentence for ``hint``.
    """
    from difflib import get_close_matches  # a millisecond of every import else

    names = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    close = get_close_matches(str(name).casefold(), folded, n=1, cutoff=0.5)
    listed = ", ".join(repr(candidate) for candidate in names)
    if close:
        return f"Did you mean {folded[close[0]]!r}? Known: {listed}"
    return f"Known: {listed}"
