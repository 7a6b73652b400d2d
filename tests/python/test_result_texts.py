"""A result says by which text it was found, whatever the label of its node.

`Result.text` is made when it is asked for, of what the query saw: neither a later change of the
node nor a later declaration makes another text of it.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, Field, NodeModel

PLAIN = {"weights": {"semantic": 0}}


def book(**properties):
    return {"label": "Book", "properties": properties}


def texts(results):
    return [result.text for result in results]


def test_of_a_message_it_is_the_content(db):
    chat = db.create_chat(title="Trip", topic="Norway")
    parts = [{"type": "text", "text": "To Oslo"}, {"type": "text", "text": "by ship"}]
    chat.add_message(parts, sender="Ann")
    db.remember("Ann likes ships")
    db.add_document("Ships are slow.", count_tokens=len, title="Ships")
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat.add_message(None, role="assistant", tool_calls=[call], sender="Bob")
    found = {result.node.id: result.text for result in db.query(labels=["Message"])}
    assert sorted(filter(None, found.values())) == [
        "Ann likes ships",
        "Ships are slow.",
        "To Oslo\nby ship",
    ]
    assert None in found.values(), "what says nothing has no text"
    assert set(texts(db.query(labels=["Chat"]))) == {"Trip\nNorway", "Ships"}
    assert texts(db.search("ships Oslo", limit=1, **PLAIN))[0] is not None


def test_of_entities_and_summaries(woven):
    chat = woven.create_chat()
    chat.add_messages([{"content": f"Alice met Bob {n} times."} for n in range(3)])
    woven.flush(timeout=60)
    assert "Alice" in texts(woven.query(labels=["Entity"]))
    [summary] = woven.query(labels=["Summary"])
    assert summary.text == summary.node.text


def test_of_a_declared_label_it_is_what_was_declared(db):
    class Film(NodeModel, label="Film"):
        title: str = Field(text=True)
        plot: str = Field(text=True, embed=True)
        mood: str = Field(default="calm", embed=True)
        year: int = 2000

    db.add(Film(title="Fjords", plot="A ship sinks."))
    [result] = db.query(text_query={"text": "fjords"})
    assert result.text == "Fjords\nA ship sinks.\ncalm"
    db.declare_label("Book", text=["title", "tags"])
    db.create_nodes([book(title="Maps", tags=["paper", 7, "old"], content="x"), book(n=1)])
    assert texts(db.query(labels=["Book"])) == ["Maps\npaper\nold", None]
    db.create_node(
        {"label": "Odd", "properties": {"title": "Maps", "content": "nobody declared it"}}
    )
    assert texts(db.query(labels=["Odd"])) == [None]
    both = {"labels": ["Message", "Book"], "properties": {"content": "said", "title": "written"}}
    db.create_node(both)
    assert texts(db.query(labels=["Message"])) == ["said\nwritten"]


def test_it_is_of_the_state_that_was_asked(db):
    db.declare_label("Book", text=["title"])
    maps = db.create_node(book(title="Maps", blurb="of Norway"))
    query = {"labels": ["Book"]}
    [before] = db.query(**query)
    with db.snapshot() as snapshot, db.transaction() as tx:
        db.declare_label("Book", text=["blurb"])
        db.update_node(maps, {"blurb": "of Spain", "title": "Atlas"})
        assert texts(db.query(**query)) == ["of Spain"]
        assert texts(snapshot.query(**query)) == texts(tx.query(**query)) == ["Maps"]
        assert texts(snapshot.search("maps", **PLAIN)) == ["Maps"]
    db.delete_node(maps)
    assert before.text == "Maps"


def test_a_page_has_the_texts_of_the_first_one(db):
    db.declare_label("Book", text=["title"])
    db.create_nodes([book(title=f"Book {n}", blurb="other") for n in range(2)])
    first = db.query(labels=["Book"], limit=1)
    db.declare_label("Book", text=["blurb"])
    assert texts(db.query(labels=["Book"], limit=1, after=first.cursor)) == ["Book 1"]


def test_a_token_budget_counts_it(db):
    db.declare_label("Book", text=["name"])
    db.create_nodes([book(name="one two three"), book(name="four"), book(name="five")])
    words = {"count_tokens": lambda text: len(text.split()), "order_by": ["name"]}
    assert texts(db.query(labels=["Book"], token_budget=2, **words)) == ["five", "four"]
    assert texts(db.query(labels=["Book"], token_budget=3, **words)) == ["five", "four"]


words = st.sampled_from(["alpha", "beta", "gamma", "delta"])
values = st.one_of(words, st.lists(words, max_size=2).map(" ".join), st.lists(words), st.just(3))


@pytest.fixture(scope="module")
def shared():
    with EmbeddedDB(":memory:", ml=None) as opened:
        yield opened


@given(
    st.dictionaries(st.sampled_from("abc"), values), st.lists(st.sampled_from("abc"), unique=True)
)
def test_every_word_of_it_finds_it(shared, properties, declared):
    """And no word beside it does: the text is what is searched."""
    shared.declare_label("Book", text=declared)
    id = shared.create_node(book(**properties))
    [text] = [result.text for result in shared.query(labels=["Book"]) if result.node.id == id]
    for word in ("alpha", "beta", "gamma", "delta"):
        found = [r.node.id for r in shared.query(text_query={"text": word}, labels=["Book"])]
        assert (id in found) == (word in (text or "").split())
    shared.delete_node(id)
