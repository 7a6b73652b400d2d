"""What was true, and what was believed, at any two instants can be asked for at any later time.

Edges are made, changed, superseded, retracted and deleted at random, alone and several in one
transaction, over closing and opening again. A list of intervals in plain Python says what the
database held for true at every instant; every kind of read has to agree with it.
"""

import math
import tempfile
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from embedded_db import (
    DELETE,
    AlreadyExists,
    Conflict,
    EdgeModel,
    EmbeddedDB,
    InvalidInput,
    NodeModel,
    NotFound,
    ReadOnly,
)

DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 8)]
NODES = ["n0", "n1", "n2", "n3"]
ALWAYS = datetime.max.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

days = st.sampled_from(DAYS)
open_days = st.none() | days
ends = st.sampled_from(NODES)
types = st.sampled_from(["T", "U"])


class Version:
    """What an edge said while the database held it for true."""

    def __init__(self, recorded_at, weight, valid_from, valid_to):
        self.recorded_at = recorded_at
        self.retracted_at = None
        self.weight = weight
        self.valid_from = valid_from
        self.valid_to = valid_to

    def said(self):
        return (
            *(self.weight, self.valid_from, self.valid_to),
            *(self.recorded_at, self.retracted_at),
        )

    def believed(self, at):
        if at is None:
            return self.retracted_at is None
        return self.recorded_at <= at and (self.retracted_at is None or at < self.retracted_at)

    def true(self, at):
        if at is None:
            return True
        return (self.valid_from is None or self.valid_from <= at) and (
            self.valid_to is None or at < self.valid_to
        )


class Modelled:
    """An edge with all its versions, in the order in which edges were made."""

    def __init__(self, id, source, target, type, version):
        self.id = id
        self.source = source
        self.target = target
        self.type = type
        self.versions = [version]

    @property
    def now(self):
        return self.versions[-1]

    @property
    def retracted(self):
        return self.now.retracted_at is not None

    def change(self, version):
        """A version that was believed at no instant leaves nothing."""
        if self.now.recorded_at == version.recorded_at:
            self.versions.pop()
        else:
            self.now.retracted_at = version.recorded_at
        self.versions.append(version)

    def at(self, valid_at, known_at):
        for version in self.versions:
            if version.believed(known_at):
                return version if version.true(valid_at) else None
        return None


def said(edge):
    return (edge.weight, edge.valid_from, edge.valid_to, edge.recorded_at, edge.retracted_at)


