"""Vectors from a server of OpenAI's protocol: what it answers, and what it does not."""

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from embedded_db import EmbeddedDB, MLConfig
from embedded_db.errors import EnrichmentFailed, InvalidInput, ModelUnavailable
from embedded_db.ml import Functions, load_functions
from embedded_db.ml.endpoint import HARMLESS, KEY, LONGEST, MOST_INPUTS

Answer = tuple[int, Any]


class Server:
    """A server on this machine, which keeps what it is asked and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, Any]] = []
        self.answer: Callable[[list[str]], Answer] = self.vectors
        self.headers: dict[str, str] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((self.path, self.headers["Authorization"], body))
                code, content = server.answer(body["input"])
                sent = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(code)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                """It is quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def vectors(self, texts: list[str]) -> Answer:
        """The last one first: their places are told."""
        rows = [{"index": at, "embedding": vector(text)} for at, text in enumerate(texts)]
        return 200, {"data": rows[::-1]}

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def vector(text: str) -> list[float]:
    return [float(len(text)), float(text.count("a")), 1.0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv(KEY, raising=False)
    server = Server()
    yield server
    server.stop()


def config(server: Server, **more: Any) -> MLConfig:
    return MLConfig(embedding=f"openai:{server.url},small", entities=None, summary=None, **more)


@pytest.fixture
def remote(server: Server) -> Functions:
    return load_functions(config(server))


def test_each_text_gets_its_vector(server: Server, remote: Functions) -> None:
    texts = [f"text {number} {'a' * (number % 7)}" for number in range(MOST_INPUTS + 3)]
    assert remote.embedding_info() == {
        "model": "small",
        "provider": "openai",
        "precision": "fp32",
        "dim": None,
        "metric": "cosine",
    }
    assert server.asked == [], "nobody was asked yet"
    np.testing.assert_array_equal(remote.embed(texts), [vector(text) for text in texts])
    assert [path for path, _, _ in server.asked] == ["/v1/embeddings"] * 2
    assert [(body["model"], len(body["input"])) for _, _, body in server.asked] == [
        ("small", MOST_INPUTS),
        ("small", 3),
    ]
    assert remote.embedding_info()["dim"] == 3
    assert remote.health()["embedding"]["available"]


def test_a_long_text_is_asked_for_in_parts(server: Server, remote: Functions) -> None:
    long = "word " * LONGEST + "x" * (2 * LONGEST)
    vectors, owner, _ = remote.enrich(["short", long], [0, 0], [True, True], [False, False])
    [(_, _, body)] = server.asked
    assert body["input"][0] == "short"
    assert "".join(body["input"][1:]) == long, "nothing is left out"
    assert max(map(len, body["input"])) <= LONGEST
    assert body["input"][1].endswith(" "), "it is cut between words"
    assert len(vectors) == len(body["input"])
    assert owner.tolist() == [0] + [1] * (len(vectors) - 1)


def test_the_key_goes_to_that_server_alone(
    server: Server, remote: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.embed(["a"])
    monkeypatch.setenv(KEY, "secret-7")
    remote.embed(["a"])
    assert [key for _, key, _ in server.asked] == [None, "Bearer secret-7"]
    other = Server()
    try:
        server.headers["Location"] = f"{other.url}/embeddings"
        server.answer = lambda _: (307, {})
        with pytest.raises(ModelUnavailable, match="307"):
            remote.embed(["a"])
        assert other.asked == [], "nobody follows"
    finally:
        other.stop()


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (400, InvalidInput, "does not take this text"),
        (413, InvalidInput, "does not take this text"),
        (401, ModelUnavailable, KEY),
        (404, ModelUnavailable, "name of the model"),
        (429, ModelUnavailable, "tried again"),
        (500, ModelUnavailable, "tried again"),
        (502, ModelUnavailable, "tried again"),
        (503, ModelUnavailable, "tried again"),
    ],
)
def test_what_a_server_refuses_is_told(
    server: Server, remote: Functions, code: int, error: type[Exception], says: str
) -> None:
    server.answer = lambda _: (code, {"error": {"message": "too much of it"}})
    with pytest.raises(error, match=rf"answered {code}.*too much of it") as caught:
        remote.embed(["a"])
    assert says in str(caught.value)
    assert remote.health()["embedding"]["available"] == (error is InvalidInput)
    server.answer = server.vectors
    assert remote.embed(["a"]).shape == (1, 3)
    assert remote.health()["embedding"]["error"] is None


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        {},
        {"data": 3},
        {"data": []},
        {"data": [{"index": 5, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": "text"}]},
        {"data": [{"index": 0, "embedding": [float("nan")]}]},
        {"data": [{"index": 0, "embedding": []}]},
        [1.0],
    ],
)
def test_what_is_no_answer_is_refused(server: Server, remote: Functions, answer: Any) -> None:
    server.answer = lambda _: (200, answer)
    with pytest.raises(InvalidInput):
        remote.embed(["a"])


def test_a_server_that_does_not_answer_is_waited_for_so_long(server: Server) -> None:
    release = threading.Event()

    def slow(texts: list[str]) -> Answer:
        release.wait(60)
        return server.vectors(texts)

    server.answer = slow
    with pytest.raises(ModelUnavailable, match=r"cannot be reached.*timed out"):
        load_functions(config(server, timeout=0.05)).embed(["a"])
    release.set()


def test_a_database_goes_on_without_its_server(server: Server, tmp_path: Any) -> None:
    path = tmp_path / "memory.db"
    with EmbeddedDB(path, ml=config(server)) as db:
        first = db.create_message("chat", "a message")
        db.flush(timeout=60)
        assert first.embedding().vector.tolist() == vector("a message")
        [hit] = db.query(semantic_query={"text": "a message"}, limit=1)
        assert hit.node.id == first.id
    server.answer = lambda _: (503, {})
    with EmbeddedDB(path, ml=config(server)) as db:
        second = db.create_message("chat", "another")
        with pytest.raises(EnrichmentFailed, match="503"):
            db.flush(timeout=60)
        assert second.status.embedding == "failed"
        assert "503" in (second.status.error("embedding") or "")
        assert db.query(text_query={"text": "another"})[0].node.id == second.id
        with pytest.raises(ModelUnavailable, match="503"):
            db.query(semantic_query={"text": "a message"})
    server.answer = server.vectors
    with EmbeddedDB(path, ml=config(server)) as db:
        db.flush(timeout=60)
        assert db.get_node(second.id).embedding().vector.tolist() == vector("another")


@pytest.mark.parametrize("code", [400, 500, 501])
def test_a_text_that_a_server_refuses_takes_no_other_with_it(
    server: Server, tmp_path: Any, code: int
) -> None:
    def picky(texts: list[str]) -> Answer:
        bad = any("refuse me" in text for text in texts)
        return (code, {"error": "no"}) if bad else server.vectors(texts)

    server.answer = picky
    options = {"max_attempts": 1}
    with EmbeddedDB(tmp_path / "memory.db", ml=config(server), weaver=options) as db:
        db.weaver.pause()
        texts = [f"text {number}" for number in range(5)] + ["refuse me"]
        messages = [db.create_message("chat", text) for text in texts]
        db.weaver.resume()
        with pytest.raises(EnrichmentFailed, match=str(code)):
            db.flush(timeout=60)
        states = [message.status.embedding for message in messages]
        assert states == ["ready"] * 5 + ["failed"]
        assert [letter["id"] for letter in db.weaver.dead_letters()] == [messages[-1].id]


@pytest.mark.parametrize(
    ("code", "others", "asked"),
    [
        (500, 200, [["a"], [HARMLESS]]),  # it is the text
        (500, 500, [["a"], [HARMLESS]]),
        (500, 429, [["a"], [HARMLESS]]),
        (503, 200, [["a"]]),  # it says that it is away
        (400, 200, [["a"]]),
    ],
)
def test_a_server_that_fails_is_asked_whether_it_is_the_text(
    server: Server, remote: Functions, code: int, others: int, asked: list[list[str]]
) -> None:
    def failing(texts: list[str]) -> Answer:
        told = others if texts == [HARMLESS] else code
        return server.vectors(texts) if told == 200 else (told, {"error": "no"})

    server.answer = failing
    its_own = code == 400 or (code, others) == (500, 200)
    with pytest.raises(InvalidInput if its_own else ModelUnavailable, match=f"answered {code}"):
        remote.embed(["a"])
    assert [body["input"] for _, _, body in server.asked] == asked
    assert remote.health()["embedding"]["available"] == its_own


def test_a_server_that_answers_nonsense_to_others_is_to_blame(
    server: Server, remote: Functions
) -> None:
    server.answer = lambda texts: (200, {}) if texts == [HARMLESS] else (500, {})
    with pytest.raises(ModelUnavailable, match="answered 500"):
        remote.embed(["a"])


@pytest.mark.parametrize("key", ["secret-7\n", " secret-7\r\n"])
def test_what_stands_around_a_key_is_left_out(
    server: Server, remote: Functions, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY, key)
    remote.embed(["a"])
    assert [sent for _, sent, _ in server.asked] == ["Bearer secret-7"]


@pytest.mark.parametrize("key", ["secret-7\nX-Other: 1", "secret-7é", "secret-7\x00"[:8] + "\x7f"])
def test_a_key_that_is_none_is_not_shown(
    server: Server, remote: Functions, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY, key)
    with pytest.raises(ModelUnavailable, match=KEY) as caught:
        remote.embed(["a"])
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert server.asked == []


def test_a_new_database_needs_it_once(server: Server, tmp_path: Any) -> None:
    server.answer = lambda _: (500, {})
    with pytest.raises(ModelUnavailable, match="500"):
        EmbeddedDB(tmp_path / "memory.db", ml=config(server))
    server.answer = server.vectors
    EmbeddedDB(tmp_path / "memory.db", ml=config(server)).close()
    asked = len(server.asked)
    EmbeddedDB(tmp_path / "memory.db", ml=config(server)).close()
    EmbeddedDB(tmp_path / "memory.db", ml=config(server), read_only=True).close()
    assert len(server.asked) == asked, "its dimension is known"
