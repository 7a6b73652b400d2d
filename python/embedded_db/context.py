"""What a model sees of a chat next: the messages that matter, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from .arguments import text_argument, whole_argument
from .errors import NotFound
from .models.chat import Chat
from .models.content import openai_message, texts_of
from .models.message import Message
from .token_count import TokenCounter, counter

if TYPE_CHECKING:
    from .database import EmbeddedDB
    from .models.owner import Owner
    from .snapshot import Snapshot

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
PAGE: Final = 4096


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


def unit_at(messages: Sequence[Message], start: int) -> Unit:
    """Give the unit that begins with a message; answers to other calls are left out."""
    members, waiting = [messages[start]], _calls(messages[start])
    for at in range(start + 1, len(messages)):
        message = messages[at]
        if not is_answer(message):
            break
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
    units = [unit_at(messages, start) for start in starts]
    kept = [unit for unit in units[:-1] if unit.complete] + units[-1:]
    return [message for unit in kept for message in unit.openai()]


def context_of(
    database: EmbeddedDB,
    chat_id: str,
    query: str | None,
    token_budget: int,
    count_tokens: TokenCounter | None,
) -> list[dict[str, Any]]:
    """Choose the messages for the next prompt; see `Chat.context`."""
    whole_argument("token_budget", token_budget)
    if query is not None:
        text_argument("query", query)
    with database.snapshot() as snapshot:
        chat = snapshot.get_node(chat_id)
        if not isinstance(chat, Chat):
            raise NotFound(
                f"the chat {chat_id!r} does not exist any more",
                hint="It was deleted; drop this object",
                id=chat_id,
            )
        messages = list(_messages(snapshot, chat))
        choice = _Choice(messages, token_budget, counter(count_tokens))
        if choice.take_all():
            return choice.result(None)
        choice.take_instructions()
        summary = choice.take_summary(chat)
        choice.take_newest(choice.left // RECENT_SHARE)
        asked = choice.last_question() if query is None else query
        choice.take(_relevant(database, snapshot, messages, asked))
        choice.take_newest(choice.left)
        return choice.result(summary)


def _messages(snapshot: Snapshot, chat: Chat) -> Iterator[Message]:
    """Give the messages in order, without a look at what is in them: most will not be needed."""
    after: str | None = None
    while True:
        page, after = snapshot._native.neighbors_page(chat.id, ["CONTAINS"], "out", after, PAGE)
        for node in page:
            yield Message(cast("Owner", snapshot), node)
        if after is None:
            return


class _Choice:
    """Which units are taken, by the place of their first message, and how many tokens are left."""

    def __init__(self, messages: Sequence[Message], budget: int, count: TokenCounter) -> None:
        self.left = budget
        self._messages = messages
        self._count = count
        self._units: dict[int, Unit] = {}
        self._costs: dict[int, int] = {}
        self._taken: set[int] = set()
        self._instructions = 0

    def cost(self, message: dict[str, Any]) -> int:
        """Count the tokens of all texts of a message."""
        return sum(self._count(text) for text in texts_of(message))

    def _unit(self, start: int) -> Unit:
        if start not in self._units:
            self._units[start] = unit_at(self._messages, start)
        return self._units[start]

    def _cost_of(self, start: int) -> int:
        if start not in self._costs:
            self._costs[start] = sum(map(self.cost, self._unit(start).openai()))
        return self._costs[start]

    def _newest(self) -> Iterator[int]:
        """Give the complete units, the last first."""
        for at in reversed(range(len(self._messages))):
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
        for at, message in enumerate(self._messages):
            if message.role not in INSTRUCTIONS:
                break
            self._take(at)
            self._instructions = at + 1

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
            start = place
            while start >= 0 and is_answer(self._messages[start]):
                start -= 1
            if start >= 0 and self._unit(start).complete:
                self._take(start)

    def last_question(self) -> str:
        """Give the last thing a user said, or nothing."""
        users = (message for message in reversed(self._messages) if message.role == "user")
        last = next(users, None)
        return "" if last is None else last.content

    def result(self, summary: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Give what was taken, in the order of the chat, the summary behind the instructions."""
        first = [start for start in sorted(self._taken) if start < self._instructions]
        rest = [start for start in sorted(self._taken) if start >= self._instructions]
        parts = [self._unit(start).openai() for start in first]
        parts += [[summary]] if summary is not None else []
        parts += [self._unit(start).openai() for start in rest]
        return [message for part in parts for message in part]


def _relevant(
    database: EmbeddedDB, snapshot: Snapshot, messages: Sequence[Message], query: str
) -> Iterator[int]:
    """Give the places of messages that say something about the query, the best first."""
    if not query.strip() or not messages:
        return
    results = snapshot.query(
        structural_filters=[Message.chat_id == messages[0].chat_id],
        text_query={"text": query},
        semantic_query=None if database._functions is None else {"text": query},
        labels=["Message"],
        limit=MOST_RELEVANT,
    )
    found = [result.node.id for result in results]
    wanted = set(found)
    places = {message.id: at for at, message in enumerate(messages) if message.id in wanted}
    yield from (places[id] for id in found if id in places)
