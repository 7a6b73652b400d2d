"""Classes that the tests of declared models store."""

import enum
import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel, field_validator

from embedded_db import Attr, EdgeModel, Field, NodeModel, Relation


class Knows(EdgeModel, type="KNOWS"):
    since: int = 0


class Person(NodeModel, label="Person"):
    name: str = Field(index=True, min_length=1)
    age: int | None = None
    tags: list[str] = Field(default_factory=list)

    friends = Relation["Person"](Knows)
    known_by = Relation["Person"](Knows, direction="in")
    likes = Relation["Subject"]("LIKES")
    anything = Relation("LIKES")


class Employee(Person, label="Employee"):
    salary: float


class Subject(NodeModel):
    title: Attr[str]


class Size(BaseModel):
    width: int
    unit: str = "m"


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
