"""How long calls of model functions may take, and what one is that took longer."""

from __future__ import annotations

import threading
from typing import Final

from embedded_db.ml_config import MLConfig, named

__all__ = ["ModelTimeout", "of_beginning", "of_call", "of_server"]

FUNCTION: Final = 300.0
"""Seconds for a function, unless `MLConfig.timeout` says otherwise."""
SERVER: Final = 60.0
"""Seconds for a server, unless `MLConfig.timeout` says otherwise."""
LEAST_BEGINNING: Final = 60.0
"""Seconds for a process to begin, at least: a busy machine takes its time to import."""


class ModelTimeout(Exception):
    """A function did not answer in time: its process was ended, or its thread left behind."""

    def __init__(self, message: str, *, is_left_behind: bool = False) -> None:
        super().__init__(message)
        self.is_left_behind = is_left_behind


def of_server(config: MLConfig) -> float:
    """Seconds that a server has, for all requests of one call."""
    return SERVER if config.timeout is None else config.timeout


def of_call(config: MLConfig) -> float:
    """Seconds that a call for the weaver may take.

    Those of a server come on top, so that one which is late is known as such before the text at
    hand is blamed for it.
    """
    function = FUNCTION if config.timeout is None else config.timeout
    provider = config.embedding if isinstance(config.embedding, str) else ""
    server = of_server(config) if named(provider)[0] == "openai" else 0.0
    return min(function + server, threading.TIMEOUT_MAX)


def of_beginning(config: MLConfig) -> float:
    """Seconds that a process has to begin, and its models to be loaded ahead of calls."""
    return FUNCTION if config.timeout is None else max(config.timeout, LEAST_BEGINNING)
