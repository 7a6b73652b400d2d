"""A query that is answered by a reflex is answered as a fresh one.

Random writes of every kind come between equal queries, in this namespace and others, and each
answer of a reflex is compared with that of a fresh query: nodes, scores, shares, what is pending,
the pages behind. Threads that write while others ask never see an answer from before their last
write. A near answer is marked as one, says which question it answers, and is never given where
names differ.
"""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import ConvergedQuery, EmbeddedDB, InvalidInput, InvalidQuery
from embedded_db.testing import FakeModel

WORDS = ["rust", "python", "graph", "memory"]
RUST = {"text_query": {"text": "rust"}}

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
numbers = st.integers(0, 9)
ids = numbers.map(lambda n: f"n{n}")
vectors = st.lists(st.sampled_from([-1.0, 0.5, 1.0]), min_size=4, max_size=4)
writes = st.one_of(
    st.tuples(st.just("create"), ids, texts, vectors),
    st.tuples(st.just("update"), ids, texts),
    st.tuples(st.just("rank"), ids, numbers),
    st.tuples(st.just("vector"), ids, vectors),
    st.tuples(st.just("delete"), ids),
    st.tuples(st.just("tie"), ids, ids),
    st.tuples(st.just("expire"), ids),
    st.tuples(st.just("declare"), st.sampled_from([["text"], ["text", "more"]])),
    st.tuples(
        st.just("index"),
    ),
    st.tuples(st.just("other"), texts),
    st.tuples(st.just("later"), st.integers(1, 200)),
)
queries = st.fixed_dictionaries(
    {"labels": st.just(["Note"]), "limit": st.sampled_from([1, 2, 100])},
    optional={
        "text_query": texts.map(lambda text: {"text": text}),
        "semantic_query": vectors.map(
            lambda vector: {"vector": np.float32(vector), "space": "given"}
        ),
        "structural_filters": st.lists(
            st.tuples(st.sampled_from(["LessThan", "Equals"]), numbers).map(
                lambda at: {"property": "rank", "operator": at[0], "value": at[1]}
            ),
            max_size=2,
        ),
        "rank": st.sampled_from([{"activation": 0.5}, {"mmr": 0.5}, {"fusion": "rrf"}]),
    },
).filter(lambda query: "rank" not in query or query.keys() & {"text_query", "semantic_query"})


def write(db, clock, kind, *given):
    """Change something; what cannot be done is left."""
    if kind == "create" and not db.exists(given[0]):
        db.create_node({"id": given[0], "label": "Note", "properties": {"text": given[1]}})
        db.set_embeddings([given[0]], np.float32([given[2]]), space="given")
    elif kind == "other":
        db.namespace("other").create_node({"label": "Note", "properties": {"text": given[0]}})
    elif kind == "later":
        clock.move(given[0])
    elif kind == "declare":
        db.declare_label("Note", text=given[0])
    elif kind == "index":
        if any(made.property == "rank" for made in db.indexes()):
            db.drop_index("Note", "rank")
        else:
            db.create_index("Note", "rank")
    elif kind != "create" and all(db.exists(id) for id in given if str(id).startswith("n")):
        if kind == "update":
            db.update_node(given[0], {"text": given[1]})
        elif kind == "rank":
            db.update_node(given[0], {"rank": given[1]})
        elif kind == "vector":
            db.set_embeddings([given[0]], np.float32([given[1]]), space="given")
        elif kind == "delete":
            db.delete_node(given[0])
        elif kind == "tie":
            db.create_edge({"source": given[0], "target": given[1], "type": "TIE"})
        else:
            db.set_ttl(given[0], 100)


def told(results, db, query):
    """All that a result says, with the page behind."""
    behind = db.query(**query, after=results.cursor) if results.cursor else ()
    pages = [results, behind]
    return [[row.to_dict() for row in page] for page in pages], results.pending


@given(
    asked=st.lists(queries, min_size=1, max_size=4),
    steps=st.lists(st.one_of(writes, st.just(("ask",))), max_size=25),
)
def test_a_reflex_says_what_a_fresh_query_says(tmp_path_factory, clock, asked, steps):
    with EmbeddedDB(tmp_path_factory.mktemp("reflex") / "db", ml=None) as db:
        db.declare_label("Note", text=["text"])
        write(db, clock, "create", "n0", "rust", [1.0, 0.5, 1.0, 0.5])
        for kind, *values in [*steps, ("ask",), ("ask",)]:
            if kind != "ask":
                write(db, clock, kind, *values)
            for query in asked:
                known, fresh = db.query(**query, reflex=True), db.query(**query)
                assert told(known, db, query) == told(fresh, db, query)
        db.flush(timeout=60)  # what has expired is deleted meanwhile, which ends reflexes
        for _ in range(2):
            kinds = [db.query(**query, reflex=True).reflex for query in asked]
        assert set(kinds) == {"exact"}


