"""What an import finds already there: it is refused, stays, or is replaced, as was asked."""

import pytest

from embedded_db import AlreadyExists, InvalidInput

from .shared import content, fill


def test_taken_ids_are_listed_and_nothing_is_written(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.create_nodes([{"id": "a", "label": "Y"}, {"id": "m1", "label": "Y"}])
    before = content(other)
    with pytest.raises(AlreadyExists, match=r"2 ids .*: a, m1.*on_conflict") as caught:
        other.import_(tmp_path / "out")
    assert (caught.value.conflicts, caught.value.count) == (["a", "m1"], 2)
    assert content(other) == before


def test_what_is_there_can_stay(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.create_node({"id": "a", "label": "Y", "properties": {"own": 1}})
    other.create_embedding({"id": "own", "node_id": "a", "vector": [9, 9], "space": "other"})
    report = other.import_(tmp_path / "out", on_conflict="skip")
    assert (report.nodes, report.edges, report.embeddings) == (6, 9, 2)
    assert report.skipped == 2
    assert other.get_node("a").properties == {"own": 1}
    assert other.get_embedding_for_node("a", "other").vector.tolist() == [9, 9]
    again = other.import_(tmp_path / "out", on_conflict="skip")
    assert (again.nodes, again.edges, again.embeddings, again.skipped) == (0, 0, 0, 19)
    assert other.verify()["ok"]


def test_what_is_there_can_be_made_as_in_the_export(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.import_(tmp_path / "out")
    other.update_node("a", {"float": 7, "own": 1})
    other.delete_edge("e1")
    other.create_edge({"id": "e1", "source": "b/ü 1", "target": "a", "type": "OTHER"})
    other.update_embedding("v1", [7, 7, 7])
    other.delete_node("m2")
    report = other.import_(tmp_path / "out", on_conflict="replace")
    assert (report.nodes, report.replaced) == (1, 6 + 7 + 3)
    nodes, edges, _, embeddings = content(db)
    found = content(other)
    assert sorted(found[0]) == sorted(nodes)
    gone = set(found[1]) - set(edges)
    assert len(gone) == 0
    assert {id_: found[1][id_] for id_ in edges} == edges
    assert found[3] == embeddings
    assert other.verify()["ok"]


def test_labels_are_not_replaced(db, other, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    other.create_node({"id": "a", "label": "Y"})
    with pytest.raises(AlreadyExists, match="other labels"):
        other.import_(tmp_path / "out", on_conflict="replace")


def test_beside_others_what_was_before_is_left_out_and_counted(db, other, tmp_path):
    fill(db)
    db.retract_edge("e1")
    db.update_edge("e2", {"weight": 2.0})
    db.update_edge("e2", {"weight": 3.0})
    report = db.export(tmp_path / "out")
    assert (report.edges, report.history) == (9, 2)
    other.create_node({"id": "there", "label": "X"})
    back = other.import_(tmp_path / "out")
    assert (back.edges, back.history, back.left_out) == (8, 0, 3)
    assert other.get_edge("e1") is None
    assert [version.weight for version in other.edge_history("e2")] == [3.0]
    assert other.verify()["ok"]


def test_options_are_checked(exported, other):
    with pytest.raises(InvalidInput, match="'skip'"):
        other.import_(exported, on_conflict="skp")
    with pytest.raises(InvalidInput, match="'keep'"):
        other.import_(exported, derived="kept")
