"""What type checkers have to make of models; `make lint` runs mypy and pyright over this file.

A line that has to be an error carries ``type: ignore``, which both refuse where it is not needed.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal, assert_type

from embedded_db import (
    Attr,
    Chat,
    Condition,
    EdgeModel,
    EmbeddedDB,
    Expression,
    Fact,
    Field,
    Message,
    NodeModel,
    Part,
    Related,
    Relation,
    Selection,
)
from embedded_db.models import Property


class Knows(EdgeModel, type="KNOWS"):
    since: int


class Person(NodeModel, label="Person"):
    name: str = Field(index=True)
    nick: Attr[str | None] = Field(default=None)
    age: int = 3

    friends: ClassVar = Relation["Person"](Knows)


def objects(db: EmbeddedDB) -> None:
    ann = db.add(Person(name="Ann"))
    assert_type(ann, Person)
    assert_type(ann.name, str)
    assert_type(ann.nick, str | None)
    assert_type(db.add_all([ann]), list[Person])
    assert_type(db.get(Person, "x"), Person | None)
    assert_type(db.get(Knows, "x"), Knows | None)
    assert_type(ann.friends, Related[Person])
    assert_type(list(ann.friends), list[Person])
    assert_type(Knows(source=ann, target="bob", since=3).since, int)
    assert_type(Knows.of(ann), Iterator[Knows])
    ann.nick = "A"


def conditions() -> None:
    assert_type(Person.nick, Expression[str | None])
    assert_type(Person.nick == "A", Condition)
    assert_type(Person.nick.in_(["A"]) | (Person.nick != "B"), Condition)
    assert_type(Message.sender, Property[str | None])
    assert_type(Message.sender == "Ann", Condition)
    assert_type(Person.where(Person.name == "Ann", Person.age >= 18), Selection[Person])
    assert_type(list(Person.where(Person.nick == "A").limit(3)), list[Person])
    assert_type(Message.where(Message.role == "user").first(), Message | None)
    assert_type(Fact.where(Fact.superseded_by.missing()).first(), Fact | None)
    assert_type(list(Part.where().matching("x")), list[Part])
    assert_type(Person.where().order_by(Person.age, Person.nick.desc()), Selection[Person])
    assert_type(Message.sender.asc(), tuple[str, Literal["asc"]])


def assistants(chat: Chat) -> None:
    message = chat.add_message([{"type": "text", "text": "Hello"}])
    assert_type(message, Message)
    assert_type(message.previous, Message | None)
    assert_type(message.content, str)
    assert_type(list(chat.messages()), list[Message])


def mistakes(db: EmbeddedDB, ann: Person) -> None:
    Person()  # type: ignore[call-arg]
    Person(name=3)  # type: ignore[arg-type]
    Person(name="Ann", nope=1)  # type: ignore[call-arg]
    db.query(labels=["Person"], order_by=[3])  # type: ignore[list-item]
    Knows(since=1)  # type: ignore[call-arg]
    ann.nick = 5  # type: ignore[assignment]
    Person.where("Ann")  # type: ignore[arg-type]
    db.add("Ann")  # type: ignore[type-var]
    db.get(str, "x")  # type: ignore[type-var]
