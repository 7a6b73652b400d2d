"""What one text, one chat or one namespace meets holds up none of the others, and costs once."""

import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_db import (
    EmbeddedDB,
    EnrichmentFailed,
    Limit,
    MLConfig,
    NamespaceQuota,
    Quota,
    QuotaExceeded,
    Timeout,
    WeaverConfig,
)

PATIENCE = 60
"""Seconds for what takes parts of one: only what never comes takes so long."""


class Embed:
    """An embedding function that counts its texts, fails for some and waits if told to."""

    dim = 3
    model = "counting"

    def __init__(self) -> None:
        self.given: Counter[str] = Counter()
        self.calls: list[list[str]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun = threading.Event()

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.given.update(texts)
        self.calls.append(texts)
        self.begun.set()
        self.go_on.wait(PATIENCE)
        if bad := [text for text in texts if "bad" in text]:
            raise ValueError(bad[0])
        return [[float(len(text)), 1.0, 2.0] for text in texts]


def names(texts: list[str]) -> list[list[dict[str, Any]]]:
    """The last word of a text is a person."""
    found = []
    for text in texts:
        name = text.split()[-1]
        start = len(text) - len(name)
        person = {"text": name, "label": "PERSON", "start": start, "end": len(text)}
        found.append([person] if name[0].isupper() else [])
    return found


def until(told: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not told():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def embed() -> Iterator[Embed]:
    function = Embed()
    yield function
    function.go_on.set()


def opened(
    path: Path,
    embed: Embed,
    ml: dict[str, Any] | None = None,
    quota: Quota | None = None,
    **weaver: Any,
) -> EmbeddedDB:
    models = MLConfig(**{"embedding": embed, "entities": None, "summary": None, **(ml or {})})
    return EmbeddedDB(path, ml=models, quota=quota or Quota(), weaver=WeaverConfig(**weaver))


# --- texts over which processes end ---------------------------------------------------------------


KILLERS = """
    import os, sys
    from embedded_db import EmbeddedDB, MLConfig

    def embed(texts):
        if any("kill" in text for text in texts):
            os._exit(9)
        return [[float(len(text)), 1.0, 2.0] for text in texts]

    embed.dim = 3
    db = EmbeddedDB(sys.argv[1], ml=MLConfig(embedding=embed, entities=None, summary=None))
    try:
        db.flush(timeout=60)
    except Exception as error:
        print(error, file=sys.stderr)
"""


def end_all(path: Path) -> int:
    """How many processes have ended over what a database has, until one did not."""
    program = textwrap.dedent(KILLERS)
    for ended in range(20):
        run = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=300)
        if run.returncode == 0:
            return ended
    return 20


def test_of_several_texts_that_end_processes_each_is_given_up(path):
    with EmbeddedDB(path, ml=None) as db:
        for text in ("kill one", "fine", "kill two", "kill three", "good"):
            db.create_message("chat", text, id=text)
    assert end_all(path) <= 3 * 3
    with EmbeddedDB(path, ml=None) as db:
        states = {message.id: message.status.embedding for message in db.nodes("Message")}
        assert states == {
            **dict.fromkeys(["kill one", "kill two", "kill three"], "failed"),
            **dict.fromkeys(["fine", "good"], "ready"),
        }


def test_a_text_that_was_mended_is_tried(path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_message("chat", "kill me", id="m")
    program = textwrap.dedent(KILLERS)
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=300)
        assert run.returncode == 9
    with EmbeddedDB(path, ml=None) as db:
        message = db.get_node("m")
        message.content = "harmless"
        message.save()
    assert end_all(path) == 0
    with EmbeddedDB(path, ml=None) as db:
        assert db.get_node("m").status.embedding == "ready"


# --- quotas ---------------------------------------------------------------------------------------


def test_a_namespace_at_its_quota_holds_up_no_other(path, embed):
    with EmbeddedDB(path, ml=None) as db:
        full, other = db.namespace("full"), db.namespace("other")
        for number in range(30):
            full.create_message("chat", f"I met Person{number}")
        for number in range(300):
            other.create_message("chat", f"it rains for the {number}th time")
        quota = Quota(namespaces={"full": NamespaceQuota(max_nodes=full.count() + 2)})
    with opened(path, embed, {"entities": names}, quota) as db:
        full, other = db.namespace("full"), db.namespace("other")
        with pytest.raises(QuotaExceeded, match="full"):
            db.flush(timeout=PATIENCE)
        assert until(lambda: all(it.status.embedding == "ready" for it in other.nodes("Message")))
        # What fits is stored, though what was found with it does not.
        assert until(lambda: all(it.status.embedding == "ready" for it in full.nodes("Message")))
        assert set(embed.given.values()) == {1}, "nothing is paid for twice"
        assert other.wait_for(next(iter(other.nodes("Message"))).id, "entities", timeout=PATIENCE)
        states = Counter(message.status.entities for message in full.nodes("Message"))
        assert states == {"ready": 2, "pending": 28}
    with opened(path, embed, {"entities": names}) as db:
        full = db.namespace("full")
        db.flush(timeout=PATIENCE)
        assert set(embed.given.values()) == {1}
        assert {it.status.entities for it in full.nodes("Message")} == {"ready"}
        assert full.count("Entity") == 30


# --- summaries ------------------------------------------------------------------------------------


def test_chats_are_summarised_while_others_go_on(path, embed):
    """Each rests for itself: the last message of any other keeps it from nothing."""
    told = lambda messages: f"{len(messages)} messages"  # noqa: E731
    with opened(path, embed, {"summary": told}) as db:
        # Where calls never cease it would be at this level for ten seconds of each minute.
        db.set_activity_level("Normal")
        for number in range(20):
            db.create_message(f"chat{number}", "all is said")
        begun = time.monotonic()
        other, said = db.namespace("other"), 0

        def is_told() -> bool:
            nonlocal said
            said += 1
            other.create_message("talk", f"and more {said}")
            time.sleep(0.1)
            return all(chat.status.summary == "ready" for chat in db.nodes("Chat"))

        assert until(is_told)
        assert [chat.summary().text for chat in db.nodes("Chat")] == ["1 messages"] * 20
        assert time.monotonic() - begun < PATIENCE


def test_a_summary_waits_for_what_it_is_to_tell(path, embed):
    calls: list[int] = []

    def told(messages: list[str]) -> str:
        calls.append(len(messages))
        return f"{len(messages)} messages"

    limits = {"embedding": Limit(texts_per_minute=4)}
    with opened(path, embed, {"summary": told, "limits": limits}) as db:
        chat = db.create_chat("c")
        for number in range(6):
            chat.add_message(f"this is said {number}")
        assert until(lambda: sum(embed.given.values()) == 4), embed.calls
        with pytest.raises(Timeout):
            db.flush(timeout=3)
        assert (db.get_node(chat.id).status.summary, calls) == ("pending", [])


def test_a_summary_tells_what_could_not_be_embedded(path, embed):
    told = lambda messages: " / ".join(messages)  # noqa: E731
    with opened(path, embed, {"summary": told}, max_attempts=1) as db:
        chat = db.create_chat("c")
        for text in ("it begins", "a bad one", "it ends"):
            chat.add_message(text)
        with pytest.raises(EnrichmentFailed, match="1 jobs were given up"):
            db.flush(timeout=PATIENCE)
        assert "a bad one" in chat.summary().text


# --- failures -------------------------------------------------------------------------------------


def test_a_text_that_fails_within_a_limit_fails_alone(path, embed):
    """Its batch took most of what a minute allows: the others are not tried with it again."""
    limits = {"embedding": Limit(calls_per_minute=2)}
    with opened(path, embed, {"limits": limits}, max_attempts=1, first_delay=0.01) as db:
        db.weaver.pause()
        for number in range(6):
            db.create_message("chat", "a bad one" if number == 3 else f"text {number}")
        db.weaver.resume()
        assert until(lambda: db.weaver_status()["limits"]["embedding"]["waits_for"] is not None)
        assert [len(call) for call in embed.calls] == [6, 1]
    with (
        opened(path, embed, max_attempts=1) as db,
        pytest.raises(EnrichmentFailed, match="bad one"),
    ):
        db.flush(timeout=PATIENCE)


@pytest.mark.parametrize("change", ["text", "vector", "delete"])
def test_a_failure_is_of_the_text_that_failed(path, embed, change):
    with opened(path, embed, max_attempts=1) as db:
        embed.go_on.clear()
        message = db.create_message("chat", "a bad one")
        assert embed.begun.wait(PATIENCE)
        if change == "text":
            message.content = "a good one"
            message.save()
        elif change == "vector":
            db.set_embeddings([message], [[1.0, 2.0, 3.0]])
        else:
            message.delete()
        embed.go_on.set()
        db.flush(timeout=PATIENCE)
        assert db.weaver.dead_letters() == []
        assert db.weaver_status()["per_job"]["embedding"]["failed"] == 0
        if change != "delete":
            assert db.get_node(message.id).status.embedding == "ready"


def test_texts_with_vectors_of_a_user_are_embedded_by_the_first_model(path, embed):
    """In a space of the model's own: queries by text find them, whatever space was there before."""
    with EmbeddedDB(path, ml=None) as db:
        mine = db.create_message("chat", "wine", embedding=[1.0, 0.0, 0.0, 0.0])
    with opened(path, embed) as db:
        late = db.create_message("chat", "cellar", embedding=[0.0, 1.0, 0.0, 0.0])
        db.flush(timeout=PATIENCE)
        assert embed.given == Counter({"wine": 1, "cellar": 1})
        found = {it.node.id for it in db.query(semantic_query={"text": "wine"}, limit=10)}
        assert found == {mine.id, late.id}
        kept = db.get_embedding_for_node(mine, space=db.get_embedding_for_node(mine).space)
        assert list(kept.vector) == [1.0, 0.0, 0.0, 0.0]


def test_what_was_switched_off_is_made_when_it_is_switched_on(path, embed):
    told = lambda messages: f"{len(messages)} messages"  # noqa: E731
    with opened(path, embed) as db:
        message = db.create_message("chat", "we met Ann")
        db.flush(timeout=PATIENCE)
        status = db.weaver_status()
        assert (status["queue_size"], status["lag_seconds"]) == (0, 0)
        assert message.status.entities == "ready", "nothing is to be made"
    with opened(path, embed, {"entities": names, "summary": told}) as db:
        db.flush(timeout=PATIENCE)
        message = db.get_node(message.id)
        assert [entity.label for entity in message.entities()] == ["Ann"]
        assert db.get_node("chat").summary().text == "1 messages"
        assert embed.given == Counter({"we met Ann": 1})
