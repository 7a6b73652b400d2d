"""Promise: whatever ends a server, nothing that it acknowledged is lost, and it ends in order."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB
from embedded_db.client import Client, ServerUnavailable
from embedded_db.errors import DbError
from embedded_db.server import Server

from .conftest import Asking

ROOT = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / "release" / "embedded-db-server"
SERVING = re.compile(r"serving .* on (http://\S+)")

COMMANDS = {
    "python": [sys.executable, "-m", "embedded_db.cli", "serve"],
    "binary": [str(BINARY)],
}


@pytest.fixture(params=sorted(COMMANDS))
def serving(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen, str]]:
    if request.param == "binary" and not BINARY.exists():
        pytest.skip("cargo build --release -p embedded-db-server makes it")
    config = tmp_path / "config.toml"
    config.write_text('ml = "none"\n')
    command = [*COMMANDS[request.param], str(tmp_path / "served.db"), "--port", "0"]
    if request.param == "python":
        command += ["--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = SERVING.search(line)
        assert found is not None, line + process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_acknowledged_is_lost(
    serving: tuple[subprocess.Popen, str], tmp_path: Path, number: signal.Signals
) -> None:
    process, url = serving
    acknowledged: list[list[str]] = [[] for _ in range(8)]
    sent = [0] * 8

    def write(at: int) -> None:
        with Client(url, timeout=30) as client:
            while True:
                sent[at] += 1
                try:
                    ids = client.create_nodes(
                        [{"id": f"{at}-{sent[at]}-{each}", "label": "T"} for each in "ab"]
                    )
                except DbError:
                    return
                acknowledged[at].extend(ids)

    writers = [threading.Thread(target=write, args=(at,)) for at in range(8)]
    for writer in writers:
        writer.start()
    until = time.monotonic() + 20
    while not all(len(each) > 20 for each in acknowledged):
        assert time.monotonic() < until
        time.sleep(0.01)
    begun = time.monotonic()
    process.send_signal(number)
    code = process.wait(30)
    took = time.monotonic() - begun
    for writer in writers:
        writer.join(60)
    if number == signal.SIGTERM:
        assert code == 0
        assert took < 10
    with EmbeddedDB(tmp_path / "served.db", ml=None) as db:
        ids = [id for each in acknowledged for id in each]
        assert len(ids) > 8 * 20
        assert None not in db.get_many(ids)
        # A batch is there as a whole, or not at all.
        stored = {node.id for node in db.nodes("T")}
        assert {id[:-1] for id in stored if id.endswith("a")} == {
            id[:-1] for id in stored if id.endswith("b")
        }
        assert db.verify()["ok"]


def test_a_second_signal_ends_at_once(serving: tuple[subprocess.Popen, str]) -> None:
    process, url = serving
    held = threading.Thread(target=lambda: _hold(url), daemon=True)
    held.start()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    process.wait(30)
    assert time.monotonic() - begun < 15


def _hold(url: str) -> None:
    with Client(url) as client, suppress(ServerUnavailable):
        list(client.changes(0, wait=25.0))


def test_what_is_under_way_is_answered(db: EmbeddedDB) -> None:
    """Also what waits for a change: it is told that there is none."""
    with Server(db, port=0) as server:
        ask = Asking(*server.address)
        answers: list[int] = []
        waiting = threading.Thread(
            target=lambda: answers.append(ask("GET", "/v1/changes?wait=25").status)
        )
        waiting.start()
        time.sleep(0.3)
        begun = time.monotonic()
        server.stop()
        waiting.join(30)
        assert (answers, time.monotonic() - begun < 15) == ([200], True)
        with pytest.raises(OSError):  # noqa: PT011
            ask("GET", "/livez")
    assert db.count() == 0


def test_the_database_may_end_first(db: EmbeddedDB) -> None:
    with Server(db, port=0) as server, Client(server.url) as client:
        client.create_node({"label": "Thing"})
        db.close()
        with pytest.raises(DbError) as error:
            client.count()
        assert error.value.code == "DatabaseClosed"


def test_a_program_that_forgets_its_server_ends(tmp_path: Path) -> None:
    program = (
        "from embedded_db import EmbeddedDB\n"
        "from embedded_db.server import Server\n"
        f"db = EmbeddedDB({str(tmp_path / 'x.db')!r}, ml=None)\n"
        "server = Server(db, port=0)\n"
        "db.create_node({'label': 'Thing'})\n"
    )
    run = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert run.returncode == 0


def test_the_port_is_free_again(db: EmbeddedDB) -> None:
    with Server(db, port=0) as first:
        host, port = first.address
        with pytest.raises(DbError, match="cannot listen"):
            Server(db, host, port)
    with Server(db, host, port) as second:
        assert json.loads(Asking(host, port)("GET", "/openapi.json").data)["openapi"] == "3.1.0"
        assert second.url == f"http://{host}:{port}"
