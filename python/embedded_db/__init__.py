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

from ._native import Edge, Embedding, Node, __version__
from .batch import Batch
from .changes import Change, ChangeFeed
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
    LimitReached,
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
from .fields import DELETE, Attr, Condition, Expression
from .highlights import Highlight
from .indexes import Index
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
)
from .node_values import NodeIds, NodeValues, Partition
from .query import ConvergedQuery
from .reads import Path, Visit
from .results import Result, Results
from .search import SearchResults
from .snapshot import Snapshot
from .subgraphs import Subgraph
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
    "AsyncTransaction",
    "AsyncVisit",
    "AsyncWeaver",
    "Attr",
    "BadText",
    "Batch",
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
    "EnrichmentFailed",
    "Entity",
    "Expression",
    "Fact",
    "Field",
    "ForkedHandle",
    "FormatTooNew",
    "Highlight",
    "Index",
    "InternalError",
    "InvalidInput",
    "InvalidQuery",
    "Limit",
    "LimitReached",
    "MLConfig",
    "Message",
    "Model",
    "ModelUnavailable",
    "Node",
    "NodeIds",
    "NodeModel",
    "NodeValues",
    "NonFiniteVector",
    "NotFound",
    "Part",
    "Partition",
    "Path",
    "QuotaExceeded",
    "ReadOnly",
    "RecoveryNeeded",
    "Related",
    "Relation",
    "Result",
    "Results",
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
    """Load what needs pydantic, and what is asynchronous, when it is first asked for."""
    if name in _LATER:
        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Give the public names, without the modules that they come from."""
    return sorted(__all__)
