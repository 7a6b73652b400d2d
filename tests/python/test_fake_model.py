"""The model for tests does what a test asks of it, to the calls that it names, and to no others."""

import threading

import numpy as np
import pytest

from embedded_db import InvalidInput
from embedded_db.testing import FakeModel, ModelFailure


def enrich(model, *texts):
    every = [True] * len(texts)
    return model.enrich(list(texts), [0] * len(texts), every, every)


def in_background(call):
    """Start a call; give what tells that it has ended."""
    ended = threading.Event()

    def run():
        call()
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    return ended


def test_texts_that_share_words_are_similar():
    model = FakeModel()
    vectors = model.embed(["red apple", "red apples", "a red apple", "blue sky", ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1] > vectors[0] @ vectors[3] + 0.2
    np.testing.assert_array_equal(FakeModel().embed(["red apple"])[0], vectors[0])


def test_entities_are_the_names_it_knows_behind_the_start():
    _, owner, entities = FakeModel().enrich(
        ["Bob: Alice, Alicexyz", "Paris"], [5, 0], [False, True], [True, False]
    )
    assert owner.tolist() == [1]
    assert entities == [[{"text": "Alice", "label": "PERSON", "start": 0, "end": 5}], []]


def test_a_failure_happens_as_often_and_where_it_was_asked_for():
    model = FakeModel()
    model.fail("raise", times=2, containing="poison")
    enrich(model, "good")
    for _ in range(2):
        with pytest.raises(ModelFailure, match="enrich"):
            enrich(model, "good", "poison")
    enrich(model, "poison")
    assert model.embedded == {"good": 1, "poison": 1}
    assert model.calls["enrich"] == 4


def test_only_calls_that_were_told_to_hang_do():
    model = FakeModel()
    model.fail("hang", containing="poison")
    hanging = in_background(lambda: enrich(model, "poison"))
    other = in_background(lambda: enrich(model, "good"))
    assert other.wait(timeout=60), "it waits though it holds no poison"
    assert not hanging.is_set()
    model.release()
    assert hanging.wait(timeout=60)


def test_held_calls_go_on_when_they_are_released():
    model = FakeModel()
    model.hold()
    held = in_background(lambda: model.embed(["text"]))
    assert not held.wait(timeout=0.05)
    model.recover()
    assert held.wait(timeout=60)
    model.embed(["text"])


def test_an_unknown_failure_is_named():
    with pytest.raises(InvalidInput, match="'raise'"):
        FakeModel().fail("rise")
