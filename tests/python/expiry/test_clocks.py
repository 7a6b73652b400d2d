"""Things expire by the clock, whoever reads, writes, sleeps or is killed meanwhile."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from embedded_db import EmbeddedDB, NotFound
from harness.waiting import eventually

from .shared import TTL, after_expiry, names


def test_a_clock_that_goes_back_brings_nothing_back_and_keeps_nothing_for_ever(path, clock):
    with EmbeddedDB(path, ml=None) as db, db.snapshot():
        db.create_nodes(
            [
                {"id": "early", "label": "Note", "ttl": TTL},
                {"id": "late", "label": "Note", "ttl": 9 * TTL},
            ]
        )
        after_expiry(clock)
        assert [node.id for node in db.nodes()] == ["late"]
        clock.move(-86_400)
        assert [node.id for node in db.nodes()] == ["late"]
        made = db.get_node(db.create_node({"id": "new", "label": "Note", "ttl": TTL}))
        assert made.expires_at - made.created_at == timedelta(seconds=TTL)
        assert made.created_at >= db.get_node("late").created_at
        clock.move(86_400 + TTL)
        assert [node.id for node in db.nodes()] == ["late"]
        clock.move(9 * TTL)
        assert db.count() == 0
        db.flush(timeout=60)


def test_what_was_set_while_the_clock_was_far_ahead_still_expires(path, clock):
    """The store's time cannot go back; but it goes on, so that a time to live comes to its end."""
    clock.move(10 * 365 * 86_400)
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "a", "label": "Note"})
        clock.move(-10 * 365 * 86_400)
        begun = time.monotonic()
        db.create_node({"id": "b", "label": "Note", "ttl": 0.4})
        assert db.exists("b") or time.monotonic() >= begun + 0.4
        eventually(lambda: not db.exists("b"), "it should be gone within a second")
        db.flush(timeout=60)
        assert db.stats()["tables"]["nodes"] == 1


def test_a_short_time_to_live_ends_by_itself(db):
    end = datetime.now(UTC) + timedelta(seconds=0.2)
    id = db.create_node({"label": "Note", "expires_at": end})
    eventually(lambda: datetime.now(UTC) >= end, "its time")
    assert not db.exists(id)
    rows = lambda: db.stats()["tables"]["nodes"]  # noqa: E731
    eventually(lambda: rows() == 0, "nobody has to write or ask for it to be deleted")


def test_threads_read_and_write_while_things_expire(path):
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        chat = db.create_chat(id="chat")
        db.create_node({"id": "hub", "label": "Hub"})

        def write(thread):
            for n in range(150):
                id = f"t{thread}n{n}"
                db.create_node({"id": id, "label": "Note", "ttl": 0.001 * (1 + n % 40)})
                edge = {"source": "hub", "target": id, "type": "T"}
                with suppress(NotFound):  # it may have gone already
                    db.create_edge(edge)
                chat.add_message(f"message {n} of {thread}", ttl=0.002 * (1 + n % 20))

        def read(_):
            for _ in range(100):
                with db.snapshot() as s:
                    notes = {node.id for node in s.nodes("Note")}
                    assert s.count("Note") == len(notes)
                    assert {node.id for node in s.neighbors("hub")} <= notes
                    assert {edge.target for edge in s.edges("hub")} <= notes
                    assert {r.node.id for r in s.query(labels=["Note"], limit=1000)} == notes
                    messages = [node.id for node in s.neighbors("chat", "CONTAINS")]
                    chain = (
                        [visit.node.id for visit in s.traverse(messages[0], "NEXT")]
                        if messages
                        else []
                    )
                    assert set(chain) <= set(messages)

        with ThreadPoolExecutor(6) as pool:
            jobs = [pool.submit(write, n) for n in range(3)]
            jobs += [pool.submit(read, n) for n in range(3)]
            for job in jobs:
                job.result(timeout=120)
        end = max(node.expires_at or node.created_at for node in db.nodes())
        while datetime.now(UTC) <= end:
            pass
        db.flush(timeout=60)
        assert names(db.nodes()) == ["chat", "hub"]
        assert db.stats()["tables"]["nodes"] == 2
        assert db.verify()["ok"]