class EdgesInTime(RuleBasedStateMachine):
    @initialize(edges=st.lists(st.tuples(ends, ends, types), min_size=3, max_size=6))
    def begin(self, edges):
        self.directory = tempfile.TemporaryDirectory()
        self.db = EmbeddedDB(self.directory.name + "/db", ml=None, durability="memory")
        # The labels settle the order of the types, which is that of their first use.
        labels = ["Thing", "T", "U"]
        self.db.create_nodes([{"id": node, "labels": labels} for node in NODES])
        self.edges = {}
        self.named = 0
        self.moments = [datetime.now(UTC) - timedelta(days=1)]
        for source, to, type in edges:
            self.create(source, to, type, None, None)

    def teardown(self):
        if not hasattr(self, "db"):
            return
        try:
            for known_at in (None, *sorted(set(self.moments))[-12:]):
                for valid_at in (None, DAYS[3]):
                    self.compare(self.db, {"valid_at": valid_at, "known_at": known_at})
            report = self.db.verify()
            assert report["ok"], report
        finally:
            self.db.close()
            self.directory.cleanup()

    # ---- what happens

    def name(self):
        self.named += 1
        return f"e{self.named}"

    def made(self, id, source, target, type):
        edge = self.db.get_edge(id)
        version = Version(edge.recorded_at, edge.weight, edge.valid_from, edge.valid_to)
        self.edges[id] = Modelled(id, source, target, type, version)
        self.moments.append(edge.recorded_at)

    def live(self):
        return [edge for edge in self.edges.values() if not edge.retracted]

    def some(self, data, edges):
        return data.draw(st.sampled_from(sorted(edges, key=lambda edge: edge.id)))

    @rule(source=ends, to=ends, type=types, begin=open_days, end=open_days)
    def create(self, source, to, type, begin, end):
        id = self.name()
        draft = {"id": id, "source": source, "target": to, "type": type}
        draft |= {"valid_from": begin, "valid_to": end}
        if begin is not None and end is not None and begin >= end:
            with pytest.raises(InvalidInput, match="valid_from"):
                self.db.create_edge(draft)
            return
        self.db.create_edge(draft)
        self.made(id, source, to, type)
        assert said(self.db.get_edge(id))[:3] == (1.0, begin, end)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), weight=st.floats(0, 9), begin=open_days, end=open_days, tx=st.booleans())
    def update(self, data, weight, begin, end, tx):
        edge = self.some(data, self.live())
        updates = {
            "weight": weight,
            "valid_from": DELETE if begin is None else begin,
            "valid_to": DELETE if end is None else end,
        }
        if begin is not None and end is not None and begin >= end:
            with pytest.raises(InvalidInput, match="valid_from"):
                self.db.update_edge(edge.id, updates)
            return
        if tx:
            with self.db.transaction() as transaction:
                transaction.update_edge(edge.id, {"weight": -1.0})
                transaction.update_edge(edge.id, updates)
        else:
            self.db.update_edge(edge.id, updates)
        stored = self.db.get_edge(edge.id)
        self.changed(edge, stored.recorded_at, weight, begin, end)

    def changed(self, edge, at, weight, begin, end):
        edge.change(Version(at, weight, begin, end))
        self.moments.append(at)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), to=ends, begin=days, tx=st.booleans())
    def supersede(self, data, to, begin, tx):
        edge, id = self.some(data, self.live()), self.name()
        old = edge.now
        new = {"id": id, "target": to, "valid_from": begin}

        def write():
            if tx:
                with self.db.transaction() as transaction:
                    assert transaction.supersede_edge(edge.id, new) == id
            else:
                assert self.db.supersede_edge(edge.id, new) == id

        if old.valid_from is not None and old.valid_from >= begin:
            with pytest.raises(InvalidInput, match="begin later"):
                write()
            return
        write()
        self.made(id, edge.source, to, edge.type)
        if old.valid_to is None or old.valid_to > begin:
            at = self.db.get_edge(edge.id).recorded_at
            assert at == self.edges[id].now.recorded_at, "both in one step"
            self.changed(edge, at, old.weight, old.valid_from, begin)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), tx=st.booleans())
    def retract(self, data, tx):
        edge = self.some(data, self.live())
        before = datetime.now(UTC)
        if tx:
            with self.db.transaction() as transaction:
                transaction.retract_edge(edge.id)
                assert transaction.get_edge(edge.id) is None
        else:
            self.db.retract_edge(edge.id)
        at = self.db.edge_history(edge.id)[-1].retracted_at
        assert max(before, *self.moments) <= at <= max(datetime.now(UTC), *self.moments)
        edge.now.retracted_at = at
        self.moments.append(at)

    @precondition(lambda self: self.edges)
    @rule(data=st.data(), tx=st.booleans())
    def delete(self, data, tx):
        edge = self.some(data, self.edges.values())
        if tx:
            with self.db.transaction() as transaction:
                transaction.delete_edge(edge.id)
        else:
            self.db.delete_edge(edge.id)
        del self.edges[edge.id]

    @rule(node=ends, tx=st.booleans())
    def delete_node(self, node, tx):
        if tx:
            with self.db.transaction() as transaction:
                transaction.delete_node(node)
                transaction.create_node({"id": node, "label": "Thing"})
        else:
            self.db.delete_node(node)
            self.db.create_node({"id": node, "label": "Thing"})
        at_it = [edge for edge in self.edges.values() if node in (edge.source, edge.target)]
        for edge in at_it:
            del self.edges[edge.id]

    @rule()
    def reopen(self):
        self.db.close()
        self.db = EmbeddedDB(self.directory.name + "/db", ml=None, durability="memory")

    # ---- what is read

    def instant(self, data):
        at = data.draw(st.none() | st.sampled_from(sorted(set(self.moments))))
        return None if at is None else at + data.draw(st.sampled_from([-1, 0, 1])) * MICROSECOND

    def at(self, valid_at, known_at):
        for edge in self.edges.values():
            version = edge.at(valid_at, known_at)
            if version is not None:
                yield edge, version

    @rule(data=st.data(), valid_at=open_days, snapshot=st.booleans())
    def read(self, data, valid_at, snapshot):
        times = {"valid_at": valid_at, "known_at": self.instant(data)}
        if snapshot:
            with self.db.snapshot() as reads:
                self.compare(reads, times)
        else:
            self.compare(self.db, times)

    def compare(self, reads, times):
        expected = {edge.id: (edge, version) for edge, version in self.at(**times)}
        for id in self.edges:
            edge = reads.get_edge(id, **times)
            assert (edge is not None) == (id in expected)
            if edge is not None:
                assert said(edge) == expected[id][1].said()
        for node in NODES:
            for type in ("T", None):
                of = [edge for edge, _ in expected.values() if type is None or edge.type == type]
                out = [edge for edge in of if edge.source == node]
                into = [edge for edge in of if edge.target == node]
                out.sort(key=lambda edge: edge.type)
                found = list(reads.edges(node, type, **times))
                assert [said(edge) for edge in found] == [
                    expected[edge.id][1].said() for edge in out
                ]
                assert [node.id for node in reads.neighbors(node, type, **times)] == [
                    edge.target for edge in out
                ]
                incoming = {edge.id for edge in reads.edges(node, type, "in", **times)}
                assert incoming == {edge.id for edge in into}
                self.compare_pages(reads, node, type, times, [edge.id for edge in out])
        self.compare_walks(reads, times, [edge for edge, _ in expected.values()])

    def compare_pages(self, reads, node, type, times, expected):
        found, cursor = [], None
        while True:
            page = reads.edges(node, type, limit=1, after=cursor, **times)
            found += [edge.id for edge in page]
            cursor = page.cursor
            if cursor is None:
                break
        assert found == expected

    def compare_walks(self, reads, times, edges):
        out, into, weights = Counter(), Counter(), Counter()
        for edge in edges:
            out[edge.source] += 1
            weights[edge.source] += self.edges[edge.id].at(**times).weight
            into[edge.target] += 1
        for direction, degrees in (("out", out), ("in", into)):
            counted = reads.degree(direction=direction, **times)
            assert dict(counted) == {node: degrees[node] for node in counted}
        weighed = reads.degree(direction="out", weighted=True, **times)
        assert dict(weighed) == pytest.approx({node: weights[node] for node in weighed})
        whole = reads.subgraph(NODES, hops=0, **times)
        told = {edge.id: said(edge) for edge in whole.edges}
        assert told == {edge.id: self.edges[edge.id].at(**times).said() for edge in edges}
        for start in NODES:
            hops = distances(start, edges)
            assert dict(reads.distances(start, **times)) == hops
            walked = {visit.node.id: visit.depth for visit in reads.traverse(start, **times)}
            assert walked == {node: n for node, n in hops.items() if n <= 3}
            graph = {"start": start, "direction": "out", "max_hops": 2}
            graph |= {name: at for name, at in times.items() if at is not None}
            reached = {r.node.id: r.graph_distance for r in reads.query(graph_filter=graph)}
            assert reached == {node: n for node, n in hops.items() if 1 <= n <= 2}
            for end in NODES:
                path = reads.find_shortest_path(start, end, direction="out", **times)
                assert (math.inf if path is None else path.cost) == hops.get(end, math.inf)
                if path is not None:
                    told = [said(edge) for edge in path.edges]
                    at = [self.edges[edge.id].at(**times).said() for edge in path.edges]
                    assert told == at

    @rule()
    def histories(self):
        for edge in self.edges.values():
            told = [said(version) for version in self.db.edge_history(edge.id)]
            assert told == [version.said() for version in edge.versions]

    @invariant()
    def counts(self):
        if hasattr(self, "db"):
            live = self.live()
            assert self.db.count_edges() == self.db.stats()["edges"] == len(live)
            of_type = sum(edge.type == "T" for edge in live)
            assert self.db.count_edges("T") == of_type


