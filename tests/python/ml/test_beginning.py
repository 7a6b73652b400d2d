"""A process of models that cannot begin: no text is blamed, and the work is done once it can."""

import errno
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, MLConfig
from embedded_db.errors import ModelUnavailable
from embedded_db.ml import isolation
from embedded_db.ml.isolation import IsolatedFunctions, ModelCrashed
from embedded_db.ml.time_limits import ModelTimeout, of_beginning, of_call, of_server
from harness import isolated_functions, loading_functions
from harness.loading_functions import HOW
from harness.waiting import eventually

CONFIG = MLConfig(
    embedding=loading_functions.embed, entities=None, summary=None, isolation="process"
)
ONCE: Any = {"max_attempts": 1, "first_delay": 0.0, "max_delay": 0.0}


@pytest.fixture
def isolated() -> Iterator[IsolatedFunctions]:
    functions = IsolatedFunctions(CONFIG)
    yield functions
    functions.close()


def state(process: int) -> str:
    """The letter of a process; Z: it has ended, and nobody has waited for it; "": it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "ImportError: weights not downloaded yet"),
        ("leave", "SystemExit: not today"),
        ("crash", "exit code 3"),
    ],
)
def test_the_work_waits_for_it(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    how: str,
    says: str,
) -> None:
    monkeypatch.setenv(HOW, how)
    with EmbeddedDB(path, ml=CONFIG, weaver=ONCE) as db:
        messages = [db.create_message("chat", f"text {number}") for number in range(5)]
        with pytest.raises(EnrichmentFailed, match=says):
            db.flush(timeout=120)
        assert {letter["id"] for letter in db.weaver.dead_letters()} == {None}, "none is given up"
        assert says in (messages[0].status.error("embedding") or "")
        with pytest.raises(ModelUnavailable, match=says):
            db.query(semantic_query={"text": "text"}, limit=1)
        monkeypatch.delenv(HOW)
        db.weaver.retry_failed()  # it is looked for again at once
        db.flush(timeout=120)
        assert {message.status.embedding for message in messages} == {"ready"}
    assert capfd.readouterr().err == "", "it was told, and need not be printed"


def test_one_that_does_not_begin_is_ended_and_another_tried(
    isolated: IsolatedFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOW, "hang")
    monkeypatch.setattr(isolated, "_beginning", 0.5)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match=r"did not begin within 0.5 s"):
            isolated.embed(["a"])
        process = isolated._process
        assert process is not None
        assert state(process._child.pid) == ""
    monkeypatch.delenv(HOW)
    monkeypatch.setattr(isolated, "_beginning", 300.0)
    assert isolated.embed(["a"]).shape == (1, 3)


def test_loading_ahead_has_the_time_of_a_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = IsolatedFunctions(replace(CONFIG, embedding="hashing"))
    functions.warm_up()
    monkeypatch.setattr(functions, "_beginning", 0.2)
    assert functions._process is not None
    os.kill(functions._process._child.pid, signal.SIGSTOP)
    with pytest.raises(ModelUnavailable, match="were not loaded within"):
        # It has begun, and is asked.
        functions.warm_up()
    functions.close()


def test_no_interpreter_is_no_fault_of_a_text(
    isolated: IsolatedFunctions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for executable in (str(tmp_path / "none"), str(tmp_path), ""):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", executable)
            with pytest.raises(ModelUnavailable, match="cannot be begun|no interpreter"):
                isolated.embed(["a"])
    assert isolated.embed(["a"]).shape == (1, 3)


def test_a_package_that_it_does_not_find_is_named(
    isolated: IsolatedFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [])
        with pytest.raises(ModelUnavailable, match=r"ModuleNotFoundError: No module named"):
            isolated.embed(["a"])
    assert isolated.embed(["a"]).shape == (1, 3)


def test_no_room_for_open_files_is_no_fault_of_a_text(isolated: IsolatedFunctions) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(ModelUnavailable, match=os.strerror(errno.EMFILE)):
            isolated.embed(["a"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isolated.embed(["a"]).shape == (1, 3)


def test_what_a_function_has_begun_ends_with_it_when_it_crashes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    functions = IsolatedFunctions(replace(CONFIG, embedding=isolated_functions.embed))
    with pytest.raises(ModelCrashed, match="exit code 3"):
        functions.enrich(["begin and exit"], [0], [True], [False])
    [began] = re.findall(r"began (\d+)\.", capfd.readouterr().err)
    # Nobody of ours waits for it.
    eventually(lambda: state(int(began)) in {"", "Z"}, "it ends")
    functions.close()


@pytest.mark.parametrize("how", ["exit", "sleep", "fine"])
def test_only_what_is_ours_is_killed(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    config = replace(CONFIG, embedding=isolated_functions.embed, timeout=2.0)
    functions = IsolatedFunctions(config)
    functions.embed(["begin"])
    assert functions._process is not None
    child, killed = functions._process._child.pid, []

    def kill(group: int, number: int) -> None:
        # While nobody has waited for a process no other gets its number.
        killed.append((group, number, state(group) != ""))
        killpg(group, number)

    killpg = os.killpg
    monkeypatch.setattr(os, "killpg", kill)
    if how == "fine":
        functions.close()
    else:
        with pytest.raises((ModelCrashed, ModelTimeout)):
            functions.enrich([how], [0], [True], [False])
    eventually(lambda: state(child) == "", "it ends")
    functions.close()
    functions._process = None
    eventually(lambda: (child, signal.SIGKILL, True) in killed, "with what it had begun")
    assert killed == [(child, signal.SIGKILL, True)]


def test_it_ends_silently_when_nobody_hears_it() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", isolation.BEGIN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with child.stdin as calls, child.stdout as answers, child.stderr as errors:
        calls.write(pickle.dumps(sys.path) + pickle.dumps(replace(CONFIG, isolation="none")))
        calls.flush()
        assert pickle.load(answers)[:2] == (0, True)
        answers.close()
        calls.write(pickle.dumps((1, "embed", (["a"],))))
        calls.flush()
        assert errors.read() == b""
        assert child.wait() == 0


@pytest.mark.parametrize("part", [1, 20, -1])
def test_it_ends_silently_when_a_call_breaks_off(part: int) -> None:
    begin = pickle.dumps(sys.path) + pickle.dumps(replace(CONFIG, isolation="none"))
    call = pickle.dumps((1, "embed", (["a"],)))
    run = subprocess.run(
        [sys.executable, "-c", isolation.BEGIN],
        input=begin + call[:part],
        capture_output=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("timeout", "function", "server", "beginning"),
    [(None, 300, 60, 300), (5, 5, 5, 60), (600.0, 600, 600, 600)],
)
def test_each_has_its_time(
    timeout: float | None, function: float, server: float, beginning: float
) -> None:
    config = replace(CONFIG, timeout=timeout)
    assert (of_call(config), of_server(config), of_beginning(config)) == (
        function,
        server,
        beginning,
    )
    asks = replace(config, embedding="openai:http://127.0.0.1:1/v1,small")
    assert of_call(asks) == function + server, "a server that is late is known before"
