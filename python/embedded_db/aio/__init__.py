"""The asynchronous twins of all classes that read or write.

Most modules here are written by ``scripts/make-async`` from those of the same name above.
"""

from .database import AsyncEmbeddedDB
from .results import AsyncPath, AsyncResult, AsyncResults, AsyncSearchResults, AsyncVisit

__all__ = [
    "AsyncEmbeddedDB",
    "AsyncPath",
    "AsyncResult",
    "AsyncResults",
    "AsyncSearchResults",
    "AsyncVisit",
]
