"""Quotas hold exactly, for any number of writers and processes, and give back what is deleted.

A model counts what is stored and says of each write whether it fits; the database must agree, also
after its process was killed in the middle and after another one has written. What takes no more
than before is always allowed.
"""

import json
import signal
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import (
    DELETE,
    Config,
    EmbeddedDB,
    InvalidInput,
    NamespaceQuota,
    Quota,
    QuotaExceeded,
)
from embedded_db.testing import FakeModel

THING = {"label": "Thing"}


def opened(path, **limits):
    return EmbeddedDB(path, ml=None, quota=Quota(**limits))


def used(db, resource="nodes"):
    return db.stats()["quota"][resource]["used"]


def things(count, begin=0):
    return [{**THING, "id": f"t{number}"} for number in range(begin, begin + count)]


def test_exactly_as_many_as_the_limit_says(path):
    with opened(path, max_nodes=10) as db:
        db.create_nodes(things(9))
        db.create_node(THING)
        with pytest.raises(QuotaExceeded) as raised:
            db.create_node(THING)
        error = raised.value
        assert (error.resource, error.used, error.limit, error.namespace) == ("nodes", 11, 10, None)
        assert "max_nodes=10" in str(error)
        assert "raise max_nodes" in error.hint
        assert not error.retryable
        assert db.count() == used(db) == 10


def test_a_batch_or_transaction_is_refused_as_a_whole(path):
    with opened(path, max_nodes=10) as db:
        db.create_nodes(things(8))
        with pytest.raises(QuotaExceeded, match="there would be 11 nodes"):
            db.create_nodes(things(3, 8))
        three = db.transaction()
        with pytest.raises(QuotaExceeded), three as tx:
            [tx.create_node(thing) for thing in things(3, 8)]
        assert db.count() == 8
        with db.transaction() as tx:  # what it leaves counts, not what it was at in between
            for thing in things(4, 8):
                tx.create_node(thing)
            tx.delete_node("t0")
            tx.delete_node("t1")
        assert db.count() == 10


def test_deleting_and_changing_are_allowed_above_the_limit(path):
    with opened(path, max_nodes=None) as db:
        db.create_nodes([{**thing, "properties": {"text": "x" * 100}} for thing in things(20)])
        db.create_edge({"id": "e", "source": "t0", "target": "t1", "type": "NEAR"})
    with opened(path, max_nodes=10, max_edges=0, max_bytes=1) as db:
        db.update_node("t2", {"text": "y" * 100})
        db.update_node("t2", {"text": DELETE})
        with pytest.raises(QuotaExceeded, match="bytes"):
            db.update_node("t3", {"text": "y" * 200})
        db.delete_node("t0")
        assert used(db, "edges") == 0
        for number in range(1, 20):
            db.delete_node(f"t{number}")
        assert used(db) == used(db, "bytes") == 0


def test_what_is_deleted_gives_its_room_back(path):
    with opened(path, max_nodes=2, max_edges=1, max_embeddings=1) as db:
        db.create_nodes(things(2))
        edge = {"source": "t0", "target": "t1", "type": "NEAR"}
        db.create_edge(edge)
        db.set_embeddings(["t0"], np.ones((1, 4), np.float32), space="own")
        for resource, write in {
            "nodes": lambda: db.create_node(THING),
            "edges": lambda: db.create_edge(edge),
            "embeddings": lambda: db.set_embeddings(
                ["t1"], np.ones((1, 4), np.float32), space="own"
            ),
        }.items():
            with pytest.raises(QuotaExceeded) as raised:
                write()
            assert raised.value.resource == resource
        db.delete_node("t0")
        db.create_node({**THING, "id": "t2"})
        db.create_edge({**edge, "source": "t2"})
        db.set_embeddings(["t1"], np.ones((1, 4), np.float32), space="own")
        assert [used(db, kind) for kind in ("nodes", "edges", "embeddings")] == [2, 1, 1]


