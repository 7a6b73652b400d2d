"""A fact whose place another took is found by `db.search` only when it is asked for.

It is as if it had never been told: nothing else is ranked otherwise for it, and k results are
found whenever k current ones qualify. `db.query` asks for what is stored, and finds it.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import EmbeddedDB, Fact, InvalidQuery, MLConfig

WORDS_ALONE = {"semantic": 0}


def ids(results):
    return [result.node.id for result in results]


@pytest.fixture
def told(db):
    """Where Ann lived, one place after another, and what is said of it."""
    db.create_message("chat", "Where does Ann live now?", sender="Bob", id="asked")
    for place, before in (("Oslo", None), ("Rome", "Oslo"), ("Bonn", "Rome")):
        db.remember(f"Ann lives in {place}", id=place, supersedes=before or (), source="call")
    return db


def asked(where, **options):
    return ids(where.search("where does Ann live", weights=WORDS_ALONE, **options))


PROFILES = ("auto", "conversation", "window", "plain")


@pytest.mark.parametrize("profile", PROFILES)
def test_only_the_current_one_is_found(told, profile):
    assert sorted(asked(told, profile=profile)) == ["Bonn", "asked"]
    assert asked(told, profile=profile, labels=["Fact"]) == ["Bonn"]
    everything = asked(told, profile=profile, superseded=True)
    assert sorted(everything) == ["Bonn", "Oslo", "Rome", "asked"]
    gone = [Fact.superseded_by.exists()]
    assert asked(told, profile=profile, structural_filters=gone) == []
    found = asked(told, profile=profile, structural_filters=gone, superseded=True)
    assert sorted(found) == ["Oslo", "Rome"]
    assert sorted(ids(told.query(text_query={"text": "Ann lives"}, labels=["Fact"]))) == [
        "Bonn",
        "Oslo",
        "Rome",
    ]


def test_what_gets_its_place_back_is_found_again(told):
    with told.snapshot() as before, told.transaction() as tx:
        told.forget("Bonn")
        assert sorted(asked(told)) == ["Rome", "asked"]
        for where in (before, tx):
            assert sorted(asked(where)) == ["Bonn", "asked"]
            assert len(asked(where, superseded=True)) == 4
    told.forget("Oslo")
    told.remember("Ann lives in Paris", id="Paris", supersedes="Rome")
    assert sorted(asked(told)) == ["Paris", "asked"]
    told.forget(source="call")
    assert sorted(asked(told)) == ["Paris", "asked"]
    assert sorted(asked(told, superseded=True)) == ["Paris", "asked"]


def test_a_property_of_this_name_makes_nobody_a_fact(told):
    told.create_message("chat", "Ann lives on a boat", id="said", superseded_by="x")
    told.create_node({"label": "Fact", "id": "own", "properties": {"superseded_by": "x"}})
    assert "said" in asked(told)
    told.declare_label("Fact", text=["about"])
    told.update_node("own", {"about": "Ann lives"})
    told.flush(timeout=60)
    assert "own" in asked(told), "a user's own nodes may be called so"


def test_it_is_an_argument_like_others(told):
    for wrong in (None, 1, "yes"):
        with pytest.raises(InvalidQuery, match="superseded"):
            told.search("Ann", superseded=wrong)


def test_contexts_leave_it_out(db):
    """A user may tie facts to a chat: those that are true no longer are no part of it."""
    chat = db.create_chat(id="chat")
    chat.add_message("Where does Ann live?", sender="Bob")
    for place, before in (("Oslo", ()), ("Rome", "Oslo")):
        db.remember(f"Ann lives in {place}", id=place, supersedes=before, chat_id="chat")
    chat.add_messages([{"content": f"talk {n}"} for n in range(20)])

    def said(budget):
        count = len if budget is None else lambda text: len(text.split())
        found = chat.context("Ann lives in Oslo", budget or 10_000, count_tokens=count)
        return [message["content"] for message in found]

    assert said(None)[:2] == ["Where does Ann live?", "Ann lives in Rome"]
    assert "Ann lives in Oslo" not in said(None)
    assert "Ann lives in Rome" in said(20)
    assert "Ann lives in Oslo" not in said(20)
    assert len(list(chat.messages())) == 23, "it is there all the same"


# ---------------------------------------------------------------------- as if it were not there

WORDS = "lake boat storm harbour captain".split()
text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
sender = st.sampled_from(["Ann", "Bob", "Zoe", None])
message = st.tuples(st.just("message"), st.sampled_from(["one", "two"]), text, sender)
fact = st.tuples(st.just("fact"), st.booleans(), text, sender)
question = st.tuples(text, st.sampled_from(["", "What did Zoe say of it? "])).map("".join)


def written(db, things, superseded):
    """Store them; what is superseded only if that is wanted."""
    for n, (kind, where, text, sender) in enumerate(things):
        if kind == "message":
            db.create_message(where, text, sender=sender, id=f"m{n}")
            continue
        if where and superseded:
            db.remember(text, id=f"old{n}", sender=sender or "nobody")
        more = {} if sender is None else {"sender": sender}
        old = f"old{n}" if where and superseded else ()
        db.remember(f"harbour {n}", id=f"f{n}", supersedes=old, **more)
    db.flush(timeout=60)


def told_of(results):
    found = [
        (r.node.id, r.score, r.shares, r.text_score, r.similarity_score, r.ranks) for r in results
    ]
    return found, results.analysis, results.pending


@settings(max_examples=30)
@given(st.lists(message | fact, min_size=1, max_size=14), question, st.sampled_from([1, 3, 50]))
def test_nothing_is_ranked_otherwise_for_it(things, question, limit):
    ml = MLConfig(embedding="hashing", entities=None, summary=None)
    with EmbeddedDB(":memory:", ml=ml) as db, EmbeddedDB(":memory:", ml=ml) as other:
        written(db, things, superseded=True)
        written(other, things, superseded=False)
        for profile in PROFILES:
            for more in ({}, {"labels": ["Fact"]}, {"labels": ["Message"]}):
                options = {"profile": profile, "limit": limit, **more}
                found, expected = (
                    db.search(question, **options),
                    other.search(question, **options),
                )
                assert told_of(found) == told_of(expected), options
        everything = db.search(question, limit=100, superseded=True, profile="plain")
        assert {f"old{n}" for n, thing in enumerate(things) if thing[:2] == ("fact", True)} <= set(
            ids(everything)
        )
