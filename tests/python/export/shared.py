"""What the tests of export and import share."""

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from embedded_db import EmbeddedDB
from embedded_db.interchange import layout, values

T0 = datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
ODD = {
    "none": None,
    "yes": True,
    "least": -(2**63),
    "most": 2**63 - 1,
    "float": 0.1,
    "whole": 1.0,
    "zero": -0.0,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "nan": math.nan,
    "inf": [math.inf, -math.inf],
    "bytes": b"\x00\xff",
    "time": T0,
    "first": datetime.min.replace(tzinfo=UTC),
    "last": datetime.max.replace(tzinfo=UTC),
    "text": "a\nb\u2028c\x1b[31m 👩‍🚀 e\u0301 שלום",
    "$float": "nan",
    "nested": {"$time": "x", "a": [{"$map": {"$bytes": b""}}, [[]], {}]},
}


def content(db):
    """Everything a namespace holds that an import can set, in a comparable form."""
    nodes = [
        (node.id, node.labels, values.encoded({"$": node.properties})) for node in raw_nodes(db)
    ]
    edges = {
        edge.id: (
            *(edge.source, edge.target, edge.type, edge.weight, edge.sources),
            *(edge.valid_from, edge.valid_to),
            values.encoded({"$": edge.properties}),
        )
        for node in raw_nodes(db)
        for edge in db.edges(node.id)
    }
    order = [[edge.id for edge in db.edges(node.id, direction="in")] for node in raw_nodes(db)]
    embeddings = {
        each.id: (each.node_id, each.space, each.vector.tobytes())
        for node in raw_nodes(db)
        for space in db.spaces()
        for each in db.get_embeddings_for_node(node.id, space["name"])
    }
    return nodes, edges, order, embeddings


def raw_nodes(db):
    return [db._native.get_node(node.id) for node in db.nodes()]


def fill(db):
    db.create_nodes(
        [
            {"id": "a", "labels": ["Person", "Admin"], "properties": ODD},
            {"id": "b/ü 1", "label": "Person"},
            {"id": "entity_" + "0" * 32, "label": "Entity", "properties": {"label": "mine"}},
        ]
    )
    later = timezone(timedelta(hours=5, minutes=30))
    db.create_edge(
        {
            "id": "e1",
            "source": "a",
            "target": "b/ü 1",
            "type": "KNOWS",
            "weight": -2.5,
            "properties": ODD,
            "valid_from": datetime(1999, 1, 1, tzinfo=later),
            "valid_to": T0,
            "sources": ["s1", "anything"],
        }
    )
    db.create_edges(
        [
            {"id": "e2", "source": "a", "target": "a", "type": "LIKES"},
            {"id": "e3", "source": "b/ü 1", "target": "a", "type": "KNOWS"},
            {"id": "e4", "source": "a", "target": "b/ü 1", "type": "KNOWS"},
        ]
    )
    db.create_embedding({"id": "v1", "node_id": "a", "vector": [1.0, -0.0, 3e-39], "space": "mine"})
    db.set_embeddings(["a", "b/ü 1"], [[1, 2], [3, 4]], space="other")
    chat = db.create_chat("Trip", id="chat")
    chat.add_messages([{"id": f"m{n}", "content": f"text {n}", "sender": "Ann"} for n in range(3)])


TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | TEXT
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.just("$map"), inner),
    max_leaves=6,
)
NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=5)
PROPERTIES = st.dictionaries(NAMES | st.just("$time"), VALUES, max_size=3)


def same_files(one, two):
    """Two exports are the same, but for when they were made."""
    names = [{str(each.relative_to(place)) for each in place.rglob("*.*")} for place in (one, two)]
    assert names[0] == names[1]
    for name in names[0] - {"manifest.json"}:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    manifests = [json.loads((place / "manifest.json").read_text()) for place in (one, two)]
    for manifest in manifests:
        for name in ("exported_at", "lsn", "sha256"):
            manifest.pop(name)
    assert manifests[0] == manifests[1]


def woven_database(path, model):
    db = EmbeddedDB(path, ml=model)
    chat = db.create_chat("Trip", id="chat")
    chat.add_message("Alice met Bob in Paris", sender="Carol", id="m1")
    chat.add_message("Bob likes Paris", sender="Dave", id="m2")
    db.flush(timeout=60)
    return db


def sign_again(directory):
    """Make a manifest fit files that were changed on purpose."""
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["sha256"]
    for each in manifest["files"]:
        content = (directory / each["path"]).read_bytes()
        each["bytes"], each["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    file.write_bytes(layout.sealed(manifest))