def test_each_namespace_has_its_own(path):
    quota = {
        "max_nodes": 6,
        "per_namespace": NamespaceQuota(max_nodes=2),
        "namespaces": {"large": NamespaceQuota(max_nodes=4)},
    }
    with opened(path, **quota) as db:
        small, large = db.namespace("small"), db.namespace("large")
        small.create_nodes(things(2))
        with pytest.raises(QuotaExceeded) as raised:
            small.create_node(THING)
        assert (raised.value.namespace, raised.value.limit) == ("small", 2)
        large.create_nodes(things(4))
        with pytest.raises(QuotaExceeded) as raised:
            db.create_node(THING)
        assert (raised.value.namespace, raised.value.limit) == (None, 6)
        db.drop_namespace("small")
        db.create_nodes(things(2))
        with pytest.raises(QuotaExceeded):
            large.create_node(THING)
        again = db.namespace("small")
        with pytest.raises(QuotaExceeded):
            again.create_node(THING)
        large.delete_node("t0")
        again.create_node(THING)
        assert used(db) == 6
        assert db.verify(deep=True)["ok"]


def test_writers_in_threads_pass_no_limit_together(path, in_threads):
    with opened(path, max_nodes=100) as db:
        refused = []
        begin = threading.Barrier(8)

        def write():
            begin.wait()
            for _ in range(25):
                try:
                    db.create_nodes([THING, THING])
                except QuotaExceeded as error:
                    refused.append(error.used)

        in_threads(*[write] * 8)
        assert db.count() == used(db) == 100
        assert len(refused) == 8 * 25 - 50
        assert db.stats()["quota"]["nodes"]["rejections"] >= len(refused)
        assert db.verify()["ok"]


def test_what_is_counted_survives_a_kill_and_another_process(path, spawn):
    child = spawn(
        """
        import sys
        from embedded_db import EmbeddedDB, Quota, QuotaExceeded
        db = EmbeddedDB(sys.argv[1], ml=None, quota=Quota(max_nodes=50))
        try:
            while True:
                db.create_node({"label": "Thing"})
                print(db.count(), flush=True)
        except QuotaExceeded:
            print("full", flush=True)
        sys.stdin.read()
        """,
        path,
    )
    stored = [line.strip() for line in iter(child.stdout.readline, "full\n")]
    assert stored[-1] == "50"
    child.send_signal(signal.SIGKILL)
    child.wait()
    with opened(path, max_nodes=51) as db:
        db.create_node(THING)
        with pytest.raises(QuotaExceeded, match="52"):
            db.create_node(THING)
        assert used(db) == 51
        assert db.verify(deep=True)["ok"]
        db.compact()
        with pytest.raises(QuotaExceeded, match="52"):
            db.create_node(THING)
        node = next(iter(db.nodes("Thing")))
        db.delete_node(node.id)
        db.create_node(THING)
        assert db.verify(deep=True)["ok"]


@given(data=st.data())
def test_it_agrees_with_a_model(tmp_path_factory, data):
    limit = data.draw(st.integers(0, 8), label="limit")
    path = tmp_path_factory.mktemp("quota") / "memory.db"
    stored = {"default": set(), "other": set()}

    def fits(more):
        return sum(map(len, stored.values())) + more <= limit

    db = opened(path, max_nodes=limit)
    try:
        for step in range(data.draw(st.integers(1, 15), label="steps")):
            what = data.draw(st.sampled_from(["create", "batch", "delete", "drop", "reopen"]))
            name = data.draw(st.sampled_from(["default", "other"]))
            handle = db.namespace(name)
            held = stored[name]
            if what in ("create", "batch"):
                count = 1 if what == "create" else data.draw(st.integers(1, 4))
                ids = {f"n{step}-{number}" for number in range(count)}
                try:
                    handle.create_nodes([{**THING, "id": id} for id in ids])
                    assert fits(count)
                    held |= ids
                except QuotaExceeded:
                    assert not fits(count)
            elif what == "delete" and held:
                handle.delete_node(held.pop())
            elif what == "drop" and name == "other":
                db.drop_namespace(name)
                held.clear()
            elif what == "reopen":
                db.close()
                db = opened(path, max_nodes=limit)
            assert used(db) == sum(map(len, stored.values()))
        assert db.verify(deep=True)["ok"]
    finally:
        db.close()


