"""Promise: the engine answers what it has learnt, when it is sure enough, and nothing else.

It never holds more than it may, and the least useful leaves first; threads may use it at the same
time; objects that nobody can find any more are gone. Bad input is an error that changes nothing.
"""

import copy
import gc
import math
import pickle
import threading
import weakref

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from embedded_db import (
    BadText,
    IntuitionConfig,
    IntuitionEngine,
    InvalidInput,
    NotFound,
    ValueTooLarge,
)

KEYS = st.sampled_from([*"abcdefgh", "", "ein längerer Schlüssel " * 9, "\0", "日本"])
SHARES = st.floats(0, 1)


class Answer:
    """Can be watched."""


class Machine(RuleBasedStateMachine):
    """The engine beside a dict of answers and confidences."""

    def __init__(self):
        super().__init__()
        self.engine = IntuitionEngine.create(IntuitionConfig(min_confidence=0.5), capacity=8)
        self.model = {}
        self.hits = self.lookups = 0

    @rule(key=KEYS, answer=st.integers() | st.text(), confidence=SHARES)
    def learn(self, key, answer, confidence):
        self.engine.learn(key, answer, confidence)
        if key not in self.model and len(self.model) == 8:
            gone = [known for known in self.model if self.engine.confidence(known) is None]
            assert len(gone) == 1
            del self.model[gone[0]]
        self.model[key] = (answer, confidence)

    @rule(key=KEYS)
    def lookup(self, key):
        answer, confidence = self.model.get(key, (None, 0))
        expected = answer if confidence >= 0.5 else None
        assert self.engine.lookup(key) == expected
        self.lookups += 1
        self.hits += expected is not None

    @precondition(lambda self: self.model)
    @rule(data=st.data(), verdict=st.sampled_from("ync"))
    def feedback(self, data, verdict):
        key = data.draw(st.sampled_from(sorted(self.model)))
        answer, confidence = self.model[key]
        if verdict == "c":
            answer, confidence = "corrected", 1.0
            assert self.engine.feedback(key, "c", correction="corrected") == 1.0
        else:
            new = confidence + (1 - confidence) * 0.2 if verdict == "y" else confidence * 0.5
            confidence = self.engine.feedback(key, verdict)
            assert confidence == pytest.approx(new)
        self.model[key] = (answer, confidence)

    @rule(key=KEYS)
    def forget(self, key):
        assert self.engine.forget(key) == (self.model.pop(key, None) is not None)

    @rule()
    def clear(self):
        self.engine.clear()
        self.model.clear()

    @invariant()
    def counts(self):
        stats = self.engine.stats()
        assert stats["total_reflexes"] == len(self.engine) == len(self.model) <= 8
        assert (stats["hits"], stats["hits"] + stats["misses"]) == (self.hits, self.lookups)
        for key, (_, confidence) in self.model.items():
            assert self.engine.confidence(key) == confidence


TestMachine = Machine.TestCase


def test_what_is_not_sure_enough_is_kept_and_not_said():
    engine = IntuitionEngine.with_defaults()
    engine.learn("exactly", 1, 0.8)
    engine.learn("nearly", 2, 0.79)
    assert engine.lookup("exactly") == 1
    assert engine.lookup("nearly") is None
    assert engine.feedback("nearly", "y") == pytest.approx(0.832)
    assert engine.lookup("nearly") == 2
    assert engine.feedback("nearly", "n") == pytest.approx(0.416)
    assert engine.lookup("nearly") is None
    assert len(engine) == 2


def test_the_least_useful_leaves_first():
    engine = IntuitionEngine.create(capacity=3)
    engine.learn("often", 1, 0.9)
    engine.learn("once", 2, 0.9)
    engine.learn("never", 3, 0.9)
    for _ in range(5):
        engine.lookup("often")
    engine.lookup("once")
    engine.learn("new", 4, 0.9)
    assert engine.confidence("never") is None
    engine.lookup("new")
    engine.lookup("new")
    engine.learn("newer", 5, 0.9)
    assert engine.confidence("once") is None
    engine.feedback("often", "n")
    engine.feedback("often", "n")
    engine.feedback("often", "n")
    engine.learn("newest", 6, 0.9)
    assert engine.confidence("often") is None
    assert engine.stats()["evicted"] == 3
    assert {key for key in ("new", "newer", "newest") if engine.lookup(key)} == {
        "new",
        "newer",
        "newest",
    }


