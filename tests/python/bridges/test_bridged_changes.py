"""Promise: the change feed is at the broker whole, in its order and once, whatever is restarted.

What arrived is compared with `EmbeddedDB.changes` itself.
"""

import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import asdict

import pytest

from embedded_db import EmbeddedDB
from embedded_db.bridges import connect
from embedded_db.errors import ChangesTrimmed, InvalidInput

from .brokers import until
from .test_redis_faults import everything, through


def written(db, **arguments):
    return [{**asdict(one), "labels": list(one.labels)} for one in db.changes(**arguments)]


def test_all_changes_arrive_once_in_their_order_across_restarts_of_the_bridge(db, server, quick):
    for part in range(5):
        db.create_nodes({"label": "Person", "id": f"{part}-{n}"} for n in range(50))
        with db.bridge_changes(server.url, config=quick) as bridge:
            bridge.flush(timeout=20)
            assert bridge.stats().position == db.stats()["lsn"]
            assert bridge.stats().handed_over == 50
    assert everything(server.url, quick, "changes") == written(db)


def test_it_follows_what_is_written_meanwhile_through_kills_and_cuts(db, server, proxy, quick):
    with db.bridge_changes(through(proxy), channel="feed", config=quick) as bridge:
        for part in range(30):
            db.create_nodes({"label": "Person", "id": f"{part}-{n}"} for n in range(20))
            until(lambda many=20 * part: (bridge.stats().position or 0) > many, what="a hand-over")
            if part % 10 == 5:
                server.kill()
                time.sleep(0.05)
                server.start()
            elif part % 4 == 0:
                proxy.cut_after(part % 3)
        bridge.flush(timeout=60)
        assert bridge.stats().reconnects >= 3
        assert (server.kills, proxy.cuts >= 5) == (3, True)
    found = everything(server.url, quick, "feed")
    assert [one["lsn"] for one in found] == sorted({one["lsn"] for one in found})
    assert found == written(db)


def test_a_broker_that_lost_everything_gets_everything_again(db, server, quick):
    db.create_nodes({"label": "Person"} for _ in range(30))
    with db.bridge_changes(server.url, config=quick) as bridge:
        bridge.flush(timeout=20)
        server.lose_everything()
        db.create_node({"label": "Person"})
        bridge.flush(timeout=20)
        until(lambda: bridge.stats().handed_over == 61, what="handing over again")
    assert everything(server.url, quick, "changes") == written(db)


def test_two_bridges_of_one_database_do_not_double(db, server, quick):
    with (
        db.bridge_changes(server.url, config=quick) as one,
        db.bridge_changes(server.url, config=quick) as two,
    ):
        for _ in range(40):
            db.create_nodes({"label": "Person"} for _ in range(5))
        for bridge in (one, two):
            bridge.flush(timeout=20)
    assert everything(server.url, quick, "changes") == written(db)


def test_databases_namespaces_and_labels_have_positions_of_their_own(db, tmp_path, server, quick):
    ann = db.namespace("ann")
    with EmbeddedDB(tmp_path / "other.db", ml=None) as other:
        for each in (db, ann, other):
            each.create_node({"label": "Person"})
            each.create_node({"label": "Place"})
        for each in (db, ann, other):
            with each.bridge_changes(server.url, config=quick) as bridge:
                bridge.flush(timeout=20)
        with db.bridge_changes(server.url, channel="places", labels="Place", config=quick) as few:
            few.flush(timeout=20)
        assert len(everything(server.url, quick, "changes")) == 6
        assert everything(server.url, quick, "places") == written(db, labels="Place")


KILLED = """
    import sys, time
    from embedded_db import EmbeddedDB
    from embedded_db.bridges import BrokerConfig
    path, url = sys.argv[1:]
    with EmbeddedDB(path, ml=None) as db:
        bridge = db.bridge_changes(url, config=BrokerConfig(batch=3))
        print("begun", flush=True)
        while True:
            db.create_nodes({"label": "Person"} for _ in range(7))
            time.sleep(0.002)
"""


def test_processes_that_are_killed_leave_no_gap_and_no_double(path, server, quick):
    handed_over = []
    for _ in range(4):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "begun\n"
            time.sleep(0.3)
            child.kill()
        with connect(server.url, quick) as broker:
            consumer = broker.consume("changes", str(len(handed_over)))
            handed_over.append(len(consumer.receive(10_000, timeout=0)))
    assert handed_over == sorted(set(handed_over)), "each process handed some over"
    with EmbeddedDB(path, ml=None) as db, db.bridge_changes(server.url, config=quick) as bridge:
        bridge.flush(timeout=30)
        assert everything(server.url, quick, "changes", "all") == written(db)


def test_changes_that_the_feed_has_lost_end_the_bridge_with_the_error(db, server, quick):
    db.create_node({"label": "Person"})
    with db.bridge_changes(server.url, config=quick) as bridge:
        bridge.flush(timeout=20)
    db.create_node({"label": "Person"})
    db.scrub()
    with db.bridge_changes(server.url, config=quick) as bridge, pytest.raises(ChangesTrimmed):
        bridge.flush(timeout=20)
    with pytest.raises(InvalidInput):
        db.bridge_changes(server.url, since=-1)


@pytest.mark.parametrize("away", [False, True])
def test_closing_the_database_ends_the_bridge(path, server, quick, away):
    db = EmbeddedDB(path, ml=None)
    bridge = db.bridge_changes(server.url, config=quick)
    bridge.flush(timeout=20)
    if away:
        server.kill()
        until(lambda: bridge.stats().problem, what="noticing that the broker is away")
    db.close()
    until(lambda: not bridge._thread.is_alive(), what="the end of its thread")
    assert bridge.stats().error is None
    assert not [t for t in threading.enumerate() if t.name.startswith("embedded-db redis")]
    bridge.close()
