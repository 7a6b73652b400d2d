"""Objects can be copied, and a copy belongs where they belong; none of a database is pickled."""

import copy
import pickle

import pytest

from embedded_db import Conflict, EdgeModel, InvalidInput, NodeModel


class Person(NodeModel, label="Person"):
    name: str
    age: int | None = None


class Knows(EdgeModel, type="KNOWS"):
    since: int = 2000


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_go_over_too(db, copied):
    with db.transaction() as tx:
        chat, person = tx.create_chat("Trip", id="chat"), tx.add(Person(id="ann", name="Ann"))
        knows = tx.add(Knows(source="ann", target="ann"))
        chat["tags"] = ["a"]
        copies = copied(chat), copied(person), copied(knows), person.model_copy()
        assert copies[:3] == (chat, person, knows)
    for each in copies:
        assert each.version == 1
    copies[0]["tags"].append("b")
    assert chat["tags"] == (["a"] if copied is copy.deepcopy else ["a", "b"])
    assert copies[0].add_message("x").chat == db.get_node("chat")
    copies[1].age, copies[2].since = 3, 1999
    copies[1].save()
    copies[2].save()
    assert (db.get(Person, "ann").age, db.get_edge(knows.id)["since"]) == (3, 1999)
    copies[3].name = "Eve"
    with pytest.raises(Conflict):
        copies[3].save()


def test_plain_nodes_and_edges_can_be_copied(db):
    db.create_nodes([{"id": "a", "label": "X"}])
    edge = db.get_edge(db.create_edge({"source": "a", "target": "a", "type": "T"}))
    for each in (db.get_node("a"), edge):
        assert copy.copy(each).id == copy.deepcopy([each])[0].id == each.id


def test_what_belongs_to_a_database_says_why_it_cannot_be_pickled(db):
    db.create_node({"id": "a", "label": "X"})
    edge = db.create_edge({"source": "a", "target": "a", "type": "T"})
    space = db.create_embedding({"node_id": "a", "vector": [1.0], "space": "s"})
    chat, ann = db.create_chat(), Person(id="ann", name="Ann")
    assert pickle.loads(pickle.dumps(ann)) == ann
    for each in (db.get_node("a"), db.get_edge(edge), db.get_embedding(space), chat, db.add(ann)):
        with pytest.raises(InvalidInput, match="cannot be pickled.* its id"):
            pickle.dumps(each)
