"""Edges are objects too, and relations are read when asked."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from embedded_db import Conflict, InvalidInput, NodeModel, NotFound, Relation

from .shared import Employee, Knows, Person, Topic


def test_edges_are_objects(db):
    ann, bob = db.add_all([Person(name="Ann"), Person(name="Bob")])
    edge = db.add(Knows(source=ann, target=bob.id, since=2020, weight=0.5))
    assert (edge.source, edge.target) == (ann.id, bob.id)
    stored = db.get_edge(edge.id)
    assert (stored.type, stored.weight, stored["since"]) == ("KNOWS", 0.5, 2020)
    assert db.get(Knows, edge.id) == edge
    edge.since = 2021
    edge.weight = 1.0
    edge.valid_from = datetime(2020, 1, 1, tzinfo=UTC)
    edge.save()
    assert (edge.version, edge.changed) == (2, False)
    edge.since = 2022
    edge.save()
    edge.since = 2021
    edge.save(force=True)
    assert edge.version == 4
    other = db.get(Knows, edge.id)
    assert (other.since, other.weight, other.valid_from) == (2021, 1.0, edge.valid_from)
    other.valid_from = None
    other.save()
    assert db.get_edge(edge.id).valid_from is None
    edge.since = 2022
    with pytest.raises(Conflict):
        edge.save()
    edge.refresh()
    assert (edge.since, edge.valid_from) == (2021, None)
    with pytest.raises(ValidationError, match="frozen"):
        edge.source = bob
    with pytest.raises(NotFound):
        db.add(Knows(source=ann, target="nobody"))
    edge.delete()
    with pytest.raises(NotFound):
        edge.refresh()
    assert db.get(Knows, edge.id) is None


def test_relations_are_read_when_asked(db):
    ann, bob, eva = db.add_all(
        [Person(name="Ann"), Person(name="Bob"), Employee(name="Eva", salary=1.0)]
    )
    assert list(ann.friends) == []
    assert ann.friends.first() is None
    friends = ann.friends
    knows = friends.add(bob, since=2020)
    assert isinstance(knows, Knows)
    friends.add(eva.id)
    assert [friend.name for friend in friends] == ["Bob", "Eva"]
    assert isinstance(list(friends)[1], Employee)
    assert [person.name for person in bob.known_by] == ["Ann"]
    eva.known_by.add(bob, since=1)
    assert [(edge.source, edge.since) for edge in Knows.of(eva, "in")] == [
        (ann.id, 0),
        (bob.id, 1),
    ]
    rust = db.add(Topic(title="Rust"))
    plain = ann.likes.add(rust, strength=3)
    assert plain["strength"] == 3
    city = db.create_node({"label": "City"})
    ann.anything.add(city)
    assert list(ann.likes) == [rust], "only nodes of the model"
    assert {node.id for node in ann.anything} == {rust.id, city}
    friends.add(bob)
    assert friends.remove(bob) == 2
    assert [friend.name for friend in friends] == ["Eva"]
    with pytest.raises(NotFound, match=bob.id):
        friends.remove(bob)
    with pytest.raises(ValidationError, match="friends"):
        ann.friends = [bob]
    assert isinstance(Person.friends, Relation)


def test_a_relation_names_a_model_of_its_own_module(db):
    def declare(module, wanted):
        relation = Relation[wanted]("LIKES")
        space = {"__module__": module, "__qualname__": "Thing", "likes": relation}
        return type("Thing", (NodeModel,), space)

    one, other = declare("one", "Thing"), declare("other", "Thing")
    assert one.likes.model() is one
    assert other.likes.model() is other
    with pytest.raises(InvalidInput, match=r"several.*one, other"):
        type("Far", (NodeModel,), {"x": Relation["Thing"]("LIKES")}).x.model()
    with pytest.raises(InvalidInput, match="no model is called 'Thign'.*'Thing'"):
        declare("fourth", "Thign").likes.model()
