"""All legs of a query together, in order, cut, in pages, of snapshots, agree with plain Python.

Each leg alone is compared elsewhere; here all combinations of them are, over small random graphs
that have been changed and partly deleted before. What is stated:

- labels, filters and graph reach restrict, whatever ranks;
- a raw score depends on the node and the query, never on the filters beside it;
- what ranks is every candidate with a vector or a word of the query, and what is next to one, if
  neighbours lend; a threshold holds for all of it;
- the score is that of the documentation, the best come first, and a limit cuts, nothing else;
- without ranking, the order is the one asked for, else nearest first, then oldest first;
- pages are the whole; a snapshot, a transaction and a query value give what the database gives.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import ConvergedQuery, EmbeddedDB

SIZE = 14
WORDS = ["graph", "meadow", "harbour", "violin", "spring"]
WHOLE = 1000
"""More than there are."""

messages = st.lists(
    st.fixed_dictionaries(
        {
            "chat": st.sampled_from(["c0", "c1"]),
            "words": st.lists(st.sampled_from(WORDS), max_size=4),
            "n": st.none() | st.integers(0, 4),
            "sender": st.sampled_from(["Ann", "Anna", "Bob"]),
            "vector": st.none() | st.lists(st.integers(-3, 3), min_size=3, max_size=3),
        }
    ),
    min_size=1,
    max_size=SIZE,
)
places = st.integers(0, SIZE - 1)
ties = st.lists(st.tuples(places, places, st.sampled_from(["T", "U"])), max_size=20)

conditions = st.one_of(
    st.fixed_dictionaries(
        {
            "property": st.just("n"),
            "operator": st.sampled_from(["Equals", "NotEquals", "GreaterThan", "LessThanOrEqual"]),
            "value": st.integers(0, 4),
        }
    ),
    st.fixed_dictionaries(
        {
            "property": st.just("n"),
            "operator": st.just("Between"),
            "value": st.sampled_from([[0, 2], [1, 1], [2, 4]]),
        }
    ),
    st.fixed_dictionaries(
        {
            "property": st.sampled_from(["n", "sender"]),
            "operator": st.sampled_from(["In", "NotIn"]),
            "value": st.sampled_from([[1, 2], ["Ann"], ["Bob", 3]]),
        }
    ),
    st.fixed_dictionaries(
        {
            "property": st.sampled_from(["sender", "content"]),
            "operator": st.sampled_from(["StartsWith", "EndsWith", "Contains"]),
            "value": st.sampled_from(["An", "na", "graph", ""]),
        }
    ),
    st.fixed_dictionaries(
        {"property": st.just("n"), "operator": st.sampled_from(["Exists", "NotExists"])}
    ),
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=3,
)
reaches = st.fixed_dictionaries(
    {
        "start": st.lists(places, min_size=1, max_size=2, unique=True),
        "edge_types": st.sampled_from([["T"], ["U"], ["T", "U"], ["NEXT", "T"], ["CONTAINS"]]),
        "direction": st.sampled_from(["out", "in", "any"]),
        "min_hops": st.integers(0, 1),
        "more": st.integers(0, 3),
        "exclude": st.booleans(),
    }
)
vectors = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)
ranks = st.fixed_dictionaries(
    {},
    optional={
        "text": st.sampled_from([0.0, 0.3, 1.0]),
        "semantic": st.sampled_from([0.0, 0.7]),
        "graph": st.sampled_from([0.0, 0.4]),
        "neighbors": st.sampled_from([0.0, 0.3]),
        "fusion": st.sampled_from(["weighted", "rrf"]),
    },
)
questions = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.sampled_from([["Message"], ["Chat"], ["Message", "Chat"], ["Odd"]]),
        "filters": st.lists(filters, min_size=1, max_size=2),
        "reach": reaches,
        "words": st.lists(st.sampled_from(WORDS), min_size=1, max_size=2),
        "vector": vectors,
        "threshold": st.sampled_from([-0.4567, 0.0321, 0.4123]),
        "rank": ranks,
        "order": st.sampled_from([["n"], [("n", "desc")], ["sender", ("n", "desc")]]),
    },
)


# ------------------------------------------------------------------ the reference


class Graph:
    """The same graph in Python: nodes by id in the order they were made, edges as triples."""

    def __init__(self):
        self.nodes = {}
        self.edges = []
        self.vectors = {}
        self.words = {}

    def adjacent(self, id):
        """The message before and the one after."""
        ends = [None, None]
        for source, target, type in self.edges:
            if type == "NEXT" and target == id:
                ends[0] = source
            if type == "NEXT" and source == id:
                ends[1] = target
        return ends

    def distances(self, start, types, direction):
        found, queue = {start: 0}, [start]
        for node in queue:
            for source, target, type in self.edges:
                for here, there, way in ((source, target, "out"), (target, source, "in")):
                    fits = type in types and here == node and direction in (way, "any")
                    if fits and there not in found:
                        found[there] = found[node] + 1
                        queue.append(there)
        return found


def holds(properties, condition):
    if "any" in condition:
        return any(holds(properties, inner) for inner in condition["any"])
    if "all" in condition:
        return all(holds(properties, inner) for inner in condition["all"])
    if "not" in condition:
        return not holds(properties, condition["not"])
    operator, operand = condition["operator"], condition.get("value")
    if condition["property"] not in properties:
        return operator in ("NotExists", "NotEquals", "NotIn")
    value = properties[condition["property"]]
    tests = {
        "Exists": lambda: True,
        "NotExists": lambda: False,
        "Equals": lambda: value == operand,
        "NotEquals": lambda: value != operand,
        "GreaterThan": lambda: value > operand,
        "LessThanOrEqual": lambda: value <= operand,
        "Between": lambda: operand[0] <= value <= operand[1],
        "In": lambda: value in operand,
        "NotIn": lambda: value not in operand,
        "StartsWith": lambda: value.startswith(operand),
        "EndsWith": lambda: value.endswith(operand),
        "Contains": lambda: operand in value,
    }
    return tests[operator]()


def scaled(scores, floor):
    """Scale to 0…1 over the scored; None is no score, or the floor where there is one."""
    known = [s if s is not None else floor for s in scores.values()]
    known = [score for score in known if score is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)

    def scale(score):
        if score is None:
            return 0.0
        if high - low <= 1e-6 * abs(high):
            return 1.0
        return min(1.0, max(0.0, (score - low) / (high - low)))

    return scale


class Answer:
    """What a query has to give, by the rules in the head of this file."""

    def __init__(self, graph, question, raw_text):
        self.graph, self.question = graph, question
        self.rank = question.get("rank", {})
        self.distances = {}
        self.candidates = self.restricted()
        self.text = raw_text if "words" in question else {}
        self.similarity = self.cosines() if "vector" in question else {}

    def restricted(self):
        graph, question = self.graph, self.question
        wanted = question.get("labels")
        ids = [
            id
            for id, (labels, properties) in graph.nodes.items()
            if (wanted is None or set(wanted) & set(labels))
            and all(holds(properties, each) for each in question.get("filters", ()))
        ]
        if (reach := question.get("reach")) is None:
            return ids
        least, most = reach["min_hops"], reach["min_hops"] + reach["more"]
        inside: dict[str, int] = {}
        for start in reach["start"]:  # each by itself: one may be reached from the other
            far = graph.distances(start, reach["edge_types"], reach["direction"])
            for id, hops in far.items():
                if least <= hops <= most:
                    inside[id] = min(hops, inside.get(id, hops))
        if reach["exclude"]:
            return [id for id in ids if id not in inside]
        self.distances = inside
        return [id for id in ids if id in inside]

    def cosines(self):
        query = np.array(self.question["vector"], dtype=float)
        return {
            id: float(row @ query / np.linalg.norm(row) / np.linalg.norm(query))
            for id, row in self.graph.vectors.items()
        }

    # -------------------------------------------------------------- without ranking

    def in_order(self):
        ids = sorted(self.candidates, key=lambda id: self.distances.get(id, 0))
        if "order" not in self.question:
            return ids
        ids = self.candidates
        for by in reversed(self.question["order"]):
            name, way = (by, "asc") if isinstance(by, str) else by
            own = {id: self.graph.nodes[id][1].get(name) for id in ids}
            having = [id for id in ids if own[id] is not None]
            having.sort(key=own.__getitem__)
            if way == "desc":  # equal ones stay in their order
                having.sort(key=own.__getitem__, reverse=True)
            ids = having + [id for id in ids if own[id] is None]
        return ids

    # -------------------------------------------------------------- with ranking

    def scores(self, ranks):
        """The score of every result; ``ranks`` are the places that the legs gave."""
        hits = [id for id in self.candidates if id in self.text or id in self.similarity]
        text = scaled({id: self.text.get(id) for id in hits}, 0.0)
        semantic = scaled({id: self.similarity.get(id) for id in hits}, None)
        both = "words" in self.question and "vector" in self.question
        lending = self.rank.get("neighbors")
        if lending is None:
            lending = 0.3 if both and self.rank.get("fusion") != "rrf" else 0.0
        blends = lending > 0 or self.rank.get("graph", 0) > 0 or self.rank.get("fusion") == "rrf"

        def base(id):
            if not both and not blends:
                return (self.text if "words" in self.question else self.similarity).get(id, 0.0)
            parts = {"text": text(self.text.get(id)), "semantic": semantic(self.similarity.get(id))}
            if self.rank.get("fusion") == "rrf":
                at = ranks.get(id, {})
                parts = {leg: 1 / (60 + at[leg]) if leg in at else 0.0 for leg in parts}
            asked = {"text": "words", "semantic": "vector"}
            score = sum(
                self.rank.get(leg, 0.5) * part
                for leg, part in parts.items()
                if asked[leg] in self.question
            )
            hops = self.distances.get(id)
            return score + self.rank.get("graph", 0) * (0 if hops is None else 1 / (1 + hops))

        found = {id: base(id) for id in hits}
        if lending > 0:
            found = self.lent(found, base, lending)
        threshold = self.question.get("threshold") if "vector" in self.question else None
        if threshold is not None:
            found = {
                id: score
                for id, score in found.items()
                if self.similarity.get(id, -2.0) >= threshold
            }
        return found

    def lent(self, found, base, lending):
        scores, ring = dict(found), list(found)
        for _ in range(2):
            ring = [
                near
                for id in ring
                for near in self.graph.adjacent(id)
                if near is not None and scores.setdefault(near, None) is None
            ]
            for near in ring:
                scores[near] = base(near)
        out = {}
        for id in set(scores) & set(self.candidates):
            out[id] = scores[id]
            for side in (0, 1):
                at = id
                for share in (1.0, 1 / 3):
                    at = self.graph.adjacent(at)[side]
                    if at is None:
                        break
                    out[id] += lending * share * scores.get(at, 0.0)
        return out


# ------------------------------------------------------------------ the database


def fill(db, drafts, ties):
    """Store messages and edges, change some, delete some; the same in Python."""
    graph = Graph()
    for chat in ("c0", "c1"):
        db.create_chat(id=chat, title=chat)
        graph.nodes[chat] = (("Chat",), {"title": chat})
    for at, draft in enumerate(drafts):
        given = {"content": " ".join(draft["words"]), "sender": draft["sender"]}
        if draft["n"] is not None:
            given["n"] = draft["n"]
        stored = {**given, "n": 9} if at % 3 == 0 else given
        db.create_message(draft["chat"], id=f"n{at}", **stored)
        if stored is not given:
            db.update_node(f"n{at}", {"n": given.get("n", 2)})
            given["n"] = given.get("n", 2)
        graph.nodes[f"n{at}"] = (("Message",), {**given, "role": "user", "chat_id": draft["chat"]})
    for source, target, type in ties:
        if max(source, target) < len(drafts):
            edge = (f"n{source}", f"n{target}", type)
            db.create_edge(dict(zip(("source", "target", "type"), edge, strict=True)))
            graph.edges.append(edge)
    for at, draft in enumerate(drafts):
        if draft["vector"] is not None and any(draft["vector"]):
            db.create_embedding({"node_id": f"n{at}", "vector": draft["vector"], "space": "s"})
            graph.vectors[f"n{at}"] = np.array(draft["vector"], dtype=float)
    for at in range(4, len(drafts), 5):
        db.delete_node(f"n{at}")
        for known in (graph.nodes, graph.vectors):
            known.pop(f"n{at}", None)
    graph.edges = [edge for edge in graph.edges if {edge[0], edge[1]} <= graph.nodes.keys()]
    for chat in ("c0", "c1"):
        own = [id for id, node in graph.nodes.items() if node[1].get("chat_id") == chat]
        graph.edges += [(chat, id, "CONTAINS") for id in own]
        graph.edges += [(a, b, "NEXT") for a, b in pairwise(own)]
    return graph


def asked(question, graph):
    """The question as the arguments of `query`; None for one that cannot be meant."""
    ranks = "words" in question or "vector" in question
    question = {k: v for k, v in question.items() if k != ("order" if ranks else "rank")}
    if "threshold" in question and "vector" not in question:
        del question["threshold"]
    ids = list(graph.nodes)
    if "reach" in question:
        start = [ids[at % len(ids)] for at in question["reach"]["start"]]
        question["reach"] = {**question["reach"], "start": list(dict.fromkeys(start))}
    query = {}
    if "labels" in question:
        query["labels"] = question["labels"]
    if "filters" in question:
        query["structural_filters"] = question["filters"]
    if "reach" in question:
        reach = dict(question["reach"])
        reach["max_hops"] = reach["min_hops"] + reach.pop("more")
        query["graph_filter"] = reach
    if "words" in question:
        query["text_query"] = {"text": " ".join(question["words"])}
    if "vector" in question:
        query["semantic_query"] = {"vector": question["vector"], "space": "s"}
        if "threshold" in question:
            query["semantic_query"]["threshold"] = question["threshold"]
    if question.get("rank"):
        query["rank"] = question["rank"]
    if not query:
        query["labels"] = question["labels"] = ["Message"]
    if "order" in question:
        query["order_by"] = question["order"]
    return question, query


def near(a, b):
    return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4)


def check_ranked(found, answer, ranks):
    """The results are right one by one, none is missing, and the best come first."""
    expected = answer.scores(ranks)
    assert len(found) == len(expected)
    for result in found:
        id = result.node.id
        assert id in expected, id
        assert near(result.score, expected[id]), (id, result.score, expected[id])
        assert near(sum(result.shares.values()), result.score)
        assert (result.text_score is None) == (id not in answer.text)
        if result.text_score is not None:
            assert near(result.text_score, answer.text[id])
        assert (result.similarity_score is None) == (id not in answer.similarity)
        if result.similarity_score is not None:
            assert near(result.similarity_score, answer.similarity[id])
        assert result.graph_distance == answer.distances.get(id)
    scores = [result.score for result in found]
    assert scores == sorted(scores, reverse=True)
    best = sorted(expected.values(), reverse=True)
    assert all(near(*pair) for pair in zip(scores, best, strict=True))


def paged(source, query, size):
    out, after = [], None
    for _ in range(WHOLE):
        page = source.query(**query, limit=size, after=after)
        out += [(r.node.id, r.score) for r in page]
        if (after := page.cursor) is None:
            return out
    raise AssertionError("the pages have no end")


@settings(max_examples=2 * settings.default.max_examples)
@given(messages, ties, st.lists(questions, min_size=1, max_size=6), st.integers(1, SIZE))
def test_every_leg_at_once(drafts, ties, asked_for, limit):
    with EmbeddedDB(":memory:", ml=None) as db:
        db.create_node({"id": "first", "label": "Odd"})
        db.create_embedding({"node_id": "first", "vector": [1, 0, 0], "space": "s"})
        db.delete_node("first")
        graph = fill(db, drafts, ties)
        for each in asked_for:
            question, query = asked(each, graph)
            check(db, graph, question, query, limit)
        held = db.snapshot()
        whole = [list(map(key, db.query(**asked(q, graph)[1], limit=WHOLE))) for q in asked_for]
        db.create_message("c0", "graph meadow harbour violin spring", n=1, sender="Ann")
        db.update_matching(ConvergedQuery(labels=["Message"]), {"n": 3})
        db.delete_node("c1")
        for each, expected in zip(asked_for, whole, strict=True):
            found = held.query(**asked(each, graph)[1], limit=WHOLE)
            assert list(map(key, found)) == expected, "a snapshot stays as it is"
        held.close()


def key(result):
    return result.node.id, result.score, dict(result.node.properties)


def check(db, graph, question, query, limit):
    ranks = "words" in question or "vector" in question
    raw = {}
    if "words" in question:
        words = db.query(text_query=query["text_query"], limit=WHOLE)
        raw = {r.node.id: r.text_score for r in words}
        assert set(raw) == {
            id
            for id, (_, properties) in graph.nodes.items()
            if set(question["words"]) & set(properties.get("content", "").split())
        }
    answer = Answer(graph, question, raw)
    whole = db.query(**query, limit=WHOLE)
    cut = db.query(**query, limit=limit)
    if ranks:
        # What a threshold keeps out has its place in its leg, and lends.
        semantic = {**query.get("semantic_query", {}), "threshold": None}
        without = query | ({"semantic_query": semantic} if "vector" in question else {})
        every = db.query(**without, limit=WHOLE)
        check_ranked(whole, answer, {r.node.id: r.ranks for r in every})
    else:
        expected = answer.in_order()
        assert [r.node.id for r in whole] == expected
        assert [r.graph_distance for r in whole] == [answer.distances.get(id) for id in expected]
        assert {r.score for r in whole} <= {1.0}
        assert db.count_matching(ConvergedQuery(**query, limit=1)) == len(expected)
    order = [(r.node.id, r.score) for r in whole]
    assert [(r.node.id, r.score) for r in cut] == order[:limit], "a limit cuts, nothing else"
    assert paged(db, query, limit) == order
    value = ConvergedQuery.from_dict(ConvergedQuery(**query, limit=WHOLE).to_dict())
    assert [(r.node.id, r.score) for r in db.execute_query(value)] == order
    with db.transaction() as tx:
        assert [(r.node.id, r.score) for r in tx.execute_query(value)] == order
    with db.snapshot() as snapshot:
        assert paged(snapshot, query, limit) == order
        exact = snapshot.query(**query, limit=limit, exact=True, explain=True)
        assert [(r.node.id, r.score) for r in exact] == order[:limit]
        assert exact.plan is not None


def test_the_reference_itself(db):
    """One query with every leg, reckoned by hand."""
    chat = db.create_chat(id="c")
    first, second, third = (chat.add_message(text) for text in ("graph", "violin", "graph graph"))
    db.create_embedding({"node_id": first.id, "vector": [1, 0], "space": "s"})
    db.create_embedding({"node_id": second.id, "vector": [0, 1], "space": "s"})
    found = db.query(
        labels=["Message"],
        structural_filters=[{"property": "content", "operator": "NotEquals", "value": "x"}],
        graph_filter={"start": first, "edge_types": ["NEXT"], "min_hops": 0, "max_hops": 1},
        text_query={"text": "graph"},
        semantic_query={"vector": [1, 0], "space": "s"},
        rank={"graph": 1.0},
    )
    # first: 0.5 + 0.5 + 1, lent 0.3 of second's 0.5 and 0.1 of third's 0.5 (not reached, no hops)
    assert [r.node.id for r in found] == [first.id, second.id]
    assert found[0].score == pytest.approx(2.0 + 0.3 * 0.5 + 0.1 * 0.5, abs=1e-4)
    assert found[1].score == pytest.approx(0.5 + 0.3 * 2.0 + 0.3 * 0.5, abs=1e-4)
    assert third.id not in {r.node.id for r in found}
