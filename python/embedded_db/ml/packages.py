"""Packages that only some providers need."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from embedded_db.errors import ModelUnavailable
from embedded_db.ml.loading import LOADING

__all__ = ["imported", "install", "is_installed", "unloadable"]


def install(extra: str) -> str:
    """How to get what a provider needs."""
    return f'Install it: pip install "embedded-db[{extra}]"'


def is_installed(name: str) -> bool:
    """Whether a package is there; imports nothing."""
    return importlib.util.find_spec(name) is not None


def imported(name: str, extra: str) -> Any:
    """The module of a package.

    Raises:
        ModelUnavailable: it is not installed, or does not import.
    """
    with LOADING:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise ModelUnavailable(
                f"The package {name} cannot be imported ({error})", hint=install(extra)
            ) from error


def unloadable(provider: str, model: str, error: Exception, *, download: bool) -> ModelUnavailable:
    """What is raised when a model that was named does not load."""
    remedy = "Give the name or the directory of a model that is on this machine"
    if not download:
        remedy += ", or let it be fetched: MLConfig(download=True)"
    return ModelUnavailable(
        f"{provider}:{model} does not load ({type(error).__name__}: {error!s:.500})", hint=remedy
    )
