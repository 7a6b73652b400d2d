"""Requests and answers as lines of standard input and output; nothing else is ever there."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from .signals import ending
from .streams import Streams

__all__ = ["MAX_LINE", "run"]

MAX_LINE: Final = 4 << 20
"""Bytes of a request."""
DRAIN: Final = 10.0
"""Seconds that requests under way have after the input has ended."""
WAITING: Final = 256
"""Requests that are taken before others are answered; more stay in the pipe."""
CHUNK: Final = 1 << 16
CANCELLED: Final = "notifications/cancelled"


class Open:
    """The requests that are not answered yet."""

    def __init__(self) -> None:
        self._ids: set[str | int] = set()
        self._fewer = asyncio.Event()

    def came(self, message: JSONRPCMessage) -> None:
        """Note a request; one that is cancelled is not answered."""
        if isinstance(message, JSONRPCRequest):
            self._ids.add(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == CANCELLED:
            self.left((message.params or {}).get("requestId"))

    def left(self, id: object) -> None:
        """Note that nobody waits for a request any more."""
        if isinstance(id, str | int):
            self._ids.discard(id)
            self._fewer.set()

    async def at_most(self, count: int) -> None:
        """Wait until there are so few."""
        while len(self._ids) > count:
            self._fewer.clear()
            await self._fewer.wait()


async def run(server: Server[Any], streams: Streams) -> None:
    """Serve until the input ends, or a signal comes; what is under way is answered first."""
    under_way, taking = Open(), anyio.CancelScope()
    to_server, requests = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    answers, from_server = anyio.create_memory_object_stream[SessionMessage](0)

    async def receive() -> None:
        async with to_server:
            with taking:
                await _take(_lines(streams.reading), to_server, answers.clone(), under_way)
            with anyio.move_on_after(DRAIN):
                await under_way.at_most(0)

    async def send() -> None:
        async with from_server:
            async for answer in from_server:
                text = answer.message.model_dump_json(by_alias=True, exclude_unset=True)
                line = text.encode() + b"\n"
                try:
                    await anyio.to_thread.run_sync(
                        _write, streams.writing, line, abandon_on_cancel=True
                    )
                except OSError:  # nobody reads any more
                    taking.cancel()
                if isinstance(answer.message, JSONRPCResponse | JSONRPCError):
                    under_way.left(answer.message.id)

    with ending(taking.cancel):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            tasks.start_soon(send)
            await server.run(requests, answers, server.create_initialization_options())
            tasks.cancel_scope.deadline = anyio.current_time() + DRAIN


async def _take(
    lines: AsyncGenerator[bytes | None],
    to_server: MemoryObjectSendStream[SessionMessage | Exception],
    answers: MemoryObjectSendStream[SessionMessage],
    under_way: Open,
) -> None:
    async with aclosing(lines), answers:
        async for line in lines:
            try:
                message = _parsed(line)
            except Malformed as wrong:
                await answers.send(SessionMessage(wrong.answer))
                continue
            await under_way.at_most(WAITING)
            under_way.came(message)
            try:
                await to_server.send(SessionMessage(message))
            except BaseException:
                under_way.left(getattr(message, "id", None))
                raise


class Malformed(Exception):
    """A line is no request."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        error = ErrorData(code=code, message=message)
        self.answer = JSONRPCError(jsonrpc="2.0", id=None, error=error)


def _parsed(line: bytes | None) -> JSONRPCMessage:
    if line is None:
        raise Malformed(INVALID_REQUEST, f"a request has more than {MAX_LINE} bytes")
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            raise Malformed(PARSE_ERROR, "a line is not JSON") from None
        raise Malformed(INVALID_REQUEST, "a line is no JSON-RPC request") from None


async def _lines(reading: int) -> AsyncGenerator[bytes | None]:
    """Read in a thread that nobody waits for: a read that blocks cannot be cancelled."""
    loop, wanted = asyncio.get_running_loop(), threading.Semaphore(1)
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    end = b""

    def read() -> None:
        # Where the loop is gone, nobody wants more lines.
        with suppress(RuntimeError):
            with suppress(OSError):
                for line in _split(reading):
                    if line is None or line.strip():
                        wanted.acquire()
                        loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, end)

    threading.Thread(target=read, name="embedded-db mcp input", daemon=True).start()
    while (line := await lines.get()) != end:
        wanted.release()
        yield line


def _split(reading: int) -> Iterator[bytes | None]:
    """Give lines; None for one that is too long."""
    kept, too_long = bytearray(), False
    while chunk := os.read(reading, CHUNK):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            kept += part
            yield None if too_long or len(kept) > MAX_LINE else bytes(kept)
            kept, too_long = bytearray(), False
        kept += rest
        if len(kept) > MAX_LINE:
            kept, too_long = bytearray(), True
    if kept or too_long:
        yield None if too_long else bytes(kept)


def _write(writing: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(writing, view) :]
