"""Deleting every message of a chat leaves nothing that was derived from it.

Random histories of two chats: messages are added, edited, streamed, deleted and forgotten, while
the weaver works, waits or fails, and the database is closed and opened. In the end all of one chat
goes. What is derived then is what a new database derives from the messages of the other;
`verify(deep=True)` finds nothing else; and after `scrub` no file holds a word, an id, a spelling
or a vector of what was deleted.
"""

import itertools
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedded_db import Config, EmbeddedDB, WeaverConfig
from embedded_db.testing import FakeModel

NAMES = {
    **dict.fromkeys(["Alice", "ALICE", "Bob", "BOB", "Carol"], "PERSON"),
    **dict.fromkeys(["Paris", "PARIS", "London"], "GPE"),
}
WORDS = [f"{letter}{letter}xyzzy{number}" for number in range(40) for letter in "bcdfghjklm"]

GONE, STAYS = "chat_of_the_past", "chat_of_today"
chats = st.sampled_from([GONE, STAYS])
said = st.lists(st.sampled_from(sorted(NAMES)), max_size=3)
which = st.integers(0, 5)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), chats, said),
        st.tuples(st.just("add"), chats, said),
        st.tuples(st.just("many"), chats, st.lists(said, min_size=2, max_size=4)),
        st.tuples(st.just("edit"), which, said),
        st.tuples(st.just("append"), which, said),
        st.tuples(st.just("delete"), which),
        st.tuples(st.just("forget"), which),
        st.tuples(st.just("again"), which, said),
        st.tuples(st.just("document"), st.booleans(), said),
        st.tuples(
            st.sampled_from(
                ["pause", "resume", "flush", "fail", "reopen", "wait", "compact", "scrub"]
            )
        ),
    ),
    max_size=25,
)
ends = st.sampled_from(["each", "forget", "delete", "at once"])


def config(model: FakeModel) -> Config:
    weaver = WeaverConfig(
        batch_size=3, first_delay=0.0, max_delay=0.0, max_attempts=50, activity_level="SleepMode"
    )
    return Config(ml=model, weaver=weaver, durability="memory")


