"""Promise: a client answers what the database itself answers, with the same methods."""

import inspect
import math
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded_db import (
    DELETE,
    AlreadyExists,
    Conflict,
    ConvergedQuery,
    DimensionMismatch,
    EmbeddedDB,
    InvalidInput,
    InvalidQuery,
    NonFiniteVector,
    NotFound,
)
from embedded_db.client import Client, PermissionRefused, ServerUnavailable
from embedded_db.server import Server

# What a client has no part in: files, other programs, users' classes, settings of the process.
NOT_SERVED = set(
    """
    add add_all add_document backup batch blackbox bridge_changes closed clustering
    communities compact config connected_components declare_label declared_labels degree
    delete_matching distances doctor drop_space export fields flush forget forget_strengths get
    import_ k_core label_propagation load_arrow
    logical_hash merge_entities near_tokens pagerank path read_blackbox read_only
    register remember repair restore run scrub set_activity_level snapshot split_entity strengthen
    strengths subgraph supersede_edge token token_ids tokens triangles update_matching verify
    wait_for weaver
    """.split()
)


def public(of: type) -> dict[str, Any]:
    return {name: it for name, it in inspect.getmembers(of) if not name.startswith("_")}


def test_what_is_not_of_the_database_is_of_the_client_alone() -> None:
    own = {"add_messages", "messages", "status"}
    assert set(public(Client)) - set(public(EmbeddedDB)) == own
    assert set(public(EmbeddedDB)) - set(public(Client)) == NOT_SERVED


def test_parameters_are_called_as_those_of_the_database() -> None:
    database = public(EmbeddedDB)
    for name, method in public(Client).items():
        if not callable(method) or name not in database:
            continue
        ours = list(inspect.signature(method).parameters)
        theirs = list(inspect.signature(database[name]).parameters)
        beside = {"version", "wait"}  # of update_node and changes
        assert [it for it in ours if it not in theirs and it not in beside] == [], name
        assert [it for it in theirs if it in ours] == [it for it in ours if it in theirs], name


moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(fold=0)
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=8)
    | moments
)
names = st.text("a$ü", min_size=1, max_size=3)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_values_go_there_and_back(db: EmbeddedDB, client: Client, value: Any) -> None:
    id = client.create_node({"label": "Thing", "properties": {"value": value}})
    stored = db.get_node(id)
    assert stored is not None
    read = client.get_node(id)
    assert read is not None
    assert repr(stored["value"]) == repr(value) == repr(read["value"])


def test_nodes_are_made_read_changed_and_deleted(db: EmbeddedDB, client: Client) -> None:
    ann = client.create_node({"label": "Person", "properties": {"name": "Ann", "age": 3}})
    read, stored = client.get_node(ann), db.get_node(ann)
    assert read is not None
    assert stored is not None
    assert (read.id, read.labels, read.version) == (ann, ["Person"], 1)
    assert (read.created_at, read.updated_at) == (stored.created_at, stored.updated_at)
    changed = client.update_node(ann, {"age": DELETE, "name": "Anna"}, version=1)
    assert (changed.properties, changed.version) == ({"name": "Anna"}, 2)
    with pytest.raises(Conflict) as conflict:
        client.update_node(ann, {"name": "Eve"}, version=1)
    assert (conflict.value.retryable, conflict.value.id) == (True, ann)
    with pytest.raises(AlreadyExists):
        client.create_node({"id": ann, "label": "Person"})
    assert client.exists(ann)
    client.delete_node(ann)
    assert client.get_node(ann) is None
    assert not client.exists(ann)
    for missing in (client.delete_node, lambda id: client.update_node(id, {})):
        with pytest.raises(NotFound) as error:
            missing(ann)
        assert error.value.id == ann


@pytest.mark.parametrize(
    "id", ["a/b", "..", ".", "a b", "100%", "%2e%2e", "ü?#&=", "\U0001f600", "batch"]
)
def test_any_id_is_a_path(db: EmbeddedDB, client: Client, id: str) -> None:
    assert client.create_node({"id": id, "label": "Thing"}) == id
    assert client.get_node(id) is not None
    client.update_node(id, {"x": 1})
    assert db.get_node(id)["x"] == 1  # type: ignore[index]
    client.delete_node(id)
    assert not db.exists(id)


