"""Databases that earlier builds have written are opened, read and written by this one.

An archive of `tests/formats` is what `scripts/make-format-fixture` made with a build of that time:
a database that was closed, one whose process was killed, and what they hold.
"""

import json
import tarfile
from pathlib import Path

import pytest

from embedded_db import Corruption, EmbeddedDB
from format_contents import told

ARCHIVES = sorted((Path(__file__).resolve().parents[1] / "formats").glob("*.tar.xz"))


def test_there_are_archives() -> None:
    assert [file.name for file in ARCHIVES][:1] == ["1.tar.xz"]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_the_killed_one_needs_its_log(tmp_path: Path, archive: Path) -> None:
    with tarfile.open(archive) as members:
        members.extractall(tmp_path, filter="data")
    for log in (tmp_path / "killed").glob("gen-*/log.*"):
        log.unlink()
    with pytest.raises(Corruption):
        EmbeddedDB(tmp_path / "killed", ml=None)


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
@pytest.mark.parametrize("name", ["closed", "killed"])
def test_a_database_of_an_earlier_build(tmp_path: Path, archive: Path, name: str) -> None:
    with tarfile.open(archive) as members:
        members.extractall(tmp_path, filter="data")
    expected = json.loads((tmp_path / "expected.json").read_text())[name]
    path = tmp_path / name
    with EmbeddedDB(path, ml=None) as db:
        assert told(db) == expected
        assert db.verify(deep=True)["ok"]
        assert db.count("Boat") == (85 if name == "killed" else 60)
        db.create_message("harbour", "A boat of today", id="today", embedding=[1.0, 0.0, 0.0])
        db.update_node("boat1", {"tons": 3.0})
        db.delete_node("boat2")
        db.flush()
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        assert db.get_node("today").content == "A boat of today"
        assert db.get_node("boat1")["tons"] == 3.0
        assert not db.exists("boat2")
        assert db.verify(deep=True)["ok"]
    with EmbeddedDB(path, ml=None) as db:
        db.compact()
        assert db.verify(deep=True)["ok"]
