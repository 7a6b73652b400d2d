"""Promise: no route does anything for whom it is not for.

The routes are those of the document that the server works by: a new one is asked here without
anybody thinking of it. Each is asked without a token, with a wrong one, with one that reads, with
one that writes, and with one for another namespace.
"""

import json
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

import embedded_db
from embedded_db import EmbeddedDB
from embedded_db.server import Server
from embedded_db.testing import FakeModel
from embedded_db.tokens import AXES

from .conftest import ANNS, JSON, READ, TOKENS, WRITE, Asking

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = json.loads((ROOT / "crates/server/src/openapi.json").read_text(encoding="utf-8"))
ROUTES = [
    pytest.param(method.upper(), path, operation, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
OPEN = {"/health", "/livez", "/readyz", "/metrics", "/openapi.json"}
# The page, which holds no data: for everybody, from any machine.
PAGE = {"/", "/explorer/{file}"}
# What tells of the token itself, and so needs no namespace.
OF_THE_TOKEN = {"/v1/access"}


def called(path: str, operation: dict, **query: str) -> str:
    path = path.replace("{id}", "nobody").replace("{name}", "nowhere").replace("{file}", "app.js")
    for parameter in operation.get("parameters", []):
        if parameter.get("in") == "query" and parameter.get("required"):
            query[parameter["name"]] = "x"
    return f"{path}?{urlencode(query)}"


def test_the_document_is_the_one_that_is_served(guarded: Asking) -> None:
    served = guarded("GET", "/openapi.json").json
    assert served == DOCUMENT
    assert served["info"]["version"] == embedded_db.__version__


@pytest.mark.parametrize(("method", "path", "operation"), ROUTES)
def test_a_route_asks_for_its_token(
    guarded: Asking, method: str, path: str, operation: dict
) -> None:
    body = b"{}" if "requestBody" in operation else None
    headers = {} if method == "GET" else JSON

    def status(token: str | None, **query: str) -> int:
        return guarded(method, called(path, operation, **query), body, headers, token).status

    if path in OPEN:
        assert operation["security"] == []
        assert status(None) == 200
        return
    if path in PAGE:
        assert operation["security"] == [{}]
        assert status(None) in (200, 404)  # 404 where it was not built
        return
    [security] = operation["security"]
    scopes = security["token"]
    answer = guarded(method, called(path, operation), body, headers)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json["code"] == "Unauthorized"
    assert status(WRITE[:-1]) == 401
    assert status(READ) not in (401, 403) if "read" in scopes else status(READ) == 403
    assert status(WRITE) not in (401, 403)
    if path in OF_THE_TOKEN:
        assert status(ANNS) == 200
        return
    # For another namespace, and for the whole database.
    assert status(ANNS) == 403
    if "database" not in scopes:
        assert status(ANNS, namespace="bob") == 403
        assert status(ANNS, namespace="ann") not in (401, 403)


def test_what_is_done_without_a_token_is_not_done(guarded: Asking) -> None:
    node = {"id": "a", "labels": ["Thing"]}
    for token in (None, READ, ANNS, "x" * 32):
        assert guarded("POST", "/v1/nodes", node, token=token).status in (401, 403)
    assert guarded("GET", "/v1/nodes/a", token=READ).status == 404
    assert guarded("POST", "/v1/nodes", node, token=WRITE).status == 201
    assert guarded("GET", "/v1/nodes/a", token=READ).json["id"] == "a"


def test_a_token_of_one_namespace_sees_no_other(guarded: Asking) -> None:
    assert guarded("POST", "/v1/nodes", {"id": "a", "labels": ["T"]}, token=WRITE).status == 201
    mine = {"id": "b", "labels": ["T"]}
    assert guarded("POST", "/v1/nodes?namespace=ann", mine, token=ANNS).status == 201
    assert guarded("GET", "/v1/nodes/a?namespace=ann", token=ANNS).status == 404
    assert guarded("GET", "/v1/nodes/b?namespace=ann", token=ANNS).status == 200
    lookup = {"ids": ["a", "b"]}
    found = guarded("POST", "/v1/lookup?namespace=ann", lookup, token=ANNS).json["nodes"]
    assert [node and node["id"] for node in found] == [None, "b"]
    edge = {"source": "a", "target": "b", "type": "SEES"}
    assert guarded("POST", "/v1/edges?namespace=ann", edge, token=ANNS).status == 404
    # Twice the parameter is no way around it.
    assert guarded("GET", "/v1/nodes/a?namespace=ann&namespace=default", token=ANNS).status == 422


def test_reading_makes_no_namespace(guarded: Asking) -> None:
    for method, path, body in (
        ("GET", "/v1/nodes", None),
        ("POST", "/v1/query", {"labels": ["T"]}),
        ("DELETE", "/v1/nodes/a", None),
        ("PATCH", "/v1/nodes/a", {"set": {}}),
    ):
        answer = guarded(method, f"{path}?namespace=new", body, JSON, WRITE)
        assert (answer.status, answer.json["details"]["kind"]) == (404, "namespace")
    assert guarded("GET", "/v1/namespaces", token=READ).json["namespaces"] == ["default"]


def test_a_token_learns_what_it_may_do(guarded: Asking, ask: Asking, db: EmbeddedDB) -> None:
    def told(token: str) -> dict:
        return guarded("GET", "/v1/access", token=token).json

    assert told(READ) == {"scope": "read", "namespaces": None}
    assert told(WRITE) == {"scope": "write", "namespaces": None}
    assert told(ANNS) == {"scope": "write", "namespaces": ["ann"]}
    assert ask("GET", "/v1/access").json == {"scope": "write", "namespaces": None}
    with (
        EmbeddedDB(db.path, ml=None, read_only=True) as reading,
        Server(reading, port=0, tokens=TOKENS) as server,
    ):
        # Where nobody can write, nobody may.
        told_there = Asking(*server.address)("GET", "/v1/access", token=WRITE)
        assert told_there.json["scope"] == "read"


def test_tokens_of_nodes_are_those_of_the_database(tmp_path: Path) -> None:
    with EmbeddedDB(tmp_path / "tokens.db", ml=FakeModel()) as db, Server(db, port=0) as server:
        ask = Asking(*server.address)
        assert ask("GET", "/v1/tokens").json == {"axes": list(AXES), "total": 0, "tokens": []}
        chat = db.create_chat()
        chat.add_messages([{"id": f"m{n}", "content": f"{n} met {n + 1}"} for n in range(40)])
        db.flush(timeout=60)
        for organised in (False, True):
            flag = str(organised).lower()
            given = ask("GET", f"/v1/tokens?organised={flag}").json["tokens"]
            known = db.tokens(organised=organised)
            assert (
                [token["id"] for token in given]
                == db.token_ids(known)
                == [f"m{n}" for n in range(40)]
            )
            assert all(token["labels"] == ["Message"] for token in given)
            assert np.allclose([token["coordinates"] for token in given], known.coordinates)
        few = ask("GET", "/v1/tokens?limit=4").json
        assert (few["total"], [token["id"] for token in few["tokens"]]) == (
            40,
            ["m0", "m10", "m20", "m30"],
        )
        assert ask("GET", "/v1/tokens?limit=10001").status == 422
        # Vectors that somebody gives are none of the model's, and lie on no axes.
        db.create_node({"label": "Thing", "embedding": [1.0], "embedding_space": "own"})
        assert ask("GET", "/v1/tokens").json["total"] == 40
        assert ask("GET", "/v1/tokens?namespace=nowhere").status == 404