def test_batches_are_all_or_none(client: Client) -> None:
    ids = client.create_nodes([{"label": "Thing"} for _ in range(2500)])
    assert client.count("Thing") == 2500
    assert [node.id for node in client.nodes("Thing")] == ids
    with pytest.raises(AlreadyExists) as error:
        client.create_nodes([{"label": "Thing"}, {"id": ids[0], "label": "Thing"}])
    assert error.value.item == 1
    assert client.count() == 2500
    assert [node and node.id for node in client.get_many([ids[1], "no", ids[0]])] == [
        ids[1],
        None,
        ids[0],
    ]


def test_edges_with_their_times(db: EmbeddedDB, client: Client) -> None:
    a, b = client.create_nodes([{"label": "Person"}, {"label": "Person"}])
    since = datetime(2024, 5, 1, 7, 30, tzinfo=UTC)
    edge = client.create_edge(
        {"source": a, "target": b, "type": "KNOWS", "weight": 0.5, "valid_from": since}
    )
    read, stored = client.get_edge(edge), db.get_edge(edge)
    assert read is not None
    assert stored is not None
    assert (read.source, read.target, read.type, read.weight) == (a, b, "KNOWS", 0.5)
    assert (read.valid_from, read.recorded_at) == (since, stored.recorded_at)
    assert client.get_edge(edge, valid_at=since - timedelta(days=1)) is None
    assert [node.id for node in client.neighbors(a, "KNOWS")] == [b]
    assert [node.id for node in client.neighbors(b, direction="in")] == [a]
    assert [it.id for it in client.edges(a)] == [edge]
    changed = client.update_edge(edge, {"valid_from": None, "weight": 2.0, "how": "well"})
    assert (changed.valid_from, changed.weight, changed.properties) == (None, 2.0, {"how": "well"})
    assert [it.weight for it in client.edge_history(edge)] == [0.5, 2.0]
    client.retract_edge(edge)
    assert client.get_edge(edge) is None
    assert client.count_edges() == 0
    client.delete_edge(edge)
    with pytest.raises(NotFound):
        client.edge_history(edge)
    with pytest.raises(NotFound):
        client.create_edge({"source": a, "target": "nobody", "type": "KNOWS"})


def test_embeddings(client: Client) -> None:
    red, blue = client.create_nodes([{"label": "Colour"}, {"label": "Colour"}])
    client.set_embeddings([red, blue], np.eye(3, dtype=np.float32)[:2], space="rgb")
    found = client.get_embedding_for_node(red, space="rgb")
    assert found is not None
    assert found.vector.tolist() == [1, 0, 0]
    again = client.get_embedding(found.id)
    assert again is not None
    assert (again.vector.tolist(), again.node_id, again.dim) == ([1, 0, 0], red, 3)
    like_red = {"vector": [0.9, 0.1, 0], "space": "rgb"}
    results = client.query(semantic_query=like_red, labels=["Colour"])
    assert [it.node.id for it in results] == [red, blue]
    with pytest.raises(DimensionMismatch) as error:
        client.set_embeddings([red], [[1.0, 0.0]], space="rgb")
    assert (error.value.expected, error.value.got, error.value.space) == (3, 2, "rgb")
    assert client.update_embedding(found.id, [0, 0, 1]).vector.tolist() == [0, 0, 1]
    client.delete_embedding(found.id)
    assert client.get_embedding_for_node(red, space="rgb") is None
    with pytest.raises(NotFound):
        client.get_embedding_for_node("nobody", space="rgb")
    with pytest.raises((InvalidInput, NonFiniteVector)):
        client.create_embedding({"node_id": red, "vector": [math.nan], "space": "rgb"})


def test_chats_and_messages(db: EmbeddedDB, client: Client) -> None:
    chat = client.create_chat(title="Trip", topic="Travel", language="de")
    assert (chat["title"], chat["language"]) == ("Trip", "de")
    first = client.create_message(chat.id, "Alice met Bob", sender="Ann", mood="good")
    parts = [{"type": "text", "text": "Where?"}]
    rest = [{"content": parts, "role": "assistant"}, {"content": "Paris", "metadata": {"a": [1]}}]
    client.add_messages(chat.id, rest, must_exist=True)
    stored = list(db.get_node(chat.id).messages())  # type: ignore[union-attr]
    assert [it.content for it in stored] == ["Alice met Bob", "Where?", "Paris"]
    assert [it.role for it in stored] == ["user", "assistant", "user"]
    assert stored[0]["mood"] == "good"
    assert stored[2].metadata == {"a": [1]}
    assert [it.id for it in client.messages(chat.id)] == [it.id for it in stored]
    newest = client.messages(chat.id, 1, newest_first=True)
    assert [it["content"] for it in newest] == ["Paris"]
    assert client.status(first.id)["embedding"] == "pending"
    client.create_message("made", "by itself")
    assert client.exists("made")
    with pytest.raises(NotFound):
        client.add_messages("not-made", [{"content": "x"}], must_exist=True)


