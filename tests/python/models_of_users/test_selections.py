"""A selection is lazy, and is read, ordered, counted and changed as a whole."""

import gc
from datetime import date

import pytest
from pydantic import ConfigDict

from embedded_db import (
    DELETE,
    ConvergedQuery,
    Expression,
    InvalidInput,
    InvalidQuery,
    Message,
    NodeModel,
    ReadOnly,
)

from .shared import Kind, Person, Pet, Size, Size2

MOOD = Expression[str]("mood")


def test_a_selection_is_lazy_and_can_be_kept(woven):
    chat = woven.create_chat()
    chat.add_messages(
        [{"content": f"Rust and Paris {n}", "sender": "Ann" if n % 2 else "Bob"} for n in range(9)]
    )
    woven.flush(timeout=60)
    by_ann = Message.where(Message.chat_id == chat.id).where(Message.sender == "Ann")
    assert len(list(by_ann)) == 4
    chat.add_message("Rust once more", sender="Ann")
    assert len(list(by_ann)) == 5, "each iteration asks anew"
    woven.flush(timeout=60)
    best = by_ann.matching("once rust").similar_to("Rust once more").limit(2)
    assert [type(message) for message in best] == [Message, Message]
    assert best.first().content == "Rust once more"
    [first, _] = best.results()
    assert first.similarity_score > 0.8
    assert first.text_score > 0
    paris = next(e for m in chat.messages() for e in m.entities() if e.label == "Paris")
    near = Message.where().connected_to(paris, via="MENTIONS")
    assert len(list(near)) == 9
    assert near.to_query().to_dict()["graph_filter"]["start"] == [paris.id]
    assert list(Message.where(Message.sender == "Zoe")) == []
    assert Message.where(Message.sender == "Zoe").first() is None
    with pytest.raises(InvalidQuery, match="limit"):
        list(by_ann.limit(0))


def test_a_selection_asks_the_one_open_handle(db, tmp_path):
    db.add(Person(name="Ann"))
    assert [person.name for person in Person.where()] == ["Ann"]
    space = db.namespace("user-1")
    with pytest.raises(InvalidInput, match=r"2 database handles.*on\(db\)"):
        list(Person.where())
    assert list(Person.where().on(space)) == []
    space.close()
    del space
    gc.collect()
    with db.snapshot() as snapshot, db.transaction() as tx:
        db.add(Person(name="Bob"))
        assert [person.name for person in Person.where().on(snapshot)] == ["Ann"]
        assert [person.name for person in Person.where().on(tx)] == ["Ann"]
        assert snapshot.get_node("x") is None
    assert len(list(Person.where())) == 2
    with pytest.raises(InvalidInput, match="cannot be queried"):
        Person.where().on("db")
    db.close()
    with pytest.raises(InvalidInput, match="no database is open"):
        list(Person.where())


def test_a_selection_is_changed_as_a_whole(db):
    db.add_all([Person(name=f"p{n}", age=n) for n in range(10)])
    old = Person.where(Person.age >= 5)
    assert old.count() == 5
    assert old.limit(2).count() == 2
    with pytest.raises(InvalidInput):
        old.update(age=object())
    assert db.update_matching(old.to_query(), {"mood": "young"}) == 5
    assert old.update(age=1) == 5
    assert old.count() == 0
    assert {person.extra["mood"] for person in Person.where(Person.age == 1, MOOD.exists())} == {
        "young"
    }
    with db.snapshot() as snapshot, pytest.raises(ReadOnly):
        Person.where().on(snapshot).delete()
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:  # noqa: PT012
        assert Person.where(Person.age > 1).on(tx).delete() == 3
        assert tx.get_node(Person.where(Person.name == "p2").first()) is None
        _ = 1 / 0
    assert Person.where().count() == 10
    assert Person.where(Person.age <= 1).delete() == 7
    assert {person.name for person in Person.where()} == {"p2", "p3", "p4"}
    chat = db.create_chat()
    chat.add_messages([{"content": text} for text in "abc"])
    with db.transaction():
        assert Message.where(Message.chat_id == chat.id).update(read=True) == 3
    assert db.verify()["ok"]


def test_a_selection_is_never_cut_silently(db):
    db.create_nodes([{"label": "Person", "properties": {"name": "x"}} for _ in range(10_001)])
    assert len({person.id for person in Person.where()}) == 10_001
    assert len(list(Person.where().limit(10_000))) == 10_000
    assert Person.where().count() == 10_001


