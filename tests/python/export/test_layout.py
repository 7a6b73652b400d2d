"""The files of an export are as documented, and say who made what."""

import hashlib
import json
from datetime import datetime

import numpy as np

from .shared import fill, woven_database


def test_the_layout_is_as_documented(db, tmp_path):
    fill(db)
    db.export(tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["format"], manifest["version"]) == ("embedded-db-export", 2)
    paths = {each["path"]: each for each in manifest["files"]}
    assert set(paths) == {
        "0000/nodes.jsonl",
        "0000/edges.jsonl",
        "0000/history.jsonl",
        *(f"0000/embeddings-{at}.{end}" for at in (0, 1) for end in ("jsonl", "npy")),
    }
    found = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.*")}
    assert found == {*paths, "manifest.json"}
    lines = (tmp_path / "out" / "0000/nodes.jsonl").read_text().split("\n")
    assert lines.pop() == ""
    assert paths["0000/nodes.jsonl"]["records"] == len(lines) == 7
    node = json.loads(lines[0])
    stored = db.get_node("a")
    assert (node["id"], node["labels"], node["version"]) == ("a", ["Person", "Admin"], 1)
    assert datetime.fromisoformat(node["created_at"]) == stored.created_at
    assert node["properties"]["bytes"] == {"$bytes": "AP8="}
    assert node["properties"]["nan"] == {"$float": "nan"}
    assert node["properties"]["time"] == {"$time": "2001-02-03T04:05:06.000789Z"}
    assert node["properties"]["most"] == 2**63 - 1
    [one] = (tmp_path / "out" / "0000/embeddings-0.jsonl").read_text().splitlines()
    assert json.loads(one)["made_by"] == "user"
    vectors = np.load(tmp_path / "out" / "0000/embeddings-1.npy")
    assert (vectors.dtype, vectors.tolist()) == (np.float32, [[1, 2], [3, 4]])


def test_marks_of_who_made_it(tmp_path, model):
    with woven_database(tmp_path / "one.db", model) as db:
        db.create_node({"id": "x", "label": "X"})
        db.set_embeddings(["x"], [[1, 2]], space="mine")
        db.export(tmp_path / "out")
    folder = tmp_path / "out" / "0000"
    nodes = [json.loads(line) for line in (folder / "nodes.jsonl").read_text().splitlines()]
    assert {node["labels"][0] for node in nodes if node["derived"]} == {"Entity", "Summary"}
    assert {node["labels"][0] for node in nodes if not node["derived"]} == {"Chat", "Message", "X"}
    edges = [json.loads(line) for line in (folder / "edges.jsonl").read_text().splitlines()]
    derived = {edge["type"] for edge in edges if edge["derived"]}
    assert derived == {"MENTIONS", "RELATED_TO", "SUMMARIZES"}
    makers = {
        json.loads(line)["made_by"]
        for file in folder.glob("embeddings-*.jsonl")
        for line in file.read_text().splitlines()
    }
    assert makers == {"user", "model"}


def test_the_checksum_of_a_manifest_is_as_documented(exported):
    head, seal, end = (exported / "manifest.json").read_bytes().rpartition(b'  "sha256": "')
    assert seal
    assert end == hashlib.sha256(head).hexdigest().encode() + b'"\n}\n'
