"""How long the tests are: short in `make test`, longer where it is thorough, full for torture."""

import os
from typing import TypeVar

import pytest

__all__ = ["FULL", "THOROUGH", "length", "longer", "more"]

FULL = os.environ.get("EMBEDDED_DB_TORTURE", "0") != "0"
THOROUGH = FULL or os.environ.get("EMBEDDED_DB_THOROUGH", "0") != "0"

longer = pytest.mark.skipif(not THOROUGH, reason="EMBEDDED_DB_THOROUGH=1 runs it")
"""For tests that are not needed in every run."""

T = TypeVar("T")


def more(*values: object):
    """One of the cases of a test that is not needed in every run."""
    return pytest.param(*values, marks=longer)


def length(short: T, thorough: T, full: T) -> T:
    """The one that is asked for."""
    return full if FULL else thorough if THOROUGH else short
