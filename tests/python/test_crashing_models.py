"""A model function that ends the program: what it was at is found out, and given up in the end."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed
from embedded_db.testing import FakeModel

PROGRAM = """
    import os, sys
    from embedded_db import EmbeddedDB, MLConfig

    def embed(texts):
        print(len(texts), flush=True)
        if any("boom" in text for text in texts):
            os._exit(9)
        return [[float(len(text)), 1.0, 2.0] for text in texts]

    embed.dim = 3
    names = lambda texts: [[] for _ in texts]
    db = EmbeddedDB(sys.argv[1], ml=MLConfig(embedding=embed, entities=names, summary=None))
    if sys.argv[2:]:
        db.weaver.pause()
        db.set_activity_level("Normal")  # calls that come so quickly make batches smaller
        for number in range(20):
            db.create_message("chat", "boom" if number == 7 else f"text {number}", id=f"m{number}")
        assert db.count("Message") == 20  # what is read is committed, and the weaver sees all of it
        db.weaver.resume()
    try:
        db.flush(timeout=60)
    except Exception as error:
        print(error, file=sys.stderr)
"""


def run(path: Path, *more: str) -> tuple[int, list[int], str]:
    """The exit code of a program, how many texts it has handed to the model at once, its errors."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ended.returncode, [int(line) for line in ended.stdout.split()], ended.stderr


def test_what_ends_the_program_is_given_up_after_three_times(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    code, first, _ = run(path, "write")
    assert (code, first) == (9, [20]), "all at once"
    code, second, _ = run(path)
    assert code == 9
    assert set(second) == {1}, "each by itself"
    code, third, _ = run(path)
    assert code == 9
    code, fourth, told = run(path)
    assert code == 0, told
    assert "crashed while running: 3 processes" in told
    assert sum(second) + sum(third) + sum(fourth) >= 20
    with EmbeddedDB(path, ml=None) as db:
        states = {f"m{number}": db.get_node(f"m{number}").status.embedding for number in range(20)}
        assert states.pop("m7") == "failed"
        assert set(states.values()) == {"ready"}
        assert db.verify()["ok"]
        [letter] = {(it["id"], it["error"]) for it in db.weaver.dead_letters()} or [None]
        assert letter[0] == "m7"


def test_it_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    run(path, "write")
    for _ in range(3):
        run(path)
    code, given, _ = run(path)
    assert (code, given) == (0, []), "it is left alone"
    code, _, _ = run(path)
    assert code == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_program_that_was_killed_for_another_reason_costs_nothing(
    tmp_path: Path, times: int
) -> None:
    path = tmp_path / "memory.db"
    program = textwrap.dedent("""
        import os, sys, time
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        model = FakeModel()
        model.fail("hang")
        db = EmbeddedDB(sys.argv[1], ml=model)
        if db.count("Message") == 0:
            for number in range(5):
                db.create_message("chat", f"Alice {number}")
        while not db.weaver_status()["active_workers"]:
            time.sleep(0.01)
        time.sleep(0.1)
        os._exit(0)
    """)
    for _ in range(times):
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=300)
    with EmbeddedDB(path, ml=FakeModel()) as db:
        db.flush(timeout=60)
        assert {message.status.embedding for message in db.nodes("Message")} == {"ready"}
        assert db.weaver.dead_letters() == []


def test_a_program_that_is_killed_at_each_start_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    program = textwrap.dedent("""
        import os, sys, time
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        with EmbeddedDB(sys.argv[1], ml=None) as db:
            for number in range(5):
                db.create_message("chat", f"Alice {number}")
        model = FakeModel()
        model.fail("hang")
        db = EmbeddedDB(sys.argv[1], ml=model)
        while not db.weaver_status()["active_workers"]:
            time.sleep(0.01)
        time.sleep(0.1)
        os._exit(0)
    """)
    for _ in range(5):
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=300)
    with EmbeddedDB(path, ml=FakeModel()) as db:
        db.flush(timeout=60)
        assert {message.status.embedding for message in db.nodes("Message")} == {"ready"}
        assert db.weaver.dead_letters() == []


def test_nothing_of_it_is_left_when_it_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    model = FakeModel()
    with EmbeddedDB(path, ml=model, weaver={"max_attempts": 1}) as db:
        model.fail("raise")
        db.create_message("chat", "Alice met Bob")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
    assert (path / "running").read_bytes()[:4] == bytes(4)
