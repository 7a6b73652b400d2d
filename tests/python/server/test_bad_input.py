"""Promise: whatever is sent, the server says what was wrong with it, and serves the next request.

Each test is a row of the table in ``docs/reliability.md``, by its number. What a row is about and
no part of the server does (uploads, addresses that it would call, files that it would unpack) is
shown to be no part of it.
"""

import gzip
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from embedded_db import EmbeddedDB, InvalidInput
from embedded_db.logs import JSONFormatter, flush
from embedded_db.server import Server

from .conftest import ANNS, JSON, READ, TOKENS, WRITE, Asking

NODE = {"labels": ["Thing"]}
WRITING = [("POST", "/v1/nodes"), ("PATCH", "/v1/nodes/a"), ("POST", "/v1/edges/a/retract")]


@pytest.fixture
def limited(db: EmbeddedDB) -> Iterator[Asking]:
    """A server with little patience."""
    limits: dict[str, Any] = {"header_timeout": 0.5, "body_timeout": 0.5, "request_timeout": 0.5}
    with Server(db, port=0, max_body=4096, max_connections=50, **limits) as server:
        yield Asking(*server.address)


def head(ask: Asking, *lines: str) -> bytes:
    return "\r\n".join([*lines, f"Host: {ask.host}:{ask.port}", "", ""]).encode()


def test_1_only_its_own_names_are_answered(db: EmbeddedDB, ask: Asking) -> None:
    for host in ("evil.com", "127.0.0.1.evil.com", "", "[::1", "localhost@evil.com", "0.0.0.0"):
        answer = ask("GET", "/livez", headers={"Host": host})
        assert (answer.status, answer.json["code"]) == (421, "Misdirected"), host
    for host in ("localhost", f"LOCALHOST:{ask.port}", "127.0.0.1:1", "[::1]:80"):
        assert ask("GET", "/livez", headers={"Host": host}).status == 200
    assert ask.raw(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 4")
    twice = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\nConnection: close\r\n\r\n"
    assert ask.raw(twice).startswith(b"HTTP/1.1 400")
    with Server(db, port=0, allow_hosts=["db.example"]) as server:
        named = Asking(*server.address)
        assert named("GET", "/livez", headers={"Host": "db.example:80"}).status == 200


@pytest.mark.parametrize(
    "path", ["/v1/nodes", "/metrics", "/health", "/nothing", "/v1/changes/stream"]
)
def test_2_pages_of_others_are_refused(db: EmbeddedDB, ask: Asking, path: str) -> None:
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    headers = upgrade if path.endswith("stream") else {}
    for origin in (
        "https://evil.com",
        "null",
        f"http://localhost:{ask.port}.evil.com",
        "http://localhost:1",
    ):
        answer = ask("GET", path, headers={**headers, "Origin": origin})
        assert (answer.status, answer.json["code"]) == (403, "Forbidden")
        assert answer.headers["Access-Control-Allow-Origin"] is None
    own = ask("GET", "/livez", headers={"Origin": f"http://{ask.host}:{ask.port}"})
    assert (own.status, own.headers["Access-Control-Allow-Origin"]) == (200, None)
    assert ask("OPTIONS", path).status in (404, 405)
    with Server(db, port=0, allow_origins=["https://app.example"]) as server:
        allowing = Asking(*server.address)
        assert allowing("GET", "/livez", headers={"Origin": "https://app.example"}).status == 200


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_3_forms_of_pages_write_nothing(
    db: EmbeddedDB, ask: Asking, method: str, path: str
) -> None:
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        None,
        "",
    ):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = ask(method, path, json.dumps(NODE).encode(), headers)
        assert (answer.status, answer.json["code"]) == (415, "UnsupportedMediaType")
    assert db.count() == 0


