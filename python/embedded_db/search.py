"""A question in plain words: what is checked before it is asked, and what comes back."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args

from .checks import MAX_LIMIT, check_fields, choice, flag, ids, native_query, number, wrong
from .errors import InvalidQuery, shown
from .query import Filter, GraphFilter
from .results import Results

if TYPE_CHECKING:
    from ._native import Hits
    from .models import Owner

__all__ = ["Analysis", "Part", "Profile", "SearchResults"]

Profile = Literal["auto", "conversation", "window", "plain"]
"""A way to rank: ``"conversation"`` by turns, their neighbours and their sessions, ``"window"`` by
windows of five turns too, ``"plain"`` each node by itself; ``"auto"`` is ``"conversation"`` where
there are messages of chats among the candidates, else ``"plain"``."""

Part = Literal[
    "text",
    "semantic",
    "neighbors",
    "session",
    "sender",
    "date",
    "question",
    "window",
    "window_semantic",
]
"""A part of a score. ``"neighbors"`` is in ``"conversation"`` only, the last two in ``"window"``
only; ``"plain"`` has the first two."""


class Analysis(TypedDict):
    """What a question was found to say.

    Examples:
        >>> _ = db.create_chat().add_message("We launch soon", sender="Ann")
        >>> said = db.search("What did Ann say of May 2024?", weights={"semantic": 0}).analysis
        >>> said["names"], said["dates"], said["embedded"]
        (['Ann'], ['May 2024'], None)
    """

    profile: str
    """The profile that answered."""
    terms: list[str]
    """The stemmed words that were looked for."""
    names: list[str]
    """The senders it names."""
    dates: list[str]
    """The times it names, UTC: ``"May"``, ``"8 May 2023"``, ``"2026-11-09 to 2026-11-15"``."""
    embedded: str | None
    """The text whose vector was compared; None when meaning has no weight."""


class SearchResults(Results):
    """The results of a search, best first, and what the question was found to say.

    Examples:
        >>> _ = db.create_chat().add_message("We launch soon", sender="Ann")
        >>> found = db.search("What did Ann say?", weights={"semantic": 0}, explain=True)
        >>> found[0].node.content, found.analysis["names"], found.analysis["profile"]
        ('We launch soon', ['Ann'], 'conversation')
        >>> [step["step"] for step in found.plan["steps"]]
        ['question', 'words', 'vectors', 'score']
    """

    __slots__ = ("_analysis",)

    def __init__(self, owner: "Owner", hits: "Hits", analysis: Analysis) -> None:
        super().__init__(owner, hits)
        self._analysis = analysis

    @property
    def analysis(self) -> Analysis:
        """What the question was found to say."""
        return self._analysis

    @property
    def plan(self) -> dict[str, Any] | None:
        """The analysis and the steps with their times, when ``explain=True`` asked for them."""
        steps = super().plan
        return None if steps is None else {"analysis": self._analysis, **steps}


def native_search(
    text: object,
    *,
    chat: object,
    limit: object,
    profile: object,
    weights: object,
    structural_filters: Sequence[Filter],
    graph_filter: GraphFilter | None,
    labels: Sequence[str] | None,
    superseded: object,
    wait: object,
    timeout: object,
    explain: object,
) -> dict[str, Any]:
    """Check a question and give the dict that native code takes.

    Raises:
        InvalidQuery: a field is malformed.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidQuery(f"text is {shown(text)}", hint="Ask something: a text that is not empty")
    choice("profile", profile, get_args(Profile))
    if not isinstance(structural_filters, list | tuple):
        raise InvalidQuery(
            f"structural_filters is {shown(structural_filters)}", hint="Give a list of conditions"
        )
    chats = _chats(chat)
    within: list[Filter] = [{"property": "chat_id", "operator": "In", "value": chats}]
    filters = [*structural_filters, *(within if chats else ())]
    query = native_query(
        structural_filters=filters,
        graph_filter=graph_filter,
        semantic_query=None,
        # The question itself: it ranks, so that nothing else need restrict.
        text_query={"text": text},
        order_by=(),
        labels=labels,
        limit=limit,
        rank=None,
        wait=wait,
        timeout=timeout,
        explain=explain,
        exact=False,
    )
    del query["text_query"]
    return {
        "text": text,
        "profile": profile,
        "weights": _weights(weights),
        "superseded": flag("superseded", superseded),
        "chats": chats,
        "query": query,
    }


def _chats(chat: object) -> list[str]:
    """Give the ids of a chat or of several, none for all.

    Raises:
        InvalidQuery: it is neither a chat nor an id nor a list of these.
    """
    if chat is None:
        return []
    chats = ids("chat", chat)
    if len(chats) > MAX_LIMIT:
        raise wrong("chat", chat, f"at most {MAX_LIMIT} chats")
    return chats


_HEAVIEST: Final = 1e6


def _weights(given: object) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise wrong("weights", given, "a dict such as {'session': 0.0}")
    check_fields("weights", given, get_args(Part))
    return {
        name: number(f"weights.{name}", weight, least=0.0, most=_HEAVIEST)
        for name, weight in given.items()
    }
