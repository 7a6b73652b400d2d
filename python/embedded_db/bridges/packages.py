"""The clients, which are extras."""

import importlib
from typing import Any

from ..errors import InvalidInput

__all__ = ["client_package"]


def client_package(name: str, extra: str) -> Any:
    """The module of a client.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"the client {name} cannot be imported ({error})",
            hint=f'Install it: pip install "embedded-db[{extra}]"',
        ) from error
