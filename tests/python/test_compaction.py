"""A compaction is seen by nobody: not in this process, not in others, whatever is going on."""

import json
import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from embedded_db import Conflict, EmbeddedDB, InvalidInput, ReadOnly
from embedded_db.testing import FakeModel
from harness.waiting import eventually

READER = """
    import json, sys
    from embedded_db import EmbeddedDB
    with EmbeddedDB(sys.argv[1], read_only=True, ml=None) as db:
        held = None
        for line in sys.stdin:
            question = line.strip()
            if question == "hold":
                held = db.snapshot()
                node = db.get_node("n5")
                answer = held.count("Thing")
            elif question == "held":
                answer = [held.count("Thing"), held.get_node("n5")["n"], node["n"]]
            elif question == "drop":
                held.close()
                answer = "dropped"
            elif question == "hash":
                answer = db.logical_hash()
            else:
                found = db.query(text_query={"text": question}, labels=["Message"])
                answer = [result.node.id for result in found]
            print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def filled(path):
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        nodes = [{"id": f"n{n}", "label": "Thing", "properties": {"n": n}} for n in range(200)]
        db.create_nodes(nodes)
        for n in range(0, 200, 2):
            if n % 10:
                db.delete_node(f"n{n}")
        chat = db.create_chat(id="chat")
        chat.add_messages([{"id": f"m{n}", "content": f"word{n} of Ann"} for n in range(20)])
        yield db


def generations(path):
    return sorted(name for name in os.listdir(path) if name.startswith("gen-"))


def test_readers_in_other_processes(filled, spawn):
    reader = spawn(READER, filled.path)

    def ask(question):
        reader.stdin.write(question + "\n")
        reader.stdin.flush()
        return json.loads(reader.stdout.readline())

    assert ask("hold") == 120
    assert ask("word7") == ["m7"]
    for round_ in range(3):
        report = filled.compact()
        assert report.bytes_after <= report.bytes_before
        filled.create_message("chat", f"later{round_}", id=f"later{round_}")
        filled.update_node("n5", {"n": 1000 + round_})
        # What it holds is what it was; what it asks anew is the newest.
        assert ask("held") == [120, 5, 5]
        assert ask(f"later{round_}") == [f"later{round_}"]
        assert ask("word7") == ["m7"]
        assert ask("hash") == filled.logical_hash()
        assert len(generations(filled.path)) == 1
    assert ask("drop") == "dropped"
    filled.scrub()
    assert ask("hash") == filled.logical_hash()


def test_a_reader_that_is_opened_while_the_files_change(filled, tmp_path, spawn, thorough):
    """It finds the old generation or the new one, and never nothing."""
    program = """
        import itertools, sys
        from pathlib import Path
        from embedded_db import EmbeddedDB
        for n in itertools.count():
            with EmbeddedDB(sys.argv[1], read_only=True, ml=None) as db:
                assert db.count("Thing") == 120
            with open(sys.argv[3], "a") as opened:
                opened.write("x")
            print(n, flush=True)
            if Path(sys.argv[2]).exists():
                break
    """
    enough, opened = tmp_path / "enough", tmp_path / "opened"
    reader = spawn(program, filled.path, enough, opened)
    assert reader.stdout.readline() == "0\n"
    for _ in range(60 if thorough else 10):
        filled.compact()
        assert reader.poll() is None
    # However slow it is: some of its rounds were beside compactions.
    eventually(lambda: filled.compact() and opened.stat().st_size > 3, "three more openings")
    enough.touch()
    rounds = len(reader.stdout.read().split())
    assert reader.wait() == 0
    assert rounds > 1


def test_objects_of_before_are_saved_as_ever(filled):
    message, stale = filled.get_node("m7"), filled.get_node("m7")
    filled.compact()
    message.content = "something else"
    message.save()
    stale.content = "lost"
    with pytest.raises(Conflict):
        stale.save()
    filled.compact()
    stale.refresh()
    assert stale.content == "something else"
    stale.delete()
    assert filled.get_node("m6").next.id == "m8"
    with filled.transaction() as tx:
        tx.update_node("n5", {"n": 8})
        filled.compact()
    assert filled.get_node("n5")["n"] == 8
    assert filled.verify(deep=True)["ok"]


def test_iterators_go_on(filled):
    nodes = filled.nodes("Thing")
    first = [next(nodes).id for _ in range(10)]
    messages = filled.get_node("chat").messages()
    assert next(messages).id == "m0"
    filled.compact()
    filled.create_node({"label": "Thing"})
    assert len(first) + sum(1 for _ in nodes) == 120
    assert [message.id for message in messages] == [f"m{n}" for n in range(1, 20)]


def test_writers_and_enrichment_go_on(path, in_threads):
    with EmbeddedDB(path, ml=FakeModel(), durability="memory") as db:
        done = threading.Event()

        def write(name):
            n = 0
            while not done.is_set():
                db.create_message(f"chat{name}", f"Alice met Bob {n}", id=f"{name}-{n}")
                n += 1

        def compact():
            try:
                for _ in range(5):
                    db.compact()
            finally:
                done.set()

        in_threads(lambda: write("a"), lambda: write("b"), compact)
        db.flush(timeout=60)
        report = db.verify(deep=True)
        assert report["ok"], report
        for message in db.nodes("Message"):
            assert message.status.embedding == "ready"
            assert {entity.label for entity in message.entities()} == {"Alice", "Bob"}


def test_progress_and_its_end(filled):
    told = []
    filled.compact(progress=lambda *how_far: told.append(how_far))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] > 300

    def stop(done, total):
        raise KeyboardInterrupt

    before = generations(filled.path)
    with pytest.raises(KeyboardInterrupt):
        filled.compact(progress=stop)
    with pytest.raises(KeyboardInterrupt):
        filled.scrub(progress=stop)
    assert generations(filled.path) == before
    refused = []

    def again(done, total):
        with pytest.raises(InvalidInput, match="already"):
            filled.compact()
        refused.append(done)

    filled.compact(progress=again)
    assert refused
    with EmbeddedDB(filled.path, read_only=True, config=filled.config) as reader:
        with pytest.raises(ReadOnly):
            reader.compact()
        with pytest.raises(ReadOnly):
            reader.scrub()


def test_a_database_in_memory_and_a_namespace(filled):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_message("chat", "Hello")
        before = db.logical_hash()
        db.compact()
        db.scrub()
        assert db.logical_hash() == before
    one = filled.namespace("one")
    one.create_node({"id": "x", "label": "Thing"})
    one.compact()
    assert filled.namespace("one").exists("x")
    assert filled.count("Thing") == 120


def test_random_histories(path):
    """Anything may happen between two compactions; what is there is what was there."""
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    alive, n = [], 0
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        for round_ in range(12):
            for _ in range(rng.randrange(40)):
                n += 1
                if alive and rng.random() < 0.4:
                    db.delete_node(alive.pop(rng.randrange(len(alive))))
                else:
                    db.create_node({"id": f"x{n}", "label": "X", "properties": {"n": n}})
                    alive.append(f"x{n}")
                if len(alive) > 1 and rng.random() < 0.5:
                    source, target = rng.sample(alive, 2)
                    db.create_edge({"source": source, "target": target, "type": "T"})
            before = db.logical_hash()
            db.compact() if rng.random() < 0.7 else db.scrub()
            assert db.logical_hash() == before
            assert [node.id for node in db.nodes("X")] == alive
            assert generations(path) == [f"gen-{round_ + 2:010}"]
        assert db.verify(deep=True)["ok"]


def test_what_was_left_is_removed_by_the_next_writer_only(filled, path):
    filled.compact()
    before = filled.logical_hash()
    filled.close()
    shutil.copytree(Path(path) / "gen-0000000002", Path(path) / "gen-0000000003")
    with EmbeddedDB(path, read_only=True, ml=None) as reader:
        assert reader.logical_hash() == before
    assert generations(path) == ["gen-0000000002", "gen-0000000003"]
    with EmbeddedDB(path, ml=None) as db:
        assert generations(path) == ["gen-0000000002"]
        assert db.logical_hash() == before


def test_the_bytes_of_what_was_deleted(filled):
    def found(wanted):
        files = [file for file in Path(filled.path).rglob("*") if file.is_file()]
        return [file for file in files if wanted in file.read_bytes()]

    with filled.snapshot():
        # So that no page is used again before it was looked at.
        filled.create_message("secrets", "The word is swordfish", id="told-nobody")
        filled.get_node("secrets").delete()
    assert found(b"swordfish")
    assert found(b"told-nobody")
    filled.scrub()
    assert found(b"swordfish") == found(b"told-nobody") == []
    assert found(b"word7 of Ann")


def test_much_is_written_while_it_goes_on(filled):
    """Far more than there was when it began, and than the new file would have had room for."""
    written = []

    def write(done, total):
        if not written:
            blob = os.urandom(1 << 20)
            nodes = [
                {"id": f"late{n}", "label": "Late", "properties": {"b": blob}} for n in range(90)
            ]
            for node in nodes:
                written.append(filled.create_node(node))

    filled.compact(progress=write)
    assert filled.count("Late") == len(written) == 90
    assert filled.verify()["ok"]
