"""Promise: over HTTP nobody comes in who may not, and nobody holds up or hears the others."""

import asyncio
import json
import socket
import subprocess
import threading
import time
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError

from .conftest import ANNS, MODES, READ, WRITE, Place, Served, call, talk
from .test_bad_input import initialize

WRITES = {"remember": {"text": "a"}, "forget": {"source": "nowhere"}}


def raw(served: Served, sent: bytes, timeout: float = 30.0) -> bytes:
    """What comes back until the connection ends."""
    with socket.create_connection(served.address, timeout=timeout) as connection:
        connection.sendall(sent)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_other_names_and_pages_are_refused(place: Place):
    """A page whose name was made to lead here (DNS rebinding) calls by its own name."""
    with place.http("--allow-host", "memory.test", "--allow-origin", "https://app.test") as served:
        port = served.address[1]
        for host in ("evil.com", f"evil.com:{port}", "127.0.0.1.evil.com", "localhost.evil.com"):
            for more in ({}, {"origin": f"http://{host}"}):
                assert served.post(initialize(), host=host, **more).status_code == 421, host
        for origin in ("http://evil.com", "null", "https://app.test.evil.com", "http://127.0.0.1"):
            assert served.post(initialize(), origin=origin).status_code == 403, origin
        for good in (
            {"host": "LOCALHOST"},
            {"host": f"127.0.0.1:{port}", "origin": f"http://127.0.0.1:{port}"},
            {"host": "memory.test:80"},
            {"origin": "https://app.test"},
        ):
            answer = served.post(initialize(), **good)
            assert answer.status_code == 200, good
            assert "access-control-allow-origin" not in answer.headers
        for head in (b"", b"Host: localhost\r\nHost: evil.com\r\n"):
            body = json.dumps(initialize()).encode()
            kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            answer = raw(served, b"POST /mcp HTTP/1.1\r\n" + head + kind + body)
            assert answer.split()[1] in {b"400", b"421"}, answer


def test_what_a_form_can_send_is_refused(place: Place):
    with place.http() as served:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
            assert served.post(initialize(), content_type=kind).status_code == 415, kind
        assert served.post(initialize(), content_encoding="gzip").status_code == 415


def test_requests_that_are_too_large(place: Place):
    with place.http("--max-body", "100000") as served:
        large = json.dumps({**initialize(), "padding": "x" * 200_000}).encode()
        assert served.post(large).status_code == 413
        head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert b" 413 " in raw(served, head + b"Content-Length: 10000000000\r\n\r\n")
        chunks = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        endless = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 2
        assert raw_or_reset(served, endless)[:12] in {b"HTTP/1.1 413", b""}
        long = b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert raw_or_reset(served, long)[:12] in {b"HTTP/1.1 400", b""}
        assert served.post(initialize()).status_code == 200


def raw_or_reset(served: Served, sent: bytes) -> bytes:
    """Who is still sending may be told by the end of the connection alone."""
    try:
        return raw(served, sent)
    except ConnectionError:
        return b""


def test_who_sends_nothing_is_let_go(place: Place):
    with place.http() as served:
        started = time.monotonic()
        assert raw(served, b"POST /mcp HTTP/1.1\r\nHost: ", timeout=60) == b""
        assert 5 < time.monotonic() - started < 40
        assert served.post(initialize()).status_code == 200


