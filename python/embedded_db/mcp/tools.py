"""The tools: what each takes, and what it does with the database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .. import __version__
from ..database import EmbeddedDB
from ..errors import InvalidInput, InvalidQuery, NotFound
from ..interchange.values import decoded
from ..models import Chat, Message
from ..query import ConvergedQuery, Filter
from ..results import Results
from ..search import Part, SearchResults
from .records import bounded, record

__all__ = ["TOOLS", "Caller", "Tool", "checked", "read_chat", "read_node"]

TIMEOUT: Final = 30.0
"""Seconds of a query."""
MOST: Final = 100
"""Most results."""
FEWEST_SEEDS: Final = 3
WORDS: Final[Mapping[Part, float]] = {"semantic": 0.0, "window_semantic": 0.0}
"""Of a search without a model."""
NEWEST: Final = 100
"""Messages of a chat that are read at once."""

Text = Annotated[str, Field(min_length=1, max_length=1_000_000)]
Id = Annotated[str, Field(min_length=1, max_length=1_000)]
Limit = Annotated[int, Field(ge=1, le=MOST, description="Most results.")]


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str = "mcp"
    """What is stored with all that it writes, as ``recorded_by``."""
    may_write: bool = True


class Arguments(BaseModel):
    """What a tool takes; nothing else is accepted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Remember(Arguments):
    """Store a fact for later, or a message of a chat. It is durable when the answer comes."""

    text: Annotated[Text, Field(description="What is to be remembered, in words.")]
    source: Annotated[
        Id | None, Field(description="Where it is known from: an address, a name, an id.")
    ] = None
    sender: Annotated[Id | None, Field(description="Who said or wrote it.")] = None
    about: Annotated[list[Id], Field(max_length=100, description="Ids of what it is about.")] = []
    supersedes: Annotated[
        list[Id], Field(max_length=100, description="Ids of facts that are true no longer.")
    ] = []
    chat: Annotated[
        Id | None,
        Field(description="Store it at the end of this chat, as a message, and not as a fact."),
    ] = None
    role: Annotated[Id | None, Field(description="Of a message: user, assistant, …")] = None
    id: Annotated[Id | None, Field(description="An id of your own; made when left out.")] = None
    ttl: Annotated[
        float | None, Field(gt=0, le=1e9, description="Seconds after which it is forgotten.")
    ] = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Remember":
        if self.chat is not None and (self.about or self.supersedes):
            raise ValueError("about and supersedes belong to facts: leave chat out")
        if self.chat is None and self.role is not None:
            raise ValueError("role belongs to messages: give chat, or leave role out")
        return self

    def run(self, db: EmbeddedDB, caller: Caller) -> dict[str, Any]:
        """Store it."""
        told: dict[str, Any] = {"source": self.source, "sender": self.sender, "id": self.id}
        told = {name: value for name, value in told.items() if value is not None}
        told |= {"ttl": self.ttl, "recorded_by": caller.name}
        node: Message
        if self.chat is not None:
            node = db.create_message(self.chat, self.text, role=self.role or "user", **told)
        else:
            node = db.remember(self.text, about=self.about, supersedes=self.supersedes, **told)
        return {"id": node.id, "kind": "fact" if self.chat is None else "message"}