QUERIES: list[dict[str, Any]] = [
    {"labels": ["Message"], "order_by": [("timestamp", "desc")], "limit": 3},
    {"text_query": {"text": "rust lake"}},
    {"text_query": {"query": 'rust AND "is fast" NOT java'}, "explain": True},
    {"structural_filters": [{"property": "sender", "operator": "In", "value": ["Ann", "Eve"]}]},
    {
        "structural_filters": [
            {
                "any": [
                    {"property": "number", "operator": "Between", "value": [3, 4.5]},
                    {"not": {"property": "sender", "operator": "Exists"}},
                ]
            },
            {
                "property": "timestamp",
                "operator": "GreaterThan",
                "value": datetime(2024, 1, 1, tzinfo=UTC),
            },
        ],
        "text_query": {"text": "rust", "k1": 1.2},
    },
    {"graph_filter": {"start": "chat", "edge_types": "CONTAINS", "max_hops": 1}, "limit": 4},
    {
        "graph_filter": {
            "start": ["chat"],
            "steps": [{"edge_types": ["CONTAINS"]}, {"edge_types": "NEXT", "direction": "out"}],
            "known_at": datetime(2100, 1, 1, tzinfo=UTC),
        },
        "text_query": {"text": "rust"},
        "rank": {"graph": 0.3, "neighbors": 0.0},
    },
]


def filled(db: EmbeddedDB) -> None:
    chat = db.create_chat(id="chat")
    for number in range(12):
        chat.add_message(
            f"{'Rust' if number % 2 else 'Java'} is fast, number {number}",
            sender=["Ann", "Bob"][number % 3 > 0],
            timestamp=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=number - 2),
            number=number,
        )


@pytest.mark.parametrize("query", QUERIES)
def test_queries_find_the_same(db: EmbeddedDB, client: Client, query: dict[str, Any]) -> None:
    filled(db)
    own, told = db.query(**query), client.query(**query)
    assert [it.node.id for it in told] == [it.node.id for it in own]
    assert len(told) > 0
    for mine, theirs in zip(own, told, strict=True):
        assert theirs.score == pytest.approx(mine.score, rel=1e-6)
        assert theirs.graph_distance == mine.graph_distance
        assert theirs.ranks == mine.ranks
    assert told.pending == own.pending
    assert (told.plan is None) == (own.plan is None)
    assert [it.node.id for it in client.execute_query(ConvergedQuery(**query))] == [
        it.node.id for it in own
    ]


def test_counts_are_the_same(db: EmbeddedDB, client: Client) -> None:
    filled(db)
    query = ConvergedQuery(labels=["Message"], limit=1)
    assert client.count_matching(query) == db.count_matching(query) == 12
    assert client.group_count(query, "sender") == db.group_count(query, "sender")
    assert client.get_entities_mentioned_in("chat") == []


def test_pages_follow_each_other(db: EmbeddedDB, client: Client) -> None:
    filled(db)
    query: dict[str, Any] = {"text_query": {"text": "fast"}, "limit": 5}
    first = client.query(**query)
    second = client.query(**query, after=first.cursor)
    third = client.query(**query, after=second.cursor)
    ids = [it.node.id for page in (first, second, third) for it in page]
    assert (len(ids), len(set(ids)), third.cursor) == (12, 12, None)
    with pytest.raises(InvalidQuery):
        client.query(text_query={"text": "other"}, after=first.cursor)


def test_questions_recall_and_walks(db: EmbeddedDB, client: Client) -> None:
    filled(db)
    asked: dict[str, Any] = {"chat": "chat", "weights": {"semantic": 0.0}, "explain": True}
    own, told = db.search("What did Ann say of Rust?", **asked), None
    told = client.search("What did Ann say of Rust?", **asked)
    assert [it.node.id for it in told] == [it.node.id for it in own]
    assert told.analysis == own.analysis
    seeds = [told[0].node.id]
    mine, theirs = db.recall(seeds, limit=5), client.recall(seeds, limit=5)
    assert [it.node.id for it in theirs] == [it.node.id for it in mine]
    assert theirs[0].activation == pytest.approx(mine[0].activation)
    ids = [message.id for message in client.messages("chat")]
    path = client.find_shortest_path(ids[0], ids[3], "NEXT")
    assert path is not None
    assert [node.id for node in path.nodes] == ids[:4]
    assert client.find_shortest_path(ids[3], ids[0], "NEXT", direction="out") is None
    visits = client.traverse(ids[0], "NEXT", max_depth=2)
    assert [(node.id, depth) for node, depth in visits] == list(zip(ids, range(3), strict=False))


