"""Connections that say nothing are let go: uvicorn itself waits for a request for ever."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["Timed"]

HEAD_TIME: Final = 10.0
"""Seconds that the head of a request may take to come."""


class Timed(H11Protocol):
    """A connection that ends when the head of a request does not come in time."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting when there is a request."""
        before: RequestResponseCycle | None = self.cycle
        if self._head is None and before is not None and before.response_complete:
            self._wait()
        super().data_received(data)
        if self.cycle is not before:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._head = self.loop.call_later(HEAD_TIME, self.transport.close)

    def _stop(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
