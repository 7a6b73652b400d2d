"""What is searched by words lies in files, and nobody sees when, in this process or another.

A few thousand texts are put into files by themselves. What is found must be what the texts say,
however old the files are, and whatever becomes of them: they are made anew of what is stored.
"""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, Field, NodeModel
from harness.waiting import eventually

MANY = 5_000
"""Texts that are more than enough for files."""

WORDS = ["lake", "fog", "wind", "stone", "river", "owl", "tin"]

READER = """
    import json, sys
    from embedded_db import EmbeddedDB, Field, NodeModel
    with EmbeddedDB(sys.argv[1], read_only=True, ml=None) as db:
        for line in sys.stdin:
            found = db.query(text_query={"text": line.strip()}, limit=50)
            answer = [[result.node.id, result.text_score] for result in found]
            print(json.dumps([answer, db.stats()["view_bytes"]]), flush=True)
"""


def wait_for_files(db, before=()):
    """Until what was written is in files, beside those that were there before."""

    def is_new(file):
        # It is written last.
        return file.name.startswith("sessions-") and file not in before

    eventually(lambda: any(map(is_new, segments(db.path))), "new files")


def text_of(n):
    return f"{WORDS[n % 7]} {WORDS[n * n % 5]} number {n} and {n % 97}"


def messages(numbers):
    return [{"id": f"m{n}", "sender": "Ann", "content": text_of(n)} for n in numbers]


def segments(path):
    """The files that are complete."""
    found = [entry for place in Path(path).glob("gen-*/segments") for entry in place.iterdir()]
    return sorted(entry for entry in found if is_complete(entry))


def is_complete(file):
    try:
        return file.read_bytes().endswith(b"edb segm")
    except FileNotFoundError:
        # It has been replaced since.
        return False


def ids(db, text, limit=10_000):
    return {result.node.id for result in db.query(text_query={"text": text}, limit=limit)}


def expected(numbers, word):
    return {f"m{n}" for n in numbers if word in text_of(n).split()}


@pytest.fixture
def filled(path):
    """A database whose texts are in files, closed."""
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        db.create_chat(id="chat").add_messages(messages(range(MANY)))
        wait_for_files(db)
    return path


def test_texts_are_in_files_and_little_is_in_memory(filled):
    with EmbeddedDB(filled, ml=None) as db:
        for word in ["lake", "fog", "4711", "96", "nothing"]:
            assert ids(db, word) == expected(range(MANY), word)
        assert db.stats()["view_bytes"] < 100_000
        assert db.verify(deep=True)["ok"]


def test_what_comes_after_the_files_counts(filled):
    with EmbeddedDB(filled, ml=None) as db:
        before = db.snapshot()
        chat = db.get_node("chat")
        chat.add_message(sender="Ann", content="a lake of stones", id="new")
        db.update_node("m7", {"content": "nothing but owls"})
        db.delete_node("m14")
        assert "m7" in expected(range(MANY), "lake")
        assert ids(db, "lake") == expected(range(MANY), "lake") - {"m7", "m14"} | {"new"}
        assert "m7" in ids(db, "owls")
        assert ids(before, "lake") == expected(range(MANY), "lake")
        before.close()


def test_scores_are_those_of_texts_in_memory(filled, tmp_path):
    """The same database without its files: every process makes the index of the records then."""
    copy = tmp_path / "copy"
    with EmbeddedDB(filled, ml=None) as db:
        for n in range(0, MANY, 11):
            db.delete_node(f"m{n}")
        before = segments(filled)
        db.create_chat(id="later").add_messages(messages(range(MANY, MANY + 2_500)))
        wait_for_files(db, before)
    shutil.copytree(filled, copy)
    for place in Path(copy).glob("gen-*/segments"):
        shutil.rmtree(place)
    with EmbeddedDB(filled, ml=None) as db, EmbeddedDB(copy, read_only=True, ml=None) as other:
        for text in ["lake", "fog 12 96", "river owl number 311", "and"]:
            query = {"text_query": {"text": text}, "limit": 200}
            found = [(result.node.id, result.text_score) for result in db.query(**query)]
            there = [(result.node.id, result.text_score) for result in other.query(**query)]
            assert [score for _, score in found] == pytest.approx([score for _, score in there])
            assert dict(found) == pytest.approx(dict(there))
        assert db.stats()["view_bytes"] * 10 < other.stats()["view_bytes"]


def test_readers_in_other_processes_open_them(filled, spawn):
    reader = spawn(READER, filled)

    def ask(text):
        reader.stdin.write(text + "\n")
        reader.stdin.flush()
        return json.loads(reader.stdout.readline())

    answer, memory = ask("lake")
    assert len(answer) == 50
    assert memory < 100_000
    with EmbeddedDB(filled, ml=None) as db:
        before = segments(filled)
        db.create_chat(id="later").add_messages(messages(range(MANY, 2 * MANY)))
        wait_for_files(db, before)
        found = db.query(text_query={"text": "lake 7411"}, limit=50)
        answer, _ = ask("lake 7411")
        assert [node for node, _ in answer] == [result.node.id for result in found]
        scores = [result.text_score for result in found]
        assert [score for _, score in answer] == pytest.approx(scores)


