"""The package of messages twice: over the native module, and in Python alone."""

import importlib
import sys
from types import ModuleType

import embedded_db
from embedded_db import availability

PACKAGE = "embedded_db.messaging"


def loaded() -> dict[str, ModuleType]:
    return {name: sys.modules[name] for name in list(sys.modules) if is_ours(name)}


def is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def load(*, native: bool) -> ModuleType:
    """Load it anew, and leave what was loaded before to everybody else."""
    importlib.import_module(PACKAGE)
    kept = loaded()
    for name in kept:
        del sys.modules[name]
    was = availability.NATIVE_AVAILABLE
    availability.NATIVE_AVAILABLE = native  # type: ignore[misc]
    try:
        return importlib.import_module(PACKAGE)
    finally:
        availability.NATIVE_AVAILABLE = was  # type: ignore[misc]
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(kept)
        embedded_db.messaging = kept[PACKAGE]


NATIVE, PURE = load(native=True), load(native=False)
