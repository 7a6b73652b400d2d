"""Whatever is done in whatever order, the database holds what a few Python dicts would hold.

A driver makes 4,000 random steps, 20,000 where tests are thorough: single writes, batches, sets,
objects of models, chats with all that goes with them, transactions that commit, roll back or
conflict, snapshots and cursors that are kept across writes, namespaces that are dropped, databases
that are closed and opened again. Beside the database it keeps `State`, too simple to be wrong, and
compares after every step what the step touched, now and then everything.

A failure names its seed; ``EMBEDDED_DB_SEED=… pytest -k random_histories`` repeats it.
"""

import os
import random
from collections import Counter
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from embedded_db import (
    DELETE,
    AlreadyExists,
    Conflict,
    ConvergedQuery,
    DatabaseClosed,
    EdgeModel,
    EmbeddedDB,
    NodeModel,
    NotFound,
)
from embedded_db.testing import ENTITIES, FakeModel

STEPS, SHORT = 20_000, 4_000
WHOLE = 700
"""Steps between two comparisons of everything."""

WORDS = ["graph", "meadow", "harbour", "violin", *ENTITIES]
TYPES = ["T", "U"]
LABELS = ["X", "Y"]
MOST = 60
"""Nodes of users in a namespace, beyond which more is deleted than made."""


class Thing(NodeModel, label="X"):
    n: int = 0
    s: str | None = None


class Tie(EdgeModel, type="T"):
    n: int = 0


class Stored(NamedTuple):
    """A node as it has to be; a message has the chat it is in."""

    labels: tuple[str, ...]
    properties: dict[str, Any]
    version: int = 1
    chat: str | None = None


class Line(NamedTuple):
    """An edge that a user made."""

    source: str
    target: str
    type: str
    properties: dict[str, Any]
    weight: float = 1.0
    version: int = 1


class State:
    """What one namespace has to hold; values are replaced, never changed: a copy is cheap."""

    def __init__(self):
        self.nodes: dict[str, Stored] = {}
        self.edges: dict[str, Line] = {}
        self.vectors: dict[str, np.ndarray] = {}

    def copy(self):
        other = State()
        other.nodes, other.edges = dict(self.nodes), dict(self.edges)
        other.vectors = dict(self.vectors)
        return other

    def update(self, id, changes):
        node = self.nodes[id]
        self.nodes[id] = node._replace(
            properties=merged(node.properties, changes), version=node.version + 1
        )

    def delete(self, id):
        gone = {id, *(m for m, node in self.nodes.items() if node.chat == id)}
        for each in gone:
            self.nodes.pop(each)
            self.vectors.pop(each, None)
        self.edges = {
            edge: line
            for edge, line in self.edges.items()
            if line.source not in gone and line.target not in gone
        }
        return gone

    def labelled(self, *labels):
        return [id for id, node in self.nodes.items() if set(labels) & set(node.labels)]

    def messages(self, chat):
        return [id for id, node in self.nodes.items() if node.chat == chat]

    def matching(self, label, least):
        return [
            id
            for id in self.labelled(label)
            if isinstance(n := self.nodes[id].properties.get("n"), int) and n >= least
        ]

    def neighbors(self, id, type, direction):
        out = []
        for line in self.edges.values():
            if line.type == type:
                out += [line.target] * (direction in ("out", "both") and line.source == id)
                out += [line.source] * (direction in ("in", "both") and line.target == id)
        return out


def merged(properties, changes):
    both = {**properties, **changes}
    return {name: value for name, value in both.items() if value is not DELETE}


def least(label, n):
    return ConvergedQuery(
        labels=[label],
        structural_filters=[{"property": "n", "operator": "GreaterThanOrEqual", "value": n}],
        order_by=["s"],
        limit=1000,
    )


# ------------------------------------------------------------------ what is compared


def check_node(reads, state, id):
    found, expected = reads.get_node(id), state.nodes.get(id)
    if expected is None:
        assert found is None, id
        return
    assert found is not None, id
    assert tuple(found.labels) == expected.labels
    properties = dict(found.properties)
    if expected.chat is not None:
        assert properties.pop("chat_id") == expected.chat
        properties.pop("timestamp")
        properties.pop("role", None)
    assert properties == expected.properties
    assert found.version == expected.version, id


