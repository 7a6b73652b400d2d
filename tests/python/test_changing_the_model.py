"""Another model makes a new space beside the old one, which serves until that has everything.

Then it takes the place in one step. Nothing is wiped, nothing is silently missing, a kill costs
nothing, and what users set stays where they set it.
"""

from contextlib import suppress

import numpy as np
import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed, InvalidInput, ModelUnavailable
from embedded_db.testing import FakeModel

WEAVER = {"max_attempts": 3, "first_delay": 0.01, "max_delay": 0.02, "batch_size": 8}


def opened(path, model, **options):
    return EmbeddedDB(path, ml=model, weaver=WEAVER, **options)


def written(path, model, count=40):
    """A database with so many messages, embedded."""
    with opened(path, model) as db:
        db.create_chat(id="chat").add_messages(
            [{"id": f"m{n}", "content": f"text {n} of Rust", "sender": "Ann"} for n in range(count)]
        )
        db.flush(timeout=60)


def states(db):
    return {space["name"]: (space["state"], space["default"]) for space in db.spaces()}


def assert_embedded(db, model, space=None):
    """Every text has exactly the vector of its present words, of this model, in a space."""
    for message in db.nodes("Message"):
        [part] = db.get_embeddings_for_node(message.id, space)
        assert part.model == model.model
        text = f"{message['sender']}: {message['content']}" if "sender" in message else None
        assert np.allclose(part.vector, model.embed([text or message["content"]])[0]), message.id
        assert message.status.embedding == "ready"
    assert db.verify(deep=True)["problems"] == []


@pytest.fixture
def old():
    model = FakeModel(dim=32, model="old")
    yield model
    model.recover()


@pytest.fixture
def new():
    model = FakeModel(dim=16, model="new")
    yield model
    model.recover()


def found(db, text="text 7", **more):
    return db.query(semantic_query={"text": text, **more}, limit=50, labels=["Message"])


def switch(db):
    """Wait until the new space is in use."""
    with suppress(EnrichmentFailed):
        db.flush(timeout=60)
    db.weaver.retry_failed()
    db.flush(timeout=60)


def test_queries_are_answered_from_the_old_space_until_the_new_one_has_everything(path, old, new):
    written(path, old)
    new.fail("raise", containing="text 3")
    with opened(path, new, previous_ml=old) as db:
        assert states(db) == {"old": ("in use", True), "new": ("filling", False)}
        before = found(db)
        assert (before[0].node.id, len(before), before.pending) == ("m7", 40, 0)
        assert db.search("text 7 of Rust?", limit=1)[0].node.id == "m7"
        seventh = db.get_node("m7")
        assert len(seventh.similar(limit=50)) == 39
        assert seventh.embedding().model == "old"
        told = db.weaver_status()["reembedding"]
        assert (told["space"], told["from"], told["total"]) == ("new", "old", 40)
        late = db.create_message("chat", "text 40 of snails")
        assert db.wait_for(late, "embedding", timeout=60).embedding == "ready", "in the old one"
        assert found(db, "snails")[0].node.id == late.id
        with db.snapshot() as earlier:
            new.recover()
            switch(db)
            assert states(db) == {"old": ("kept", False), "new": ("in use", True)}
            assert found(earlier, "snails")[0].node.id == late.id
            assert earlier.get_embedding_for_node("m7").model == "old"
        assert db.weaver_status()["reembedding"] is None
        assert len(found(db)) == 41
        assert seventh.embedding().model == "new"
        assert len(found(db, space="old")) == 41, "by name it can still be asked"
        assert_embedded(db, new)


def test_without_the_old_model_a_text_cannot_be_asked_for_and_all_else_goes_on(path, old, new):
    written(path, old)
    new.hold()
    with opened(path, new) as db:
        with pytest.raises(ModelUnavailable, match=r"'?old.*previous_ml") as told:
            found(db)
        assert told.value.code == "ModelUnavailable"
        with pytest.raises(ModelUnavailable, match="previous_ml"):
            db.search("text 7 of Rust?")
        by_words = db.search("text 7 of Rust?", weights={"semantic": 0}, limit=1)
        assert by_words[0].node.id == "m7"
        vector = {"vector": old.embed(["Ann: text 7 of Rust"])[0]}
        assert db.query(semantic_query=vector, limit=1)[0].node.id == "m7"
        assert len(db.get_node("m7").similar(limit=50)) == 39
        late = db.create_message("chat", "text 40 of snails")
        results = db.query(semantic_query=vector, limit=50, labels=["Message"])
        assert (len(results), results.pending) == (40, 1), "the new one is not silently missing"
        assert late.status.embedding == "pending"
        new.release()
        db.flush(timeout=60)
        results = found(db, "snails")
        assert (results[0].node.id, results.pending) == (late.id, 0)
        with pytest.raises(ModelUnavailable):
            found(db, space="old")
        assert_embedded(db, new)


