"""Classes that users declare are stored and read like the built-in ones.

An object is a pydantic object; what is stored is what it holds, and what others stored beside it
stays.
"""

import enum
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, ValidationError

from embedded_db import (
    AlreadyExists,
    Conflict,
    EmbeddedDB,
    Field,
    InvalidInput,
    Message,
    NodeModel,
    NotFound,
)

from .shared import Employee, Knows, Person, Size


def test_an_object_is_stored_and_read(db):
    ann = Person(name="Ann", age=41)
    assert ann.id.startswith("person_")
    assert len(ann.id) == len("person_") + 32
    assert not ann.stored
    assert ann.changed
    assert (ann.version, ann.created_at) == (0, None)
    assert db.add(ann) is ann
    assert ann.stored
    assert not ann.changed
    assert (ann.version, ann.labels) == (1, ["Person"])
    assert ann.created_at == ann.updated_at
    node = db.get_node(ann.id)
    assert node.labels == ["Person"]
    assert node.properties == {"name": "Ann", "age": 41, "tags": []}
    found = db.get(Person, ann.id)
    assert found == ann
    assert found is not ann
    assert db.get(Person, "nobody") is None
    with pytest.raises(AlreadyExists, match=ann.id):
        db.add(Person(id=ann.id, name="Ann"))


def test_ids_follow_the_databases_own(db):
    class HTTPServer2Go(NodeModel):
        pass

    made = db.add(HTTPServer2Go())
    theirs = db.create_node({"label": "HTTPServer2Go"})
    assert made.id[:-32] == theirs[:-32]
    assert uuid.UUID(made.id[-32:]).version == uuid.UUID(theirs[-32:]).version == 7
    assert abs(int(made.id[-32:-20], 16) - int(theirs[-32:-20], 16)) < 60_000
    assert len(db.add(type("Ü" * 120, (NodeModel,), {})()).id.encode()) <= 255


def test_what_pydantic_refuses_is_refused(db):
    with pytest.raises(ValidationError):
        Person()
    with pytest.raises(ValidationError):
        Person(name="")
    with pytest.raises(ValidationError, match="nmae"):
        Person(name="Ann", nmae="Ann")
    ann = db.add(Person(name="Ann"))
    with pytest.raises(ValidationError):
        ann.age = "old"
    with pytest.raises(ValidationError, match="frozen"):
        ann.id = "other"
    assert ann.age is None
    assert not ann.changed


def test_changes_are_stored_by_save_and_only_they(db):
    ann = db.add(Person(name="Ann", tags=["a"]))
    db.update_node(ann.id, {"mood": "glad"})
    ann.refresh()
    assert ann.extra == {"mood": "glad"}
    ann.age = 5
    ann.tags.append("b")
    assert ann.changed
    assert repr(ann).startswith("Person*(id=")
    ann.save()
    assert not ann.changed
    assert ann.version == 3
    assert db.get_node(ann.id).properties == {
        "name": "Ann",
        "age": 5,
        "tags": ["a", "b"],
        "mood": "glad",
    }
    version = ann.version
    ann.save()
    assert ann.version == version, "nothing to save is no write"
    del ann.extra["mood"]
    ann.extra["weight"] = 60.5
    ann.save()
    assert db.get(Person, ann.id).extra == {"weight": 60.5}


def test_an_outdated_object_does_not_overwrite(db):
    mine = db.add(Person(name="Ann"))
    theirs = db.get(Person, mine.id)
    theirs.age = 1
    theirs.save()
    mine.name = "Anna"
    with pytest.raises(Conflict):
        mine.save()
    assert db.get(Person, mine.id).name == "Ann"
    assert mine.name == "Anna", "the change is kept for another try"
    mine.save(force=True)
    assert (mine.name, mine.age) == ("Anna", 1), "what others changed stays"
    theirs.refresh()
    assert theirs == mine
    mine.delete()
    with pytest.raises(NotFound):
        theirs.refresh()
    theirs.age = 2
    with pytest.raises(NotFound):
        theirs.save()
    with pytest.raises(NotFound):
        theirs.delete()


