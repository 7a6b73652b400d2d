"""Every embedded node has a token: where its embedding lies on the eight axes.

Tokens are those of NumPy, computed from the embeddings and the model's vectors of the anchors. They
follow what is written, and what expires. The nearest are those of a comparison with all, and fields
are parted as often as their sizes allow: a field is its parts. The axes order sentences that one
reader has labelled.
"""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import (
    EmbeddedDB,
    InvalidInput,
    ModelUnavailable,
    NotFound,
    Token,
    TokenArray,
)
from embedded_db.aio import AsyncEmbeddedDB
from embedded_db.testing import FakeModel
from embedded_db.tokens import ANCHORS, AXES

LABELS = Path(__file__).resolve().parents[2] / "benches" / "quality" / "data" / "axes.json"
TEXTS = [
    f"{who} {did} {what}"
    for who in "Ann Bob".split()
    for did in "saw made".split()
    for what in "bread stones music plans friends songs dust".split()
]


LABELLED = ("Message", "Chat", "Entity", "Summary", "Topic")


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def reference(vectors):
    """Where vectors lie, by the definition of the axes."""
    model = FakeModel()
    means = np.array(
        [unit(np.array(model.embed(list(own)))).mean(axis=0) for own in ANCHORS.values()]
    )
    axes = unit(means - means.mean(axis=0))
    return unit(np.asarray(vectors)) @ axes.T


@pytest.fixture
def full(woven):
    chat = woven.create_chat()
    chat.add_messages([{"content": text, "id": f"m{at}"} for at, text in enumerate(TEXTS)])
    woven.flush()
    return woven


def test_a_token_is_the_embedding_on_the_axes(full):
    ids = [f"m{at}" for at in range(len(TEXTS))]
    vectors = [full.get_embedding_for_node(id).vector for id in ids]
    tokens = full.tokens()
    assert isinstance(tokens, TokenArray)
    assert full.token_ids(tokens) == ids
    np.testing.assert_allclose(tokens.coordinates, reference(vectors), atol=1e-5)
    assert full.token("m3") == tokens[3]
    assert full.token(next(iter(full.nodes("Chat")))) is None
    assert tokens.to_numpy().itemsize == 64
    assert set(tokens.to_numpy()["weight"]) == {1.0}


def test_tokens_follow_what_is_written_and_what_expires(full, clock):
    count = len(full.tokens())
    full.delete_node("m0")
    late = full.create_message("other", "Carol sings", ttl=1000)
    full.flush()
    message = full.get_node("m1")
    message.content = "Something else"
    before = full.token("m1")
    message.save()
    full.flush()
    assert full.token("m1") != before
    assert len(full.tokens()) == count
    assert full.token_ids(full.tokens())[-1] == late.id
    gone = full.tokens()[-1:]
    clock.move(2000)
    assert len(full.tokens()) == count - 1
    assert full.token_ids(gone) == [None]


def test_what_is_written_to_an_array_is_not_stored(full):
    tokens = full.tokens()
    tokens.coordinates[:] = 9.0
    assert full.tokens().coordinates.max() <= 1.0


def test_the_nearest_are_those_of_a_comparison_with_all(full):
    tokens = full.tokens()
    places = tokens.coordinates
    for at in (0, 5, 11):
        far = np.linalg.norm(places - places[at], axis=1)
        found = full.near_tokens(f"m{at}", limit=7)
        assert [near.distance for near in found] == pytest.approx(np.sort(far)[:7], abs=1e-5)
        assert found[0].distance == 0.0
    place = Token(0, social=1.0)
    assert [n.id for n in full.near_tokens(place, 3)] == [
        f"m{at}" for at in np.argsort(np.linalg.norm(places - place.coordinates, axis=1))[:3]
    ]
    assert all(full.token(near.id) == near.token for near in full.near_tokens(place, 3))


def moved(db, ids, places):
    """Where tokens come to lie that move along the edges of their nodes."""
    every = [node.id for label in LABELLED for node in db.nodes(label)]
    found = {edge.id: edge for id in every for edge in db.edges(id)}.values()
    carrying = [e for e in found if e.weight > 0 and e.source != e.target]
    ends = [end for e in carrying for end in (e.source, e.target)]
    degrees = {id: ends.count(id) for id in every}
    connected = sum(degree > 0 for degree in degrees.values())
    tied = {id: [] for id in every}
    for e in carrying:
        if e.type not in {"CONTAINS", "SUMMARIZES", "GROUPS"}:
            busier = max(degrees[e.source], degrees[e.target])
            carries = e.weight * np.log(1 + connected / busier)
            tied[e.source].append((e.target, carries))
            tied[e.target].append((e.source, carries))
    anchors = dict(zip(ids, places, strict=True))
    at = dict(anchors)

    def middle(id):
        others = [(at[other], carries) for other, carries in tied[id] if other in at]
        return sum(c * p for p, c in others) / sum(c for _, c in others) if others else None

    for _ in range(24):
        others = {id: middle(id) for id in every if id not in anchors}
        at.update({id: place for id, place in others.items() if place is not None})
        steps = {}
        for id in ids:
            to = middle(id)
            way = 0.2 * (anchors[id] - at[id])
            if to is not None:
                way += 0.6 * (to - at[id])
            far = np.linalg.norm(way)
            steps[id] = way * min(1.0, 0.05 / far) if far > 0 else way
        at.update({id: at[id] + step for id, step in steps.items()})
    return np.array([at[id] for id in ids])


