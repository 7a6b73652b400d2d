"""While a model function computes in Python, the user's threads wait half a millisecond for a turn.

The interval at which threads of the interpreter give way is the program's own: it is short only
while the weaver calls a function, and what the program sets meanwhile stays.
"""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from embedded_db import EmbeddedDB, MLConfig

SHORT = 0.0005


@pytest.fixture
def interval() -> Iterator[float]:
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def seen_by_a_function(*, sets: float | None = None, fails: bool = False) -> float:
    """The interval while the weaver calls a function."""
    seen: list[float] = []

    def embed(texts: list[str]) -> list[list[float]]:
        seen.append(sys.getswitchinterval())
        if sets is not None:
            sys.setswitchinterval(sets)
        if fails and len(seen) == 1:
            raise RuntimeError("no answer")
        return [[1.0, 2.0] for _ in texts]

    embed.dim = 2  # type: ignore[attr-defined]
    models = MLConfig(embedding=embed, entities=None, summary=None)
    with EmbeddedDB(":memory:", ml=models, weaver={"first_delay": 0.0, "max_delay": 0.0}) as db:
        db.create_message("chat", "Hello")
        db.flush(timeout=60)
    return seen[0]


@pytest.mark.parametrize("fails", [False, True])
def test_it_is_short_while_a_function_works_and_then_as_it_was(
    interval: float, fails: bool
) -> None:
    sys.setswitchinterval(0.004)
    assert seen_by_a_function(fails=fails) == pytest.approx(SHORT)
    assert sys.getswitchinterval() == pytest.approx(0.004)


def test_a_shorter_one_stays(interval: float) -> None:
    sys.setswitchinterval(0.0001)
    assert seen_by_a_function() == pytest.approx(0.0001)
    assert sys.getswitchinterval() == pytest.approx(0.0001)


def test_what_the_program_sets_meanwhile_stays(interval: float) -> None:
    assert seen_by_a_function(sets=0.003) == pytest.approx(SHORT)
    assert sys.getswitchinterval() == pytest.approx(0.003)


def test_a_query_leaves_it(interval: float) -> None:
    seen: list[float] = []

    def embed(texts: list[str]) -> list[list[float]]:
        seen.append(sys.getswitchinterval())
        return [[1.0, 2.0] for _ in texts]

    embed.dim = 2  # type: ignore[attr-defined]
    models = MLConfig(embedding=embed, entities=None, summary=None)
    with EmbeddedDB(":memory:", ml=models) as db:
        db.query(semantic_query={"text": "Hello"})
    assert seen == [pytest.approx(interval)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_has_the_interval_of_the_program(interval: float) -> None:
    """None of the threads that were at work is in it."""
    begun, go_on = threading.Event(), threading.Event()

    def embed(texts: list[str]) -> list[list[float]]:
        begun.set()
        go_on.wait(60)
        return [[1.0, 2.0] for _ in texts]

    embed.dim = 2  # type: ignore[attr-defined]
    models = MLConfig(embedding=embed, entities=None, summary=None)
    with EmbeddedDB(":memory:", ml=models) as db:
        db.create_message("chat", "Hello")
        assert begun.wait(60)
        assert sys.getswitchinterval() == pytest.approx(SHORT)
        child = os.fork()
        if child == 0:
            os._exit(0 if sys.getswitchinterval() == pytest.approx(interval) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        go_on.set()