def check_edge(reads, state, id):
    found, expected = reads.get_edge(id), state.edges.get(id)
    if expected is None:
        assert found is None, id
        return
    assert found is not None, id
    line = Line(found.source, found.target, found.type, found.properties, found.weight)
    assert line._replace(version=found.version) == expected


def check_reads(reads, state, rng):
    """One read of each kind, as a database and a snapshot give them."""
    id = rng.choice([*state.nodes, "nobody"])
    check_node(reads, state, id)
    type, direction = rng.choice(TYPES), rng.choice(["out", "in", "both"])
    if id in state.nodes:
        assert Counter(n.id for n in reads.neighbors(id, type, direction)) == Counter(
            state.neighbors(id, type, direction)
        )
    label, n = rng.choice(LABELS), rng.randint(0, 9)
    query = least(label, n)
    expected = state.matching(label, n)
    assert {r.node.id for r in reads.execute_query(query)} == set(expected)
    assert reads.count_matching(query) == len(expected)
    assert reads.count(label) == len(state.labelled(label))
    word = rng.choice(WORDS)
    said = reads.query(text_query={"text": word}, labels=["Message"], limit=1000)
    assert {r.node.id for r in said} == {
        id for id, node in state.nodes.items() if node.chat and word in words_of(node)
    }


def words_of(node):
    return node.properties.get("content", "").split()


def check_vectors(reads, state, rng):
    if not state.vectors:
        return
    query = vector(rng)
    ids = list(state.vectors)
    rows = np.array([state.vectors[id] for id in ids])
    cosine = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    limit = rng.randint(1, 8)
    found = reads.query(semantic_query={"vector": query, "space": "s"}, limit=limit)
    assert len(found) == min(limit, len(ids))
    best = sorted(cosine, reverse=True)[:limit]
    assert [r.similarity_score for r in found] == pytest.approx(best, abs=1e-4)
    scores = dict(zip(ids, cosine, strict=True))
    for result in found:
        assert result.similarity_score == pytest.approx(scores[result.node.id], abs=1e-4)


def check_all(reads, state):
    """Everything that users made, and the edges that the database keeps for chats."""
    for id in state.nodes:
        check_node(reads, state, id)
        for type in TYPES:
            for direction in ("out", "in"):
                found = [node.id for node in reads.neighbors(id, type, direction)]
                assert found == state.neighbors(id, type, direction), "oldest edge first"
        stored = reads.get_embedding_for_node(id, "s") if state.vectors else None
        assert (stored is None) == (id not in state.vectors)
        if stored is not None:
            assert stored.vector == pytest.approx(state.vectors[id])
    for id in state.edges:
        check_edge(reads, state, id)
    for label in (*LABELS, "Chat", "Message"):
        assert {node.id for node in reads.nodes(label)} == set(state.labelled(label))
        assert reads.count(label) == len(state.labelled(label))
    for type in TYPES:
        assert reads.count_edges(type) == sum(e.type == type for e in state.edges.values())
    for chat in state.labelled("Chat"):
        messages = state.messages(chat)
        assert [m.id for m in reads.get_node(chat).messages()] == messages
        assert [m.id for m in reads.neighbors(chat, "CONTAINS")] == messages
        for before, after in pairwise([*messages, None]):
            assert [m.id for m in reads.neighbors(before, "NEXT")] == ([after] if after else [])


def check_derived(db, state):
    """What the model makes of the messages there are, and nothing of those that are gone."""
    mentions, pairs = set(), Counter()
    for id, node in state.nodes.items():
        if node.chat is None:
            continue
        names = sorted(set(words_of(node)) & set(ENTITIES))
        mentions |= {(id, name) for name in names}
        pairs.update(combinations(names, 2))
        message = db.get_node(id)
        assert {entity.label for entity in message.entities()} == set(names)
        assert (message.embedding() is not None) == bool(words_of(node))
    entities = {node.label: node for node in db.nodes("Entity")}
    assert set(entities) == {name for _, name in mentions}
    for name, node in entities.items():
        assert {m.id for m in db.neighbors(node, "MENTIONS", "in")} == {
            id for id, mentioned in mentions if mentioned == name
        }
    related: Counter[tuple[str, ...]] = Counter()
    for node in entities.values():
        for edge in db.edges(node, "RELATED_TO"):
            ends = (db.get_node(edge.source).label, db.get_node(edge.target).label)
            related[tuple(sorted(ends))] += edge.weight
    assert related == pairs
    return len(mentions)


