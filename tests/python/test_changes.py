"""The feed of changes: each once, in order, as far back as was asked for, whoever follows it."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import ChangesTrimmed, DatabaseClosed, EmbeddedDB, InvalidInput
from embedded_db.testing import FakeModel

DAY = 86_400
SMALL = 1 << 16
"""Bytes that hold some thousand changes."""


def replay(changes, kind):
    """Who is there after changes, by what they say alone."""
    there = {}
    for change in changes:
        if change.kind != kind:
            continue
        if change.operation == "put":
            there[change.id] = change
        else:
            assert there.pop(change.id).version <= change.version
    return there


def fill(db, nodes, size=500):
    for begin in range(0, nodes, size):
        db.create_nodes([{"label": "Filler"} for _ in range(min(size, nodes - begin))])


NAMES = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["node", "edge", "vector", "update", "delete"]), NAMES, NAMES),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(0, 60))
def test_who_follows_the_feed_knows_what_is_stored(steps, since):
    with EmbeddedDB(":memory:", ml=None) as db:
        nodes, edges, vectors = {}, {}, {}
        for number, (step, one, other) in enumerate(steps):
            if step == "node" and one not in nodes:
                db.create_node({"label": f"L{one}", "id": one})
                nodes[one] = 1
            elif step == "edge" and one in nodes and other in nodes:
                edge = db.create_edge({"source": one, "target": other, "type": "KNOWS"})
                edges[edge] = (one, other)
            elif step == "vector" and one in nodes:
                vectors[one] = db.create_embedding({"node_id": one, "vector": [1.0, number + 1.0]})
            elif step == "update" and one in nodes:
                db.update_node(one, {"n": number})
                nodes[one] += 1
            elif step == "delete" and one in nodes:
                db.delete_node(one)
                del nodes[one]
                vectors.pop(one, None)
                edges = {id: ends for id, ends in edges.items() if one not in ends}
        feed = list(db.changes())
        last = db.stats()["lsn"]
        assert [change.lsn for change in feed] == list(range(1, last + 1))
        there = replay(feed, "node")
        assert {id: change.version for id, change in there.items()} == nodes
        assert all(change.labels == (f"L{id}",) for id, change in there.items())
        assert {id: change.type for id, change in replay(feed, "edge").items()} == dict.fromkeys(
            edges, "KNOWS"
        )
        assert set(replay(feed, "embedding")) == set(vectors.values())
        since = min(since, last)
        assert list(db.changes(since)) == feed[since:]
        picked = [change for change in feed if {"La", "Lb"} & set(change.labels)]
        assert list(db.changes(labels=["La", "Lb", "never"])) == picked
        assert list(db.changes(labels="La")) == [c for c in picked if "La" in c.labels]


def test_what_the_weaver_makes_is_in_it(path):
    with EmbeddedDB(path, ml=FakeModel()) as db:
        message = db.create_message(chat_id="trip", content="Alice met Bob in Paris")
        db.flush()
        feed = list(db.changes())
        labels = {label for change in feed for label in change.labels}
        assert {"Chat", "Message", "Entity"} <= labels
        assert "MENTIONS" in {change.type for change in feed}
        (vector,) = (change for change in feed if change.kind == "embedding")
        assert vector.space == db.get_embedding_for_node(message.id).space


def test_it_ends_with_the_last_change_there_was_and_goes_on_from_its_position(db):
    fill(db, 1000)
    feed = db.changes()
    first = [next(feed) for _ in range(300)]
    assert feed.position == 300
    fill(db, 1000)
    rest = list(feed)
    assert [change.lsn for change in (*first, *rest)] == list(range(1, 1001))
    assert feed.position == 1000
    more = db.changes(since=feed.position)
    assert [change.lsn for change in more] == list(range(1001, 2001))
    nobody = db.changes(labels=["Nobody"])
    assert list(nobody) == []
    assert nobody.position == 2000, "what was passed over is not looked at again"


def test_a_follower_sees_what_comes_until_the_database_is_closed(path):
    seen = []
    ended = []

    def follow(feed):
        try:
            for change in feed:
                seen.append(change)
        except DatabaseClosed as closed:
            ended.append(closed)

    with EmbeddedDB(path, ml=None) as db:
        fill(db, 10)
        follower = threading.Thread(target=follow, args=[db.changes(follow=True)])
        follower.start()
        for number in range(300):
            db.create_node({"label": "Later", "id": f"later{number}"})
        while len(seen) < 310:
            follower.join(0.01)
            assert follower.is_alive()
    follower.join(30)
    assert not follower.is_alive()
    assert len(ended) == 1
    assert [change.lsn for change in seen] == list(range(1, 311))


def test_another_process_follows(path, spawn):
    with EmbeddedDB(path, ml=None) as db:
        fill(db, 5)
        other = spawn(
            """
            import sys
            from embedded_db import EmbeddedDB
            with EmbeddedDB(sys.argv[1], ml=None, read_only=True) as db:
                print("ready", flush=True)
                for change in db.changes(since=5, follow=True):
                    print(change.lsn, change.id, flush=True)
            """,
            path,
        )
        assert other.stdout.readline() == "ready\n"
        for number, id in enumerate(("one", "two", "three"), 6):
            db.create_node({"label": "Later", "id": id})
            assert other.stdout.readline() == f"{number} {id}\n"


def test_a_namespace_has_its_own(db):
    other = db.namespace("other")
    db.create_node({"label": "Mine", "id": "mine"})
    other.create_node({"label": "Theirs", "id": "theirs"})
    assert [change.id for change in db.changes()] == ["mine"]
    assert [change.id for change in other.changes()] == ["theirs"]
    db.drop_namespace("other")
    again = db.namespace("other")
    again.create_node({"label": "Theirs", "id": "new"})
    told = [(change.kind, change.operation, change.id) for change in again.changes()]
    # Of the one before, only that it is gone.
    assert told == [("namespace", "delete", "other"), ("node", "put", "new")]
    assert [change.id for change in db.changes()] == ["mine"]


def test_the_oldest_go_when_they_take_too_much_room(path):
    with EmbeddedDB(path, ml=None, changes_retention_bytes=SMALL) as db:
        begun = db.changes(labels=["Nobody"])
        fill(db, 20_000)
        with pytest.raises(ChangesTrimmed) as caught:
            db.changes(since=0)
        oldest = caught.value.oldest
        assert "changes_retention" in str(caught.value)
        assert list(begun) == [], "it had nothing to read"
        kept = [change.lsn for change in db.changes()]
        assert kept == list(range(oldest, 20_001))
        assert [change.lsn for change in db.changes(since=oldest - 1)] == kept
        # No fewer than fit, and not for ever more.
        assert 500 < len(kept) < 6_000
        for _ in range(3):
            fill(db, 3_000)
            report = db.verify(deep=True)
            assert report["problems"] == []
        assert len(list(db.changes())) < 6_000
    with EmbeddedDB(path, ml=None) as db:
        assert db.changes().position >= oldest - 1
        assert db.verify(deep=True)["problems"] == []


def test_the_oldest_go_when_their_time_has_passed(path, clock):
    with EmbeddedDB(path, ml=None, changes_retention=7 * DAY) as db:
        db.create_node({"label": "Old", "id": "old"})
        clock.move(6 * DAY)
        db.create_node({"label": "Young", "id": "young"})
        assert [change.id for change in db.changes()] == ["old", "young"], "it is young enough"
        clock.move(2 * DAY)
        db.create_node({"label": "New", "id": "new"})
        assert [change.id for change in db.changes()] == ["young", "new"]
        with pytest.raises(ChangesTrimmed) as caught:
            db.changes(since=0)
        assert caught.value.oldest == 2


def test_a_feed_that_is_overtaken_says_so(path):
    with EmbeddedDB(path, ml=None, changes_retention_bytes=SMALL) as db:
        fill(db, 1000)
        feed = db.changes(follow=True)
        first = next(feed).lsn
        fill(db, 20_000)
        # What it has read ahead is still right, and then there is no gap that it does not tell of.
        numbers = []
        with pytest.raises(ChangesTrimmed):
            numbers.extend(change.lsn for change in feed)
        assert numbers == list(range(first + 1, first + 1 + len(numbers)))


def test_searches_find_what_was_stored_while_the_feed_was_trimmed(path):
    with EmbeddedDB(path, ml=FakeModel(), changes_retention_bytes=SMALL) as db:
        db.create_message(chat_id="c", content="the first otter")
        db.flush()
        assert len(db.search("otter")) == 1
        last = db.stats()["lsn"]
        fill(db, 20_000)
        db.create_message(chat_id="c", content="the second otter")
        fill(db, 20_000)
        with pytest.raises(ChangesTrimmed):
            db.changes(since=last)
        db.flush()
        found = {hit.text for hit in db.search("otter")}
        assert found == {"the first otter", "the second otter"}


def test_compaction_keeps_it_and_a_scrub_empties_it(path):
    with EmbeddedDB(path, ml=None, changes_retention_bytes=SMALL) as db:
        fill(db, 20_000)
        stop = threading.Event()

        def write():
            while not stop.is_set():
                fill(db, 500)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            db.compact()
        finally:
            stop.set()
            writer.join()
        assert db.verify(deep=True)["problems"] == []
        numbers = [change.lsn for change in db.changes()]
        assert numbers == list(range(numbers[0], db.stats()["lsn"] + 1))
        db.scrub()
        last = db.stats()["lsn"]
        with pytest.raises(ChangesTrimmed):
            db.changes(since=last - 1)
        assert list(db.changes()) == list(db.changes(since=last)) == []
        db.create_node({"label": "New", "id": "new"})
        assert [change.id for change in db.changes(since=last)] == ["new"]
        assert db.verify(deep=True)["problems"] == []


def test_numbers_of_another_database_are_refused(db):
    db.create_node({"label": "A"})
    with pytest.raises(InvalidInput, match=r"since is 5.*last change of this database is 1"):
        db.changes(since=5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"since": -1}, "since is -1"),
        ({"since": 1 << 64}, "since is 18446744073709551616"),
        ({"since": "5"}, "since is '5'"),
        ({"since": True}, "since is True"),
        ({"labels": 5}, "labels.*5"),
        ({"labels": ["Message", 5]}, "labels.*5"),
        ({"follow": 1}, "follow is 1"),
    ],
)
def test_wrong_arguments_are_named(db, arguments, words):
    with pytest.raises(InvalidInput, match=words):
        db.changes(**arguments)
