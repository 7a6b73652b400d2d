"""An import that was broken off has stored whole steps, and goes on where it was."""

import signal

import pytest

from embedded_db import EmbeddedDB, StorageFull
from embedded_db.interchange import restored
from harness.lengths import more

NODES = 5_000


@pytest.fixture
def exported(tmp_path):
    with EmbeddedDB(tmp_path / "one.db", ml=None, durability="memory") as db:
        ids = db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(NODES)])
        db.create_edges(
            [
                {"id": f"e{n}", "source": ids[n - 1], "target": ids[n], "type": "T"}
                for n in range(1000)
            ]
        )
        db.set_embeddings(ids[:1500], [[float(n), 1.0] for n in range(1500)], space="s")
        db.export(tmp_path / "out")
    return tmp_path / "out"


def check_whole(path):
    with EmbeddedDB(path, ml=None) as db:
        assert (db.count(), db.count_edges()) == (NODES, 1000)
        assert db.stats()["embeddings"] == 1500
        assert [node.id for node in db.nodes()] == [f"n{n}" for n in range(NODES)]
        assert db.verify()["ok"]


@pytest.mark.parametrize("step", [1, more(3), 5, more(6), more(7)])
def test_a_step_that_fails(db, path, exported, monkeypatch, step):
    batched = restored.batched
    steps = 0

    def failing(items):
        nonlocal steps
        for batch in batched(items):
            if steps == step:
                raise StorageFull("no room")
            steps += 1
            yield batch

    monkeypatch.setattr(restored, "batched", failing)
    with pytest.raises(StorageFull):
        db.import_(exported)
    assert steps == step, "the fault was met"
    monkeypatch.undo()
    assert db.count() == min(step * 1000, NODES)
    report = db.import_(exported, on_conflict="skip")
    assert report.skipped > 0
    db.close()
    check_whole(path)


def test_a_process_that_is_killed(path, exported, spawn):
    program = """
        import os, sys
        from embedded_db import EmbeddedDB
        with EmbeddedDB(sys.argv[1], ml=None) as db:
            def step(done, total):
                print(done, flush=True)
                if done >= 3000:
                    sys.stdin.read()
            db.import_(sys.argv[2], progress=step)
    """
    child = spawn(program, path, exported)
    while int(child.stdout.readline()) < 3000:
        pass
    child.kill()
    assert child.wait() == -signal.SIGKILL
    with EmbeddedDB(path, ml=None) as db:
        assert db.count() == 3000
        assert db.import_(exported, on_conflict="skip").nodes == NODES - 3000
    check_whole(path)
