"""Traces in the form of OpenTelemetry: which are kept, where they go, and whose part they are."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from ._native import Caller, ask_caller
from .errors import InvalidInput, nearest, shown

__all__ = ["Sampling", "Tracing", "part_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Which traces are kept. It is decided when a trace ends, so that all of it is known.

    Attributes:
        normal: the part that is kept of traces that are neither of the following, 0 to 1.
        errors: of those that failed: a call that raised, a request answered 5xx, work of the
            weaver that failed.
        slow: of those that took longer than ``slow_threshold``.
        slow_threshold: seconds; None means what takes longer than 99 of 100 traces of the same
            name so far.

    A trace whose caller says that it is recorded is kept, and one whose caller says that it is not
    is dropped, whatever it is.

    Raises:
        InvalidInput: a part is no number from 0 to 1, or the threshold no number of seconds.

    Examples:
        >>> from embedded_db import Sampling
        >>> Sampling(normal=0.1).errors
        1.0
    """

    normal: float = 0.01
    errors: float = 1.0
    slow: float = 0.5
    slow_threshold: float | None = None

    def __post_init__(self) -> None:
        for name in ("normal", "errors", "slow"):
            part = getattr(self, name)
            if type(part) not in {int, float} or not 0 <= part <= 1:
                raise InvalidInput(
                    f"sampling.{name} is {shown(part)}", hint="It has to be a number from 0 to 1"
                )
        threshold = self.slow_threshold
        if threshold is not None and not _is_time(threshold):
            raise InvalidInput(
                f"sampling.slow_threshold is {shown(threshold)}",
                hint="It has to be a number of seconds, 0 or more, or None",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracing:
    """Where traces are sent: to a collector that takes OTLP as JSON over HTTP.

    They are sent in the background. A collector that is slow, refuses or goes away costs the spans
    that were for it, which ``edb_trace_spans_total`` counts, and no call waits or fails.

    Attributes:
        endpoint: the collector, such as ``"http://127.0.0.1:4318"``; ``/v1/traces`` is added. Only
            http: on another network, let a collector on this machine send on.
        service: what the program calls itself, ``service.name`` of OpenTelemetry.
        headers: headers of what is sent, such as a token of the collector.
        timeout: seconds that the collector may take to answer.
        queue: spans that may wait to be sent; what is kept beyond is lost, and counted.

    Raises:
        InvalidInput: an attribute is wrong.

    Examples:
        >>> from embedded_db import Config, Tracing
        >>> Config(tracing=Tracing(endpoint="http://127.0.0.1:4318")).tracing.service
        'embedded-db'
    """

    endpoint: str
    service: str = "embedded-db"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    timeout: float = 5.0
    queue: int = 4096

    def __post_init__(self) -> None:
        for name in ("endpoint", "service"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise InvalidInput(f"tracing.{name} is {shown(value)}", hint="Give a text")
        if not self.endpoint.startswith("http://"):
            raise InvalidInput(
                f"tracing.endpoint is {shown(self.endpoint)}",
                hint="Give the http address of a collector, such as 'http://127.0.0.1:4318'",
            )
        given: object = self.headers
        if not isinstance(given, Mapping) or not all(
            isinstance(text, str) for pair in given.items() for text in pair
        ):
            # What is in there may be a secret.
            raise InvalidInput("tracing.headers is no dict of texts", hint="Give a dict of texts")
        object.__setattr__(self, "headers", dict(given))
        if not _is_time(self.timeout) or self.timeout == 0:
            raise InvalidInput(
                f"tracing.timeout is {shown(self.timeout)}",
                hint="It has to be a number of seconds above 0",
            )
        if type(self.queue) is not int or not 512 <= self.queue <= 1 << 20:
            raise InvalidInput(
                f"tracing.queue is {shown(self.queue)}",
                hint=f"It has to be a whole number from 512 to {1 << 20}",
            )

    def _to_native(self, sampling: Sampling) -> dict[str, Any]:
        """Give the options, with those of sampling, in the form the native module takes."""
        out = {option.name: getattr(self, option.name) for option in fields(self)}
        return out | {option.name: getattr(sampling, option.name) for option in fields(sampling)}


def _is_time(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and value >= 0  # type: ignore[arg-type,operator]


def from_options(kind: type, what: str, options: Mapping[str, Any], before: object) -> Any:
    """Make a `Sampling` or a `Tracing` of another one and of options that differ."""
    known = [option.name for option in fields(kind)]
    for name in options:
        if name not in known:
            raise InvalidInput(
                f"there is no {what} option {shown(name)}", hint=nearest(str(name), known)
            )
    if isinstance(before, kind):
        options = {name: getattr(before, name) for name in known} | dict(options)
    try:
        return kind(**options)
    except TypeError:
        raise InvalidInput(f"{what} has no endpoint", hint="Name the collector") from None


_caller: Final[ContextVar[Caller | None]] = ContextVar("embedded_db_caller", default=None)


@contextmanager
def part_of(traceparent: str) -> Iterator[None]:
    """Make what this task asks of databases a part of a trace of somebody else's.

    Where the package ``opentelemetry-api`` is installed, calls within a span of it are parts of
    that span by themselves.

    Args:
        traceparent: the header of W3C Trace Context that a request came with. One that is not
            valid counts as none, as the recommendation says.

    Examples:
        >>> from embedded_db.tracing import part_of
        >>> with part_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
        ...     db.count("Message") >= 0
        True
    """
    before = _caller.set(Caller.parse(traceparent))
    try:
        yield
    finally:
        _caller.reset(before)


def begin() -> None:
    """Have native calls ask for their callers: some database makes traces."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        ask_caller(_caller.get)
        return
    get_current_span = import_module("opentelemetry.trace").get_current_span

    def ask() -> Caller | None:
        if (own := _caller.get()) is not None:
            return own
        span = get_current_span().get_span_context()
        if not span.is_valid:
            return None
        flags = span.trace_flags & 1
        return Caller.parse(f"00-{span.trace_id:032x}-{span.span_id:016x}-{flags:02x}")

    ask_caller(ask)