def test_every_way_to_make_one():
    config = IntuitionConfig(min_confidence=0.25, reward=1, penalty=1, corrected_confidence=0.3)
    built = (
        IntuitionEngine.builder()
        .min_confidence(0.25)
        .reward(1)
        .penalty(1)
        .corrected_confidence(0.3)
        .capacity(7)
        .build()
    )
    for engine in (IntuitionEngine.create(config=config, capacity=7), built):
        engine.learn("key", "answer", 0.25)
        assert engine.lookup("key") == "answer"
        assert engine.feedback("key", "y") == 1.0
        assert engine.feedback("key", "n") == 0.0
        assert engine.feedback("key", "c", "other") == 0.3
        assert engine.stats()["capacity"] == 7
        assert repr(engine) == "IntuitionEngine(1 of 7 reflexes)"
    assert IntuitionEngine.with_defaults().stats() == {
        "total_reflexes": 0,
        "capacity": 50_000,
        "hits": 0,
        "misses": 0,
        "learned": 0,
        "evicted": 0,
        "avg_fast_path_time_ns": 0.0,
    }


def test_an_engine_is_no_value():
    engine = IntuitionEngine.with_defaults()
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copied(engine)


def test_lookups_are_timed():
    engine = IntuitionEngine.with_defaults()
    engine.learn("key", "answer", 1.0)
    for _ in range(20_000):
        engine.lookup("key")
    assert 0 < engine.stats()["avg_fast_path_time_ns"] <= 10_000


ENGINE_ERRORS = [
    (lambda e: e.learn("k", 1, math.nan), InvalidInput, "confidence is NaN"),
    (lambda e: e.learn("k", 1, 1.01), InvalidInput, "confidence is 1.01"),
    (lambda e: e.learn("k", 1, -0.5), InvalidInput, "confidence is -0.5"),
    (lambda e: e.learn("k", 1, "sure"), TypeError, None),
    (lambda e: e.learn("k", 1), TypeError, None),
    (lambda e: e.learn("k", None, 0.9), InvalidInput, "answer is None"),
    (lambda e: e.learn(7, 1, 0.9), TypeError, None),
    (lambda e: e.learn(b"k", 1, 0.9), TypeError, None),
    (lambda e: e.learn("\ud800", 1, 0.9), BadText, "surrogate"),
    (lambda e: e.learn("k" * 70_000, 1, 0.9), ValueTooLarge, "70000"),
    (lambda e: e.lookup(None), TypeError, None),
    (lambda e: e.lookup("\ud800"), BadText, None),
    (lambda e: e.feedback("unknown", "y"), NotFound, "unknown"),
    (lambda e: e.feedback("unknown", "c", 2), NotFound, "unknown"),
    (lambda e: e.feedback("k", "maybe"), InvalidInput, "verdict is 'maybe'"),
    (lambda e: e.feedback("k", "Y"), InvalidInput, "verdict is 'Y'"),
    (lambda e: e.feedback("k", True), TypeError, None),
    (lambda e: e.feedback("k", "c"), InvalidInput, "no correction"),
    (lambda e: e.feedback("k", "y", 2), InvalidInput, "correction"),
    (lambda e: e.feedback("k", "n", correction=2), InvalidInput, "correction"),
    (lambda e: e.forget(1), TypeError, None),
    (lambda e: e.confidence(1), TypeError, None),
]