# ------------------------------------------------------------------ what is done


def vector(rng):
    return np.array([rng.gauss(0, 1) for _ in range(4)], np.float32)


def text(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(0, 5)))


class Writes:
    """Single writes, of a database or a transaction, and what they make of the state."""

    def __init__(self, target, state, rng):
        self.target = target
        self.state = state
        self.rng = rng
        self.touched: set[str] = set()
        """What a transaction has read or written by its id."""
        self.cascaded: set[str] = set()
        """What went with a chat: whether it changes beside is no matter."""

    def node(self):
        id = self.rng.choice([*self.state.nodes, "nobody"])
        self.touched.add(id)
        return id

    def properties(self):
        given = {"n": self.rng.randint(0, 9), "s": self.rng.choice("abc"), "l": [1, "x"]}
        return {name: given[name] for name in given if self.rng.random() < 0.7}

    def fresh(self):
        """An id, now and then one that is taken or was in use before."""
        return f"n{self.rng.randint(0, 4 * MOST)}"

    def create_node(self):
        id, label, properties = self.fresh(), self.rng.choice(LABELS), self.properties()
        self.touched.add(id)
        given = {"id": id, "label": label, "properties": properties}
        if id in self.state.nodes:
            with pytest.raises(AlreadyExists):
                self.target.create_node(given)
        else:
            assert self.target.create_node(given) == id
            self.state.nodes[id] = Stored((label,), properties)

    def update_node(self):
        id, changes = self.node(), self.properties()
        if self.rng.random() < 0.3:
            changes[self.rng.choice(["n", "s", "l"])] = DELETE
        if (node := self.state.nodes.get(id)) is None:
            with pytest.raises(NotFound):
                self.target.update_node(id, changes)
            return
        if node.chat is not None and self.rng.random() < 0.5:
            changes["content"] = text(self.rng)
        self.target.update_node(id, changes)
        self.state.update(id, changes)
        check_node(self.target, self.state, id)

    def delete_node(self):
        id = self.node()
        if id not in self.state.nodes:
            with pytest.raises(NotFound):
                self.target.delete_node(id)
            return
        self.target.delete_node(id)
        self.cascaded |= self.state.delete(id) - {id}
        check_node(self.target, self.state, id)

    def create_edge(self):
        id, source = f"e{self.rng.randint(0, 8 * MOST)}", self.node()
        target = self.node() if source in self.state.nodes else "nobody"
        type, properties = self.rng.choice(TYPES), self.properties()
        given = {"id": id, "source": source, "target": target, "type": type}
        given |= {"properties": properties}
        refused = NotFound if not {source, target} <= self.state.nodes.keys() else AlreadyExists
        if refused is NotFound or id in self.state.edges:
            with pytest.raises(refused):
                self.target.create_edge(given)
        else:
            assert self.target.create_edge(given) == id
            self.state.edges[id] = Line(source, target, type, properties)
        check_edge(self.target, self.state, id)

    def update_edge(self):
        id = self.rng.choice([*self.state.edges, "no edge"])
        changes = self.properties()
        if (line := self.state.edges.get(id)) is None:
            with pytest.raises(NotFound):
                self.target.update_edge(id, changes)
            return
        weight = self.rng.choice([0.5, 1.0, 2.0])
        self.target.update_edge(id, {**changes, "weight": weight})
        self.state.edges[id] = line._replace(
            properties=merged(line.properties, changes), weight=weight, version=line.version + 1
        )
        check_edge(self.target, self.state, id)

    def delete_edge(self):
        if self.state.edges:
            id = self.rng.choice(list(self.state.edges))
            self.target.delete_edge(id)
            del self.state.edges[id]
            check_edge(self.target, self.state, id)

    def create_embedding(self):
        id, given = self.node(), vector(self.rng)
        embedding = {"node_id": id, "vector": given, "space": "s"}
        if id not in self.state.nodes:
            with pytest.raises(NotFound):
                self.target.create_embedding(embedding)
        else:
            self.target.create_embedding(embedding)
            self.state.vectors[id] = given

    def neighbors(self):
        id, type = self.node(), self.rng.choice(TYPES)
        if id in self.state.nodes:
            found = {node.id for node in self.target.neighbors(id, type, "both")}
            assert found == set(self.state.neighbors(id, type, "both"))
            self.touched |= found

    def any(self):
        full = len(self.state.nodes) > MOST
        self.rng.choices(
            [
                self.create_node,
                self.update_node,
                self.delete_node,
                self.create_edge,
                self.update_edge,
                self.delete_edge,
                self.create_embedding,
                self.neighbors,
            ],
            weights=[4, 4, 5 if full else 2, 5, 2, 1, 3, 2],
        )[0]()