def test_organised_tokens_have_moved_along_the_edges(full):
    full.create_edge({"source": "m2", "target": "m9", "type": "LIKE", "weight": 3.0})
    full.create_edge({"source": "m4", "target": "m4", "type": "LIKE"})
    full.create_message("other", "Alice met Bob in Paris")
    full.flush()
    plain, organised = full.tokens(), full.tokens(organised=True)
    ids = full.token_ids(plain)
    expected = moved(full, ids, plain.coordinates.astype(np.float64))
    np.testing.assert_allclose(organised.coordinates, expected, atol=1e-4)

    def far(tokens):
        return np.linalg.norm(tokens.coordinates[2] - tokens.coordinates[9])

    assert far(organised) < far(plain) / 2
    near = full.near_tokens("m2", 5, organised=True)
    assert near[0].id == "m2"
    assert near[0].token == organised[2]
    assert np.abs(organised.coordinates - plain.coordinates).max() < 24 * 0.05 + 1e-6
    assert full.tokens() == plain


def spread(tokens):
    return np.linalg.norm(tokens.coordinates - tokens.coordinates.mean(axis=0), axis=1).mean()


@pytest.mark.parametrize(("count", "least", "most"), [(200, 1.1, 1.5), (20, 1.0, 1.0)])
def test_a_crowd_is_pushed_apart(woven, count, least, most):
    # Nothing ties them: a crowd pushes, and the projections hold.
    centre = np.array(FakeModel().embed(["the same words"])[0])
    noise = np.random.default_rng(1).normal(0, 1e-4, (count, len(centre)))
    ids = woven.create_nodes([{"label": "Point"} for _ in range(count)])
    woven.set_embeddings(ids, np.float32(centre + noise))
    plain, organised = woven.tokens(), woven.tokens(organised=True)
    assert least <= spread(organised) / spread(plain) <= most


@given(least=st.integers(1, 30), levels=st.integers(1, 6))
def test_a_field_is_its_parts(least, levels):
    with EmbeddedDB(":memory:", ml=FakeModel()) as db:
        db.create_chat().add_messages([{"content": text} for text in TEXTS])
        db.flush()
        fields = db.fields(least, levels)
        assert fields == db.fields(least, levels)
        assert len(fields[0]) == len(TEXTS)
        assert [field.number for field in fields] == list(range(len(fields)))
        tokens = db.tokens(organised=True)
        places = dict(zip(db.token_ids(tokens), tokens.coordinates, strict=True))
        for field in fields:
            assert (field.parent is None) == (field.number == 0)
            assert len(field) >= least or field.number == 0
            assert field.level < levels
            own = np.array([places[id] for id in field.ids])
            centre = np.array(list(field.centre.values()))
            np.testing.assert_allclose(own.mean(axis=0), centre, atol=1e-5)
            far = np.linalg.norm(own - centre, axis=1)
            assert (np.diff(far) >= -1e-6).all()
            if field.parts:
                parts = [fields[part] for part in field.parts]
                assert all(part.parent == field.number for part in parts)
                assert all(part.level == field.level + 1 for part in parts)
                assert sorted(id for part in parts for id in part.ids) == sorted(field.ids)
            assert all(axis[0] in "+-" and axis[1:] in AXES for axis in field.axes)


def test_nothing_embedded_has_no_tokens_and_no_fields(db):
    db.create_chat().add_message("rust")
    assert (len(db.tokens()), db.fields()) == (0, [])


def test_bad_input_is_refused(full, path):
    with pytest.raises(NotFound, match="nobody"):
        full.token("nobody")
    with pytest.raises(NotFound, match="nowhere"):
        full.tokens("nowhere")
    with pytest.raises(NotFound, match="nobody"):
        full.near_tokens("nobody")
    with pytest.raises(InvalidInput, match="not embedded"):
        full.near_tokens(next(iter(full.nodes("Chat"))))
    for limit in (0, -1, 10_001, 1.5, True):
        with pytest.raises(InvalidInput, match="limit"):
            full.near_tokens("m0", limit)
    for wrong in (0, -1, "many"):
        with pytest.raises(InvalidInput, match="min_size"):
            full.fields(min_size=wrong)
    with pytest.raises(InvalidInput, match="organised"):
        full.tokens(organised=1)
    for wrong in (0, 65, None):
        with pytest.raises(InvalidInput, match="max_levels"):
            full.fields(max_levels=wrong)
    with pytest.raises(InvalidInput, match="tokens"):
        full.token_ids([1, 2])


def test_without_the_model_there_are_no_axes(full, path):
    full.close()
    with EmbeddedDB(path, ml=None) as db, pytest.raises(ModelUnavailable):
        db.tokens()
    with EmbeddedDB(path, ml=FakeModel(), read_only=True) as db:
        assert len(db.tokens()) == len(TEXTS)


def test_the_axes_order_sentences_as_a_reader_does():
    pytest.importorskip("embedded_db_minilm")
    rows = json.loads(LABELS.read_text("utf-8"))
    assert len(rows) == 40
    with EmbeddedDB(":memory:") as db:
        messages = db.create_chat().add_messages([{"content": text} for text, _ in rows])
        db.flush()
        at = np.array([db.token(message).coordinates for message in messages])
    for axis, name in enumerate(AXES):
        labels = np.array([levels.get(name, 0) for _, levels in rows])
        more = labels[:, None] > labels[None, :]
        greater = at[:, None, axis] > at[None, :, axis]
        assert (more & greater).sum() / more.sum() > 0.8, name


def test_the_asynchronous_twin_does_the_same(path):
    async def ask():
        async with AsyncEmbeddedDB(path, ml=FakeModel()) as db:
            message = await (await db.create_chat()).add_message("Alice met Bob")
            await db.flush()
            [token] = await db.tokens()
            assert await db.token(message) == token
            assert [near.id for near in await db.near_tokens(message)] == [message.id]
            assert [field.ids for field in await db.fields()] == [(message.id,)]

    asyncio.run(ask())
