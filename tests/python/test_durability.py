"""What is acknowledged, by each kind of durability, and what is found of it."""

import shutil
from itertools import pairwise

import pytest

from embedded_db import Config, EmbeddedDB, InvalidInput, RecoveryNeeded


@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_a_copy_of_a_database_in_use_is_recovered_by_a_writer(tmp_path, durability):
    with EmbeddedDB(tmp_path / "db", ml=None, durability=durability) as db:
        for n in range(30):
            db.create_message("chat", f"word{n}", id=f"m{n}")
        db.delete_node("m7")
        shutil.copytree(db.path, tmp_path / "copy")
        state = db.logical_hash()
    with pytest.raises(RecoveryNeeded, match="open it for writing once") as caught:
        EmbeddedDB(tmp_path / "copy", ml=None, read_only=True)
    assert caught.value.path == str(tmp_path / "copy")
    assert not caught.value.retryable
    with EmbeddedDB(tmp_path / "copy", ml=None) as copy:
        assert copy.logical_hash() == state
        assert copy.verify(deep=True)["ok"]
    with EmbeddedDB(tmp_path / "copy", ml=None, read_only=True) as copy:
        assert copy.logical_hash() == state


def test_a_copy_of_a_closed_database_is_read_at_once(tmp_path):
    with EmbeddedDB(tmp_path / "db", ml=None) as db:
        db.create_message("chat", "hello", id="m")
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    with EmbeddedDB(tmp_path / "copy", ml=None, read_only=True) as copy:
        assert copy.get_node("m").content == "hello"


@pytest.mark.parametrize("window", [-1, float("nan"), "10", None])
def test_a_window_is_a_number_of_milliseconds(window):
    with pytest.raises(InvalidInput, match="relaxed_window_ms"):
        Config(durability="relaxed", relaxed_window_ms=window)


def test_kinds_follow_each_other(tmp_path):
    for n, durability in enumerate(["memory", "durable", "relaxed", "memory", "durable"]):
        with EmbeddedDB(tmp_path / "db", ml=None, durability=durability) as db:
            assert db.count("Thing") == n
            db.create_node({"id": f"n{n}", "label": "Thing"})
            assert db.verify(deep=True)["ok"]


def test_what_a_power_cut_would_take_is_a_number(tmp_path, spawn):
    path = tmp_path / "db"
    # An hour: nothing is synced by itself, but for every thousandth commit.
    hour = {"durability": "relaxed", "relaxed_window_ms": 3_600_000}
    with EmbeddedDB(path, ml=None, **hour) as db:
        numbers = []
        for number in range(30):
            db.create_node({"label": "Thing", "properties": {"n": number}})
            numbers.append(db.stats()["unsynced_commits"])
        # At any moment a thread may sync: those that were there when it began are taken off.
        assert all(0 <= now <= before + 1 for before, now in pairwise(numbers))
        assert max(numbers) > 1
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"label": "Thing"})
        assert db.stats()["unsynced_commits"] == 0
        reader = spawn(
            """
            import sys
            from embedded_db import EmbeddedDB
            with EmbeddedDB(sys.argv[1], ml=None, read_only=True) as db:
                print(db.stats()["unsynced_commits"])
            """,
            path,
        )
        assert reader.stdout.readline() == "None\n"
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        assert db.stats()["unsynced_commits"] is None
