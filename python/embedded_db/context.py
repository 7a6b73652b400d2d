"""What a model sees of a chat next: the messages that matter, within a budget of tokens."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from .arguments import text_argument, whole_argument
from .models.chat import Chat
from .models.content import openai_message, texts_of
from .models.documents import is_superseded
from .models.message import Message
from .models.refusals import gone
from .token_count import TokenCounter, counter

if TYPE_CHECKING:
    from .models.owner import Owner
    from .snapshot import Snapshot
    from .transaction import Transaction

__all__ = ["context_of", "openai_messages"]

INSTRUCTIONS: Final = ("system", "developer")
# The summary quotes what people wrote: as a system message it would speak with the authority of the
# program that uses it.
SUMMARY_ROLE: Final = "user"
SUMMARY_HEADING: Final = "Summary of the conversation so far, for information:\n"
SUMMARY_SHARE: Final = 4
"""The summary takes at most this part of the budget."""
RECENT_SHARE: Final = 2
"""The newest messages take at most this part of what is left, before relevant ones have a turn."""
MOST_RELEVANT: Final = 100
FIRST_PAGE: Final = 4
LARGEST_PAGE: Final = 512
"""Messages that are read at once: few first, for often few are needed."""
MOST_READ: Final = 1 << 32
"""More messages than a chat can have."""


@dataclass
class Unit:
    """Messages that belong together: one, or a call of tools with its answers."""

    messages: list[Message]
    complete: bool

    def openai(self) -> list[dict[str, Any]]:
        """Give the messages in OpenAI's form."""
        return [openai_message(message.get) for message in self.messages]


def is_answer(message: Message) -> bool:
    """Tell whether a message answers a call of a tool: it never begins a unit."""
    return message.role in ("tool", "function")


def unit_of(messages: Iterable[Message]) -> Unit:
    """Give the unit that messages begin with; answers to other calls are left out."""
    rest = iter(messages)
    first = next(rest)
    members, waiting = [first], _calls(first)
    for message in itertools.takewhile(is_answer, rest):
        role, call = message.role, message.tool_call_id
        answered = call if role == "tool" else f"function {message.name}"
        if answered in waiting:
            waiting.discard(answered)
            members.append(message)
    return Unit(members, complete=not waiting)


def _calls(message: Message) -> set[str | None]:
    """Give what has to be answered before the next message."""
    if message.role != "assistant":
        return set()
    calls: set[str | None] = {str(call.get("id")) for call in message.tool_calls or ()}
    function = message.get("function_call")
    return calls | {f"function {function.get('name')}"} if function else calls


def openai_messages(found: Iterable[Message]) -> list[dict[str, Any]]:
    """Give messages in OpenAI's form; see `Chat.to_openai`."""
    messages = list(found)
    starts = [at for at, message in enumerate(messages) if not is_answer(message)]
    units = [unit_of(map(messages.__getitem__, range(at, len(messages)))) for at in starts]
    kept = [unit for unit in units[:-1] if unit.complete] + units[-1:]
    return [message for unit in kept for message in unit.openai()]


