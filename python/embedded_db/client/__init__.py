"""A client of a database that is served, with the methods of `EmbeddedDB`.

It needs nothing but the standard library and NumPy. What it gives are plain values: a node is a
`Node`, not a model object, and iterators read page by page.
"""

from .client import Client
from .connection import PermissionRefused, ServerUnavailable
from .transaction import Transaction
from .values import Edge, Embedding, Node, Path, Result, Results

__all__ = [
    "Client",
    "Edge",
    "Embedding",
    "Node",
    "Path",
    "PermissionRefused",
    "Result",
    "Results",
    "ServerUnavailable",
    "Transaction",
]
