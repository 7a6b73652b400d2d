"""A model function of this process that does not answer in time fails, and all else goes on.

Nothing can end its thread, so that is left behind; only code in Python is asked to end. Functions
that hold the interpreter, and those that are to leave nothing, belong in a process of their own.
"""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, InvalidInput, MLConfig
from embedded_db.errors import ModelUnavailable
from embedded_db.ml.time_limits import ModelTimeout
from embedded_db.ml.timed import MOST_HUNG, TimedFunctions
from harness.waiting import eventually

ONCE: Any = {"max_attempts": 1, "first_delay": 0.0, "max_delay": 0.0}


class Hanging:
    """Embeds; a text may ask it to wait, or to compute, without an end."""

    dim = 2

    def __init__(self) -> None:
        self.free = threading.Event()
        self.begun: list[threading.Thread] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        for text in texts:
            if text.startswith("wait") and not self.free.is_set():
                self.begun.append(threading.current_thread())
                self.free.wait()
            if text.startswith("spin"):
                self.begun.append(threading.current_thread())
                while not self.free.is_set():
                    pass
        return [[float(len(text)), 1.0] for text in texts]


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    function = Hanging()
    yield function
    function.free.set()


def config(function: Hanging, timeout: float | None) -> MLConfig:
    return MLConfig(embedding=function, entities=None, summary=None, timeout=timeout)


@pytest.mark.parametrize("how", ["wait", "spin"])
def test_a_call_that_hangs_fails_and_the_others_are_done(
    path: Path, hanging: Hanging, how: str
) -> None:
    with EmbeddedDB(path, ml=config(hanging, 1.0), weaver=ONCE) as db:
        db.weaver.pause()
        good = [db.create_message("chat", f"text {number}") for number in range(5)]
        bad = db.create_message("chat", how)
        late = db.create_message("chat", "a later one")
        db.weaver.resume()
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=120)
        assert hanging.begun, "it was called, and hung"
        assert [message.status.embedding for message in [*good, late]] == ["ready"] * 6
        assert bad.status.embedding == "failed"
        [letter] = db.weaver.dead_letters()
        assert (letter["id"], letter["attempts"]) == (bad.id, 1)
        assert "ModelTimeout: enrich has not answered within 1.0 s" in letter["error"]
        if how == "spin":
            ended = lambda: not any(thread.is_alive() for thread in hanging.begun)  # noqa: E731
            eventually(ended, "what computes in Python is ended")
        assert db.verify()["ok"]


@pytest.mark.parametrize("entities", [False, True])
def test_several_texts_that_hang_stop_no_other(
    path: Path, hanging: Hanging, *, entities: bool
) -> None:
    """Each keeps a thread: they are tried together with others once, and once by themselves."""
    hung = MOST_HUNG - 4
    names = (lambda texts: [[] for _ in texts]) if entities else None
    models = replace(config(hanging, 0.1), entities=names)
    with EmbeddedDB(path, ml=models, weaver={"activity_level": "Normal", "batch_size": 64}) as db:
        db.weaver.pause()
        for number in range(hung):
            db.create_message("chat", f"wait {number}")
            db.create_message("chat", f"text {number}")
        db.weaver.resume()
        with pytest.raises(EnrichmentFailed, match=f"{hung} jobs were given up"):
            db.flush(timeout=120)
        # The weaver may have had the first one in hand when it was told to rest.
        assert hung < len(hanging.begun) <= hung + 2
        for message in db.nodes("Message"):
            expected = "failed" if message.content.startswith("wait") else "ready"
            assert message.status.embedding == expected
            assert message.status.entities == "ready"
        later = db.create_message("chat", "a later one")
        assert db.wait_for(later, "embedding", timeout=60).embedding == "ready"
        hanging.free.set()
        assert db.weaver.retry_failed() == hung
        db.flush(timeout=60)
        assert all(message.status.embedding == "ready" for message in db.nodes("Message"))


def test_calls_of_the_user_go_on(path: Path, hanging: Hanging) -> None:
    with EmbeddedDB(path, ml=config(hanging, 1.0), weaver=ONCE) as db:
        bad = db.create_message("chat", "wait")
        eventually(lambda: hanging.begun, "it hangs")
        calls = 0
        while bad.status.embedding == "pending":
            added = db.create_message("chat", f"text {calls}")
            assert db.get_node(added.id) is not None
            assert len(db.query(text_query={"text": "text"}, limit=1)) == 1
            calls += 1
        assert calls > 3, "nobody waited for it"
        assert bad.status.embedding == "failed"


def test_so_many_may_hang_and_no_more(path: Path, hanging: Hanging) -> None:
    settings = {**ONCE, "batch_size": 1}
    with EmbeddedDB(path, ml=config(hanging, 0.05), weaver=settings) as db:
        db.weaver.pause()
        for number in range(MOST_HUNG + 3):
            db.create_message("chat", f"wait {number}")
        last = db.create_message("chat", "fine")
        db.weaver.resume()
        eventually(lambda: last.status.embedding == "failed", "nothing more is begun")
        assert len(hanging.begun) == MOST_HUNG
        assert "calls of enrich hang" in (last.status.error("embedding") or "")
        given_up = [letter["id"] for letter in db.weaver.dead_letters() if letter["id"] is not None]
        assert 0 < len(given_up) <= MOST_HUNG
    hanging.free.set()
    eventually(lambda: not any(it.is_alive() for it in hanging.begun), "they end")
    # With time enough, whatever else the machine does.
    with EmbeddedDB(path, ml=config(hanging, None), weaver=settings) as db:
        db.weaver.retry_failed()
        db.flush(timeout=60)
        assert db.count("Message") == MOST_HUNG + 4
        assert all(message.status.embedding == "ready" for message in db.nodes("Message"))


