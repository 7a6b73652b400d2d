"""Functions in a process of their own: whatever becomes of it, the database lives."""

import contextlib
import gc
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, MLConfig
from embedded_db.errors import InvalidInput
from embedded_db.ml import load_functions
from embedded_db.ml.isolation import IsolatedFunctions, ModelCrashed
from embedded_db.ml.time_limits import ModelTimeout
from harness import isolated_functions

CONFIG = MLConfig(
    embedding=isolated_functions.embed, entities=None, summary=None, isolation="process"
)
CRASHES = {"exit": "exit code 3", "abort": "SIGABRT", "touch": "SIGSEGV", "kill": "SIGKILL"}
HANGS = ["sleep", "spin", "hold"]
MANY = {"weaver": {"max_attempts": 2, "first_delay": 0.0, "max_delay": 0.0}}


@pytest.fixture
def isolated() -> Iterator[IsolatedFunctions]:
    functions = IsolatedFunctions(replace(CONFIG, timeout=1.0))
    yield functions
    functions.close()


def children() -> list[int]:
    """The processes that this one has begun and not waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def test_it_gives_what_the_functions_give() -> None:
    config = replace(CONFIG, entities=isolated_functions.entities, embedding="hashing")
    here, isolated = load_functions(replace(config, isolation="none")), IsolatedFunctions(config)
    texts = ["Al: Bo here", "Cy"]
    given = (texts, [4, 0], [True, True], [True, False])
    (vectors, owner, found), (expected, owners, entities) = (
        isolated.enrich(*given),
        here.enrich(*given),
    )
    np.testing.assert_array_equal(vectors, expected)
    np.testing.assert_array_equal(owner, owners)
    assert found == entities == [[{"text": "Bo", "label": "X", "start": 0, "end": 2}], []]
    np.testing.assert_array_equal(isolated.embed(texts), here.embed(texts))
    assert isolated.embedding_info() == here.embedding_info()
    assert isolated.health() == here.health()
    isolated.close()


def test_one_process_does_all_until_it_is_closed() -> None:
    functions = IsolatedFunctions(replace(CONFIG, embedding=isolated_functions.process))
    before = children()
    first = functions.embed(["a"])[0, 0]
    assert first != os.getpid()
    assert functions.embed(["b"])[0, 0] == first
    assert children() == [*before, int(first)] or set(children()) == {*before, int(first)}
    functions.close()
    assert set(children()) == set(before)
    second = functions.embed(["a"])[0, 0]
    assert second != first, "a call begins it again"
    functions.close()


def test_what_is_printed_is_no_answer(
    isolated: IsolatedFunctions, capfd: pytest.CaptureFixture[str]
) -> None:
    assert isolated.embed(["print"]).shape == (1, 3)
    isolated.close()
    assert "to whoever reads" in capfd.readouterr().err


@pytest.mark.parametrize("how", CRASHES)
def test_a_crash_is_told_and_the_next_call_works(isolated: IsolatedFunctions, how: str) -> None:
    with pytest.raises(ModelCrashed, match=CRASHES[how]):
        isolated.enrich([how], [0], [True], [False])
    with pytest.raises(ModelCrashed, match=CRASHES[how]):
        isolated.embed([how])
    assert isolated.embed(["fine"]).shape == (1, 3)


@pytest.mark.parametrize("how", HANGS)
def test_a_call_that_hangs_is_ended(isolated: IsolatedFunctions, how: str) -> None:
    begin = time.monotonic()
    with pytest.raises(ModelTimeout, match=r"embed has not answered within 1.0 s"):
        isolated.embed([how])
    assert time.monotonic() - begin < 30
    assert isolated.embed(["fine"]).shape == (1, 3)


@pytest.mark.parametrize("how", ["read", "pool"])
def test_calls_are_read_by_nobody_else(how: str) -> None:
    functions = IsolatedFunctions(replace(CONFIG, timeout=60.0))
    assert functions.embed([how, "a"]).shape == (2, 3)
    assert functions.embed(["b"]).shape == (1, 3)
    functions.close()


def test_what_a_function_has_begun_ends_with_it(
    isolated: IsolatedFunctions, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelTimeout):
        isolated.embed(["begin and hang"])
    [began] = re.findall(r"began (\d+)\.", capfd.readouterr().err)
    end = time.monotonic() + 60
    while Path(f"/proc/{began}/stat").exists():
        if Path(f"/proc/{began}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break  # nobody of ours waits for it
        assert time.monotonic() < end
        time.sleep(0.01)


def test_more_than_a_pipe_holds_goes_through(isolated: IsolatedFunctions) -> None:
    texts = ["word " * 20_000] * 50
    assert isolated.embed(texts).shape == (50, 3)
    # It reads nothing any more, but who asks does not hang.
    with pytest.raises(ModelTimeout):
        isolated.embed(["hold", *texts])


def test_a_call_that_hangs_takes_no_other_with_it() -> None:
    functions = IsolatedFunctions(replace(CONFIG, timeout=3.0))
    functions.embed(["begin"])
    outcome: list[Any] = []

    def hang() -> None:
        try:
            functions.enrich(["sleep"], [0], [True], [False])
        except ModelTimeout as error:
            outcome.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    answers = 0
    while thread.is_alive():
        assert functions.embed(["a"]).shape == (1, 3)
        answers += 1
    thread.join()
    functions.close()
    assert answers > 3, "it answers beside it"
    assert len(outcome) == 1


def test_what_is_raised_keeps_its_name(isolated: IsolatedFunctions) -> None:
    with pytest.raises(Exception, match="by zero") as caught:
        isolated.embed(["raise"])
    assert type(caught.value).__name__ == "ZeroDivisionError"
    assert "isolated_functions.py" in str(caught.value)
    with pytest.raises(Exception, match="bye") as caught:
        isolated.embed(["leave"])
    assert type(caught.value).__name__ == "SystemExit"
    assert isinstance(caught.value, Exception), "it ends nothing here"
    with pytest.raises(Exception, match="text cannot be had") as caught:
        isolated.embed(["nameless"])
    assert type(caught.value).__name__ == "_NamelessError"


def test_functions_that_cannot_be_handed_over_are_refused() -> None:
    def inner(texts: list[str]) -> list[list[float]]:
        return [[1.0] for _ in texts]

    for function in (inner, lambda texts: [[1.0] for _ in texts]):
        with pytest.raises(InvalidInput, match="cannot be handed to another process"):
            EmbeddedDB(":memory:", ml=replace(CONFIG, embedding=function))
    with pytest.raises(InvalidInput, match="isolation is 'proces'.*'process'"):
        MLConfig(isolation="proces")  # type: ignore[arg-type]


WAYS = [*CRASHES, *HANGS, "raise"] if "EMBEDDED_DB_THOROUGH" in os.environ else ["exit", "hold"]


@pytest.mark.parametrize("how", WAYS)
def test_the_work_of_others_goes_on(tmp_path: Path, how: str) -> None:
    before = set(children())
    with EmbeddedDB(tmp_path / "memory.db", ml=replace(CONFIG, timeout=1.0), **MANY) as db:
        db.weaver.pause()
        texts = [f"text {number}" for number in range(4)]
        good = [db.create_message("chat", text) for text in texts]
        bad = db.create_message("chat", how)
        late = db.create_message("chat", "a later one")
        db.weaver.resume()
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=120)
        assert [message.status.embedding for message in [*good, late]] == ["ready"] * 5
        assert bad.status.embedding == "failed"
        [letter] = db.weaver.dead_letters()
        assert (letter["id"], letter["attempts"]) == (bad.id, 2)
        said = {"raise": "ZeroDivisionError: by zero"} | dict.fromkeys(HANGS, "ModelTimeout")
        assert said.get(how, CRASHES.get(how, "")) in letter["error"]
        if how == "raise":
            assert "isolated_functions.py" in letter["traceback"]
        [found] = db.query(semantic_query={"text": "a later one"}, limit=1)
        assert found.node.id == late.id
        assert db.verify()["ok"]
    assert set(children()) == before, "nothing is left"


PROGRAM = """
    import os, sys
    from embedded_db import EmbeddedDB, MLConfig
    from harness import isolated_functions
    config = MLConfig(embedding=isolated_functions.embed, entities=None, summary=None,
                      isolation="process")
    db = EmbeddedDB(sys.argv[1], ml=config)
    db.create_message("chat", "fine")
    db.flush(timeout=60)
    print(db._functions._process._child.pid, flush=True)
    db.create_message("chat", sys.argv[2])
    {end}
