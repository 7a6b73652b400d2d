"""A vector of the user's own comes with its node or message, in one step."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedded_db import (
    AsyncEmbeddedDB,
    Config,
    DimensionMismatch,
    EmbeddedDB,
    InvalidInput,
    NonFiniteVector,
)
from embedded_db.testing import FakeModel

RED, BLUE = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]


def vector(db: Any, node: Any, space: str | None = None) -> list[float]:
    found = db.get_embedding_for_node(node, space=space)
    assert found is not None
    return list(found.vector)


def test_a_message_is_found_by_its_vector_at_once() -> None:
    with EmbeddedDB(":memory:", ml=None) as db:
        red = db.create_message("colours", "red", embedding=RED)
        db.create_message("colours", "blue", embedding=np.array(BLUE))
        assert vector(db, red) == RED
        found = db.query(semantic_query={"vector": [0.9, 0.1, 0.0]}, limit=1)
        assert [result.node.id for result in found] == [red.id]
        assert db.verify(deep=True)["ok"]


def test_every_way_to_write_takes_it() -> None:
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat(id="c")
        chat.add_message("one", id="m1", embedding=RED)
        chat.add_messages([{"content": "two", "id": "m2", "embedding": BLUE}, {"content": "three"}])
        db.create_node({"label": "Colour", "id": "n1", "embedding": RED})
        db.create_nodes([{"label": "Colour", "id": "n2", "embedding": BLUE}, {"label": "Colour"}])
        db.create_node(
            {
                "label": "Message",
                "id": "m3",
                "properties": {"chat_id": "c", "content": "four"},
                "embedding": RED,
            }
        )
        with db.transaction() as transaction:
            transaction.create_message("c", "five", id="m4", embedding=BLUE)
            transaction.create_node({"label": "Colour", "id": "n3", "embedding": RED})
            assert vector(transaction, "m4") == BLUE
            assert vector(transaction, "n3") == RED
            assert db.get_node("n3") is None
        with db.batch() as batch:
            batch.create_message("c", "six", id="m5", embedding=RED)
            batch.create_node({"label": "Colour", "id": "n4", "embedding": BLUE})
        reds, blues = ["m1", "n1", "m3", "n3", "m5"], ["m2", "n2", "m4", "n4"]
        assert [vector(db, id) for id in reds] == [RED] * len(reds)
        assert [vector(db, id) for id in blues] == [BLUE] * len(blues)
        assert len(list(db.nodes())) == len([*reds, *blues]) + 3
        assert db.verify(deep=True)["ok"]


def test_it_goes_into_the_space_that_is_named() -> None:
    with EmbeddedDB(":memory:", ml=None, config=Config(embedding_space="own")) as db:
        one = db.create_message("c", "one", embedding=RED)
        other = db.create_message("c", "two", embedding=[1.0], embedding_space="narrow")
        node = db.create_node({"label": "Colour", "embedding": BLUE})
        with db.transaction() as transaction:
            third = transaction.create_message("c", "three", embedding=BLUE)
        assert vector(db, one, "own") == RED
        assert vector(db, other, "narrow") == [1.0]
        assert vector(db, node, "own") == BLUE
        assert vector(db, third, "own") == BLUE
        assert other.get("embedding_space") is None


def test_the_weaver_leaves_it_as_it_is() -> None:
    config = Config(ml=FakeModel(dim=3))
    with EmbeddedDB(":memory:", config=config) as db:
        mine = db.create_message("c", "mine", embedding=RED)
        theirs = db.create_message("c", "theirs")
        db.flush(timeout=60)
        assert vector(db, mine) == RED
        assert vector(db, theirs) != RED
        assert mine.status.embedding == "ready"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"embedding": [1.0, 2.0]}, DimensionMismatch, "2"),
        ({"embedding": [1.0, float("nan"), 0.0]}, NonFiniteVector, "finite|NaN"),
        ({"embedding": []}, InvalidInput, "vector"),
        ({"embedding": "red"}, InvalidInput, "vector"),
        ({"embedding": [[1.0, 0.0, 0.0]]}, InvalidInput, "vector|axis"),
        ({"embedding_space": "own"}, InvalidInput, "embedding_space"),
        ({"embedding": RED, "embedding_space": ""}, InvalidInput, "space"),
    ],
)
def test_a_vector_that_cannot_be_stored_leaves_nothing(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with EmbeddedDB(":memory:", ml=None) as db:
        chat = db.create_chat(id="c")
        db.create_node({"label": "Colour", "id": "red", "embedding": RED})
        tries = [
            lambda: db.create_message("c", "text", **given),
            lambda: db.create_message("new", "text", **given),
            lambda: chat.add_messages([{"content": "good"}, {"content": "bad", **given}]),
            lambda: db.create_node({"label": "Colour", **given}),
            lambda: db.create_nodes([{"label": "Colour"}, {"label": "Colour", **given}]),
        ]
        for attempt in tries:
            with pytest.raises(error, match=said):
                attempt()
        with pytest.raises(error, match=said), db.transaction() as transaction:
            transaction.create_message("c", "text", **given)
        assert sorted(node.id for node in db.nodes()) == ["c", "red"]
        assert db.verify(deep=True)["ok"]


def test_a_step_that_fails_in_a_transaction_leaves_the_others() -> None:
    with EmbeddedDB(":memory:", ml=None) as db:
        with db.transaction() as transaction:
            transaction.create_message("c", "good", id="good", embedding=RED)
            with pytest.raises(NonFiniteVector):
                transaction.create_message("c", "bad", id="bad", embedding=[float("inf")])
            assert transaction.get_node("bad") is None
        assert [message.id for message in db.nodes("Message")] == ["good"]
        assert vector(db, "good") == RED


def test_asynchronously(tmp_path: Path) -> None:
    async def act() -> None:
        async with AsyncEmbeddedDB(tmp_path / "db", ml=None) as db:
            message = await db.create_message("c", "one", embedding=RED)
            found = await db.get_embedding_for_node(message.id)
            assert found is not None
            assert list(found.vector) == RED

    asyncio.run(act())
