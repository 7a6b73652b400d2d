"""Records of native code, on their way to `embedded_db.logs`, which is imported with the first.

Few programs log, and `logging` takes some milliseconds of every import.
"""

import atexit
import os
import sys
from typing import Any

from ._native import logs_begin, logs_end, logs_level

__all__ = ["Told", "follow"]

Told = tuple[float, str, str, str, dict[str, Any], tuple[str, str] | None]
"""Seconds since 1970, level, part of the library, message, fields, and the trace and its span."""


def _deliver(records: list[Told], lost: int) -> None:
    from .logs import deliver

    deliver(records, lost)


def _begin() -> None:
    logs_begin(_deliver)


def follow() -> None:
    """Have native code make the records that the program's loggers take."""
    if "logging" in sys.modules:
        from .logs import follow_level

        follow_level()
    else:
        logs_level("warning")  # as a logger that nobody has set


_begin()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)
# Registered before those of databases and servers, which thus end first.
atexit.register(logs_end)
