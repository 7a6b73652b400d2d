"""A time to live is given in many ways, stays with its node, and goes with an export."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from embedded_db import Conflict, EmbeddedDB, InvalidInput, NotFound

from .shared import TTL, after_expiry, names

WAYS = {
    "node": lambda db, ttl: db.get_node(db.create_node({"label": "Note", "ttl": ttl})),
    "nodes": lambda db, ttl: db.get_node(db.create_nodes([{"label": "Note", "ttl": ttl}])[0]),
    "chat": lambda db, ttl: db.create_chat("Trip", ttl=ttl),
    "message": lambda db, ttl: db.create_chat().add_message("Hello", ttl=ttl),
    "messages": lambda db, ttl: db.create_chat().add_messages([{"content": "Hi", "ttl": ttl}])[0],
    "by chat id": lambda db, ttl: db.create_message("chat", "Hello", ttl=ttl),
    "document": lambda db, ttl: db.add_document("Some text", count_tokens=len, ttl=ttl),
    "fact": lambda db, ttl: db.remember("Ann lives in Oslo", ttl=ttl),
    "set": lambda db, ttl: db.set_ttl(db.create_node({"label": "Note"}), ttl),
    "in a transaction": lambda db, ttl: in_transaction(db, ttl),
}


def in_transaction(db, ttl):
    with db.transaction() as tx:
        id = tx.create_node({"label": "Note"})
        tx.set_ttl(id, ttl)
        assert tx.get_node(id).expires_at > datetime.now(UTC)
    return db.get_node(id)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ttl", [90, 90.0, timedelta(seconds=90), np.float64(90)])
def test_a_time_to_live_is_seconds_or_a_timedelta(db, way, ttl):
    before = datetime.now(UTC)
    node = WAYS[way](db, ttl)
    after = datetime.now(UTC)
    assert node.expires_at.tzinfo is UTC
    assert before <= node.expires_at - timedelta(seconds=90) <= after
    assert db.get_node(node.id).expires_at == node.expires_at


BAD = [
    0,
    -1,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    "60",
    10**400,
    1e300,
    [60],
    31_536_000_001,
]
BAD_TIMES = [timedelta(0), timedelta(seconds=-1), timedelta.max, datetime.now(UTC)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ttl", BAD + BAD_TIMES, ids=lambda ttl: repr(ttl)[:20])
def test_what_is_no_time_to_live_is_refused_and_nothing_is_stored(db, way, ttl):
    with pytest.raises(InvalidInput, match="seconds or a timedelta") as caught:
        WAYS[way](db, ttl)
    assert "ttl is" in str(caught.value)
    stored = [node for node in db.nodes() if not {"Chat", "Note"} & set(node.labels)]
    assert stored == []
    assert all(node.expires_at is None for node in db.nodes())


def test_two_times_at_once_are_refused(db):
    at = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(InvalidInput, match="both given"):
        db.create_node({"label": "Note", "ttl": 5, "expires_at": at})
    assert db.get_node(db.create_node({"label": "Note", "expires_at": at})).expires_at == at
    with pytest.raises(InvalidInput, match="time zone"):
        db.create_node({"label": "Note", "expires_at": datetime(2100, 1, 1)})
    with pytest.raises(NotFound):
        db.set_ttl("nobody", 5)


def test_the_longest_time_to_live_can_be_stored_and_read(db):
    node = db.set_ttl(db.create_node({"label": "Note"}), timedelta(days=365_000))
    assert node.expires_at.year > 3000


def test_setting_a_time_is_a_change_of_the_node(db):
    message = db.create_chat().add_message("Hello")
    assert message.expires_at is None
    timed = db.set_ttl(message, 60)
    assert (timed.version, timed.content) == (2, "Hello")
    assert timed.updated_at >= message.updated_at
    assert timed.to_dict()["expires_at"] == timed.expires_at
    message.content = "Other"
    with pytest.raises(Conflict):
        message.save()
    message.refresh()
    message.content = "Other"
    message.save()
    assert message.expires_at == timed.expires_at, "a change of properties leaves it"
    message.append("!")
    assert db.get_node(message.id).expires_at == timed.expires_at
    later = db.set_ttl(message, 3600)
    assert later.expires_at > timed.expires_at
    assert db.set_ttl(message, None).expires_at is None
    assert db.verify()["ok"]


def test_a_time_that_was_taken_away_or_moved_does_not_come(db, clock):
    for id in ("kept", "later", "gone"):
        db.create_node({"id": id, "label": "Note", "ttl": TTL})
    db.set_ttl("kept", None)
    db.set_ttl("later", 5 * TTL)
    after_expiry(clock)
    assert [node.id for node in db.nodes()] == ["kept", "later"]
    db.flush(timeout=60)
    assert [node.id for node in db.nodes()] == ["kept", "later"]
    clock.move(5 * TTL)
    assert [node.id for node in db.nodes()] == ["kept"]


def test_times_come_back_from_an_export(path, tmp_path, clock):
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat(id="c")
        for n in range(4):
            chat.add_message(f"message {n}", id=f"m{n}", ttl=None if n in (0, 3) else n * TTL)
        times = {node.id: node.expires_at for node in db.nodes()}
        db.export(tmp_path / "export")
        db.set_ttl("m0", 5 * TTL)
        db.set_ttl("m1", None)
        db.import_(tmp_path / "export", on_conflict="replace")
        assert {node.id: node.expires_at for node in db.nodes()} == times
    with EmbeddedDB(tmp_path / "copy.db", ml=None) as copy:
        copy.import_(tmp_path / "export")
        assert {node.id: node.expires_at for node in copy.nodes()} == times
        assert copy.verify()["ok"]
    after_expiry(clock)
    with EmbeddedDB(tmp_path / "late.db", ml=None) as late:
        late.import_(tmp_path / "export")
        assert names(late.nodes()) == ["c", "m0", "m2", "m3"]
        assert [m.id for m in late.get_node("c").messages(after="m0")] == ["m2", "m3"]
        late.flush(timeout=60)
        assert [m.id for m in late.get_node("c").messages(after="m0")] == ["m2", "m3"]
        assert late.verify()["ok"]
        late.export(tmp_path / "again")
    assert "m1" not in (tmp_path / "again" / "0000" / "nodes.jsonl").read_text()
