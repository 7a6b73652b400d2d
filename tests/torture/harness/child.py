"""A process that does to a database what it is told, and says of each thing what came of it.

It is told over a socket: `serve` runs in processes that `nursery` forks, and in those that begin
with `alone`.
"""

import queue
import socket
import textwrap
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from embedded_db import DbError, EmbeddedDB
from embedded_db.testing import FakeModel

from . import wire
from .content import content, piece
from .operations import Operation, wait_for_index

__all__ = ["Broke", "Done", "Refused", "serve"]


@dataclass(frozen=True)
class Done:
    """It was done: the acknowledgement."""

    value: Any = None


@dataclass(frozen=True)
class Refused:
    """The library refused, by an error of its own."""

    code: str
    message: str
    path: str | None = None


@dataclass(frozen=True)
class Broke:
    """Anything else was raised."""

    text: str


@dataclass
class State:
    """What a child has."""

    db: EmbeddedDB | None = None
    names: dict[str, Any] = field(default_factory=lambda: {"wait_for_index": wait_for_index})

    def open(self, path: str, options: dict[str, Any]) -> None:
        """Open a database; `ml="fake"` stands for a model."""
        given = {"ml": None, **options}
        model = FakeModel() if given["ml"] == "fake" else given["ml"]
        self.db = EmbeddedDB(path, **{**given, "ml": model})

    def close(self) -> None:
        """Close it."""
        assert self.db is not None
        self.db.close()
        self.db = None

    def do(self, operation: Operation) -> None:
        """Do one thing to the open database."""
        assert self.db is not None
        operation.perform(self.db)

    def look(self, words: Any) -> Any:
        """Read everything."""
        assert self.db is not None
        return content(self.db, words)

    def pieces(self, keys: list[tuple[Any, ...]]) -> dict[tuple[Any, ...], Any]:
        """Read some of it, each piece for itself: what was read, or how it was refused."""
        assert self.db is not None
        return {key: _piece(self.db, key) for key in keys}

    def run(self, code: str, given: dict[str, Any]) -> Any:
        """Run a program, which finds `db` and what it left behind before; its `result`."""
        self.names.update(given, db=self.db)
        exec(textwrap.dedent(code), self.names)  # it is ours: a test wrote it
        return self.names.pop("result", None)


def _piece(db: EmbeddedDB, key: tuple[Any, ...]) -> Any:
    try:
        return piece(db, key)
    except DbError as error:
        return Refused(error.code, str(error), getattr(error, "path", None))
    except Exception:
        return Broke(traceback.format_exc())


def _answer(state: State, what: str, given: tuple[Any, ...]) -> Done | Refused | Broke:
    try:
        return Done(getattr(state, what)(*given))
    except DbError as error:
        return Refused(error.code, str(error), getattr(error, "path", None))
    except Exception:
        return Broke(traceback.format_exc())


def serve(sock: socket.socket) -> None:
    """Do what is told until the other side ends. Every lane but 0 has a thread of its own."""
    state, saying = State(), threading.Lock()
    lanes: dict[int, queue.SimpleQueue[Any]] = {}

    def handle(lane: int, what: str, given: tuple[Any, ...]) -> None:
        answer = _answer(state, what, given)
        # Nobody may be there any more to hear it.
        with saying, suppress(BrokenPipeError):
            wire.send(sock, (lane, answer))

    def work(lane: int) -> None:
        while (told := lanes[lane].get()) is not None:
            handle(lane, *told)

    while True:
        try:
            lane, *told = wire.receive(sock)
        except EOFError:
            break
        if lane == 0:
            handle(lane, *told)
            continue
        if lane not in lanes:
            lanes[lane] = queue.SimpleQueue()
            threading.Thread(target=work, args=(lane,), daemon=True).start()
        lanes[lane].put(told)
    if state.db is not None:
        state.db.close()
