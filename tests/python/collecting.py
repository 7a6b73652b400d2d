"""A collector of OpenTelemetry for tests: it keeps what it is sent."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class Span:
    """A span in plain words."""

    name: str
    trace: str
    id: str
    parent: str | None
    kind: int
    failed: bool
    attributes: dict[str, Any]

    @property
    def error(self) -> str | None:
        return self.attributes.get("error.type")


@dataclass
class Collector:
    """Answers on a port of its own until the end of the block."""

    status: int = 200
    hang: bool = False
    bodies: list[bytes] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.heads.append(dict(self.headers))
                outer.bodies.append(body)
                if outer.hang:
                    outer._ended.wait(60)
                    return
                self.send_response(outer.status if self.path == "/v1/traces" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[Span]:
        found = []
        for body in list(self.bodies):
            for of in json.loads(body)["resourceSpans"]:
                for scope in of["scopeSpans"]:
                    found += [_span(span) for span in scope["spans"]]
        return found

    def traces(self) -> dict[str, list[Span]]:
        """The spans of each trace by the name of its outermost, which has to be of one trace."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            found.setdefault(span.trace, []).append(span)
        return {spans[0].name: spans for spans in found.values()}

    def wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not until():
            assert time.monotonic() < end, [span.name for span in self.spans]
            time.sleep(0.05)


def _span(span: dict[str, Any]) -> Span:
    attributes = {
        attribute["key"]: next(iter(attribute["value"].values()))
        for attribute in span["attributes"]
    }
    return Span(
        name=span["name"],
        trace=span["traceId"],
        id=span["spanId"],
        parent=span.get("parentSpanId"),
        kind=span["kind"],
        failed=span["status"].get("code") == 2,
        attributes=attributes,
    )
