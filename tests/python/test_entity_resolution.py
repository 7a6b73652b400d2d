"""Names of one person, place or organisation lead to one entity, and what was joined can be undone.

Names stand in brackets here, with their class: ``[Anna|P]`` is a person, G a place, O an
organisation; the recogniser finds just those.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from embedded_db import DELETE, EmbeddedDB, Entity, InvalidInput, Message, MLConfig, NotFound

MARKED = re.compile(r"\[([^|\]]+)\|([PGO])\]")
CLASSES = {"P": "PERSON", "G": "GPE", "O": "ORG"}
BENCH = Path(__file__).parents[2] / "benches" / "quality" / "entities.py"


def names_in(texts: list[str]) -> list[list[dict[str, object]]]:
    """Find the marked names."""
    return [
        [
            {"text": m[1], "label": CLASSES[m[2]], "start": m.start(1), "end": m.end(1)}
            for m in MARKED.finditer(text)
        ]
        for text in texts
    ]


CONFIG = MLConfig(embedding="hashing", entities=names_in, summary=None)


@pytest.fixture
def db(path: Path) -> Iterator[EmbeddedDB]:
    with EmbeddedDB(path, ml=CONFIG) as db:
        yield db
        assert db.verify(deep=True)["problems"] == []


def say(db: EmbeddedDB, *texts: str, chat: str = "c") -> list[Message]:
    messages = [db.create_message(chat, text) for text in texts]
    db.flush(timeout=60)
    return messages


def entity(db: EmbeddedDB, label: str) -> Entity:
    [found] = [node for node in entities(db) if node.label == label]
    return found


def entities(db: EmbeddedDB) -> list[Entity]:
    return [node for node in db.nodes("Entity") if isinstance(node, Entity)]


def seen(db: EmbeddedDB) -> dict[str, list[str]]:
    """Aliases by label."""
    return {each.label: sorted(each.aliases) for each in entities(db)}


def test_spellings_are_one_entity_everywhere(db: EmbeddedDB) -> None:
    say(db, "[Paris|G] is far", "[paris|G]!", "I like [Paris's|G] parks")
    say(db, "[Paris|G]", chat="other")
    paris = entity(db, "Paris")
    assert paris.mention_count == 4
    assert paris.names == {"Paris": 2, "paris": 1, "Paris's": 1}
    assert sorted(paris.aliases) == ["Paris's", "paris"]


def test_the_most_frequent_spelling_is_the_label_unless_a_user_has_chosen(db: EmbeddedDB) -> None:
    messages = say(db, "[paris|G]", "[Paris|G]", "[Paris|G]")
    assert seen(db) == {"Paris": ["paris"]}
    db.delete_node(messages[1])
    db.delete_node(messages[2])
    assert seen(db) == {"paris": []}
    db.update_node(entity(db, "paris"), {"aliases": ["City of Light"], "label": "PARIS"})
    say(db, "[Paris|G]", "[Paris|G]")
    assert seen(db) == {"PARIS": ["City of Light", "Paris", "paris"]}


def test_a_first_name_is_that_of_its_chat(db: EmbeddedDB) -> None:
    say(db, "[Anna Smith|P]", "[Anna|P]")
    say(db, "[Anna|P]", "[Anna Jones|P]", chat="other")
    say(db, "[Anna|P]", chat="third")
    assert seen(db) == {"Anna Smith": ["Anna"], "Anna Jones": ["Anna"], "Anna": []}


def test_a_second_one_of_the_name_takes_the_first_back(db: EmbeddedDB) -> None:
    short = say(db, "[Anna Smith|P]", "[Anna|P] and [Paris|G]")[1]
    assert seen(db)["Anna Smith"] == ["Anna"]
    [jones] = say(db, "[Anna Jones|P]")
    assert seen(db) == {"Anna Smith": [], "Anna Jones": [], "Anna": [], "Paris": []}
    anna, paris = entity(db, "Anna"), entity(db, "Paris")
    assert [edge.source for edge in db.edges(anna, "RELATED_TO", direction="any")] or [
        edge.target for edge in db.edges(paris, "RELATED_TO", direction="any")
    ]
    assert list(db.edges(entity(db, "Anna Smith"), "RELATED_TO", direction="any")) == []
    db.delete_node(jones)
    assert seen(db) == {"Anna Smith": ["Anna"], "Paris": []}
    assert {e.label for e in db.get_node(short.id).entities()} == {"Anna Smith", "Paris"}


def test_a_place_of_the_name_is_no_person(db: EmbeddedDB) -> None:
    say(db, "[George Washington|P]", "[Washington|G]", "[Washington|P]")
    assert seen(db) == {"George Washington": ["Washington"], "Washington": []}
    assert entity(db, "Washington").entity_type == "GPE"


def test_every_join_says_its_rule_and_its_source(db: EmbeddedDB) -> None:
    texts = ["[Anna Smith|P]", "[Dr. Smith|P]", "[@annasmith|P]", "[Ice Bar Milan|O]", "[IBM|O]"]
    rules = {}
    for message in say(db, *texts):
        [edge] = db.edges(message, "MENTIONS")
        assert edge.sources == [message.id]
        [said] = edge.properties["names"]
        rules[said["name"]] = said["rule"]
    assert rules == {
        "Anna Smith": "name",
        "Dr. Smith": "part",
        "@annasmith": "handle",
        "Ice Bar Milan": "name",
        "IBM": "initials",
    }


def test_two_names_in_one_message_are_one_mention(db: EmbeddedDB) -> None:
    [message] = say(db, "[Anna Smith|P] said [Anna|P] will; [Anna|P]!")
    [edge] = db.edges(message, "MENTIONS")
    assert edge.weight == 3
    assert [entity.label for entity in message.entities()] == ["Anna Smith"]
    assert entity(db, "Anna Smith").mention_count == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_split_is_kept(db: EmbeddedDB, again: bool) -> None:
    messages = say(db, "[Anna Smith|P]", "[Anna|P]", "[Anna|P] again")
    apart = db.split_entity(entity(db, "Anna Smith"), "Anna")
    assert (apart.label, apart.mention_count) == ("Anna", 2)
    if again:
        for message in messages:
            db.update_node(message, {"content": message.content + "!"})
        db.flush(timeout=60)
    say(db, "[Anna|P] once more")
    assert seen(db) == {"Anna Smith": [], "Anna": []}
    assert entity(db, "Anna").mention_count == 3
    kept = db.merge_entities(entity(db, "Anna Smith"), entity(db, "Anna"))
    assert (kept.mention_count, seen(db)) == (4, {"Anna Smith": ["Anna"]})


def test_a_spelling_can_be_split(db: EmbeddedDB) -> None:
    messages = say(db, "[May|P]", "[May|P]", "[may|P]")
    apart = db.split_entity(entity(db, "May"), "may")
    assert (apart.label, seen(db)) == ("may", {"May": [], "may": []})
    for message in messages:
        db.update_node(message, {"content": message.content + "!"})
    db.flush(timeout=60)
    say(db, "[MAY|P]")
    assert seen(db) == {"May": ["MAY"], "may": []}
    db.merge_entities(entity(db, "may"), entity(db, "May"))
    assert sorted(entity(db, "May").aliases) == ["MAY", "may"]


@pytest.mark.parametrize("again", [False, True])
def test_a_merge_is_kept(db: EmbeddedDB, again: bool) -> None:
    messages = say(db, "[Robert Dale|P] and [Paris|G]", "[Bob|P] and [Paris|G]")
    rob, bob = entity(db, "Robert Dale"), entity(db, "Bob")
    kept = db.merge_entities(rob, bob)
    assert (kept.id, kept.mention_count, list(kept.aliases)) == (rob.id, 2, ["Bob"])
    assert not db.exists(bob)
    [relation] = db.edges(rob, "RELATED_TO", direction="any")
    assert relation.weight == 2
    if again:
        for message in messages:
            db.update_node(message, {"content": message.content + "!"})
        db.flush(timeout=60)
    say(db, "[Bob|P]", chat="other")
    assert seen(db) == {"Robert Dale": ["Bob"], "Paris": []}
    said = db.edges(db.get_node(messages[1].id), "MENTIONS")
    assert {name["rule"] for edge in said for name in edge.properties["names"]} == {"user", "name"}
    apart = db.split_entity(entity(db, "Robert Dale"), "Bob")
    assert (apart.label, apart.mention_count) == ("Bob", 2)
    assert seen(db) == {"Robert Dale": [], "Bob": [], "Paris": []}


def test_a_person_and_a_place_can_be_joined_and_split(db: EmbeddedDB) -> None:
    say(db, "[Washington|G]", "[Washington|P]")
    place, person = sorted(entities(db), key=lambda each: each.entity_type)
    kept = db.merge_entities(place, person)
    assert (kept.mention_count, len(entities(db))) == (2, 1)
    apart = db.split_entity(kept, "Washington")
    assert (apart.entity_type, len(entities(db))) == ("PERSON", 2)


def test_decisions_go_with_what_they_are_about(db: EmbeddedDB) -> None:
    messages = say(db, "[Robert Dale|P]", "[Bob|P]", "[Anna Smith|P]", "[Anna|P]")
    db.merge_entities(entity(db, "Robert Dale"), entity(db, "Bob"))
    db.split_entity(entity(db, "Anna Smith"), "Anna")
    assert db.count("EntityDecision") == 2
    for message in messages:
        db.delete_node(message)
    assert (db.count("Entity"), db.count("EntityDecision")) == (0, 0)
    say(db, "[Robert Dale|P]", "[Bob|P]")
    assert seen(db) == {"Robert Dale": [], "Bob": []}


def test_decisions_go_with_the_last_text_that_names_their_entity(db: EmbeddedDB) -> None:
    [message] = say(db, "[Rob|P] is [Robert Dale|P]")
    db.merge_entities(entity(db, "Robert Dale"), entity(db, "Rob"))
    db.update_node(message.id, {"content": "[Robert Dale|P], [Rob|P]"})
    assert (db.count("Entity"), db.count("EntityDecision")) == (0, 1), "it may name them again"
    db.flush(timeout=60)
    assert (seen(db), db.count("EntityDecision")) == ({"Robert Dale": ["Rob"]}, 1)
    db.update_node(message.id, {"content": "nobody"})
    db.flush(timeout=60)
    assert (db.count("Entity"), db.count("EntityDecision")) == (0, 0)
    db.update_node(message.id, {"content": "[Robert Dale|P], [Rob|P]"})
    db.flush(timeout=60)
    assert seen(db) == {"Robert Dale": [], "Rob": []}


@pytest.mark.parametrize("end", ["deleted", "without a text"])
def test_a_text_that_never_comes_keeps_no_decision(db: EmbeddedDB, end: str) -> None:
    [message] = say(db, "[Rob|P] is [Robert Dale|P]")
    db.merge_entities(entity(db, "Robert Dale"), entity(db, "Rob"))
    db.weaver.pause()
    db.update_node(message.id, {"content": "[Robert Dale|P]"})
    assert db.count("EntityDecision") == 1
    if end == "deleted":
        db.delete_node(message)
    else:
        db.update_node(message.id, {"content": DELETE})
    assert db.count("EntityDecision") == 0


def test_what_a_user_has_tied_stays(db: EmbeddedDB) -> None:
    say(db, "[Robert Dale|P]", "[Bob|P]")
    bob = entity(db, "Bob")
    db.create_node({"id": "note", "label": "Note"})
    db.create_edge({"source": "note", "target": bob, "type": "ABOUT"})
    db.merge_entities(entity(db, "Robert Dale"), bob)
    assert db.get_node(bob.id).mention_count == 0
    say(db, "[Bob|P]")
    assert entity(db, "Robert Dale").mention_count == 3


def test_decisions_survive_closing_and_export(path: Path, tmp_path: Path) -> None:
    with EmbeddedDB(path, ml=CONFIG) as db:
        say(db, "[Robert Dale|P]", "[Bob|P]", "[Anna Smith|P]", "[Anna|P]")
        db.merge_entities(entity(db, "Robert Dale"), entity(db, "Bob"))
        db.split_entity(entity(db, "Anna Smith"), "Anna")
        db.export(tmp_path / "out")
    with EmbeddedDB(path, ml=CONFIG) as db, EmbeddedDB(tmp_path / "new", ml=CONFIG) as new:
        new.import_(tmp_path / "out")
        for each in (db, new):
            say(each, "[Bob|P]", "[Anna|P]", "[Smith|P]")
            assert seen(each) == {"Robert Dale": ["Bob"], "Anna Smith": ["Smith"], "Anna": []}
            assert each.verify(deep=True)["problems"] == []


def test_history_knows_a_mention_from_its_first_day(db: EmbeddedDB) -> None:
    say(db, "[Anna|P]")
    known = datetime.now(UTC)
    say(db, "[Anna Smith|P]")
    anna = entity(db, "Anna Smith")
    assert len(list(db.edges(anna, "MENTIONS", direction="in", known_at=known))) == 1
    assert len(list(db.edges(anna, "MENTIONS", direction="in"))) == 2


def test_namespaces_decide_for_themselves(db: EmbeddedDB) -> None:
    other = db.namespace("other")
    for each in (db, other):
        say(each, "[Anna Smith|P]", "[Anna|P]")
    db.split_entity(entity(db, "Anna Smith"), "Anna")
    assert (len(entities(db)), len(entities(other))) == (2, 1)


def test_what_cannot_be_joined_or_split_is_refused(db: EmbeddedDB) -> None:
    say(db, "[Anna Smith|P]", "[Anna|P]")
    anna = entity(db, "Anna Smith")
    own = db.create_node({"label": "Entity", "properties": {"label": "Mine"}})
    for name in ("Anna Smith", "Bob", ""):
        with pytest.raises(InvalidInput, match="no name that can be taken"):
            db.split_entity(anna, name)
    with pytest.raises(InvalidInput, match="found in messages"):
        db.merge_entities(anna, own)
    with pytest.raises(NotFound):
        db.merge_entities(anna, "nobody")
    with pytest.raises(NotFound):
        db.split_entity("nobody", "Anna")
    assert db.merge_entities(anna, anna).id == anna.id


def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("entities_bench", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_joins_are_right_whatever_the_order() -> None:
    measured = bench()
    sample = measured.read()
    for backwards in (False, True):
        parts = [
            measured.scores(measured.resolved(chats, backwards=backwards))[0]
            for chats in sample.values()
        ]
        total = measured.total(parts)
        assert total.right >= 0.95 * total.joined
        assert total.right >= 0.8 * total.wanted


def test_a_decision_stays_when_a_deletion_brings_its_entity_back(db: EmbeddedDB) -> None:
    full, both, _ = say(db, "[Anna Smith|P]", "[Anna Jones|P] and [I.B.M.|O]", "[Anna|P]")
    db.merge_entities(entity(db, "Anna"), entity(db, "I.B.M."))
    db.delete_node(full)
    assert seen(db) == {"Anna Jones": ["Anna"], "Anna": ["I.B.M."]}
    db.delete_node(both)
    assert seen(db) == {"Anna": []}
    say(db, "[I.B.M.|O]")
    assert seen(db) == {"Anna": ["I.B.M."]}


def waiting(db: EmbeddedDB) -> int:
    """How many messages are to follow what was decided, or the names of their chats."""
    jobs = db.weaver_status()["per_job"]
    return jobs["decisions"]["pending"] + jobs["resolution"]["pending"]


@pytest.mark.parametrize("count", [1, 200])
def test_a_split_counts_in_chats_where_the_name_led_elsewhere(db: EmbeddedDB, count: int) -> None:
    say(db, "[Mr Smith|P] and [Smith|P]", chat="other")
    say(db, "[Anna Smith|P], [Anna|P] and [Smith|P]", *["[Smith|P]"] * (count - 1), "[Mr Smith|P]")
    assert seen(db) == {"Mr Smith": ["Smith"], "Anna Smith": ["Anna"], "Smith": []}
    db.split_entity(entity(db, "Anna Smith"), "Anna")
    split = db.split_entity(entity(db, "Mr Smith"), "Smith")
    assert (split.label, split.mention_count) == ("Smith", 1)
    assert seen(db) == {"Mr Smith": [], "Anna Smith": ["Smith"], "Anna": [], "Smith": []}
    assert entity(db, "Anna Smith").names == {"Anna Smith": 1, "Smith": count}
    assert waiting(db) == 0


@pytest.mark.parametrize("count", [1, 200])
def test_a_merge_takes_a_split_back_in_all_chats(db: EmbeddedDB, count: int) -> None:
    say(db, "[Anna Smith|P]", *["[Anna|P]"] * count)
    db.split_entity(entity(db, "Anna Smith"), "Anna")
    say(db, "[Anna Jones|P] and [Anna|P]", chat="other")
    assert seen(db) == {"Anna Smith": [], "Anna": [], "Anna Jones": ["Anna"]}
    kept = db.merge_entities(entity(db, "Anna Smith"), entity(db, "Anna Jones"))
    assert kept.names == {"Anna Smith": 1, "Anna Jones": 1, "Anna": count + 1}
    assert (seen(db), waiting(db)) == ({"Anna Smith": ["Anna", "Anna Jones"]}, 0)


def test_a_merge_takes_a_split_over_in_all_chats(db: EmbeddedDB) -> None:
    say(db, "[Mrs Smith|P] and [Smith|P]", chat="other")
    db.split_entity(entity(db, "Mrs Smith"), "Smith")
    say(db, "[Anna Smith|P]", "[Mr Smith|P]", "[Smith|P]")
    assert seen(db) == {"Mrs Smith": [], "Mr Smith": [], "Anna Smith": [], "Smith": []}
    db.merge_entities(entity(db, "Mr Smith"), entity(db, "Mrs Smith"))
    assert seen(db) == {"Mr Smith": ["Mrs Smith"], "Anna Smith": ["Smith"], "Smith": []}


def test_a_name_with_many_mentions_moves_in_steps(db: EmbeddedDB) -> None:
    chat = db.create_chat()
    count = 700
    chat.add_messages([{"content": f"[Rob|P] {n}"} for n in range(count)])
    db.create_message("other", "[Robert Dale|P]")
    db.flush(timeout=120)
    before = db.stats()["lsn"]
    kept = db.merge_entities(entity(db, "Robert Dale"), entity(db, "Rob"))
    assert (kept.mention_count, seen(db)) == (count + 1, {"Robert Dale": ["Rob"]})
    assert db.stats()["lsn"] > before
    split = db.split_entity(kept, "Rob")
    assert (split.label, split.mention_count) == ("Rob", count)
    assert entity(db, "Robert Dale").mention_count == 1
    assert waiting(db) == 0


def test_many_short_names_of_a_chat_follow_in_the_background(db: EmbeddedDB) -> None:
    chat, count = db.create_chat(), 700
    chat.add_messages([{"content": f"[Anna|P] {n}"} for n in range(count)])
    chat.add_message("[Anna Smith|P]")
    db.flush(timeout=120)
    assert seen(db) == {"Anna Smith": ["Anna"]}
    assert entity(db, "Anna Smith").mention_count == count + 1
    second = chat.add_message("[Anna Jones|P]")
    db.flush(timeout=120)
    assert seen(db) == {"Anna": [], "Anna Smith": [], "Anna Jones": []}
    db.weaver.pause()
    db.delete_node(second)
    left = waiting(db)
    assert 0 < left < count, "one transaction moves some of them"
    assert entity(db, "Anna").mention_count == left
    db.weaver.resume()
    db.flush(timeout=120)
    assert seen(db) == {"Anna Smith": ["Anna"]}
