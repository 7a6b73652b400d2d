"""What the weaver made is kept, or made again."""

import json
import math

import numpy as np
import pytest

from embedded_db import EmbeddedDB, InvalidInput
from embedded_db.testing import FakeModel

from .shared import content, sign_again, woven_database


def test_what_the_weaver_made_is_made_again(tmp_path, model):
    with (
        woven_database(tmp_path / "one.db", model) as db,
        EmbeddedDB(tmp_path / "two.db", ml=FakeModel()) as other,
    ):
        paris = next(e for e in db.nodes("Entity") if e.label == "Paris")
        db.create_edge({"id": "mine", "source": "m1", "target": paris.id, "type": "ABOUT"})
        report = db.export(tmp_path / "out")
        back = other.import_(tmp_path / "out", derived="rebuild")
        assert back.derived == "rebuild"
        assert back.left_out > 0
        assert back.nodes + back.edges + back.embeddings + back.left_out == (
            report.nodes + report.edges + report.embeddings
        )
        other.flush(timeout=60)
        assert other.get_node("m1").status.to_dict() == db.get_node("m1").status.to_dict()
        for id_ in ("m1", "m2"):
            mentioned = [
                sorted(e.label for e in each.get_node(id_).entities()) for each in (db, other)
            ]
            assert mentioned[0] == mentioned[1]
            vectors = [each.get_node(id_).embedding().vector for each in (db, other)]
            assert np.array_equal(*vectors)
        assert other.get_node("chat").summary().text == db.get_node("chat").summary().text
        [kept] = list(other.neighbors("m1", "ABOUT"))
        assert kept.label == "Paris", "an edge of the user's keeps what it leads to"
        assert other.verify()["ok"]


def test_what_the_weaver_made_can_be_kept_without_one(tmp_path, model, other):
    with woven_database(tmp_path / "one.db", model) as db:
        db.export(tmp_path / "out")
        report = other.import_(tmp_path / "out")
        assert (report.derived, report.left_out) == ("keep", 0)
        assert content(other) == content(db)
        assert [e.label for e in other.get_entities_mentioned_in("m1")]
        assert other.verify()["ok"]
        with pytest.raises(InvalidInput, match="makes the same once more"):
            db.import_(tmp_path / "out", derived="keep")


def test_the_parts_of_a_long_text_become_one_vector_beside_others(tmp_path, other, model):
    with woven_database(tmp_path / "one.db", model) as db:
        db.export(tmp_path / "out")
    folder = tmp_path / "out" / "0000"
    lines = (folder / "embeddings-0.jsonl").read_text().splitlines()
    parts = [json.loads(lines[0]), {**json.loads(lines[0]), "id": "part2", "part": 1}]
    (folder / "embeddings-0.jsonl").write_text("".join(json.dumps(each) + "\n" for each in parts))
    vectors = np.zeros((2, 256), np.float32)
    vectors[0, 0] = vectors[1, 1] = 1
    np.save(folder / "embeddings-0.npy", vectors)
    sign_again(tmp_path / "out")
    whole = other.namespace("whole")
    whole.import_(tmp_path / "out")
    assert [part.part for part in whole.get_embeddings_for_node("m1", "fake")] == [0, 1]
    other.create_node({"id": "there", "label": "X"})
    other.import_(tmp_path / "out")
    joined = other.get_embedding_for_node("m1", "fake").vector
    assert joined[:3] == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0])
