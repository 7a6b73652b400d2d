"""Functions in a module that a process may fail to import, as its environment says."""

import os
import sys
import time

HOW = "EMBEDDED_DB_TEST_LOADING"

match os.environ.get(HOW):
    case "missing":
        raise ImportError("weights not downloaded yet")
    case "leave":
        sys.exit("not today")
    case "crash":
        os._exit(3)
    case "hang":
        time.sleep(1e6)


def embed(texts: list[str]) -> list[list[float]]:
    """Vectors of three numbers."""
    return [[float(len(text)), float(text.count("a")), 1.0] for text in texts]


embed.dim = 3  # type: ignore[attr-defined]
