"""An export goes to an empty directory outside of the database, as a whole or not at all."""

from pathlib import Path

import pytest

from embedded_db import BadText, EmbeddedDB, InvalidInput, ReadOnly, SnapshotExpired, StorageError
from embedded_db.interchange import exporting

from .shared import fill


def test_where_an_export_cannot_go(db, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    for name in ("full", "file"):
        with pytest.raises(InvalidInput, match="not an empty directory"):
            db.export(tmp_path / name)
    with pytest.raises(StorageError, match="No such file"):
        db.export(tmp_path / "no" / "such" / "place")
    (tmp_path / "empty").mkdir()
    db.export(tmp_path / "empty")
    assert (tmp_path / "empty" / "manifest.json").exists()
    with pytest.raises(InvalidInput, match="no export"):
        db.import_(tmp_path / "full")


def test_an_export_does_not_go_into_the_database(db, path, tmp_path, monkeypatch):
    fill(db)
    before = sorted(path.rglob("*"))
    (tmp_path / "link").symlink_to(path, target_is_directory=True)
    (tmp_path / "sub").mkdir()
    (tmp_path / "deep").symlink_to(path / "gen-0000000001", target_is_directory=True)
    (path / "empty").mkdir()
    (tmp_path / "to-empty").symlink_to(path / "empty", target_is_directory=True)
    (tmp_path / "dangling").symlink_to(path / "nothing")
    monkeypatch.chdir(tmp_path / "sub")
    for where in (
        path,
        path / "out",
        path / "no" / "such",
        path / "empty",
        tmp_path / "sub" / ".." / path.name / "out",
        tmp_path / "link",
        tmp_path / "link" / "out",
        tmp_path / "deep" / "out",
        tmp_path / "to-empty",
        tmp_path / "dangling",
        f"../{path.name}/out",
    ):
        for handle in (db, db.namespace("user-1")):
            with pytest.raises(InvalidInput, match="directory of the database itself") as caught:
                handle.export(where)
        assert "outside" in caught.value.hint
    (path / "empty").rmdir()
    assert sorted(path.rglob("*")) == before
    # Beside it, and through a link to somewhere else, is fine.
    (tmp_path / "real").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "real", target_is_directory=True)
    for where in (tmp_path / f"{path.name}-2", tmp_path / "elsewhere"):
        assert db.export(where).nodes == 7
        assert (where / "manifest.json").exists()
    with EmbeddedDB(":memory:", ml=None) as memory, pytest.raises(InvalidInput, match="itself"):
        memory.export(Path(memory._native.path) / "out")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_is_no_name_of_a_directory(db, name):
    for transfer in (db.export, db.import_):
        with pytest.raises(BadText, match="cannot be the name"):
            transfer(name)
    with pytest.raises(InvalidInput, match="directory is ''.*Give the name of a directory"):
        db.export("")


def test_a_failed_export_leaves_nothing(path, tmp_path, monkeypatch):

    with EmbeddedDB(path, ml=None, max_snapshot_age=0.0) as db:
        fill(db)
        with pytest.raises(SnapshotExpired):
            db.export(tmp_path / "out")

    def full(*_):
        raise OSError(28, "No space left on device")

    with EmbeddedDB(path, ml=None) as db:
        monkeypatch.setattr(exporting.LineWriter, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            db.export(tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["memory.db"]


def test_a_reader_exports_and_does_not_import(db, path, tmp_path, run_python):
    fill(db)
    program = """
        import sys
        from embedded_db import EmbeddedDB, ReadOnly
        with EmbeddedDB(sys.argv[1], read_only=True, ml=None) as db:
            print(db.export(sys.argv[2]).nodes)
            try:
                db.import_(sys.argv[2])
            except ReadOnly as error:
                print(type(error).__name__)
    """
    run = run_python(program, path, tmp_path / "out")
    assert run.stdout.split() == ["7", "ReadOnly"], run.stderr
    assert ReadOnly.__name__
