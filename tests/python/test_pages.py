"""Pages of a query together are the whole answer, in its order, whatever is written meanwhile.

No result comes twice, none is left out, and what was written after the first page is not seen.
"""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import (
    Config,
    ConvergedQuery,
    DatabaseClosed,
    EmbeddedDB,
    InvalidQuery,
    SnapshotExpired,
)

WORDS = ["rust", "database", "paris", "graph", "memory", "spring"]


def pages(source, size, **query):
    after = None
    for _ in range(200):
        found = source.query(**query, limit=size, after=after)
        yield [(r.node.id, r.score) for r in found]
        after = found.cursor
        if after is None:
            return
        assert len(found) == size, "a page that is not full is the last"
    raise AssertionError("the pages have no end")


def fill(db, seed, count):
    rng = random.Random(seed)
    chat = db.create_chat(id="chat")
    made = chat.add_messages(
        [
            {"content": " ".join(rng.choices(WORDS, k=rng.randint(1, 6))), "sender": f"s{i % 3}"}
            for i in range(count)
        ]
    )
    numbers = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    db.set_embeddings([m.id for m in made], numbers, space="s")
    return made


VECTOR = [1.0, 0.5, -0.5, 0.0]
QUERIES = {
    "labels": {"labels": ["Message"]},
    "filter": {
        "structural_filters": [{"property": "sender", "operator": "NotEquals", "value": "s1"}]
    },
    "graph": {"graph_filter": {"start": "chat", "max_hops": 2}},
    "order": {"labels": ["Message"], "order_by": ["sender", ("content", "desc")]},
    "text": {"text_query": {"text": "rust paris"}},
    "semantic": {"semantic_query": {"vector": VECTOR, "space": "s"}},
    "threshold": {"semantic_query": {"vector": VECTOR, "space": "s", "threshold": 0.2}},
    "both": {
        "text_query": {"text": "rust paris"},
        "semantic_query": {"vector": VECTOR, "space": "s"},
    },
    "rrf": {
        "text_query": {"text": "rust paris"},
        "semantic_query": {"vector": VECTOR, "space": "s"},
        "rank": {"fusion": "rrf"},
    },
    "recency": {"text_query": {"text": "rust paris"}, "rank": {"recency_half_life": 3600}},
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@settings(max_examples=15)
@given(seed=st.integers(0, 1000), count=st.integers(1, 60), size=st.integers(1, 20))
def test_pages_are_the_whole(query, seed, count, size):
    with EmbeddedDB(":memory:", ml=None) as db:
        fill(db, seed, count)
        whole = [r.node.id for r in db.query(**query, limit=1000)]
        found = []
        for page in pages(db, size, **query):
            assert len(page) <= size
            found += [id for id, _ in page]
            # Neither more of the same, nor the loss of some, changes what the query goes on with.
            db.create_message(chat_id="chat", content="rust paris rust paris", sender="s0")
        assert found == whole


def test_a_page_is_full_while_there_are_more(db):
    fill(db, 1, 50)
    sizes = [len(page) for page in pages(db, 7, labels=["Message"])]
    assert sizes == [7] * 7 + [1]


def test_what_is_deleted_between_pages_is_still_given(db):
    made = fill(db, 2, 30)
    first = db.query(labels=["Message"], limit=10)
    db.delete_node(made[15].id)
    second = db.query(labels=["Message"], limit=10, after=first.cursor)
    assert made[15].id in [r.node.id for r in second]
    assert second[0].node.content


def test_pages_of_a_snapshot_and_of_a_value(db):
    fill(db, 3, 25)
    query = ConvergedQuery(text_query={"text": "rust graph"}, limit=4)
    with db.snapshot() as snapshot:
        whole = [r.node.id for r in snapshot.query(text_query={"text": "rust graph"}, limit=100)]
        found, after = [], None
        while True:
            page = snapshot.execute_query(query, after=after)
            found += [r.node.id for r in page]
            if (after := page.cursor) is None:
                break
        assert found == whole
        cursor = snapshot.execute_query(query).cursor
        with pytest.raises(InvalidQuery, match="after.*snapshot"):
            db.execute_query(query, after=cursor)


def test_a_cursor_belongs_to_its_query(db):
    fill(db, 4, 30)
    cursor = db.query(labels=["Message"], limit=5).cursor
    with pytest.raises(InvalidQuery, match="after: the cursor belongs to another query"):
        db.query(labels=["Chat"], limit=5, after=cursor)
    again = db.query(labels=["Message"], limit=7, after=cursor, explain=True)
    assert len(again) == 7
    assert again.plan


def test_a_cursor_shows_nothing_to_another_namespace_or_database(db):
    """Not even where the query is the same: it would show one user's memory to another."""
    user, query = db.namespace("user-1"), {"labels": ["Message"], "limit": 5}
    with EmbeddedDB(":memory:", ml=None) as other:
        for source in (db, user, other):
            fill(source, 4, 30)
        for source in (db, user, other):
            cursor = source.query(**query).cursor
            assert len(source.query(**query, after=cursor)) == 5
            with source.snapshot() as snapshot:
                held = snapshot.query(**query).cursor
                for wrong in {db, user, other} - {source}:
                    with pytest.raises(InvalidQuery, match="another database or namespace"):
                        wrong.query(**query, after=cursor)
                    with wrong.snapshot() as theirs:
                        for foreign in (cursor, held):
                            with pytest.raises(InvalidQuery, match="another database or namespace"):
                                theirs.query(**query, after=foreign)
                    with wrong.transaction() as tx, pytest.raises(InvalidQuery, match="another"):
                        tx.query(**query, after=held)
    assert len(db.namespace("user-1").query(**query, after=user.query(**query).cursor)) == 5


def test_a_cursor_of_a_closed_database_says_so(db, path):
    fill(db, 4, 30)
    cursor = db.query(labels=["Message"], limit=5).cursor
    db.close()
    with EmbeddedDB(path, ml=None) as again, pytest.raises(DatabaseClosed):
        again.query(labels=["Message"], limit=5, after=cursor)


def test_results_that_are_kept_for_long_use_up_nothing():
    """Far more of them than there may be snapshots: those too old to go on are let go of."""
    with EmbeddedDB(":memory:", config=Config(ml=None, max_snapshot_age=0.02)) as db:
        fill(db, 6, 12)
        snapshot = db.snapshot()
        kept = []
        while len(kept) < 3000:
            if len(kept) % 500 == 0:
                begun = time.monotonic()
                while time.monotonic() < begun + 0.04:
                    pass
            kept.append(db.query(labels=["Message"], limit=5))
        assert [r.node.id for r in kept[0]] == [r.node.id for r in kept[-1]]
        for old in (
            lambda: db.query(labels=["Message"], limit=5, after=kept[0].cursor),
            lambda: snapshot.count(),
        ):
            with pytest.raises(SnapshotExpired):
                old()


def test_a_cursor_that_is_too_old_says_so():
    with EmbeddedDB(":memory:", config=Config(ml=None, max_snapshot_age=0.001)) as db:
        fill(db, 5, 30)
        first = db.query(labels=["Message"], limit=5)
        begun = time.monotonic()
        while time.monotonic() < begun + 0.01:
            pass
        with pytest.raises(SnapshotExpired):
            db.query(labels=["Message"], limit=5, after=first.cursor)


def test_ordered_by_properties(db):
    values = [3, None, "b", 1.5, True, "a", 2]
    for value in values:
        db.create_node({"label": "X", "properties": {"v": value}})
    without = db.create_node({"label": "X", "properties": {"w": 1}})
    up = [r.node.get("v") for r in db.query(labels=["X"], order_by=["v"])]
    assert up == [None, True, 1.5, 2, 3, "a", "b", None]
    down = db.query(labels=["X"], order_by=[("v", "desc")])
    assert [r.node.get("v") for r in down] == ["b", "a", 3, 2, 1.5, True, None, None]
    assert down[-1].node.id == without, "what lacks the property is last either way"
    with pytest.raises(InvalidQuery, match="order_by and text_query"):
        db.query(text_query={"text": "a"}, order_by=["v"])
    with pytest.raises(InvalidQuery, match="order_by.*desc"):
        db.query(labels=["X"], order_by=[("v", "down")])
