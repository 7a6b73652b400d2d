"""The figures of a database are true, few, and text that Prometheus reads.

Every rule of naming is checked against all families: one prefix, base units, `_total` of counters
alone, bounded labels. Then calls are made, and what is counted is compared with what was called.
"""

import json
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from embedded_db import EmbeddedDB, InvalidQuery, NotFound
from embedded_db.testing import FakeModel

FAMILIES = {
    "build_info": "gauge",
    "up_seconds": "gauge",
    "operations": "counter",
    "operation_duration_seconds": "histogram",
    "items": "gauge",
    "last_lsn": "gauge",
    "vectors": "counter",
    "view_memory_bytes": "gauge",
    "storage_bytes": "gauge",
    "storage_free_bytes": "gauge",
    "map_used_ratio": "gauge",
    "map_growths": "counter",
    "commit_duration_seconds": "histogram",
    "wal_batch_entries": "histogram",
    "wal_fsync_duration_seconds": "histogram",
    "wal_checkpoints": "counter",
    "wal_unsynced_entries": "gauge",
    "quota_limit": "gauge",
    "quota_used": "gauge",
    "quota_rejections": "counter",
    "readers": "gauge",
    "oldest_reader_age_seconds": "gauge",
    "tasks": "gauge",
    "tasks_done": "counter",
    "task_lag_seconds": "gauge",
    "index_lag_items": "gauge",
    "task_duration_seconds": "histogram",
    "task_failures": "counter",
    "corruptions": "counter",
    "panics": "counter",
    "last_backup_timestamp_seconds": "gauge",
    "last_verify_timestamp_seconds": "gauge",
}
"""Without the prefix, and counters without `_total`, as the parser names them."""
LABELS = {"version", "git", "python", "op", "outcome", "kind", "origin", "file", "state", "index"}
LABELS |= {"function", "resource", "reason", "result", "le"}


