"""Whatever lies at a path, and however the path is written: it is opened, or named and left alone."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded_db import BadText, Corruption, DbError, EmbeddedDB, InvalidInput, StorageError

posix = pytest.mark.skipif(os.name != "posix", reason="files as on POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux")


def use(path: str | os.PathLike[str], **options: object) -> str:
    """Write to a database, and give where it says that it lies."""
    with EmbeddedDB(path, ml=None, lock_timeout=0, **options) as db:
        db.create_node({"label": "X"})
        return db.path


def contents(place: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Kind and content of everything in and below a place, links not followed."""
    found = {}
    for each in [place, *place.rglob("*")]:
        mode = each.lstat().st_mode
        held: bytes | str | None = None
        if stat.S_ISREG(mode):
            held = each.read_bytes()
        elif stat.S_ISLNK(mode):
            held = os.readlink(each)
        found[str(each)] = (stat.S_IFMT(mode), held)
    return found


# --- what is no database --------------------------------------------------------------------------


def a_file(place: Path) -> Path:
    place.write_text("a letter to my aunt")
    return place


def an_empty_file(place: Path) -> Path:
    place.touch()
    return place


def a_pipe(place: Path) -> Path:
    os.mkfifo(place)
    return place


def a_device(place: Path) -> Path:
    place.symlink_to("/dev/null")
    return place


def a_directory_of_others(place: Path) -> Path:
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "letter.txt").write_text("dear aunt")
    return place


def another_programs_database(place: Path) -> Path:
    place.mkdir()
    (place / "CURRENT").write_text("MANIFEST-000005\n")
    (place / "000004.log").write_bytes(bytes(100))
    return place


def an_empty_current(place: Path) -> Path:
    place.mkdir()
    (place / "CURRENT").touch()
    return place


def a_pipe_as_current(place: Path) -> Path:
    place.mkdir()
    os.mkfifo(place / "CURRENT")
    return place


def a_link_to_nothing(place: Path) -> Path:
    place.symlink_to("nowhere")
    return place


def a_link_to_itself(place: Path) -> Path:
    place.symlink_to(place)
    return place


FOREIGN = [
    (a_file, "is a file.*choose another path"),
    (an_empty_file, "is a file.*choose another path"),
    (a_pipe, "is a file.*choose another path"),
    (a_device, "is a file.*choose another path"),
    (a_directory_of_others, r"deep.*choose an empty or new directory|no CURRENT file"),
    (another_programs_database, "another program's.*choose an empty or new directory"),
    (an_empty_current, "another program's.*choose an empty or new directory"),
    (a_pipe_as_current, "another program's.*choose an empty or new directory"),
    (a_link_to_nothing, r"symbolic link to \"nowhere\", which leads nowhere; make what"),
    (a_link_to_itself, "symbolic link to .*, which leads nowhere; make what"),
]


@posix
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(("make", "words"), FOREIGN, ids=lambda given: getattr(given, "__name__", ""))
def test_what_is_not_ours_is_named_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], Path], words: str, read_only: bool
) -> None:
    place = make(tmp_path / "place")
    before = contents(tmp_path)
    with pytest.raises(InvalidInput, match=f"place.*({words})"):
        use(place, read_only=read_only)
    assert contents(tmp_path) == before


def test_an_empty_directory_becomes_a_database_but_is_not_read_as_one(tmp_path: Path) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    with pytest.raises(InvalidInput, match="no database.*read_only"):
        EmbeddedDB(place, ml=None, read_only=True)
    assert list(place.iterdir()) == []
    use(place)
    with EmbeddedDB(place, ml=None, read_only=True) as db:
        assert db.count() == 1


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear aunt")
    for options in ({}, {"read_only": True}):
        with pytest.raises(StorageError, match="letter.*Not a directory"):
            use(tmp_path / "letter" / "memory.db", **options)
    assert (tmp_path / "letter").read_text() == "dear aunt"


# --- what was one ---------------------------------------------------------------------------------


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def made_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def made_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@posix
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("change", [emptied, made_a_directory, made_a_pipe])
@pytest.mark.parametrize("name", ["CURRENT", "gen-0000000001/data.mdb"])
def test_a_database_with_a_file_that_is_none_is_damaged(
    path: Path, name: str, change: Callable[[Path], None], read_only: bool
) -> None:
    use(path)
    change(path / name)
    before = contents(path)
    with pytest.raises(Corruption, match=r"memory\.db.*damaged.*restore a backup"):
        use(path, read_only=read_only)
    after = contents(path)
    for lock in ("writer.lock", "gen-0000000001/lock.mdb"):
        before.pop(str(path / lock), None)
        after.pop(str(path / lock), None)
    assert after == before


# --- ways to write a path -------------------------------------------------------------------------


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
@pytest.mark.parametrize("path", ["x" * 4096, "x/" * 2100], ids=["one name", "many names"])
def test_a_path_of_four_thousand_bytes_says_that_it_is_too_long(tmp_path: Path, path: str) -> None:
    for options in ({}, {"read_only": True}):
        with pytest.raises(StorageError, match="xx|x/x") as caught:
            use(tmp_path / path, **options)
        assert "too long" in str(caught.value), "the reason is not cut off"
        assert len(str(caught.value)) < 5000
    assert list(tmp_path.iterdir()) == []


@posix
def test_the_longest_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path
    while len(os.fsencode(place)) < 3800:
        place = place / ("d" * 200)
    use(place)
    with EmbeddedDB(place, ml=None, read_only=True) as db:
        assert db.count() == 1
        assert db.path == str(place)
