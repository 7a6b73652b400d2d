"""What a model sees of a chat next: the messages that matter, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .arguments import text_argument, whole_argument
from .errors import NotFound
from .models.chat import Chat
from .models.content import openai_message, texts_of
from .models.message import Message
from .token_count import TokenCounter, counter

if TYPE_CHECKING:
    from .database import EmbeddedDB
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


@dataclass
class Unit:
    """Messages that belong together: one, or a call of tools with its answers."""

    messages: list[Message]
    complete: bool = True
    cost: int | None = field(default=None)

    def openai(self) -> list[dict[str, Any]]:
        """Give the messages in OpenAI's form."""
        return [openai_message(message.get) for message in self.messages]


def units(messages: Iterable[Message]) -> Iterator[Unit]:
    """Group messages; answers of tools without their call are left out."""
    open_unit: Unit | None = None
    waiting: set[str] = set()
    for message in messages:
        role = message.role
        if role in ("tool", "function"):
            answered = message.tool_call_id if role == "tool" else f"function {message.name}"
            if open_unit is not None and answered in waiting:
                waiting.discard(answered)
                open_unit.messages.append(message)
                open_unit.complete = not waiting
            continue
        if open_unit is not None:
            yield open_unit
            open_unit = None
        waiting = _calls(message)
        if waiting:
            open_unit = Unit([message], complete=False)
        else:
            yield Unit([message])
    if open_unit is not None:
        yield open_unit


def _calls(message: Message) -> set[str]:
    """Give what has to be answered before the next message."""
    if message.role != "assistant":
        return set()
    calls = {str(call.get("id")) for call in message.tool_calls or ()}
    function = message.get("function_call")
    return calls | {f"function {function.get('name')}"} if function else calls


def openai_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Give messages in OpenAI's form; see `Chat.to_openai`."""
    grouped = list(units(messages))
    kept = [unit for unit in grouped[:-1] if unit.complete] + grouped[-1:]
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
        choice = _Choice(list(units(chat.messages())), token_budget, counter(count_tokens))
        if choice.take_all():
            return choice.result(None)
        choice.take_instructions()
        summary = choice.take_summary(chat)
        choice.take_newest(choice.left // RECENT_SHARE)
        choice.take(_relevant(database, snapshot, choice, query))
        choice.take_newest(choice.left)
        return choice.result(summary)


class _Choice:
    """Which units are taken, and how many tokens are left."""

    def __init__(self, found: Sequence[Unit], budget: int, count: TokenCounter) -> None:
        self.units = [unit for unit in found if unit.complete]
        self.left = budget
        self._count = count
        self._taken: set[int] = set()
        self._instructions = 0

    def cost(self, message: dict[str, Any]) -> int:
        """Count the tokens of all texts of a message."""
        return sum(self._count(text) for text in texts_of(message))

    def _cost_of(self, at: int) -> int:
        unit = self.units[at]
        if unit.cost is None:
            unit.cost = sum(map(self.cost, unit.openai()))
        return unit.cost

    def _take(self, at: int) -> bool:
        if at in self._taken:
            return True
        if self._cost_of(at) > self.left:
            return False
        self.left -= self._cost_of(at)
        self._taken.add(at)
        return True

    def take_all(self) -> bool:
        """Take everything, or nothing."""
        left = self.left
        for at in reversed(range(len(self.units))):
            left -= self._cost_of(at)
            if left < 0:
                return False
        self.left, self._taken = left, set(range(len(self.units)))
        return True

    def take_instructions(self) -> None:
        """Take the system messages at the beginning."""
        for at, unit in enumerate(self.units):
            if unit.messages[0].role not in INSTRUCTIONS:
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
        for at in reversed(range(self._instructions, len(self.units))):
            if at in self._taken:
                continue
            newest = at == len(self.units) - 1
            if not newest and self.left - self._cost_of(at) < floor:
                return
            self._take(at)

    def take(self, ranked: Iterable[int]) -> None:
        """Take what fits, the best first."""
        for at in ranked:
            self._take(at)

    def result(self, summary: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Give what was taken, in the order of the chat, the summary behind the instructions."""
        taken = sorted(self._taken)
        first = [at for at in taken if at < self._instructions]
        rest = [at for at in taken if at >= self._instructions]
        parts = [self.units[at].openai() for at in first]
        parts += [[summary]] if summary is not None else []
        parts += [self.units[at].openai() for at in rest]
        return [message for part in parts for message in part]


def _relevant(
    database: EmbeddedDB, snapshot: Snapshot, choice: _Choice, query: str | None
) -> Iterator[int]:
    """Give the units that say something about the query, the best first."""
    text = (_last_question(choice.units) if query is None else query).strip()
    if not text or not choice.units:
        return
    unit_of = {message.id: at for at, unit in enumerate(choice.units) for message in unit.messages}
    chat_id = choice.units[0].messages[0].chat_id
    results = snapshot.query(
        structural_filters=[{"property": "chat_id", "operator": "Equals", "value": chat_id}],
        text_query={"text": text},
        semantic_query=None if database._functions is None else {"text": text},
        labels=["Message"],
        limit=MOST_RELEVANT,
    )
    for result in results:
        if result.node.id in unit_of:
            yield unit_of[result.node.id]


def _last_question(found: Sequence[Unit]) -> str:
    for unit in reversed(found):
        if unit.messages[0].role == "user":
            return unit.messages[0].content
    return ""