class Recall(Arguments):
    """Find what is remembered about something.

    By association, also what is only tied to it over others; with `how: "question"` what answers a
    question in plain words, with its names and dates, which is better for what was said in chats.
    """

    text: Annotated[Text, Field(description="A question, or what it is about, in words.")]
    how: Annotated[
        Literal["association", "question"], Field(description="By ties, or by what is asked.")
    ] = "association"
    chat: Annotated[Id | None, Field(description="Only messages of this chat.")] = None
    labels: Annotated[
        list[Id] | None,
        Field(max_length=100, description="Kinds of nodes; messages and facts if left out."),
    ] = None
    by: Annotated[
        Literal["words", "words and meaning"] | None,
        Field(description="Words alone need no model; null takes meaning if there is a model."),
    ] = None
    limit: Limit = 10

    def run(self, db: EmbeddedDB, caller: Caller) -> dict[str, Any]:
        """Recall it."""
        by = self.by or ("words" if db.config.ml is None else "words and meaning")
        if self.chat is not None:
            _chat(db, self.chat)
        ask = self._search if self.how == "question" else self._associate
        return {"how": self.how, "by": by, **_results(db, ask(db, by == "words"))}

    def _search(self, db: EmbeddedDB, by_words: bool) -> SearchResults:
        return db.search(
            self.text,
            self.chat,
            self.limit,
            weights=WORDS if by_words else None,
            labels=self.labels,
            timeout=TIMEOUT,
        )

    def _associate(self, db: EmbeddedDB, by_words: bool) -> Results:
        within: list[Filter] = []
        if self.chat is not None:
            within = [{"property": "chat_id", "operator": "Equals", "value": self.chat}]
        # As many as come back: where nothing ties them, only seeds are found.
        seeds = max(FEWEST_SEEDS, self.limit)
        words = ConvergedQuery(text_query={"text": self.text}, limit=seeds)
        return db.recall(
            words if by_words else self.text,
            labels=["Message"] if self.labels is None else self.labels,
            limit=self.limit,
            seeds=seeds,
            structural_filters=within,
            timeout=TIMEOUT,
        )


class Query(Arguments):
    """Find nodes by words, meaning, properties and reach in the graph, all at once.

    Property filters are `{"property": "sender", "operator": "Equals", "value": "Ann"}`; operators
    are Equals, NotEquals, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual, Between, In,
    NotIn, Contains, StartsWith, EndsWith, Exists and NotExists. A time is
    `{"$time": "2026-01-31T00:00:00Z"}`. A graph filter is `{"start": id,
    "edge_types": ["MENTIONS"], "direction": "any", "min_hops": 1, "max_hops": 2}`.
    """

    text_query: Annotated[
        dict[str, Any] | None, Field(description='Words: {"text": "rust performance"}.')
    ] = None
    semantic_query: Annotated[
        dict[str, Any] | None,
        Field(description='Meaning: {"text": "how fast is it", "threshold": 0.3}; needs a model.'),
    ] = None
    structural_filters: Annotated[
        list[dict[str, Any]], Field(max_length=100, description="Conditions that all hold.")
    ] = []
    graph_filter: Annotated[
        dict[str, Any] | None, Field(description="Only what a node reaches.")
    ] = None
    labels: Annotated[
        list[Id] | None, Field(max_length=100, description="Only nodes with one of these labels.")
    ] = None
    order_by: Annotated[
        list[Annotated[list[Id], Field(min_length=2, max_length=2)]],
        Field(max_length=10, description='Without ranking: [["timestamp", "desc"]].'),
    ] = []
    rank: Annotated[
        dict[str, Any] | None, Field(description='Weights, such as {"text": 0.7, "semantic": 0.3}.')
    ] = None
    limit: Limit = 10

    def run(self, db: EmbeddedDB, caller: Caller) -> dict[str, Any]:
        """Ask it."""
        try:
            given = {
                name: decoded(value)
                for name, value in self.model_dump(exclude_none=True).items()
                if value != []
            }
        except ValueError as error:
            raise InvalidQuery(
                f"a value of the query is none: {error}",
                hint='Write times as {"$time": "2026-01-31T00:00:00Z"}',
            ) from None
        given["order_by"] = [tuple(key) for key in self.order_by]
        query = ConvergedQuery.from_dict({**given, "timeout": TIMEOUT})
        return _results(db, db.execute_query(query))