def test_a_model_of_equal_dimension_and_another_name(path, old):
    written(path, old)
    other = FakeModel(dim=32, model="other")
    with opened(path, other) as db:
        db.flush(timeout=60)
        assert states(db) == {"old": ("kept", False), "other": ("in use", True)}
        assert_embedded(db, other)


def test_a_model_of_equal_name_and_another_dimension(path, old):
    written(path, old)
    wider = FakeModel(dim=64, model="old")
    with opened(path, wider) as db:
        db.flush(timeout=60)
        assert states(db) == {"old": ("kept", False), "old-2": ("in use", True)}
        assert_embedded(db, wider)


def test_where_nothing_was_embedded_nothing_is_waited_for(path, old, new):
    with opened(path, old) as db:
        db.weaver.pause()
        db.create_message("chat", "text")
    with opened(path, new) as db:
        assert states(db) == {"old": ("kept", False), "new": ("in use", True)}
        db.flush(timeout=60)
        assert_embedded(db, new)


def test_the_way_back_leaves_the_space_half_made_and_the_next_change_goes_on_with_it(
    path, old, new
):
    written(path, old)
    new.fail("raise", containing="text 3")
    with opened(path, new) as db:
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        assert states(db)["new"] == ("filling", False)
        assert 0 < db.weaver_status()["reembedding"]["failed"] < 40
    assert new.embedded
    with opened(path, old) as db:
        assert states(db) == {"old": ("in use", True), "new": ("kept", False)}
        assert db.weaver_status()["reembedding"] is None
        db.flush(timeout=60)
        assert found(db)[0].node.id == "m7"
        db.get_node("m9").delete()
        db.update_node("m8", {"content": "quite another text"})
        db.flush(timeout=60)
        assert_embedded(db, old)
    new.recover()
    with opened(path, new) as db:
        db.flush(timeout=60)
        assert states(db) == {"old": ("kept", False), "new": ("in use", True)}
        assert set(new.embedded.values()) == {1}, "no text was embedded twice"
        assert_embedded(db, new)


def test_there_and_back_after_the_switch_only_what_is_missing_is_embedded(path, old, new):
    written(path, old)
    with opened(path, new) as db:
        db.create_message("chat", "said to the new one", id="late")
        db.flush(timeout=60)
    old.embedded.clear()
    with opened(path, old) as db:
        db.flush(timeout=60)
        assert states(db) == {"old": ("in use", True), "new": ("kept", False)}
        assert dict(old.embedded) == {"said to the new one": 1}
        assert_embedded(db, old)


def test_what_cannot_be_embedded_holds_the_switch_back_and_is_told(path, old, new):
    written(path, old)
    new.fail("raise", containing="text 3")
    with opened(path, new, previous_ml=old) as db:
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        letters = db.weaver.dead_letters()
        assert {letter["job"] for letter in letters} >= {"reembedding"}
        assert states(db)["old"] == ("in use", True)
        assert len(found(db)) == 40, "nothing is missing meanwhile"
        assert db.get_node("m3").status.embedding == "ready"
        assert db.verify(deep=True)["ok"]
        new.recover()
        db.weaver.retry_failed()
        db.flush(timeout=60)
        assert states(db)["new"] == ("in use", True)
        assert_embedded(db, new)


def test_a_new_text_that_cannot_be_embedded_holds_nothing_back(path, old, new):
    written(path, old)
    new.fail("raise", containing="poison")
    with opened(path, new) as db:
        bad = db.create_message("chat", "poison")
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        assert states(db)["new"] == ("in use", True)
        assert bad.status.embedding == "failed"
        new.recover()
        db.weaver.retry_failed()
        db.flush(timeout=60)
        assert_embedded(db, new)