def distances(start, edges):
    found, queue = {start: 0}, [start]
    for node in queue:
        for edge in edges:
            if edge.source == node and edge.target not in found:
                found[edge.target] = found[node] + 1
                queue.append(edge.target)
    return found


TestEdgesInTime = EdgesInTime.TestCase
TestEdgesInTime.settings = settings(stateful_step_count=30, deadline=None)


@pytest.fixture
def ends_of(db):
    db.create_nodes([{"id": id, "label": "Thing"} for id in ("a", "b", "c")])
    return db


def edge_between(db, **more):
    return db.create_edge({"source": "a", "target": "b", "type": "T", **more})


def test_a_retracted_edge_is_hidden_and_its_id_stays_taken(ends_of):
    db = ends_of
    edge_between(db, id="e")
    db.retract_edge("e")
    assert db.get_edge("e") is None
    assert list(db.edges("a")) == list(db.neighbors("b", direction="in")) == []
    for again in (lambda: db.retract_edge("e"), lambda: db.update_edge("e", {"x": 1})):
        with pytest.raises(NotFound):
            again()
    with pytest.raises(NotFound):
        db.supersede_edge("e", {})
    with pytest.raises(AlreadyExists):
        edge_between(db, id="e")
    with db.transaction() as tx, pytest.raises(AlreadyExists):
        tx.create_edge({"id": "e", "source": "a", "target": "b", "type": "T"})
    db.delete_edge("e")
    with pytest.raises(NotFound):
        db.edge_history("e")
    edge_between(db, id="e")
    assert len(db.edge_history("e")) == 1


