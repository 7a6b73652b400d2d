"""Intuition: answers that are known already, found in a few hundred nanoseconds."""

import math
from dataclasses import dataclass, fields, replace
from typing import Final, Self, TypedDict

from ._native import Intuition
from .errors import InvalidInput, shown

__all__ = [
    "CAPACITY",
    "IntuitionBuilder",
    "IntuitionConfig",
    "IntuitionEngine",
    "IntuitionStats",
]

CAPACITY: Final = 50_000
"""How many reflexes an engine holds when nothing else is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IntuitionConfig:
    """When an answer is sure enough, and what feedback does to it. All numbers are from 0 to 1.

    Attributes:
        min_confidence: no answer less sure than this is given.
        reward: an answer that was confirmed goes this share of the way to 1.
        penalty: an answer that was refused loses this share of its confidence.
        corrected_confidence: how sure an answer is that corrected another.

    Raises:
        InvalidInput: something is no number from 0 to 1.

    Examples:
        >>> IntuitionConfig(min_confidence=0.9).min_confidence, IntuitionConfig().reward
        (0.9, 0.2)
    """

    min_confidence: float = 0.8
    reward: float = 0.2
    penalty: float = 0.5
    corrected_confidence: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in {int, float} or math.isnan(value) or not 0 <= value <= 1:
                raise InvalidInput(
                    f"{field.name} is {shown(value)}", hint="It has to be a number from 0 to 1"
                )


class IntuitionStats(TypedDict):
    """What an `IntuitionEngine` holds, and what it has done.

    Examples:
        >>> engine = IntuitionEngine.with_defaults()
        >>> engine.stats()["total_reflexes"], engine.stats()["capacity"]
        (0, 50000)
    """

    total_reflexes: int
    """Reflexes there are, with those that are not sure enough to be given."""
    capacity: int
    """Most that there may be."""
    hits: int
    """Lookups that were answered."""
    misses: int
    """Lookups that were not."""
    learned: int
    """Answers that were stored, corrections among them."""
    evicted: int
    """Reflexes that left for others."""
    avg_fast_path_time_ns: float
    """Mean time of a lookup within the engine, of one in 256 that are timed; those in which the
    thread was interrupted are left out. 0 while there was none."""


class IntuitionEngine(Intuition):
    """Reflexes: answers by key, each as sure as it was learnt and as feedback made it.

    It is in memory alone, and bounded: when it is full, the least useful reflex leaves for a new
    one, by how sure it is, how often it was used and when. Threads may use it at the same time;
    nobody who looks something up waits for a lock. It is made by `create`, `with_defaults` or
    `builder`.

    Examples:
        >>> engine = IntuitionEngine.create(IntuitionConfig(min_confidence=0.8), capacity=1000)
        >>> engine.learn("Where is the key?", "under the mat", 0.9)
        >>> engine.lookup("Where is the key?"), engine.lookup("Where is the cat?")
        ('under the mat', None)
        >>> engine.feedback("Where is the key?", "n")
        0.45
        >>> engine.lookup("Where is the key?") is None, engine.confidence("Where is the key?")
        (True, 0.45)
        >>> engine.feedback("Where is the key?", "c", correction="with Ann")
        1.0
        >>> engine.lookup("Where is the key?")
        'with Ann'
        >>> stats = engine.stats()
        >>> stats["total_reflexes"], stats["hits"], stats["misses"], len(engine)
        (1, 2, 2, 1)
        >>> engine.forget("Where is the key?"), engine.forget("Where is the key?")
        (True, False)
        >>> engine.clear()
    """

    @classmethod
    def create(cls, config: IntuitionConfig | None = None, capacity: int = CAPACITY) -> Self:
        """Make an engine.

        Args:
            config: when an answer is sure enough, and what feedback does to it.
            capacity: most reflexes that it holds; 2**24 at most. Their places are made at once,
                16 bytes each.

        Raises:
            InvalidInput: a capacity out of range.

        Examples:
            >>> IntuitionEngine.create(capacity=10).stats()["capacity"]
            10
        """
        config = IntuitionConfig() if config is None else config
        if not isinstance(config, IntuitionConfig):
            raise InvalidInput(f"config is {shown(config)}", hint="Give an IntuitionConfig")
        return cls(
            capacity,
            config.min_confidence,
            config.reward,
            config.penalty,
            config.corrected_confidence,
        )

    @classmethod
    def with_defaults(cls) -> Self:
        """Make an engine for 50,000 reflexes, which gives what is as sure as 0.8.

        Examples:
            >>> IntuitionEngine.with_defaults().lookup("anything") is None
            True
        """
        return cls.create()

    @classmethod
    def builder(cls) -> "IntuitionBuilder":
        """Begin to make an engine, one option after another.

        Examples:
            >>> engine = IntuitionEngine.builder().min_confidence(0.5).capacity(10).build()
            >>> engine.learn("one and one", 2, 0.6)
            >>> engine.lookup("one and one")
            2
        """
        return IntuitionBuilder()

    def __repr__(self) -> str:
        stats = self.stats()
        return f"IntuitionEngine({stats['total_reflexes']} of {stats['capacity']} reflexes)"


@dataclass(frozen=True, slots=True)
class IntuitionBuilder:
    """An `IntuitionEngine` in the making. Each method gives another builder.

    Attributes:
        config: the options of the engine so far.
        size: the capacity of the engine so far.

    Examples:
        >>> builder = IntuitionEngine.builder().reward(0.3).penalty(0.9)
        >>> builder.config.penalty, builder.size
        (0.9, 50000)
        >>> builder.build()
        IntuitionEngine(0 of 50000 reflexes)
    """

    config: IntuitionConfig = IntuitionConfig()
    size: int = CAPACITY

    def min_confidence(self, share: float) -> "IntuitionBuilder":
        """Set how sure an answer has to be.

        Args:
            share: from 0 to 1.

        Examples:
            >>> IntuitionEngine.builder().min_confidence(0.9).config.min_confidence
            0.9
        """
        return replace(self, config=replace(self.config, min_confidence=share))

    def reward(self, share: float) -> "IntuitionBuilder":
        """Set what share of the way to 1 an answer goes that was confirmed.

        Args:
            share: from 0 to 1.

        Examples:
            >>> IntuitionEngine.builder().reward(0.5).config.reward
            0.5
        """
        return replace(self, config=replace(self.config, reward=share))

    def penalty(self, share: float) -> "IntuitionBuilder":
        """Set what share of its confidence an answer loses that was refused.

        Args:
            share: from 0 to 1.

        Examples:
            >>> IntuitionEngine.builder().penalty(1).config.penalty
            1
        """
        return replace(self, config=replace(self.config, penalty=share))

    def corrected_confidence(self, share: float) -> "IntuitionBuilder":
        """Set how sure an answer is that corrected another.

        Args:
            share: from 0 to 1.

        Examples:
            >>> IntuitionEngine.builder().corrected_confidence(0.9).config.corrected_confidence
            0.9
        """
        return replace(self, config=replace(self.config, corrected_confidence=share))

    def capacity(self, reflexes: int) -> "IntuitionBuilder":
        """Set how many reflexes the engine holds at most.

        Args:
            reflexes: from 1 to 2**24.

        Examples:
            >>> IntuitionEngine.builder().capacity(7).size
            7
        """
        return replace(self, size=reflexes)

    def build(self) -> IntuitionEngine:
        """Make the engine.

        Examples:
            >>> len(IntuitionEngine.builder().build())
            0
        """
        return IntuitionEngine.create(self.config, self.size)