def test_what_hangs_stops_only_its_own_function(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(_: list[str]) -> str:
        hanging.free.wait()
        return "late"

    models = replace(config(hanging, 0.05), summary=hang)
    functions = TimedFunctions(models)
    for _ in range(MOST_HUNG):
        with pytest.raises(ModelTimeout):
            functions.summarize(["Ann: Hello"])
    # With time enough, whatever else the machine does.
    monkeypatch.setattr(functions, "_timeout", 60.0)
    with pytest.raises(ModelUnavailable, match=f"{MOST_HUNG} calls of summarize hang") as caught:
        functions.summarize(["Ann: Hello"])
    vectors, _, _ = functions.enrich(["text"], [0], [True], [False])
    assert vectors.tolist() == [[4.0, 1.0]]
    # What the hint says: opening again helps, and so does the end of one of them.
    assert "opened again" in (caught.value.hint or "")
    assert 'isolation="process"' in (caught.value.hint or "")
    with pytest.raises(ModelTimeout):
        TimedFunctions(models).summarize(["Ann: Hello"])
    hanging.free.set()

    def told() -> bool:
        try:
            return functions.summarize(["Ann: Hello"]) == "late"
        except ModelUnavailable:
            return False

    eventually(told, "its calls have ended")


def test_closing_does_not_wait_for_it(path: Path, hanging: Hanging) -> None:
    with EmbeddedDB(path, ml=config(hanging, None)) as db:
        db.create_message("chat", "wait", id="m")
        eventually(lambda: hanging.begun, "it hangs")
        begun = time.monotonic()
    assert time.monotonic() - begun < 60, "the limit is 300 s"
    hanging.free.set()
    with EmbeddedDB(path, ml=config(hanging, None)) as db:
        db.flush(timeout=60)
        message = db.get_node("m")
        assert message is not None
        assert message.status.embedding == "ready"  # type: ignore[union-attr]


def test_a_function_may_use_the_database_and_is_told_that_it_would_wait_for_itself(
    path: Path,
) -> None:
    told: list[Any] = []

    def embed(texts: list[str]) -> list[list[float]]:
        told.append(db.count("Message"))
        try:
            db.flush()
        except InvalidInput as error:
            told.append(error)
        return [[1.0, float(len(text))] for text in texts]

    embed.dim = 2  # type: ignore[attr-defined]
    models = MLConfig(embedding=embed, entities=None, summary=None)
    with EmbeddedDB(path, ml=models) as db:
        db.create_message("chat", "Hello")
        db.flush(timeout=60)
    assert told[0] == 1
    assert "waits for the enrichment" in str(told[1])


def test_a_function_may_close_the_database(path: Path) -> None:
    closed = threading.Event()

    def embed(texts: list[str]) -> list[list[float]]:
        db.close()
        closed.set()
        return [[1.0, float(len(text))] for text in texts]

    embed.dim = 2  # type: ignore[attr-defined]
    db = EmbeddedDB(path, ml=MLConfig(embedding=embed, entities=None, summary=None))
    db.create_message("chat", "Hello")
    assert closed.wait(60), "it did not hang"


PROGRAM = """
    import sys, threading, time
    from embedded_db import EmbeddedDB, MLConfig

    begun = threading.Event()

    def embed(texts):
        begun.set()
        while sys.argv[2] == "spin":
            pass
        time.sleep(1e6)

    embed.dim = 2
    models = MLConfig(embedding=embed, entities=None, summary=None)
    db = EmbeddedDB(sys.argv[1], ml=models)
    db.create_message("chat", "kept")
    assert begun.wait(60)
"""


@pytest.mark.parametrize("how", ["sleep", "spin"])
def test_a_program_ends_beside_it(path: Path, how: str) -> None:
    begun = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), how],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert time.monotonic() - begun < 60, "the limit is 300 s"
    with EmbeddedDB(path, ml=None) as db:
        assert db.count("Message") == 1


def test_the_limit_is_checked() -> None:
    for timeout in (0, -1, float("nan"), "soon"):
        with pytest.raises(InvalidInput, match="timeout"):
            replace(MLConfig(), timeout=timeout)  # type: ignore[arg-type]


def test_threads_end_with_the_database(path: Path, hanging: Hanging) -> None:
    others = set(threading.enumerate())

    def callers() -> int:
        begun = set(threading.enumerate()) - others
        return sum(thread.name == "embedded-db model calls" for thread in begun)

    for number in range(3):
        with EmbeddedDB(path, ml=config(hanging, None)) as db:
            db.create_message("chat", f"Hello {number}")
            db.flush(timeout=60)
            assert callers() > 0
    dropped = EmbeddedDB(path, ml=config(hanging, None))
    dropped.create_message("chat", "Hello")
    dropped.flush(timeout=60)
    del dropped, db
    gc.collect()
    eventually(lambda: callers() == 0, "none is left")
