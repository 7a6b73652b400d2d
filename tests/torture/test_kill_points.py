"""``kill -9`` at any call that changes files loses nothing acknowledged, leaves nothing half done.

Each operation is done once while its calls are counted, and then again and again, each time in a
fresh copy of the same database, and killed at one of these calls: at each of them at full length.
What is found afterwards is the state before the operation or the one after it, in graph, text,
vectors and work alike, and after it when it was acknowledged. The acknowledgement is a call too, at
which it is killed.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB, InvalidInput
from embedded_db.testing import FakeModel
from harness.base import MODEL, OTHER
from harness.child import Done
from harness.content import check, check_woven, content
from harness.killing import Killing
from harness.lengths import length, longer
from harness.model import Model, differences, words_of
from harness.operations import (
    AddMessages,
    CreateEdge,
    CreateIndex,
    CreateNamespace,
    CreateNode,
    CreateNodes,
    Declare,
    DeleteEdge,
    DeleteMessage,
    DeleteNode,
    DropIndex,
    DropNamespace,
    Operation,
    Pair,
    Renew,
    Retract,
    Revise,
    Rewrite,
    SetVector,
    UpdateNode,
    wait_for_index,
)
from harness.processes import Child
from harness.strace import CHANGES

pytestmark = [pytest.mark.usefixtures("needs_strace"), pytest.mark.timeout(900)]

POINTS = length(1, 3, None)
"""At how many of its calls an operation is killed; at all of them when it is None."""


@dataclass
class Case:
    """An operation that is done wholly or not at all, and what must be there before."""

    operation: Operation
    before: list[Operation] = field(default_factory=list)


CASES: dict[str, Case] = {
    "a message": Case(AddMessages("chat", ("new",))),
    "a transaction": Case(Pair("pair", "n5")),
    "a node": Case(CreateNode("new")),
    "an edge": Case(CreateEdge("new", "n1", "n2")),
    "an embedding": Case(SetVector("n30", 1)),
    "a message in a new chat": Case(AddMessages("fresh", ("new",))),
    "a change of a node": Case(UpdateNode("n3", 5)),
    "a change of an edge": Case(Revise("e1", 0.25)),
    "a change of a message": Case(Rewrite("m1", 1)),
    "a deleted message": Case(DeleteMessage("chat", "m2")),
    "a retracted edge": Case(Retract("e3")),
    "a deleted edge": Case(DeleteEdge("e1")),
    "a deleted node and all that hangs on it": Case(DeleteNode("n1")),
    "a batch of nodes": Case(CreateNodes(tuple(f"b{i}" for i in range(300)))),
    "a batch of messages": Case(AddMessages("chat", tuple(f"b{i}" for i in range(50)))),
    "a small index": Case(CreateIndex()),
    "a dropped index": Case(DropIndex(), [CreateIndex()]),
    "a declared label": Case(Declare(namespace=OTHER)),
    "a namespace": Case(CreateNamespace(namespace="third")),
    "a dropped namespace": Case(DropNamespace(namespace=OTHER)),
    "a compaction": Case(Renew(scrub=False), [DeleteNode("n1")]),
    "a scrub": Case(Renew(scrub=True), [DeleteNode("n1")]),
}
SHORT = 6
"""So many of them are killed in `make test`."""


@pytest.mark.parametrize("name", list(CASES)[: length(SHORT, None, None)])
def test_what_is_done_wholly_or_not_at_all(path, nursery, base, name):
    case = CASES[name]
    before = MODEL.after(*case.before)
    after = before.after(case.operation)
    words = words_of(before, after)

    def prepare(child: Child) -> None:
        child.open(path)
        for operation in case.before:
            child.must("do", operation)

    def act(child: Child) -> bool:
        return child.do(case.operation) == Done()

    def examine(acknowledged: bool) -> None:
        with EmbeddedDB(path, ml=None) as db:
            found = content(db, words)
            states = [after] if acknowledged else [before, after]
            different = [differences(found, state.content(words)) for state in states]
            assert [] in different, "\n".join(min(different, key=len))
            assert len(list(path.glob("gen-*"))) == 1
            report = db.verify(deep=True)
            assert report["ok"], report
            CreateNode("later").perform(db)
            check(db, states[different.index([])].after(CreateNode("later")))

    Killing(nursery, path, base, prepare, act, examine).sweep(POINTS)


@pytest.fixture(scope="session")
def woven(quick: Path, base: Path) -> Path:
    """The base, with all that the weaver makes of it."""
    path = quick / "woven.db"
    shutil.copytree(base, path)
    with EmbeddedDB(path, ml=FakeModel(), durability="memory") as db:
        check_woven(db, MODEL)
    return path


NEW = AddMessages("chat", ("new",))


def open_at_rest(child: Child, path: Path) -> None:
    """With a message that the weaver has yet to see."""
    child.open(path, ml="fake", warm_up=False)
    child.run("db.weaver.pause()")
    child.must("do", NEW)


def test_what_the_weaver_writes(path, nursery, woven):
    def act(child: Child) -> bool:
        child.run("db.weaver.resume()\ndb.flush(timeout=60)")
        return True

    def examine(acknowledged: bool) -> None:
        with EmbeddedDB(path, ml=None) as db:
            check(db, MODEL.after(NEW))
            status = db.get_node("new").status.embedding
            assert status == "ready" or not acknowledged
            assert (db.get_embedding_for_node("new", "fake") is not None) == (status == "ready")
        with EmbeddedDB(path, ml=FakeModel()) as db:
            check_woven(db, MODEL.after(NEW))

    killing = Killing(nursery, path, woven, lambda c: open_at_rest(c, path), act, examine)
    killing.sweep(POINTS, exact=False)


@longer
@pytest.mark.parametrize("busy", [False, True], ids=["at rest", "while the weaver works"])
def test_closing(path, nursery, woven, busy):
    def act(child: Child) -> bool:
        if busy:
            child.run("db.weaver.resume()")
        child.must("close")
        return True

    def examine(_: bool) -> None:
        with EmbeddedDB(path, ml=None) as db:
            check(db, MODEL.after(NEW))
        with EmbeddedDB(path, ml=FakeModel()) as db:
            check_woven(db, MODEL.after(NEW))

    # Closing itself writes nothing: it is killed while it lets go of its files.
    calls = (*CHANGES, "munmap", "close")
    killing = Killing(nursery, path, woven, lambda c: open_at_rest(c, path), act, examine, calls)
    killing.sweep(POINTS, exact=not busy)


def test_making_a_database(path, nursery):
    def act(child: Child) -> bool:
        return child.ask("open", str(path), {}) == Done()

    def examine(acknowledged: bool) -> None:
        if (path / "CURRENT").exists():
            with EmbeddedDB(path, ml=None, read_only=True) as db:
                assert db.count() == 0
        else:
            assert not acknowledged
            with pytest.raises(InvalidInput, match="no database"):
                EmbeddedDB(path, ml=None, read_only=True)
        with EmbeddedDB(path, ml=None) as db:
            check(db, Model())
            CreateNode("first").perform(db)
        with EmbeddedDB(path, ml=None, read_only=True) as db:
            check(db, Model().after(CreateNode("first")))

    Killing(nursery, path, None, lambda _: None, act, examine).sweep(POINTS)


@longer
def test_opening_a_database(path, nursery, base):
    def act(child: Child) -> bool:
        return child.ask("open", str(path), {}) == Done()

    def examine(_: bool) -> None:
        with EmbeddedDB(path, ml=None) as db:
            check(db, MODEL)

    Killing(nursery, path, base, lambda _: None, act, examine).sweep(POINTS)


@longer
def test_exporting(path, nursery, base):
    target = path.with_name("export")

    def prepare(child: Child) -> None:
        shutil.rmtree(target, ignore_errors=True)
        child.open(path)

    def act(child: Child) -> bool:
        child.run("db.export(target)", target=str(target))
        return True

    def examine(acknowledged: bool) -> None:
        with EmbeddedDB(path, ml=None) as db:
            check(db, MODEL)
            if not target.exists():
                assert not acknowledged
                db.export(target)
        with EmbeddedDB(":memory:", ml=None) as copy:
            copy.import_(target)
            check(copy, MODEL)

    Killing(nursery, path, base, prepare, act, examine).sweep(POINTS)


@longer
def test_importing(path, nursery, base):
    export = path.with_name("export")
    with EmbeddedDB(base, ml=None, read_only=True) as db:
        db.export(export)

    def act(child: Child) -> bool:
        child.run("db.import_(export)", export=str(export))
        return True

    def examine(acknowledged: bool) -> None:
        with EmbeddedDB(path, ml=None) as db:
            report = db.verify()
            assert report["ok"], report
            if acknowledged:
                check(db, MODEL)
            # Steps that were done stay; whoever imports once more gets the rest.
            db.import_(export, on_conflict="skip")
            check(db, MODEL)

    Killing(nursery, path, None, lambda child: child.open(path), act, examine).sweep(POINTS)


@longer
def test_building_a_large_index(path, nursery):
    source, count = path.with_name("source.db"), 6_100
    with EmbeddedDB(source, ml=None, durability="memory") as db:
        db.create_nodes([{"label": "Thing", "properties": {"n": i % 10}} for i in range(count)])
    plain = shutil.copytree(source, path.with_name("plain.db"))
    for _ in range(50):
        child = nursery.child()
        child.open(source)
        child.run("db.create_index('Thing', 'n')")
        child.kill()
        child.end()
        with EmbeddedDB(source, ml=None, read_only=True) as db:
            states = [index.state for index in db.indexes()]
        if states == ["building"]:
            break
        shutil.rmtree(source)
        shutil.copytree(plain, source)
    assert states == ["building"], "it was killed before its index was ready"

    def act(child: Child) -> bool:
        # It writes nothing itself; the thread that builds does.
        child.open(path)
        child.run("wait_for_index(db)")
        return True

    def examine(acknowledged: bool) -> None:
        with EmbeddedDB(path, ml=None) as db:
            [index] = db.indexes()
            assert index.state == "ready" or not acknowledged
            filters = [{"property": "n", "operator": "Equals", "value": 3}]
            for _ in range(2):
                assert len(db.query(structural_filters=filters, limit=10_000)) == count // 10
                report = db.verify()
                assert report["ok"], report
                wait_for_index(db)
            assert db.indexes()[0].entries == count

    Killing(nursery, path, source, lambda _: None, act, examine).sweep(POINTS)
