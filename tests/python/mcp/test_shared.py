"""Promise: two assistants, a notebook and a web server write to one database at once."""

import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from embedded_db import EmbeddedDB
from embedded_db.client import Client

from .conftest import Place
from .test_bad_input import initialize

COUNT = 40


class Assistant:
    """A client that talks over standard input."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        command = place.command("--shared")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask(initialize())
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def say(self, message: Any) -> None:
        assert self.process.stdin is not None
        print(json.dumps(message), file=self.process.stdin, flush=True)

    def ask(self, message: Any) -> Any:
        self.say(message)
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def remember(self, number: int) -> None:
        given = {"text": f"{self.name} fact {number}", "id": f"{self.name}-{number}"}
        params = {"name": "remember", "arguments": given}
        answer = self.ask(
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        )
        assert not answer["result"].get("isError"), answer


@pytest.fixture
def serving(place: Place):
    command = [sys.executable, "-m", "embedded_db.cli", "serve", str(place.path), "--port", "0"]
    command += ["--shared", "--config", str(place.config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            yield server.stderr.readline().split()[-1]
        finally:
            server.kill()


def test_all_write_at_once(place: Place, serving: str, in_threads: Any):
    assistants = [Assistant(place, f"assistant{n}") for n in range(2)]
    ready = threading.Barrier(4)

    def assist(assistant: Assistant) -> None:
        ready.wait()
        for number in range(COUNT):
            assistant.remember(number)

    def work() -> None:
        with Client(serving) as client:
            ready.wait()
            for number in range(COUNT):
                client.create_node({"id": f"worker-{number}", "label": "Work"})

    with EmbeddedDB(place.path, ml=None, shared=True, lock_timeout=60) as notebook:

        def note() -> None:
            ready.wait()
            for number in range(COUNT):
                notebook.create_message("notes", f"note {number}", n=number)

        in_threads(*[lambda each=each: assist(each) for each in assistants], work, note)
        for assistant in assistants:
            ids = [f"{assistant.name}-{number}" for number in range(COUNT)]
            assert all(notebook.exists(id) for id in ids)
            assistant.process.kill()
            assistant.process.communicate()
        assert notebook.count("Work") == COUNT
        notes = [message["n"] for message in notebook.get_node("notes").messages()]
        assert notes == list(range(COUNT))
        assert notebook.verify()["ok"]
