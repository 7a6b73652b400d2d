"""What people talk about becomes topics.

Communities of the graph of messages and entities are made when all is quiet, of what is said and
not of its order; they keep their ids while most of what is in them stays together, count what they
hold, and go with the last of their messages.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded_db import Chat, Config, EmbeddedDB, InvalidInput, NodeModel, Topic, WeaverConfig
from embedded_db.testing import FakeModel

SEA = ["Anna", "Boris", "Clara"]
HILLS = ["Dora", "Emil", "Fritz"]
NAMES = dict.fromkeys([*SEA, *HILLS, "Gerda", "Hans", "Ida", "Jakob", "Karl", "Lena"], "PERSON")


def config(level: str = "SleepMode", **weaver: Any) -> Config:
    options = WeaverConfig(activity_level=level, **weaver)  # type: ignore[arg-type]
    return Config(ml=FakeModel(dim=8, entities=NAMES), weaver=options)


@pytest.fixture
def db() -> Iterator[EmbeddedDB]:
    with EmbeddedDB(":memory:", config=config()) as db:
        yield db


def pairs(names: list[str]) -> list[str]:
    """Each two of some names in a message."""
    return [f"{a} and {b}" for a in names for b in names if a < b]


def say(db: EmbeddedDB, texts: list[str], chat: str = "chat") -> list[str]:
    if not db.exists(chat):
        db.create_chat(id=chat)
    node = db.get_node(chat)
    assert isinstance(node, Chat)
    messages = node.add_messages([{"content": text} for text in texts])
    return [message.id for message in messages]


def topics(db: EmbeddedDB) -> dict[str, Topic]:
    db.flush(timeout=60)
    assert db.verify(deep=True)["ok"]
    return {topic.label: topic for topic in db.nodes("Topic") if isinstance(topic, Topic)}


def shape(db: EmbeddedDB) -> set[Any]:
    """Topics by what is in them, without their ids."""
    return {
        (
            tuple(topic.terms),
            topic.level,
            topic.message_count,
            topic.parent and topic.parent.label,
            frozenset(message.content for message in topic.messages()),
            frozenset(entity.label for entity in topic.entities()),
        )
        for topic in topics(db).values()
    }


def test_who_is_named_together_is_a_topic(db: EmbeddedDB) -> None:
    sea, hills = say(db, pairs(SEA)), say(db, pairs(HILLS), "other")
    say(db, ["nobody was there", "Gerda came"])
    found = topics(db)
    assert sorted(found) == ["Anna, Boris, Clara", "Dora, Emil, Fritz"]
    one, other = found["Anna, Boris, Clara"], found["Dora, Emil, Fritz"]
    assert {message.id for message in one.messages()} == set(sea)
    assert {message.id for message in other.messages()} == set(hills)
    assert {entity.label for entity in one.entities()} == set(SEA)
    assert one.message_count == len(sea)
    assert one.level == 1
    assert one.parent is None
    for edge in db.edges(one, "GROUPS"):
        assert edge.derived
        assert edge.source == one.id
        assert edge.sources == [edge.target]


def test_the_most_telling_names_come_first(db: EmbeddedDB) -> None:
    # N = 8 messages name anybody. Anna: 5 · ln(1 + 8/5) = 4.8; Clara 2 · ln(1 + 8/2) = 3.2; Boris
    # and Dora 1 · ln(1 + 8/1) = 2.2.
    say(db, ["Anna", "Anna Clara", "Anna Boris", "Anna Clara", "Anna Dora", "Emil", "Emil", "Emil"])
    found = topics(db)
    assert sorted(found) == ["Anna, Clara, Boris", "Emil"]
    assert list(found["Anna, Clara, Boris"].terms) == ["Anna", "Clara", "Boris", "Dora"]


def test_topics_have_parts(db: EmbeddedDB) -> None:
    circles = [["Anna", "Boris", "Clara"], ["Dora", "Emil", "Fritz"], ["Gerda", "Hans", "Ida"]]
    for circle in circles:
        say(db, pairs(circle) * 2 + [", ".join(circle)] * 4)
    # The circles know each other; of Karl they have not heard.
    say(db, ["Anna and Dora", "Emil and Gerda", "Hans and Boris"] * 2)
    say(db, [f"Karl {number}" for number in range(200)], "far")
    found = topics(db)
    assert sum(topic.level == 1 for topic in found.values()) == 2
    [wide] = [topic for topic in found.values() if topic.level == 1 and "Karl" not in topic.terms]
    parts = list(wide.parts())
    assert {frozenset(part.terms) for part in parts} == {frozenset(circle) for circle in circles}
    assert all(part.level == 2 and part.parent == wide for part in parts)
    assert wide.message_count == len(list(wide.messages())) == 36
    assert {entity.label for entity in wide.entities()} == {
        name for each in circles for name in each
    }
    part = next(part for part in parts if "Anna" in part.terms)
    # Between two deletions the topics may be made anew otherwise.
    db.weaver.pause()
    for message in list(part.messages()):
        db.delete_node(message)
    wide.refresh()
    assert not db.exists(part.id)
    assert wide.message_count == 36 - part.message_count


@pytest.mark.parametrize("level", ["HighActivity", "Normal", "LowActivity"])
def test_they_are_made_in_sleep_mode_only(level: str) -> None:
    with EmbeddedDB(":memory:", config=config(level)) as db:
        say(db, pairs(SEA))
        assert not topics(db), "flush waits for what is due at its level"
        status = db.weaver_status()
        assert status["per_job"]["topics"]["pending"] == 3
        assert status["queue_size"] == 0
        assert status["lag_seconds"] == 0
        db.set_activity_level("SleepMode")
        assert len(topics(db)) == 1
        jobs = db.weaver_status()["per_job"]["topics"]
        assert jobs == {"pending": 0, "running": 0, "done": 3, "failed": 0, "dead": 0}


def test_they_can_be_switched_off() -> None:
    with EmbeddedDB(":memory:", config=config(topics=False)) as db:
        say(db, pairs(SEA))
        assert not topics(db)
        assert db.weaver_status()["per_job"]["topics"]["pending"] == 3
    with pytest.raises(InvalidInput, match=r"weaver\.topics"):
        WeaverConfig(topics="no")  # type: ignore[arg-type]


def test_a_topic_is_the_same_while_most_of_it_stays(db: EmbeddedDB) -> None:
    ids = say(db, ["Anna", "Anna and Boris", "Anna and Clara", "Anna", "Anna"])
    say(db, pairs(HILLS))
    before = topics(db)
    sea, hills = (before[label].id for label in ("Anna, Boris, Clara", "Dora, Emil, Fritz"))
    say(db, ["Gerda and Anna", "Anna", "Anna and Hans"])
    db.delete_node(ids[0])
    after = {topic.id: topic for topic in topics(db).values()}
    assert set(after) == {sea, hills}
    assert {entity.label for entity in after[sea].entities()} == {*SEA, "Gerda", "Hans"}
    assert after[sea].message_count == 7
    assert after[sea].version == 1, "users make versions"


def test_what_did_not_change_is_not_written_again(db: EmbeddedDB) -> None:
    say(db, pairs(SEA))
    hills = topics(db)["Anna, Boris, Clara"]
    edges = {edge.id for edge in db.edges(hills, "GROUPS")}
    say(db, pairs(HILLS))
    assert {edge.id for edge in db.edges(topics(db)["Anna, Boris, Clara"], "GROUPS")} == edges


def test_a_label_that_a_user_gave_stays(db: EmbeddedDB) -> None:
    say(db, pairs(SEA))
    [topic] = topics(db).values()
    topic.label = "At the sea"
    topic.save()
    say(db, ["Anna, Boris, Clara and Gerda"] * 3)
    found = topics(db)
    assert list(found) == ["At the sea"]
    assert set(found["At the sea"].terms) == {*SEA, "Gerda"}


def test_the_order_of_what_is_said_is_nothing() -> None:
    texts = [*pairs(SEA), *pairs(HILLS), *pairs(["Gerda", "Hans", "Ida"]), "Anna and Dora", "Ida"]
    chance, shapes = random.Random(7), []
    for _ in range(4):
        with EmbeddedDB(":memory:", config=config()) as db:
            for text in texts:
                say(db, [text], f"chat {chance.randrange(3)}")
                if chance.random() < 0.2:
                    db.flush(timeout=60)
            shapes.append(shape(db))
        chance.shuffle(texts)
    assert all(each == shapes[0] for each in shapes)


def test_topics_lose_what_goes_at_once(db: EmbeddedDB) -> None:
    ids = say(db, pairs(SEA))
    [topic] = topics(db).values()
    db.weaver.pause()
    db.delete_node(ids[0])  # Anna and Boris
    topic.refresh()
    assert topic.message_count == 2
    db.update_node(ids[1], {"content": "nobody"})  # Anna and Clara
    topic.refresh()
    assert topic.message_count == 1
    assert list(topic.terms) == ["Boris", "Clara"], "nobody names Anna any more"
    assert topic.label == "Boris, Clara"
    assert db.verify(deep=True)["ok"]
    db.delete_node(ids[2])
    assert not db.exists(topic.id)
    assert not list(db.nodes("Entity"))
    db.weaver.resume()
    assert not topics(db)
    assert not db.weaver_status()["per_job"]["topics"]["pending"]


def test_topics_are_called_as_their_entities_are(db: EmbeddedDB) -> None:
    say(db, pairs(SEA))
    [topic] = topics(db).values()
    db.weaver.pause()
    [anna] = [entity for entity in topic.entities() if entity.label == "Anna"]
    anna.label = "Anna the Great"
    anna.save()
    topic.refresh()
    assert set(topic.terms) == {"Anna the Great", "Boris", "Clara"}
    assert topic.label == "Anna the Great, Boris, Clara"


def test_what_has_expired_is_in_no_topic(db: EmbeddedDB) -> None:
    for text in pairs(SEA):
        db.create_message("chat", text, ttl=timedelta(seconds=3))
    [topic] = topics(db).values()
    with db.snapshot() as early:
        assert early.get_node(topic.id) is not None
    db.weaver.pause()
    deadline = topic.created_at + timedelta(seconds=30)
    while db.exists(topic.id):
        assert datetime.now(UTC) < deadline
    assert not list(db.nodes("Topic"))


def test_a_topic_that_a_user_deletes_is_made_anew(db: EmbeddedDB) -> None:
    say(db, pairs(SEA))
    [topic] = topics(db).values()
    db.delete_node(topic.id)
    [again] = topics(db).values()
    assert again.id != topic.id
    assert again.message_count == 3


def test_topics_of_a_namespace_are_its_own(db: EmbeddedDB) -> None:
    say(db, pairs(SEA))
    say(db.namespace("other"), pairs(HILLS))
    assert list(topics(db)) == ["Anna, Boris, Clara"]
    assert list(topics(db.namespace("other"))) == ["Dora, Emil, Fritz"]
    db.drop_namespace("other")
    assert list(topics(db)) == ["Anna, Boris, Clara"]


def test_topics_outlive_what_is_done_with_the_files(path: Path, tmp_path: Path) -> None:
    with EmbeddedDB(path, config=config()) as db:
        ids = say(db, pairs(SEA))
        say(db, pairs(HILLS))
        before = shape(db)
        # What has changed since is due in every copy.
        db.weaver.pause()
        db.delete_node(ids[0])
        db.compact()
        hash_before = db.logical_hash()
        db.backup(tmp_path / "backup")
        db.export(tmp_path / "export")
        db.weaver.resume()
        after = shape(db)
        assert after != before
    EmbeddedDB.restore(tmp_path / "backup", tmp_path / "restored")
    with EmbeddedDB(tmp_path / "restored", config=Config(ml=None)) as db:
        assert db.logical_hash() == hash_before
        assert db.weaver_status()["per_job"]["topics"]["pending"] > 0
    with EmbeddedDB(tmp_path / "restored", config=config()) as db:
        assert shape(db) == after
    with EmbeddedDB(tmp_path / "imported", config=config()) as db:
        db.import_(tmp_path / "export")
        assert shape(db) == after


def test_a_repaired_database_has_its_topics(path: Path, tmp_path: Path) -> None:
    with EmbeddedDB(path, config=config()) as db:
        say(db, pairs(SEA))
        before = shape(db)
    EmbeddedDB.repair(path, tmp_path / "repaired")
    with EmbeddedDB(tmp_path / "repaired", config=config()) as db:
        assert shape(db) == before


def test_users_may_have_the_label_for_themselves(db: EmbeddedDB) -> None:
    own = db.create_node({"label": "Topic", "properties": {"title": "Mine"}})
    say(db, pairs(SEA))
    assert not isinstance(db.get_node(own), Topic)
    [made] = topics(db).values()
    assert {node.id for node in db.nodes("Topic")} == {own, made.id}
    with pytest.raises(InvalidInput, match="topics are the database's"):

        class Theme(NodeModel, label="Topic"):
            title: str
