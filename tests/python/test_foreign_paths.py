"""What lies at a path and is no database of ours, or none any more, is named and left alone."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded_db import Corruption, EmbeddedDB, InvalidInput, StorageError

posix = pytest.mark.skipif(os.name != "posix", reason="files as on POSIX")


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
@pytest.mark.parametrize(
    ("make", "words"), FOREIGN, ids=lambda given: getattr(given, "__name__", "")
)
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
