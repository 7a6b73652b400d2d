"""A conversation with a database: questions, commands, and what people say of the answers."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

from ...database import EmbeddedDB
from ...errors import InvalidInput
from ...intuition import IntuitionEngine
from ...models import AnyNode
from ...query import ConvergedQuery
from ...recall import MAX_SEEDS
from ...results import Results
from ..querying import headline
from .answers import Answer, Table
from .commands import COMMANDS
from .judging import Judged, Known, Recalled

__all__ = ["Session"]

VERDICT: Final = re.compile(r"([ync])((?:\s+\d{1,9})*)")
FEWEST_SEEDS: Final = 3
MOST_SEEN: Final = 10_000
"""Ids that are offered again."""


class Session:
    """What is asked, one line after another.

    Args:
        db: the database.
        by_words: whether to recall by words alone, without a model.
        limit: most results.
        labels: kinds of nodes that are recalled; messages, if there are any, when left out.
    """

    def __init__(
        self,
        db: EmbeddedDB,
        *,
        by_words: bool,
        limit: int,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.db = db
        self.by_words = by_words
        self.limit = limit
        self._labels = labels
        self.ended = False
        self.reflexes = IntuitionEngine.with_defaults()
        self.question: str | None = None
        """What was recalled last."""
        self.judged: Judged | None = None
        """The answer that nobody has judged yet."""
        self.awaits_correction = False
        self.seen: dict[str, None] = {}
        """Ids that were shown, for completion."""

    def answer(self, line: str) -> Answer | None:
        """Answer a line; None for an empty one.

        Raises:
            DbError: what is asked cannot be done.
        """
        text = line.strip()
        verdict = VERDICT.fullmatch(text)
        if self.awaits_correction:
            self.awaits_correction = False
            # Nobody means these to be remembered.
            if not text.startswith("/") and verdict is None:
                return self._corrected(text)
        if not text:
            return None
        if text.startswith("/"):
            return self._command(text)
        if verdict is not None:
            return self._judge(verdict[1], [int(number) for number in verdict[2].split()])
        return self.recall(text)

    def _command(self, text: str) -> Answer:
        name, _, rest = text[1:].partition(" ")
        command = COMMANDS.get(name)
        if command is None:
            near = get_close_matches(name, COMMANDS, 1)
            meant = f"Did you mean /{near[0]}? " if near else ""
            raise InvalidInput(
                f"there is no command /{name[:100]}", hint=f"{meant}/help lists the commands"
            )
        return command.run(self, rest.strip())

    def recalled(self, text: str, *, explain: bool = False) -> Results:
        """Give what is found."""
        # As many seeds as may come back: where nothing ties them, only seeds are found.
        seeds = min(MAX_SEEDS, max(FEWEST_SEEDS, self.limit))
        words = ConvergedQuery(text_query={"text": text}, limit=seeds)
        labels = self._labels or (["Message"] if self.db.count("Message") else None)
        return self.db.recall(
            words if self.by_words else text,
            limit=self.limit,
            seeds=seeds,
            labels=labels,
            explain=explain,
        )

    def recall(self, text: str) -> Answer:
        """Recall what hangs together with a text; first what was found right before."""
        self.judged = None  # whatever comes, a verdict is not about the answer before
        key = " ".join(text.split()).casefold()
        known = self.reflexes.lookup(key) or ()
        found = self.recalled(text)
        shown = self._merged(known, found)
        self.question = text
        self.judged = Recalled(self.db, self.reflexes, key, shown) if shown else None
        self.show([each.node for each in shown])
        facts = {
            "question": text,
            "by": "words" if self.by_words else "words and meaning",
            "results": [_facts(each) for each in shown],
            "pending": found.pending,
        }
        rows = [_row(place, each) for place, each in enumerate(shown, start=1)]
        notes = [] if shown else ["nothing found"]
        if found.pending:
            notes.append(f"{found.pending} nodes are not embedded yet")
        return Answer("recall", facts, [Table(("", "active", "id", "via", ""), rows)], notes)

    def _merged(self, known: Sequence[str], found: Results) -> list[Known]:
        """Put what a reflex knows before what was found; its nodes are read anew."""
        results = {result.node.id: result for result in found}
        nodes = [node for node in self.db.get_many(known) if node is not None]
        first = [Known(node, results.get(node.id), True) for node in nodes]
        rest = [Known(r.node, r, False) for id, r in results.items() if id not in known]
        return (first + rest)[: self.limit]

    def show(self, nodes: Sequence[AnyNode]) -> None:
        """Note that nodes were shown."""
        for node in nodes:
            self.seen.pop(node.id, None)
            self.seen[node.id] = None
        for id in list(self.seen)[:-MOST_SEEN]:
            del self.seen[id]

    def _judge(self, verdict: str, places: list[int]) -> Answer:
        judged = self.judged
        if judged is None:
            raise InvalidInput(
                f"{verdict} is about an answer, and there is none that nobody has judged",
                hint="Ask something first; put more words around a text of one letter",
            )
        if verdict == "c" and not places:
            judged.check_correction()
            self.awaits_correction = True
            return Answer(
                "feedback",
                {"verdict": "c", "awaits": "correction"},
                notes=["what is right? numbers of results, or a text; nothing leaves it as it is"],
            )
        answer = judged.judge(verdict, places)
        self.judged = None
        return answer

    def _corrected(self, text: str) -> Answer:
        judged = self.judged
        if judged is None or not text:
            return Answer("feedback", {"verdict": None}, notes=["left as it is"])
        if re.fullmatch(r"\d{1,9}(\s+\d{1,9})*", text):
            answer = judged.judge("c", [int(number) for number in text.split()])
        else:
            answer = judged.correct(text)
        self.judged = None
        return answer


def _facts(known: Known) -> dict[str, Any]:
    result = known.result
    path = None if result is None else result.path
    return {
        "id": known.node.id,
        "labels": known.node.labels,
        "text": headline(known.node),
        "activation": None if result is None else result.activation,
        "path": None if path is None else [node.id for node in path.nodes],
        "by_reflex": known.by_reflex,
    }


def _row(place: int, known: Known) -> tuple[Any, ...]:
    result = known.result
    edges = [] if result is None or result.path is None else result.path.edges
    via = "known" if known.by_reflex else " ".join(edge.type for edge in edges)
    active = None if result is None else result.activation
    return (place, active, known.node.id, via, headline(known.node))
