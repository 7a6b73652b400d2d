"""What a query found, and what each of its legs said about it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from .arguments import whole_argument
from .errors import InvalidInput, shown
from .guesses import RESULT, RESULTS, Guessing
from .highlights import Highlight
from .libraries import ARROW, library

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from ._native import Cursor, Hit, Hits, Node
    from .models import AnyNode, Owner
    from .reads import Path
    from .token_count import TokenCounter

__all__ = ["Result", "Results"]

COLUMNS: Final = {
    "id": "string",
    "labels": "list",
    "score": "float",
    "similarity_score": "float",
    "text_score": "float",
    "graph_distance": "uint32",
    "activation": "float",
    "rerank_score": "double",
}
"""The columns of a table of results, and their Arrow types."""


class Result(Guessing):
    """One found node with what each leg said about it.

    Examples:
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.testing import FakeModel
        >>> woven = EmbeddedDB(":memory:", ml=FakeModel())
        >>> chat = woven.create_chat()
        >>> _ = chat.add_message("Alice met Bob in Paris")
        >>> [result] = woven.query(
        ...     graph_filter={"start": chat}, text_query={"text": "paris"},
        ...     semantic_query={"text": "alice met bob"}, wait=30,
        ... )
        >>> result.node.content, result.score, result.graph_distance, result.ranks
        ('Alice met Bob in Paris', 1.0, 1, {'semantic': 1, 'text': 1})
        >>> 0 < result.similarity_score < 1, result.text_score > 0, result.rerank_score
        (True, True, None)
        >>> result.shares
        {'text': 0.5, 'semantic': 0.5, 'neighbors': 0.0}
        >>> result.text, [highlight.snippet() for highlight in result.highlights]
        ('Alice met Bob in Paris', ['Alice met Bob in **Paris**'])
        >>> lit = woven.query(text_query={"text": "paris"}, rank={"activation": 1})[0]
        >>> 0 < lit.activation < 1, lit.path.nodes[-1] == lit.node
        (True, True)
        >>> woven.close()
    """

    __slots__ = ("_hit", "_node", "_owner", "_rerank_score")
    _guesses = RESULT

    def __init__(self, owner: "Owner", hit: "Hit", rerank_score: float | None = None) -> None:
        self._owner = owner
        self._hit = hit
        self._node: AnyNode | None = None
        self._rerank_score = rerank_score

    @property
    def node(self) -> "AnyNode":
        """The node: a `Message`, `Chat`, `Entity` or `Summary`, or a plain `Node`."""
        if self._node is None:
            from .models import wrap

            self._node = wrap(self._owner, self._hit.node)
        return self._node

    @property
    def text(self) -> str | None:
        r"""The text by which the node is found, whatever its label, as the query saw it.

        Of a message its content, of a chat title and topic, of a label that `declare_label` or a
        class declares the declared properties, each on a line of its own. None when there is none.

        Examples:
            >>> db.declare_label("Book", text=["title", "blurb"])
            >>> _ = db.create_node(
            ...     {"label": "Book", "properties": {"title": "Norway", "blurb": "On foot."}}
            ... )
            >>> [result.text for result in db.query(text_query={"text": "norway"})]
            ['Norway\nOn foot.']
        """
        return self._hit.text

    @property
    def highlights(self) -> list[Highlight]:
        """The texts in which words of the text query lie, and where, as the query saw them.

        A word is marked whole, by whatever stem it was found; words of a phrase where they are in
        it, nothing that was excluded. Empty without a text leg, and for a node that only another
        leg found.

        Examples:
            >>> _ = db.create_chat().add_message("Fast 🦀: Rust performs", sender="Ann")
            >>> [result] = db.query(text_query={"query": "rust perf* -java"})
            >>> [highlight] = result.highlights
            >>> highlight.property, [highlight.text[a:b] for a, b in highlight.spans]
            ('content', ['Rust', 'performs'])
            >>> highlight.snippet()
            'Fast 🦀: **Rust** **performs**'
        """
        return [
            Highlight(name, item, text, tuple(spans))
            for name, item, text, spans in self._hit.highlights
        ]

    @property
    def score(self) -> float:
        """The fused score, by which the results are ordered unless they were reranked.

        It is 1 for every result of a query that does not rank.
        """
        return self._hit.score

    @property
    def shares(self) -> dict[str, float]:
        """What each part adds to the score, by its name; empty for a query that does not rank."""
        return self._hit.shares

    @property
    def rerank_score(self) -> float | None:
        """What the ``rerank`` function gave, if there was one; it orders the results then."""
        return self._rerank_score

    @property
    def similarity_score(self) -> float | None:
        """Raw cosine similarity, from -1 to 1; None without an embedding or a semantic leg."""
        return self._hit.similarity_score

    @property
    def text_score(self) -> float | None:
        """Raw BM25 score; None without a match or a text leg."""
        return self._hit.text_score

    @property
    def graph_distance(self) -> int | None:
        """Hops from the nearest start node; None without a graph leg."""
        return self._hit.graph_distance

    @property
    def activation(self) -> float | None:
        """Share of all activation that is here, 0 to 1; None where none came, or none spread."""
        return self._hit.activation

    @property
    def path(self) -> "Path | None":
        """The path from a seed over which activation came first, and most of it, if any came.

        A seed has a path of itself alone. Edges may be followed against their direction.

        Examples:
            >>> one, two = db.create_chat().add_messages([{"content": "a"}, {"content": "b"}])
            >>> found = db.recall([one], edge_types=["NEXT"])
            >>> [(r.node.content, [node.content for node in r.path.nodes]) for r in found]
            [('b', ['a', 'b']), ('a', ['a'])]
        """
        path = self._hit.path
        if path is None:
            return None
        from .models import wrap_all
        from .reads import Path

        return Path(wrap_all(self._owner, path.nodes), path.edges, path.cost)

    @property
    def ranks(self) -> dict[str, int]:
        """The place, from 1, that each ranking leg gave this node."""
        return self._hit.ranks

    def to_dict(self) -> dict[str, Any]:
        """Give the node's id, labels and properties and every score as plain values.

        Examples:
            >>> _ = db.create_chat().add_message("Rust is fast", id="first")
            >>> [result] = db.query(text_query={"text": "rust"})
            >>> row = result.to_dict()
            >>> row["id"], row["properties"]["content"], row["ranks"]
            ('first', 'Rust is fast', {'text': 1})
        """
        node = self._hit.node
        return {
            "id": node.id,
            "labels": node.labels,
            "properties": node.properties,
            "score": self.score,
            "similarity_score": self.similarity_score,
            "text_score": self.text_score,
            "graph_distance": self.graph_distance,
            "activation": self.activation,
            "ranks": self.ranks,
            "shares": self.shares,
            "rerank_score": self.rerank_score,
        }

    def __repr__(self) -> str:
        legs = [
            f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={value}"
            for name, value in (
                ("similarity_score", self.similarity_score),
                ("text_score", self.text_score),
                ("graph_distance", self.graph_distance),
                ("activation", self.activation),
            )
            if value is not None
        ]
        return f"Result({', '.join([f'score={self.score:.3f}', *legs])}, node={self.node!r})"


class Results(Sequence[Result], Guessing):
    """The results of a query, best first: a sequence of `Result`.

    Examples:
        >>> _ = db.create_chat().add_messages([{"content": f"Rust {n}"} for n in range(3)])
        >>> query = {"labels": ["Message"], "order_by": ["content"], "limit": 2}
        >>> results = db.query(**query, explain=True)
        >>> len(results), results[0].node.content, results.pending
        (2, 'Rust 0', 0)
        >>> [row["properties"]["content"] for row in results.to_dicts()]
        ['Rust 0', 'Rust 1']
        >>> [step["step"] for step in results.plan["steps"]]
        ['labels', 'order']
        >>> [r.node.content for r in db.query(**query, explain=True, after=results.cursor)]
        ['Rust 2']
        >>> results.reflex, results.answered
        (None, None)
    """

    __slots__ = ("_hits", "_made", "_owner", "_places", "_rerank_scores")
    _guesses = RESULTS

    def __init__(
        self,
        owner: "Owner",
        hits: "Hits",
        places: Sequence[int] | None = None,
        rerank_scores: Sequence[float] | None = None,
    ) -> None:
        self._owner = owner
        self._hits = hits
        # Which of the hits, in what order; None means all, as they come.
        self._places = places
        self._rerank_scores = rerank_scores
        # A result asked for twice is one object: what was changed on its node is there to be saved.
        self._made: dict[int, Result] = {}

    @property
    def pending(self) -> int:
        """How many matching nodes had no embedding yet, so that similarity could not see them."""
        return self._hits.pending

    @property
    def plan(self) -> dict[str, Any] | None:
        """How the query was carried out, when ``explain=True`` asked for it."""
        return self._hits.plan

    @property
    def cursor(self) -> "Cursor | None":
        """Where the results go on: pass it as ``after`` with the same query. None at the end.

        It holds the state that the query saw until it and these results are gone, or until
        `Config.max_snapshot_age` has passed. Where 1,000 states are held, the oldest cursors give
        way to newer ones: read many pages at leisure within ``db.snapshot()``.
        """
        return self._hits.cursor if self._places is None else None

    @property
    def reflex(self) -> Literal["exact", "near"] | None:
        """How a reflex gave the results; None when they are fresh.

        ``"exact"`` results are those of a fresh query, ``"near"`` ones those of `answered`.
        """
        told = self._hits.told
        return None if told is None else told[0]

    @property
    def answered(self) -> str | None:
        """The question whose answer this is, when the reflex is ``"near"``."""
        told = self._hits.told
        return None if told is None else told[1]

    def feedback(self, verdict: Literal["y", "n"]) -> float:
        """Say whether the results were right, which makes their reflex surer or less sure.

        A reflex begins with 0.9 and answers nothing below 0.8; ``"y"`` brings it a fifth of the way
        to 1, ``"n"`` halves it.

        Args:
            verdict: ``"y"``, they were right; ``"n"``, they were not.

        Returns:
            How sure the reflex is now, from 0 to 1.

        Raises:
            InvalidInput: another verdict; or the results have no reflex: the query was asked
                without ``reflex``, depends on the time, or found more than 32 kB.
            NotFound: the reflex has left for others.

        Examples:
            >>> _ = db.create_chat().add_message("Rust is fast")
            >>> rust = {"text_query": {"text": "rust"}, "reflex": True}
            >>> db.query(**rust).reflex, db.query(**rust).reflex
            (None, 'exact')
            >>> db.query(**rust).feedback("n"), db.query(**rust).reflex
            (0.45, None)
        """
        given: object = verdict  # an array cannot be looked up
        if not (isinstance(given, str) and given in {"y", "n"}):
            raise InvalidInput(
                f"verdict is {shown(verdict)}",
                hint='Use "y" or "n"; what a query finds is corrected by changing what is stored',
            )
        sure = self._hits.judge(verdict == "y")
        if sure is None:
            raise InvalidInput(
                "the results have no reflex",
                hint="Ask with reflex=True, without recency_half_life, for at most 32 kB",
            )
        return sure

    def __len__(self) -> int:
        return len(self._hits) if self._places is None else len(self._places)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        size = len(self)
        at = index + size if index < 0 else index
        if not 0 <= at < size:
            raise IndexError(f"result {index} of {size}")
        if at not in self._made:
            score = None if self._rerank_scores is None else self._rerank_scores[at]
            place = at if self._places is None else self._places[at]
            self._made[at] = Result(self._owner, self._hits[place], score)
        return self._made[at]

    def __iter__(self) -> Iterator[Result]:
        return (self[at] for at in range(len(self)))

    def _raw_hits(self) -> "Iterator[Hit]":
        """Give the hits as native code has them."""
        places = range(len(self._hits)) if self._places is None else self._places
        return (self._hits[at] for at in places)

    def _raw_nodes(self) -> "Iterator[Node]":
        """Give the nodes as native code has them, without making models of them."""
        return (hit.node for hit in self._raw_hits())

    def _picked(
        self, places: Sequence[int], rerank_scores: Sequence[float] | None = None
    ) -> "Results":
        """Give some of these results, by their places, in this order.

        Args:
            places: from 0 to ``len(results) - 1``, each at most once.
            rerank_scores: one for each place, if that is what they were ordered by.
        """
        own, scores = self._places, self._rerank_scores
        if rerank_scores is None and scores is not None:
            rerank_scores = [scores[at] for at in places]
        places = places if own is None else [own[at] for at in places]
        return Results(self._owner, self._hits, places, rerank_scores)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Give every result as plain values (see `Result.to_dict`)."""
        return [result.to_dict() for result in self]

    def to_arrow(self) -> "pyarrow.Table":
        """Give the results as an Arrow table of one row each.

        Its columns: ``id``, ``labels``, ``score``, ``similarity_score``, ``text_score``,
        ``graph_distance``, ``activation``, ``rerank_score``, and one ``property.NAME`` for each
        property. A property whose values are of several types comes as its values' ``repr``. Ints
        beside floats come as floats, unless one of them would change by it (not all beyond 2**53
        are floats): then they, too, come as ``repr``.

        Raises:
            InvalidInput: pyarrow is not installed.

        Examples:
            >>> _ = db.create_chat().add_message("Rust is fast", sender="Ann")
            >>> table = db.query(text_query={"text": "rust"}).to_arrow()
            >>> table["property.sender"].to_pylist()
            ['Ann']
        """
        pyarrow = library("pyarrow", "to_arrow", ARROW)
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        names: dict[str, None] = {}
        rows = self.to_dicts()
        for row in rows:
            names.update(dict.fromkeys(row["properties"]))
            for name, column in columns.items():
                column.append(row[name])
        arrays = [
            pyarrow.array(
                columns[name],
                type=pyarrow.list_(pyarrow.string())
                if alias == "list"
                else pyarrow.type_for_alias(alias),
            )
            for name, alias in COLUMNS.items()
        ]
        for name in names:
            arrays.append(_column(pyarrow, [row["properties"].get(name) for row in rows]))
        return pyarrow.table(arrays, names=[*COLUMNS, *(f"property.{name}" for name in names)])

    def to_pandas(self) -> "pandas.DataFrame":
        """Give the results as a pandas frame, with the columns of `to_arrow`.

        Values stay as they are, so that a column may hold several types; pandas itself makes
        floats of ints only where each stays the number it is.

        Raises:
            InvalidInput: pandas is not installed.

        Examples:
            >>> _ = db.create_chat().add_message("Rust is fast", sender="Ann")
            >>> frame = db.query(text_query={"text": "rust"}).to_pandas()
            >>> frame["property.sender"].tolist()
            ['Ann']
        """
        module = library("pandas", "to_pandas")
        rows = self.to_dicts()
        names = dict.fromkeys(name for row in rows for name in row["properties"])
        data: dict[str, Any] = {name: [row[name] for row in rows] for name in COLUMNS}
        for name in names:
            values = [row["properties"].get(name) for row in rows]
            whole = all(type(value) is int for value in values)
            kind = None if whole or _are_floats(values) else object
            data[f"property.{name}"] = module.Series(values, dtype=kind)
        frame: pandas.DataFrame = module.DataFrame(data)
        return frame

    def to_polars(self) -> "polars.DataFrame":
        """Give the results as a Polars frame, made of `to_arrow`.

        Raises:
            InvalidInput: polars or pyarrow is not installed.

        Examples:
            >>> _ = db.create_chat().add_message("Rust is fast", sender="Ann")
            >>> frame = db.query(text_query={"text": "rust"}).to_polars()
            >>> frame["property.sender"].to_list()
            ['Ann']
        """
        module = library("polars", "to_polars")
        frame: polars.DataFrame = module.from_arrow(self.to_arrow())
        return frame

    def __repr__(self) -> str:
        rows = "".join(f"\n  {result!r}" for result in self[:10])
        more = f"\n  … {len(self) - 10} more" if len(self) > 10 else ""
        pending = f", {self.pending} pending" if self.pending else ""
        return f"Results({len(self)} found{pending}){rows}{more}"

    def _repr_html_(self) -> str:
        import html

        def cell(value: object) -> str:
            text = f"{value:.3f}" if isinstance(value, float) else "" if value is None else value
            return f"<td>{html.escape(str(text))}</td>"

        head = "".join(
            f"<th>{name}</th>" for name in ("score", "similarity", "text", "distance", "node")
        )
        rows = "".join(
            "<tr>"
            + cell(result.score)
            + cell(result.similarity_score)
            + cell(result.text_score)
            + cell(result.graph_distance)
            + cell(repr(result.node))
            + "</tr>"
            for result in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def reranked(
    results: Results, rerank: Callable[[Sequence[Result]], Sequence[float]], limit: int
) -> Results:
    """Order results by what a function says of them, and keep the first ``limit``.

    Raises:
        InvalidInput: it gave something other than one finite number for each.
    """
    given = rerank(results) if len(results) else []
    try:
        scores = [float(score) for score in given]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"rerank gave {shown(given)}", hint="It has to give one number for each result"
        ) from error
    if len(scores) != len(results) or not all(map(math.isfinite, scores)):
        raise InvalidInput(
            f"rerank gave {len(scores)} numbers for {len(results)} results: {shown(scores)}",
            hint="It has to give one finite number for each result",
        )
    order = sorted(range(len(scores)), key=lambda at: -scores[at])[:limit]
    return results._picked(order, [scores[at] for at in order])


