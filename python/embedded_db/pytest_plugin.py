"""Fixtures for tests of programs that use the database.

In a ``conftest.py``: ``pytest_plugins = ["embedded_db.pytest_plugin"]``.
"""

from collections.abc import Iterator

import pytest

from .database import EmbeddedDB
from .testing import FakeModel

__all__ = ["fake_model", "memory_db"]


@pytest.fixture
def fake_model() -> Iterator[FakeModel]:
    """A deterministic model that can be told to fail; let go of at the end of the test."""
    model = FakeModel()
    yield model
    model.recover()


@pytest.fixture
def memory_db(fake_model: FakeModel) -> Iterator[EmbeddedDB]:
    """A private database in memory, enriched by `fake_model`, closed at the end of the test."""
    with EmbeddedDB(":memory:", ml=fake_model) as db:
        yield db
        fake_model.recover()