class Forget(Arguments):
    """Delete one record for good, or all that comes from one source. It cannot be undone."""

    id: Annotated[Id | None, Field(description="A record; a chat goes with all its messages.")] = (
        None
    )
    source: Annotated[Id | None, Field(description="All whose source is this.")] = None

    @model_validator(mode="after")
    def _one(self) -> "Forget":
        if (self.id is None) == (self.source is None):
            raise ValueError("give either id or source")
        return self

    def run(self, db: EmbeddedDB, caller: Caller) -> dict[str, Any]:
        """Forget it."""
        return {"forgotten": db.forget(self.id, source=self.source)}


class Status(Arguments):
    """Tell how much is remembered, and whether the database can do its work."""

    def run(self, db: EmbeddedDB, caller: Caller) -> dict[str, Any]:
        """Look."""
        weaver, health = db.weaver_status(), db.health()
        return {
            "version": __version__,
            "namespace": db.namespace_name,
            "may_write": caller.may_write,
            "has_model": db.config.ml is not None,
            "stored": {
                "nodes": db.count(),
                "edges": db.count_edges(),
                "chats": db.count("Chat"),
                "messages": db.count("Message"),
                "facts": db.count("Fact"),
                "entities": db.count("Entity"),
            },
            "jobs_left": weaver["queue_size"],
            "activity_level": weaver["activity_level"],
            "health": health.level,
            "findings": [each.about for each in health.findings if each.level != "ok"],
        }


@dataclass(frozen=True)
class Tool:
    """A tool as callers see it."""

    takes: type[Arguments]
    run: Callable[[Any, EmbeddedDB, Caller], dict[str, Any]]
    writes: bool = False
    destroys: bool = False
    gives_records: bool = False

    @property
    def description(self) -> str:
        """What it says of itself."""
        return " ".join((self.takes.__doc__ or "").split())


TOOLS: Final[Mapping[str, Tool]] = {
    "remember": Tool(Remember, Remember.run, writes=True),
    "recall": Tool(Recall, Recall.run, gives_records=True),
    "query": Tool(Query, Query.run, gives_records=True),
    "forget": Tool(Forget, Forget.run, writes=True, destroys=True),
    "status": Tool(Status, Status.run),
}


def checked(tool: Tool, arguments: Mapping[str, Any]) -> Arguments:
    """Take the arguments of a tool.

    Raises:
        InvalidInput: they do not fit; it names each that does not.
    """
    try:
        return tool.takes.model_validate(dict(arguments))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the arguments'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)[:10]
        )
        known = ", ".join(tool.takes.model_fields) or "nothing"
        raise InvalidInput(f"wrong arguments: {wrong}", hint=f"It takes {known}") from None


def _results(db: EmbeddedDB, found: Results | SearchResults) -> dict[str, Any]:
    records, omitted = bounded(record(db, each.node, each) for each in found)
    return {
        "results": records,
        **({"omitted": omitted} if omitted else {}),
        **({"not_embedded_yet": found.pending} if found.pending else {}),
    }


def _chat(db: EmbeddedDB, id: str) -> Chat:
    node = db.get_node(id)
    if not isinstance(node, Chat):
        raise NotFound(f"no chat has the id {id!r}", hint="The resources list the chats", id=id)
    return node


def read_chat(db: EmbeddedDB, id: str) -> dict[str, Any]:
    """Read the newest messages of a chat, the newest first, and its summary."""
    chat = _chat(db, id)
    summary = chat.summary()
    messages = chat.messages(limit=NEWEST, newest_first=True)
    records, omitted = bounded(record(db, message) for message in messages)
    return {
        "chat": record(db, chat),
        "summary": None if summary is None else record(db, summary),
        "newest_first": records,
        "omitted": omitted,
    }


def read_node(db: EmbeddedDB, id: str) -> dict[str, Any]:
    """Read any node."""
    node = db.get_node(id)
    if node is None:
        raise NotFound(f"no node has the id {id!r}", hint="Take ids from recall or query", id=id)
    return {"node": record(db, node)}
