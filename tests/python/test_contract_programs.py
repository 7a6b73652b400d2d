"""The programs that the contract prints run as printed, and its functions take what it says.

Only the database they run on is that of the tests: its model is the fake one.
"""

import inspect
from datetime import UTC, datetime

import pytest

from embedded_db import (
    Chat,
    Config,
    Conflict,
    ConvergedQuery,
    EdgeModel,
    EmbeddedDB,
    Field,
    Message,
    NodeModel,
    Selection,
    Snapshot,
)


class Person(NodeModel, label="Person"):
    name: str = Field(index=True, unique=True)
    bio: str = Field(default="", embed=True, text=True)


class Knows(EdgeModel, type="KNOWS"):
    since: int


def test_opening(tmp_path):
    path = tmp_path / "memory.db"
    with EmbeddedDB(path, config=Config(durability="durable", ml=None)) as db:
        db.create_chat(id="chat_1")
        ro = EmbeddedDB(path, read_only=True, ml=None, durability="durable")
        assert ro.exists("chat_1")
        ro.close()
    db.close()


def test_active_record(woven):
    db = woven
    chat = db.create_chat(title="Project Discussion", topic="Rust Database")
    m1 = chat.add_message(sender="Alice", content="We should use Rust for performance", role="user")
    m2 = db.create_message(chat_id=chat.id, content="Alice met Bob in Paris")
    assert [m.id for m in chat.messages()] == [m1.id, m2.id]
    assert [m.id for m in chat.messages(after=m1, limit=1)] == [m2.id]
    db.flush(timeout=60)
    assert m1.next == m2
    assert m1.chat == chat
    assert [entity.label for entity in m1.entities()] == ["Rust"]
    assert m1.embedding().vector.shape == (256,)
    assert [found.node.id for found in m1.similar(limit=5)] == [m2.id]
    m1.content = "…"
    m1.save()
    m1.refresh()
    assert m1.content == "…"
    m1.delete()
    assert [m.id for m in chat.messages()] == [m2.id]


def test_the_edges_that_are_kept(woven):
    chat = woven.create_chat()
    one = chat.add_message("Alice met Bob")
    chat.add_message("They went on to Paris")
    woven.flush(timeout=60)
    assert [edge.type for edge in woven.edges(chat)] == ["CONTAINS", "CONTAINS"]
    assert {edge.type for edge in woven.edges(one)} == {"NEXT", "MENTIONS"}
    alice = next(entity for entity in one.entities() if entity.label == "Alice")
    related = list(woven.edges(alice, type="RELATED_TO", direction="both"))
    assert [edge.weight for edge in related] == [1.0]
    summary = chat.summary()
    targets = [node.id for node in woven.neighbors(summary, type="SUMMARIZES")]
    assert chat.id in targets


def test_classes_of_a_user(db):
    ann = db.add(Person(name="Ann"))
    bob, knows = db.add_all([Person(name="Bob"), Knows(source=ann, target=ann, since=2020)])
    assert Person.where(Person.name == "Ann").on(db).first() == ann
    assert db.get(Knows, knows.id).since == 2020
    theirs = db.get(Person, bob.id)
    theirs.bio = "Reads"
    theirs.save()
    bob.bio = "Writes"
    with pytest.raises(Conflict):
        bob.save()
    bob.save(force=True)
    assert db.get(Person, bob.id).bio == "Writes"


def test_transactions_and_snapshots(db):
    with db.transaction() as tx:
        one = tx.create_node({"label": "City"})
        two = tx.create_node({"label": "City"})
        tx.create_edge({"source": one, "target": two, "type": "ROAD"})
    with db.snapshot() as s:
        db.delete_node(two)
        assert [node.id for node in s.neighbors(one, type="ROAD", direction="out")] == [two]
    assert db.run(lambda tx: tx.get_node(one).id) == one


def test_the_converged_query(woven):
    db = woven
    chat = db.create_chat()
    wanted = chat.add_message("rust database performance with Alice", sender="Bob")
    chat.add_message("Alice likes cake", sender="Bob")
    db.flush(timeout=60)
    entity = wanted.entities()[0]
    results = db.query(
        structural_filters=[{"property": "chat_id", "operator": "Equals", "value": chat.id}],
        graph_filter={
            "start": entity.id,
            "edge_types": ["MENTIONS"],
            "direction": "any",
            "min_hops": 1,
            "max_hops": 2,
        },
        semantic_query={"text": "database performance", "threshold": 0.4},
        text_query={"text": "rust performance"},
        labels=["Message"],
        limit=10,
    )
    rows = [
        (r.node.id, r.score, r.similarity_score, r.text_score, r.graph_distance, r.ranks)
        for r in results
    ]
    assert [row[0] for row in rows] == [wanted.id]
    assert rows[0][1] > 0
    assert rows[0][2] >= 0.4
    assert rows[0][3] > 0
    assert rows[0][4:] == (1, {"semantic": 1, "text": 1})

    query = ConvergedQuery(text_query={"text": "rust performance"}, labels=["Message"])
    assert ConvergedQuery.from_dict(query.to_dict()) == query
    assert [r.node.id for r in db.execute_query(query)] == [wanted.id]

    t = datetime(2020, 1, 1, tzinfo=UTC)
    fluent = (
        Message.where(Message.chat_id == chat.id, Message.timestamp >= t)
        .connected_to(entity, via="MENTIONS", max_hops=2)
        .similar_to("database performance", threshold=0.4)
        .matching("rust")
        .limit(10)
    )
    assert [message.id for message in fluent.on(db)] == [wanted.id]


