"""What a model declares is done or refused, never ignored."""

import warnings

import pytest
from pydantic import ValidationError

from embedded_db import (
    AlreadyExists,
    EdgeModel,
    EmbeddedDB,
    Expression,
    Field,
    InvalidInput,
    Message,
    NodeModel,
)

from .shared import Knows, Person


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


def test_declared_unique_values_are_enforced(db):
    class Account(NodeModel):
        email: str = Field(unique=True)

    db.add(Account(id="ann", email="a@b"))
    with pytest.raises(AlreadyExists, match=r'^Account\.email is unique, and the node "ann"'):
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