def test_4_no_open_door_without_a_token(db: EmbeddedDB, tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(InvalidInput, match="no token"):
            Server(db, host, 0)
    command = [sys.executable, "-m", "embedded_db.cli", "serve", str(tmp_path / "x.db")]
    run = subprocess.run(
        [*command, "--host", "0.0.0.0", "--port", "0"], capture_output=True, check=False
    )
    assert (run.returncode, b"no token" in run.stderr) == (13, True)
    # With a token it listens, and wants it of everybody.
    with Server(db, "0.0.0.0", 0, tokens=TOKENS) as server:
        ask = Asking("127.0.0.1", server.address[1])
        assert (ask("GET", "/v1/nodes").status, ask("GET", "/v1/nodes", token=READ).status) == (
            401,
            200,
        )


def test_5_tokens_that_are_wrong(guarded: Asking) -> None:
    statuses = []
    wrong = ["", "Bearer", "Bearer ", "Basic eDp4", READ, f"Bearer {READ}x", "Bearer \xff\xe4"]
    for value in wrong:
        answer = guarded("GET", "/v1/nodes", headers={"Authorization": value})
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert READ not in answer.data.decode()
    # A head as large as that is none.
    assert guarded(
        "GET", "/v1/nodes", headers={"Authorization": "Bearer " + "x" * 60_000}
    ).status in (401, 431)
    assert guarded("GET", f"/v1/nodes?token={READ}").status == 401
    assert guarded("GET", f"/v1/nodes?access_token={READ}").status == 401
    for _ in range(12):
        answer = guarded("GET", "/v1/nodes", token="x" * 32)
        statuses.append(answer.status)
    assert statuses[-1] == 429
    assert (answer.json["retryable"], int(answer.headers["Retry-After"]) > 0) == (True, True)
    # Whoever has the right one is not shut out by others.
    assert guarded("GET", "/v1/nodes", token=READ).status == 200


# Row 6, rights, is test_routes_need_tokens.py.


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/nodes", {**NODE, "created_at": "2024-05-01T00:00:00Z"}),
        ("/v1/nodes", {**NODE, "version": 7}),
        ("/v1/nodes", {**NODE, "_internal": 1}),
        ("/v1/nodes", {**NODE, "derived": True}),
        (
            "/v1/edges",
            {"source": "a", "target": "a", "type": "T", "recorded_at": "2024-05-01T00:00:00Z"},
        ),
        ("/v1/chats", {"labels": ["Admin"]}),
        ("/v1/query", {"labels": ["T"], "namespace": "other"}),
        (
            "/v1/transaction",
            {"operations": [{"op": "create_node", "node": {**NODE, "version": 7}}]},
        ),
    ],
)
def test_7_fields_that_are_not_theirs(db: EmbeddedDB, ask: Asking, path: str, body: Any) -> None:
    answer = ask("POST", path, body)
    assert (answer.status, answer.json["code"]) == (422, "InvalidInput")
    assert "is not known" in answer.json["message"]
    assert db.count() == 0


def test_8_bodies_that_are_too_long(db: EmbeddedDB, limited: Asking) -> None:
    ask = limited
    start = "POST /v1/nodes HTTP/1.1"
    kind = "Content-Type: application/json"
    assert ask.raw(head(ask, start, kind, "Content-Length: 10737418240")).startswith(
        b"HTTP/1.1 413"
    )
    # A promise that is not kept, and one that is exceeded.
    assert ask.raw(head(ask, start, kind, "Content-Length: 100") + b"{}").startswith(
        b"HTTP/1.1 408"
    )
    assert b"HTTP/1.1 4" in ask.raw(
        head(ask, start, kind, "Content-Length: 1", "Connection: close") + b"{}"
    )
    endless = (
        head(ask, start, kind, "Transfer-Encoding: chunked") + b"400\r\n" + b" " * 1024 + b"\r\n"
    )
    assert refused(ask, endless, b"400\r\n" + b" " * 1024 + b"\r\n") == 413
    bomb = gzip.compress(b" " * 1_000_000)
    answer = ask("POST", "/v1/nodes", bomb, {**JSON, "Content-Encoding": "gzip"})
    assert answer.status == 415
    assert ask("POST", "/v1/nodes", NODE).status == 201
    assert db.count() == 1


def refused(ask: Asking, first: bytes, then: bytes) -> int:
    """What is answered while more and more is sent."""
    with ask.connected(5) as connection:
        connection.sendall(first)
        for _ in range(10_000):
            try:
                connection.sendall(then)
            except OSError:
                break
        try:
            return int(connection.recv(1000)[9:12])
        except (OSError, ValueError):
            return 413  # it was closed so soon that the answer was lost on the way


def test_9_who_is_slow_is_let_go(limited: Asking) -> None:
    ask = limited
    begun = time.monotonic()
    assert b" 200 " not in ask.raw(b"GET /livez HTTP/1.1\r\nHost: loc")
    assert 0.3 < time.monotonic() - begun < 20
    # More connections that say nothing than may be there at once: they end, and others come in.
    idle = [ask.connected() for _ in range(80)]
    try:
        assert ask("GET", "/livez").status == 200
    finally:
        for connection in idle:
            connection.close()


