"""Edges are objects too, and relations are read when asked."""

import threading
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from embedded_db import (
    Conflict,
    EmbeddedDB,
    InvalidInput,
    NodeModel,
    NotFound,
    ReadOnly,
    Relation,
)

from .shared import Employee, Knows, Person, Subject


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
    rust = db.add(Subject(title="Rust"))
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


def count(db):
    return db.count_edges("KNOWS"), db.count_edges("LIKES")


def test_relations_go_through_the_transaction(db):
    ann, bob, eva = db.add_all([Person(id=name, name=name) for name in ("ann", "bob", "eva")])
    for name in ("ann", "ann", "eva"):
        db.get(Person, name).friends.add(bob)
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:  # noqa: PT012
        mine = tx.get(Person, "ann")
        mine.friends.add(eva)
        mine.likes.add(tx.add(Subject(id="tea", title="Tea")))
        assert mine.friends.remove(bob) == 2
        assert [friend.name for friend in mine.friends] == ["eva"]
        assert tx.get(Person, "bob").known_by.remove("eva") == 1
        assert mine.friends.remove(eva) == 1
        with pytest.raises(NotFound, match="no edge KNOWS"):
            mine.friends.remove(eva)
        with pytest.raises(NotFound, match="nobody"):
            tx.add(Person(id="new", name="New")).friends.add("nobody")
        assert count(db) == (3, 0), "outside nothing has happened"
        _ = 1 / 0
    assert count(db) == (3, 0)
    with db.transaction() as tx:
        mine = tx.get(Person, "ann")
        mine.friends.add(eva)
        assert mine.friends.remove(bob) == 2
        loop = mine.friends.add("ann")
        assert mine.friends.remove("ann") == 1
        assert tx.get_edge(loop.id) is None
    assert [friend.name for friend in ann.friends] == ["eva"]
    assert mine.friends.remove(eva) == 1, "at the commit it went over to the database"
    assert count(db) == (1, 0)
    assert db.verify()["ok"]


def test_removing_from_a_relation_meets_another_writer(db):
    _, bob, _ = db.add_all([Person(id=name, name=name) for name in ("ann", "bob", "eva")])
    edge = db.get(Person, "ann").friends.add(bob)
    with pytest.raises(Conflict), db.transaction() as tx:  # noqa: PT012
        tx.get(Person, "ann").friends.remove(bob)
        db.update_edge(edge.id, {"since": 9})
    with db.transaction() as tx:
        tx.get(Person, "ann").friends.remove(bob)
        db.create_edge({"source": "ann", "target": "eva", "type": "KNOWS"})
    assert count(db) == (1, 0), "what leads elsewhere is no conflict"


def test_a_relation_does_not_escape_a_transaction(db):
    ann, bob = db.add_all([Person(id="ann", name="Ann"), Person(id="bob", name="Bob")])
    ann.friends.add(bob)
    other = db.namespace("other")
    eva = other.add(Person(id="eva", name="Eva"))
    with EmbeddedDB(db.path, ml=None) as twin, db.transaction() as tx:
        new = tx.add(Person(name="New"))
        for write in (
            lambda: ann.friends.add(new),
            lambda: ann.friends.add(bob, since=1),
            lambda: ann.likes.add(bob),
            lambda: ann.friends.remove(bob),
            lambda: twin.get(Person, "ann").friends.add(bob),
        ):
            with pytest.raises(InvalidInput, match=r"not read in the transaction.*tx\.get"):
                write()
        assert [friend.name for friend in ann.friends] == ["Bob"], "reading goes on"
        eva.friends.add(eva)
        db.create_edge({"source": ann, "target": bob, "type": "LIKES"})
        thread = threading.Thread(target=lambda: ann.friends.add(bob))
        thread.start()
        thread.join()
    assert count(db) == (2, 1)
    assert count(other) == (1, 0), "what is in another namespace cannot be meant"
    db.run(lambda tx: tx.get(Person, "ann").friends.remove(bob))
    ann.friends.add(bob)
    assert count(db) == (1, 1)
    with db.snapshot() as snapshot, pytest.raises(ReadOnly):
        Person.where().on(snapshot).first().friends.add(bob)
