"""An embedded graph, vector and full-text memory database for AI applications.

::

    from embedded_db import EmbeddedDB

    with EmbeddedDB("memory.db") as db:
        chat = db.create_chat(title="Trip", topic="Travel")
        chat.add_message("Alice met Bob in Paris", sender="Carol")
        for result in db.query(text_query={"text": "Paris"}):
            print(result.score, result.node.content)
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .availability import NATIVE_AVAILABLE, REASON
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
    LimitReached,
    ModelUnavailable,
    NonFiniteVector,
    NotFound,
    OutcomeUnknown,
    QuotaExceeded,
    ReadOnly,
    RecoveryNeeded,
    SnapshotExpired,
    StorageError,
    StorageFull,
    Timeout,
    ValueTooLarge,
)

if TYPE_CHECKING or NATIVE_AVAILABLE:
    from ._native import Edge, Embedding, Node, Token, TokenArray, __version__
    from .batch import Batch
    from .changes import Change, ChangeFeed
    from .config import Config, WeaverConfig
    from .database import EmbeddedDB
    from .fields import DELETE, Attr, Condition, Expression
    from .highlights import Highlight
    from .indexes import Index
    from .intuition import IntuitionBuilder, IntuitionConfig, IntuitionEngine, IntuitionStats
    from .limits import Limit
    from .ml_config import MLConfig
    from .models import (
        Chat,
        Document,
        Entity,
        Fact,
        Message,
        Model,
        Part,
        Selection,
        Status,
        Summary,
        Topic,
    )
    from .node_values import NodeIds, NodeValues, Partition
    from .operating import BlackBoxEvent, HealthReport
    from .placing import NearToken, TokenField
    from .policy import Enrichment, Policy
    from .query import ConvergedQuery
    from .quotas import NamespaceQuota, Quota
    from .reads import Path, Visit
    from .results import Result, Results
    from .search import SearchResults
    from .snapshot import Snapshot
    from .subgraphs import Subgraph
    from .tracing import Sampling, Tracing
    from .transaction import Transaction
    from .weaver import Weaver

if TYPE_CHECKING:
    from .aio.batch import AsyncBatch
    from .aio.database import AsyncEmbeddedDB
    from .aio.feed import AsyncChangeFeed
    from .aio.models import (
        AsyncChat,
        AsyncDocument,
        AsyncEntity,
        AsyncFact,
        AsyncMessage,
        AsyncModel,
        AsyncPart,
        AsyncSelection,
        AsyncSummary,
        AsyncTopic,
    )
    from .aio.models.edges import AsyncEdgeModel
    from .aio.models.nodes import AsyncNodeModel
    from .aio.models.relation import AsyncRelation
    from .aio.models.relations import AsyncRelated
    from .aio.results import (
        AsyncPath,
        AsyncResult,
        AsyncResults,
        AsyncSearchResults,
        AsyncSubgraph,
        AsyncVisit,
    )
    from .aio.snapshot import AsyncSnapshot
    from .aio.transaction import AsyncTransaction
    from .aio.twin import AsyncPages
    from .aio.weaver import AsyncWeaver
    from .models.declared import Field
    from .models.edges import EdgeModel
    from .models.nodes import NodeModel
    from .models.relations import Related, Relation

__author__ = "The embedded-db authors"
__license__ = "Apache-2.0"

__all__ = [
    "DELETE",
    "NATIVE_AVAILABLE",
    "AlreadyExists",
    "AsyncBatch",
    "AsyncChangeFeed",
    "AsyncChat",
    "AsyncDocument",
    "AsyncEdgeModel",
    "AsyncEmbeddedDB",
    "AsyncEntity",
    "AsyncFact",
    "AsyncMessage",
    "AsyncModel",
    "AsyncNodeModel",
    "AsyncPages",
    "AsyncPart",
    "AsyncPath",
    "AsyncRelated",
    "AsyncRelation",
    "AsyncResult",
    "AsyncResults",
    "AsyncSearchResults",
    "AsyncSelection",
    "AsyncSnapshot",
    "AsyncSubgraph",
    "AsyncSummary",
    "AsyncTopic",
    "AsyncTransaction",
    "AsyncVisit",
    "AsyncWeaver",
    "Attr",
    "BadText",
    "Batch",
    "BlackBoxEvent",
    "Change",
    "ChangeFeed",
    "ChangesTrimmed",
    "Chat",
    "Condition",
    "Config",
    "Conflict",
    "ConvergedQuery",
    "Corruption",
    "DatabaseClosed",
    "DatabaseLocked",
    "DbError",
    "DimensionMismatch",
    "Document",
    "Edge",
    "EdgeModel",
    "EmbeddedDB",
    "Embedding",
    "Enrichment",
    "EnrichmentFailed",
    "Entity",
    "Expression",
    "Fact",
    "Field",
    "ForkedHandle",
    "FormatTooNew",
    "HealthReport",
    "Highlight",
    "Index",
    "InternalError",
    "IntuitionBuilder",
    "IntuitionConfig",
    "IntuitionEngine",
    "IntuitionStats",
    "InvalidInput",
    "InvalidQuery",
    "Limit",
    "LimitReached",
    "MLConfig",
    "Message",
    "Model",
    "ModelUnavailable",
    "NamespaceQuota",
    "NearToken",
    "Node",
    "NodeIds",
    "NodeModel",
    "NodeValues",
    "NonFiniteVector",
    "NotFound",
    "OutcomeUnknown",
    "Part",
    "Partition",
    "Path",
    "Policy",
    "Quota",
    "QuotaExceeded",
    "ReadOnly",
    "RecoveryNeeded",
    "Related",
    "Relation",
    "Result",
    "Results",
    "Sampling",
    "SearchResults",
    "Selection",
    "Snapshot",
    "SnapshotExpired",
    "Status",
    "StorageError",
    "StorageFull",
    "Subgraph",
    "Summary",
    "Timeout",
    "Token",
    "TokenArray",
    "TokenField",
    "Topic",
    "Tracing",
    "Transaction",
    "ValueTooLarge",
    "Visit",
    "Weaver",
    "WeaverConfig",
    "__author__",
    "__license__",
    "__version__",
]


_LATER = {
    "AsyncBatch": "aio.batch",
    "AsyncChangeFeed": "aio.feed",
    "AsyncChat": "aio.models",
    "AsyncDocument": "aio.models",
    "AsyncEdgeModel": "aio.models.edges",
    "AsyncEmbeddedDB": "aio.database",
    "AsyncEntity": "aio.models",
    "AsyncFact": "aio.models",
    "AsyncMessage": "aio.models",
    "AsyncModel": "aio.models",
    "AsyncNodeModel": "aio.models.nodes",
    "AsyncPages": "aio.twin",
    "AsyncPart": "aio.models",
    "AsyncPath": "aio.results",
    "AsyncRelated": "aio.models.relations",
    "AsyncRelation": "aio.models.relation",
    "AsyncResult": "aio.results",
    "AsyncResults": "aio.results",
    "AsyncSearchResults": "aio.results",
    "AsyncSelection": "aio.models",
    "AsyncSnapshot": "aio.snapshot",
    "AsyncSubgraph": "aio.results",
    "AsyncSummary": "aio.models",
    "AsyncTopic": "aio.models",
    "AsyncTransaction": "aio.transaction",
    "AsyncVisit": "aio.results",
    "AsyncWeaver": "aio.weaver",
    "EdgeModel": "models.edges",
    "Field": "models.declared",
    "NodeModel": "models.nodes",
    "Related": "models.relations",
    "Relation": "models.relations",
}


def __getattr__(name: str) -> object:
    """Load what needs pydantic, and what is asynchronous, when it is first asked for.

    Without the native module it says why there is none.
    """
    if REASON is not None:
        if name == "__version__":
            from importlib.metadata import version  # milliseconds of every import else

            return version("embedded-db")
        if name in __all__:
            raise ImportError(f"{name} needs the native module: {REASON}", name=__name__)
    elif name in _LATER:
        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Give the public names, without the modules that they come from."""
    return sorted(__all__)
