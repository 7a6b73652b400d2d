"""Libraries that one purpose needs, and the rest of the package does without."""

import importlib
from typing import Any, Final

from .errors import InvalidInput

__all__ = ["ARROW", "library"]

ARROW: Final = '"embedded-db[arrow]"'
"""What pip installs pyarrow by."""


def library(module: str, purpose: str, requirement: str | None = None) -> Any:
    """Import a library.

    Args:
        module: its name.
        purpose: what needs it, in an error.
        requirement: what pip installs it by; its name when left out.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InvalidInput(
            f"{purpose} needs {module}, which is not installed",
            hint=f"Install it with: pip install {requirement or module}",
        ) from error
