"""``kill -9`` at any moment loses nothing that was acknowledged and leaves nothing half done.

A child makes random writes and says on a pipe what it begins and what is acknowledged; it is
killed again and again, a hundred times where tests are thorough. After each time everything
acknowledged is there, the write in the middle is there wholly or not at all, and graph, text,
vectors and jobs agree.
"""

import json
import os
import random
import signal
import threading

import numpy as np
import pytest

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

WRITER = """
import json, random, sys
import numpy as np
from embedded_db import DELETE, EmbeddedDB
from embedded_db.testing import FakeModel

path, round_, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
db = EmbeddedDB(path, ml=FakeModel())
nodes, edges = [], []


def say(what, *facts):
    sys.stdout.write(json.dumps([what, *facts]) + "\\n")
    sys.stdout.flush()


say("open")
n = 0
while True:
    n += 1
    name = f"r{round_}n{n}"
    kind = rng.choice(
        ["node", "node", "update", "delete", "edge", "edge", "revise", "retract", "messages"]
        + ["pair", "vector", "renew"]
    )
    if kind in ("update", "delete", "edge", "vector") and not nodes:
        kind = "node"
    if kind in ("revise", "retract") and not edges:
        kind = "node"
    if kind == "node":
        say("begin", kind, name)
        db.create_node({"id": name, "label": "Thing", "properties": {"n": 0, "text": name}})
        nodes.append(name)
    elif kind == "update":
        target = rng.choice(nodes)
        say("begin", kind, target, n)
        db.update_node(target, {"n": n, "text": f"{target} {n}"})
    elif kind == "delete":
        target = nodes.pop(rng.randrange(len(nodes)))
        say("begin", kind, target)
        db.delete_node(target)
        edges = [edge for edge in edges if target not in edge[1:]]
    elif kind == "edge":
        source, target = rng.choice(nodes), rng.choice(nodes)
        say("begin", kind, name, source, target)
        db.create_edge({"id": name, "source": source, "target": target, "type": "T"})
        edges.append((name, source, target))
    elif kind == "revise":
        target = rng.choice(edges)[0]
        say("begin", kind, target, n)
        db.update_edge(target, {"weight": float(n)})
    elif kind == "retract":
        target = edges.pop(rng.randrange(len(edges)))[0]
        say("begin", kind, target)
        db.retract_edge(target)
    elif kind == "messages":
        say("begin", kind, name)
        db.get_node("chat").add_messages(
            [{"id": f"{name}m{i}", "content": f"Alice saw word{name}x{i}"} for i in range(3)]
        )
    elif kind == "renew":
        say("begin", kind, name)
        db.compact() if n % 2 else db.scrub()
    elif kind == "pair":
        say("begin", kind, name)
        with db.transaction() as tx:
            tx.create_node({"id": f"{name}a", "label": "Pair"})
            tx.create_node({"id": f"{name}b", "label": "Pair"})
            tx.create_edge({"id": name, "source": f"{name}a", "target": f"{name}b", "type": "P"})
    else:
        target = rng.choice(nodes)
        say("begin", kind, target, n)
        vector = np.random.default_rng(n).standard_normal(16)
        db.set_embeddings([target], [vector], space="s")
    say("ack")
"""


