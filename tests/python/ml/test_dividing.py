"""How many threads run a call, and with whose priority: that of who calls, not that of a pool."""

import os
import sys
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedded_db.ml.minilm import MiniLM

TEXTS = [f"text {number} " * (number % 7 + 1) for number in range(40)]


class Watched:
    """An encoder that tells who runs it."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.dimension = encoder, encoder.dimension
        self.threads: set[int] = set()
        self.priorities: set[int] = set()
        self.widths: list[int] = []
        self.wait = threading.Barrier(1)
        self.fails = False

    def run(self, ids: Any, mask: Any, *, hidden: bool) -> Any:
        self.threads.add(threading.get_ident())
        self.widths.append(len(ids))
        if sys.platform == "linux":
            self.priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        self.wait.wait(20)
        if self.fails:
            raise ValueError("no")
        return self.encoder.run(ids, mask, hidden=hidden)


@pytest.fixture
def model(real_models: None) -> MiniLM:
    return MiniLM("fp32", 2)


def watched(model: MiniLM, monkeypatch: pytest.MonkeyPatch) -> Watched:
    encoder = Watched(model.load().encoder)
    monkeypatch.setattr(model, "_loaded", replace(model.load(), encoder=encoder))
    return encoder


def embed(model: MiniLM, texts: list[str]) -> Any:
    return model.encode(model.tokenize(texts, words=False), [True] * len(texts))[0]


def test_one_text_is_run_by_who_asks(model: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(model, monkeypatch)
    embed(model, TEXTS[:1])
    assert seen.threads == {threading.get_ident()}


def test_many_are_run_by_two_threads_that_meet(
    model: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watched(model, monkeypatch)
    expected = embed(model, TEXTS[:2])
    seen.threads.clear()
    seen.wait = threading.Barrier(2)  # a call that ran one after the other would never pass it
    found = embed(model, TEXTS[:2])
    assert len(seen.threads) == 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists threads as files")
def test_the_model_has_no_threads_of_its_own(real_models: None, run_python: Any) -> None:
    run = run_python(
        """
        import os, time
        import numpy, onnxruntime
        from embedded_db.ml.minilm import MiniLM

        def threads():
            return len(os.listdir("/proc/self/task"))

        before = threads()
        model = MiniLM("fp32", 2)
        tokens = model.tokenize(["a text"] * 40, words=False)
        model.encode(tokens, [True] * 40)
        end = time.monotonic() + 20
        while threads() > before and time.monotonic() < end:
            time.sleep(0.01)  # the system takes a moment to forget one that has ended
        print(threads() - before)
        """
    )
    assert (run.returncode, run.stdout.strip()) == (0, "0"), run.stderr


def test_more_threads_than_texts_and_fewer(real_models: None) -> None:
    expected = embed(MiniLM("fp32", 1), TEXTS)
    for threads in (3, 64):
        np.testing.assert_allclose(embed(MiniLM("fp32", threads), TEXTS), expected, atol=1e-6)
    assert embed(MiniLM("fp32", 64), []).shape == (0, 384)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_the_others_have_the_priority_of_who_asks(
    model: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watched(model, monkeypatch)
    seen.wait = threading.Barrier(2)

    def ask() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
        embed(model, TEXTS[:2])

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(30)
    assert seen.priorities == {15}
    embed(model, TEXTS[:2])
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) in seen.priorities


def test_what_fails_in_one_is_raised(model: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(model, monkeypatch)
    seen.fails = True
    with pytest.raises(ValueError, match="no"):
        embed(model, TEXTS)
    assert len(seen.widths) <= 2, "the rest is not begun"
    seen.fails = False
    assert embed(model, TEXTS).shape == (40, 384)


def test_without_another_thread_one_does_it(model: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(model, monkeypatch)
    asked = []

    def refuses(thread: threading.Thread) -> None:
        asked.append(thread)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuses)
    assert embed(model, TEXTS).shape == (40, 384)
    assert len(asked) == 1
    assert seen.threads == {threading.get_ident()}
