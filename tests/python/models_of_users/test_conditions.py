"""Conditions on fields compare what is stored, and those that could not hold are refused."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from embedded_db import ConvergedQuery, EdgeModel, InvalidQuery

from .shared import Kind, Person, Pet, Size, Size2


def test_conditions_are_what_a_query_takes(db):
    for age in range(10):
        db.add(Person(name=f"p{age}", age=age, tags=["even"] if age % 2 == 0 else []))
    db.add(Person(name="nobody"))

    def ages(*conditions):
        return {person.age for person in Person.where(*conditions)}

    assert ages(Person.age == 3) == {3}
    assert ages(Person.age >= 8) == {8, 9}
    assert ages(Person.age > 8, Person.age < 100) == {9}
    assert ages(Person.age <= 1) == {0, 1}
    assert ages((Person.age < 1) | (Person.age > 8)) == {0, 9}
    assert ages(~(Person.age > 0) & (Person.age >= 0)) == {0}
    assert ages(Person.tags == ["even"], Person.age != 2) == {0, 4, 6, 8}
    age, name, tags = (getattr(Person, field) for field in ("age", "name", "tags"))
    assert ages(age.in_([1, 2, 99])) == {1, 2}
    assert ages(age.between(3, 4)) == {3, 4}
    assert ages(age.not_in(range(1, 10)), name != "nobody") == {0}
    assert ages(name.startswith("p"), name.endswith("5")) == {5}
    assert ages(tags.contains("even")) == {0, 2, 4, 6, 8}
    assert ages(name.exists()) == {*range(10), None}
    assert ages(tags.missing()) == set()
    results = db.query(structural_filters=[Person.age == 3], labels=["Person"])
    assert [result.node["age"] for result in results] == [3]


def test_conditions_do_not_pretend_to_be_true():
    with pytest.raises(InvalidQuery, match="between"):
        _ = 1 < Person.age < 3
    with pytest.raises(InvalidQuery, match=r"& \| ~"):
        _ = (Person.age > 1) and (Person.age < 3)
    with pytest.raises(InvalidQuery, match="True is no condition"):
        Person.where(True)
    with pytest.raises(InvalidQuery, match="no condition"):
        _ = (Person.age > 1) & True
    with pytest.raises(AttributeError, match="Person has no field 'agee'.*'age'"):
        Person.agee  # noqa: B018
    assert Person(name="x", age=3).age == 3


def test_conditions_compare_what_is_stored(pets):
    """A value that an object may hold finds the object, whatever it is stored as."""

    def found(*conditions):
        return {pet.id for pet in pets.where(*conditions)}

    assert found(Pet.kind == Kind.DOG) == {"rex", "kim"}
    assert found(Pet.kind != Kind.DOG) == {"tom"}
    assert found(Pet.kind.in_([Kind.CAT])) == found(Pet.kind.not_in([Kind.DOG])) == {"tom"}
    assert found(Pet.size > Size2.SMALL) == {"rex"}
    assert found(Pet.born == date(2020, 2, 28)) == {"tom"}
    assert found(Pet.born >= date(2020, 2, 28)) == {"tom"}
    assert found(Pet.born > date(2020, 2, 28)) == set()
    assert found(Pet.born < date(1000, 1, 1)) == {"rex"}
    assert found(Pet.born.between(date(1, 1, 1), date(2020, 2, 27))) == {"rex"}
    assert found(Pet.born == None) == {"kim"}  # noqa: E711
    assert found(Pet.price == Decimal("9")) == {"kim"}
    assert found(Pet.walk == timedelta(minutes=5)) == {"tom", "rex", "kim"}
    assert found(Pet.chip <= uuid.UUID(int=8)) == {"tom", "rex", "kim"}
    assert found(Pet.friends.contains(Kind.DOG)) == {"tom"}
    assert found(Pet.friends == [Kind.DOG]) == {"tom"}
    assert found(Pet.basket == Size(width=3)) == {"kim"}
    assert found(Pet.basket["width"] == 3) == {"kim"}
    query = ConvergedQuery(structural_filters=[Pet.born >= date(2000, 1, 1)])
    assert ConvergedQuery.from_dict(query.to_dict()) == query


def test_conditions_that_could_not_hold_are_refused(pets):
    for wrong, said in [
        (lambda: Pet.price > Decimal("2"), r"Pet\.price is stored as a text.*Decimal.*number"),
        (lambda: Pet.walk.between(timedelta(0), timedelta(1)), r"Pet\.walk.*text"),
        (lambda: Pet.born >= datetime(2020, 1, 1, tzinfo=UTC), r"Pet\.born is a date.*\.date\(\)"),
        (lambda: Pet.seen >= date(2020, 1, 1), r"Pet\.seen is a time.*time zone"),
        (lambda: Pet.kind == object(), r"Pet\.kind.*cannot be stored"),
    ]:
        with pytest.raises(InvalidQuery, match=said):
            wrong()
    with pytest.raises(TypeError, match="not iterable"):
        list(Pet.name)


def test_conditions_on_edges_compare_what_is_stored(db):
    class Met(EdgeModel, type="MET"):
        on: date

    ann, bob, eva = db.add_all([Person(name=name) for name in ("Ann", "Bob", "Eva")])
    db.add_all(
        [
            Met(source=ann, target=bob, on=date(2020, 5, 1)),
            Met(source=ann, target=eva, on=date(2021, 5, 1)),
        ]
    )
    late = {"start": ann, "edge_types": ["MET"], "edge_filters": [Met.on > date(2020, 12, 31)]}
    assert [r.node.id for r in db.query(graph_filter=late)] == [eva.id]
