"""Logs: nothing unless asked for, `logging` for programs, JSON lines for who wants them."""

import gc
import io
import json
import logging
import urllib.error
import urllib.request

import pytest

from embedded_db import EmbeddedDB, InvalidInput
from embedded_db.logs import JSONFormatter, flush, follow_level, log_to_json
from embedded_db.server import Server
from embedded_db.testing import FakeModel

from .collecting import Collector

NAMES = {"timestamp", "level", "target", "message", "fields"}


@pytest.fixture
def lines():
    """What is logged as JSON, from the least level on."""
    gc.collect()  # what an earlier test has left is closed, and says so, before
    out, logger = io.StringIO(), logging.getLogger("embedded_db")
    before = logger.level
    handler = log_to_json("debug", out)

    def read():
        assert flush(30)
        return [json.loads(line) for line in out.getvalue().splitlines()]

    yield read
    logger.removeHandler(handler)
    logger.setLevel(before)
    follow_level()


class Broken(FakeModel):
    def enrich(self, *given):
        raise RuntimeError("planted-text-5ae1")


def test_what_happens_is_logged_as_json(lines, tmp_path):
    with EmbeddedDB(tmp_path / "db", ml=None):
        pass
    opened, closed = lines()
    assert set(opened) == NAMES
    assert (opened["level"], opened["target"]) == ("info", "embedded_db.database")
    assert (opened["message"], closed["message"]) == ("opened", "closed")
    assert opened["fields"] == {"path": str(tmp_path / "db")}
    assert opened["timestamp"] <= closed["timestamp"]
    assert opened["timestamp"].endswith("Z")


def test_nothing_is_written_unless_asked_for(run_python, path):
    run = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB
        from embedded_db.testing import FakeModel
        class Broken(FakeModel):
            def enrich(self, *given):
                raise RuntimeError("x")
        weaver = {"max_attempts": 1}
        with EmbeddedDB(sys.argv[1], ml=Broken(), weaver=weaver) as db:
            db.create_chat().add_message("Ann met Bob in Paris")
            try:
                db.flush(timeout=30)
            except Exception as error:
                print(type(error).__name__)
        """,
        path,
    )
    assert (run.stdout, run.stderr, run.returncode) == ("EnrichmentFailed\n", "", 0)


def test_a_program_that_logs_gets_it_by_its_own_means(run_python, path):
    run = run_python(
        """
        import logging, sys
        logging.basicConfig(level="INFO", format="%(name)s %(levelname)s %(message)s %(fields)s")
        from embedded_db import EmbeddedDB
        EmbeddedDB(sys.argv[1], ml=None).close()
        """,
        path,
    )
    first, second = run.stderr.splitlines()
    assert first == f"embedded_db.database INFO opened {{'path': {str(path)!r}}}"
    assert second == f"embedded_db.database INFO closed {{'path': {str(path)!r}}}"
    assert run.returncode == 0


def test_what_is_logged_at_the_very_end_arrives(run_python, path):
    run = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB
        from embedded_db.logs import log_to_json
        log_to_json("info")
        db = EmbeddedDB(sys.argv[1], ml=None)
        """,
        path,
    )
    told = [json.loads(line)["message"] for line in run.stderr.splitlines()]
    assert (told, run.returncode) == (["opened", "closed"], 0)


def test_a_forked_child_logs_for_itself(run_python, path):
    run = run_python(
        """
        import os, sys
        from embedded_db import EmbeddedDB
        from embedded_db.logs import flush, log_to_json
        log_to_json("info")
        EmbeddedDB(sys.argv[1], ml=None).close()
        flush()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                EmbeddedDB(":memory:", ml=None).close()
                assert flush()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        """,
        path,
    )
    told = [json.loads(line)["fields"]["path"] for line in run.stderr.splitlines()]
    assert (told.count(str(path)), told.count(":memory:"), run.returncode) == (2, 40, 0)


def test_work_that_fails_is_logged_by_the_name_of_its_error(lines):
    weaver = {"max_attempts": 2, "first_delay": 0.0}
    with EmbeddedDB(":memory:", ml=Broken(), weaver=weaver) as db:
        db.create_chat().add_message("planted-text-5ae1")
        with pytest.raises(Exception, match="planted"):
            db.flush(timeout=30)
    told = [line for line in lines() if line["target"] == "embedded_db.weaver"]
    assert {line["message"] for line in told} == {"work has failed", "work is given up"}
    assert {line["fields"]["error"] for line in told} == {"EnrichmentFailed"}
    assert {line["level"] for line in told} == {"warning", "error"}
    assert "planted" not in json.dumps(told)


def test_a_panic_is_logged_by_its_place(run_python):
    """In a process of its own, for panics of a process are counted."""
    run = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB, InternalError
        from embedded_db.logs import log_to_json
        log_to_json("error", sys.stdout)
        with EmbeddedDB(":memory:", ml=None) as db:
            try:
                db._native._panic_for_test(True)
            except InternalError:
                pass
        """
    )
    [panic] = [json.loads(line) for line in run.stdout.splitlines()]
    assert (panic["target"], panic["level"]) == ("embedded_db.panic", "error")
    assert panic["fields"]["file"].endswith("reads.rs")
    assert panic["fields"]["line"] > 0
    assert "a defect for a test" in run.stderr, "it did panic"
    assert run.returncode == 0


def test_records_have_the_trace_that_they_were_made_in(lines, db, tmp_path):
    with Collector() as collector:
        tracing = {"endpoint": collector.endpoint}
        with (
            EmbeddedDB(":memory:", ml=None, tracing=tracing) as traced,
            Server(traced, port=0) as server,
        ):
            traced._native.close()
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{server.url}/v1/nodes/x")
            [failed] = [line for line in lines() if line["message"] == "request failed"]
    assert (failed["level"], failed["fields"]["status"]) == ("error", 503)
    assert failed["fields"]["operation"] == "get_node"
    assert len(failed["trace_id"]) == 32
    assert len(failed["span_id"]) == 16


def test_the_formatter_takes_records_of_anybody():
    record = logging.makeLogRecord(
        {
            "name": "mine",
            "levelname": "ERROR",
            "levelno": logging.ERROR,
            "msg": 'a "%s"\n\x1b[2J',
            "args": ("b",),
            "exc_info": (ValueError, ValueError("planted-text-5ae1"), None),
            "fields": {"number": float("nan"), "object": object},
        }
    )
    line = JSONFormatter().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "planted" not in line
    told = json.loads(line)
    assert told["message"] == 'a "b"\n\x1b[2J'
    assert told["fields"] == {
        "number": None,
        "object": "<class 'object'>",
        "exception": "ValueError",
    }


def test_a_level_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="level"):
        log_to_json("loud")  # type: ignore[arg-type]


def test_nothing_that_is_stored_or_asked_is_logged(lines):
    """A text is planted wherever one may be, and looked for in all that was logged."""
    planted = "planted-text-5ae1"
    with EmbeddedDB(":memory:", ml=Broken(), weaver={"max_attempts": 1}) as db:
        for of in (db, db.namespace(planted)):
            of.create_node({"id": planted, "label": planted, "properties": {planted: planted}})
            of.create_chat(id=f"c-{planted}").add_message(planted)
            of.query(text_query={"text": planted})
            with pytest.raises(Exception, match="planted"):
                of.delete_node(f"{planted}-x")
            with pytest.raises(Exception, match="planted"):
                of.create_node({"id": planted, "label": planted})
        with pytest.raises(Exception, match="planted"):
            db.flush(timeout=30)
        db.drop_namespace(planted)
    told = lines()
    assert len(told) > 2
    assert planted not in json.dumps(told)
