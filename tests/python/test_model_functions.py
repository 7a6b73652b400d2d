"""What the model functions return is checked at the border: it becomes float32, or it fails.

Each answer goes through three doors: a function of the user's own that the weaver calls, one that a
query calls, and an object that is a whole model. A vector that is stored is exactly the one meant.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, InvalidInput, MLConfig
from embedded_db.testing import FakeModel

DIM = 4
QUICK: Any = {"max_attempts": 2, "first_delay": 0.01, "max_delay": 0.02}


def meant(rows: int) -> Any:
    """The vectors 1 2 3 4, 5 6 7 8, …: all of them exact in every kind of number."""
    return np.arange(1, rows * DIM + 1, dtype=np.float32).reshape(rows, DIM)


def read_only(rows: int) -> Any:
    vectors = meant(rows)
    vectors.flags.writeable = False
    return vectors


class Tensor:
    """What NumPy can make an array of."""

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.vectors, dtype)


class ElsewhereTensor:
    """An array on another device."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError("can't convert a cuda:0 tensor to numpy; use Tensor.cpu() first")


class Lying:
    """A list that is endless, and empty."""

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, at: int) -> Any:
        raise IndexError


Answer = Callable[[int], Any]

CAST: dict[str, Answer] = {
    "float32": meant,
    **{
        kind: lambda rows, kind=kind: meant(rows).astype(kind)
        for kind in ("f8", "f2", "g", ">f4", "i1", "u1", "i2", "i8", "u8")
    },
    "Fortran order": lambda rows: np.asfortranarray(meant(rows)),
    "every other number": lambda rows: np.repeat(meant(rows), 2, axis=1)[:, ::2],
    "backwards twice": lambda rows: np.ascontiguousarray(meant(rows)[:, ::-1])[:, ::-1],
    "read-only": read_only,
    "lists": lambda rows: meant(rows).tolist(),
    "tuples": lambda rows: tuple(map(tuple, meant(rows).tolist())),
    "a list of arrays": lambda rows: list(meant(rows)),
    "objects that are floats": lambda rows: meant(rows).astype(object),
    "decimals": lambda rows: [[Decimal(n) for n in row] for row in meant(rows).tolist()],
    "fractions": lambda rows: [[Fraction(n) for n in row] for row in meant(rows).tolist()],
    "a tensor": lambda rows: Tensor(meant(rows)),
    "a memoryview": lambda rows: memoryview(meant(rows)),
    "a masked array with no mask": lambda rows: np.ma.masked_array(meant(rows)),
    "an array that shares memory": lambda rows: np.broadcast_to(meant(rows), (rows, DIM)),
}

NONSENSE: dict[str, Answer] = {
    "None": lambda rows: None,
    "a list of None": lambda rows: [None] * rows,
    "rows of None": lambda rows: [[None] * DIM] * rows,
    "a text": lambda rows: "vector",
    "texts": lambda rows: ["text"] * rows,
    "digits": lambda rows: ["1234"] * rows,
    "numbers as texts": lambda rows: [["1", "2", "3", "4"]] * rows,
    "an array of texts": lambda rows: meant(rows).astype(str),
    "objects that are texts": lambda rows: meant(rows).astype(str).astype(object),
    "bytes": lambda rows: b"1234" * rows,
    "complex": lambda rows: meant(rows) + 1j,
    "complex with no imaginary part": lambda rows: meant(rows).astype(complex),
    "times": lambda rows: meant(rows).astype("M8[s]"),
    "durations": lambda rows: meant(rows).astype("m8[s]"),
    "records": lambda rows: np.zeros(rows, [("a", "f4"), ("b", "f4")]),
    "masked places": lambda rows: np.ma.masked_array(meant(rows), mask=meant(rows) > 2),
    "0 axes": lambda rows: np.float32(1),
    "0 axes in an array": lambda rows: np.array(1.0),
    "a number": lambda rows: 7,
    "1 axis": lambda rows: meant(rows)[0],
    "1 axis, one number a text": lambda rows: np.ones(rows),
    "3 axes": lambda rows: meant(rows)[:, None, :],
    "3 axes, the last of 1": lambda rows: meant(rows)[:, :, None],
    "transposed": lambda rows: meant(rows).T,
    "no rows": lambda rows: np.zeros((0, DIM)),
    "no columns": lambda rows: np.zeros((rows, 0)),
    "a row too many": lambda rows: meant(rows + 1),
    "a row too few": lambda rows: meant(rows)[:-1],
    "a column too many": lambda rows: np.ones((rows, DIM + 1)),
    "a column too few": lambda rows: np.ones((rows, DIM - 1)),
    "ragged": lambda rows: [[1.0] * (at + 1) for at in range(rows)],
    "NaN": lambda rows: meant(rows) * np.nan,
    "one NaN": lambda rows: np.where(meant(rows) == 3, np.nan, meant(rows)),
    "infinite": lambda rows: meant(rows) * np.inf,
    "infinite in 16 bits": lambda rows: np.full((rows, DIM), -np.inf, np.float16),
    "too large for 32 bits": lambda rows: meant(rows).astype(float) * 1e300,
    "too large for 64 bits": lambda rows: [[10**400] * DIM] * rows,
    "a generator": lambda rows: (row for row in meant(rows)),
    "a dict": lambda rows: dict(enumerate(meant(rows).tolist())),
    "a set": lambda rows: {1.0, 2.0, 3.0, 4.0},
    "a function": lambda rows: meant,
    "an object": lambda rows: object(),
    "a tensor elsewhere": lambda rows: ElsewhereTensor(),
    "a list that lies": lambda rows: Lying(),
}