def test_what_is_retracted_in_a_transaction(ends_of):
    db = ends_of
    edge_between(db, id="e")
    with db.transaction() as tx:
        tx.create_edge({"id": "f", "source": "a", "target": "b", "type": "T"})
        tx.retract_edge("f")
        tx.retract_edge("e")
        assert list(tx.neighbors("a")) == []
        with pytest.raises(NotFound):
            tx.retract_edge("e")
        with pytest.raises(NotFound):
            tx.update_edge("e", {"x": 1})
        with pytest.raises(AlreadyExists):
            tx.create_edge({"id": "f", "source": "a", "target": "b", "type": "T"})
        tx.delete_edge("f")
        tx.create_edge({"id": "f", "source": "a", "target": "c", "type": "T"})
    assert [node.id for node in db.neighbors("a")] == ["c"]
    assert db.verify()["ok"]


def test_the_ids_of_retracted_edges_are_free_with_a_node_at_an_end(ends_of):
    db = ends_of
    edge_between(db, id="before")
    db.retract_edge("before")
    edge_between(db, id="within")
    with db.transaction() as tx:
        tx.retract_edge("within")
        tx.delete_node("b")
        for id in ("before", "within"):
            tx.create_edge({"id": id, "source": "a", "target": "c", "type": "T"})
    assert {edge.id for edge in db.edges("a")} == {"before", "within"}
    assert db.verify()["ok"]


def test_a_retraction_is_a_change_to_a_transaction_that_has_read_the_edge(ends_of):
    db = ends_of
    edge_between(db, id="e")
    tx = db.transaction()
    tx.__enter__()
    tx.get_edge("e")
    tx.update_node("a", {"x": 1})
    db.retract_edge("e")
    with pytest.raises(Conflict):
        tx.__exit__(None, None, None)


def test_edges_of_one_commit_time_leave_no_version(ends_of):
    db = ends_of
    with db.transaction() as tx:
        tx.create_edge({"id": "e", "source": "a", "target": "b", "type": "T"})
        tx.update_edge("e", {"n": 1})
        tx.update_edge("e", {"n": 2})
        tx.retract_edge("e")
    [only] = db.edge_history("e")
    assert (only["n"], only.version) == (2, 3)
    assert only.recorded_at == only.retracted_at
    for off in (-1, 0, 1):
        assert db.get_edge("e", known_at=only.recorded_at + off * MICROSECOND) is None
    assert db.verify()["ok"]


def test_properties_of_former_versions_are_read_as_they_were(ends_of):
    db = ends_of
    edge_between(db, id="e", properties={"kind": "a", "n": 1}, sources=["s"])
    first = db.get_edge("e")
    db.update_edge("e", {"kind": "b", "n": DELETE})
    then = db.get_edge("e", known_at=first.recorded_at)
    assert then.properties == {"kind": "a", "n": 1}
    assert (then.sources, then.version, then.source, then.target) == (["s"], 1, "a", "b")
    assert db.get_edge("e").properties == {"kind": "b"}
    condition = [{"property": "kind", "operator": "Equals", "value": "a"}]
    graph = {"start": "a", "edge_filters": condition}
    assert len(db.query(graph_filter=graph)) == 0
    assert len(db.query(graph_filter={**graph, "known_at": first.recorded_at})) == 1


def test_what_the_database_counts_by_itself_leaves_no_history(woven):
    chat = woven.create_chat()
    chat.add_message(content="Alice met Bob", sender="x")
    woven.flush(timeout=60)
    alice = next(entity for entity in woven.nodes("Entity") if entity.label == "Alice")
    [relation] = woven.edges(alice, "RELATED_TO", "both")
    chat.add_message(content="Bob saw Alice", sender="x")
    woven.flush(timeout=60)
    [again] = woven.edges(alice, "RELATED_TO", "both")
    assert (relation.weight, again.weight) == (1.0, 2.0)
    assert [said(version) for version in woven.edge_history(again)] == [said(again)]
    assert woven.stats()["tables"]["history"] == 0
    woven.update_edge(again, {"note": "mine"})
    assert len(woven.edge_history(again)) == 2
    assert woven.verify()["ok"]


