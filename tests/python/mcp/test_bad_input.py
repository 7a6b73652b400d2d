"""Promise: whatever comes in, the answer says what was wrong, and the next one is served.

Row 22 of the server's table in docs/reliability.md.
"""

import json
import subprocess
import sys
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError

from .conftest import MODES, Place, talk

LATEST = "2026-07-28"
HANDSHAKE = "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": LATEST,
    "io.modelcontextprotocol/clientCapabilities": {},
}
BAD = {
    "remember": [
        {},
        {"text": ""},
        {"text": 1},
        {"text": None},
        {"text": ["a"]},
        {"text": "a", "created_at": "2020-01-01T00:00:00Z"},
        {"text": "a", "recorded_by": "somebody else"},
        {"text": "a", "ttl": -1},
        {"text": "a", "ttl": True},
        {"text": "a", "about": "not a list"},
        {"text": "a", "about": ["nobody"]},
        {"text": "a", "supersedes": ["nothing"]},
        {"text": "a", "chat": "c", "about": ["c"]},
        {"text": "a", "role": "user"},
        {"text": "a", "id": ""},
        {"text": "a", "id": "i" * 2000},
        {"text": "a\0b", "id": "a\0b"},
    ],
    "recall": [
        {},
        {"text": "   "},
        {"text": "a", "limit": 0},
        {"text": "a", "limit": 10**9},
        {"text": "a", "limit": 1.5},
        {"text": "a", "limit": "3"},
        {"text": "a", "chat": "nothing"},
        {"text": "a", "labels": "Message"},
        {"text": "a", "by": "magic"},
        {"text": "a", "how": "magic"},
        {"text": "   ", "how": "question"},
        {"text": "a", "how": "question", "chat": "nothing"},
        {"text": "a", "how": "question", "by": "words and meaning"},
        {"text": "a", "by": "words and meaning"},
    ],
    "query": [
        {},
        {"text_query": "rust"},
        {"text_query": {"text": "rust", "wrong": 1}},
        {"text_query": {"query": '"'}},
        {"semantic_query": {"text": "rust"}},
        {"semantic_query": {"vector": [1.0, None]}},
        {"structural_filters": [{"property": "a", "operator": "Like", "value": 1}]},
        {"structural_filters": [{"property": "a", "operator": "Equals", "value": {"$time": "?"}}]},
        {"graph_filter": {"start": "nobody"}},
        {"graph_filter": {"start": "nobody", "max_hops": 10**6}},
        {"labels": ["Message"], "limit": 101},
        {"labels": ["Message"], "order_by": [["a", "sideways"]]},
        {"labels": ["Message"], "order_by": ["timestamp"]},
        {"labels": ["Message"], "timeout": 10**9},
        {"labels": ["Message"], "rank": {"text": "much"}},
    ],
    "forget": [
        {},
        {"id": "nobody"},
        {"id": "a", "source": "b"},
        {"id": ["a"]},
        {"namespace": "default"},
    ],
    "status": [{"verbose": True}],
}


@pytest.mark.parametrize("mode", MODES)
def test_22_bad_arguments_of_every_tool(place: Place, mode: Any):
    async def conversation(client: Client) -> None:
        assert set(BAD) == {tool.name for tool in (await client.list_tools()).tools}
        for tool, several in BAD.items():
            for arguments in several:
                result = await client.call_tool(tool, arguments)
                assert result.is_error, (tool, arguments, result)
                error = result.structured_content["error"]
                assert error["code"] != "InternalError", (tool, arguments, error)
                assert error["message"], (tool, arguments)
                assert str(place.path) not in error["message"]
                assert "Traceback" not in result.content[0].text
        status = await client.call_tool("status", {})
        assert status.structured_content["stored"]["nodes"] == 0

    talk(place.stdio(mode=mode), conversation)


@pytest.mark.parametrize("mode", MODES)
def test_22_what_is_not_there(place: Place, mode: Any):
    async def conversation(client: Client) -> None:
        for tool in ("drop", "", "Remember", "x" * 10_000):
            with pytest.raises(MCPError, match="no tool") as raised:
                await client.call_tool(tool, {})
            assert raised.value.code == -32602
        for uri in ("embedded-db://chats/none", "embedded-db://nodes/%ff", "file:///etc/passwd"):
            with pytest.raises(MCPError):
                await client.read_resource(uri)
        with pytest.raises(MCPError, match="cursor"):
            await client.list_resources(cursor="nothing")
        assert (await client.list_resources()).resources == []

    talk(place.stdio(mode=mode), conversation)


def initialize(version: str = HANDSHAKE) -> dict[str, Any]:
    params = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def listing(version: str) -> dict[str, Any]:
    meta = {**META, "io.modelcontextprotocol/protocolVersion": version}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}


def answers(place: Place, sent: list[bytes], *options: str) -> tuple[list[Any], str]:
    """Write lines to a server, close its input, and read all that it writes."""
    process = subprocess.run(
        place.command(*options),
        input=b"\n".join(sent),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()], process.stderr.decode()


