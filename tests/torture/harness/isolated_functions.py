"""Functions that are run in another process, and end it in many ways."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import Any


class _NamelessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it has no text")


def embed(texts: list[str]) -> list[list[float]]:
    """Vectors of three numbers; a text may ask for something else."""
    for text in texts:
        _do(text)
    return [[float(len(text)), float(text.count("a")), 1.0] for text in texts]


embed.dim = 3  # type: ignore[attr-defined]


def entities(texts: list[str]) -> list[list[dict[str, Any]]]:
    """The first two characters of each."""
    return [[{"text": text[:2], "label": "X", "start": 0, "end": 2}] for text in texts]


def process(texts: list[str]) -> list[list[float]]:
    """Where it runs."""
    return [[float(os.getpid()), 1.0] for _ in texts]


def _do(text: str) -> None:
    match text.rpartition(": ")[2]:
        case "exit":
            os._exit(3)
        case "abort":
            os.abort()
        case "touch":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            sys.exit("bye")
        case "raise":
            raise ZeroDivisionError("by zero")
        case "sleep":
            time.sleep(1e6)
        case "spin":
            while True:
                pass
        case "hold":
            # Nothing else of the interpreter runs meanwhile.
            ctypes.PyDLL(None).sleep(1000)
        case "read":
            # What it begins reads what it may read.
            subprocess.run(["cat"], stdout=subprocess.DEVNULL, check=True)
            assert sys.stdin.read() == ""
        case "pool":
            with multiprocessing.get_context("fork").Pool(1) as pool:
                assert pool.map(abs, [-1]) == [1]
        case "nameless":
            raise _NamelessError
        case "begin and hang":
            with subprocess.Popen(["sleep", "1000"]) as child:
                print(f"began {child.pid}.", file=sys.stderr, flush=True)
        case "begin and exit":
            child = subprocess.Popen(["sleep", "1000"])
            print(f"began {child.pid}.", file=sys.stderr, flush=True)
            os._exit(3)
        case "print":
            print("to whoever reads", flush=True)
            os.write(1, b"and below")