@pytest.mark.parametrize(("wrong", "error", "says"), ENGINE_ERRORS)
def test_a_wrong_call_changes_nothing(wrong, error, says):
    engine = IntuitionEngine.create(capacity=4)
    engine.learn("k", "answer", 0.9)
    before = engine.stats()
    with pytest.raises(error) as raised:
        wrong(engine)
    assert says is None or says in str(raised.value)
    assert engine.stats() == before
    assert (engine.lookup("k"), engine.confidence("k")) == ("answer", 0.9)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: IntuitionEngine.create(capacity=0), InvalidInput),
        (lambda: IntuitionEngine.create(capacity=-1), InvalidInput),
        (lambda: IntuitionEngine.create(capacity=2**24 + 1), InvalidInput),
        (lambda: IntuitionEngine.create(capacity=10**30), InvalidInput),
        (lambda: IntuitionEngine.create(capacity=1.5), TypeError),
        (lambda: IntuitionEngine.create(config={"min_confidence": 0.8}), InvalidInput),
        (lambda: IntuitionEngine(), TypeError),
        (lambda: IntuitionConfig(min_confidence=math.nan), InvalidInput),
        (lambda: IntuitionConfig(reward=-0.1), InvalidInput),
        (lambda: IntuitionConfig(penalty=2), InvalidInput),
        (lambda: IntuitionConfig(corrected_confidence="1"), InvalidInput),
        (lambda: IntuitionConfig(min_confidence=True), InvalidInput),
        (lambda: IntuitionEngine.builder().min_confidence(math.inf), InvalidInput),
        (lambda: IntuitionEngine.builder().capacity(0).build(), InvalidInput),
    ],
)
def test_no_engine_is_made_of_wrong_options(wrong, error):
    with pytest.raises(error):
        wrong()


def test_what_nobody_can_find_is_gone():
    engine = IntuitionEngine.create(capacity=2)
    watched = []

    def answer():
        made = Answer()
        watched.append(weakref.ref(made))
        return made

    engine.learn("replaced", answer(), 0.9)
    engine.learn("replaced", answer(), 0.9)
    engine.feedback("replaced", "c", answer())
    assert [there() is not None for there in watched] == [False, False, True]
    engine.learn("forgotten", answer(), 0.9)
    engine.forget("forgotten")
    engine.learn("other", answer(), 0.9)
    engine.learn("evicts", answer(), 0.9)
    assert sum(there() is not None for there in watched) == len(engine) == 2
    with pytest.raises(NotFound):
        engine.feedback("unknown", "c", answer())
    assert watched[-1]() is None
    held = engine.lookup("evicts")
    del engine
    assert [there() for there in watched if there() is not None] == [held]


def test_an_engine_that_knows_itself_is_collected():
    engine = IntuitionEngine.create(capacity=4)
    engine.learn("me", engine, 0.9)
    engine.learn("mine", [engine.lookup], 0.9)
    there = weakref.ref(engine)
    del engine
    gc.collect()
    assert there() is None


def test_an_answer_may_use_the_engine_when_it_ends():
    engine = IntuitionEngine.create(capacity=2)

    class Talks:
        def __del__(self):
            engine.learn("last words", "farewell", 0.9)

    for number in range(10):
        engine.learn(str(number), Talks(), 0.9)
        engine.learn(str(number), Talks(), 0.9)
        engine.forget(str(number))
    assert engine.lookup("last words") == "farewell"
    engine.clear()


def test_threads_may_do_everything_at_the_same_time():
    """An answer is always that of its key, whatever the others do; no more than may be there."""
    engine = IntuitionEngine.create(capacity=50)
    failures = []
    begin = threading.Barrier(8)

    def work(number):
        try:
            begin.wait()
            for step in range(4000):
                key = str((step * 7 + number * 13) % 80)
                match (step + number) % 8:
                    case 0:
                        engine.learn(key, (key, step), 0.9)
                    case 1:
                        engine.forget(str(step % 80))
                    case 2:
                        try:
                            engine.feedback(key, "c", correction=(key, "corrected"))
                        except NotFound:
                            engine.learn(key, (key, "new"), 1.0)
                    case _:
                        answer = engine.lookup(key)
                        assert answer is None or answer[0] == key
                assert len(engine) <= 50
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    stats = engine.stats()
    assert stats["hits"] + stats["misses"] == 8 * 4000 * 5 // 8
    assert stats["hits"] > 0


def test_many_reflexes_do_not_take_more_than_their_places():
    engine = IntuitionEngine.create(capacity=1000)
    for number in range(50_000):
        engine.learn(f"question {number}", number, 0.9)
    stats = engine.stats()
    assert (stats["total_reflexes"], stats["evicted"]) == (1000, 49_000)
    assert engine.lookup("question 49999") == 49_999