def test_work_of_the_weaver_waits_for_room(path):
    """An embedding, then, that does not fit is made when something else is gone."""
    quota = Quota(max_embeddings=1)
    with EmbeddedDB(path, ml=FakeModel(), quota=quota) as db:
        chat = db.create_chat()
        first = chat.add_message("Hello")
        db.wait_for(first, "embedding", timeout=60)
        second = chat.add_message("Something else")
        with pytest.raises(QuotaExceeded) as raised:
            db.flush(timeout=60)
        assert raised.value.resource == "embeddings"
        assert second.status.embedding == "pending"
        assert db.weaver.dead_letters() == []
        first.delete()
        db.wait_for(second, "embedding", timeout=60)
        db.flush(timeout=60)


def test_room_on_the_disk_is_kept_free(path):
    with opened(path) as db:
        db.create_node({**THING, "id": "a"})
    with opened(path, disk_reserve=1 << 61) as db:
        with pytest.raises(QuotaExceeded) as raised:
            db.create_node(THING)
        assert (raised.value.resource, raised.value.limit) == ("disk", 1 << 61)
        assert "are to stay free" in str(raised.value)
        found = {found.about: found for found in db.health().findings}["quota"]
        assert found.level == "warning"
        db.delete_node("a")


def test_memory_of_indexes_is_limited(path):
    with opened(path, max_memory=1) as db:
        db.create_chat(id="c").add_message("hello there", id="m")
        assert len(db.query(text_query={"text": "hello"})) == 1  # loads the index
        assert db.stats()["view_bytes"] > 1

        def write_until_refused():
            for _ in range(1_000_000):
                db.create_node(THING)

        with pytest.raises(QuotaExceeded) as raised:
            write_until_refused()
        assert raised.value.resource == "memory"
        db.delete_node("m")


def test_quotas_are_told(path):
    with opened(path, max_nodes=10) as db:
        db.create_nodes(things(9))
        told = db.stats()["quota"]["nodes"]
        assert told == {"used": 9, "limit": 10, "rejections": 0}
        with pytest.raises(QuotaExceeded):
            db.create_nodes(things(9, 9))
        lines = db.metrics().splitlines()
        assert 'edb_quota_limit{resource="nodes"} 10' in lines
        assert 'edb_quota_used{resource="nodes"} 9' in lines
        assert 'edb_quota_rejections_total{resource="nodes"} 1' in lines
        found = {found.about: found for found in db.health().findings}["quota"]
        assert (found.level, found.text) == ("warning", "90 % of max_nodes")


def test_a_file_may_say_them(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(
        'ml = "none"\n[quota]\nmax_nodes = "none"\nmax_bytes = 5\n'
        "[quota.per_namespace]\nmax_edges = 7\n[quota.namespaces.ann]\nmax_nodes = 3\n"
    )
    quota = Config.from_file(file).quota
    assert (quota.max_nodes, quota.max_bytes) == (None, 5)
    assert quota.per_namespace == NamespaceQuota(max_edges=7)
    assert quota.namespaces == {"ann": NamespaceQuota(max_nodes=3)}
    assert Quota().max_nodes == 10_000_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_nodes": -1}, "max_nodes"),
        ({"max_bytes": 1.5}, "max_bytes"),
        ({"max_edges": True}, "max_edges"),
        ({"disk_reserve": None}, "disk_reserve"),
        ({"per_namespace": 3}, "per_namespace"),
        ({"namespaces": {"a": {"max_node": 3}}}, "max_nodes"),
        ({"max_noeds": 3}, "max_nodes"),
        ({"namespaces": 3}, "namespaces"),
        ({"namespaces": {"": {}}}, "namespace"),
    ],
)
def test_wrong_limits_are_refused(path, given, said):
    with pytest.raises(InvalidInput, match=said):
        EmbeddedDB(path, ml=None, quota=given)


def test_two_handles_agree_on_them(path):
    with opened(path, max_nodes=1), pytest.raises(InvalidInput, match="another Config"):
        opened(path, max_nodes=2)


def test_the_command_has_an_exit_code(path, tmp_path):
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from embedded_db.cli.app import app

    settings = tmp_path / "settings.toml"
    settings.write_text('ml = "none"\n[quota]\nmax_nodes = 1\n')
    talk = tmp_path / "talk.jsonl"
    talk.write_text(json.dumps({"content": "Hello"}) + "\n")
    arguments = ["import", str(talk), "--db", str(path), "--config", str(settings), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 19, result.output
