"""Traces: what is done is told to a collector, as the sampling says, at no caller's cost.

The collector is the tests' own; what it gets is read in the form that OpenTelemetry prescribes.
"""

import asyncio
import socket
import time

import pytest

from embedded_db import (
    AsyncEmbeddedDB,
    ConvergedQuery,
    EmbeddedDB,
    InvalidInput,
    NotFound,
    Sampling,
    Tracing,
)
from embedded_db.testing import FakeModel
from embedded_db.tracing import part_of

from .collecting import Collector

ALL = Sampling(normal=1, slow=1)
NONE = Sampling(normal=0, slow=0, errors=0)
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


def opened(collector, path=":memory:", *, sampling=ALL, ml=None, **options):
    tracing = Tracing(endpoint=collector.endpoint, **options)
    return EmbeddedDB(path, ml=ml, tracing=tracing, sampling=sampling)


def metric(db, name):
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in db.metrics().splitlines()
        if line.startswith(name)
    }


def test_calls_are_traces_with_their_parts(collector):
    with opened(collector) as db:
        chat = db.create_chat(id="trip")
        chat.add_message("Ann met Bob in Paris", sender="Carol")
        db.query(text_query={"text": "paris"}, labels=["Message"])
        db.recall([chat.id])
        db.verify()
        with pytest.raises(NotFound):
            db.update_node("nobody", {"a": 1})
    traces = collector.traces()
    assert {"write", "query", "recall", "verify"} <= set(traces)
    query = traces["query"]
    assert {"candidates", "vectors", "text", "fuse"} & {span.name for span in query}
    for spans in traces.values():
        outermost, *parts = spans
        assert outermost.parent is None
        ids = {span.id for span in spans}
        assert len(ids) == len(spans)
        assert all(span.parent in ids for span in parts)
        assert all(span.attributes["db.system.name"] == "embedded_db" for span in spans)
    assert "commit" in {span.name for span in collector.spans}
    failed = [span for span in collector.spans if span.failed and span.parent is None]
    assert [(span.name, span.error) for span in failed] == [("write", "NotFound")]


def test_a_checkpoint_and_the_work_of_the_weaver_are_traces(collector, tmp_path):
    path = tmp_path / "db"
    with opened(collector, path, ml=FakeModel()) as db:
        message = db.create_chat().add_message("Ann met Bob in Paris")
        db.flush(timeout=30)
        assert message.status.embedding == "ready"
        db.query(semantic_query={"text": "Paris"})
        db.compact()
    names = {span.name for span in collector.spans}
    assert {"weaver.enrich", "model.enrich", "model.embed", "query", "compact"} <= names
    by_id = {span.id: span for span in collector.spans}
    enrich = next(span for span in collector.spans if span.name == "model.enrich")
    assert by_id[enrich.parent].name == "weaver.enrich"


def test_work_of_the_weaver_that_fails_is_kept(collector):
    class Broken(FakeModel):
        def enrich(self, *given):
            raise RuntimeError("planted")

    errors = Sampling(normal=0, slow=0)
    with opened(collector, sampling=errors, ml=Broken()) as db:
        db.create_chat().add_message("Ann met Bob in Paris")
        collector.wait(lambda: any(span.name == "weaver.enrich" for span in collector.spans))
    outermost = [span for span in collector.spans if span.parent is None]
    assert {(span.name, span.error) for span in outermost} == {
        ("weaver.enrich", "EnrichmentFailed")
    }


SAMPLED = [
    # 1 % and 0.3 of it more or less, of those that did not fail.
    (Sampling(slow_threshold=3600.0), "normal", 69, 129),
    # 50 % and 3 more or less.
    (Sampling(slow_threshold=0.0), "slow", 4653, 5247),
]


def failed(collector):
    outermost = [span for span in collector.spans if span.parent is None and span.name == "query"]
    return len([span for span in outermost if span.failed])