class Whole(FakeModel):
    """A model object that answers with vectors given."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(dim=DIM)
        self.answer = answer

    def embed(self, texts: Any) -> Any:
        return self.answer(len(texts))

    def enrich(self, texts: Any, starts: Any, want_vectors: Any, want_entities: Any) -> Any:
        chosen = [at for at, wanted in enumerate(want_vectors) if wanted]
        return self.answer(len(chosen)), chosen, [[] for _ in texts]


def of_the_users_own(answer: Answer) -> Any:
    def embed(texts: list[str]) -> Any:
        return answer(len(texts))

    embed.dim = DIM  # type: ignore[attr-defined]
    return MLConfig(embedding=embed, entities=None)


doors = pytest.mark.parametrize("door", [of_the_users_own, Whole])


@doors
@pytest.mark.parametrize("answer", CAST.values(), ids=CAST.keys())
def test_numbers_of_any_kind_are_taken_as_they_are(answer, door):
    with EmbeddedDB(":memory:", ml=door(answer), weaver=QUICK, warm_up=False) as db:
        db.weaver.pause()
        messages = [db.create_message("chat", f"text {n}") for n in range(3)]
        db.weaver.resume()
        db.flush(timeout=60)
        assert [m.embedding().vector.tolist() for m in messages] == meant(3).tolist()
        found = db.query(semantic_query={"text": "x"}, labels=["Message"])
        assert found[0].node.id == messages[0].id
        assert found[0].similarity_score == pytest.approx(1, abs=1e-5)


@doors
@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_anything_else_fails_and_is_never_stored(answer, door):
    with EmbeddedDB(":memory:", ml=door(answer), weaver=QUICK, warm_up=False) as db:
        db.weaver.pause()
        messages = [db.create_message("chat", f"text {n}") for n in range(3)]
        db.weaver.resume()
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        letters = [each for each in db.weaver.dead_letters() if each["job"] == "embedding"]
        assert {letter["id"] for letter in letters} == {message.id for message in messages}
        for message in messages:
            assert message.status.embedding == "failed"
            assert message.status.error("embedding")
            assert message.embedding() is None
        assert db.stats()["embeddings"] == 0
        with pytest.raises(EnrichmentFailed):
            db.query(semantic_query={"text": "x"}, labels=["Message"])
        assert len(db.query(text_query={"text": "text"}, labels=["Message"])) == 3
        assert db.verify()["ok"]


@pytest.mark.parametrize("answer", list(NONSENSE.values())[:-1], ids=list(NONSENSE)[:-1])
def test_what_is_no_vector_of_a_model_is_none_of_a_user_either(db, answer):
    db.create_nodes([{"id": f"n{n}", "label": "X"} for n in range(3)])
    db.create_embedding({"node_id": "n0", "vector": [1, 2, 3, 4], "space": "s"})
    lsn = db.stats()["lsn"]
    with pytest.raises(InvalidInput):
        db.set_embeddings(["n0", "n1", "n2"], answer(3), "s")
    assert db.stats()["lsn"] == lsn


@pytest.mark.parametrize(
    "vector",
    [
        None,
        "1234",
        ["1", "2"],
        np.array(["1", "2"]),
        np.array([1 + 1j, 2]),
        np.array([1, 2], "M8[s]"),
        np.ma.masked_array([1.0, 2.0], mask=[0, 1]),
        [[1.0, 2.0]],
        [None, 1.0],
        7,
        b"ab",
        {1: 2},
    ],
    ids=repr,
)
def test_what_is_no_vector_of_a_node_or_a_query(db, vector):
    db.create_node({"id": "a", "label": "X"})
    db.create_embedding({"node_id": "a", "vector": [1.0, 2.0], "space": "s"})
    for call in (
        lambda: db.create_embedding({"node_id": "a", "vector": vector, "space": "s"}),
        lambda: db.query(semantic_query={"vector": vector, "space": "s"}),
        lambda: db.update_embedding(db.get_embedding_for_node("a", "s").id, vector),
    ):
        with pytest.raises((InvalidInput, TypeError)):
            call()
    assert db.get_embedding_for_node("a", "s").vector.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.ones((16, 1), np.float32), "16 rows for 1 texts"),
        (np.ones((2, 16), np.float32), "2 rows for 1 texts"),
        (np.ones((0, 16), np.float32), "0 rows for 1 texts"),
        (np.ones(16, np.float32), "1 axes"),
        (np.ones((1, 8), np.float32), "8 numbers.* a vector of 16"),
        (np.full((1, 16), np.nan, np.float32), "NaN"),
    ],
)
def test_the_vector_of_a_query_is_one_row_of_its_space(vectors, words):
    class Wrong(FakeModel):
        def embed(self, texts):
            return vectors

    with (
        EmbeddedDB(":memory:", ml=Wrong(dim=16)) as db,
        pytest.raises(EnrichmentFailed, match=words),
    ):
        db.query(semantic_query={"text": "Paris"})


WRONG_ENTITIES: dict[str, Any] = {
    "None": None,
    "nothing for any text": [],
    "None for a text": [None],
    "a text": ["Alice"],
    "no dict": [["Alice"]],
    "a key missing": [[{"text": "Alice", "label": "PERSON", "start": 0}]],
    "places swapped": [[{"text": "Alice", "label": "PERSON", "start": 5, "end": 0}]],
    "places outside": [[{"text": "Alice", "label": "PERSON", "start": 0, "end": 99}]],
    "places below zero": [[{"text": "Alice", "label": "PERSON", "start": -16, "end": -11}]],
    "another text": [[{"text": "Carol", "label": "PERSON", "start": 0, "end": 5}]],
    "places that are texts": [[{"text": "Alice", "label": "PERSON", "start": "a", "end": "b"}]],
    "a class that is no text": [[{"text": "Alice", "label": 7, "start": 0, "end": 5}]],
    "an empty class": [[{"text": "Alice", "label": "", "start": 0, "end": 5}]],
    "half a character as class": [[{"text": "Alice", "label": "\ud800", "start": 0, "end": 5}]],
    "two lists for one text": [[], []],
}


@pytest.mark.parametrize("answer", WRONG_ENTITIES.values(), ids=WRONG_ENTITIES.keys())
def test_wrong_entities_are_never_stored(answer):
    ml = MLConfig(embedding="hashing", entities=lambda texts: answer, summary=None)
    with EmbeddedDB(":memory:", ml=ml, weaver=QUICK) as db:
        message = db.create_message("chat", "Alice met Bob")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        assert message.status.entities == "failed"
        assert message.status.embedding == "ready"
        assert (message.entities(), db.count("Entity")) == ([], 0)
        assert db.verify()["ok"]


@pytest.mark.parametrize("answer", [None, 7, b"text", ["text"], object(), "\ud800", np.float32(1)])
def test_a_summary_that_is_no_text_is_never_stored(answer):
    ml = MLConfig(embedding="hashing", entities=None, summary=lambda messages: answer)
    with EmbeddedDB(":memory:", ml=ml, weaver=QUICK) as db:
        message = db.create_message("chat", "Alice met Bob")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        assert message.chat.status.to_dict()["summary"] == "failed"
        assert (message.chat.summary(), db.count("Summary")) == (None, 0)
        assert db.verify()["ok"]
