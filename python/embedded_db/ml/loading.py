"""Loading models, which forks of this process wait for.

A forked child has only the thread that forked. What another thread was importing at that moment
would stay half imported in it, and a lock that this thread held would stay taken.
"""

from __future__ import annotations

import contextlib

# A fork takes locks in the reverse order of their registering. These modules register some that
# loading takes as well: they come first, so that no fork holds them while it waits for LOADING.
import logging  # noqa: F401
import os
import threading
from typing import Final

# A program that is ending, whose hooks may use a database, can have no pools any more.
with contextlib.suppress(RuntimeError):
    import concurrent.futures.thread  # noqa: F401

__all__ = ["LOADING"]

LOADING: Final = threading.RLock()
"""Held while a model is loaded: it is there once, and no child is born meanwhile."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOADING.acquire, after_in_parent=LOADING.release, after_in_child=LOADING.release
    )
