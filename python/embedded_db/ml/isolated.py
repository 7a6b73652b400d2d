"""What runs in the process of `embedded_db.ml.isolation`: calls come in, answers go out."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from typing import Any, BinaryIO, NoReturn

from embedded_db.errors import DbError
from embedded_db.ml.providers import load_functions

__all__ = ["main"]


def main() -> NoReturn:
    """Answer calls until nobody can ask any more."""
    # Whoever interrupts the program speaks to the program.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming, outgoing = _pipes()
    functions = load_functions(pickle.load(incoming))
    lock = threading.Lock()

    def answer(number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            told: tuple[Any, ...] = (number, True, getattr(functions, method)(*arguments))
        # Also what would end a program: here it is the answer.
        except BaseException as error:
            told = (number, False, _told(error))
        try:
            sent = pickle.dumps(told)
        except Exception as error:
            sent = pickle.dumps((number, False, _told(error)))
        with lock:
            outgoing.write(sent)
            outgoing.flush()

    answer(0, "embedding_info", ())
    while True:
        try:
            call = pickle.load(incoming)
        except EOFError:
            # Threads may be in code that never ends.
            os._exit(0)
        threading.Thread(target=answer, args=call, daemon=True).start()


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to who asks; what functions print goes where errors go."""
    incoming, outgoing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return incoming, outgoing


def _told(error: BaseException) -> tuple[str, str, str | None, str]:
    message = error.message if isinstance(error, DbError) else str(error)
    hint = error.hint if isinstance(error, DbError) else None
    trace = "".join(traceback.format_tb(error.__traceback__))
    return type(error).__name__, message, hint, trace