@pytest.mark.parametrize("damage", ["bit", "cut", "lost", "empty", "swapped"])
def test_damaged_files_are_made_anew(filled, damage):
    with EmbeddedDB(filled, ml=None) as db:
        before = segments(filled)
        db.create_chat(id="later").add_messages(messages(range(MANY, MANY + 2_500)))
        wait_for_files(db, before)
    files = segments(filled)
    names = {file.name for file in files}
    for file in files:
        content = bytearray(file.read_bytes())
        if damage == "bit":
            # Some bit in each kilobyte: no query can miss them all.
            for at in range(0, len(content), 1024):
                content[at] ^= 0x20
            file.write_bytes(content)
        elif damage == "cut":
            os.truncate(file, len(content) // 2)
        elif damage == "lost":
            file.unlink()
        elif damage == "empty":
            os.truncate(file, 0)
    if damage == "swapped":
        first, second = (file.read_bytes() for file in files[:2])
        files[0].write_bytes(second)
        files[1].write_bytes(first)
    everything = range(MANY + 2_500)
    with EmbeddedDB(filled, read_only=True, ml=None) as db:
        assert ids(db, "lake") == expected(everything, "lake")
        assert not db.verify(deep=True)["ok"]
    with EmbeddedDB(filled, ml=None) as db:
        assert ids(db, "lake") == expected(everything, "lake")
        # What nobody has asked for yet is found by it.
        db.verify(deep=True)
        eventually(lambda: names.isdisjoint(file.name for file in segments(filled)), "new files")
        eventually(lambda: db.verify(deep=True)["ok"], "whole files")
        assert ids(db, "fog") == expected(everything, "fog")


def test_a_bit_anywhere_changes_no_answer(filled):
    rng = random.Random(5)
    texts = ["lake", "number 7", "owl fog 12"]
    with EmbeddedDB(filled, read_only=True, ml=None) as db:
        right = {text: ids(db, text) for text in texts}
    [file, *_] = segments(filled)
    whole = file.read_bytes()
    for _ in range(25):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.unlink()
        file.write_bytes(content)
        with EmbeddedDB(filled, read_only=True, ml=None) as db:
            for text, known in right.items():
                assert ids(db, text) == known


def test_damage_that_a_query_meets_is_mended_while_the_database_is_open(filled):
    before = [file for file in segments(filled) if file.name.startswith("text-")]
    for file in before:
        content = bytearray(file.read_bytes())
        # Lists of postings, which are read when somebody asks for the word.
        for at in range(64, len(content) // 4, 512):
            content[at] ^= 0x20
        file.write_bytes(content)
    with EmbeddedDB(filled, ml=None) as db:
        for word in ["lake", "fog", "wind", "4711", "96", "stone"]:
            assert ids(db, word) == expected(range(MANY), word)
        eventually(lambda: set(before).isdisjoint(segments(filled)), "new files")
        eventually(lambda: db.verify(deep=True)["ok"], "whole files")


def test_files_follow_what_is_declared(filled):
    with EmbeddedDB(filled, ml=None) as db:
        before = segments(filled)
        notes = [{"label": "Note", "properties": {"body": f"lake {n}"}} for n in range(10)]
        db.create_nodes(notes)

        class Note(NodeModel, label="Note"):
            body: str = Field(text=True)

        db.add(Note(body="fog and lake"))
        wait_for_files(db, before)
        assert len(ids(db, "lake")) == len(expected(range(MANY), "lake")) + 11
    with EmbeddedDB(filled, read_only=True, ml=None) as db:
        assert len(ids(db, "lake")) == len(expected(range(MANY), "lake")) + 11
        assert db.stats()["view_bytes"] < 100_000


def test_many_deletions_leave_few_files(filled):
    with EmbeddedDB(filled, ml=None) as db:
        for begin in range(0, 3 * MANY, 1_500):
            new = range(MANY + begin, MANY + begin + 1_500)
            db.create_chat().add_messages(messages(new))
            for n in new[:-1]:
                db.delete_node(f"m{n}")
        wait_for_files(db)
        assert len(segments(filled)) < 20
        assert len(ids(db, "lake")) >= len(expected(range(MANY), "lake"))


def test_a_compaction_makes_them_anew(filled):
    with EmbeddedDB(filled, ml=None) as db:
        for n in range(0, MANY, 3):
            db.delete_node(f"m{n}")
        db.compact()
        left = [n for n in range(MANY) if n % 3]
        assert ids(db, "lake") == expected(left, "lake")
        wait_for_files(db)
        assert ids(db, "lake") == expected(left, "lake")
        assert len(list(Path(filled).glob("gen-*"))) == 1
        eventually(lambda: db.verify(deep=True)["ok"], "whole files")


def test_files_of_a_dropped_namespace_go(filled):
    with EmbeddedDB(filled, ml=None) as db:
        before = segments(filled)
        other = db.namespace("other")
        other.create_chat(id="chat").add_messages(messages(range(MANY)))
        wait_for_files(db, before)
        assert any("-2-" in file.name for file in segments(filled))
        db.drop_namespace("other")
        db.create_chat(id="more").add_messages(messages(range(MANY, 2 * MANY)))
        eventually(
            lambda: not any("-2-" in file.name for file in segments(filled)), "they are removed"
        )
        assert ids(db, "lake") == expected(range(2 * MANY), "lake")


def test_a_backup_does_without_them(filled, tmp_path):
    with EmbeddedDB(filled, ml=None) as db:
        db.backup(tmp_path / "backup")
        hash_before = db.logical_hash()
    EmbeddedDB.restore(tmp_path / "backup", tmp_path / "restored")
    with EmbeddedDB(tmp_path / "restored", ml=None) as db:
        assert db.logical_hash() == hash_before
        assert ids(db, "lake") == expected(range(MANY), "lake")
        assert db.verify(deep=True)["ok"]