def test_retracting_what_was_derived_takes_its_counts_back(woven):
    chat = woven.create_chat()
    first = chat.add_message(content="Alice met Bob", sender="x")
    chat.add_message(content="Alice met Bob again", sender="x")
    woven.flush(timeout=60)
    mentions = list(woven.edges(first, "MENTIONS"))
    alice = woven.get_node(mentions[0].target)
    count = alice.mention_count
    woven.retract_edge(mentions[0])
    alice.refresh()
    assert alice.mention_count == count - 1
    known = mentions[0].recorded_at
    assert mentions[0].id in {edge.id for edge in woven.edges(first, "MENTIONS", known_at=known)}
    first.content = "nobody"
    first.save()
    woven.flush(timeout=60)
    assert woven.verify()["ok"]
    chat.delete()
    woven.flush(timeout=60)
    assert woven.verify()["ok"]
    assert woven.stats()["tables"]["history"] == 0


def test_superseding_begins_now_and_never_lengthens(ends_of):
    db = ends_of
    edge_between(db, id="e", valid_from=DAYS[0], valid_to=DAYS[1], properties={"n": 1})
    new = db.get_edge(db.supersede_edge("e", {"target": "c", "valid_from": DAYS[3]}))
    assert db.get_edge("e").valid_to == DAYS[1]
    assert db.get_edge("e").version == 1
    assert (new.source, new.target, new.type, new.properties) == ("a", "c", "T", {})
    before = datetime.now(UTC)
    newest = db.get_edge(db.supersede_edge(new, {"type": "U", "valid_to": ALWAYS}))
    assert before <= newest.valid_from == db.get_edge(new.id).valid_to <= datetime.now(UTC)
    assert (newest.target, newest.type) == ("c", "U")
    with pytest.raises(NotFound, match="nobody"):
        db.supersede_edge(newest, {"target": "nobody"})
    assert db.get_edge(newest.id).version == 1, "both or none"
    with pytest.raises(InvalidInput, match="colour"):
        db.supersede_edge(newest, {"colour": 1})


@pytest.mark.parametrize("name", ["valid_at", "known_at"])
@pytest.mark.parametrize(
    ("bad", "told"),
    [(datetime(2026, 1, 1), "time zone"), ("2026-01-01", "datetime"), (5, "datetime")],
)
def test_a_time_without_a_zone_is_refused(ends_of, name, bad, told):
    db, at = ends_of, {name: bad}
    edge_between(db, id="e")
    for read in (
        lambda: db.get_edge("e", **at),
        lambda: db.edges("a", **at),
        lambda: db.neighbors("a", **at),
        lambda: db.traverse("a", **at),
        lambda: db.find_shortest_path("a", "b", **at),
        lambda: db.query(graph_filter={"start": "a", **at}),
    ):
        with pytest.raises(InvalidInput, match=name) as caught:
            read()
        assert told in str(caught.value) or told in str(caught.value.hint)


def test_times_of_any_zone_are_the_same_instant(ends_of):
    db = ends_of
    edge_between(db, id="e", valid_from=DAYS[1])
    east = timezone(timedelta(hours=5))
    assert db.get_edge("e", valid_at=DAYS[1].astimezone(east)) is not None
    assert db.get_edge("e", valid_at=(DAYS[1] - MICROSECOND).astimezone(east)) is None


def test_a_snapshot_does_not_learn_what_came_later(ends_of):
    db = ends_of
    edge_between(db, id="e")
    with db.snapshot() as snapshot:
        db.update_edge("e", {"weight": 2.0})
        db.retract_edge("e")
        assert snapshot.get_edge("e").weight == 1.0
        assert snapshot.get_edge("e", known_at=ALWAYS).weight == 1.0
        assert [edge.retracted_at for edge in snapshot.edge_history("e")] == [None]
        with pytest.raises(ReadOnly):
            snapshot.retract_edge("e")
        with pytest.raises(ReadOnly):
            snapshot.supersede_edge("e", {})
    assert [edge.weight for edge in db.edge_history("e")] == [1.0, 2.0]


def test_one_of_two_threads_retracts(ends_of):
    db, outcomes = ends_of, []
    edge_between(db, id="e")

    def retract():
        try:
            db.retract_edge("e")
            outcomes.append("done")
        except NotFound:
            outcomes.append("gone")

    threads = [threading.Thread(target=retract) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "gone"]
    assert db.verify()["ok"]


