"""Requests over HTTP, one an exchange, and the door that they pass first."""

import hashlib
import ipaddress
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import INVALID_REQUEST

from .._native import Access
from ..errors import InvalidInput
from .connections import Timed
from .service import CALLER
from .serving import PATH
from .signals import ending
from .tools import Caller

__all__ = ["Door", "listening", "run"]

BODY_TIME: Final = 30.0
"""Seconds that a body may take to come."""
DRAIN: Final = 10
"""Seconds that requests under way have when the server ends."""
BODIES: Final = 64 << 20
"""Bytes of all bodies that are coming at once; more wait."""
CONNECTIONS: Final = 512
GUESSES: Final = 10
"""Wrong tokens of an address in a minute that are answered as such."""
ADDRESSES: Final = 10_000

logger: Final = logging.getLogger("embedded_db.mcp")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]


class Refusal(Exception):
    """Why a request is not let in."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class Door:
    """What a request has to pass before it is read as one of the protocol.

    Args:
        namespace: the namespace that is served.
        host: the address that is listened on.
        tokens: who may come in; everybody on this machine when there are none.
        allow_hosts: names by which the server may be called, beside its own.
        allow_origins: pages that may call it.
        max_body: bytes of a body.

    Raises:
        InvalidInput: the tokens are malformed, or there are none and others reach the address.
    """

    def __init__(
        self,
        namespace: str,
        host: str,
        tokens: str,
        allow_hosts: Sequence[str],
        allow_origins: Sequence[str],
        max_body: int,
    ) -> None:
        self._namespace = namespace
        self._access = Access(tokens)
        if not self._access and not _address(host).is_loopback:
            raise InvalidInput(
                f"others can reach the address {host}, and there is no token",
                hint="Give --tokens FILE, or listen on 127.0.0.1",
            )
        self._hosts = {name.lower() for name in allow_hosts}
        self._origins = {name.lower() for name in allow_origins}
        if not 1 <= max_body <= 1 << 28:
            raise InvalidInput(f"max_body is {max_body}", hint=f"Give a number from 1 to {1 << 28}")
        self.max_body = max_body
        self._bodies = anyio.CapacityLimiter(max(1, BODIES // max_body))
        self._guesses: dict[str, int] = {}
        self._since = 0.0

    def caller(self, scope: Scope) -> Caller:
        """Let a request in, or not.

        Raises:
            Refusal: it may not come in.
        """
        authority = self._check_host(_single(scope, b"host"), scope["server"][0])
        origin = _single(scope, b"origin")
        own = {f"http://{authority}", f"https://{authority}"}
        if origin is not None and origin.lower() not in own | self._origins:
            raise Refusal(403, "pages of this Origin may not call this server")
        caller = self._who(scope)
        if scope["path"] != PATH:
            raise Refusal(404, f"the protocol is spoken at {PATH}")
        if scope["method"] != "POST":
            raise Refusal(405, "only POST is spoken here", (b"allow", b"POST"))
        if _single(scope, b"content-encoding") is not None:
            raise Refusal(415, "the body is compressed; send it as it is")
        kind = (_single(scope, b"content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, "the Content-Type is not application/json")
        length = _single(scope, b"content-length")
        if length is not None and length.isdecimal() and int(length) > self.max_body:
            raise self._too_long()
        return caller

    def _too_long(self) -> Refusal:
        return Refusal(413, f"the body has more than {self.max_body} bytes")

    def _check_host(self, authority: str | None, arrived_at: str) -> str:
        """Refuse a page of the web whose name was made to lead here (DNS rebinding)."""
        own = ipaddress.ip_address(arrived_at)
        authority = (authority or "").lower()
        name = authority.partition("]")[0][1:] if authority[:1] == "[" else authority
        name = name if authority[:1] == "[" else name.rpartition(":")[0] or name
        try:
            address = ipaddress.ip_address(name)
            known = address == own or (address.is_loopback and own.is_loopback)
        except ValueError:
            known = name == "localhost" and own.is_loopback
        if not known and name not in self._hosts:
            raise Refusal(421, "the Host of the request is none of this server's")
        return authority

    def _who(self, scope: Scope) -> Caller:
        if not self._access:
            return Caller()
        given = _single(scope, b"authorization")
        kind, _, token = (given or "").partition(" ")
        if kind.lower() == "bearer":
            data = token.encode("latin-1")
            grant = self._access.find(data)
            if grant is not None and (grant[1] is None or self._namespace in grant[1]):
                return Caller(f"mcp:{hashlib.sha256(data).hexdigest()[:8]}", grant[0])
        if given is not None and self._guessed((scope.get("client") or ("",))[0]):
            raise Refusal(429, "too many wrong tokens", (b"retry-after", b"60"))
        message = "a token is needed" if given is None else "the token is not known"
        raise Refusal(401, message, (b"www-authenticate", b"Bearer"))

    def _guessed(self, address: str) -> bool:
        now = time.monotonic()
        if now - self._since >= 60 or len(self._guesses) >= ADDRESSES:
            self._guesses, self._since = {}, now
        self._guesses[address] = self._guesses.get(address, 0) + 1
        return self._guesses[address] > GUESSES

    async def body(self, receive: Callable[[], Any]) -> bytes:
        """Read a body, when there is room for it.

        Raises:
            Refusal: it is too long, or takes too long.
        """
        async with self._bodies:
            return await self._read(receive)

    async def _read(self, receive: Callable[[], Any]) -> bytes:
        read, more = bytearray(), True
        with anyio.move_on_after(BODY_TIME) as waiting:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the body ended early")
                read += message.get("body", b"")
                more = message.get("more_body", False)
                if len(read) > self.max_body:
                    raise self._too_long()
        if waiting.cancelled_caught:
            raise Refusal(408, "the body took too long")
        return bytes(read)


def _single(scope: Scope, name: bytes) -> str | None:
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Refusal(400, f"the header {name.decode()} is given twice")
    return values[0].decode("latin-1") if values else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        found = socket.getaddrinfo(host or "?", None, type=socket.SOCK_STREAM)
        return ipaddress.ip_address(found[0][4][0])
    except (OSError, ValueError, UnicodeError):
        raise InvalidInput(
            f"the host {host!r} cannot be found", hint="Give an address such as 127.0.0.1"
        ) from None


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address.

    Raises:
        InvalidInput: it cannot be listened on.
    """
    address = _address(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        listener = socket.create_server((str(address), port), family=family, backlog=1024)
    except (OSError, OverflowError, TypeError) as error:
        raise InvalidInput(
            f"{host}:{port} cannot be listened on: {error}", hint="Give another --port"
        ) from None
    with listener:
        yield listener


class _Quiet(uvicorn.Server):
    """Leaves signals to `ending`: uvicorn would raise them again before the database is closed."""

    def capture_signals(self) -> Any:
        return nullcontext()


async def run(
    server: Server[Any],
    door: Door,
    listener: socket.socket,
    ready: Callable[[str], object] | None,
) -> None:
    """Serve until a signal comes; requests under way are answered first."""
    manager = StreamableHTTPSessionManager(
        server,
        json_response=True,
        stateless=True,
        max_request_body_size=door.max_body,
        # The door has looked at Host and Origin, by the rules of `embedded_db.server`.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        try:
            caller = door.caller(scope)
            body = await door.body(receive)
        except Refusal as refusal:
            await _refuse(refusal, send)
            return
        scope[CALLER] = caller
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        await manager.asgi_app(scope, replay, send)

    config = uvicorn.Config(
        application,
        http=Timed,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=DRAIN,
    )
    serving = _Quiet(config)

    def stop() -> None:
        serving.should_exit = True

    async with manager.run():
        with ending(stop):
            if ready is not None:
                host, port = listener.getsockname()[:2]
                ready(f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}")
            await serving.serve([listener])


async def _refuse(refusal: Refusal, send: Any) -> None:
    error = {"code": INVALID_REQUEST, "message": refusal.message}
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what is left of the body is not read
        *refusal.headers,
    ]
    start = {"type": "http.response.start", "status": refusal.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
