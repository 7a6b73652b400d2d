"""A server whose answers break off, stand still or come late: the work waits, no text is blamed."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from embedded_db import EmbeddedDB, MLConfig
from embedded_db.errors import EnrichmentFailed, InvalidInput, ModelUnavailable
from embedded_db.ml import endpoint, load_functions
from embedded_db.ml.isolation import IsolatedFunctions
from embedded_db.ml.timed import TimedFunctions
from harness.waiting import PATIENCE

VECTOR = b'{"data": [{"index": 0, "embedding": [1.0, 2.0]}]}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(VECTOR), VECTOR)
RESET = struct.pack("ii", 1, 0)


class Server:
    """It reads a request, and then says what it is told to, byte by byte."""

    def __init__(self) -> None:
        self.says: Callable[[socket.socket], None] = lambda one: one.sendall(GOOD)
        self.asked = 0
        self.stopped = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        while True:
            one, _ = self._socket.accept()
            if self.stopped.is_set():
                one.close()
                return
            thread = threading.Thread(target=self._answer, args=(one,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, one: socket.socket) -> None:
        with one, contextlib.suppress(OSError), one.makefile("rb") as asked:
            length = 0
            while (line := asked.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            asked.read(length)
            self.asked += 1
            self.says(one)

    def stop(self) -> None:
        self.stopped.set()
        socket.create_connection(self._socket.getsockname()).close()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._socket.close()

    # --- what it may say ---

    def reset(self, said: bytes) -> Callable[[socket.socket], None]:
        """These bytes; then the connection is gone."""

        def say(one: socket.socket) -> None:
            one.sendall(said)
            time.sleep(0.05)  # a reset takes back what was not read
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        return say

    def stand(self, said: bytes) -> Callable[[socket.socket], None]:
        """These bytes, and no more."""

        def say(one: socket.socket) -> None:
            one.sendall(said)
            self.stopped.wait(PATIENCE)

        return say

    def drip(self, said: bytes, drop: bytes) -> Callable[[socket.socket], None]:
        """These bytes; then one after the other, without an end."""

        def say(one: socket.socket) -> None:
            one.sendall(said)
            while not self.stopped.wait(0.02):
                one.sendall(drop)

        return say


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def config(server: Server, **more: Any) -> MLConfig:
    return MLConfig(embedding=f"openai:{server.url},small", entities=None, summary=None, **more)


def refusal(code: int, rest: bytes) -> bytes:
    return b"HTTP/1.1 %d Refused\r\n%b" % (code, rest)


BROKEN = [
    b"Content-Length: 100\r\n\r\npart",
    b"Content-Length: 100\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n40\r\npart",
    b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
]


@pytest.mark.parametrize("rest", BROKEN)
@pytest.mark.parametrize("how", ["reset", "close", "stand"])
@pytest.mark.parametrize(
    ("code", "error"), [(503, ModelUnavailable), (401, ModelUnavailable), (413, InvalidInput)]
)
def test_the_number_of_a_refusal_counts_whatever_becomes_of_its_words(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    rest: bytes,
    code: int,
    error: type[Exception],
) -> None:
    monkeypatch.setattr(endpoint, "REASON", 0.2)
    said = refusal(code, rest)
    ways = {"reset": server.reset(said), "stand": server.stand(said)}
    server.says = ways.get(how, lambda one: one.sendall(said))
    with pytest.raises(error, match=f"answered {code}"):
        load_functions(config(server)).embed(["a"])


@pytest.mark.parametrize("said", [b"", GOOD[:5], GOOD[:-5]])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_an_answer_that_breaks_off_is_none(server: Server, how: str, said: bytes) -> None:
    server.says = server.reset(said) if how == "reset" else lambda one: one.sendall(said)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        load_functions(config(server)).embed(["a"])


@pytest.mark.parametrize(
    ("said", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"[:1]),  # a line of the head that does not end
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", b" "),
    ],
)
def test_an_answer_that_drips_is_waited_for_so_long(
    server: Server, said: bytes, drop: bytes
) -> None:
    server.says = server.drip(said, drop)
    with pytest.raises(ModelUnavailable, match=r"cannot be reached.*timed out"):
        load_functions(config(server, timeout=0.5)).embed(["a"])


def test_all_requests_of_a_call_share_its_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(one: socket.socket) -> None:
        server.stopped.wait(0.2)
        one.sendall(GOOD)

    server.says = slow
    monkeypatch.setattr(endpoint, "MOST_INPUTS", 1)
    with pytest.raises(ModelUnavailable, match="timed out"):
        load_functions(config(server, timeout=1.0)).embed(["a"] * 50)
    assert 1 <= server.asked < 50


@pytest.mark.parametrize("isolation", ["none", "process"])
@pytest.mark.parametrize("how", ["stand", "drip"])
def test_a_server_that_is_late_is_away(server: Server, isolation: str, how: str) -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    server.says = server.stand(head) if how == "stand" else server.drip(head, b"X")
    late = config(server, timeout=3.0)
    functions = IsolatedFunctions(late) if isolation == "process" else TimedFunctions(late)
    # The time of the call itself would be a ModelTimeout, which is the text's fault.
    with pytest.raises(ModelUnavailable, match="timed out"):
        functions.enrich(["a"], [0], [True], [False])
    with functions.ending():
        pass


def test_the_texts_of_a_server_that_is_late_are_not_given_up(server: Server, tmp_path: Any) -> None:
    options: Any = {"max_attempts": 1}
    with EmbeddedDB(tmp_path / "a.db", ml=config(server, timeout=2.0), weaver=options) as db:
        server.says = server.stand(b"")
        message = db.create_message("chat", "a")
        with pytest.raises(EnrichmentFailed, match="timed out"):
            db.flush(timeout=60)
        assert {letter["id"] for letter in db.weaver.dead_letters()} == {None}
        server.says = lambda one: one.sendall(GOOD)
        db.weaver.retry_failed()  # it is asked again at once
        db.flush(timeout=60)
        assert message.status.embedding == "ready"


def test_a_name_that_is_looked_up_for_long_keeps_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()

    def look_up(*_: Any, **__: Any) -> Sequence[Any]:
        looked.set()
        server.stopped.wait(PATIENCE)
        raise OSError("nobody knows it")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(ModelUnavailable, match="timed out"):
        load_functions(replace(config(server), timeout=0.5)).embed(["a"])
    assert looked.is_set()


def test_where_no_thread_can_be_begun_the_work_waits(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = TimedFunctions(config(server))

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for call in (
            lambda: functions.embed(["a"]),
            lambda: functions.enrich(["a"], [0], [True], [False]),
        ):
            with pytest.raises(ModelUnavailable, match="can't start new thread"):
                call()
    assert functions.embed(["a"]).shape == (1, 2)