def test_what_is_not_stored_yet_says_so(db):
    ann = Person(name="Ann")
    for call in (ann.save, ann.refresh, ann.delete, lambda: list(ann.friends)):
        with pytest.raises(InvalidInput, match="not stored yet"):
            call()


class Colour(enum.Enum):
    RED = "red"


class Everything(NodeModel):
    flag: bool = True
    number: float = 1.5
    data: bytes = b"\x00\xff"
    when: datetime = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    elsewhere: datetime = datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5)))
    day: date = date(2026, 1, 2)
    span: timedelta = timedelta(seconds=90)
    price: Decimal = Decimal("1.10")
    key: uuid.UUID = uuid.UUID(int=7)
    colour: Colour = Colour.RED
    pair: tuple[int, str] = (1, "a")
    names: set[str] = Field(default={"x"})
    size: Size = Size(width=3)
    sizes: dict[int, Size] = Field(default={1: Size(width=4)})
    nothing: None = None


def test_values_of_every_kind_come_back(db):
    one = db.add(Everything())
    found = db.get(Everything, one.id)
    assert found == one
    assert not found.changed
    assert not one.changed
    stored = db.get_node(one.id).properties
    assert stored["when"] == one.when
    assert stored["data"] == b"\x00\xff"
    assert stored["day"] == "2026-01-02"
    assert stored["size"] == {"width": 3, "unit": "m"}
    assert stored["sizes"] == {"1": {"width": 4, "unit": "m"}}
    with pytest.raises(InvalidInput, match="time zone"):
        db.add(Everything(when=datetime(2026, 1, 2)))