def test_transactions_are_all_or_nothing(db: EmbeddedDB, client: Client) -> None:
    with client.transaction() as tx:
        ann = tx.create_node({"label": "Person", "properties": {"name": "Ann"}})
        bob = tx.create_node({"label": "Person"})
        edge = tx.create_edge({"source": ann, "target": bob, "type": "KNOWS"})
        tx.update_node(bob, {"name": "Bob"})
        assert db.count() == 0
    assert db.get_edge(edge) is not None
    with pytest.raises(NotFound) as error, client.transaction() as tx:  # noqa: PT012
        tx.delete_node(ann)
        tx.delete_node("nobody")
    assert error.value.item == 1
    with pytest.raises(Conflict), client.transaction() as tx:
        tx.update_node(bob, {"name": "Eve"}, version=7)
    with pytest.raises(RuntimeError), client.transaction() as tx:  # noqa: PT012
        tx.delete_node(ann)
        raise RuntimeError
    assert db.count() == 2


def test_changes_are_told_as_they_come(db: EmbeddedDB, client: Client) -> None:
    first = client.create_node({"label": "Thing"})
    known = list(client.changes())
    assert known == list(db.changes())
    assert known[-1].id == first
    told: list[str] = []
    reader = threading.Thread(
        target=lambda: told.extend(it.id for it in client.changes(known[-1].lsn, wait=2.0))
    )
    reader.start()
    time.sleep(0.3)
    second = db.create_node({"label": "Other"})
    reader.join(30)
    assert told == [second]
    assert [it.id for it in client.changes(labels=["Thing"])] == [first]


def test_namespaces_indexes_and_figures(db: EmbeddedDB, client: Client) -> None:
    ann = client.namespace("ann")
    id = ann.create_node({"label": "Person", "properties": {"email": "a@x"}})
    assert (ann.count(), client.count(), db.namespace("ann").count()) == (1, 0, 1)
    assert client.namespaces() == ["ann", "default"]
    assert ann.create_index("Person", "email", unique=True)["unique"]
    assert [it["property"] for it in ann.indexes()] == ["email"]
    with pytest.raises(AlreadyExists) as error:
        ann.create_node({"label": "Person", "properties": {"email": "a@x"}})
    assert error.value.id == id
    ann.drop_index("Person", "email")
    assert ann.indexes() == []
    assert ann.stats()["nodes"] == 1
    assert client.health()["level"] in ("ok", "warning")
    assert "edb_http_requests_total" in client.metrics()
    assert client.weaver_status()["activity_level"] == "off"
    assert client.spaces() == []
    client.drop_namespace("ann")
    with pytest.raises(NotFound):
        ann.count()


def test_what_is_refused_is_refused_as_in_process(client: Client) -> None:
    with pytest.raises(InvalidInput):
        client.create_node({"label": "Thing", "properties": {"x": object()}})
    with pytest.raises(InvalidInput):
        client.create_node({"label": "Thing", "unknown": 1})
    with pytest.raises(InvalidInput):
        client.create_node({"properties": {}})
    with pytest.raises(InvalidQuery):
        client.query()
    with pytest.raises(InvalidInput):
        Client("ftp://nowhere")


def test_a_server_that_is_not_there_is_told(db: EmbeddedDB) -> None:
    token = "x" * 32
    with Server(db, port=0, tokens=f"read {token}") as server:
        with Client(server.url) as nobody, pytest.raises(PermissionRefused) as error:
            nobody.count()
        assert error.value.status == 401
        with Client(server.url, token=token) as reader:
            assert reader.count() == 0
            server.stop()
            with pytest.raises(ServerUnavailable):
                reader.count()


def test_an_idle_connection_that_was_closed_is_opened_again(db: EmbeddedDB) -> None:
    with Server(db, port=0, header_timeout=0.2) as server, Client(server.url) as client:
        client.create_node({"id": "a", "label": "Thing"})
        time.sleep(0.6)
        client.create_node({"id": "b", "label": "Thing"})
        assert client.count() == 2
