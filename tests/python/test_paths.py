"""A database opens under every name that the system knows it by, or says what is wrong with it."""

import os
import sys
from pathlib import Path

import pytest

from embedded_db import BadText, DbError, EmbeddedDB, InvalidInput, StorageError

posix = pytest.mark.skipif(os.name != "posix", reason="files as on POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux")


def test_a_relative_path_stays_where_it_was_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)
    with EmbeddedDB("memory.db", ml=None) as db:
        db.create_node({"id": "before", "label": "X"})
        monkeypatch.chdir(second)
        db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(2000)])
        assert db.verify()["ok"]
        assert db.path == str(first / "memory.db")
        with EmbeddedDB(first / "memory.db", ml=None) as same:
            assert same.exists("before")
        # The same words are another place by now.
        with EmbeddedDB("memory.db", ml=None) as other:
            assert other.count() == 0
    assert (second / "memory.db" / "CURRENT").exists()
    with EmbeddedDB(first / "memory.db", ml=None) as again:
        assert again.count() == 2001


@posix
def test_one_database_by_many_names_is_shared_in_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real" / "memory.db"
    real.parent.mkdir()
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "parent").symlink_to(real.parent)
    monkeypatch.chdir(tmp_path)
    names = ["link/", "parent/memory.db", "real/../real/./memory.db", "real/memory.db/", "link"]
    with EmbeddedDB(real, ml=None, lock_timeout=0) as db:
        for number, name in enumerate(names):
            with EmbeddedDB(name, ml=None, lock_timeout=0) as same:
                same.create_node({"id": f"n{number}", "label": "X"})
                assert db.exists(f"n{number}"), f"{name} is the same database"
            with pytest.raises(InvalidInput, match="another Config.*use the same"):
                EmbeddedDB(name, ml=None, language="none")
            with pytest.raises(InvalidInput, match="another Config"):
                EmbeddedDB(name, ml=None, durability="memory")
        assert db.count() == len(names)
        assert db.verify()["ok"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "parent", "real"]


@posix
def test_a_link_made_before_its_target_names_the_database_too(tmp_path: Path) -> None:
    (tmp_path / "parent").symlink_to(tmp_path / "later")
    (tmp_path / "later").mkdir()
    with (
        EmbeddedDB(tmp_path / "parent" / "memory.db", ml=None, lock_timeout=0) as one,
        EmbeddedDB(tmp_path / "later" / "memory.db", ml=None, lock_timeout=0) as two,
    ):
        one.create_node({"id": "a", "label": "X"})
        assert two.exists("a")


@linux
def test_a_path_of_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    raw = folder + b"/caf\xe9"
    name = os.fsdecode(raw)
    with EmbeddedDB(name, ml=None) as db:
        db.create_node({"id": "a", "label": "X"})
        assert db.path == name
        assert os.path.isdir(raw)
        repr(db).encode()  # it can be printed
        with EmbeddedDB(Path(name), ml=None) as same:
            assert same.exists("a")
        with pytest.raises(InvalidInput) as caught:
            EmbeddedDB(name, ml=None, language="none")
        str(caught.value).encode()
    monkeypatch.chdir(os.fsdecode(folder))
    with EmbeddedDB("other", ml=None) as db:
        assert os.fsencode(db.path) == folder + b"/other"
    assert sorted(os.listdir(folder)) == [b"caf\xe9", b"other"]


def test_what_is_no_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path, error, words in (
        ("", InvalidInput, "path is ''.*directory"),
        (b"memory.db", InvalidInput, "memory.db.*Give the name of a directory"),
        (7, InvalidInput, "7"),
        ("a\0b", InvalidInput, "a.0b.*no path"),
        ("\ud800", BadText, "path of the database.*surrogate"),
        ("x" * 100_000, DbError, "100000.*65536"),
    ):
        with pytest.raises(error, match=words):
            EmbeddedDB(path, ml=None)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize(
    "path",
    ["x" * 4096, "x" * 256, "x/" * 2100],
    ids=["a name of 4096", "a name of 256", "many names"],
)
def test_a_path_of_four_thousand_bytes_says_that_it_is_too_long(tmp_path: Path, path: str) -> None:
    for options in ({}, {"read_only": True}):
        with pytest.raises(StorageError, match="xx|x/x") as caught:
            EmbeddedDB(tmp_path / path, ml=None, **options)
        assert "too long" in str(caught.value), "the reason is not cut off"
        assert len(str(caught.value)) < 5000
    assert list(tmp_path.iterdir()) == []


@posix
def test_the_longest_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path
    while len(os.fsencode(place)) < 3800:
        place = place / ("d" * 200)
    with EmbeddedDB(place, ml=None) as db:
        db.create_node({"label": "X"})
    with EmbeddedDB(place, ml=None, read_only=True) as db:
        assert db.count() == 1
        assert db.path == str(place)


def test_names_of_every_kind(tmp_path):
    for name in ("with space", "ünï 名前", "quote'\"", "line\nbreak", "-dash", "a" * 200):
        with EmbeddedDB(tmp_path / name, ml=None) as db:
            db.create_node({"id": "a", "label": "X"})
        with EmbeddedDB(tmp_path / name, ml=None) as db:
            assert db.exists("a")
