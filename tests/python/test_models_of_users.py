"""Classes that users declare are stored, read, asked for and changed like the built-in ones.

An object is a pydantic object; what is stored is what it holds, what others stored beside it stays,
and what a model declares is done or refused, never ignored.
"""

import enum
import gc
import uuid
import warnings
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from embedded_db import (
    DELETE,
    AlreadyExists,
    Attr,
    Conflict,
    ConvergedQuery,
    EdgeModel,
    EmbeddedDB,
    Expression,
    Field,
    InvalidInput,
    InvalidQuery,
    Message,
    NodeModel,
    NotFound,
    ReadOnly,
    Relation,
)

MOOD = Expression[str]("mood")


class Knows(EdgeModel, type="KNOWS"):
    since: int = 0


class Person(NodeModel, label="Person"):
    name: str = Field(index=True, min_length=1)
    age: int | None = None
    tags: list[str] = Field(default_factory=list)

    friends = Relation["Person"](Knows)
    known_by = Relation["Person"](Knows, direction="in")
    likes = Relation["Topic"]("LIKES")
    anything = Relation("LIKES")


class Employee(Person, label="Employee"):
    salary: float


class Topic(NodeModel):
    title: Attr[str]


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


class Size(BaseModel):
    width: int
    unit: str = "m"


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


@pytest.mark.filterwarnings("ignore:Field name")
def test_names_that_every_model_has_are_refused():
    with pytest.raises(InvalidInput, match=r"version.*version_"):

        class Wrong(NodeModel):
            version: int

    with pytest.raises(InvalidInput, match="Message"):

        class Message_(NodeModel, label="Message"):
            pass

    with pytest.raises(InvalidInput, match="empty"):

        class Nothing(EdgeModel, type=""):
            pass


def test_a_field_may_be_declared_anew():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Strict(Person, label="Strict"):
            age: int

    assert isinstance(Strict.age, Expression)
    with pytest.raises(ValidationError):
        Strict(name="x")
    assert Person(name="x").age is None


# --- declarations ---------------------------------------------------------------------------------


def test_declared_unique_values_are_enforced(db):
    class Account(NodeModel):
        email: str = Field(unique=True)

    db.add(Account(id="ann", email="a@b"))
    with pytest.raises(AlreadyExists, match=r'Account\.email is unique, and the node "ann"'):
        db.add(Account(email="a@b"))
    assert [(i.label, i.property, i.unique) for i in db.indexes()] == [("Account", "email", True)]
    assert [a.id for a in Account.where(Account.email == "a@b")] == ["ann"]


def test_declared_texts_are_found_by_words_and_meaning(woven):
    class Bio(NodeModel, label="Bio"):
        name: str = Field(text=True)
        about: str = Field(embed=True, text=True)

    woven.add(Bio(id="ann", name="Ann", about="climbs mountains"))
    woven.add(Bio(id="bob", name="Bob", about="bakes bread"))
    woven.flush()
    assert [b.id for b in Bio.where().matching("mountains")] == ["ann"]
    assert [b.id for b in Bio.where().matching("bob")] == ["bob"]
    assert next(iter(Bio.where().similar_to("bakes bread"))).id == "bob"
    assert woven.verify()["problems"] == []


def test_declared_indexes_are_made_once(db, monkeypatch):
    made = []

    def create_index(self, label, name, unique=False):
        made.append((label, name, unique))

    monkeypatch.setattr(EmbeddedDB, "create_index", create_index, raising=False)

    class Indexed(NodeModel):
        a: str = Field(index=True)
        b: str = Field(unique=True)
        c: str = Field(default="", max_length=3)

    db.register(Indexed, Knows)
    db.add(Indexed(a="x", b="y"))
    assert made == [("Indexed", "a", False), ("Indexed", "b", True)]
    with pytest.raises(ValidationError):
        Indexed(a="x", b="y", c="long")
    with pytest.raises(InvalidInput, match="no model"):
        db.register(Message)


# --- conditions -----------------------------------------------------------------------------------


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


def test_a_selection_is_lazy_and_can_be_kept(woven):
    chat = woven.create_chat()
    chat.add_messages(
        [{"content": f"Rust and Paris {n}", "sender": "Ann" if n % 2 else "Bob"} for n in range(9)]
    )
    woven.flush(timeout=30)
    by_ann = Message.where(Message.chat_id == chat.id).where(Message.sender == "Ann")
    assert len(list(by_ann)) == 4
    chat.add_message("Rust once more", sender="Ann")
    assert len(list(by_ann)) == 5, "each iteration asks anew"
    woven.flush(timeout=30)
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


class Kind(enum.Enum):
    CAT = "cat"
    DOG = "dog"


class Size2(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Pet(NodeModel, label="Pet"):
    name: str = Field(min_length=1)
    kind: Kind = Kind.CAT
    size: Size2 = Size2.SMALL
    born: date | None = None
    seen: datetime | None = None
    price: Decimal = Decimal("1.10")
    walk: timedelta = timedelta(minutes=5)
    chip: uuid.UUID = uuid.UUID(int=7)
    friends: list[Kind] = Field(default_factory=list)
    basket: Size | None = None

    @field_validator("name")
    @classmethod
    def no_numbers(cls, name: str) -> str:
        if name.isdigit():
            raise ValueError("a number is no name")
        return name.title()


@pytest.fixture
def pets(db):
    db.add_all(
        [
            Pet(id="tom", name="Tom", born=date(2020, 2, 28), friends=[Kind.DOG]),
            Pet(id="rex", name="Rex", kind=Kind.DOG, size=Size2.LARGE, born=date(999, 12, 31)),
            Pet(id="kim", name="Kim", kind=Kind.DOG, basket=Size(width=3), price=Decimal("9")),
        ]
    )
    return Pet.where().on(db)


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


# --- edges and relations --------------------------------------------------------------------------


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