def test_what_users_set_stays_where_they_set_it(path, old, new):
    written(path, old)
    mine, other = np.eye(2, 32, dtype=np.float32)
    with opened(path, old) as db:
        db.set_embeddings(["m1"], [mine])
        db.set_embeddings(["m2"], [[1.0, 2.0, 3.0]], space="rgb")
    new.hold()
    with opened(path, new, previous_ml=old) as db:
        db.set_embeddings(["m4"], [other])
        db.set_embeddings(["m5"], [np.ones(16)], space="new")
        new.release()
        db.flush(timeout=60)
        assert np.array_equal(db.get_embedding_for_node("m1", "old").vector, mine)
        assert np.array_equal(db.get_embedding_for_node("m4", "old").vector, other)
        assert db.get_embedding_for_node("m2", "rgb").vector.tolist() == [1, 2, 3]
        assert np.array_equal(db.get_embedding_for_node("m5").vector, np.ones(16))
        right = new.embed(["Ann: text 1 of Rust"])[0]
        assert np.allclose(db.get_embedding_for_node("m1").vector, right), (
            "its text, in the new one"
        )
        db.update_node("m5", {"content": "changed"})
        db.flush(timeout=60)
        assert np.array_equal(db.get_embedding_for_node("m5").vector, np.ones(16))
        db.delete_embedding(db.get_embedding_for_node("m5").id)
        db.flush(timeout=60)
        assert_embedded(db, new)


def test_a_default_space_of_the_users_own_stays_the_default_one(path, old, new):
    with EmbeddedDB(path, ml=None) as db:
        [picture] = db.create_nodes([{"label": "Picture"}])
        db.set_embeddings([picture], [[1.0, 0.0]])
    written(path, old, count=3)
    with opened(path, new) as db:
        db.flush(timeout=60)
        assert states(db) == {
            "default": ("in use", True),
            "old": ("kept", False),
            "new": ("in use", False),
        }
        assert found(db, "text 1")[0].node.id == "m1"
        assert_embedded(db, new, "new")


def test_namespaces_declared_texts_and_summaries_follow(path, old, new):
    with opened(path, old) as db:
        ann = db.namespace("ann")
        ann.declare_label("Note", embed=["text"])
        ann.create_nodes(
            [{"label": "Note", "id": f"n{n}", "properties": {"text": str(n)}} for n in range(9)]
        )
        ann.create_chat(id="hers").add_messages([{"content": f"line {n}"} for n in range(9)])
        db.flush(timeout=60)
    with opened(path, new) as db:
        ann = db.namespace("ann")
        db.create_message("chat", "a text of its own", id="late")
        db.flush(timeout=60)
        for n in range(9):
            assert ann.get_embedding_for_node(f"n{n}").model == "new"
        assert db.get_node("chat").summary() is not None
        assert ann.get_node("hers").status.summary == "ready"
        assert db.verify(deep=True)["ok"]


KILLED = """
    import sys, threading
    from embedded_db import EmbeddedDB
    from embedded_db.testing import FakeModel

    class Halting(FakeModel):
        def enrich(self, texts, *rest):
            if sum(self.embedded.values()) >= int(sys.argv[2]):
                print("halted", flush=True)
                threading.Event().wait()
            return super().enrich(texts, *rest)

    db = EmbeddedDB(
        sys.argv[1], ml=Halting(dim=16, model="new"), weaver={"batch_size": 8}, durability="relaxed"
    )
    db.flush()
    print("done", flush=True)
"""


def test_a_kill_in_the_middle_costs_nothing(path, old, new, spawn):
    written(path, old)
    for most in (8, 16):
        child = spawn(KILLED, path, most)
        assert child.stdout.readline() == "halted\n"
        child.kill()
        child.wait()
        with EmbeddedDB(path, ml=None) as db:
            told = db.weaver_status()["reembedding"]
            assert 0 < told["done"] < 40
            assert states(db) == {"old": ("in use", True), "new": ("filling", False)}
            assert db.verify(deep=True)["problems"] == []
    with opened(path, new) as db:
        db.flush(timeout=60)
        assert 0 < sum(new.embedded.values()) <= 24, "it went on"
        assert_embedded(db, new)


