"""Every test of messages runs with the native module and without, and may set the clock of both."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from .shared import NATIVE, PURE


@pytest.fixture(params=[NATIVE, PURE], ids=["native", "pure"])
def messaging(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


@pytest.fixture
def both() -> tuple[ModuleType, ModuleType]:
    return NATIVE, PURE


@pytest.fixture
def move() -> Iterator[Callable[[float], None]]:
    """Set the clock forward by some seconds."""
    moved = 0

    def move(seconds: float) -> None:
        nonlocal moved
        micros = round(seconds * 1e6)
        sys.modules["embedded_db._native"]._shift_clock(micros)
        PURE.pure_queue.shift += micros
        moved += micros

    yield move
    move(-moved / 1e6)