@pytest.mark.parametrize(("sampling", "decision", "least", "most"), SAMPLED)
def test_of_many_requests_those_are_kept_that_the_sampling_says(
    collector, monkeypatch, sampling, decision, least, most
):
    """Of 10,000 a hundred fail; chance begins with a seed."""
    to_native = Tracing._to_native
    seeded = lambda self, sampling: to_native(self, sampling) | {"seed": 7}  # noqa: E731
    monkeypatch.setattr(Tracing, "_to_native", seeded)
    planted = ConvergedQuery.from_dict({"semantic_query": {"vector": [1.0], "space": "none"}})
    with opened(collector, sampling=sampling, queue=1 << 16) as db:
        db.create_node({"id": "a", "label": "X"})
        before = metric(db, "edb_traces_total")
        for number in range(10_000):
            if number % 100:
                db.query(labels=["X"], limit=1)
            else:
                with pytest.raises(NotFound):
                    db.execute_query(planted)
        after = metric(db, "edb_traces_total")
        made = {name: after[name] - count for name, count in before.items()}
        collector.wait(lambda: failed(collector) == 100)  # every one arrives
    assert made['edb_traces_total{decision="error"}'] == 100
    assert least <= made[f'edb_traces_total{{decision="{decision}"}}'] <= most, made
    assert sum(made.values()) == 10_000


def test_a_caller_decides_and_is_the_parent(collector):
    with opened(collector, sampling=NONE) as db:
        with part_of(CALLER):
            db.query(labels=["X"])
        with part_of(CALLER.removesuffix("1") + "0"):
            db.query(labels=["X"])
        for odd in ("", "x", CALLER.upper(), CALLER + "-", CALLER.replace("00-4bf", "ff-4bf")):
            with part_of(odd):
                db.query(labels=["X"])
        db.query(labels=["X"])
        collector.wait(lambda: collector.spans != [])
    [query] = [span for span in collector.spans if span.name == "query"]
    assert (query.trace, query.parent) == (CALLER[3:35], CALLER[36:52])


def test_a_caller_goes_with_its_task(collector):
    async def ask(db, number):
        with part_of(CALLER.replace("4bf92f35", f"{number:08x}")):
            await asyncio.sleep(0)
            await db.query(labels=["X"])

    async def all_of_them():
        tracing = Tracing(endpoint=collector.endpoint)
        async with AsyncEmbeddedDB(":memory:", ml=None, tracing=tracing, sampling=NONE) as db:
            await asyncio.gather(*(ask(db, number) for number in range(1, 21)))

    asyncio.run(all_of_them())
    queries = [span for span in collector.spans if span.name == "query"]
    assert sorted(int(span.trace[:8], 16) for span in queries) == list(range(1, 21))


OPENTELEMETRY = """
import sys, types
from contextlib import contextmanager

class Context:
    is_valid, trace_id, span_id, trace_flags = True, 0xabc, 0xdef, 1

class Span:
    def get_span_context(self):
        return Context()

package, module = types.ModuleType("opentelemetry"), types.ModuleType("opentelemetry.trace")
package.__path__ = []
package.__spec__ = types.SimpleNamespace(name="opentelemetry", submodule_search_locations=[])
module.__spec__ = types.SimpleNamespace(name="opentelemetry.trace")
module.get_current_span = Span
sys.modules.update({"opentelemetry": package, "opentelemetry.trace": module})
from embedded_db import EmbeddedDB, Tracing
tracing = Tracing(endpoint=sys.argv[1])
with EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling={"normal": 0, "slow": 0}) as db:
    db.query(labels=["X"])
"""


def test_a_span_of_opentelemetry_is_the_parent(collector, run_python):
    """Its API in miniature, for the package is none of the tests'."""
    run = run_python(OPENTELEMETRY, collector.endpoint)
    assert run.returncode == 0, run.stderr
    [query] = [span for span in collector.spans if span.name == "query"]
    assert (int(query.trace, 16), int(query.parent, 16)) == (0xABC, 0xDEF)


