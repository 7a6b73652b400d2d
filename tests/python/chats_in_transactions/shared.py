"""What the tests of chats in transactions share."""

from embedded_db import EdgeModel, NodeModel


class Person(NodeModel, label="Person"):
    name: str
    age: int | None = None


class Knows(EdgeModel, type="KNOWS"):
    since: int = 2000


def words(text):
    return len(text.split())


def contents(chat, **arguments):
    return [message.content for message in chat.messages(**arguments)]


class Never(Exception):
    """What ends a block that is to leave nothing."""


def everything(tx):
    """Every kind of write, each by the object that the transaction gave."""
    chat = tx.create_chat("Trip", topic="Paris", id="chat")
    first = chat.add_message("To Paris?", sender="Ann", id="m1")
    tx.create_message(chat, "Gladly!", sender="Bob", id="m2")
    chat.add_messages([{"content": "When?", "id": "m3"}, {"content": "In May", "id": "m4"}])
    tx.create_message("made", "by its first message", id="m5")
    old = tx.remember("Bob lives in Oslo", source=first, id="f1", about=chat)
    tx.remember("Bob lives in Rome", supersedes=old, id="f2")
    tx.add_document("One. Two.", title="Note", id="doc", max_tokens=1, count_tokens=words)
    ann, bob = Person(id="ann", name="Ann"), Person(id="bob", name="Bob")
    tx.add_all([ann, bob, Knows(source=ann, target=bob, since=2020)])
    tx.add(Person(id="eve", name="Eve"))
    return chat