def test_10_heads_that_are_too_much(ask: Asking) -> None:
    line = b"GET /v1/nodes?label=" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ask.connected() as connection:
        try:
            connection.sendall(line)
            answer = connection.recv(1000)
        except OSError:
            answer = b""
        assert answer == b"" or answer[9:12] in (b"414", b"431", b"400")
    many = "\r\n".join(["GET /livez HTTP/1.1", *(f"X-{at}: 1" for at in range(1000))])
    assert ask.raw(many.encode() + b"\r\nHost: localhost\r\n\r\n")[9:12] in (b"431", b"400")
    # Two lengths for one body: nobody may read it in two ways.
    both = head(
        ask,
        "POST /v1/nodes HTTP/1.1",
        "Content-Type: application/json",
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        "Connection: close",
    )
    smuggled = both + b"0\r\n\r\nGET /v1/nodes HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert ask.raw(smuggled).count(b"HTTP/1.1 ") == 1
    lengths = head(ask, "POST /v1/nodes HTTP/1.1", "Content-Length: 4", "Content-Length: 5")
    assert ask.raw(lengths)[9:12] == b"400"
    # HTTP/2, with its streams that are reset, is not spoken.
    assert not ask.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").startswith(b"HTTP/2")
    assert ask("GET", "/livez").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"labels": ["T"], "labels": ["U"]}',
        b'{"labels": ["T"], "properties": {"x": NaN}}',
        b'{"labels": ["T"], "properties": {"x": 1e999}}',
        b'{"labels": ["T"], "properties": {"x": 9223372036854775808}}',
        b'{"labels": ["\\ud800"]}',
        b'{"labels": ["\xff"]}',
        b'{"labels": ["T"]',
        b"",
        b"\x00",
    ],
)
def test_11_json_that_is_none(db: EmbeddedDB, ask: Asking, body: bytes) -> None:
    answer = ask("POST", "/v1/nodes", body, JSON)
    assert (answer.status, answer.json["code"]) == (400, "InvalidInput")
    assert "line 1 column" in answer.json["message"]
    assert db.count() == 0


def test_11_values_that_are_too_deep(db: EmbeddedDB, ask: Asking) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    answer = ask("POST", "/v1/nodes", {**NODE, "properties": {"x": deep}})
    assert (answer.status, answer.json["details"]["property"]) == (422, "x")
    condition: Any = {"property": "x", "operator": "Exists"}
    for _ in range(100):
        condition = {"not": condition}
    assert ask("POST", "/v1/query", {"structural_filters": [condition]}).status in (400, 422)


def test_12_vectors_that_do_not_fit(db: EmbeddedDB, ask: Asking) -> None:
    db.create_node({"id": "a", "label": "Thing"})
    given = {"node_id": "a", "space": "rgb"}
    assert ask("POST", "/v1/embeddings", {**given, "vector": [1, 0, 0]}).status == 201
    other = ask("POST", "/v1/embeddings", {**given, "vector": [1, 0]})
    assert (other.status, other.json["code"]) == (422, "DimensionMismatch")
    assert other.json["details"].items() >= {"expected": 3, "got": 2, "space": "rgb"}.items()
    for vector in (
        [0.5] * 1_000_000,
        ["1", 0, 0],
        [None, 0, 0],
        [],
        "1,0,0",
        [1e300, 0, 0],
        [[1, 0, 0]],
    ):
        answer = ask("POST", "/v1/embeddings", {**given, "vector": vector})
        assert answer.status == 422, str(vector)[:20]
        assert answer.json["code"] in ("InvalidInput", "NonFiniteVector")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/query", {"labels": ["T"], "limit": 10**9}),
        ("/v1/query", {"labels": ["T"], "limit": 0}),
        ("/v1/query", {"labels": ["T"], "limit": -1}),
        ("/v1/query", {"labels": ["T"], "limit": 2.5}),
        ("/v1/query", {"semantic_query": {"vector": [1], "recall": 10**9}}),
        ("/v1/query", {"graph_filter": {"start": ["a"], "max_hops": 10**6}}),
        ("/v1/query", {"labels": ["T"], "timeout": 10**9}),
        ("/v1/recall", {"nodes": ["a"], "bursts": 10**9}),
        ("/v1/traverse", {"start": "a", "max_depth": 10**6}),
        ("/v1/traverse", {"start": "a", "max_visited": 10**12}),
        ("/v1/lookup", {"ids": ["a"] * 10_001}),
    ],
)
def test_13_numbers_that_are_too_large(ask: Asking, path: str, body: Any) -> None:
    answer = ask("POST", path, body)
    assert (answer.status, answer.json["code"]) == (422, "InvalidInput")
    for query in ("limit=1000000000", "limit=0", "limit=x", "limit=1&limit=2", "offset=10"):
        assert ask("GET", f"/v1/nodes?{query}").status == 422


