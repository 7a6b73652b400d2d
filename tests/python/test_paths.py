"""A database opens under every name that the system knows it by, or says what is wrong with it."""

import os

import pytest

from embedded_db import BadText, DbError, EmbeddedDB, InvalidInput, StorageError


def test_a_link_is_the_database_it_points_to(path, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with EmbeddedDB(path, ml=None) as db, EmbeddedDB(link, ml=None) as linked:
        db.create_node({"id": "a", "label": "X"})
        assert linked.exists("a")
        linked.create_node({"id": "b", "label": "X"})
        assert db.count("X") == 2
        with pytest.raises(InvalidInput, match="Config"):
            EmbeddedDB(link, ml=None, language="none")
    with EmbeddedDB(link, ml=None) as again:
        assert again.verify()["ok"]
        assert again.count("X") == 2


def test_a_linked_directory_above(path, tmp_path):
    above = tmp_path / "above"
    above.symlink_to(tmp_path)
    with EmbeddedDB(path, ml=None) as db, EmbeddedDB(above / path.name, ml=None) as linked:
        db.create_node({"id": "a", "label": "X"})
        assert linked.exists("a")


def test_a_link_that_points_nowhere(tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "missing" / "nowhere")
    with pytest.raises(StorageError, match=r"link\.db"):
        EmbeddedDB(link, ml=None)


def test_a_link_to_itself(tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(link)
    with pytest.raises(DbError, match=r"link\.db"):
        EmbeddedDB(link, ml=None)


def test_a_relative_path_stays_what_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with EmbeddedDB("memory.db", ml=None) as db:
        db.create_node({"id": "a", "label": "X"})
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        db.create_node({"id": "b", "label": "X"})
        assert db.count("X") == 2
        with EmbeddedDB("../memory.db", ml=None) as same:
            assert same.exists("b")
        assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="names of bytes as on POSIX")
def test_a_name_that_is_no_text(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.db")
    with pytest.raises(BadText, match="surrogate"):
        EmbeddedDB(name, ml=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 256, "d/" * 2_100 + "db", "y" * 100_000])
def test_a_name_too_long_for_the_system(tmp_path, name):
    with pytest.raises(DbError):
        EmbeddedDB(tmp_path / name, ml=None)


def test_names_of_every_kind(tmp_path):
    for name in ("with space", "ünï 名前", "quote'\"", "line\nbreak", "-dash", "a" * 200):
        with EmbeddedDB(tmp_path / name, ml=None) as db:
            db.create_node({"id": "a", "label": "X"})
        with EmbeddedDB(tmp_path / name, ml=None) as db:
            assert db.exists("a")


@pytest.mark.parametrize("name", ["", "a\0b", 7, b"bytes", object()])
def test_what_is_no_path(name):
    with pytest.raises(InvalidInput, match="path"):
        EmbeddedDB(name, ml=None)