def parsed(db):
    """Read the text; every sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(db.metrics())
        for sample in family.samples
    }


def value(samples, name, **labels):
    return samples[name, *sorted(labels.items())]


@pytest.fixture
def used(path):
    """A database of which something was asked already."""
    with EmbeddedDB(path, ml=FakeModel()) as db:
        chat = db.create_chat(id="trip")
        chat.add_messages([{"content": f"Ann met Bob in Paris {n}"} for n in range(20)])
        db.flush(timeout=60)
        db.query(text_query={"text": "paris"})
        yield db


def test_families_are_named_by_the_rules(used):
    families = {family.name: family for family in text_string_to_metric_families(used.metrics())}
    ours = {name.removeprefix("edb_"): f.type for name, f in families.items() if "edb_" in name}
    assert ours == FAMILIES
    assert len(ours) >= 25
    for name, family in families.items():
        assert re.fullmatch(r"(edb|process)_[a-z_]+", name)
        assert family.documentation.endswith("."), name
        assert not re.search(r"_(ms|millis|micros|us|kb|mb|percent)(_|$)", name)
        if family.type == "gauge":
            assert not name.endswith(("_total", "_count", "_sum", "_bucket"))
        for sample in family.samples:
            assert set(sample.labels) <= LABELS, name
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name


def test_the_text_is_one_block_a_family_and_has_no_sample_twice(used):
    lines = used.metrics().splitlines()
    helped = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(helped) == len(set(helped)) == sum(line.startswith("# TYPE") for line in lines)
    samples = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples)) < 1000
    assert used.metrics().endswith("\n")


def test_histograms_accumulate(used):
    used.get_node("trip")
    for family in text_string_to_metric_families(used.metrics()):
        if family.type != "histogram":
            continue
        series = {}
        for sample in family.samples:
            labels = {name: text for name, text in sample.labels.items() if name != "le"}
            kind = sample.name.removeprefix(family.name)
            series.setdefault((*labels.items(),), {}).setdefault(kind, []).append(sample)
        for of in series.values():
            bounds = [float(sample.labels["le"]) for sample in of["_bucket"]]
            counts = [sample.value for sample in of["_bucket"]]
            assert bounds == sorted(bounds)
            assert bounds[-1] == float("inf")
            assert counts == sorted(counts)
            assert counts[-1] == of["_count"][0].value
            assert of["_sum"][0].value >= 0


def test_calls_are_counted_by_outcome(db):
    before = parsed(db)
    node = db.create_node({"label": "Thing"})
    for _ in range(100):
        assert db.get_node(node) is not None
    with pytest.raises(NotFound):
        db.update_node("missing", {"a": 1})
    with pytest.raises(NotFound):
        list(db.neighbors("missing"))
    with pytest.raises(InvalidQuery):
        db.query()
    with db.snapshot() as snapshot:
        snapshot.count("Thing")
    after = parsed(db)

    def more(op, outcome):
        name, labels = "edb_operations_total", {"op": op, "outcome": outcome}
        key = (name, *sorted(labels.items()))
        return after.get(key, 0) - before.get(key, 0)

    assert more("write", "ok") == 1
    assert more("write", "NotFound") == 1
    assert more("get", "ok") >= 100
    assert more("neighbors", "NotFound") == 1
    assert more("scan", "ok") == 1
    assert value(after, "edb_operation_duration_seconds_count", op="write") == 2 + value(
        before, "edb_operation_duration_seconds_count", op="write"
    )
    operations = db.stats()["operations"]
    assert operations["write"]["failed"] == {"NotFound": 1}
    assert operations["get"]["ok"] == value(after, "edb_operations_total", op="get", outcome="ok")


def test_what_is_stored_is_counted_over_all_namespaces(used):
    used.namespace("other").create_node({"label": "Thing"})
    samples = parsed(used)
    assert value(samples, "edb_items", kind="namespace") == 2
    each = [used.namespace(name).stats() for name in used.namespaces()]
    for kind in ("node", "edge", "embedding"):
        assert value(samples, "edb_items", kind=kind) == sum(stats[f"{kind}s"] for stats in each)
    data = sum(file.stat().st_size for file in Path(used.path).rglob("data.mdb"))
    assert value(samples, "edb_storage_bytes", file="data") == data
    assert value(samples, "edb_storage_free_bytes") > 0
    assert 0 < value(samples, "edb_map_used_ratio") <= 1
    assert value(samples, "edb_last_lsn") == used.stats()["lsn"]


def test_writes_and_models_are_timed(used):
    samples = parsed(used)
    commits = value(samples, "edb_commit_duration_seconds_count")
    assert commits >= 3
    assert value(samples, "edb_wal_batch_entries_count") == commits
    assert value(samples, "edb_wal_batch_entries_sum") >= commits
    assert value(samples, "edb_wal_fsync_duration_seconds_count") > 0
    assert value(samples, "edb_wal_unsynced_entries") == 0
    assert value(samples, "edb_task_duration_seconds_count", function="enrich") >= 1
    jobs = used.weaver_status()["per_job"].values()
    assert value(samples, "edb_tasks", state="pending") == sum(job["pending"] for job in jobs)
    assert value(samples, "edb_vectors_total", origin="computed") > 0


def test_a_backup_and_a_verification_leave_their_time(db, tmp_path):
    before = parsed(db)
    assert value(before, "edb_last_backup_timestamp_seconds") == 0
    begun = time.time()
    db.backup(tmp_path / "backup")
    assert db.verify()["ok"]
    after = parsed(db)
    assert begun - 1 <= value(after, "edb_last_backup_timestamp_seconds") <= time.time() + 1
    assert value(after, "edb_last_verify_timestamp_seconds", result="ok") >= begun - 1
    assert value(after, "edb_last_verify_timestamp_seconds", result="problems") == 0
    assert value(after, "edb_operations_total", op="verify", outcome="ok") == 1


def test_a_held_snapshot_is_seen(db):
    with db.snapshot():
        samples = parsed(db)
        assert value(samples, "edb_readers") == 1
        assert value(samples, "edb_oldest_reader_age_seconds") > 0
    assert value(parsed(db), "edb_readers") == 0


def test_nothing_of_a_user_is_in_it(path):
    secret = "planted-secret"
    with EmbeddedDB(path / secret, ml=FakeModel()) as db:
        db.namespace(secret).create_node(
            {"id": secret, "label": secret, "properties": {secret: secret}}
        )
        db.create_chat(secret, id=f"c-{secret}").add_message(secret)
        with pytest.raises(NotFound):
            db.update_node(f"x-{secret}", {secret: secret})
        db.flush(timeout=60)
        assert secret not in db.metrics()


def test_nothing_is_counted_when_it_is_not_wanted(path):
    with EmbeddedDB(path, ml=None, metrics=False) as db:
        db.create_node({"label": "Thing"})
        samples = parsed(db)
        assert value(samples, "edb_operations_total", op="write", outcome="ok") == 0
        assert value(samples, "edb_items", kind="node") == 1


def test_looking_is_quick(used):
    used.metrics()
    begun = time.perf_counter()
    used.metrics()
    assert time.perf_counter() - begun < 5, (
        "fifty milliseconds are meant, and no machine is so slow"
    )


def test_a_reader_has_figures_of_its_own(used):
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from embedded_db.cli.app import app

    used.close()
    for arguments in (["metrics"], ["metrics", "--json"]):
        result = CliRunner().invoke(app, [*arguments, "--db", used.path])
        assert result.exit_code == 0, result.output
        text = json.loads(result.stdout)["text"] if "--json" in arguments else result.stdout
        families = {family.name for family in text_string_to_metric_families(text)}
        assert {"edb_build_info", "edb_items"} <= families