@pytest.fixture
def thicket(db: EmbeddedDB) -> EmbeddedDB:
    """A graph over which a walk takes long: from every node to every node."""
    ids = db.create_nodes([{"label": "Thing"} for _ in range(300)])
    for at in range(0, 300, 20):
        db.create_edges(
            [{"source": a, "target": b, "type": "T"} for a in ids[at : at + 20] for b in ids]
        )
    db.create_node({"id": "apart", "label": "Thing"})
    return db


def walk(thicket: EmbeddedDB) -> dict[str, Any]:
    """One that takes minutes."""
    condition = {"property": "weight", "operator": "GreaterThan", "value": 0}
    step = {"edge_types": ["T"], "max_hops": 1000, "edge_filters": [condition]}
    first = next(thicket.nodes()).id
    return {"graph_filter": {"start": [first], "steps": [step] * 32}, "limit": 1}


def test_14_what_takes_too_long_ends(thicket: EmbeddedDB) -> None:
    body = walk(thicket)
    with Server(thicket, port=0, request_timeout=0.3) as server:
        begun = time.monotonic()
        answer = Asking(*server.address)("POST", "/v1/query", body)
        assert (answer.status, answer.json["code"]) == (504, "Timeout")
        assert answer.json["retryable"]
        assert time.monotonic() - begun < 20
    with Server(thicket, port=0, max_requests=1) as server:
        ask = Asking(*server.address)
        sent = json.dumps(body).encode()
        with ask.connected() as connection:
            length = f"Content-Length: {len(sent)}"
            kind = "Content-Type: application/json"
            connection.sendall(head(ask, "POST /v1/query HTTP/1.1", kind, length) + sent)
            eventually(lambda: ask("GET", "/v1/nodes/apart").status == 503)
        # Who asked has gone: another may ask.
        eventually(lambda: ask("GET", "/v1/nodes/apart").status == 200, seconds=60)


