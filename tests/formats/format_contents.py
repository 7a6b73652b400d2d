"""What the databases of stored formats hold, as the public interface tells it."""

from typing import Any

from embedded_db import EmbeddedDB


def told(db: EmbeddedDB) -> dict[str, Any]:
    """All that is looked at, in a form that JSON keeps. Nothing of it changes as time passes."""
    boat = db.get_node("boat4")
    assert boat is not None
    near = db.query(semantic_query={"vector": [1.0, 0.5, 2.0]}, limit=5)
    words = db.query(text_query={"text": "großes netz"}, limit=5)
    heavy = {"property": "tons", "operator": "GreaterThan", "value": 100.0}
    return {
        "logical_hash": db.logical_hash(),
        "counts": {label: db.count(label) for label in ("Message", "Chat", "Boat", "Entity")},
        "elsewhere": [node.content for node in db.namespace("other").nodes("Message")],
        "edges": db.count_edges(),
        "near": [[row.node.id, round(row.score, 5)] for row in near],
        "words": [row.node.id for row in words],
        "heavy": sorted(row.node.id for row in db.query(structural_filters=[heavy], limit=100)),
        "boat": repr(sorted(boat.properties.items())),
        "history": [repr(edge.properties) for edge in db.edge_history("e1")],
        "indexes": sorted(f"{index.label}.{index.property}" for index in db.indexes()),
        "vector": db.get_embedding_for_node("m7").vector.tolist(),
    }