class Expected:
    """What has to be there, by what the child said."""

    def __init__(self):
        self.nodes = {}  # id -> last acknowledged n
        self.edges = {}  # id -> (source, target)
        self.weights = {}  # edge -> all its weights, oldest first
        self.retracted = set()
        self.messages = []  # names of acknowledged batches
        self.pairs = []
        self.vectors = {}  # node -> n
        self.open = None

    def read(self, line):
        what, *facts = json.loads(line)
        if what == "begin":
            self.open = facts
        elif what == "ack":
            self.apply(*self.open)
            self.open = None

    def apply(self, kind, name, *facts):
        if kind == "node":
            self.nodes[name] = 0
        elif kind == "update":
            self.nodes[name] = facts[0]
        elif kind == "delete":
            del self.nodes[name]
            self.vectors.pop(name, None)
            self.edges = {id: ends for id, ends in self.edges.items() if name not in ends}
        elif kind == "edge":
            self.edges[name] = tuple(facts)
            self.weights[name] = [1.0]
        elif kind == "revise":
            self.weights[name].append(float(facts[0]))
        elif kind == "retract":
            self.retracted.add(name)
        elif kind == "messages":
            self.messages.append(name)
        elif kind == "pair":
            self.pairs.append(name)
        elif kind == "vector":
            self.vectors[name] = facts[0]

    def settle(self, db):
        """Take the write in the middle as done or not done, whichever the database says."""
        if self.open is None:
            return
        kind, name, *facts = self.open
        done = {
            "node": lambda: db.exists(name),
            "update": lambda: db.get_node(name)["n"] == facts[0],
            "delete": lambda: not db.exists(name),
            "edge": lambda: db.get_edge(name) is not None,
            "revise": lambda: db.get_edge(name).weight == facts[0],
            "retract": lambda: db.get_edge(name) is None,
            "messages": lambda: db.exists(f"{name}m0"),
            "pair": lambda: db.get_edge(name) is not None,
            "vector": lambda: has_vector(db, name, facts[0]),
            "renew": lambda: False,
        }[kind]()
        if done:
            self.apply(*self.open)
        elif kind == "messages":
            assert not any(db.exists(f"{name}m{i}") for i in range(3))
        elif kind == "pair":
            assert not db.exists(f"{name}a")
            assert not db.exists(f"{name}b")
        self.open = None

    def check(self, db):
        for name, n in self.nodes.items():
            node = db.get_node(name)
            assert node is not None, f"{name} was acknowledged and is gone"
            assert node["n"] == n
            assert node["text"] == (name if n == 0 else f"{name} {n}"), "half an update"
        for name, (source, target) in self.edges.items():
            history = db.edge_history(name)
            assert [edge.weight for edge in history] == self.weights[name], "half a history"
            edge = db.get_edge(name)
            assert (edge is None) == (name in self.retracted)
            assert (history[-1].source, history[-1].target) == (source, target)
            known = db.get_edge(name, known_at=history[0].recorded_at)
            assert known.weight == 1.0, "the first version was believed once"
        for name in self.messages:
            for i in range(3):
                assert db.get_node(f"{name}m{i}") is not None
            assert db.get_node(f"{name}m0").next.id == f"{name}m1"
        for name in self.pairs:
            assert [node.id for node in db.neighbors(f"{name}a", "P")] == [f"{name}b"]
        for name, n in self.vectors.items():
            assert has_vector(db, name, n)
        if self.messages:
            name = self.messages[-1]
            found = db.query(text_query={"text": f"word{name}x2"}, labels=["Message"], limit=1)
            assert found[0].node.id == f"{name}m2"


def vector_of(n):
    return np.random.default_rng(n).standard_normal(16).astype(np.float32)


def has_vector(db, name, n):
    if "s" not in {space["name"] for space in db.spaces()}:
        return False
    stored = db.get_embedding_for_node(name, "s")
    return stored is not None and np.array_equal(stored.vector, vector_of(n))


@pytest.mark.timeout(900)
def test_random_kills(path, spawn, thorough):
    kills = 100 if thorough else 10
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    all_messages, all_pairs = [], []
    with EmbeddedDB(path, ml=None) as db:
        db.create_chat(id="chat")
    counts = {"acks": 0, "in the middle": 0}
    for round_ in range(kills):
        child = spawn(WRITER, path, round_, rng.randrange(2**32))
        assert json.loads(child.stdout.readline()) == ["open"]
        killer = threading.Timer(rng.uniform(0.001, 0.2), os.kill, (child.pid, signal.SIGKILL))
        killer.start()
        expected = Expected()
        for line in child.stdout:
            if line.endswith("\n"):
                expected.read(line)
                counts["acks"] += "ack" in line
        killer.join()
        assert child.wait() == -signal.SIGKILL
        counts["in the middle"] += expected.open is not None
        with EmbeddedDB(path, ml=None) as db:
            expected.settle(db)
            expected.check(db)
            report = db.verify()
            assert report["ok"], report
        all_messages += expected.messages
        all_pairs += expected.pairs
    assert counts["acks"] > kills
    assert counts["in the middle"] > 0, "no kill ever hit a write"
    with EmbeddedDB(path, ml=FakeModel()) as db:
        assert db.count("Message") == 3 * len(all_messages)
        assert db.count("Pair") == 2 * len(all_pairs)
        chain = [message.id for message in db.get_node("chat").messages()]
        assert chain == [f"{name}m{i}" for name in all_messages for i in range(3)]
        db.flush(timeout=300)
        for message in db.nodes("Message"):
            assert message.status.embedding == "ready"
            assert message.embedding() is not None
            assert [entity.label for entity in message.entities()] == ["Alice"]
        found = db.query(semantic_query={"text": "Alice"}, labels=["Message"], limit=1)
        assert found.pending == 0
        report = db.verify()
        assert report["ok"], report