@given(
    name=st.text(min_size=1).filter(lambda text: text.isprintable()),
    age=st.none() | st.integers(-(2**63), 2**63 - 1),
    tags=st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_any_value_comes_back(name, age, tags):
    with EmbeddedDB(":memory:", ml=None) as db:
        ann = db.add(Person(name=name, age=age, tags=tags))
        found = db.get(Person, ann.id)
        assert found == ann
        assert not found.changed


def test_a_bool_is_no_int(db):
    class Loose(NodeModel):
        value: bool | int | float

    one = db.add(Loose(value=1))
    one.value = True
    assert one.changed
    one.save()
    assert db.get_node(one.id)["value"] is True


def test_subclasses_have_the_labels_of_their_bases(db):
    eva = db.add(Employee(name="Eva", salary=10.0))
    ann = db.add(Person(name="Ann"))
    assert db.get_node(eva.id).labels == ["Employee", "Person"]
    assert isinstance(db.get(Person, eva.id), Employee)
    assert {type(found) for found in Person.where()} == {Employee, Person}
    assert [found.name for found in Employee.where()] == ["Eva"]
    with pytest.raises(InvalidInput, match=r"Person, no Employee"):
        db.get(Employee, ann.id)


def test_what_is_stored_has_to_fit(db):
    db.create_node({"id": "odd", "label": "Person", "properties": {"age": "old"}})
    with pytest.raises(InvalidInput, match=r"odd.*name"):
        db.get(Person, "odd")
    assert db.get_node("odd")["age"] == "old"


def test_extra_fields_may_be_allowed(db):
    class Open(NodeModel):
        model_config = ConfigDict(extra="allow")
        name: str

    one = db.add(Open(name="x", mood="glad"))
    found = db.get(Open, one.id)
    assert found.mood == "glad"
    found.mood = "sad"
    found.save()
    assert db.get_node(one.id)["mood"] == "sad"


def test_all_or_nothing(db):
    ann = Person(name="Ann")
    with pytest.raises(NotFound):
        db.add_all([ann, Knows(source=ann, target="nobody")])
    assert db.count() == 0
    assert not ann.stored
    with pytest.raises(InvalidInput, match="cannot be added"):
        db.add_all([ann, "text"])
    for wrong in (7, ann):
        with pytest.raises(InvalidInput, match="no list"):
            db.add_all(wrong)
    for wrong in (7, str, Message):
        with pytest.raises(InvalidInput, match="no model.*get_node"):
            db.get(wrong, "x")
    with pytest.raises(AlreadyExists):
        db.add_all([ann, Person(id=ann.id, name="Twin")])
    assert db.count() == 0
    people = [Person(name=f"p{n}") for n in range(100)]
    edges = [Knows(source=a, target=b) for a, b in pairwise(people)]
    db.add_all([*edges, *people])
    assert (db.count("Person"), db.count_edges("KNOWS")) == (100, 99)
    assert db.verify()["ok"]


def test_in_a_transaction(db):
    with db.transaction() as tx:
        ann = tx.add(Person(name="Ann"))
        bob = tx.add(Person(name="Bob"))
        ann.age = 3
        ann.save()
        ann.friends.add(bob, since=7)
        assert tx.get(Person, ann.id).age == 3
        assert [friend.name for friend in ann.friends] == ["Bob"]
        assert db.get(Person, ann.id) is None
    assert db.get(Person, ann.id).age == 3
    with pytest.raises(NotFound), db.transaction() as tx:
        tx.add(Person(name="Eva")).friends.add("nobody")
    assert db.count("Person") == 2


def test_equality_and_representation(db):
    ann = db.add(Person(id="ann", name="<b>Ann</b>"))
    same = db.get(Person, "ann")
    assert same == ann
    assert hash(same) == hash(ann)
    assert {ann, same} == {ann}
    same.age = 3
    assert same != ann
    assert repr(ann) == str(ann) == "Person(id='ann', name='<b>Ann</b>', tags=[])"
    assert "<b>Ann" not in ann._repr_html_()
    assert "&lt;b&gt;Ann" in ann._repr_html_()
    assert len(repr(Person(name="x" * 10_000))) < 300


def test_an_object_that_expires(db):
    guest = db.add(Person(name="Guest"), ttl=3600)
    assert guest.expires_at - guest.created_at == timedelta(hours=1)
    assert db.add(Person(name="Ann")).expires_at is None
    with db.transaction() as tx:
        other = tx.add(Person(name="Other"), ttl=timedelta(minutes=1))
        assert other.expires_at is not None
    assert other.expires_at - other.created_at == timedelta(minutes=1)
    for wrong in (0, -1, "long", float("nan")):
        with pytest.raises(InvalidInput, match="ttl"):
            db.add(Person(id="never", name="Never"), ttl=wrong)
    with pytest.raises(InvalidInput, match="edges do not expire"):
        db.add(Knows(source=guest, target=other), ttl=60)
    assert (db.count("Person"), db.count_edges()) == (3, 0)


def test_an_object_belongs_to_one_namespace(db, tmp_path):
    other = db.namespace("other")
    ann, bob = db.add_all([Person(id="ann", name="Ann"), Person(id="bob", name="Bob")])
    knows = db.add(Knows(source=ann, target=bob))
    with EmbeddedDB(tmp_path / "second.db", ml=None) as second:
        for handle in (other, second):
            for each in (ann, knows):
                with pytest.raises(InvalidInput, match=r"namespace 'default'.*model_dump\(\)"):
                    handle.add(each)
            with pytest.raises(InvalidInput, match="'ann' belongs"):
                handle.add_all([Person(name="New"), ann])
            with pytest.raises(InvalidInput, match="'ann' belongs"), handle.transaction() as tx:
                tx.add(ann)
            assert handle.count() == 0
            copy = handle.add(Person(**ann.model_dump()))
            assert (copy.id, copy.name) == ("ann", "Ann")
    ann.age = 5
    ann.save()
    assert db.get(Person, "ann").age == 5, "it stayed where it belongs"
    assert other.get(Person, "ann").age is None
    with pytest.raises(AlreadyExists):
        db.add(ann)
    ann.delete()
    assert db.add(ann).version == 1, "what was deleted may come back"
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:  # noqa: PT012
        eva = tx.add(Person(id="eva", name="Eva"))
        _ = 1 / 0
    assert db.add(eva).stored, "so may what a transaction did not keep"