def within(results: Results, budget: object, count_tokens: "TokenCounter | None") -> Results:
    """Keep the results whose texts fit into a number of tokens together, best first.

    Raises:
        InvalidInput: the budget is no whole number of 1 or more, or ``count_tokens`` gave none.
        ModelUnavailable: the tokens of the model are to be counted and it is not installed.
    """
    from .token_count import counter

    left = whole_argument("token_budget", budget)
    count, places = counter(count_tokens), []
    for at, hit in enumerate(results._raw_hits()):
        text = hit.text
        tokens = count(_text_of(hit.node.properties) if text is None else text)
        if tokens <= left:
            left -= tokens
            places.append(at)
    return results._picked(places)


def _text_of(properties: "Mapping[str, Any]") -> str:
    for name in ("content", "text", "title", "label"):
        text = properties.get(name)
        if isinstance(text, str):
            return text
    return ""


def _are_floats(values: list[Any]) -> bool:
    """Tell whether each number is what it is as a float, too."""
    return all(int(float(value)) == value for value in values if isinstance(value, int))


def _column(pyarrow: Any, values: list[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float} and _are_floats(values):
        values = [None if value is None else float(value) for value in values]
    elif len(kinds) > 1:
        values = [None if value is None else repr(value) for value in values]
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        # Lists and dicts whose items are of several types.
        return pyarrow.array([None if value is None else repr(value) for value in values])
