"""Requests to a server, and its errors as ours."""

from __future__ import annotations

import http.client
import json
import selectors
import ssl
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

from .. import errors
from ..errors import DbError, InternalError, InvalidInput, NotFound, Timeout, shown

__all__ = ["Connection", "PermissionRefused", "ServerUnavailable"]


class PermissionRefused(DbError):
    """The token is missing, wrong, or may not do this; ``status`` is 401, 403 or 421."""

    status: int | None = None


class ServerUnavailable(DbError):
    """The server cannot be reached, has broken off, or has too much to do."""

    retryable = True


def _was_closed(connection: http.client.HTTPConnection) -> bool:
    """Tell whether the server has closed a connection on which nothing is awaited."""
    if connection.sock is None:
        return False
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        return bool(selector.select(0))


class Connection:
    """What asks a server: a connection for each thread."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        namespace: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None or parts.query:
            raise InvalidInput(
                f"{shown(url)} is no URL of a server",
                hint='Give one such as "http://127.0.0.1:8080"',
            )
        self._url = url
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._token = token
        self._namespace = namespace
        self._timeout = timeout
        self._local = threading.local()
        self._all: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Client({self._url!r})"

    @property
    def namespace_name(self) -> str:
        """The namespace that it reads and writes."""
        return self._namespace or "default"

    def close(self) -> None:
        """Close its connections, also those of its namespaces; it may be used again."""
        with self._lock:
            connections = list(self._all)
            self._all.clear()
        for connection in connections:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connection(self) -> http.client.HTTPConnection:
        known: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if known is not None:
            return known
        made: http.client.HTTPConnection
        if self._secure:
            context = ssl.create_default_context()
            made = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=context
            )
        else:
            made = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        self._local.connection = made
        with self._lock:
            self._all.append(made)
        return made

    def _send(
        self, method: str, path: str, query: Mapping[str, Any], body: Any
    ) -> tuple[int, bytes]:
        given = {name: value for name, value in query.items() if value is not None}
        given = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in given.items()
        }
        target = self._base + path + (f"?{urlencode(given, doseq=True)}" if given else "")
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        data = None
        if method != "GET":
            headers["Content-Type"] = "application/json"
        if body is not None:
            try:
                data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidInput(
                    f"what was given cannot be sent: {error}",
                    hint="Use None, bool, int, float, str, bytes, datetime, lists and dicts",
                ) from error
        connection = self._connection()
        if _was_closed(connection):
            connection.close()  # the next request opens it again
        fresh = connection.sock is None
        while True:
            try:
                connection.request(method, target, body=data, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except TimeoutError as error:
                connection.close()
                raise Timeout(f"there was no answer within {self._timeout} s") from error
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                connection.close()
                # The server may have closed an idle connection before the request came. What
                # only reads can be asked again without harm.
                if fresh or method != "GET":
                    raise ServerUnavailable(
                        f"{self._url} has broken off; it may have done what was asked"
                    ) from error
                fresh = True
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise ServerUnavailable(f"{self._url} cannot be reached: {error}") from error

    def _call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        return self._whole(method, path, body, namespace=self._namespace, **query)

    def _whole(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask for what is about the whole database."""
        status, data = self._send(method, path, query, body)
        try:
            answer = json.loads(data) if data else None
        except ValueError as error:
            raise ServerUnavailable(f"{self._url} answered {status}, and no JSON") from error
        if status < 300:
            return answer
        raise to_error(status, answer)

    def _found(self, path: str, **query: Any) -> Any:
        """Read one thing; None when there is none."""
        try:
            return self._call("GET", path, **query)
        except NotFound as error:
            if getattr(error, "kind", None) == "namespace":
                raise
            return None

    def _pages(self, path: str, items: str, limit: int | None, **query: Any) -> Iterator[Any]:
        left = limit
        while left is None or left > 0:
            wanted = 1000 if left is None else min(1000, left)
            page = self._call("GET", path, limit=wanted, **query)
            yield from page[items]
            query["after"] = page["next"]
            if page["next"] is None:
                return
            left = None if left is None else left - len(page[items])


_KINDS: Final[dict[str, type[DbError]]] = {
    name: kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, DbError)
}
_BUSY: Final = (429, 502, 503)
_REFUSED: Final = (401, 403, 421)


def to_error(status: int, answer: object) -> DbError:
    """Build the error that the server tells of."""
    if not isinstance(answer, dict) or "code" not in answer:
        return InternalError(f"the server answered {status}: {shown(answer)}")
    message, hint = answer["message"], answer["hint"]
    if (kind := _KINDS.get(answer["code"])) is not None:
        return kind(message, hint=hint, **answer["details"])
    if status in _REFUSED:
        return PermissionRefused(message, hint=hint, status=status)
    if status in _BUSY:
        return ServerUnavailable(message, hint=hint)
    return InvalidInput(message, hint=hint)