def context_of(
    owner: Owner,
    chat_id: str,
    query: str | None,
    token_budget: int,
    count_tokens: TokenCounter | None,
) -> list[dict[str, Any]]:
    """Choose the messages for the next prompt; see `Chat.context`."""
    whole_argument("token_budget", token_budget)
    if query is not None:
        text_argument("query", query)
    with _source(owner) as source:
        chat = source.get_node(chat_id)
        if not isinstance(chat, Chat):
            raise gone("the chat", chat_id)
        reading = _reading(source, chat_id)
        choice = _Choice(reading, token_budget, counter(count_tokens))
        if choice.take_all():
            return choice.result(None)
        choice.take_instructions()
        summary = choice.take_summary(chat)
        choice.take_newest(choice.left // RECENT_SHARE)
        asked = choice.last_question() if query is None else query
        choice.take(_relevant(reading, asked))
        choice.take_newest(choice.left)
        return choice.result(summary)


@contextmanager
def _source(owner: Owner) -> Iterator[Snapshot | Transaction]:
    """Give the instant that is read: that of a snapshot or transaction, or now."""
    from .snapshot import Snapshot
    from .transaction import Transaction

    if isinstance(owner, Snapshot | Transaction):
        yield owner
    else:
        with owner._database("chat.context").snapshot() as snapshot:
            yield snapshot


def _reading(source: Snapshot | Transaction, chat_id: str) -> _Reading:
    from .snapshot import Snapshot

    if isinstance(source, Snapshot):
        return _SnapshotReading(source, chat_id)
    return _WrittenReading(source, chat_id)


class _Reading(ABC):
    """The messages of a chat by their places, which grow.

    Facts whose place others took are left out.
    """

    def __init__(self, source: Snapshot | Transaction, chat_id: str) -> None:
        self.source = source
        self.chat_id = chat_id
        self._messages: dict[int, Message] = {}

    def __getitem__(self, place: int) -> Message:
        return self._messages[place]

    def from_(self, start: int) -> Iterator[Message]:
        """Give a message and those behind it."""
        return map(self._messages.__getitem__, itertools.chain([start], self.walk(start)))

    @abstractmethod
    def walk(self, start: int | None = None, *, newest_first: bool = False) -> Iterator[int]:
        """Give the places behind one, or from an end of the chat on."""

    @abstractmethod
    def place_of(self, id: str) -> int | None:
        """Give the place of a message, if it is in the chat and not left out."""


class _WrittenReading(_Reading):
    """The messages as a transaction sees them; what it has added has no place, so all are read."""

    def __init__(self, transaction: Transaction, chat_id: str) -> None:
        super().__init__(transaction, chat_id)
        found = transaction._native.messages(chat_id, None, False, MOST_READ)
        kept = (node for node in found if not is_superseded(node))
        messages = (Message(cast("Owner", transaction), node) for node in kept)
        self._messages.update(enumerate(messages))
        self._places = {message.id: place for place, message in self._messages.items()}

    def walk(self, start: int | None = None, *, newest_first: bool = False) -> Iterator[int]:
        size = len(self._messages)
        if newest_first:
            return iter(range((size if start is None else start) - 1, -1, -1))
        return iter(range(0 if start is None else start + 1, size))

    def place_of(self, id: str) -> int | None:
        return self._places.get(id)


class _SnapshotReading(_Reading):
    """The messages of an instant, read from both ends as far as is needed."""

    def __init__(self, snapshot: Snapshot, chat_id: str) -> None:
        super().__init__(snapshot, chat_id)
        self._snapshot = snapshot
        # From a place to the next one, in order and against it; None is before the first and behind
        # the last.
        self._links: dict[bool, dict[int | None, int | None]] = {False: {}, True: {}}

    def walk(self, start: int | None = None, *, newest_first: bool = False) -> Iterator[int]:
        links, place, wanted = self._links[newest_first], start, FIRST_PAGE
        while True:
            if place not in links:
                self._read(place, newest_first, wanted)
                wanted = min(2 * wanted, LARGEST_PAGE)
            place = links[place]
            if place is None:
                return
            yield place

    def place_of(self, id: str) -> int | None:
        native = self._snapshot._native
        place = native.place_in_chat(self.chat_id, id)
        if place is not None and place not in self._messages:
            node = native.get_node(id)
            if node is None or is_superseded(node):
                return None
            self._messages[place] = Message(cast("Owner", self._snapshot), node)
        return place

    def _read(self, start: int | None, newest_first: bool, wanted: int) -> None:
        """Read what is behind a place, a page of it or more, until something counts."""
        ahead, back = self._links[newest_first], self._links[not newest_first]
        native, last, end = self._snapshot._native, start, start
        more = True
        while more and last == start:
            page = native.messages_page(self.chat_id, None, end, newest_first, wanted)
            nodes, places, more = page
            for node, place in zip(nodes, places, strict=True):
                end = place
                if is_superseded(node):
                    continue
                if place not in self._messages:
                    self._messages[place] = Message(cast("Owner", self._snapshot), node)
                ahead[last], back[place] = place, last
                last = place
        if not more:
            ahead[last] = None


class _Choice:
    """Which units are taken, by the place of their first message, and how many tokens are left."""

    def __init__(self, messages: _Reading, budget: int, count: TokenCounter) -> None:
        self.left = budget
        self._messages = messages
        self._count = count
        self._units: dict[int, Unit] = {}
        self._costs: dict[int, int] = {}
        self._taken: set[int] = set()
        self._instructions: set[int] = set()

    def cost(self, message: dict[str, Any]) -> int:
        """Count the tokens of all texts of a message."""
        return sum(self._count(text) for text in texts_of(message))

    def _unit(self, start: int) -> Unit:
        if start not in self._units:
            self._units[start] = unit_of(self._messages.from_(start))
        return self._units[start]

    def _cost_of(self, start: int) -> int:
        if start not in self._costs:
            self._costs[start] = sum(map(self.cost, self._unit(start).openai()))
        return self._costs[start]

    def _newest(self) -> Iterator[int]:
        """Give the complete units, the last first."""
        for at in self._messages.walk(newest_first=True):
            if not is_answer(self._messages[at]) and self._unit(at).complete:
                yield at

    def _take(self, start: int) -> None:
        if start not in self._taken and self._cost_of(start) <= self.left:
            self.left -= self._cost_of(start)
            self._taken.add(start)

    def take_all(self) -> bool:
        """Take everything, or nothing."""
        left, taken = self.left, set[int]()
        for start in self._newest():
            left -= self._cost_of(start)
            taken.add(start)
            if left < 0:
                return False
        self.left, self._taken = left, taken
        return True

    def take_instructions(self) -> None:
        """Take the system messages at the beginning."""
        for at in self._messages.walk():
            if self._messages[at].role not in INSTRUCTIONS:
                break
            self._take(at)
            self._instructions.add(at)

    def take_summary(self, chat: Chat) -> dict[str, Any] | None:
        """Take the summary, if there is one that fits."""
        summary = chat.summary()
        if summary is None:
            return None
        message = {"role": SUMMARY_ROLE, "content": SUMMARY_HEADING + summary.text}
        cost = self.cost(message)
        if cost > self.left // SUMMARY_SHARE:
            return None
        self.left -= cost
        return message

    def take_newest(self, share: int) -> None:
        """Take the newest without a gap, until the next would go over the share.

        The very newest may take all that is left, for without it there is nothing to answer; if
        it does not fit even so, those before it are taken.
        """
        floor = self.left - share
        for place, start in enumerate(self._newest()):
            if start in self._taken:
                continue
            if place > 0 and self.left - self._cost_of(start) < floor:
                return
            self._take(start)

    def take(self, places: Iterable[int]) -> None:
        """Take the units of messages, the best first, as far as each fits."""
        for place in places:
            walk = itertools.chain([place], self._messages.walk(place, newest_first=True))
            start = next((at for at in walk if not is_answer(self._messages[at])), None)
            if start is not None and self._unit(start).complete:
                self._take(start)

    def last_question(self) -> str:
        """Give the last thing a user said, or nothing."""
        newest = map(self._messages.__getitem__, self._messages.walk(newest_first=True))
        last = next((message for message in newest if message.role == "user"), None)
        return "" if last is None else last.content

    def result(self, summary: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Give what was taken, in the order of the chat, the summary behind the instructions."""
        first = sorted(self._taken & self._instructions)
        rest = sorted(self._taken - self._instructions)
        parts = [self._unit(start).openai() for start in first]
        parts += [[summary]] if summary is not None else []
        parts += [self._unit(start).openai() for start in rest]
        return [message for part in parts for message in part]


def _relevant(messages: _Reading, query: str) -> Iterator[int]:
    """Give the places of messages that say something about the query, the best first."""
    if not query.strip():
        return
    has_model = messages.source._parent._functions is not None
    results = messages.source.query(
        structural_filters=[Message.chat_id == messages.chat_id],
        text_query={"text": query},
        semantic_query={"text": query} if has_model else None,
        labels=["Message"],
        limit=MOST_RELEVANT,
    )
    places = (messages.place_of(result.node.id) for result in results)
    yield from (place for place in places if place is not None)
