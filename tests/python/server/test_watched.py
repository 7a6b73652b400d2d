"""What a server tells of its requests: traces that go on where its callers' do, lines of JSON."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from embedded_db import EmbeddedDB, Sampling, Tracing
from embedded_db.logs import flush
from embedded_db.server import Server
from embedded_db.testing import FakeModel

from ..collecting import Collector, Span
from .conftest import Asking
from .test_ends import BINARY, COMMANDS, SERVING

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NONE = Sampling(normal=0, slow=0, errors=0)
ERRORS = Sampling(normal=0, slow=0)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def asked(collector: Collector, sampling: Sampling, *requests: tuple) -> list[Span]:
    """The spans of some requests to a server."""
    tracing = Tracing(endpoint=collector.endpoint)
    with (
        EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling=sampling) as db,
        Server(db, port=0) as server,
    ):
        ask = Asking(*server.address)
        for request in requests:
            ask(*request)
    return collector.spans


def test_a_request_is_a_part_of_its_callers_trace(collector: Collector) -> None:
    node = {"id": "a", "labels": ["X"]}
    spans = asked(
        collector,
        NONE,
        ("POST", "/v1/nodes", node, {"traceparent": CALLER}),
        ("GET", "/v1/nodes/a", None, {"traceparent": CALLER}),
        ("GET", "/v1/nodes/b", None, {"traceparent": CALLER}),
        ("GET", "/nothing", None, {"traceparent": CALLER}),
        ("GET", "/v1/nodes/a", None, {"traceparent": CALLER[:-1] + "0"}),
        ("GET", "/v1/nodes/a", None, {"traceparent": CALLER.upper()}),
        ("GET", "/v1/nodes/a"),
    )
    assert {span.trace for span in spans} == {CALLER[3:35]}
    requests = [span for span in spans if span.parent == CALLER[36:52]]
    assert [span.name for span in requests] == ["create_node", "get_node", "get_node", "no route"]
    assert all(span.kind == 2 and not span.failed for span in requests)
    by_id = {span.id: span for span in spans}
    parents = {(span.name, by_id[span.parent or ""].name) for span in spans if span.kind != 2}
    assert {("write", "create_node"), ("get", "get_node")} <= parents


def test_what_is_the_servers_to_mend_is_kept(collector: Collector) -> None:
    tracing = Tracing(endpoint=collector.endpoint)
    db = EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling=ERRORS)
    with db, Server(db, port=0) as server:
        ask = Asking(*server.address)
        for _ in range(20):
            assert ask("GET", "/v1/nodes/nobody").status == 404
            assert ask("GET", "/v1/nodes?limit=x").status == 422
        assert ask("POST", "/v1/query", {"labels": ["X"], "timeout": 0}).status in {422, 504}
        late = ask("POST", "/v1/query", {"semantic_query": {"text": "x"}})
        assert late.status == 503, late.data
    requests = [span for span in collector.spans if span.parent is None]
    assert {(span.name, span.error) for span in requests} >= {("query", "ModelUnavailable")}
    assert "nobody" not in {span.name for span in requests}
    assert all(span.failed for span in requests)
    assert "get_node" not in {span.name for span in requests}


def test_what_a_model_says_of_a_text_is_not_logged(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Telling(FakeModel):
        def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            raise RuntimeError(f"cannot embed {texts}")

    # Records of what came before in this process are on their way for a moment.
    assert flush(30)
    caplog.clear()
    with (
        EmbeddedDB(tmp_path / "db", ml=Telling(), quota={"max_nodes": 0}) as db,
        Server(db, port=0) as server,
    ):
        ask = Asking(*server.address)
        asked = {"semantic_query": {"text": "planted-text-5ae1"}}
        assert ask("POST", "/v1/query", asked).status >= 500
        node = {"id": "planted-text-5ae1", "labels": ["X"]}
        assert ask("POST", "/v1/nodes", node).status == 507
        assert flush(30)
    failed = [record for record in caplog.records if record.message == "request failed"]
    errors = [record.__dict__["fields"]["error"] for record in failed]
    assert errors == ["EnrichmentFailed", "QuotaExceeded"]
    assert "planted" not in "".join(str(record.__dict__) for record in caplog.records)


def test_two_callers_are_none(collector: Collector) -> None:
    tracing = Tracing(endpoint=collector.endpoint)
    with (
        EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling=NONE) as db,
        Server(db, port=0) as server,
    ):
        host = f"127.0.0.1:{server.address[1]}"
        head = f"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        told = f"traceparent: {CALLER}\r\n"
        Asking(*server.address).raw(f"{head}{told}{told}\r\n".encode())
        Asking(*server.address).raw(f"{head}{told}\r\n".encode())
    assert len(collector.spans) == 1


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_a_command_writes_json_and_sends_traces(
    kind: str, tmp_path: Path, collector: Collector
) -> None:
    if kind == "binary" and not BINARY.exists():
        pytest.skip("cargo build --release -p embedded-db-server makes it")
    command = [*COMMANDS[kind], str(tmp_path / "served.db"), "--port", "0"]
    command += ["--log-level", "info", "--traces", collector.endpoint]
    if kind == "python":
        (tmp_path / "config.toml").write_text('ml = "none"\n')
        (tmp_path / "policy.toml").write_text("[quota]\nmax_nodes = 1\n[sampling]\nnormal = 1\n")
        command += ["--config", str(tmp_path / "config.toml")]
        command += ["--policy", str(tmp_path / "policy.toml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told, url = [], None
    while url is None:
        line = process.stderr.readline()
        assert line, told
        told.append(line)
        url = SERVING.search(line)
    host, _, port = url[1].removeprefix("http://").partition(":")
    ask = Asking(host, int(port))
    statuses = [
        ask("POST", "/v1/nodes", {"id": id, "labels": ["X"]}, {"traceparent": CALLER}).status
        for id in ("planted-text-5ae1", "b")
    ]
    process.send_signal(signal.SIGTERM)
    told += process.stderr.readlines()
    process.stderr.close()
    assert process.wait(60) == 0, told
    assert statuses == ([201, 507] if kind == "python" else [201, 201])
    lines = [json.loads(line) for line in told if line.startswith("{")]
    assert [line["message"] for line in lines[:2]] == ["opened", "listening"]
    assert [line["message"] for line in lines[-2:]] == ["ended", "closed"]
    if kind == "python":
        [refused] = [line for line in lines if line["level"] == "error"]
        assert (refused["message"], refused["fields"]["status"]) == ("request failed", 507)
        assert refused["trace_id"] == CALLER[3:35]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
        assert {"level", "target", "message", "fields"} <= set(line)
    assert "planted" not in json.dumps(lines)
    assert "create_node" in {span.name for span in collector.spans}
    assert {span.trace for span in collector.spans if span.name == "create_node"} == {CALLER[3:35]}


def test_an_unknown_option_of_a_policy_ends_the_command(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[quota]\nmax_nods = 1\n")
    command = [*COMMANDS["python"], str(tmp_path / "db"), "--policy", str(policy)]
    begun = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode > 2
    assert "max_nodes" in run.stderr
    assert not (tmp_path / "db").exists()
    assert time.monotonic() - begun < 60
    assert sys.executable in command