def test_what_is_written_elsewhere_leaves_a_reflex(db):
    db.create_chat().add_message("rust")
    db.query(**RUST, reflex=True)
    other = db.namespace("other")
    other.create_chat().add_message("rust again")
    assert db.query(**RUST, reflex=True).reflex == "exact"
    assert other.query(**RUST, reflex=True).reflex is None
    assert [r.node.content for r in other.query(**RUST, reflex=True)] == ["rust again"]


def test_nobody_gets_an_answer_from_before_their_own_write(path):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "n", "label": "Count", "properties": {"value": 0}})
        committed, stop, failures, hits = [0], threading.Event(), [], [0]
        query = {"labels": ["Count"]}

        def read():
            while not stop.is_set():
                least = committed[0]
                results = db.query(**query, reflex=True)
                hits[0] += results.reflex == "exact"
                found = results[0].node["value"]
                if found < least:
                    failures.append((found, least))

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for value in range(1, 300):
            db.update_node("n", {"value": value})
            committed[0] = value
            if value % 10 == 0:
                db.namespace("other").create_node({"label": "Count"})
        stop.set()
        for reader in readers:
            reader.join()
        assert not failures
        assert hits[0] > 0


def test_another_process_that_writes_ends_a_reflex(path, spawn):
    with EmbeddedDB(path, ml=None) as db:
        db.create_node({"id": "a", "label": "Note"})
    with EmbeddedDB(path, ml=None, read_only=True) as reader:
        query = {"labels": ["Note"]}
        reader.query(**query, reflex=True)
        assert reader.query(**query, reflex=True).reflex == "exact"
        writer = spawn(
            f"""
            from embedded_db import EmbeddedDB
            with EmbeddedDB({str(path)!r}, ml=None) as db:
                db.create_node({{"id": "b", "label": "Note"}})
            """
        )
        assert writer.wait() == 0
        results = reader.query(**query, reflex=True)
        assert [result.node.id for result in results] == ["a", "b"]


def test_equal_queries_are_one_whatever_order_they_are_written_in(db):
    db.create_chat().add_message("rust", sender="Ann")
    conditions = [
        {"property": "sender", "operator": "Equals", "value": "Ann"},
        {"property": "role", "operator": "NotExists"},
    ]
    one = ConvergedQuery(labels=["Message", "Fact"], structural_filters=conditions)
    db.execute_query(one, reflex=True)
    other = {"labels": ["Fact", "Message"], "structural_filters": conditions[::-1]}
    assert db.query(**other, timeout=9, reflex=True).reflex == "exact"
    assert db.query(**other, limit=9, reflex=True).reflex is None
    values = [1, 1.0, True, "1", b"1", None]
    for value in values:
        test = {"property": "sender", "operator": "Equals", "value": value}
        assert db.query(structural_filters=[test], reflex=True).reflex is None


def test_feedback_makes_a_reflex_surer_or_ends_it(db):
    db.create_chat().add_message("rust")
    fresh = db.query(**RUST, reflex=True)
    assert fresh.feedback("y") == pytest.approx(0.92)
    assert db.query(**RUST, reflex=True).feedback("n") == pytest.approx(0.46)
    again = db.query(**RUST, reflex=True)
    assert again.reflex is None
    assert db.query(**RUST, reflex=True).reflex is None  # what it learnt anew is no surer
    for _ in range(6):
        sure = again.feedback("y")
    assert sure > 0.8
    assert db.query(**RUST, reflex=True).reflex == "exact"


def test_results_of_a_reflex_are_reranked_and_cut_like_others(db):
    db.create_chat().add_messages([{"content": f"rust {n}", "id": f"m{n}"} for n in range(9)])
    ways = {"rerank": lambda found: [-n for n, _ in enumerate(found)][::-1], "limit": 3}
    once = db.query(**RUST, **ways, reflex=True)
    again = db.query(**RUST, **ways, reflex=True)
    assert again.reflex == "exact"
    assert [r.to_dict() for r in again] == [r.to_dict() for r in once]
    cut = {"token_budget": 4, "count_tokens": lambda text: len(text.split())}
    assert len(db.query(**RUST, **cut, reflex=True)) == len(db.query(**RUST, **cut)) == 2


