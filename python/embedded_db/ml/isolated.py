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


def main(incoming: BinaryIO) -> NoReturn:
    """Answer calls until nobody can ask any more."""
    # Whoever interrupts the program speaks to the program.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outgoing = _apart(incoming)
    lock = threading.Lock()

    def say(number: int, is_good: bool, told: Any) -> None:
        try:
            try:
                sent = pickle.dumps((number, is_good, told))
            except Exception as error:
                sent = pickle.dumps((number, False, _told(error)))
            with lock:
                outgoing.write(sent)
                outgoing.flush()
        except BrokenPipeError:
            # The program that asked has gone.
            os._exit(0)
        except BaseException:
            # Whoever asks would wait for an answer that never comes.
            traceback.print_exc()
            os._exit(1)

    try:
        functions = load_functions(pickle.load(incoming))
    # Also what would end a program: here it is the answer.
    except BaseException as error:
        say(0, False, _told(error))
        os._exit(1)

    def answer(number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            told = getattr(functions, method)(*arguments)
        except BaseException as error:
            say(number, False, _told(error))
        else:
            say(number, True, told)

    answer(0, "embedding_info", ())
    while True:
        try:
            call = pickle.load(incoming)
        except (EOFError, pickle.UnpicklingError):
            # The program has gone, maybe in the middle of a call. Threads may be in code that never
            # ends.
            os._exit(0)
        threading.Thread(target=answer, args=call, daemon=True).start()


def _apart(incoming: BinaryIO) -> BinaryIO:
    """The pipe for answers. Functions, and what they begin, have none of both.

    What they print goes where errors go, and there is nothing for them to read.
    """
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if hasattr(os, "register_at_fork"):
        pipes = (incoming.fileno(), outgoing.fileno())
        os.register_at_fork(after_in_child=lambda: [os.dup2(nothing, pipe) for pipe in pipes])
    return outgoing


def _told(error: BaseException) -> tuple[str, str, str | None, str]:
    try:
        message = error.message if isinstance(error, DbError) else str(error)
    except Exception as other:
        message = f"(its text cannot be had: {type(other).__name__})"
    hint = error.hint if isinstance(error, DbError) else None
    trace = "".join(traceback.format_tb(error.__traceback__))
    return type(error).__name__, message, hint, trace