READER = """
    import sys
    from embedded_db import EmbeddedDB, ModelUnavailable
    from embedded_db.testing import FakeModel

    model = FakeModel(dim=int(sys.argv[3]), model=sys.argv[2])
    db = EmbeddedDB(sys.argv[1], ml=model, read_only=True)
    print("ready", flush=True)
    for _ in sys.stdin:
        try:
            hits = db.query(semantic_query={"text": "text 7"}, limit=50, labels=["Message"])
            print(hits[0].node.id, len(hits), db.get_embedding_for_node("m7").model, flush=True)
        except ModelUnavailable:
            print("no", db.get_embedding_for_node("m7").model, flush=True)
"""


def test_readers_in_other_processes_follow_the_switch(path, old, new, spawn):
    written(path, old)
    before, after = spawn(READER, path, "old", 32), spawn(READER, path, "new", 16)

    def asked(reader):
        reader.stdin.write("\n")
        reader.stdin.flush()
        return reader.stdout.readline().strip()

    assert [reader.stdout.readline() for reader in (before, after)] == ["ready\n"] * 2
    new.hold()
    with opened(path, new) as db:
        assert [asked(before), asked(after)] == ["m7 40 old", "no old"]
        new.release()
        db.flush(timeout=60)
        assert [asked(before), asked(after)] == ["no new", "m7 40 new"]
        db.drop_space("old")
        db.flush(timeout=60)
        assert asked(after) == "m7 40 new"


def test_upkeep_in_the_middle(path, old, new, tmp_path):
    written(path, old)
    new.fail("raise", containing="text 3")
    with opened(path, new, previous_ml=old) as db:
        with pytest.raises(EnrichmentFailed):
            db.flush(timeout=60)
        told = db.weaver_status()["reembedding"]
        db.compact()
        assert db.weaver_status()["reembedding"] == told
        assert len(found(db)) == 40
        db.backup(tmp_path / "backup")
        assert db.verify(deep=True)["problems"] == []
    new.recover()
    EmbeddedDB.restore(tmp_path / "backup", tmp_path / "restored.db")
    EmbeddedDB.repair(path, tmp_path / "repaired.db")
    for place in (tmp_path / "restored.db", tmp_path / "repaired.db"):
        with EmbeddedDB(place, ml=None) as db:
            assert db.weaver_status()["reembedding"]["total"] == 40
            assert db.verify(deep=True)["problems"] == []
        with opened(place, new) as db:
            db.weaver.retry_failed()
            db.flush(timeout=60)
            assert states(db) == {"old": ("kept", False), "new": ("in use", True)}
            assert_embedded(db, new)


def test_an_export_of_the_middle_and_of_both_spaces(path, old, new, tmp_path):
    written(path, old)
    new.hold()
    with opened(path, new) as db:
        db.export(tmp_path / "middle")
        new.release()
        db.flush(timeout=60)
        db.export(tmp_path / "after")
    for place, use in (("middle", "old"), ("after", "new")):
        with EmbeddedDB(tmp_path / f"{place}.db", ml=None) as db:
            db.import_(tmp_path / place)
            assert states(db)[use] == ("in use", True)
            assert db.get_embedding_for_node("m7").model == use
            assert db.verify(deep=True)["problems"] == []
        with opened(tmp_path / f"{place}.db", new) as db:
            db.flush(timeout=60)
            assert_embedded(db, new)
            assert states(db)["old"] == ("kept", False)


def test_the_model_of_before_needs_one_of_now(path, old):
    with pytest.raises(InvalidInput, match="previous_ml"):
        EmbeddedDB(path, ml=None, previous_ml=old)
    with pytest.raises(InvalidInput, match="previous_ml"):
        EmbeddedDB(path, ml=old, previous_ml="old")


def test_the_old_model_may_be_missing_too(path, old, new):
    written(path, old)

    class Gone(FakeModel):
        def embed(self, texts):
            raise ModelUnavailable("it is not installed", hint="Install it")

        def enrich(self, *given):
            raise ModelUnavailable("it is not installed", hint="Install it")

    new.hold()
    with opened(path, new, previous_ml=Gone(dim=32, model="old")) as db:
        late = db.create_message("chat", "Alice was late")
        with pytest.raises(ModelUnavailable, match="not installed"):
            found(db)
        new.release()
        db.flush(timeout=60)
        assert late.status.embedding == "ready"
        assert_embedded(db, new)
