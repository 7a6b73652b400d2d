"""An embedded graph, vector and full-text memory database for AI applications.

::

    from embedded_db import EmbeddedDB

    with EmbeddedDB("memory.db") as db:
        chat = db.create_chat(title="Trip", topic="Travel")
        chat.add_message("Alice met Bob in Paris", sender="Carol")
        for result in db.query(text_query={"text": "Paris"}):
            print(result.score, result.node.content)
"""

from typing import TYPE_CHECKING

from ._native import Edge, Embedding, Node, __version__
from .config import Config, WeaverConfig
from .database import EmbeddedDB
from .errors import (
    AlreadyExists,
    BadText,
    ChangesTrimmed,
    Conflict,
    Corruption,
    DatabaseClosed,
    DatabaseLocked,
    DbError,
    DimensionMismatch,
    EnrichmentFailed,
    ForkedHandle,
    FormatTooNew,
    InternalError,
    InvalidInput,
    InvalidQuery,
    ModelUnavailable,
    NonFiniteVector,
    NotFound,
    QuotaExceeded,
    ReadOnly,
    RecoveryNeeded,
    SnapshotExpired,
    StorageError,
    StorageFull,
    Timeout,
    ValueTooLarge,
)
from .fields import DELETE
from .models import Chat, Entity, Message, Model, Status, Summary
from .query import ConvergedQuery, Result, Results
from .reads import Path, Visit
from .search import SearchResults
from .snapshot import Snapshot
from .transaction import Transaction
from .weaver import Weaver

if TYPE_CHECKING:
    from .ml.config import MLConfig

__author__ = "The embedded-db authors"
__license__ = "Apache-2.0"

__all__ = [
    "DELETE",
    "AlreadyExists",
    "BadText",
    "ChangesTrimmed",
    "Chat",
    "Config",
    "Conflict",
    "ConvergedQuery",
    "Corruption",
    "DatabaseClosed",
    "DatabaseLocked",
    "DbError",
    "DimensionMismatch",
    "Edge",
    "EmbeddedDB",
    "Embedding",
    "EnrichmentFailed",
    "Entity",
    "ForkedHandle",
    "FormatTooNew",
    "InternalError",
    "InvalidInput",
    "InvalidQuery",
    "MLConfig",
    "Message",
    "Model",
    "ModelUnavailable",
    "Node",
    "NonFiniteVector",
    "NotFound",
    "Path",
    "QuotaExceeded",
    "ReadOnly",
    "RecoveryNeeded",
    "Result",
    "Results",
    "SearchResults",
    "Snapshot",
    "SnapshotExpired",
    "Status",
    "StorageError",
    "StorageFull",
    "Summary",
    "Timeout",
    "Transaction",
    "ValueTooLarge",
    "Visit",
    "Weaver",
    "WeaverConfig",
    "__author__",
    "__license__",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load `MLConfig` when it is first asked for: models are no part of a quick import."""
    if name == "MLConfig":
        from .ml.config import MLConfig

        return MLConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
