"""What the tests of export and import find ready."""

import pytest

from embedded_db import EmbeddedDB

from .shared import fill


@pytest.fixture
def other(tmp_path):
    with EmbeddedDB(tmp_path / "other.db", ml=None) as opened:
        yield opened


@pytest.fixture
def exported(db, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    return tmp_path / "out"
