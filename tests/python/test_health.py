"""Health tells of each thing whether it is as it should be, and says what to do where it is not."""

import json

import pytest

from embedded_db import DatabaseClosed, EmbeddedDB, EnrichmentFailed
from embedded_db.testing import FakeModel

ABOUT = ["writing", "free space", "quota", "damage", "defects", "black box", "readers", "jobs"]


def finding(db, about):
    return next(found for found in db.health().findings if found.about == about)


def test_a_sound_database_is_well(db):
    report = db.health()
    assert [found.about for found in report.findings] == ABOUT
    assert report.path == db.path
    assert finding(db, "writing").facts == {"read_only": False, "unsynced_commits": 0}


def test_one_that_reads_says_so(path):
    EmbeddedDB(path, ml=None).close()
    with EmbeddedDB(path, ml=None, read_only=True) as db:
        found = finding(db, "writing")
        assert (found.level, found.text) == ("ok", "it is open for reading only")


def test_a_closed_one_is_not_asked(db):
    db.close()
    with pytest.raises(DatabaseClosed):
        db.health()


def test_work_that_was_given_up_is_a_warning(path):
    model = FakeModel()
    model.fail("raise")
    with EmbeddedDB(path, ml=model, weaver={"max_attempts": 1}) as db:
        db.create_chat().add_message("Hello")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        found = finding(db, "jobs")
        assert found.level == db.health().level == "warning"
        assert found.facts["failed"] >= 1
        assert "dead_letters" in found.remedy
        assert 'reason="' in db.metrics()


def test_a_panic_is_told(run_python):
    """In a process of its own: it counts for all databases of one."""
    done = run_python(
        """
        from embedded_db import EmbeddedDB, InternalError
        with EmbeddedDB(":memory:", ml=None) as db:
            try:
                db._native._panic_for_test(True)
            except InternalError:
                pass
            found = {found.about: found for found in db.health().findings}["defects"]
            assert (found.level, found.facts["count"]) == ("warning", 1), found
            assert "edb_panics_total 1" in db.metrics().splitlines()
            db.create_node({"label": "Thing"})
        """
    )
    assert done.returncode == 0, done.stderr


def test_the_command_ends_with_what_it_found(path):
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from embedded_db.cli.app import app

    EmbeddedDB(path, ml=None).close()
    result = CliRunner().invoke(app, ["health", "--db", str(path), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["level"] == "ok"
    assert [found["about"] for found in report["findings"]] == ABOUT
