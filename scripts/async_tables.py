"""What is special about single classes and methods, for `make-async`."""

MODULES = {
    "querying": ["Querying"],
    "analytics": ["Analytics"],
    "reads": ["Reads"],
    "writes": ["Writes"],
    "objects": ["Objects"],
    "chats": ["Chats"],
    "memory": ["Memory"],
    "changes": ["Feed"],
    "adapting": ["Adapting"],
    "forgetting": ["Forgetting"],
    "indexes": ["Indexes"],
    "transfers": ["Transfers"],
    "operating": ["Operating"],
    "placing": ["Placing"],
    "upkeep": ["Upkeep"],
    "rescue": ["Rescue"],
    "weaver": ["Weaver"],
    "batch": ["Batch"],
    "snapshot": ["Snapshot"],
    "transaction": ["Transaction"],
    "database": ["EmbeddedDB"],
    "models.base": ["Model"],
    "models.message": ["Message"],
    "models.chat": ["Chat"],
    "models.entity": ["Entity", "Summary"],
    "models.topic": ["Topic"],
    "models.documents": ["Document", "Part", "Fact"],
    "models.selection": ["Selection"],
    "models.nodes": ["NodeModel"],
    "models.edges": ["EdgeModel"],
    "models.relations": ["Related"],
}

# What has a twin by another hand than this script's.
BY_HAND = ["AnyNode", "ChangeFeed", "Pages", "Path", "Relation", "Result", "Results"]
BY_HAND += ["SearchResults", "Subgraph", "Visit"]
TWINS = {kind for kinds in MODULES.values() for kind in kinds} | set(BY_HAND)
# What the twins are made of, and how they are opened.
BASES = {
    "Batch": ["OpenBatch"],
    "EmbeddedDB": ["Handle"],
    "Model": ["Record"],
    "Selection": ["Asking[M]"],
    "Snapshot": ["OpenSnapshot"],
    "Transaction": ["OpenTransaction"],
    "Weaver": ["Controls"],
    "NodeModel": ["Stored", "NodeModel"],
    "EdgeModel": ["Stored", "EdgeModel"],
    "Related": ["Relating[N]"],
}
# Pydantic objects, which are twins themselves: where their methods come from, which of them wait.
PYDANTIC = {
    "NodeModel": ["save", "refresh", "delete", "where"],
    "EdgeModel": ["save", "refresh", "delete", "of", "retract", "supersede", "history"],
}
INHERITED = {
    "NodeModel": ("models.nodes", "StoredModel"),
    "EdgeModel": ("models.nodes", "StoredModel"),
}

# Properties that read the database: methods of the twin.
READING = {"chat", "document", "next", "parent", "previous", "status", "text"}
# What reads nothing.
HELD = {"Model.get", "Model.to_dict", "Message.to_openai", "Selection.to_query"}
# What may take long, and so holds up no others.
LONG = {"flush", "wait_for", "backup", "compact", "scrub", "verify", "logical_hash"}
LONG |= {"clustering", "communities", "connected_components", "degree", "distances", "k_core"}
LONG |= {"label_propagation", "pagerank", "triangles", "fields", "near_tokens", "tokens"}
LONG |= {"export", "import_", "load_arrow", "create_index", "drop_namespace"}

# What may take long if this is given.
WAITING = {"query": "wait", "search": "wait", "execute_query": "getattr(query, 'wait', None)"}

CALLBACKS = {
    "Callable[[int, int], None] | None": "AsyncProgress | None",
    "Progress | None": "AsyncProgress | None",
    "Callable[[str], int] | None": "AsyncTokenCounter | None",
    "TokenCounter | None": "AsyncTokenCounter | None",
    "Rerank | None": "AsyncRerank | None",
    "Callable[[Transaction], R]": "Callable[[AsyncTransaction], Awaitable[R]]"
    " | Callable[[Transaction], R]",
}

# Annotations with a name that is not that of a class with a twin, though it looks like one.
SAME = {"Mapping[Part, float] | None"}

BODIES = {
    "EmbeddedDB.batch": "return AsyncBatch(self, size)",
    "EmbeddedDB.close": "await self._close()",
    "EmbeddedDB.closed": "return self._is_closed or (self._sync is not None and self._sync.closed)",
    "EmbeddedDB.config": "return self._config",
    "EmbeddedDB.namespace": "return await self._namespace(name)",
    "EmbeddedDB.namespace_name": "return self._opened().namespace_name",
    "EmbeddedDB.path": "return self._opened().path",
    "EmbeddedDB.read_only": "return self._is_read_only",
    "EmbeddedDB.run": "result: R = await run(self, function, attempts)\nreturn result",
    "EmbeddedDB.snapshot": "return AsyncSnapshot(self)",
    "EmbeddedDB.transaction": "return AsyncTransaction(self)",
    "EmbeddedDB.weaver": "return AsyncWeaver(self)",
    "Feed.changes": "return AsyncChangeFeed(cast('AsyncEmbeddedDB', self), since, labels, follow)",
    "Objects.register": "await self._wait(Objects.register, *map(asynchronous, models))",
    "Objects.add": "return await self._run(Objects.add, asynchronous(obj), ttl=ttl)",
    "Objects.add_all": "return await self._run(Objects.add_all, only_asynchronous(objs))",
    "Objects.get": "return await self._run(Objects.get, asynchronous(model), id)",
    "Snapshot.close": "await self._pool.finish(self._end, True)",
    "Snapshot.lsn": "return self._ready().lsn",
    "NodeModel.where": "every = Selection(cls._of, cls.node_label, cls._checked)\n"
    "return AsyncSelection(every.where(*conditions))",
    "EdgeModel.of": "times = {'valid_at': valid_at, 'known_at': known_at}\n"
    "return edges_of(super().of, node, direction, limit, **times)",
    "Selection.on": "return self._asked_of(owner)",
}
AFTER = {
    "NodeModel": "# What no node has: the labels of its bases are those of a node.\n"
    "AsyncNodeModel.node_label, AsyncNodeModel.node_labels = '', ()",
}
IMPORTS = """
from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from operator import attrgetter
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, Unpack, cast, overload
"""
LOCAL = """
from {1}feed import AsyncChangeFeed
from {1}handles import Controls, Handle, OpenBatch, OpenSnapshot, OpenTransaction, run
from {1}models.asking import Asking
from {1}models.record import Record
from {1}models.stored import Relating, Stored, asynchronous, edges_of, made, only_asynchronous
from {1}models.stored import run as run_of
from {1}pool import in_thread
from {1}twin import AsyncPages, AsyncProgress, AsyncRerank, AsyncTokenCounter, Twin, called
"""
LATER = """
from {0}models.nodes import NodeModel
from {1}models import AsyncAnyNode
from {1}results import AsyncPath, AsyncResult, AsyncResults, AsyncSearchResults
from {1}results import AsyncSubgraph, AsyncVisit
"""
# What is imported before the modules that make its objects.
TO_MODELS = {"analytics", "chats", "memory", "querying", "reads", "writes"}
