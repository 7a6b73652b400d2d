"""The server of the Model Context Protocol in a process of its own, and the official client."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from embedded_db import EmbeddedDB

READ = "read-0123456789abcdef01234567"
WRITE = "write-0123456789abcdef01234567"
ANNS = "anns-0123456789abcdef01234567"
TOKENS = f"read {READ}\nwrite {WRITE}\nwrite {ANNS} ann\n"
SERVING = re.compile(r"serving .* on (http://\S+)")
MODES = ["auto", "legacy"]


@dataclass
class Place:
    """A database, and how to serve it."""

    path: Path
    config: Path

    def command(self, *options: str) -> list[str]:
        command = [sys.executable, "-m", "embedded_db.cli", "mcp", str(self.path)]
        return [*command, "--config", str(self.config), *options]

    def opened(self) -> EmbeddedDB:
        return EmbeddedDB(self.path, ml=None, read_only=True)

    def stdio(self, *options: str, mode: Any = "auto") -> Client:
        command, *arguments = self.command(*options)
        parameters = StdioServerParameters(command=command, args=arguments)
        return Client(stdio_client(parameters), mode=mode)

    @contextmanager
    def http(self, *options: str) -> Iterator["Served"]:
        command = self.command("--http", "--port", "0", *options)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                line = process.stderr.readline()
                found = SERVING.search(line)
                assert found is not None, line + process.stderr.read()
                yield Served(process, found[1])
            finally:
                process.kill()


@dataclass
class Served:
    """A server over HTTP."""

    process: subprocess.Popen[str]
    url: str

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").removesuffix("/mcp").rsplit(":", 1)
        return host, int(port)

    def client(self, token: str | None = None, mode: Any = "auto") -> Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}

        @asynccontextmanager
        async def transport() -> AsyncIterator[Any]:
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30) as http,
                streamable_http_client(self.url, http_client=http) as streams,
            ):
                yield streams

        return Client(transport(), mode=mode)

    def post(self, body: Any, **headers: str | bytes) -> httpx2.Response:
        """Send one request as it is."""
        content = body if isinstance(body, bytes) else httpx2.Request("POST", "/", json=body).read()
        known = {"Content-Type": "application/json", "Accept": "application/json"}
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        with httpx2.Client() as client:
            sent = {**{name.lower(): value for name, value in known.items()}, **given}
            return client.post(self.url, content=content, headers=sent)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    config = tmp_path / "config.toml"
    config.write_text('ml = "none"\n')
    return Place(tmp_path / "memory.db", config)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(TOKENS)
    return file


def talk(client: Client, conversation: Callable[[Client], Awaitable[Any]]) -> Any:
    """Have a conversation with a server, and give what came of it."""

    async def whole() -> Any:
        async with client:
            return await conversation(client)

    return asyncio.run(whole())


def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call one tool, and give what it answered."""

    async def once(client: Client) -> Any:
        return (await client.call_tool(tool, arguments)).structured_content

    return talk(client, once)
