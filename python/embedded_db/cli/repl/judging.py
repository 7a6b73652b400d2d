"""What people say of an answer, and what is learnt of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from ...database import EmbeddedDB
from ...errors import InvalidInput
from ...intuition import IntuitionEngine
from ...models import AnyNode
from ...results import Result, Results
from .answers import Answer

__all__ = ["Judged", "Known", "Queried", "Recalled"]

CONFIDENCE: Final = 0.9
"""Of what was found right once; a correction has that of the engine."""
SOURCE: Final = "repl"
"""Where facts are from that correct an answer."""


@dataclass(frozen=True)
class Known:
    """A node of an answer, and how it came there."""

    node: AnyNode
    result: Result | None
    """None for what only a reflex knew."""
    by_reflex: bool


class Judged(ABC):
    """An answer that may be judged."""

    @abstractmethod
    def judge(self, verdict: str, places: Sequence[int]) -> Answer:
        """Learn that results are right (``y``), that none is (``n``), or which are (``c``)."""

    @abstractmethod
    def check_correction(self) -> None:
        """Refuse a correction where there is none."""

    @abstractmethod
    def correct(self, text: str) -> Answer:
        """Learn what would have been right."""


class Recalled(Judged):
    """What was recalled.

    A reflex leads from the question to the nodes that were right, for this session. The edges by
    which they were found are strengthened in the database.
    """

    def __init__(
        self, db: EmbeddedDB, reflexes: IntuitionEngine, key: str, shown: Sequence[Known]
    ) -> None:
        self._db = db
        self._reflexes = reflexes
        self._key = key
        self._shown = shown

    def judge(self, verdict: str, places: Sequence[int]) -> Answer:
        """Learn it; ``y`` without numbers is about the first result."""
        if verdict == "n":
            if places:
                raise InvalidInput("n is about the whole answer", hint="Say n, or c with numbers")
            known = self._reflexes.confidence(self._key) is not None
            sure = self._reflexes.feedback(self._key, "n") if known else None
            return _learnt("n", [], sure, 0)
        right = self._picked(places or [1])
        ids = tuple(each.node.id for each in right)
        results = [each.result for each in right if each.result is not None]
        strengthened = 0 if self._db.read_only else self._db.strengthen(results)
        sure = self._learn(cast("Literal['y', 'c']", verdict), ids)
        return _learnt(verdict, ids, sure, strengthened)

    def _picked(self, places: Sequence[int]) -> list[Known]:
        for place in places:
            if not 1 <= place <= len(self._shown):
                raise InvalidInput(
                    f"there is no result {place}", hint=f"Give numbers from 1 to {len(self._shown)}"
                )
        return [self._shown[place - 1] for place in dict.fromkeys(places)]

    def _learn(self, verdict: Literal["y", "c"], ids: tuple[str, ...]) -> float:
        known = self._reflexes.confidence(self._key) is not None
        if known and verdict == "c":
            return self._reflexes.feedback(self._key, "c", correction=ids)
        if known and self._reflexes.lookup(self._key) == ids:
            return self._reflexes.feedback(self._key, "y")
        sure = CONFIDENCE if verdict == "y" else 1.0
        self._reflexes.learn(self._key, ids, sure)
        return sure

    def check_correction(self) -> None:
        """There is one."""

    def correct(self, text: str) -> Answer:
        """Remember the right answer as a fact; the reflex leads to it."""
        fact = self._db.remember(text, source=SOURCE, answers=self._key)
        return _learnt("c", (fact.id,), self._learn("c", (fact.id,)), 0)


class Queried(Judged):
    """What a query found: its own reflex is judged."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def judge(self, verdict: str, places: Sequence[int]) -> Answer:
        """Judge all of it."""
        if verdict == "c":
            self.check_correction()
        if places:
            raise InvalidInput(
                f"{verdict} is about the whole answer of a query", hint=f"Say {verdict} alone"
            )
        sure = self._results.feedback(cast("Literal['y', 'n']", verdict))
        return _learnt(verdict, [], sure, 0)

    def check_correction(self) -> None:
        """What a query finds is corrected by changing what is stored."""
        raise InvalidInput(
            "what a query finds cannot be corrected", hint="Change what is stored, or say n"
        )

    def correct(self, text: str) -> Answer:
        """Refuse it."""
        self.check_correction()
        raise AssertionError


def _learnt(verdict: str, ids: Sequence[str], sure: float | None, strengthened: int) -> Answer:
    facts: dict[str, Any] = {
        "verdict": verdict,
        "ids": list(ids),
        "confidence": sure,
        "strengthened": strengthened,
    }
    nothing = "nothing is learnt: no reflex had led there"
    told = [nothing if sure is None else f"sure of it: {sure:.2f}"]
    if strengthened:
        told.append(f"{strengthened} edges strengthened")
    return Answer("feedback", facts, notes=["; ".join(told)])
