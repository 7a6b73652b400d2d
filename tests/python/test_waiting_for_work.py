"""Waiting for work: what an error tells is so, and no more time is taken than was given."""

import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, InvalidInput, ModelUnavailable, Timeout
from embedded_db import weaver as weaving
from embedded_db.testing import FakeModel

QUICK = {"max_attempts": 2, "first_delay": 0.0, "max_delay": 0.0}


class Away(FakeModel):
    """A model that is not there until it is."""

    is_away = True

    def enrich(self, *arguments):
        if self.is_away:
            raise ModelUnavailable("the model is not installed", hint="Install it")
        return super().enrich(*arguments)


@pytest.mark.parametrize("progress", [False, True])
def test_who_waits_for_a_paused_weaver_is_told_to_resume_it(woven, progress):
    woven.weaver.pause()
    message = woven.create_message("chat", "Alice")
    for wait in (
        lambda: woven.flush(timeout=0.01, progress=progress),
        lambda: woven.wait_for(message, "embedding", timeout=0.01),
    ):
        with pytest.raises(Timeout) as caught:
            wait()
        assert "db.weaver.resume()" in (caught.value.hint or "")
    woven.weaver.resume()
    assert woven.wait_for(message, "embedding", timeout=60).embedding == "ready"


@pytest.mark.parametrize("artefact", ["embedding", "entities", "links"])
def test_who_waits_for_a_missing_model_has_nothing_to_repeat(path, artefact):
    model = Away()
    with EmbeddedDB(path, ml=model, weaver=QUICK) as db:
        message = db.create_message("chat", "Alice")
        with pytest.raises(EnrichmentFailed, match="not installed") as caught:
            db.wait_for(message, artefact, timeout=60)
        assert "by itself" in (caught.value.hint or "")
        assert "retry_failed" not in str(caught.value)
        assert caught.value.failures
        assert {failure["id"] for failure in caught.value.failures} == {None}
        model.is_away = False
        db.weaver.retry_failed()  # it is looked for again at once
        assert db.wait_for(message, artefact, timeout=60).to_dict()[artefact] == "ready"


@pytest.mark.parametrize("artefact", ["embedding", "entities", "links"])
def test_who_waits_for_what_was_given_up_is_told_to_repeat_it(path, artefact):
    model = FakeModel()
    model.fail("raise")
    with EmbeddedDB(path, ml=model, weaver=QUICK) as db:
        message = db.create_message("chat", "Alice")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        with pytest.raises(EnrichmentFailed) as caught:
            db.wait_for(message, artefact, timeout=60)
        assert "db.weaver.retry_failed()" in (caught.value.hint or "")
        assert {failure["id"] for failure in caught.value.failures} == {message.id}
        model.recover()


def test_all_that_a_bar_asks_for_counts(woven, monkeypatch):
    now = [0.0]
    asked = []

    class Time:
        @staticmethod
        def monotonic():
            return now[0]

    def status(database):
        asked.append(now[0])
        now[0] += 10  # a busy machine
        return database._native.weaver_status()

    woven.weaver.pause()
    woven.create_message("chat", "Alice")
    with monkeypatch.context() as patch:
        patch.setattr(weaving, "time", Time)
        patch.setattr(EmbeddedDB, "weaver_status", status)
        with pytest.raises(Timeout, match=r"after 25 s"):
            woven.flush(timeout=25, progress=True)
    # Three to draw it; then what the error says.
    assert [at for at in asked if at < 30] == [0, 10, 20]
    assert len(asked) <= 5
    woven.weaver.resume()


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_no_number_of_seconds_is_refused_with_a_bar_too(woven, timeout):
    with pytest.raises(InvalidInput, match="timeout is"):
        woven.flush(timeout=timeout, progress=True)
    woven.flush(timeout=60, progress=True)
