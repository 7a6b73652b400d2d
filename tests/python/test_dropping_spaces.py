"""A space that is dropped is gone at once for whoever asks, and its room comes back."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from embedded_db import EmbeddedDB, InvalidInput, NotFound, ReadOnly
from embedded_db.testing import FakeModel
from harness.waiting import eventually


def filled(db, count=3000, space="pictures", dim=64):
    """So many nodes with a vector, sealed into files."""
    ids = db.create_nodes([{"label": "Picture", "id": f"p{n}"} for n in range(count)])
    vectors = np.random.default_rng(1).standard_normal((count, dim), dtype=np.float32)
    db.set_embeddings(ids, vectors, space=space)
    return vectors


def files(db):
    """Bytes of published files of vectors."""
    total = 0
    for file in Path(db.path).glob("*/segments/vectors-*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


@pytest.fixture
def spaced(db):
    """A database with a default space of one vector, and another one."""
    one = db.create_node({"label": "Colour", "id": "red"})
    db.create_embedding({"node_id": one, "vector": [1, 0, 0], "space": "rgb"})
    return db


def test_it_is_gone_at_once_and_its_room_comes_back(spaced):
    vectors = filled(spaced)
    near = {"vector": vectors[7], "space": "pictures"}
    assert spaced.query(semantic_query=near, limit=1)[0].node.id == "p7"
    eventually(lambda: files(spaced) > vectors.nbytes / 10, "there are files of it")
    spaced.compact()
    full = spaced.stats()["file_bytes"]
    id = spaced.get_embedding_for_node("p7", "pictures").id
    with spaced.snapshot() as before:
        spaced.drop_space("pictures")
        assert [space["name"] for space in spaced.spaces()] == ["rgb"]
        for ask in (
            lambda: spaced.query(semantic_query=near),
            lambda: spaced.get_embedding_for_node("p7", "pictures"),
            lambda: spaced.drop_space("pictures"),
        ):
            with pytest.raises(NotFound, match="pictures"):
                ask()
        assert spaced.get_embedding(id) is None
        with pytest.raises(NotFound):
            spaced.delete_embedding(id)
        assert before.query(semantic_query=near, limit=1)[0].node.id == "p7"
    spaced.flush(timeout=60)
    assert spaced.stats()["embeddings"] == 1
    eventually(lambda: files(spaced) < vectors.nbytes / 10, "its files are gone")
    assert spaced.verify(deep=True)["problems"] == []
    spaced.compact()
    assert spaced.stats()["file_bytes"] < full - vectors.nbytes / 2
    assert spaced.verify(deep=True)["problems"] == []


def test_its_name_and_ids_are_free_again(spaced):
    [node] = spaced.create_nodes([{"label": "Picture"}])
    given = {"node_id": node, "vector": [1, 2], "space": "pictures", "id": "v"}
    spaced.create_embedding(given)
    spaced.drop_space("pictures")
    spaced.create_embedding({**given, "vector": [1, 2, 3, 4]})
    spaced.flush(timeout=60)
    assert spaced.get_embedding("v").dim == 4
    assert spaced.get_embedding_for_node(node, "pictures").id == "v"
    spaced.drop_space("pictures")
    spaced.delete_node(node)
    spaced.flush(timeout=60)
    assert spaced.verify(deep=True)["problems"] == []


def test_the_feed_of_changes_still_knows_its_name(spaced):
    filled(spaced, count=3)
    spaced.drop_space("pictures")
    spaced.flush(timeout=60)
    told = [change for change in spaced.changes() if change.space == "pictures"]
    assert [change.operation for change in told] == ["put"] * 3 + ["delete"] * 3


KILLED = """
    import sys
    from embedded_db import EmbeddedDB

    db = EmbeddedDB(sys.argv[1], ml=None)
    db.drop_space("pictures")
    print("dropped", flush=True)
    sys.stdin.readline()
"""


def test_a_kill_while_its_vectors_go(path, spawn):
    with EmbeddedDB(path, ml=None) as db:
        db.create_embedding(
            {"node_id": db.create_node({"label": "A"}), "vector": [1], "space": "a"}
        )
        filled(db, count=6000)
    child = spawn(KILLED, path)
    assert child.stdout.readline() == "dropped\n"
    child.kill()
    child.wait()
    with EmbeddedDB(path, read_only=True, ml=None) as reader:
        assert [space["name"] for space in reader.spaces()] == ["a"]
        assert reader.verify()["problems"] == []
    with EmbeddedDB(path, ml=None) as db:
        db.flush(timeout=60)
        assert db.stats()["embeddings"] == 1
        assert db.verify(deep=True)["problems"] == []


def test_a_copy_of_it_half_gone_is_whole(path, tmp_path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_embedding(
            {"node_id": db.create_node({"label": "A"}), "vector": [1], "space": "a"}
        )
        filled(db, count=2000)
        db.drop_space("pictures")
        db.backup(tmp_path / "backup")
        db.compact()
    EmbeddedDB.restore(tmp_path / "backup", tmp_path / "restored.db")
    EmbeddedDB.repair(tmp_path / "restored.db", tmp_path / "repaired.db")
    for place in (path, tmp_path / "restored.db", tmp_path / "repaired.db"):
        with EmbeddedDB(place, ml=None) as db:
            assert [space["name"] for space in db.spaces()] == ["a"]
            db.flush(timeout=60)
            assert db.stats()["embeddings"] == 1
            assert db.verify(deep=True)["problems"] == []


def test_what_is_in_use_stays(path, db):
    with pytest.raises(NotFound, match="nothing"):
        db.drop_space("nothing")
    with pytest.raises(InvalidInput):
        db.drop_space(7)
    filled(db, count=1, space=None)
    with pytest.raises(InvalidInput, match="none is named"):
        db.drop_space("default")
    db.close()
    with EmbeddedDB(path, ml=None, read_only=True) as reader, pytest.raises(ReadOnly):
        reader.drop_space("default")
    old, new = FakeModel(dim=8, model="old"), FakeModel(dim=8, model="new")
    with EmbeddedDB(path, ml=old) as woven:
        woven.create_message("chat", "text")
        woven.flush(timeout=60)
        with pytest.raises(InvalidInput, match="by meaning"):
            woven.drop_space("old")
    new.hold()
    with EmbeddedDB(path, ml=new) as woven:
        for space in ("old", "new"):
            with pytest.raises(InvalidInput, match="cannot be dropped"):
                woven.drop_space(space)
        new.release()
        woven.flush(timeout=60)
        woven.drop_space("old")
        assert [space["name"] for space in woven.spaces()] == ["default", "new"]