@pytest.mark.parametrize("manner", ["refuses", "hangs", "is not there"])
def test_a_collector_costs_no_call_anything(collector, manner):
    if manner == "refuses":
        collector.status = 503
    collector.hang = manner == "hangs"
    endpoint = collector.endpoint
    if manner == "is not there":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    tracing = Tracing(endpoint=endpoint, timeout=2, queue=512)
    db = EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling=ALL)
    db.create_node({"id": "a", "label": "X"})
    begun = time.perf_counter()
    for _ in range(8000):
        assert len(db.query(labels=["X"])) == 1
    # One of 512 that waited would take 30 s in all.
    assert time.perf_counter() - begun < 15, "calls have waited for the collector"
    lost = metric(db, "edb_trace_spans_total")
    assert lost['edb_trace_spans_total{outcome="sent"}'] == 0
    assert lost['edb_trace_spans_total{outcome="queue_full"}'] > 0
    begun = time.perf_counter()
    db.close()
    assert time.perf_counter() - begun < 20
    assert (collector.bodies == []) == (manner == "is not there")


def test_a_process_ends_in_time_though_its_collector_hangs(collector, run_python):
    collector.hang = True
    begun = time.perf_counter()
    run = run_python(
        """
        import sys
        from embedded_db import EmbeddedDB
        tracing = {"endpoint": sys.argv[1]}
        db = EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling={"normal": 1, "slow": 1})
        db.query(labels=["X"])
        """,
        collector.endpoint,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert time.perf_counter() - begun < 20
    assert collector.bodies != []


def test_a_forked_child_leaves_the_traces_of_its_parent(collector, run_python):
    run = run_python(
        """
        import os, sys
        from embedded_db import EmbeddedDB, ForkedHandle
        tracing = {"endpoint": sys.argv[1]}
        sampling = {"normal": 1, "slow": 1}
        db = EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling=sampling)
        db.query(labels=["X"])
        child = os.fork()
        if child == 0:
            try:
                db.query(labels=["X"])
            except ForkedHandle:
                with EmbeddedDB(":memory:", ml=None, tracing=tracing, sampling=sampling) as own:
                    own.verify()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        db.close()
        """,
        collector.endpoint,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(span.name for span in collector.spans if span.parent is None).count("query") == 1
    assert "verify" in {span.name for span in collector.spans}


def test_headers_go_with_what_is_sent_and_are_not_shown(collector):
    with opened(collector, headers={"Authorization": "Bearer planted-5ae1"}) as db:
        db.query(labels=["X"])
        assert "planted-5ae1" not in repr(db.config)
    assert collector.heads[0]["Authorization"] == "Bearer planted-5ae1"
    assert collector.heads[0]["Content-Type"] == "application/json"


def test_nothing_that_is_stored_or_asked_is_in_a_trace(collector):
    """A text is planted wherever one may be, and looked for in all that was sent."""
    planted = "planted-text-5ae1"
    with opened(collector, ml=FakeModel()) as db:
        own = db.namespace(planted)
        for of in (db, own):
            of.create_node({"id": planted, "label": planted, "properties": {planted: planted}})
            of.create_chat(id=f"c-{planted}").add_message(planted)
            of.query(text_query={"text": planted}, semantic_query={"text": planted})
            of.search(planted)
            of.get_node(planted)
            with pytest.raises(NotFound):
                of.delete_node(f"{planted}-x")
        db.flush(timeout=30)
        db.drop_namespace(planted)
    assert len(collector.spans) > 10
    assert all(planted.encode() not in body for body in collector.bodies)


def test_without_a_collector_there_are_no_traces(db):
    assert db.config.tracing is None
    db.query(labels=["X"])
    assert metric(db, "edb_traces_total") == {}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tracing": {}}, "endpoint"),
        ({"tracing": {"endpoint": "https://x"}}, "http address"),
        ({"tracing": {"endpoint": "http://a b"}}, "no address"),
        ({"tracing": {"endpoint": "http://x", "queue": 1}}, "512"),
        ({"tracing": {"endpoint": "http://x", "timeout": 0}}, "above 0"),
        ({"tracing": {"endpoint": "http://x", "hedders": {}}}, "headers"),
        ({"tracing": {"endpoint": "http://x", "headers": {"a": "b\r\nc: d"}}}, "header"),
        ({"sampling": {"normal": 1.5}}, "from 0 to 1"),
        ({"sampling": {"slow": True}}, "from 0 to 1"),
        ({"sampling": {"eror": 1}}, "errors"),
        ({"sampling": {"slow_threshold": float("nan")}}, "seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(options, told):
    with pytest.raises(InvalidInput, match=told):
        EmbeddedDB(":memory:", ml=None, **options)