def eventually(holds: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


# Row 15, WebSockets, is test_streams.py.


def test_16_no_name_is_a_path(ask: Asking, tmp_path: Path) -> None:
    """Backups and restores are not offered over HTTP; names of namespaces are no paths."""
    before = sorted(path.name for path in tmp_path.iterdir())
    for name in ("../../etc/x", "..", "/etc/x", "a\\b", "%2e%2e%2f"):
        quoted = "".join(f"%{byte:02X}" for byte in name.encode())
        assert ask("PUT", f"/v1/namespaces/{quoted}", b"", JSON).status == 204
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    for path in ("/v1/backup", "/v1/restore", "/v1/namespaces/../../etc/x", "/../../etc/passwd"):
        assert ask("POST", path, {}).status == 404


def test_17_and_18_nothing_is_fetched_or_executed(ask: Asking) -> None:
    """No route takes an address or a file: what looks like one is a text."""
    document = ask("GET", "/openapi.json").data.decode().lower()
    for word in ('"url":', "webhook", "callback", "pickle", "yaml", "multipart", "octet-stream"):
        assert document.count(word) == ('"url": "/"' in document if word == '"url":' else 0), word
    odd = {
        "u": "http://169.254.169.254/",
        "p": "cos\nsystem\n(S'id'\ntR.",
        "y": "!!python/object/apply:os.system [id]",
    }
    id = ask("POST", "/v1/nodes", {**NODE, "properties": odd}).json["id"]
    assert ask("GET", f"/v1/nodes/{id}").json["properties"] == odd


def test_19_and_20_stored_text_comes_back_as_data(ask: Asking) -> None:
    """Never as a page: the type is JSON, and a browser may neither guess nor run anything."""
    bad = '<img src=x onerror="alert(1)"> ignore previous instructions'
    id = ask("POST", "/v1/nodes", {"labels": [bad], "properties": {bad: bad}}).json["id"]
    answer = ask("GET", f"/v1/nodes/{id}")
    assert answer.json["properties"] == {bad: bad}
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    missing = ask("GET", f"/v1/nodes/{quote(bad)}")
    assert (missing.status, missing.headers["Content-Type"]) == (404, "application/json")


def test_21_a_name_writes_no_line_of_the_log(
    ask: Asking, caplog: pytest.LogCaptureFixture, db: EmbeddedDB
) -> None:
    name = 'x\n{"event": "all is well"}\x1b[2J\r'
    ask("POST", "/v1/nodes", {"id": name.replace("\r", ""), "labels": [name]})
    db.close()
    with caplog.at_level(logging.ERROR, "embedded_db.server"):
        assert ask("GET", f"/v1/nodes/{quote(name)}").status == 503
        assert ask("POST", "/v1/nodes", {"id": name, "labels": [name]}).status == 503
        assert flush(30)
    assert len(caplog.records) == 2
    for record in caplog.records:
        line = JSONFormatter().format(record)
        assert "\n" not in line
        assert "\x1b" not in line
        assert json.loads(line)["message"] == "request failed"


# Row 22 is about MCP, which is no part of this server.


def test_23_errors_say_what_was_wrong_and_no_more(
    db: EmbeddedDB, ask: Asking, tmp_path: Path
) -> None:
    answer = ask("GET", "/v1/nodes/nobody")
    assert set(answer.json) == {"code", "message", "hint", "retryable", "details", "request_id"}
    assert (answer.json["code"], answer.json["retryable"]) == ("NotFound", False)
    assert answer.json["details"] == {"kind": "node", "id": "nobody"}
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert ask("GET", "/v1/nodes/nobody").json["request_id"] != answer.json["request_id"]
    assert ask("GET", "/nothing").json["code"] == "NoSuchPath"
    wrong = ask("DELETE", "/v1/nodes")
    assert (wrong.status, wrong.json["code"]) == (405, "MethodNotAllowed")
    assert set(wrong.headers["Allow"].split(", ")) == {"GET", "POST"}
    db.close()
    closed = ask("GET", "/v1/nodes/nobody")
    assert (closed.status, closed.json["code"]) == (503, "DatabaseClosed")
    for answer in (closed, ask("GET", "/health"), ask("GET", "/readyz")):
        assert answer.status == 503
        assert str(tmp_path) not in answer.data.decode()
    assert ask("GET", "/livez").status == 200


def test_24_no_secret_leaves_by_any_way(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A token and a stored text are looked for in everything that the server tells of itself."""
    stored = "planted-text-5ae1"
    path = tmp_path / "served.db"
    with EmbeddedDB(path, ml=None) as db, Server(db, port=0, tokens=TOKENS) as server:
        ask = Asking(*server.address)
        told = b""
        for token in (WRITE, READ, ANNS, WRITE + "x", "Bearer " + WRITE):
            node = {"id": stored, "labels": [stored], "properties": {stored: stored}}
            told += ask("POST", "/v1/nodes", node, token=token).data
            told += ask("GET", f"/v1/nodes?token={token}".replace(" ", "%20"), token=token).data
            told += ask("GET", f"/{token}".replace(" ", "%20"), token=token).data
        for open_path in ("/metrics", "/health", "/livez", "/readyz", "/openapi.json"):
            answer = ask("GET", open_path)
            told += answer.data + str(answer.headers).encode()
            assert stored.encode() not in answer.data
        assert db.get_node(stored) is not None
        db.close()
        told += ask("GET", f"/v1/nodes/{stored}", token=WRITE).data
        told += repr((server, db)).encode()
    told += (path / "blackbox").read_bytes()
    assert flush(30)
    out, err = capfd.readouterr()
    assert caplog.records != []
    logged = "".join(JSONFormatter().format(record) for record in caplog.records)
    told += (out + err + caplog.text + logged).encode()
    assert stored not in out + err + caplog.text + logged
    assert stored.encode() not in (path / "blackbox").read_bytes()
    for token in (WRITE, READ, ANNS):
        assert token.encode() not in told
    for file in path.rglob("*"):
        assert not file.is_file() or WRITE.encode() not in file.read_bytes()


def test_more_at_once_than_may_be_is_answered(thicket: EmbeddedDB) -> None:
    with Server(thicket, port=0, max_requests=4, request_timeout=1.0) as server:
        ask = Asking(*server.address)
        body = walk(thicket)
        statuses: list[int] = []
        asking = [
            threading.Thread(target=lambda: statuses.append(ask("POST", "/v1/query", body).status))
            for _ in range(12)
        ]
        for each in asking:
            each.start()
        assert ask("GET", "/livez").status in (200, 503)
        for each in asking:
            each.join()
        assert set(statuses) <= {200, 503, 504}
        assert 503 in statuses
        assert ask("GET", "/v1/nodes/apart").status == 200