def test_no_open_door_without_a_token(place: Place, tokens):
    command = place.command("--http", "--host", "0.0.0.0", "--port", "0")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 13
    assert "token" in done.stderr
    tokens.write_text("# none yet\n")
    done = subprocess.run(
        place.command("--http", "--tokens", str(tokens)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "no token" in done.stderr) == (13, True)


@pytest.mark.parametrize("mode", MODES)
def test_a_token_may_what_its_scope_says(place: Place, tokens, mode: Any):
    with place.http("--tokens", str(tokens)) as served:

        async def reader(client: Client) -> None:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert names == {"recall", "query", "status"}
            for tool, arguments in WRITES.items():
                result = await client.call_tool(tool, arguments)
                assert result.structured_content["error"]["code"] == "ReadOnly"
            assert not (await client.call_tool("recall", {"text": "a"})).is_error

        async def writer(client: Client) -> None:
            for tool, arguments in WRITES.items():
                assert not (await client.call_tool(tool, arguments)).is_error

        talk(served.client(READ, mode), reader)
        talk(served.client(WRITE, mode), writer)
        found = call(served.client(READ, mode), "query", labels=["Fact"])
        [fact] = found["results"]
        assert fact["recorded_by"].startswith("mcp:")
        assert WRITE not in json.dumps(found)


def test_wrong_tokens(place: Place, tokens):
    with place.http("--tokens", str(tokens)) as served:
        first = served.post(initialize())
        assert (first.status_code, first.headers["www-authenticate"]) == (401, "Bearer")
        wrong = ["", "Bearer", f"Basic {READ}", f"Bearer {READ[:-1]}", f"Bearer  {READ}"]
        wrong += [f"Bearer {ANNS}", "Bearer " + "x" * 20_000, "Bearer é".encode()]
        statuses = [served.post(initialize(), authorization=token).status_code for token in wrong]
        assert statuses == [401] * len(wrong)
        with httpx2.Client() as client:
            asked = client.post(f"{served.url}?token={READ}", json=initialize())
        assert asked.status_code == 401
        later = [served.post(initialize(), authorization="Bearer x").status_code for _ in range(5)]
        assert later[-1] == 429
        assert served.post(initialize(), authorization=f"Bearer {READ}").status_code == 200
        assert served.process.poll() is None
    with place.http("--tokens", str(tokens), "--namespace", "ann") as served:
        assert not call(served.client(ANNS), "remember", text="a").get("error")


@pytest.mark.parametrize("options", [(), ("--http",)])
def test_a_server_that_only_reads(place: Place, options: tuple[str, ...]):
    call(place.stdio(), "remember", text="Ann lives in Oslo")

    async def conversation(client: Client) -> None:
        assert "remember" not in {tool.name for tool in (await client.list_tools()).tools}
        for tool, arguments in WRITES.items():
            result = await client.call_tool(tool, arguments)
            assert result.structured_content["error"]["code"] == "ReadOnly"
        found = (await client.call_tool("recall", {"text": "Oslo"})).structured_content
        assert len(found["results"]) == 1

    if options:
        with place.http("--read-only") as served:
            talk(served.client(), conversation)
    else:
        talk(place.stdio("--read-only"), conversation)


def test_two_clients_at_once(place: Place):
    """Each gets the answers to its own requests, and nothing that was acknowledged is missing."""
    each = 25

    async def conversation(served: Served, name: str) -> None:
        async with served.client(mode="legacy" if name == "ann" else "auto") as client:

            async def one(number: int) -> None:
                text = f"{name} says {number}"
                stored = await client.call_tool("remember", {"text": text, "sender": name})
                id = stored.structured_content["id"]
                read = await client.read_resource(f"embedded-db://nodes/{id}")
                assert text in read.contents[0].text

            await asyncio.gather(*(one(number) for number in range(each)))

    with place.http() as served:
        threads = [
            threading.Thread(target=asyncio.run, args=(conversation(served, name),))
            for name in ("ann", "bob")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with place.opened() as db:
        for name in ("ann", "bob"):
            said = {fact.content for fact in db.nodes("Fact") if fact["sender"] == name}
            assert said == {f"{name} says {number}" for number in range(each)}


def test_a_client_that_may_not_come_in_is_told(place: Place, tokens):
    async def conversation(client: Client) -> None:
        await client.list_tools()

    with place.http("--tokens", str(tokens)) as served:
        with pytest.raises((MCPError, ExceptionGroup, httpx2.HTTPStatusError)):
            talk(served.client("x" * 30), conversation)
        assert served.post(initialize(), authorization=f"Bearer {WRITE}").status_code == 200


def test_other_machines_call_it_by_its_address(place: Place, tokens):
    """Listening on all addresses it answers to the one that a request has arrived at."""
    options = ("--host", "0.0.0.0", "--tokens", str(tokens))
    with place.http(*options) as served:
        served.url = served.url.replace("0.0.0.0", "127.0.0.1")
        known = {"authorization": f"Bearer {READ}"}
        assert served.post(initialize(), **known).status_code == 200
        for host in ("evil.com", "0.0.0.0", "10.1.2.3"):
            assert served.post(initialize(), host=host, **known).status_code == 421, host


def test_slow_bodies_and_many_of_them(place: Place):
    """Who sends a part of a body and then nothing holds up nobody else."""
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with place.http() as served:
        slow = [socket.create_connection(served.address) for _ in range(10)]
        try:
            for connection in slow:
                connection.sendall(head + b"Content-Length: 1000\r\n\r\n{")
            assert served.post(initialize()).status_code == 200
        finally:
            for connection in slow:
                connection.close()
        assert served.post(initialize()).status_code == 200
