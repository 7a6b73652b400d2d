"""The client: the methods of a database, each a request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ..changes import Change
from ..checks import native_query
from ..errors import InvalidInput, NotFound
from ..interchange.values import decoded
from ..models.drafts import stored_messages
from ..query import (
    ConvergedQuery,
    Direction,
    Filter,
    GraphFilter,
    OrderKey,
    Rank,
    SemanticQuery,
    TextQuery,
)
from ..recall import native_recall
from ..search import Part, Profile, native_search
from .connection import Connection, PermissionRefused, to_error
from .forms import (
    as_of_form,
    changes_form,
    edge_changes_form,
    edges_form,
    formed,
    new_edge,
    new_embedding,
    new_message,
    new_node,
    numbers_form,
    query_form,
    seconds_form,
    segment,
    time_form,
    walk_form,
)
from .transaction import Transaction
from .values import (
    Edge,
    Embedding,
    Json,
    Node,
    Path,
    Results,
    to_edge,
    to_embedding,
    to_node,
    to_path,
)

__all__ = ["Client"]


class Client(Connection):
    """A client of one namespace of a database that is served.

    It may be used from several threads; each has a connection of its own.

    Args:
        url: where the server is, such as ``"http://127.0.0.1:8080"``.
        token: the token, where the server wants one.
        namespace: the namespace; the default one when left out.
        timeout: seconds to wait for an answer.

    Raises:
        InvalidInput: the URL is none.

    Examples:
        >>> from embedded_db.client import Client
        >>> from embedded_db.server import Server
        >>> with Server(db, port=0) as server, Client(server.url) as client:
        ...     ann = client.create_node({"label": "Person", "properties": {"name": "Ann"}})
        ...     client.get_node(ann)["name"], client.count("Person")
        ('Ann', 1)
    """

    # ------------------------------------------------------------------ the database

    def namespace(self, name: str) -> Client:
        """Give a client of another namespace, which is made if it is new and may be.

        It uses the connections of this one, and ends with it.

        Args:
            name: the namespace.
        """
        # A token for single namespaces, or one that reads, may not: it is there, or reads say so.
        with suppress(PermissionRefused):
            self._whole("PUT", f"/v1/namespaces/{segment(name)}")
        made = copy(self)  # over the same connections
        made._namespace = name
        return made

    def namespaces(self) -> list[str]:
        """Give the names of all namespaces, in order."""
        return cast("list[str]", self._whole("GET", "/v1/namespaces")["namespaces"])

    def drop_namespace(self, name: str) -> None:
        """Delete a namespace with everything in it.

        Args:
            name: the namespace.

        Raises:
            NotFound: there is none of this name.
        """
        self._whole("DELETE", f"/v1/namespaces/{segment(name)}")

    def spaces(self) -> list[Json]:
        """Give the embedding spaces, as `EmbeddedDB.spaces` does."""
        return cast("list[Json]", self._whole("GET", "/v1/spaces")["spaces"])

    def stats(self) -> Json:
        """Give figures of the namespace and the database, by name."""
        return cast("Json", self._call("GET", "/v1/stats"))

    def health(self) -> Json:
        """Give ``level`` and ``findings``, as `EmbeddedDB.health` has them."""
        status, data = self._send("GET", "/health", {}, None)
        answer = json.loads(data)
        if "findings" not in answer:
            raise to_error(status, answer)
        return cast("Json", answer)

    def metrics(self) -> str:
        """Give all figures as text for Prometheus."""
        status, data = self._send("GET", "/metrics", {}, None)
        if status != 200:
            raise to_error(status, json.loads(data))
        return data.decode()

    def weaver_status(self) -> Json:
        """Tell what the weaver does."""
        return cast("Json", self._whole("GET", "/v1/weaver"))

    def changes(
        self, since: int | None = None, labels: Sequence[str] | None = None, wait: float = 0.0
    ) -> Iterator[Change]:
        """Iterate over what was stored and deleted, in order, up to what there is now.

        Args:
            since: the last change that is known; the oldest that is kept when left out.
            labels: only nodes with one of these labels.
            wait: seconds to wait for a further change before it ends; 30 at most.

        Raises:
            ChangesTrimmed: the feed no longer reaches so far back.
        """
        while True:
            page = self._call("GET", "/v1/changes", since=since, label=labels, wait=wait)
            for each in page["changes"]:
                yield Change(**{**each, "labels": tuple(each["labels"])})
            since = page["reached"]
            if not page["changes"] and page["reached"] >= page["last"]:
                return

    # ------------------------------------------------------------------ nodes

    def create_node(self, node: Mapping[str, Any]) -> str:
        """Store a node; give its id.

        Args:
            node: as `EmbeddedDB.create_node` takes it.
        """
        return cast("str", self._call("POST", "/v1/nodes", new_node(node))["id"])

    def create_nodes(self, nodes: Iterable[Mapping[str, Any]]) -> list[str]:
        """Store nodes, at most 10,000, all or none; give their ids.

        Args:
            nodes: as `EmbeddedDB.create_nodes` takes them.
        """
        body = {"nodes": [new_node(node) for node in nodes]}
        return cast("list[str]", self._call("POST", "/v1/batch/nodes", body)["ids"])

    def get_node(self, id: str) -> Node | None:
        """Read a node; None when there is none.

        Args:
            id: its id.
        """
        found = self._found(f"/v1/nodes/{segment(id)}")
        return None if found is None else to_node(found)

    def get_many(self, ids: Iterable[str]) -> list[Node | None]:
        """Read nodes, at most 10,000, in the order of their ids.

        Args:
            ids: the ids.
        """
        found = self._call("POST", "/v1/lookup", {"ids": list(ids)})["nodes"]
        return [None if node is None else to_node(node) for node in found]

    def exists(self, id: str) -> bool:
        """Tell whether a node exists.

        Args:
            id: its id.
        """
        return self._found(f"/v1/nodes/{segment(id)}") is not None

    def update_node(
        self, id: str, updates: Mapping[str, Any], *, version: int | None = None
    ) -> Node:
        """Change properties of a node; a value `DELETE` removes one.

        Args:
            id: its id.
            updates: the new values by name.
            version: only if it still has this version.

        Raises:
            NotFound: there is none.
            Conflict: it has another version.
        """
        body = changes_form(updates) | ({} if version is None else {"version": version})
        return to_node(self._call("PATCH", f"/v1/nodes/{segment(id)}", body))

    def delete_node(self, id: str) -> None:
        """Delete a node with its edges.

        Args:
            id: its id.

        Raises:
            NotFound: there is none.
        """
        self._call("DELETE", f"/v1/nodes/{segment(id)}")

    def set_ttl(self, id: str, ttl: float | timedelta | None) -> Node:
        """Let a node expire after some time, or never.

        Args:
            id: its id.
            ttl: seconds, or a timedelta; None for ever.
        """
        body = {} if ttl is None else {"ttl": seconds_form(ttl)}
        return to_node(self._call("PUT", f"/v1/nodes/{segment(id)}/expiry", body))

    def count(self, label: str | None = None) -> int:
        """Count nodes.

        Args:
            label: only those with this label.
        """
        return cast("int", self._call("GET", "/v1/count/nodes", label=label)["count"])

    def nodes(self, label: str | None = None) -> Iterator[Node]:
        """Iterate over nodes in the order they were made.

        Args:
            label: only those with this label.
        """
        return map(to_node, self._pages("/v1/nodes", "nodes", None, label=label))

    def neighbors(
        self,
        id: str,
        type: str | Sequence[str] | None = None,
        direction: Direction = "out",
        limit: int | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Iterator[Node]:
        """Iterate over the nodes that edges lead to.

        Args:
            id: the node.
            type: one edge type or several.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most nodes.
            valid_at: only edges that are true in the world then.
            known_at: the edges as they were believed then.

        Raises:
            NotFound: the node does not exist.
        """
        asked = edges_form(type, direction, valid_at, known_at)
        return map(
            to_node, self._pages(f"/v1/nodes/{segment(id)}/neighbors", "nodes", limit, **asked)
        )

    def get_entities_mentioned_in(self, id: str) -> list[Node]:
        """Give the entities that a message mentions, as far as they have been recognised.

        Args:
            id: the message.

        Raises:
            NotFound: the node does not exist.
        """
        return list(self.neighbors(id, "MENTIONS"))

    # ------------------------------------------------------------------ edges

    def create_edge(self, edge: Mapping[str, Any]) -> str:
        """Store an edge; give its id.

        Args:
            edge: as `EmbeddedDB.create_edge` takes it.
        """
        return cast("str", self._call("POST", "/v1/edges", new_edge(edge))["id"])

    def create_edges(self, edges: Iterable[Mapping[str, Any]]) -> list[str]:
        """Store edges, at most 10,000, all or none; give their ids.

        Args:
            edges: as `EmbeddedDB.create_edges` takes them.
        """
        body = {"edges": [new_edge(edge) for edge in edges]}
        return cast("list[str]", self._call("POST", "/v1/batch/edges", body)["ids"])

    def get_edge(
        self,
        id: str,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Edge | None:
        """Read an edge; None when there is none, or none at that time.

        Args:
            id: its id.
            valid_at: only if it is true in the world then.
            known_at: as it was believed then.
        """
        asked = as_of_form(valid_at, known_at)
        found = self._found(f"/v1/edges/{segment(id)}", **asked)
        return None if found is None else to_edge(found)

    def update_edge(self, id: str, updates: Mapping[str, Any]) -> Edge:
        """Change an edge: ``weight``, ``valid_from``, ``valid_to``, and all else its properties.

        Args:
            id: its id.
            updates: the new values by name.
        """
        return to_edge(self._call("PATCH", f"/v1/edges/{segment(id)}", edge_changes_form(updates)))

    def delete_edge(self, id: str) -> None:
        """Delete an edge with its history.

        Args:
            id: its id.
        """
        self._call("DELETE", f"/v1/edges/{segment(id)}")

    def retract_edge(self, id: str) -> None:
        """End the belief in an edge.

        Args:
            id: its id.
        """
        self._call("POST", f"/v1/edges/{segment(id)}/retract")

    def edge_history(self, id: str) -> list[Edge]:
        """Give all that an edge ever said, oldest first.

        Args:
            id: its id.
        """
        found = self._call("GET", f"/v1/edges/{segment(id)}/history")["edges"]
        return [to_edge(edge) for edge in found]

    def edges(
        self,
        id: str,
        type: str | Sequence[str] | None = None,
        direction: Direction = "out",
        limit: int | None = None,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Iterator[Edge]:
        """Iterate over the edges of a node; the arguments are those of `neighbors`.

        Args:
            id: the node.
            type: one edge type or several.
            direction: ``"out"``, ``"in"`` or ``"both"``.
            limit: most edges.
            valid_at: only edges that are true in the world then.
            known_at: the edges as they were believed then.
        """
        asked = edges_form(type, direction, valid_at, known_at)
        return map(to_edge, self._pages(f"/v1/nodes/{segment(id)}/edges", "edges", limit, **asked))

    def count_edges(self, type: str | None = None) -> int:
        """Count edges.

        Args:
            type: only those of this type.
        """
        return cast("int", self._call("GET", "/v1/count/edges", type=type)["count"])

    # ------------------------------------------------------------------ embeddings

    def create_embedding(self, embedding: Mapping[str, Any]) -> str:
        """Store an embedding; give its id.

        Args:
            embedding: as `EmbeddedDB.create_embedding` takes it.
        """
        body = new_embedding(embedding)
        return cast("str", self._call("POST", "/v1/embeddings", body)["id"])

    def set_embeddings(
        self, ids: Sequence[str], vectors: npt.ArrayLike, space: str | None = None
    ) -> list[str]:
        """Store vectors, at most 10,000, all or none; give the ids of the embeddings.

        Args:
            ids: the nodes.
            vectors: float32[n, dim], a row for each node.
            space: the embedding space; the default one when left out.
        """
        rows = np.asarray(vectors, dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(ids):
            raise InvalidInput(f"{len(ids)} ids but vectors of the shape {rows.shape}")
        given = {} if space is None else {"space": space}
        pairs = zip(ids, rows.tolist(), strict=True)
        body = {"embeddings": [{"node_id": id, "vector": row, **given} for id, row in pairs]}
        return cast("list[str]", self._call("POST", "/v1/batch/embeddings", body)["ids"])

    def get_embedding(self, id: str) -> Embedding | None:
        """Read an embedding; None when there is none.

        Args:
            id: its id.
        """
        found = self._found(f"/v1/embeddings/{segment(id)}")
        return None if found is None else to_embedding(found)

    def get_embedding_for_node(self, id: str, space: str | None = None) -> Embedding | None:
        """Read the embedding of a whole node; None when there is none.

        Args:
            id: the node.
            space: the embedding space; the default one when left out.

        Raises:
            NotFound: the node or the space does not exist.
        """
        try:
            path = f"/v1/nodes/{segment(id)}/embedding"
            return to_embedding(self._call("GET", path, space=space))
        except NotFound as error:
            if getattr(error, "kind", None) != "embedding":
                raise
            return None

    def get_embeddings_for_node(self, id: str, space: str | None = None) -> list[Embedding]:
        """Read the embeddings of the parts of a node, in the order of the text.

        Args:
            id: the node.
            space: the embedding space; the default one when left out.
        """
        found = self._call("GET", f"/v1/nodes/{segment(id)}/embeddings", space=space)
        return [to_embedding(each) for each in found["embeddings"]]

    def update_embedding(self, id: str, vector: npt.ArrayLike) -> Embedding:
        """Replace the numbers of an embedding.

        Args:
            id: its id.
            vector: float32[dim].
        """
        body = {"vector": numbers_form(vector)}
        return to_embedding(self._call("PUT", f"/v1/embeddings/{segment(id)}", body))

    def delete_embedding(self, id: str) -> None:
        """Delete an embedding.

        Args:
            id: its id.
        """
        self._call("DELETE", f"/v1/embeddings/{segment(id)}")

    # ------------------------------------------------------------------ chats

    def create_chat(
        self,
        title: str | None = None,
        topic: str | None = None,
        *,
        id: str | None = None,
        ttl: float | timedelta | None = None,
        **properties: Any,
    ) -> Node:
        """Store a chat.

        Args:
            title: what it is called.
            topic: what it is about.
            id: an id of your own.
            ttl: how long it is to be there with its messages.
            **properties: further properties.
        """
        given = {"title": title, "topic": topic, "id": id, "ttl": ttl}
        body = formed({**given, "properties": properties or None})
        return to_node(self._call("POST", "/v1/chats", body))

    def create_message(
        self,
        chat_id: str,
        content: Any,
        sender: str | None = None,
        role: str = "user",
        timestamp: datetime | None = None,
        *,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | timedelta | None = None,
        embedding: npt.ArrayLike | None = None,
        **properties: Any,
    ) -> Node:
        """Store a message at the end of a chat, which is made when it does not exist.

        Args:
            chat_id: the chat.
            content: the text, or OpenAI-style parts.
            sender: who wrote it.
            role: ``"user"``, ``"assistant"``, ``"system"`` or any other word.
            timestamp: when it was written; now when left out.
            id: an id of your own.
            metadata: further facts, as one dict property.
            ttl: how long it is to be there.
            embedding: its vector, float32[dim].
            **properties: further properties.
        """
        given = {
            "content": content,
            "sender": sender,
            "role": role,
            "timestamp": timestamp,
            "id": id,
            "metadata": None if metadata is None else dict(metadata),
            "ttl": ttl,
            "embedding": embedding,
        }
        kept = {name: value for name, value in given.items() if value is not None}
        [message] = self.add_messages(chat_id, [{**properties, **kept}])
        return message

    def add_messages(
        self, chat_id: str, messages: Sequence[Mapping[str, Any]], *, must_exist: bool = False
    ) -> list[Node]:
        """Store messages at the end of a chat, at most 10,000, all or none.

        Args:
            chat_id: the chat.
            messages: dicts as `Chat.add_messages` takes them.
            must_exist: whether the chat has to exist; it is made else.
        """
        drafts = stored_messages(messages, chat_id)
        body = {"messages": [new_message(draft) for draft in drafts], "must_exist": must_exist}
        made = self._call("POST", f"/v1/chats/{segment(chat_id)}/messages", body)["messages"]
        return [to_node(each) for each in made]

    def messages(
        self, chat_id: str, limit: int | None = None, *, newest_first: bool = False
    ) -> Iterator[Node]:
        """Iterate over the messages of a chat, in order or the newest first.

        Args:
            chat_id: the chat.
            limit: most messages.
            newest_first: the other way round.
        """
        path = f"/v1/chats/{segment(chat_id)}/messages"
        return map(to_node, self._pages(path, "messages", limit, newest_first=newest_first))

    def status(self, id: str) -> dict[str, Literal["pending", "ready", "failed"]]:
        """Tell how far a node is enriched, by artefact.

        Args:
            id: the node.
        """
        found = self._call("GET", f"/v1/nodes/{segment(id)}/status")
        return {artefact: each["state"] for artefact, each in found.items()}

    # ------------------------------------------------------------------ queries

    def query(
        self,
        *,
        structural_filters: Sequence[Filter] = (),
        graph_filter: GraphFilter | None = None,
        semantic_query: SemanticQuery | None = None,
        text_query: TextQuery | None = None,
        labels: Sequence[str] | None = None,
        order_by: Sequence[OrderKey] = (),
        limit: int = 10,
        rank: Rank | None = None,
        wait: float | None = None,
        timeout: float | None = None,
        explain: bool = False,
        exact: bool = False,
        after: str | None = None,
    ) -> Results:
        """Find nodes by properties, graph reach, meaning and words.

        Args:
            structural_filters: conditions on properties.
            graph_filter: graph reach.
            semantic_query: similarity to a text or a vector.
            text_query: full text.
            labels: only nodes with one of these labels.
            order_by: properties, for queries that do not rank.
            limit: most results, 1 to 10,000.
            rank: how results are ranked.
            wait: seconds to wait for embeddings.
            timeout: seconds the query may take.
            explain: give the plan with the results.
            exact: compare all vectors.
            after: ``results.cursor`` of the page before.

        Raises:
            DbError: as `EmbeddedDB.query`.
        """
        native = native_query(
            structural_filters=structural_filters,
            graph_filter=graph_filter,
            semantic_query=semantic_query,
            text_query=text_query,
            labels=labels,
            order_by=order_by,
            limit=limit,
            rank=rank,
            wait=wait,
            timeout=timeout,
            explain=explain,
            exact=exact,
        )
        return self._asked(native, after)

    def execute_query(self, query: ConvergedQuery, *, after: str | None = None) -> Results:
        """Run a query that was made beforehand.

        Args:
            query: the query.
            after: ``results.cursor`` of the page before.
        """
        return self._asked(query.native, after)

    def _asked(self, native: Mapping[str, Any], after: str | None) -> Results:
        body = query_form(native) | ({} if after is None else {"after": after})
        return Results(self._call("POST", "/v1/query", body))

    def count_matching(self, query: ConvergedQuery) -> int:
        """Count the nodes that a query matches, whatever its limit.

        Args:
            query: a query without semantic and text legs.
        """
        body = query_form(query.native)
        return cast("int", self._call("POST", "/v1/query/count", body)["count"])

    def group_count(self, query: ConvergedQuery, property: str) -> dict[Any, int]:
        """Count the nodes that a query matches by the value of a property.

        Args:
            query: a query without semantic and text legs.
            property: its name, or a dotted path.
        """
        body = {"query": query_form(query.native), "property": property}
        groups = self._call("POST", "/v1/query/groups", body)["groups"]
        return {decoded(each["value"]): each["count"] for each in groups}

    def search(
        self,
        text: str,
        chat: str | Sequence[str] | None = None,
        limit: int = 10,
        profile: Profile = "auto",
        *,
        weights: Mapping[Part, float] | None = None,
        structural_filters: Sequence[Filter] = (),
        graph_filter: GraphFilter | None = None,
        labels: Sequence[str] | None = None,
        superseded: bool = False,
        wait: float | None = None,
        timeout: float | None = None,
        explain: bool = False,
    ) -> Results:
        """Ask in plain words.

        Args:
            text: the question.
            chat: only messages of this chat, or of one of these.
            limit: most results, 1 to 10,000.
            profile: how to rank.
            weights: factors of parts of the score.
            structural_filters: conditions, as in `query`.
            graph_filter: graph reach, as in `query`.
            labels: only nodes with one of these labels.
            superseded: find facts too whose place others took.
            wait: seconds to wait for embeddings.
            timeout: seconds the search may take.
            explain: give the steps as ``results.plan``.

        Raises:
            DbError: as `EmbeddedDB.search`.
        """
        native = native_search(
            text,
            chat=None,
            limit=limit,
            profile=profile,
            weights=weights,
            structural_filters=structural_filters,
            graph_filter=graph_filter,
            labels=labels,
            superseded=superseded,
            wait=wait,
            timeout=timeout,
            explain=explain,
        )
        chats = [chat] if isinstance(chat, str) else list(chat or ())
        own = {name: native[name] for name in ("text", "profile", "weights", "superseded")}
        body = {**query_form(native["query"]), **own, **({"chats": chats} if chats else {})}
        return Results(self._call("POST", "/v1/search", body))

    def recall(
        self,
        cue: str | Sequence[str] | npt.ArrayLike | ConvergedQuery,
        *,
        bursts: int = 3,
        limit: int = 10,
        edge_types: Sequence[str] | str | None = None,
        direction: Direction = "any",
        seeds: int = 3,
        restart: float = 0.2,
        structural_filters: Sequence[Filter] = (),
        graph_filter: GraphFilter | None = None,
        labels: Sequence[str] | None = None,
        valid_at: datetime | None = None,
        timeout: float | None = None,
        explain: bool = False,
    ) -> Results:
        """Find what hangs together with a cue, though it shares neither words nor meaning with it.

        Args:
            cue: a text, ids of nodes in a list, a vector or a `ConvergedQuery`.
            bursts: how many edges activation goes at most, 1 to 100.
            limit: most results, 1 to 10,000.
            edge_types: only edges of these types carry.
            direction: along which edges carry.
            seeds: how many of the best that a cue finds are seeds.
            restart: the share that begins anew in every burst.
            structural_filters: conditions on what comes back.
            graph_filter: graph reach of what comes back.
            labels: labels of what comes back.
            valid_at: only over edges that are true in the world then.
            timeout: seconds it may take.
            explain: give the steps as ``results.plan``.

        Raises:
            DbError: as `EmbeddedDB.recall`.
        """
        native = native_recall(
            cue,
            bursts=bursts,
            seeds=seeds,
            restart=restart,
            edge_types=edge_types,
            direction=direction,
            valid_at=valid_at,
            structural_filters=structural_filters,
            graph_filter=graph_filter,
            labels=labels,
            limit=limit,
            timeout=timeout,
            explain=explain,
            strengthen=False,
        )
        # Over HTTP it strengthens nothing.
        del native["strengthen"]
        body = {**query_form(native.pop("within")), **native}
        if "query" in body:
            body["query"] = query_form(body["query"])
        if "vector" in body:
            body["vector"] = numbers_form(body["vector"])
        if "valid_at" in body:
            body["valid_at"] = time_form(body["valid_at"])
        return Results(self._call("POST", "/v1/recall", body))

    # ------------------------------------------------------------------ graph

    def find_shortest_path(
        self,
        start_id: str,
        end_id: str,
        edge_types: str | Sequence[str] | None = None,
        direction: Direction = "any",
        max_hops: int | None = None,
        weighted: bool = False,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Path | None:
        """Find a path of the fewest edges, or of the least weight; None when there is none.

        Args:
            start_id: where it begins.
            end_id: where it ends.
            edge_types: only edges of these types.
            direction: ``"out"``, ``"in"`` or ``"any"``, seen from the start.
            max_hops: most edges.
            weighted: whether the length of an edge is its weight.
            valid_at: only edges that are true in the world then.
            known_at: the edges as they were believed then.

        Raises:
            NotFound: one of the nodes does not exist.
        """
        asked = {"start": start_id, "end": end_id, "max_hops": max_hops, "weighted": weighted}
        body = formed({**asked, **walk_form(edge_types, direction, valid_at, known_at)})
        return to_path(self._call("POST", "/v1/path", body)["path"])

    def traverse(
        self,
        start: str,
        edge_types: str | Sequence[str] | None = None,
        direction: Direction = "out",
        max_depth: int = 3,
        depth_first: bool = False,
        limit: int = 10_000,
        *,
        valid_at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> Iterator[tuple[Node, int]]:
        """Walk the graph from a node, each node once, the start (depth 0) first.

        Args:
            start: where to begin.
            edge_types: only edges of these types.
            direction: ``"out"``, ``"in"`` or ``"any"``.
            max_depth: most hops from the start.
            depth_first: depth first instead of breadth first.
            limit: most nodes to give.
            valid_at: only edges that are true in the world then.
            known_at: the edges as they were believed then.

        Raises:
            NotFound: the node does not exist.
        """
        asked = {"start": start, "max_depth": max_depth, "depth_first": depth_first, "limit": limit}
        body = formed({**asked, **walk_form(edge_types, direction, valid_at, known_at)})
        visits = self._call("POST", "/v1/traverse", body)["visits"]
        return ((to_node(visit["node"]), visit["depth"]) for visit in visits)

    # ------------------------------------------------------------------ indexes, transactions

    def create_index(self, label: str, property: str, unique: bool = False) -> Json:
        """Index a property of a label, as `EmbeddedDB.create_index` does.

        Args:
            label: the label.
            property: the property.
            unique: whether two nodes may not have the same value.
        """
        body = {"label": label, "property": property, "unique": unique}
        return cast("Json", self._call("POST", "/v1/indexes", body))

    def drop_index(self, label: str, property: str) -> None:
        """Drop an index.

        Args:
            label: the label.
            property: the property.
        """
        self._call("DELETE", "/v1/indexes", label=label, property=property)

    def indexes(self) -> list[Json]:
        """Give the indexes made on demand."""
        return cast("list[Json]", self._call("GET", "/v1/indexes")["indexes"])

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect writes that are stored together at the end of the ``with`` block, or not at all.

        An exception inside the block drops them. Ids are given when they are collected, so that
        later ones may name earlier ones.

        Raises:
            Conflict: at the end, when something was changed by someone else in between.
        """
        tx = Transaction()
        yield tx
        if tx._operations:
            self._call("POST", "/v1/transaction", {"operations": tx._operations})
