"""Nodes of any label are found by their texts once the label is declared.

What is declared holds for nodes that were there before and for new ones, in every process, and a
text that changes is found by what it says now.
"""

from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, InvalidInput, ReadOnly
from embedded_db.testing import FakeModel


def books(db: EmbeddedDB, *titles: str) -> list[str]:
    return db.create_nodes([{"label": "Book", "properties": {"title": title}} for title in titles])


def found(db: EmbeddedDB, words: str) -> list[str]:
    results = db.query(text_query={"text": words}, labels=["Book"])
    return [result.node["title"] for result in results]


def test_words_are_found_before_and_after(db: EmbeddedDB) -> None:
    norway, _ = books(db, "Hiking in Norway", "Baking bread")
    assert found(db, "norway") == []
    db.declare_label("Book", text=["title"])
    assert found(db, "norway") == ["Hiking in Norway"]
    books(db, "The fjords of Norway")
    assert len(found(db, "norway")) == 2
    db.update_node(norway, {"title": "Hiking in Spain"})
    assert found(db, "norway") == ["The fjords of Norway"]
    db.declare_label("Book", text=["blurb"])
    assert found(db, "norway") == []
    db.update_node(norway, {"blurb": "nothing of Norway"})
    assert found(db, "norway") == ["Hiking in Spain"]
    assert db.verify()["problems"] == []


def test_a_snapshot_keeps_its_declaration(db: EmbeddedDB) -> None:
    books(db, "Hiking in Norway")
    db.declare_label("Book", text=["title"])
    with db.snapshot() as before:
        assert len(before.query(text_query={"text": "norway"}, labels=["Book"])) == 1
        db.declare_label("Book", text=["other"])
        assert found(db, "norway") == []
        assert len(before.query(text_query={"text": "norway"}, labels=["Book"])) == 1
        assert found(db, "norway") == []


def test_each_namespace_has_its_own(db: EmbeddedDB, path: Path) -> None:
    other = db.namespace("other")
    books(db, "Norway")
    books(other, "Norway")
    other.declare_label("Book", text=["title"])
    assert (found(db, "norway"), found(other, "norway")) == ([], ["Norway"])
    assert db.declared_labels() == {}
    assert other.declared_labels() == {"Book": {"text": ["title"], "embed": []}}
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        assert found(reader.namespace("other"), "norway") == ["Norway"]
        with pytest.raises(ReadOnly):
            reader.declare_label("Book", text=[])


def test_vectors_are_made_of_old_and_new_nodes(woven: EmbeddedDB, model: FakeModel) -> None:
    ids = books(woven, *(f"book {n} of Norway" for n in range(2500)))
    woven.create_node({"label": "Book"})
    woven.declare_label("Book", embed=["title"])
    new = books(woven, "a new one")[0]
    woven.flush()
    assert all(woven.get_embedding_for_node(id) is not None for id in [ids[0], ids[-1], new])
    assert woven.stats()["embeddings"] == 2501
    near = woven.query(semantic_query={"text": "book 77 of Norway"}, labels=["Book"], limit=1)
    assert near[0].node["title"] == "book 77 of Norway"
    before = woven.get_embedding_for_node(ids[77])
    woven.update_node(ids[77], {"title": "another"})
    woven.flush()
    after = woven.get_embedding_for_node(ids[77])
    assert before is not None
    assert after is not None
    assert list(before.vector) != list(after.vector), "it is that of the new title"
    woven.declare_label("Book", embed=[])
    woven.flush()
    assert woven.stats()["embeddings"] == 0
    assert woven.verify()["problems"] == []


def test_users_vectors_stay(woven: EmbeddedDB) -> None:
    mine, _ = books(woven, "one", "two")
    woven.set_embeddings([mine], [[1.0] + [0.0] * (woven.spaces()[0]["dim"] - 1)])
    woven.declare_label("Book", embed=["title"])
    woven.flush()
    vector = woven.get_embedding_for_node(mine)
    assert vector is not None
    assert vector.vector[0] == 1.0
    assert woven.stats()["embeddings"] == 2
    assert woven.verify()["problems"] == []


def test_work_is_taken_up_after_reopening(path: Path, model: FakeModel) -> None:
    with EmbeddedDB(path, ml=None) as db:
        books(db, *(f"book {n}" for n in range(2500)))
        db.declare_label("Book", embed=["title"])
    with EmbeddedDB(path, ml=model) as db:
        db.flush()
        assert db.stats()["embeddings"] == 2500
        assert db.verify()["problems"] == []


def test_own_labels_are_refused(db: EmbeddedDB) -> None:
    with pytest.raises(InvalidInput, match="label of the database's own"):
        db.declare_label("Message", text=["sender"])
    with pytest.raises(InvalidInput, match="text is 'title'"):
        db.declare_label("Book", text="title")
    assert db.declared_labels() == {}
