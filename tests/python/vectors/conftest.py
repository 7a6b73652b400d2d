"""Every test of vectors runs with the native module and with the fallback."""

from types import ModuleType

import pytest

from .shared import NATIVE, PURE


@pytest.fixture(params=[NATIVE, PURE], ids=["native", "pure"])
def vectors(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


@pytest.fixture
def both() -> tuple[ModuleType, ModuleType]:
    return NATIVE, PURE