def test_a_change_of_many_is_checked_like_one(pets, db):
    before = [db.get_node(id).properties for id in ("kim", "rex", "tom")]
    for changes, said in [
        ({"kind": "fish"}, r"Pet\.kind cannot be 'fish'.*It has to be Kind"),
        ({"size": "huge"}, r"Pet\.size cannot be 'huge'"),
        ({"born": "soon"}, r"Pet\.born cannot be 'soon'.*date"),
        ({"name": 5}, r"Pet\.name cannot be 5.*It has to be str"),
        ({"name": ""}, r"Pet\.name cannot be ''"),
        ({"name": "7"}, r"Pet\.name cannot be '7': .*a number is no name"),
        ({"basket": {"width": "wide"}}, r"Pet\.basket cannot be .*width"),
        ({"nmae": "Tim"}, r"Pet has no field 'nmae'.*'name'.*update_matching"),
        ({"name": DELETE}, r"Pet\.name cannot be deleted"),
        ({"id": "new"}, r"Pet\.id is kept"),
        ({"kind": Kind.DOG, "born": 2.5}, r"Pet\.born cannot be 2\.5"),
    ]:
        for selection in (pets, pets.limit(2)):
            with pytest.raises(InvalidInput, match=said):
                selection.update(**changes)
    with pytest.raises(InvalidInput, match="fish"), db.transaction() as tx:
        pets.on(tx).update(kind="fish")
    assert [db.get_node(id).properties for id in ("kim", "rex", "tom")] == before


def test_a_change_of_many_is_stored_as_an_object_is(pets, db):
    one = Pet(name="new", kind=Kind.DOG, born=date(2024, 2, 29), basket=Size(width=1))
    values = {name: getattr(one, name) for name in ("name", "kind", "born", "basket", "price")}
    assert pets.where(Pet.size == Size2.LARGE).update(**values) == 1
    db.add(one)
    for name in values:
        assert db.get_node("rex")[name] == db.get_node(one.id)[name]
    assert pets.limit(1).update(kind="dog", born="2021-01-01") == 1
    assert pets.update(kind=DELETE) == 4
    assert {pet.kind for pet in pets} == {Kind.CAT}
    with db.transaction() as tx:
        assert pets.on(tx).update(size=Size2.LARGE) == 4
    assert db.get_node("tom")["size"] == 2


def test_a_change_of_many_of_a_class_that_allows_more(db):
    class Bag(NodeModel):
        model_config = ConfigDict(extra="allow")
        colour: str = "red"

    db.add(Bag(id="bag"))
    assert Bag.where().update(kind=Kind.DOG, colour="blue") == 1
    assert db.get_node("bag").properties == {"colour": "blue", "kind": "dog"}


def test_a_change_of_many_of_a_class_that_names_itself(db):
    class Step(NodeModel):
        title: str
        then: "Step | None" = None

    Step.model_rebuild(_types_namespace={"Step": Step})
    db.add(Step(id="a", title="a"))
    assert Step.where().update(then={"id": "b", "title": "b"}) == 1
    assert db.get(Step, "a").then.title == "b"
    with pytest.raises(InvalidInput, match=r"then.*title"):
        Step.where().update(then={"titel": "b"})


def test_what_the_database_keeps_is_not_changed_of_many_either(db):
    db.create_message("chat", "text")
    with pytest.raises(InvalidInput, match=r"Message\.chat_id is kept"):
        Message.where().update(chat_id="other")
    assert Message.where().update(read=True) == 1


def test_an_order_is_said_by_fields(pets, db):
    def ids(*order):
        return [pet.id for pet in pets.order_by(*order)]

    assert ids(Pet.name) == ids(Pet.name.asc()) == ids("name") == ["kim", "rex", "tom"]
    assert ids(Pet.name.desc()) == ids(("name", "desc")) == ["tom", "rex", "kim"]
    assert ids(Pet.kind, Pet.name.desc()) == ["tom", "rex", "kim"]
    assert ids(Pet.born.desc()) == ["tom", "rex", "kim"], "what has no date comes last"
    for order in ([Pet.name.desc()], [(Pet.name, "desc")]):
        found = db.query(labels=["Pet"], order_by=order)
        assert [result.node.id for result in found] == ["tom", "rex", "kim"]
        query = ConvergedQuery(labels=["Pet"], order_by=order)
        assert query.to_dict()["order_by"] == [("name", "desc")]
    chat = db.create_chat()
    chat.add_messages([{"content": text, "metadata": {"n": n}} for n, text in enumerate("ab")])
    last = Message.where().order_by(Message.metadata["n"].desc()).on(db).first()
    assert last.content == "b"
    for wrong in (Pet.name == "x", 5, None, (Pet.name, "down"), (Pet.name,)):
        with pytest.raises(InvalidQuery, match=r"order_by\[0\]"):
            ids(wrong)
    with pytest.raises(InvalidQuery, match=r"'-name'.*\('name', \"desc\"\)"):
        ids("-name")


def test_groups_are_counted_by_fields(pets, db):
    assert pets.group_count(Pet.kind) == pets.group_count("kind") == {"dog": 2, "cat": 1}
    assert db.group_count(pets.to_query(), Pet.size) == {1: 2, 2: 1}
    assert pets.group_count(Pet.basket["width"]) == {None: 2, 3: 1}