def test_what_depends_on_the_time_or_is_large_is_not_kept(db):
    db.create_chat().add_message("rust")
    aged = {**RUST, "rank": {"recency_half_life": 60.0}}
    db.query(**aged, reflex=True)
    results = db.query(**aged, reflex=True)
    assert results.reflex is None
    with pytest.raises(InvalidInput, match="no reflex"):
        results.feedback("y")
    db.create_chat().add_message("rust " + "x" * 40_000)
    assert [db.query(**RUST, reflex=True).reflex for _ in range(2)] == [None, None]


def test_a_query_that_waits_for_vectors_waits(path):
    model = FakeModel()
    with EmbeddedDB(path, ml=model) as db:
        db.weaver.pause()
        db.create_chat().add_message("rust is fast")
        query = {"semantic_query": {"text": "rust is fast"}, "labels": ["Message"]}
        assert db.query(**query, reflex=True).pending == 1
        assert db.query(**query, reflex=True).reflex == "exact"
        db.weaver.resume()
        waited = db.query(**query, reflex=True, wait=30)
        assert (waited.pending, len(waited)) == (0, 1)


@pytest.fixture
def asking(path):
    """A database with the model of the product, and the question of a reflex."""
    pytest.importorskip("embedded_db_minilm")
    with EmbeddedDB(path) as db:
        chat = db.create_chat()
        chat.add_messages(
            [{"content": f"{who} painted the {what}"} for who in ("Ann", "Bob") for what in WORDS]
        )
        db.flush()
        yield db


def near(db, text, **more):
    return db.query(semantic_query={"text": text}, text_query={"text": text}, reflex="near", **more)


def test_a_near_answer_says_so_and_which_question_it_answers(asking):
    first = near(asking, "When did Ann paint the graph?")
    assert (first.reflex, first.answered) == (None, None)
    again = near(asking, "When did Ann paint the graph?")
    assert (again.reflex, again.answered) == ("exact", None)
    results = near(asking, "When did Ann paint that graph")
    assert (results.reflex, results.answered) == ("near", "When did Ann paint the graph?")
    assert [r.to_dict() for r in results] == [r.to_dict() for r in first]
    # One who does not ask for it gets none.
    exact = {"semantic_query": {"text": "When did Ann paint that graph"}}
    assert asking.query(**exact, reflex=True).reflex is None


def test_no_near_answer_where_names_numbers_or_filters_differ_or_something_was_written(asking):
    question = "When did Ann paint the graph?"
    near(asking, question)
    assert near(asking, "When did Bob paint the graph?").reflex is None
    assert near(asking, "When did Ann not paint the graph?").reflex is None
    assert near(asking, "When did Ann paint the 2 graphs?").reflex is None
    other = "When did Ann paint that graph"
    assert near(asking, other, labels=["Message"]).reflex is None
    asking.create_chat().add_message("Ann paints the graph again")
    assert near(asking, other).reflex is None


def test_a_near_answer_that_was_refused_is_given_no_more(asking):
    near(asking, "When did Ann paint the graph?")
    results = near(asking, "When did Ann paint that graph")
    assert results.feedback("n") < 0.8
    assert near(asking, "When did Ann paint this graph").reflex is None


def test_bad_input_is_refused(db):
    db.create_chat().add_messages([{"content": f"rust {n}"} for n in range(3)])
    with pytest.raises(InvalidQuery, match="reflex is 'far'"):
        db.query(**RUST, reflex="far")
    with pytest.raises(InvalidQuery, match="reflex is 1"):
        db.query(**RUST, reflex=1)
    with pytest.raises(InvalidQuery, match="semantic_query with a text"):
        db.query(**RUST, reflex="near")
    with pytest.raises(InvalidQuery, match="explain"):
        db.query(**RUST, reflex=True, explain=True)
    page = db.query(**RUST, limit=1)
    with pytest.raises(InvalidQuery, match="after and reflex"):
        db.query(**RUST, limit=1, after=page.cursor, reflex=True)
    with pytest.raises(InvalidInput, match="verdict is 'c'"):
        db.query(**RUST, reflex=True).feedback("c")
    with pytest.raises(InvalidInput, match="no reflex"):
        page.feedback("y")
    with db.snapshot() as snapshot, pytest.raises(InvalidQuery, match="Only a database"):
        snapshot.query(**RUST, reflex=True)
    with db.transaction() as tx, pytest.raises(InvalidQuery, match="Only a database"):
        tx.query(**RUST, reflex=True)
