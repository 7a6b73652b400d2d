"""In SleepMode what has few ties is tied to what is like it, with sources and a confidence.

A tie stands between two nodes of which each is among the nearest of the other, whose texts share a
word that few have. What it was made of takes it along when it goes or says something else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_db import EmbeddedDB, Field, InvalidInput, MLConfig, NodeModel, WeaverConfig

WORDS = ["tea", "green", "boat", "sails", "thanks"]
ASLEEP: Any = {"activity_level": "SleepMode"}


def embed(texts: list[str]) -> list[list[float]]:
    """Count the words that are known; what has none is like nothing."""
    rows = []
    for number, text in enumerate(texts):
        words = text.lower().split()
        row = [float(words.count(word)) for word in WORDS]
        rows.append([*row, 0.0 if any(row) else 1.0, 1e-3 * (number % 7)])
    return rows


embed.dim = len(WORDS) + 2  # type: ignore[attr-defined]


def names(texts: list[str]) -> list[list[dict[str, Any]]]:
    """Find Paris and Rome."""
    return [
        [
            {"text": name, "label": "GPE", "start": text.index(name), "end": text.index(name) + 5}
            for name in ("Paris", "Milan")
            if name in text
        ]
        for text in texts
    ]


MODELS = MLConfig(embedding=embed, entities=names, summary=None)


@pytest.fixture
def db(path: Path) -> Iterator[EmbeddedDB]:
    with EmbeddedDB(path, ml=MODELS, weaver=ASLEEP) as db:
        yield db
        assert db.verify(deep=True)["problems"] == []


def say(db: EmbeddedDB, *texts: str) -> list[str]:
    ids = [db.create_message(f"chat {at}", text).id for at, text in enumerate(texts)]
    db.flush(timeout=60)
    return ids


def ties(db: EmbeddedDB) -> set[frozenset[str]]:
    """The ends of all proposals, each of which says what it is."""
    found = set()
    for node in db.nodes():
        for edge in db.edges(node.id, "RELATED_TO"):
            if "confidence" in edge.properties:
                assert sorted(edge.sources) == sorted([edge.source, edge.target])
                assert 0.6 <= edge.properties["confidence"] <= 1.0
                assert edge.weight == edge.properties["confidence"]
                ends = frozenset([edge.source, edge.target])
                assert ends not in found, "one tie of two nodes"
                found.add(ends)
    return found


def test_what_is_alike_is_tied_and_nothing_else(db: EmbeddedDB) -> None:
    tea, green, boat, sails, other = say(db, "tea", "green tea", "boat", "boat sails", "nothing")
    assert ties(db) == {frozenset([tea, green]), frozenset([boat, sails])}
    assert not any(other in tie for tie in ties(db))
    status = db.weaver_status()["per_job"]["curiosity"]
    assert (status["pending"], status["done"]) == (0, 5)


def test_words_that_everybody_says_tie_nothing(db: EmbeddedDB) -> None:
    say(db, *["thanks" for _ in range(20)])
    assert ties(db) == set()


def test_what_has_ties_of_its_own_needs_none(db: EmbeddedDB) -> None:
    full, poor = say(db, "tea Paris Milan", "tea")
    assert ties(db) == {frozenset([full, poor])}, "the other one has none"
    db.weaver.withdraw_proposals()
    again = db.create_message("another", "green tea Paris Milan").id
    db.flush(timeout=60)
    assert frozenset([full, again]) not in ties(db)


def test_neighbours_in_a_chat_are_tied_already(db: EmbeddedDB) -> None:
    chat = db.create_chat()
    chat.add_messages([{"content": "tea"}, {"content": "green tea"}])
    db.flush(timeout=60)
    assert ties(db) == set()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("end", ["delete", "change", "vector", "no vector"])
def test_a_tie_goes_with_what_it_was_made_of(db: EmbeddedDB, end: str, which: int) -> None:
    both = say(db, "tea", "green tea")
    tea, green = both[which], both[1 - which]
    assert len(ties(db)) == 1
    db.weaver.pause()
    if end == "delete":
        db.delete_node(tea)
    elif end == "no vector":
        [embedding] = db.get_embeddings_for_node(tea)
        db.delete_embedding(embedding.id)
        assert ties(db) == set(), "at once"
        return
    elif end == "change":
        db.update_node(tea, {"content": "a boat"})
    else:
        db.set_embeddings([tea], [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    assert ties(db) == set(), "at once"
    db.weaver.resume()
    db.flush(timeout=60)
    assert ties(db) == set()
    assert db.exists(green)


def test_a_tie_that_was_lost_is_made_with_the_next_one(db: EmbeddedDB) -> None:
    tea, green = say(db, "tea", "green tea")
    db.update_node(tea, {"content": "a boat"})
    later = db.create_message("later", "tea and green").id
    db.flush(timeout=60)
    assert ties(db) == {frozenset([green, later])}


def test_what_is_withdrawn_or_deleted_stays_so(db: EmbeddedDB) -> None:
    tea, green, boat, sails = say(db, "tea", "green tea", "boat", "boat sails")
    [edge] = [edge for at in (tea, green) for edge in db.edges(at, "RELATED_TO")]
    db.delete_edge(edge.id)
    assert ties(db) == {frozenset([boat, sails])}
    assert db.weaver.withdraw_proposals() == 1
    assert db.weaver.withdraw_proposals() == 0
    db.create_message("more", "nothing")
    db.flush(timeout=60)
    assert ties(db) == set()


def test_edges_of_the_user_are_the_users(db: EmbeddedDB) -> None:
    db.weaver.pause()
    one, other = (db.create_message(chat, "tea").id for chat in "ab")
    own = {"source": other, "target": one, "type": "RELATED_TO", "properties": {"confidence": 1}}
    db.create_edge(own)
    db.weaver.resume()
    db.flush(timeout=60)
    [edge] = db.edges(other, "RELATED_TO")
    assert list(db.edges(one, "RELATED_TO")) == []
    assert db.weaver.withdraw_proposals() == 0
    assert db.get_edge(edge.id) is not None


def test_nodes_of_a_declared_label_are_tied(db: EmbeddedDB) -> None:
    class Note(NodeModel, label="Note"):
        text: str = Field(embed=True, text=True)

    one, other = db.add(Note(text="tea")), db.add(Note(text="green tea"))
    db.flush(timeout=60)
    assert ties(db) == {frozenset([one.id, other.id])}
    db.delete_node(one.id)
    assert ties(db) == set()


def test_it_runs_in_sleep_mode_only_and_can_be_turned_off(path: Path) -> None:
    with EmbeddedDB(path, ml=MODELS, weaver={"activity_level": "Normal"}) as db:
        tea, green = say(db, "tea", "green tea")
        assert ties(db) == set()
        assert db.weaver_status()["per_job"]["curiosity"]["pending"] == 2
        assert db.weaver_status()["queue_size"] == 0
    with EmbeddedDB(path, ml=MODELS, weaver={**ASLEEP, "curiosity": False}) as db:
        db.flush(timeout=60)
        assert ties(db) == set()
    with EmbeddedDB(path, ml=MODELS, weaver=ASLEEP) as db:
        db.flush(timeout=60)
        assert ties(db) == {frozenset([tea, green])}, "what waited is done"


def test_the_threshold_is_the_users(path: Path) -> None:
    with EmbeddedDB(path, ml=MODELS, weaver={**ASLEEP, "curiosity_threshold": 0.9}) as db:
        say(db, "tea", "green tea")
        assert ties(db) == set(), "their cosine is 0.71"
    for wrong in (2, "high", None, float("nan")):
        with pytest.raises(InvalidInput, match="curiosity_threshold"):
            WeaverConfig(curiosity_threshold=wrong)  # type: ignore[arg-type]


def test_ties_outlive_closing_export_and_compaction(path: Path, tmp_path: Path) -> None:
    with EmbeddedDB(path, ml=MODELS, weaver=ASLEEP) as db:
        say(db, "tea", "green tea")
        before = ties(db)
        db.compact()
        db.export(tmp_path / "export")
    with EmbeddedDB(path, ml=None) as db:
        assert ties(db) == before
    with EmbeddedDB(tmp_path / "other.db", ml=None) as db:
        db.import_(tmp_path / "export")
        assert ties(db) == before
        assert db.verify(deep=True)["ok"]
