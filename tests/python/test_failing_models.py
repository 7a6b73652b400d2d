"""A model function may raise anything: its work fails alone, keeps the reason, can be repeated."""

import threading
from typing import Any

import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, MLConfig
from harness.lengths import more

QUICK: Any = {"max_attempts": 3, "first_delay": 0.01, "max_delay": 0.02}


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Endless(BaseException):
    def __str__(self) -> str:
        return "x" * 10_000_000


def group() -> BaseException:
    return BaseExceptionGroup("several", [SystemExit("one"), ValueError("two")])


def surrogate() -> Exception:
    return ValueError("half a character: \ud800, and a NUL: \0")


def chained() -> Exception:
    error = ValueError("the outer")
    error.__cause__ = error.__context__ = KeyError("the inner")
    return error


RAISED: list[tuple[Any, str]] = [
    (lambda: ValueError("the reason"), "ValueError: the reason"),
    (lambda: BaseException("the reason"), "BaseException: the reason"),
    (lambda: SystemExit("the reason"), "SystemExit: the reason"),
    (lambda: SystemExit(3), "SystemExit: 3"),
    (lambda: KeyboardInterrupt("the reason"), "KeyboardInterrupt: the reason"),
    (lambda: GeneratorExit("the reason"), "GeneratorExit: the reason"),
    (lambda: StopIteration("the reason"), "StopIteration: the reason"),
    (lambda: MemoryError("the reason"), "MemoryError: the reason"),
    (lambda: RecursionError("the reason"), "RecursionError: the reason"),
    (Unprintable, "Unprintable"),
    (Endless, "Endless: xxx"),
    (group, "several"),
    (surrogate, "half a character"),
    (chained, "the outer"),
    (lambda: ZeroDivisionError, "ZeroDivisionError"),
    (lambda: 7, "TypeError: exceptions must derive from BaseException"),
]


@pytest.mark.parametrize("function", ["embedding", "entities", more("summary")])
@pytest.mark.parametrize(("make", "words"), RAISED, ids=[words[:20] for _, words in RAISED])
def test_whatever_is_raised_fails_one_piece_of_work(tmp_path, function, make, words):
    broken = threading.Event()
    broken.set()
    raised = {"embedding": 0, "entities": 0, "summary": 0}

    def raising(name, answer):
        def call(texts):
            if broken.is_set() and any("poison" in text for text in texts):
                raised[name] += 1
                raise make()
            return answer(texts)

        return call if name == function else answer

    def vectors(texts):
        return [[float(len(text)), 1.0] for text in texts]

    embedding = raising("embedding", vectors)
    embedding.dim, embedding.model = 2, "mine"
    ml = MLConfig(
        embedding=embedding,
        entities=raising("entities", lambda texts: [[] for _ in texts]),
        summary=raising("summary", lambda messages: messages[0]),
    )
    artefact = function
    poison: Any = {"text_query": {"text": "poison"}, "labels": ["Message"]}
    with EmbeddedDB(tmp_path / "memory.db", ml=ml, weaver=QUICK, warm_up=False) as db:
        good = db.create_message("good", "Alice in Paris")
        bad = db.create_message("bad", "poison for Bob")
        with pytest.raises(EnrichmentFailed) as caught:
            db.flush(timeout=60)
        failing = bad.chat if function == "summary" else bad
        assert failing.id in {failure["id"] for failure in caught.value.failures}
        assert raised[function] >= 3, "it was tried again"
        assert failing.status.to_dict()[artefact] == "failed"
        assert words in failing.status.error(artefact)
        [letter] = [each for each in db.weaver.dead_letters() if each["job"] == artefact]
        assert (letter["id"], letter["attempts"]) == (failing.id, 3)
        assert words in letter["error"]
        if isinstance(make(), BaseException):
            assert "raise make()" in letter["traceback"]
        # Nobody else is touched, neither now nor later.
        assert good.status.embedding == good.status.entities == "ready"
        assert good.chat.summary().text == "Alice in Paris"
        assert threading.active_count() < 20
        db.create_node({"id": "a", "label": "X"})
        assert [r.node.id for r in db.query(**poison)] == [bad.id]
        later = db.create_message("later", "Carol")
        db.wait_for(later, "embedding", timeout=60)
        broken.clear()
        assert db.weaver.retry_failed() >= 1
        db.flush(timeout=60)
        assert failing.status.to_dict()[artefact] == "ready"
        assert db.weaver.dead_letters() == []
        assert db.verify()["ok"]


def test_a_message_of_megabytes_is_kept_in_part(path):
    def embedding(texts):
        raise ValueError("x" * 50_000_000)

    embedding.dim = 2
    ml = MLConfig(embedding=embedding, entities=None, summary=None)
    with EmbeddedDB(path, ml=ml, weaver=QUICK, warm_up=False) as db:
        db.create_message("chat", "text")
        with pytest.raises(EnrichmentFailed) as caught:
            db.flush(timeout=60)
        assert len(str(caught.value)) < 10_000
        assert sum(len(str(letter)) for letter in db.weaver.dead_letters()) < 1_000_000
        assert db.stats()["file_bytes"] < 10_000_000
