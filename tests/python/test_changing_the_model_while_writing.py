"""Whatever is written while texts are embedded again, each text is found or is counted as pending.

After the switch each has exactly one vector, of its present words, of the new model.
"""

import random
import threading

import numpy as np
import pytest

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel
from harness.waiting import eventually

WEAVER = {
    "activity_level": "Normal",
    "max_attempts": 3,
    "first_delay": 0.01,
    "max_delay": 0.02,
    "batch_size": 2,
}
MANY = 1000


class Stepped(FakeModel):
    """Enriches a batch for each step of a test, until it is let go."""

    def __init__(self, **given):
        super().__init__(**given)
        self.steps = threading.Semaphore(0)
        self.taken = 0
        self.free = False

    def enrich(self, *given):
        if not self.free:
            self.steps.acquire()
            self.taken += 1
        return super().enrich(*given)

    def let_go(self):
        self.free = True
        self.steps.release()

    def __enter__(self):
        self.free = False
        return self

    def __exit__(self, *_):
        self.let_go()


class Writing:
    """A database and what must be in it: texts, and vectors that were set by hand."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.texts = {}
        self.given = {}
        self.number = 0

    def add(self, db, count=1):
        for _ in range(count):
            self.number += 1
            id, text = f"m{self.number}", f"words {self.random.randrange(60)}"
            db.create_message("chat", text, id=id)
            self.texts[id] = text

    def step(self, db):
        """One change."""
        chosen = self.random.choice(sorted(self.texts))
        match self.random.randrange(6):
            case 0 | 1:
                self.add(db)
            case 2 | 3:
                self.texts[chosen] = f"edited {self.random.randrange(60)}"
                db.update_node(chosen, {"content": self.texts[chosen]})
            case 4:
                db.delete_node(chosen)
                del self.texts[chosen]
                self.given.pop(chosen, None)
            case _:
                space = self.random.choice(["old", "new", "mine"])
                if space in {each["name"] for each in db.spaces()}:
                    dim = next(each["dim"] for each in db.spaces() if each["name"] == space)
                    vector = np.array([self.random.random() for _ in range(dim)], np.float32)
                    db.set_embeddings([chosen], [vector], space=space)
                    self.given.setdefault(chosen, {})[space] = vector

    def assert_all_there_or_pending(self, db):
        found = db.query(semantic_query={"text": "words"}, labels=["Message"], limit=MANY)
        assert {hit.node.id for hit in found} <= set(self.texts)
        assert len(found) + found.pending == len(self.texts)

    def assert_embedded(self, db, model, space):
        for id, text in self.texts.items():
            [part] = db.get_embeddings_for_node(id, space)
            right = self.given.get(id, {}).get(space)
            right = model.embed([text])[0] if right is None else right
            assert np.allclose(part.vector, right, atol=1e-6), (id, text)
        for id, spaces in self.given.items():
            for name, vector in spaces.items():
                assert np.array_equal(db.get_embedding_for_node(id, name).vector, vector)
        living = sum(1 for _ in db.nodes("Message"))
        assert living == len(self.texts)
        assert db.verify(deep=True)["problems"] == []


@pytest.mark.parametrize("with_old", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_missing_and_nothing_is_stale(path, seed, with_old):
    writing = Writing(seed)
    old, new = FakeModel(dim=8, model="old"), Stepped(dim=6, model="new")
    with EmbeddedDB(path, ml=old, weaver=WEAVER, durability="relaxed") as db:
        db.create_chat(id="chat")
        writing.add(db, 150)
        db.set_embeddings(["m1"], [[1.0, 0.0, 0.0]], space="mine")
        writing.given["m1"] = {"mine": np.array([1, 0, 0], np.float32)}
        db.flush(timeout=60)
        for _ in range(30):
            writing.step(db)
        writing.assert_all_there_or_pending(db)
    previous = {"previous_ml": old} if with_old else {}
    sizes, steps = set(), 0
    for _ in range(3):
        # Closed in the middle twice.
        options = {"weaver": WEAVER, "durability": "relaxed", **previous}
        with EmbeddedDB(path, ml=new, **options) as db, new:
            for _ in range(40):
                steps += 1
                before = new.taken
                new.steps.release()
                writing.step(db)
                eventually(
                    lambda before=before: (
                        new.taken > before or db.weaver_status()["reembedding"] is None
                    ),
                    "the step is taken, or was the last",
                )
                told = db.weaver_status()["reembedding"]
                sizes.add(told and told["done"])
                if with_old or told is None:
                    writing.assert_all_there_or_pending(db)
    with EmbeddedDB(path, ml=new, weaver=WEAVER, durability="relaxed") as db:
        db.flush(timeout=60)
        assert db.weaver_status()["reembedding"] is None
        writing.assert_all_there_or_pending(db)
        writing.assert_embedded(db, new, "new")
    assert len(sizes) > 9, f"{steps} steps were not in the middle of it"


@pytest.mark.parametrize("seed", range(2))
def test_to_and_fro_while_writing(path, seed):
    writing = Writing(seed)
    models = [FakeModel(dim=8, model="old"), FakeModel(dim=6, model="new")]
    with EmbeddedDB(path, ml=models[0], weaver=WEAVER, durability="relaxed") as db:
        db.create_chat(id="chat")
        writing.add(db, 60)
        db.flush(timeout=60)
    for turn in range(8):
        model, other = models[turn % 2], models[1 - turn % 2]
        with EmbeddedDB(
            path, ml=model, previous_ml=other, weaver=WEAVER, durability="relaxed"
        ) as db:
            for _ in range(writing.random.randrange(1, 12)):
                writing.step(db)
                writing.assert_all_there_or_pending(db)
            assert db.verify()["problems"] == []
    with EmbeddedDB(path, ml=models[0], weaver=WEAVER, durability="relaxed") as db:
        db.flush(timeout=60)
        writing.assert_embedded(db, models[0], "old")


class Turned(FakeModel):
    """Vectors of the same length as another model's, which say something else."""

    def _vectors(self, texts):
        return np.ascontiguousarray(-np.roll(super()._vectors(texts), 3, axis=1))


def test_no_answer_mixes_two_models(path, in_threads):
    straight, turned = FakeModel(dim=16, model="straight"), Turned(dim=16, model="turned")
    count, changes = 60, 12
    with EmbeddedDB(path, ml=straight, weaver=WEAVER, durability="relaxed") as db:
        db.create_chat(id="chat").add_messages(
            [{"id": f"m{n}", "content": f"word{n} of many"} for n in range(count)]
        )
        db.flush(timeout=60)
    asked = 0
    for change in range(changes):
        model, other = (turned, straight) if change % 2 == 0 else (straight, turned)
        # What was kept is used again, so every second change is quick.
        with EmbeddedDB(
            path, ml=model, previous_ml=other, weaver=WEAVER, durability="relaxed"
        ) as db:
            done = threading.Event()

            def ask(db=db, done=done):
                nonlocal asked
                while not done.is_set():
                    n = asked % count
                    asked += 1
                    query = {"text": f"word{n} of many"}
                    found = db.query(semantic_query=query, limit=count, labels=["Message"])
                    assert (len(found), found.pending) == (count, 0)
                    assert found[0].node.id == f"m{n}"
                    assert found[0].similarity_score > 0.99

            def wait(db=db, done=done):
                try:
                    db.flush(timeout=60)
                    assert db.weaver_status()["reembedding"] is None
                finally:
                    done.set()

            in_threads(ask, wait)
            if change % 2 == 0:
                db.drop_space("straight")
                db.flush(timeout=60)
    assert asked > changes
