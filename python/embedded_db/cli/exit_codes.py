"""What the command ends with."""

from typing import Final

from ..errors import DbError

__all__ = ["DONE", "ERRORS", "FINDINGS", "INTERRUPTED", "UNREAD", "USAGE", "WRONG", "of"]

DONE: Final = 0
FINDINGS: Final = 1
USAGE: Final = 2
WRONG: Final = 2
"""Of `doctor`, when something does not work; a usage that is wrong prints no findings."""
INTERRUPTED: Final = 130
UNREAD: Final = 141

ERRORS: Final = {
    "DbError": 3,
    "NotFound": 10,
    "AlreadyExists": 11,
    "Conflict": 12,
    "InvalidInput": 13,
    "DimensionMismatch": 14,
    "NonFiniteVector": 15,
    "ValueTooLarge": 16,
    "BadText": 17,
    "InvalidQuery": 18,
    "QuotaExceeded": 19,
    "ChangesTrimmed": 20,
    "SnapshotExpired": 21,
    "RecoveryNeeded": 22,
    "StorageFull": 23,
    "StorageError": 24,
    "Corruption": 25,
    "DatabaseLocked": 26,
    "DatabaseClosed": 27,
    "ForkedHandle": 28,
    "ReadOnly": 29,
    "FormatTooNew": 30,
    "Timeout": 31,
    "EnrichmentFailed": 32,
    "ModelUnavailable": 33,
    "InternalError": 34,
    "LimitReached": 35,
    "OutcomeUnknown": 36,
}
"""By ``code`` of the error. Numbers are never given to another error."""


def of(error: DbError) -> int:
    """Give the exit code of an error: its own, or that of the nearest class above it."""
    names = (kind.__name__ for kind in type(error).__mro__)
    return next(ERRORS[name] for name in names if name in ERRORS)