def test_what_expired_while_the_database_was_closed_is_gone_at_once(path, clock):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"label": "Note", "ttl": TTL} for _ in range(1000)])
        db.create_node({"id": "kept", "label": "Note", "ttl": 100 * TTL})
    after_expiry(clock)
    with EmbeddedDB(path, ml=None) as db:
        assert [node.id for node in db.nodes()] == ["kept"]
        db.flush(timeout=60)
        assert db.stats()["tables"]["nodes"] == 1
        assert db.verify()["ok"]


READER = """
import sys
from embedded_db import EmbeddedDB

db = EmbeddedDB(sys.argv[1], ml=None, read_only=True)
print("ready", flush=True)
for line in sys.stdin:
    sys.modules["embedded_db._native"]._shift_clock(int(line) * 1_000_000)
    print(db.count(), db.exists("a"), db.stats()["tables"]["nodes"], flush=True)
"""


def test_a_process_that_only_reads_hides_by_its_own_clock(path, spawn):
    with EmbeddedDB(path, ml=None) as db:
        db.create_nodes([{"id": id, "label": "Note", "ttl": TTL} for id in ("a", "b")])
        db.create_node({"id": "kept", "label": "Note"})
        reader = spawn(READER, path)
        assert reader.stdout.readline() == "ready\n"

        def ask(moved):
            reader.stdin.write(f"{moved}\n")
            reader.stdin.flush()
            return reader.stdout.readline().split()

        assert ask(0) == ["3", "True", "3"]
        assert ask(TTL + 1) == ["1", "False", "3"]
        # A commit of the writer, whose clock is behind, brings nothing back.
        db.create_node({"id": "new", "label": "Note"})
        assert ask(0) == ["2", "False", "4"]
        assert ask(-2 * TTL) == ["2", "False", "4"]
        db.set_ttl("a", 10 * TTL)
        assert ask(0) == ["3", "True", "4"]


KILLED = """
import sys
from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

db = EmbeddedDB(sys.argv[1], ml=FakeModel())
shift = sys.modules["embedded_db._native"]._shift_clock
chat = db.create_chat(id="chat") if not db.exists("chat") else db.get_node("chat")
round = sys.argv[2]
print("ready", flush=True)
for n in range(10_000):
    chat.add_messages(
        [
            {"content": f"Alice {n} saw Bob {i}", "ttl": 1 + i, "id": f"r{round}n{n}i{i}"}
            for i in range(20)
        ]
    )
    chat.add_message(f"Carol stays {n}", id=f"r{round}k{n}")
    print(n, flush=True)
    # Not further than its killer goes, however late that comes.
    if n < 20:
        shift(30_000_000)
"""


def test_a_process_that_is_killed_while_it_deletes_leaves_everything_whole(
    path, spawn, clock, thorough
):
    kept = []
    for turn in range(12 if thorough else 4):
        child = spawn(KILLED, path, turn)
        assert child.stdout.readline() == "ready\n"
        for _ in range(3 + turn % 5):
            kept.append(f"r{turn}k{child.stdout.readline().strip()}")
        child.kill()
        child.wait()
        # The child's clock ran ahead.
        clock.move(600)
        with EmbeddedDB(path, ml=None, read_only=True) as db:
            report = db.verify()
            assert report["ok"], report["problems"]
    clock.move(3600)
    with EmbeddedDB(path, ml=None) as db:
        db.flush(timeout=60)
        assert all(db.exists(id) for id in kept)
        assert all("stays" in message.content for message in db.get_node("chat").messages())
        assert db.stats()["tables"]["expiry"] == 0
        report = db.verify()
        assert report["ok"], report["problems"]