class Space:
    """One namespace: its handle, its state, and the steps that only a database makes."""

    def __init__(self, db, state, rng, counts):
        self.db = db
        self.state = state
        self.rng = rng
        self.counts = counts

    def single(self):
        Writes(self.db, self.state, self.rng).any()

    def batch(self):
        """Several nodes and edges in one step, all or nothing."""
        rng, state = self.rng, self.state
        ids = [f"n{rng.randint(0, 4 * MOST)}" for _ in range(rng.randint(0, 6))]
        drafts = [{"id": id, "label": "Y", "properties": {"n": at}} for at, id in enumerate(ids)]
        if len(set(ids)) < len(ids) or set(ids) & state.nodes.keys():
            with pytest.raises(AlreadyExists):
                self.db.create_nodes(drafts)
            for id in ids:
                check_node(self.db, state, id)
            return
        assert self.db.create_nodes(drafts) == ids
        for draft in drafts:
            state.nodes[draft["id"]] = Stored(("Y",), draft["properties"])
        made = self.db.create_edges(
            [{"source": a, "target": b, "type": "U"} for a, b in pairwise(ids)]
        )
        for id, (source, target) in zip(made, pairwise(ids), strict=True):
            state.edges[id] = Line(source, target, "U", {})
        vectors = np.array([vector(rng) for _ in ids]).reshape(len(ids), 4)
        if ids:
            self.db.set_embeddings(ids, vectors, space="s")
            state.vectors |= dict(zip(ids, vectors, strict=True))

    def chat(self):
        rng, state = self.rng, self.state
        chats = state.labelled("Chat")
        if not chats or (len(chats) < 4 and rng.random() < 0.3):
            made = self.db.create_chat(title="t")
            state.nodes[made.id] = Stored(("Chat",), {"title": "t"})
            return
        id = rng.choice(chats)
        drafts = [{"content": text(rng), "n": rng.randint(0, 9)} for _ in range(rng.randint(1, 3))]
        for message, draft in zip(self.db.get_node(id).add_messages(drafts), drafts, strict=True):
            state.nodes[message.id] = Stored(("Message",), draft, chat=id)
        assert [m.id for m in self.db.get_node(id).messages()] == state.messages(id)

    def sets(self):
        rng, state = self.rng, self.state
        label, n = rng.choice([*LABELS, "Message"]), rng.randint(3, 9)
        ids = state.matching(label, n)
        if rng.random() < 0.7:
            changes = {"n": rng.randint(0, 9), "s": rng.choice(["b", DELETE])}
            assert self.db.update_matching(least(label, n), changes) == len(ids)
            for id in ids:
                state.update(id, changes)
        else:
            assert self.db.delete_matching(least(label, n)) == len(ids)
            for id in ids:
                state.delete(id)
        for id in ids:
            check_node(self.db, state, id)

    def objects(self):
        """Objects of models: stored, changed, deleted, and stale ones refused."""
        rng, state = self.rng, self.state
        one, other = Thing(n=rng.randint(0, 9)), Thing(s="a")
        tie = Tie(source=one, target=other, n=3)
        self.db.add_all([one, other, tie])
        for thing in (one, other):
            state.nodes[thing.id] = Stored(("X",), {"n": thing.n, "s": thing.s})
        state.edges[tie.id] = Line(one.id, other.id, "T", {"n": 3})
        stale = self.db.get(Thing, one.id)
        one.n = 10 + rng.randint(0, 9)
        one.save()
        state.update(one.id, {"n": one.n})
        stale.s = "late"
        with pytest.raises(Conflict):
            stale.save()
        if rng.random() < 0.7:
            other.delete()
            state.delete(other.id)
        found = Thing.where(Thing.n >= 10).on(self.db)
        assert {thing.id for thing in found} == set(state.matching("X", 10))

    def embeddings(self):
        rng, state = self.rng, self.state
        if not state.vectors:
            return
        id = rng.choice(list(state.vectors))
        stored = self.db.get_embedding_for_node(id, "s")
        assert stored.vector == pytest.approx(state.vectors[id])
        if rng.random() < 0.5:
            state.vectors[id] = vector(rng)
            self.db.update_embedding(stored.id, state.vectors[id])
        else:
            self.db.delete_embedding(stored.id)
            del state.vectors[id]
            assert self.db.get_embedding_for_node(id, "s") is None
        check_vectors(self.db, state, rng)

    def transaction(self):
        """Commits, rolls back, or meets a write of someone else beside it or in its way."""
        rng = self.rng
        end = rng.choice(["commit", "commit", "roll back", "beside", "in its way"])
        draft = self.state.copy()
        before = set(self.state.nodes)
        try:
            with self.db.transaction() as tx:
                writes = Writes(tx, draft, rng)
                for _ in range(rng.randint(1, 6)):
                    writes.any()
                writes.update_node()  # so that there is something to commit
                check_reads_in(tx, self.state, rng)
                if end == "roll back":
                    raise ZeroDivisionError
                end = self.meanwhile(end, draft, writes, before)
        except Conflict:
            assert end == "in its way"
        except ZeroDivisionError:
            pass
        else:
            assert end != "in its way", "the first committer wins"
            self.replace(draft)
        self.counts[f"transactions: {end}"] += 1
        for id in writes.touched | writes.cascaded:
            check_node(self.db, self.state, id)

    def meanwhile(self, end, draft, writes, before):
        """Change a node that the open transaction knows, or one that it does not."""
        reached = {
            "beside": before & draft.nodes.keys() - writes.touched,
            "in its way": before & writes.touched,
        }
        ids = [id for id in self.state.nodes if id in reached.get(end, ())]
        wrote = draft.nodes != self.state.nodes or draft.edges.keys() != self.state.edges.keys()
        if not ids or not wrote:
            return "commit"
        id = self.rng.choice(ids)
        self.db.update_node(id, {"n": 77})
        self.state.update(id, {"n": 77})
        if end == "beside":
            draft.update(id, {"n": 77})
        return end

    def replace(self, draft):
        self.state.nodes, self.state.edges = draft.nodes, draft.edges
        self.state.vectors = draft.vectors

    def reads(self):
        check_reads(self.db, self.state, self.rng)

    def vectors(self):
        check_vectors(self.db, self.state, self.rng)

    def any(self):
        steps = {
            self.single: 40,
            self.batch: 2,
            self.chat: 5,
            self.sets: 2,
            self.objects: 2,
            self.embeddings: 4,
            self.transaction: 9,
            self.reads: 8,
            self.vectors: 4,
        }
        step = self.rng.choices(list(steps), weights=list(steps.values()))[0]
        self.counts[step.__name__] += 1
        step()


