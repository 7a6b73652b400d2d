"""Promise: whatever ends a server, nothing that it acknowledged is lost, and it ends in order."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from .conftest import Place
from .test_bad_input import HANDSHAKE, initialize


def remember(number: int) -> bytes:
    params = {"name": "remember", "arguments": {"text": f"fact {number}", "id": f"f{number}"}}
    body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(body).encode() + b"\n"


def acknowledged(place: Place, end: Callable[[subprocess.Popen[bytes]], Any], after: int) -> Any:
    """Write until a server ends, which is told to after so many answers."""
    process = subprocess.Popen(
        place.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(initialize()).encode() + b"\n")
    process.stdin.flush()
    process.stdout.readline()

    def write() -> None:
        with suppress(BrokenPipeError, ValueError):
            for number in range(1, 100_000):
                process.stdin.write(remember(number))
                process.stdin.flush()

    writer = threading.Thread(target=write)
    writer.start()
    stored = set()
    for line in process.stdout:
        if line.endswith(b"\n"):
            answer = json.loads(line)
            assert not answer["result"]["isError"], answer
            stored.add(answer["result"]["structuredContent"]["id"])
        if len(stored) == after:
            end(process)
    writer.join()
    process.stdout.close()
    with suppress(BrokenPipeError):
        process.stdin.close()
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert len(stored) >= after
    return process.wait(60), stored, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_acknowledged_is_lost(place: Place, number: signal.Signals):
    code, stored, said = acknowledged(place, lambda process: process.send_signal(number), 50)
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert (code, said) == (0, "")
    with place.opened() as db:
        assert stored <= {fact.id for fact in db.nodes("Fact")}
        assert db.verify()["ok"]


def test_the_end_of_the_input_ends_it_when_all_is_answered(place: Place):
    sent = json.dumps(initialize()).encode() + b"\n" + b"".join(map(remember, range(1, 201)))
    done = subprocess.run(place.command(), input=sent, capture_output=True, timeout=120, check=True)
    answers = {json.loads(line)["id"] for line in done.stdout.splitlines()}
    assert answers == set(range(201))
    assert done.stderr == b""


def test_a_client_that_reads_no_answers(place: Place):
    """Its end of the pipe is closed: the server ends, and what was stored stays."""
    process = subprocess.Popen(place.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(initialize()).encode() + b"\n" + remember(1))
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.readline()
    process.stdout.close()
    with suppress(BrokenPipeError):
        process.stdin.write(remember(2))
        process.stdin.flush()
    assert process.wait(60) == 0
    with suppress(BrokenPipeError):
        process.stdin.close()
    with place.opened() as db:
        assert db.exists("f1")


def test_sigterm_ends_an_idle_server(place: Place):
    """The input is open and silent: a read that waits for it holds nobody up."""
    process = subprocess.Popen(place.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(initialize()).encode() + b"\n")
    process.stdin.flush()
    process.stdout.readline()
    process.terminate()
    assert process.wait(30) == 0
    process.stdin.close()
    process.stdout.close()


def test_http_ends_in_order(place: Place):
    with place.http() as served:
        stored: list[str] = []
        failed = threading.Event()

        def write(worker: int) -> None:
            for number in range(10_000):
                params = {"name": "remember", "arguments": {"text": f"fact {worker} {number}"}}
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
                try:
                    answer = served.post(body, mcp_protocol_version=HANDSHAKE)
                except Exception:
                    failed.set()
                    return
                if answer.status_code != 200:
                    failed.set()
                    return
                stored.append(answer.json()["result"]["structuredContent"]["id"])

        workers = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
        for worker in workers:
            worker.start()
        while len(stored) < 30 and not failed.is_set():
            pass
        os.kill(served.process.pid, signal.SIGTERM)
        assert served.process.wait(30) == 0
        for worker in workers:
            worker.join()
    assert len(stored) >= 30
    with place.opened() as db:
        assert set(stored) <= {fact.id for fact in db.nodes("Fact")}
        assert db.verify()["ok"]


HANGING = """
import contextlib, sys, time
from embedded_db import EmbeddedDB, MLConfig
from embedded_db.cli import app as command, assistants
def embed(texts):
    if any("hang" in text for text in texts):
        time.sleep(600)
    return [[1.0, 0.0]] * len(texts)
@contextlib.contextmanager
def opened(path, *_, **__):
    with EmbeddedDB(path, ml=MLConfig(embedding=embed, entities=None, summary=None)) as db:
        yield db
assistants.opened = opened
command.app(["mcp", sys.argv[1]])
"""


def test_a_model_that_hangs_does_not_keep_the_process(place: Place):
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(place.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    params = {"name": "recall", "arguments": {"text": "hang"}}
    body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    sent = json.dumps(initialize()).encode() + b"\n" + remember(1) + json.dumps(body).encode()
    out, said = process.communicate(sent + b"\n", timeout=100)
    assert process.returncode == 0
    assert b"given up" in said
    answers = {answer["id"]: answer for answer in map(json.loads, out.splitlines())}
    assert answers[1]["result"]["structuredContent"]["id"] == "f1"
    with place.opened() as db:
        assert db.exists("f1")
