"""The steps in one namespace."""

from itertools import pairwise

import numpy as np
import pytest

from embedded_db import DELETE, AlreadyExists, Conflict, EdgeModel, NodeModel

from .comparison import check_node, check_reads, check_reads_in, check_vectors, least
from .state import Line, Stored
from .values import LABELS, MOST, text, vector
from .writes import Writes


class Thing(NodeModel, label="X"):
    n: int = 0
    s: str | None = None


class Tie(EdgeModel, type="T"):
    n: int = 0


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