"""


# One that holds its interpreter does not hear that nobody is left to ask it, and goes on.
@pytest.mark.parametrize(
    ("end", "how"),
    [("", "fine"), ("", "hold"), ("os._exit(0)", "sleep"), ("db.close()", "hold")],
)
def test_the_process_ends_with_the_program(tmp_path: Path, how: str, end: str) -> None:
    code = textwrap.dedent(PROGRAM.format(end=end))
    begin = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "memory.db"), how],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode == 0, run.stderr
    assert time.monotonic() - begin < 60, "the timeout is 300 s"
    deadline = time.monotonic() + 60
    while Path(f"/proc/{int(run.stdout)}").exists():
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.02)


def test_a_function_of_the_program_itself_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from embedded_db import EmbeddedDB, MLConfig\n"
        "def embed(texts):\n    return [[1.0]] * len(texts)\n"
        "EmbeddedDB(':memory:', ml=MLConfig(embedding=embed, isolation='process'))\n",
        encoding="utf-8",
    )
    run = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=120
    )
    assert "embedding is a function of __main__" in run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_asks_a_process_of_its_own(isolated: IsolatedFunctions) -> None:
    isolated.embed(["begin"])
    gc.collect()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if isolated.embed(["a"]).shape == (1, 3) else 2
            isolated.close()
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isolated.embed(["a"]).shape == (1, 3), "that of the parent goes on"