def test_a_long_list_of_neighbours_is_paged_in_order_at_any_time(ends_of):
    db = ends_of
    db.create_nodes([{"id": f"m{n}", "label": "Thing"} for n in range(1500)])
    ids = db.create_edges(
        [{"id": f"e{n}", "source": "a", "target": f"m{n}", "type": "T"} for n in range(1500)]
    )
    known = db.get_edge("e0").recorded_at
    for id in ids[::3]:
        db.retract_edge(id)
    assert [edge.id for edge in db.edges("a", known_at=known)] == ids
    left = [id for n, id in enumerate(ids) if n % 3]
    assert [edge.id for edge in db.edges("a")] == left
    assert [edge.id for edge in db.edges("a", known_at=ALWAYS)] == left
    assert [node.id for node in db.neighbors("a", known_at=known)] == [f"m{n}" for n in range(1500)]
    assert db.verify()["ok"]
    db.delete_node("a")
    assert db.stats()["tables"]["history"] == 0


class Thing(NodeModel, label="Thing"):
    pass


class Works(EdgeModel, type="WORKS_FOR"):
    role: str
    pay: int | None = None


def test_edges_of_models_in_time(db):
    ann, acme, other = db.add_all([Thing(), Thing(), Thing()])
    works = db.add(Works(source=ann, target=acme, role="cook", sources=["letter"]))
    begun = works.recorded_at
    works.role = "chef"
    works.save()
    assert [version.role for version in works.history()] == ["cook", "chef"]
    assert works.history()[0].retracted_at == works.recorded_at > begun
    old = works.history()[0]
    old.role = "waiter"
    with pytest.raises(Conflict):
        old.save()
    new = works.supersede(target=other, pay=3, id="new")
    assert (new.id, new.role, new.pay, new.target, new.sources) == ("new", "chef", 3, other.id, [])
    assert works.valid_to == new.valid_from
    assert not works.changed
    assert [edge.id for edge in Works.of(ann, valid_at=new.valid_from)] == ["new"]
    new.retract()
    with pytest.raises(NotFound):
        new.save() or new.refresh()
    with pytest.raises(NotFound):
        new.supersede()
    assert [edge.id for edge in Works.of(ann)] == [works.id]
    assert [edge.role for edge in Works.of(ann, known_at=begun)] == ["cook"]
    at = Thing.where().on(db).connected_to(ann, "WORKS_FOR", known_at=begun)
    assert [thing.id for thing in at] == [acme.id]
    none = Thing.where().on(db).connected_to(ann, "WORKS_FOR", valid_at=ALWAYS)
    assert list(none) == []
    with pytest.raises(InvalidInput, match="not stored"):
        Works(source=ann, target=acme, role="x").retract()
    with db.transaction() as tx:
        own = tx.get(Works, works.id)
        moved = own.supersede(role="owner")
        with pytest.raises(InvalidInput, match="transaction"):
            own.history()
    assert db.get(Works, moved.id).role == "owner"
    assert db.get(Works, works.id).valid_to == works.valid_to, "it had ended before"


def test_errors_show_times_as_people_read_them(db):
    """No message counts microseconds since 1970."""
    db.create_nodes([{"id": "a", "label": "N"}, {"id": "b", "label": "N"}])
    edge = {"source": "a", "target": "b", "type": "T"}
    db.create_edge({**edge, "id": "e", "valid_from": DAYS[3]})
    early = DAYS[1] + MICROSECOND
    with pytest.raises(InvalidInput, match="2026-01-04T00:00:00Z.*2026-01-02T00:00:00.000001Z"):
        db.supersede_edge("e", {"valid_from": early})
    with db.transaction() as tx, pytest.raises(InvalidInput, match="2026-01-04T00:00:00Z"):
        tx.supersede_edge("e", {"valid_from": early})
    upside_down = {**edge, "valid_from": DAYS[2], "valid_to": DAYS[0]}
    with pytest.raises(InvalidInput, match=r"\(2026-01-03T00:00:00Z\).*\(2026-01-01T00:00:00Z\)"):
        db.create_edge(upside_down)
    db.create_nodes([{"label": "Day", "properties": {"at": DAYS[0]}} for _ in range(2)])
    with pytest.raises(AlreadyExists, match="2026-01-01T00:00:00Z"):
        db.create_index("Day", "at", unique=True)