def test_a_pattern_of_steps(woven):
    chat = woven.create_chat()
    one, two, three = chat.add_messages(
        [{"content": "Alice came"}, {"content": "It rained"}, {"content": "Alice left"}]
    )
    woven.flush(timeout=60)
    steps = [
        {"edge_types": ["NEXT"], "direction": "any", "min_hops": 0, "max_hops": 1},
        {"edge_types": ["MENTIONS"], "direction": "out"},
        {"edge_types": ["MENTIONS"], "direction": "in", "labels": ["Message"]},
    ]
    found = woven.query(graph_filter={"start": two, "steps": steps})
    assert {r.node.id for r in found} == {one.id, three.id}


# What the contract names, with the parameters it writes; `…` in it stands for more of them.
TAKES = {
    Chat.add_message: "content sender role tool_calls name metadata",
    Chat.add_messages: "messages",
    Chat.messages: "after limit",
    Chat.context: "query token_budget",
    Chat.to_openai: "",
    Message.append: "text",
    Message.similar: "limit",
    Message.save: "force",
    EmbeddedDB.create_chat: "title topic",
    EmbeddedDB.create_message: "chat_id content",
    EmbeddedDB.add_document: "text title source",
    EmbeddedDB.remember: "fact source about supersedes",
    EmbeddedDB.forget: "id source namespace",
    EmbeddedDB.add: "obj",
    EmbeddedDB.add_all: "objs",
    EmbeddedDB.create_node: "node",
    EmbeddedDB.get_node: "id",
    EmbeddedDB.update_node: "id updates",
    EmbeddedDB.delete_node: "id",
    EmbeddedDB.create_edge: "edge",
    EmbeddedDB.get_edge: "id valid_at known_at",
    EmbeddedDB.update_edge: "id updates",
    EmbeddedDB.delete_edge: "id",
    EmbeddedDB.create_embedding: "embedding",
    EmbeddedDB.get_embedding: "id",
    EmbeddedDB.update_embedding: "id",
    EmbeddedDB.delete_embedding: "id",
    EmbeddedDB.get_many: "ids",
    EmbeddedDB.exists: "id",
    EmbeddedDB.count: "label",
    EmbeddedDB.nodes: "label",
    EmbeddedDB.edges: "id type direction limit after",
    EmbeddedDB.neighbors: "id type direction limit after",
    EmbeddedDB.get_embedding_for_node: "id space",
    EmbeddedDB.get_embeddings_for_node: "id",
    EmbeddedDB.get_entities_mentioned_in: "id",
    EmbeddedDB.transaction: "",
    EmbeddedDB.snapshot: "",
    EmbeddedDB.run: "function",
    EmbeddedDB.create_nodes: "nodes",
    EmbeddedDB.create_edges: "edges",
    EmbeddedDB.set_embeddings: "ids vectors",
    EmbeddedDB.create_index: "label property unique",
    EmbeddedDB.indexes: "",
    EmbeddedDB.drop_index: "label property",
    EmbeddedDB.search: "text chat limit profile",
    EmbeddedDB.execute_query: "query after",
    EmbeddedDB.query: "structural_filters graph_filter semantic_query text_query labels order_by "
    "limit rank wait timeout explain exact after rerank token_budget",
    EmbeddedDB.find_shortest_path: "start_id end_id edge_types direction max_hops weighted",
    EmbeddedDB.subgraph: "ids hops",
    EmbeddedDB.pagerank: "personalization damping edge_types labels",
    EmbeddedDB.connected_components: "",
    EmbeddedDB.communities: "",
    EmbeddedDB.degree: "",
    EmbeddedDB.triangles: "",
    EmbeddedDB.traverse: "start edge_types direction depth_first max_visited",
    EmbeddedDB.group_count: "property",
    Selection.connected_to: "start via max_hops",
    Selection.similar_to: "query threshold",
    Selection.matching: "words",
    Selection.limit: "most",
    Selection.count: "",
    Selection.first: "",
    Selection.group_count: "property",
    Selection.update: "changes",
    Selection.delete: "",
    Snapshot.neighbors: "id type direction",
}


def test_what_is_named_takes_what_the_contract_writes():
    missing = []
    for function, names in TAKES.items():
        known = inspect.signature(function).parameters
        missing += [
            f"{function.__qualname__}({name})" for name in names.split() if name not in known
        ]
    assert missing == []
