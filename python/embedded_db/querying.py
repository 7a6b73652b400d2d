"""Asking: the converged query and the plain question, over whatever can answer them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, cast

import numpy.typing as npt

from ._native import Cursor, Hits
from .checks import MAX_LIMIT, native_query
from .errors import InvalidInput, InvalidQuery, shown
from .fields import Expression
from .models import IdLike, Owner
from .query import (
    ConvergedQuery,
    Direction,
    Filter,
    GraphFilter,
    OrderKey,
    Rank,
    Reflex,
    Rerank,
    SemanticQuery,
    TextQuery,
)
from .recall import native_recall
from .results import Results, reranked, within
from .search import Part, Profile, SearchResults, native_search
from .token_count import TokenCounter

__all__ = ["Querying"]

RERANKED = 50
"""Fewest results that a ``rerank`` function chooses among."""


class Asked(Protocol):
    """What native code answers of queries, of a database, a snapshot or a transaction."""

    def query(self, query: dict[str, Any], after: Cursor | None = None) -> Hits: ...
    def search(self, search: dict[str, Any]) -> tuple[Hits, dict[str, Any]]: ...
    def recall(self, recall: dict[str, Any]) -> Hits: ...
    def count_matching(self, query: dict[str, Any]) -> int: ...
    def group_count(self, query: dict[str, Any], property: str) -> dict[Any, int]: ...


class Querying(ABC):
    """The converged query and the plain question, over whatever can answer them."""

    @abstractmethod
    def _asked(self) -> Asked: ...

    @abstractmethod
    def _default_space(self) -> str | None: ...

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
        after: Cursor | None = None,
        rerank: Rerank | None = None,
        token_budget: int | None = None,
        count_tokens: TokenCounter | None = None,
        reflex: Reflex = False,
    ) -> Results:
        """Find nodes by properties, graph reach, meaning and words, in one consistent state.

        Property filters and graph reach restrict, meaning and words rank; each may be left out.

        Args:
            structural_filters: conditions on properties, such as
                ``[{"property": "role", "operator": "Equals", "value": "user"}]``; all have to
                hold. ``{"any": […]}``, ``{"all": […]}`` and ``{"not": …}`` nest.
            graph_filter: ``{"start": id, "edge_types": […], "direction": "any", "min_hops": 1,
                "max_hops": 2, "exclude": False}``, or a pattern: ``{"start": id, "steps": […]}``.
            semantic_query: ``{"text": …}`` or ``{"vector": float32[dim]}``, with ``threshold``
                (least raw cosine), ``space`` and ``recall``.
            text_query: ``{"text": words}``, or ``{"query": 'rust AND "low latency" -java perf*'}``
                in the syntax of `TextQuery`, ranked by BM25 with ``k1`` and ``b``.
            labels: only nodes with one of these labels.
            order_by: properties such as ``[("timestamp", "desc"), "sender"]``, or fields such as
                ``[Person.age.desc(), Person.name]``, for queries without semantic and text legs;
                what lacks the property comes last.
            limit: most results, 1 to 10,000.
            rank: weights such as ``{"text": 0.5, "semantic": 0.5, "graph": 0.0,
                "activation": 0.0, "neighbors": 0.3}``, ``"fusion"``, ``"recency_half_life"`` and
                ``"mmr"``.
            wait: seconds to wait for embeddings that matching nodes do not have yet.
            timeout: seconds the query may take.
            explain: give the plan with the results.
            exact: compare all vectors, so that none of the nearest is missed.
            after: ``results.cursor`` of the page before, from the same query: its results go on
                in the state that the first page saw, and no result comes twice.
            rerank: called with the best results (50, or ``limit`` if that is more), gives one
                number for each; the greatest comes first.
            token_budget: most tokens that the texts of the results may have together (see
                `Result.text`; of a node without one its ``content``, ``text``, ``title`` or
                ``label``); a result that does not fit any
                more is passed over for one that does. Such results have no further pages.
            count_tokens: gives the tokens of a text; those of the embedding model unless given.
            reflex: True answers a query that was asked before from what was found then, as long
                as nothing was committed to the namespace since: the answer is that of a fresh
                query. ``"near"`` also answers from a question in other words that means the same
                to the model; ``results.reflex`` says so. Only a database has reflexes, in memory.

        Returns:
            The results, best first; ``results.pending`` counts matching nodes not embedded yet,
            ``results.cursor`` leads to the next page.

        Raises:
            InvalidQuery: a field is malformed, or the query is empty or contradicts itself, or
                the cursor is that of another query, database or namespace.
            NotFound: a start node or a space does not exist.
            DimensionMismatch: the vector has another length than its space.
            ModelUnavailable: a text has to be embedded and there is no model.
            LimitReached: a text has to be embedded, and the `Limit` of the model leaves no room.
            SnapshotExpired: the state that the cursor saw is too old, or gave way to newer ones.
            QuotaExceeded: snapshots hold all 1,000 states that can be held, so that the cursor
                could hold none.
            Timeout: ``timeout`` passed, or the graph filter reaches over five million nodes.
            NonFiniteVector: the vector holds NaN or an infinity.

        Examples:
            >>> chat = db.create_chat()
            >>> _ = chat.add_message("Rust is fast", sender="Ann")
            >>> _ = chat.add_message("Rust is safe", sender="Bob")
            >>> by_ann = {"property": "sender", "operator": "Equals", "value": "Ann"}
            >>> results = db.query(
            ...     structural_filters=[by_ann],
            ...     graph_filter={"start": chat.id, "edge_types": ["CONTAINS"], "direction": "out"},
            ...     text_query={"text": "rust"},
            ... )
            >>> [(r.node.content, r.graph_distance, r.ranks) for r in results]
            [('Rust is fast', 1, {'text': 1})]
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
        found = self._results(native, after, rerank, reflex)
        return found if token_budget is None else within(found, token_budget, count_tokens)

    def execute_query(
        self,
        query: ConvergedQuery,
        *,
        after: Cursor | None = None,
        rerank: Rerank | None = None,
        token_budget: int | None = None,
        count_tokens: TokenCounter | None = None,
        reflex: Reflex = False,
    ) -> Results:
        """Run a query that was made beforehand.

        Args:
            query: the query.
            after: ``results.cursor`` of the page before.
            rerank: as in `query`.
            token_budget: as in `query`.
            count_tokens: as in `query`.
            reflex: as in `query`.

        Returns:
            The results, best first.

        Raises:
            InvalidInput: it is not a `ConvergedQuery`.
            DbError: as `query`.

        Examples:
            >>> _ = db.create_chat().add_message("Rust is fast")
            >>> query = ConvergedQuery(text_query={"text": "rust"}, labels=["Message"])
            >>> [result.node.content for result in db.execute_query(query)]
            ['Rust is fast']
        """
        found = self._results(checked_query(query).native, after, rerank, reflex)
        return found if token_budget is None else within(found, token_budget, count_tokens)

    def search(
        self,
        text: str,
        chat: IdLike | Sequence[IdLike] | None = None,
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
    ) -> SearchResults:
        """Ask in plain words, such as ``"When did Caroline go to the support group?"``.

        Of the question its telling words are looked for, the senders it names and the time it
        names are preferred, and the rest of it, without the names, is compared by meaning. A
        message also counts by what stands beside it and by its session: its chat, or the part of
        it in which no message is over an hour from the one before. Facts, documents and the texts
        that `declare_label` and models declare are looked at with the messages; what is in no chat
        is a session of its own. English is understood; times are UTC.

        What is known of the candidates (how rare a word is, who is a sender, what is beside what)
        is known as if there were no other nodes. Facts whose place others took are no candidates,
        unless ``superseded`` asks for them; `query` finds them always.

        Args:
            text: the question.
            chat: only messages of this chat, or of one of these chats.
            limit: most results, 1 to 10,000.
            profile: how to rank (see `embedded_db.search.Profile`).
            weights: factors of parts of the score: ``{"session": 0.0}`` switches one off, 1.0
                leaves it as it is. With ``{"semantic": 0}`` no model is needed.
            structural_filters: conditions that all have to hold, as in `query`.
            graph_filter: graph reach, as in `query`.
            labels: only nodes with one of these labels; when left out and there are messages of
                chats, these, facts, documents and declared texts, unless the profile is
                ``"plain"``.
            superseded: find facts too whose place others took with `EmbeddedDB.remember`.
            wait: seconds to wait for embeddings that candidates do not have yet.
            timeout: seconds the search may take.
            explain: give the analysis and the steps as ``results.plan``.

        Returns:
            The results, best first; ``result.shares`` says what each part gave to the score,
            ``results.analysis`` what the question was found to say, ``results.pending`` how many
            candidates are not embedded yet.

        Raises:
            InvalidQuery: an argument is malformed, or a profile or part does not exist.
            NotFound: a chat, or a start node of the graph filter, does not exist.
            ModelUnavailable: there is no model and meaning has weight.
            LimitReached: a text has to be embedded, and the `Limit` of the model leaves no room.
            Timeout: ``timeout`` passed.

        Examples:
            >>> chat = db.create_chat()
            >>> _ = chat.add_message("The launch is on Friday", sender="Ann")
            >>> _ = chat.add_message("I bring the cake", sender="Bob")
            >>> found = db.search("When is the launch?", chat=chat, weights={"semantic": 0})
            >>> found[0].node.content
            'The launch is on Friday'
            >>> old = db.remember("The launch is on Saturday")
            >>> new = db.remember("The launch is on Sunday", supersedes=old)
            >>> by_words = {"limit": 9, "weights": {"semantic": 0}}
            >>> [fact in [f.node for f in db.search("launch", **by_words)] for fact in (old, new)]
            [False, True]
            >>> old.id in [f.node.id for f in db.search("launch", superseded=True, **by_words)]
            True
        """
        native = native_search(
            text,
            chat=chat,
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
        space = self._default_space()
        if space is not None:
            native["space"] = space
        hits, analysis = self._asked().search(native)
        return SearchResults(cast("Owner", self), hits, cast("Any", analysis))

    def recall(
        self,
        cue: str | IdLike | Sequence[IdLike] | npt.ArrayLike | ConvergedQuery,
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
        strengthen: bool = False,
    ) -> Results:
        """Find what hangs together with a cue, though it shares neither words nor meaning with it.

        The cue finds a few seeds. Activation, 1 in all, begins there and spreads over edges: in
        every burst each active node passes on all but ``restart`` of its activation, and that
        share begins at the seeds anew. An edge carries in proportion to
        ``weight * ln(1 + N / d)``, where N is the number of nodes with an edge and d the number of
        edges at that of its two nodes which has more, so that what is rare ties more; one whose
        weight is not over 0 carries nothing. The most active nodes come back. This is a random
        walk with restart (personalised PageRank: Page and others, 1999), by which HippoRAG
        (Gutiérrez and others, 2024) finds evidence several hops from a question.

        Filters and labels restrict what comes back, not what activation runs over. The graph is
        that of the newest state, or of the snapshot; edges of a long history
        (``known_at``) are not asked for.

        Args:
            cue: a text, which seeds what `search` with the profile ``"plain"`` finds and, with a
                fifth of the activation, the entities it names; ids of nodes, or nodes, in a list;
                a vector of float32[dim]; or a `ConvergedQuery`, whose best results are seeds.
            bursts: how many edges activation goes at most, 1 to 100.
            limit: most results, 1 to 10,000.
            edge_types: only edges of these types carry; all unless given.
            direction: ``"out"``, ``"in"`` or ``"any"``, along which edges carry.
            seeds: how many of the best that a text, a vector or a query finds are seeds, 1 to
                1,000; their weight is the square of their score. Of nodes that are given each is a
                seed, and weighs the same.
            restart: the share that begins anew in every burst, from 0 to below 1: the greater, the
                nearer it stays.
            structural_filters: conditions on what comes back, as in `query`.
            graph_filter: graph reach of what comes back, as in `query`.
            labels: only nodes with one of these labels come back.
            valid_at: only edges carry that are true in the world at this time; when it is left
                out, all do.
            timeout: seconds it may take.
            explain: give the plan with the results.
            strengthen: strengthen the edges that lead to the results, as `EmbeddedDB.strengthen`
                does; only of a database that can be written.

        Returns:
            The most active nodes, seeds among them: ``result.activation`` (and ``result.score``)
            is the share of the activation that a node has after the last burst, ``result.path``
            how it came. ``results.pending`` counts nodes that could not be seeds yet, for they are
            not embedded.

        Raises:
            InvalidQuery: an argument is malformed, or a snapshot is to strengthen something.
            ReadOnly: ``strengthen`` is given to a handle that only reads.
            NotFound: a node of the cue, or a start node of the graph filter, does not exist.
            DimensionMismatch: the vector has another length than its space.
            NonFiniteVector: the vector holds NaN or an infinity.
            ModelUnavailable: a text has to be embedded and there is no model.
            LimitReached: a text has to be embedded, and the `Limit` of the model leaves no room.
            QuotaExceeded: the edges of the namespace need more than `Config.recall_memory`.
            Timeout: ``timeout`` passed.

        Examples:
            >>> ann, bob, oslo = db.create_nodes(
            ...     [{"label": "Person", "id": name} for name in ("ann", "bob", "oslo")]
            ... )
            >>> _ = db.create_edges(
            ...     [
            ...         {"source": ann, "target": bob, "type": "KNOWS"},
            ...         {"source": bob, "target": oslo, "type": "LIVES_IN"},
            ...     ]
            ... )
            >>> found = db.recall([ann], bursts=2)
            >>> [(r.node.id, round(r.activation, 2)) for r in found]
            [('ann', 0.52), ('oslo', 0.32), ('bob', 0.16)]
            >>> [edge.type for edge in found[1].path.edges]
            ['KNOWS', 'LIVES_IN']
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
            strengthen=strengthen,
        )
        space = self._default_space()
        if space is not None:
            native["space"] = space
        return Results(cast("Owner", self), self._asked().recall(native))

    def count_matching(self, query: ConvergedQuery) -> int:
        """Count the nodes that a query matches, whatever its limit.

        Args:
            query: a query without semantic and text legs, which match no certain set of nodes.

        Raises:
            InvalidQuery: it has such a leg.
            DbError: as `query`.

        Examples:
            >>> _ = db.create_chat().add_messages([{"content": text} for text in "abc"])
            >>> db.count_matching(ConvergedQuery(labels=["Message"], limit=1))
            3
        """
        return self._asked().count_matching(checked_query(query).native)

    def group_count(self, query: ConvergedQuery, property: str | Expression[Any]) -> dict[Any, int]:
        """Count the nodes that a query matches by the value of a property.

        Args:
            query: a query without semantic and text legs.
            property: its name, a dotted path, or a field of a model.

        Returns:
            The number of nodes of each value, the most frequent first; those that lack the
            property are counted under None.

        Raises:
            InvalidQuery: the query has a ranking leg, or a value is a list or dict.
            DbError: as `query`.

        Examples:
            >>> _ = db.create_chat().add_messages(
            ...     [{"content": "Hello", "sender": sender} for sender in ("Ann", "Bob", "Ann")]
            ... )
            >>> db.group_count(ConvergedQuery(labels=["Message"]), "sender")
            {'Ann': 2, 'Bob': 1}
        """
        name = property.name if isinstance(property, Expression) else property
        return self._asked().group_count(checked_query(query).native, name)

    def _by_reflex(self, query: dict[str, Any], near: bool) -> Hits:
        """Ask for what was found before. Only a database remembers that."""
        raise InvalidQuery(
            f"reflex is given to a {type(self).__name__}", hint="Only a database has reflexes"
        )

    def _results(
        self,
        native: dict[str, Any],
        after: Cursor | None,
        rerank: Rerank | None,
        reflex: Reflex = False,
    ) -> Results:
        given: object = reflex  # an array compares by items
        if not (isinstance(given, bool) or (isinstance(given, str) and given == "near")):
            raise InvalidQuery(f"reflex is {shown(reflex)}", hint='Use True, False or "near"')
        if reflex and after is not None:
            raise InvalidQuery(
                "after and reflex are both given",
                hint="A page belongs to the state of the first one: leave reflex out",
            )
        space = self._default_space()
        if space is not None and "semantic_query" in native:
            native = {**native, "semantic_query": {"space": space, **native["semantic_query"]}}
        if after is not None and not isinstance(after, Cursor):
            raise InvalidInput(f"after is {shown(after)}", hint="Pass results.cursor")
        owner = cast("Owner", self)

        def asked(query: dict[str, Any]) -> Hits:
            if reflex:
                return self._by_reflex(query, reflex == "near")
            return self._asked().query(query, after)

        if rerank is None:
            return Results(owner, asked(native))
        if after is not None:
            raise InvalidInput(
                "after and rerank are both given",
                hint="A reranked page has no next one: raise limit instead",
            )
        limit = native["limit"]
        wider = {**native, "limit": min(MAX_LIMIT, max(limit, RERANKED))}
        return reranked(Results(owner, asked(wider)), rerank, limit)


def checked_query(query: object) -> ConvergedQuery:
    """Take a query.

    Raises:
        InvalidInput: it is no `ConvergedQuery`.
    """
    if not isinstance(query, ConvergedQuery):
        raise InvalidInput(
            f"{shown(query)} is not a ConvergedQuery",
            hint="Make one with ConvergedQuery(…) or ConvergedQuery.from_dict(…)",
        )
    return query