def test_22_lines_that_are_no_requests(place: Place):
    lines = [
        json.dumps(initialize()).encode(),
        b"",
        b"not json",
        b'{"jsonrpc": "2.0"',
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"jsonrpc": "1.0", "id": 5, "method": "ping"}',
        b'{"a": ' * 5_000 + b"1" + b"}" * 5_000,
        b'{"jsonrpc": "2.0", "id": 6, "method": "tools/list", "params": {"x": "' + b"y" * (5 << 20),
        b'{"jsonrpc": "2.0", "id": 77, "error": {"code": 1, "message": "an answer to nothing"}}',
        b'{"jsonrpc": "2.0", "id": 78, "result": {}}',
        b'{"jsonrpc": "2.0", "id": 7, "method": "no/such/thing"}',
        b'{"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {"name": 3}}',
        b'{"jsonrpc": "2.0", "id": 9, "method": "tools/call",'
        b' "params": {"name": "status", "arguments": 1}}',
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}',
        b'{"jsonrpc": "2.0", "id": 10, "method": "tools/call", "params": {"name": "status"}}',
    ]
    came, _ = answers(place, lines)
    assert sum(answer.get("id") is None for answer in came) == 8
    by_id = {answer["id"]: answer for answer in came if answer.get("id") is not None}
    assert set(by_id) == {0, 7, 8, 9, 10}
    assert by_id[0]["result"]["protocolVersion"] == HANDSHAKE
    assert by_id[7]["error"]["code"] == -32601
    assert {by_id[8]["error"]["code"], by_id[9]["error"]["code"]} == {-32602}
    assert not by_id[10]["result"]["isError"]


def test_22_other_versions_of_the_protocol(place: Place):
    came, _ = answers(place, [json.dumps(initialize("1999-01-01")).encode()])
    assert came[0]["result"]["protocolVersion"] == HANDSHAKE, "it offers what it speaks"
    came, _ = answers(place, [json.dumps(listing("2099-01-01")).encode()])
    assert LATEST in json.dumps(came[0]["error"])
    with place.http() as served:
        for version in ("2099-01-01", "nonsense"):
            named = {"mcp_protocol_version": version, "mcp_method": "tools/list"}
            answer = served.post(listing(version), **named)
            assert answer.status_code == 400, answer.text
            assert LATEST in json.dumps(answer.json()["error"])
        assert served.post(initialize()).json()["result"]["protocolVersion"] == HANDSHAKE


def test_22_http_that_is_no_request(place: Place):
    with place.http() as served:
        for body in (b"", b"{", b"[]", b"3", b'"\\ud800"', b'{"a":' * 5_000 + b"1" + b"}" * 5_000):
            for version in (HANDSHAKE, LATEST):
                answer = served.post(body, mcp_protocol_version=version, mcp_method="tools/list")
                assert answer.status_code == 400, (body[:20], answer.text)
                assert "error" in answer.json()
        wrong = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META}}
        named = {"mcp_protocol_version": LATEST, "mcp_method": "tools/call", "mcp_name": "x"}
        assert served.post(wrong, **named).status_code == 400
        with httpx2.Client() as client:
            for method in ("GET", "PUT", "DELETE", "OPTIONS"):
                answer = client.request(method, served.url)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
            assert client.post(served.url + "/x", json=initialize()).status_code == 404
        assert served.post(initialize()).status_code == 200


def test_22_nothing_else_is_on_standard_output(place: Place, tmp_path):
    """Not even what a model prints, from Python or below it."""
    module = tmp_path / "loud.py"
    module.write_text(
        "import os\n"
        "def embed(texts):\n"
        "    print('loud')\n"
        "    os.write(1, b'louder')\n"
        "    return [[1.0, 0.0]] * len(texts)\n"
        "print('imported')\n"
    )
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from embedded_db import EmbeddedDB, MLConfig\n"
        "from embedded_db.mcp import serve_stdio, standard_streams\n"
        "import loud\n"
        "ml = MLConfig(embedding=loud.embed, entities=None, summary=None)\n"
        "with standard_streams() as streams, EmbeddedDB(sys.argv[1], ml=ml) as db:\n"
        "    serve_stdio(db, streams)\n"
        "print('after')\n"
    )
    text = {"name": "remember", "arguments": {"text": "hello"}}
    ask = {"name": "recall", "arguments": {"text": "hello"}}
    sent = [initialize()]
    for number, params in enumerate((text, ask), start=1):
        sent.append({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
    process = subprocess.run(
        [sys.executable, "-c", program, str(place.path), str(tmp_path)],
        input="\n".join(map(json.dumps, sent)),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    first, *lines, last = process.stdout.splitlines()
    assert (first, last) == ("imported", "after")
    assert {json.loads(line)["id"] for line in lines} == {0, 1, 2}
    assert "loud" in process.stderr
    assert "louder" in process.stderr


@pytest.mark.parametrize("options", [(), ("--http",)])
def test_no_text_is_in_the_log(place: Place, options: tuple[str, ...]):
    """Neither what is stored nor what is wrong: it belongs to who sent it."""
    secret = "planted-secret-text"
    bad = [
        {"name": "remember", "arguments": {"text": secret}},
        {"name": "remember", "arguments": {"wrong": secret}},
        {"name": secret, "arguments": {}},
        {"name": "recall", "arguments": secret},
        {"name": "query", "arguments": {"text_query": {"text": secret, "k1": secret}}},
    ]
    bodies = [initialize()]
    for number, params in enumerate(bad, start=1):
        body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        bodies += [body, {**body, "jsonrpc": secret}]
    if not options:
        _, said = answers(place, [json.dumps(body).encode() for body in bodies])
        assert secret not in said
        return
    with place.http() as served:
        for body in bodies:
            for version in (HANDSHAKE, LATEST):
                served.post(body, mcp_protocol_version=version, mcp_method="tools/call")
        served.post(initialize(), host=secret)
        served.post(initialize(), origin=f"http://{secret}")
        served.process.terminate()
        assert served.process.wait(30) == 0
        assert served.process.stderr is not None
        assert secret not in served.process.stderr.read()