def check_reads_in(tx, state, rng):
    """A query in a transaction sees the state of its beginning."""
    label, n = rng.choice(LABELS), rng.randint(0, 9)
    assert {r.node.id for r in tx.execute_query(least(label, n))} == set(state.matching(label, n))


class History:
    """A database, its namespaces, and the snapshots and cursors that are kept."""

    def __init__(self, path, seed, ml):
        self.path = path
        self.rng = random.Random(seed)
        self.ml = ml
        self.states = {"default": State(), "user": State()}
        self.counts: Counter[str] = Counter()
        self.open()

    def open(self):
        weaver = {"first_delay": 0.01, "max_delay": 0.02}
        self.db = EmbeddedDB(self.path, ml=self.ml, weaver=weaver, durability="memory")
        self.snapshots: list[Any] = []
        self.cursors: list[Any] = []

    def space(self, name):
        handle = self.db if name == "default" else self.db.namespace(name)
        return Space(handle, self.states[name], self.rng, self.counts)

    def step(self):
        name = self.rng.choice(["default", "default", "user"])
        steps = {self.work: 100, self.snapshot: 4, self.cursor: 4, self.reopen: 0.1, self.drop: 0.1}
        step = self.rng.choices(list(steps), weights=list(steps.values()))[0]
        if step != self.work:  # its kinds are counted for themselves
            self.counts[step.__name__] += 1
        step(name)

    def work(self, name):
        self.space(name).any()

    def snapshot(self, name):
        """Take one, or look at one that was taken long ago."""
        if len(self.snapshots) < 3:
            space = self.space(name)
            self.snapshots.append((space.db.snapshot(), space.state.copy()))
        at = self.rng.randrange(len(self.snapshots))
        held, state = self.snapshots[at]
        check_reads(held, state, self.rng)
        check_vectors(held, state, self.rng)
        if self.rng.random() < 0.3:
            check_all(held, state)
            held.close()
            del self.snapshots[at]

    def cursor(self, name):
        """Begin a query in pages, or go on with one that began before later writes."""
        space = self.space(name)
        label = self.rng.choice(LABELS)
        query = ConvergedQuery(labels=[label], order_by=[("n", "desc"), "s"], limit=4)
        if len(self.cursors) < 4:
            whole = {id: space.state.nodes[id] for id in space.state.labelled(label)}
            self.cursors.append([space.db, query, None, whole])
            at = len(self.cursors) - 1
        else:
            at = self.rng.randrange(len(self.cursors))
        db, query, after, left = self.cursors[at]
        found = db.execute_query(query, after=after)
        for result in found:
            assert result.node.properties == left.pop(result.node.id).properties
        self.cursors[at][2] = found.cursor
        assert (found.cursor is None) == (not left)
        if found.cursor is None:
            del self.cursors[at]

    def reopen(self, name):
        self.db.close()
        for held, _ in self.snapshots:
            with pytest.raises(DatabaseClosed):
                held.get_node("n1")
        for db, query, after, _ in self.cursors:
            with pytest.raises(DatabaseClosed):
                db.execute_query(query, after=after)
        self.open()
        self.check()

    def drop(self, name):
        if self.states["user"].nodes:
            self.cursors = [kept for kept in self.cursors if kept[0].namespace_name == "default"]
            self.db.drop_namespace("user")
            self.states["user"] = State()
            assert "user" not in self.db.namespaces()

    def check(self):
        for name in self.states:
            space = self.space(name)
            check_all(space.db, space.state)
        report = self.db.verify()
        assert report["ok"], report["problems"]

    def check_derived(self):
        self.db.flush(timeout=60)
        for name in self.states:
            space = self.space(name)
            self.counts["mentions"] += check_derived(space.db, space.state)


SEED = int(os.environ.get("EMBEDDED_DB_SEED") or random.SystemRandom().randrange(2**32))


@pytest.mark.parametrize("seed", [20, SEED], ids=["fixed", "random"])
def test_a_random_history(path, seed, thorough, capsys):
    history = History(path, seed, FakeModel())
    done, steps = 0, STEPS if thorough else SHORT
    try:
        while done < steps:
            history.step()
            done += 1
            if done % WHOLE == 0:
                history.check()
            if done % (3 * WHOLE) == 0:
                history.check_derived()
        history.check()
        for needed in (
            "mentions",
            "reopen",
            "drop",
            "transactions: in its way",
            "transactions: beside",
        ):
            assert not thorough or history.counts[needed], f"{needed} is not in the history"
    finally:
        with capsys.disabled():
            print(f"\n{done} steps of the seed {seed}: {dict(history.counts)}")
        history.db.close()