class History:
    """A database, and what was said in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = FakeModel(dim=8, entities=NAMES)
        self.words = iter(WORDS)
        self.ids = itertools.count()
        self.days = itertools.count()
        self.texts: dict[str, tuple[str, str]] = {}
        self.past: set[str] = set()
        self.open()

    def open(self) -> None:
        self.db = EmbeddedDB(self.path, config=config(self.model))

    def text(self, names: list[str]) -> str:
        """A word that was never said, among names."""
        return " ".join([next(self.words), *names])

    def message(self, at: int) -> str | None:
        ids = [id for id, (chat, _) in self.texts.items() if chat in {GONE, STAYS}]
        return ids[at % len(ids)] if ids else None

    def say(self, id: str, chat: str, text: str) -> None:
        if id in self.texts:
            self.past.update(self.texts[id][1].split())
        self.texts[id] = (chat, text)

    def lose(self, id: str) -> None:
        _, text = self.texts.pop(id)
        self.past.update([id, *text.split()])

    def new(self, chat: str, names: list[str]) -> dict[str, Any]:
        id = f"{chat}_{next(self.ids)}"
        self.say(id, chat, self.text(names))
        # Some days of four weeks.
        at = datetime(2024, 5, 6, tzinfo=UTC) + timedelta(days=5 * next(self.days) % 28)
        return {"id": id, "content": self.texts[id][1], "timestamp": at}

    def step(self, kind: str, *given: Any) -> None:
        getattr(self, f"do_{kind}")(*given)

    def do_add(self, chat: str, names: list[str]) -> None:
        new = self.new(chat, names)
        self.db.create_message(chat, new["content"], id=new["id"], timestamp=new["timestamp"])

    def do_many(self, chat: str, several: list[list[str]]) -> None:
        if not self.db.exists(chat):
            self.db.create_chat(id=chat)
        self.db.get_node(chat).add_messages([self.new(chat, names) for names in several])

    def do_edit(self, at: int, names: list[str]) -> None:
        id = self.message(at)
        if id is not None:
            self.say(id, self.texts[id][0], self.text(names))
            self.db.update_node(id, {"content": self.texts[id][1]})

    def do_append(self, at: int, names: list[str]) -> None:
        id = self.message(at)
        if id is not None:
            chat, text = self.texts[id]
            more = " " + self.text(names)
            self.texts[id] = (chat, text + more)
            self.db.get_node(id).append(more)  # type: ignore[union-attr]

    def do_delete(self, at: int) -> None:
        id = self.message(at)
        if id is not None:
            self.lose(id)
            self.db.delete_node(id)

    def do_forget(self, at: int) -> None:
        id = self.message(at)
        if id is not None:
            self.lose(id)
            assert self.db.forget(id) == 1

    def do_again(self, at: int, names: list[str]) -> None:
        """A message goes, and another one takes its id in one transaction."""
        id = self.message(at)
        if id is not None:
            chat = self.texts[id][0]
            self.say(id, chat, self.text(names))
            with self.db.transaction() as tx:
                tx.delete_node(id)
                tx.create_message(chat, self.texts[id][1], id=id)

    def do_document(self, is_enriched: bool, names: list[str]) -> None:
        """A document and a fact from a source, which is forgotten again."""
        source = f"source_{next(self.ids)}"
        words = [self.text(names), self.text(names)]
        self.db.add_document(words[0], source=source)
        self.db.remember(words[1], source=source)
        if is_enriched:
            self.do_flush()
        assert self.db.forget(source=source) >= 2
        self.past.update([source, *" ".join(words).split()])

    def do_pause(self) -> None:
        self.db.weaver.pause()

    def do_resume(self) -> None:
        self.db.weaver.resume()

    def do_flush(self) -> None:
        self.db.weaver.resume()
        self.db.flush(timeout=60)

    def do_fail(self) -> None:
        self.model.fail("raise", times=3)

    def do_wait(self) -> None:
        self.db.weaver.resume()
        with self.db.snapshot():  # the weaver works beside it
            self.db.count()

    def do_compact(self) -> None:
        self.db.compact()

    def do_scrub(self) -> None:
        self.db.scrub()

    def do_reopen(self) -> None:
        self.db.close()
        self.open()

    def end(self, how: str) -> None:
        """All of one chat goes."""
        ids = [id for id, (chat, _) in self.texts.items() if chat == GONE]
        if how in {"each", "at once"}:
            for id in ids if how == "each" else []:
                self.db.delete_node(id)
            with self.db.transaction() as tx:
                for id in ids if how == "at once" else []:
                    tx.delete_node(id)
        elif self.db.exists(GONE):
            (self.db.forget if how == "forget" else self.db.delete_node)(GONE)
            self.past.add(GONE)
        for id in ids:
            self.lose(id)


def derived(db: EmbeddedDB) -> dict[str, Any]:
    """All that is derived, by what it says."""
    nodes = {node.id: node for node in db.nodes()}
    edges = [edge for id in nodes for edge in db.edges(id, direction="out")]

    def name(id: str) -> str:
        node = nodes[id]
        if "Topic" in node.labels:
            return f"topic {node.label.casefold()}"
        return node.label.casefold() if "Entity" in node.labels else id

    return {
        "entities": {
            node.label.casefold(): (node.entity_type, node.mention_count)
            for node in nodes.values()
            if "Entity" in node.labels
        },
        "mentions": Counter(
            (edge.source, name(edge.target), edge.weight, tuple(edge.sources), edge["start"])
            for edge in edges
            if edge.type == "MENTIONS"
        ),
        "relations": Counter(
            (
                frozenset([name(edge.source), name(edge.target)]),
                edge.weight,
                frozenset(edge.sources),
            )
            for edge in edges
            if edge.type == "RELATED_TO" and "Entity" in nodes[edge.source].labels
        ),
        "summaries": Counter(
            (
                *(node["chat_id"], node["text"], node["first_message"], node["last_message"]),
                *(node.span, node.begins_at, node.message_count),
            )
            for node in nodes.values()
            if "Summary" in node.labels
        ),
        "summarized": Counter(
            (nodes[edge.source]["chat_id"], edge.target)
            for edge in edges
            if edge.type == "SUMMARIZES"
        ),
        "topics": Counter(
            (
                *(term.casefold() for term in node.terms),
                node.label == ", ".join(node.terms[:3]),
                node.level,
                node.message_count,
            )
            for node in nodes.values()
            if "Topic" in node.labels
        ),
        "grouped": Counter(
            (edge.type, name(edge.source), name(edge.target), edge.sources == [nodes[member].id])
            for edge in edges
            if edge.type in {"GROUPS", "PART_OF"}
            for member in [edge.target if edge.type == "GROUPS" else edge.source]
        ),
        "vectors": {
            id: found.vector.tobytes()
            for id in nodes
            if (found := db.get_embedding_for_node(id)) is not None
        },
        "work": {
            job: [counts["pending"], counts["dead"]]
            for job, counts in db.weaver_status()["per_job"].items()
        },
    }


def found_in(path: Path, wanted: bytes) -> list[str]:
    return [
        str(file.relative_to(path))
        for file in path.rglob("*")
        if file.is_file() and wanted in file.read_bytes()
    ]


@given(steps=steps, how=ends)
@example(
    # The spelling of an entity was that of a message which is gone.
    steps=[("add", GONE, ["ALICE", "Bob"]), ("add", STAYS, ["Alice", "BOB"]), ("flush",)],
    how="each",
)
@example(
    # Topics of what stays, of what goes, and of both.
    steps=[
        ("many", GONE, [["Carol", "Paris"]] * 4),
        ("many", STAYS, [["Alice", "Bob"], ["ALICE"], ["Bob"], ["Bob", "London"]]),
        ("flush",),
        ("many", GONE, [["Bob", "Paris"], ["London"]]),
        ("edit", 1, ["Bob"]),
        ("flush",),
    ],
    how="each",
)
@example(
    steps=[
        ("pause",),
        ("many", GONE, [["Alice", "Bob"], ["Alice", "Paris"], []]),
        ("add", STAYS, ["Bob", "Alice"]),
        ("reopen",),
        ("fail",),
        ("again", 0, ["Paris", "Bob"]),
        ("flush",),
        ("append", 1, ["London"]),
    ],
    how="forget",
)
def test_nothing_derived_is_left(steps: list[Any], how: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        history = History(Path(home) / "memory.db")
        try:
            for step in steps:
                history.step(*step)
            history.end(how)
            history.model.recover()
            history.do_flush()
            check(history)
            history.db.scrub()
            history.do_flush()
            check(history)
            check_files(history)
        finally:
            history.db.close()


def check(history: History) -> None:
    """The same is derived as by a new database that was only told what is still there."""
    db = history.db
    with EmbeddedDB(":memory:", config=config(FakeModel(dim=8, entities=NAMES))) as other:
        for chat in (GONE, STAYS):
            if db.exists(chat):
                other.create_chat(id=chat)
                for message in db.get_node(chat).messages():
                    assert message.content == history.texts[message.id][1]
                    at = message.timestamp
                    other.create_message(chat, message.content, id=message.id, timestamp=at)
        other.flush(timeout=60)
        expected = derived(other)
        assert other.count("Message") == db.count("Message")
    assert derived(db) == expected
    check_ties(db)
    written = {word for _, text in history.texts.values() for word in text.split()}
    assert {node.label for node in db.nodes("Entity")} <= written, "spellings of what is gone"
    for topic in db.nodes("Topic"):
        assert set(topic.terms) <= written, "names of what is gone"
    report = db.verify(deep=True)
    assert report["ok"], report
    said = {word.casefold() for word in still_said(history)}
    for word in {word.casefold() for word in history.past} - said:
        assert not db.query(text_query={"text": word}, limit=5)


def check_ties(db: EmbeddedDB) -> None:
    """Ties are of texts that are there; which there are depends on when one looked."""
    for message in db.nodes("Message"):
        for tie in db.edges(message.id, type="RELATED_TO"):
            assert set(tie.sources) == {tie.source, tie.target}
            assert db.exists(tie.target)
            assert set(tie.properties) == {"confidence"}


def still_said(history: History) -> set[str]:
    said = " ".join(f"{id} {text}" for id, (_, text) in history.texts.items())
    return {*said.split(), *([GONE] if history.db.exists(GONE) else [])}


def check_files(history: History) -> None:
    """Nothing that was said, and is no longer, stands in a file."""
    said = still_said(history)
    kept = {text for _, text in history.texts.values()}
    for word in history.past - said:
        if any(word in other for other in said):
            continue
        assert not found_in(history.path, word.encode()), word
    for text in set(history.model.embedded) - kept:
        vector = history.model.embed([text])[0]
        assert not found_in(history.path, vector.tobytes()[:16]), text


@pytest.mark.parametrize("how", ["source", "namespace"])
def test_what_was_derived_goes_with_its_source_and_its_namespace(path: Path, how: str) -> None:
    model = FakeModel(dim=8)
    with EmbeddedDB(path, config=config(model)) as db:
        own = db.namespace("tenant") if how == "namespace" else db
        own.remember("Alice lives in quuxville", source="https://example.org/gone")
        own.add_document("Bob is in Paris with corgefolk", source="https://example.org/gone")
        db.create_message("chat", "Carol met Dave")
        db.flush(timeout=60)
        if how == "source":
            assert db.forget(source="https://example.org/gone") >= 2
        else:
            assert db.forget(namespace="tenant") > 2
        db.flush(timeout=60)
        assert sorted(node.label for node in db.nodes("Entity")) == ["Carol", "Dave"]
        assert db.verify(deep=True)["ok"]
        db.scrub()
        gone = ["quuxville", "corgefolk", "Alice", "Paris", "https://example.org/gone"]
        for word in [*gone, *(["tenant"] if how == "namespace" else [])]:
            assert not found_in(path, word.encode()), word
        assert found_in(path, b"Carol met Dave"), "a search that finds what is there"
