"""Damage and nonsense are seen before anything is stored."""

import json
import os
import random

import pytest

from embedded_db import Conflict, Corruption, FormatTooNew, InvalidInput, NotFound
from embedded_db.interchange import layout

from .shared import fill, sign_again


@pytest.mark.parametrize(
    "name", ["nodes.jsonl", "edges.jsonl", "embeddings-0.jsonl", "embeddings-0.npy"]
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "longer"])
def test_a_damaged_file_is_seen_before_anything_is_stored(exported, other, name, damage):
    file = exported / "0000" / name
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        data[len(data) // 2] ^= 1
        if damage == "cut":
            data = data[:-1]
        file.write_bytes(data + b"\n" if damage == "longer" else data)
    with pytest.raises(Corruption, match=name) as caught:
        other.import_(exported)
    assert caught.value.path == str(file)
    assert other.count() == 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda m: m.update(version=3), FormatTooNew, "version 3"),
        (lambda m: m.update(version=1), Corruption, "version"),
        (lambda m: m.update(version="2"), Corruption, "version"),
        (lambda m: m.update(version=True), Corruption, "version"),
        (lambda m: m.update(format="x"), InvalidInput, "no manifest"),
        (lambda m: m.pop("files"), Corruption, "form of a manifest"),
        (lambda m: m.update(namespaces=[1]), Corruption, "form of a manifest"),
        (lambda m: m["files"].pop(), Corruption, "names no files"),
        (lambda m: m["namespaces"][0].update(embeddings=[7]), Corruption, "form of a manifest"),
        (lambda m: m["files"][0].update(path="../../x"), Corruption, "names"),
        (lambda m: m["files"].append({"path": "../x", "bytes": 1}), Corruption, "'../x'"),
        (lambda m: m["files"].append({"path": "/etc/x", "bytes": 1}), Corruption, "/etc/x"),
    ],
)
def test_a_manifest_of_another_kind(exported, other, change, error, words):
    file = exported / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["sha256"]
    change(manifest)
    file.write_bytes(layout.sealed(manifest))
    with pytest.raises(error, match=words):
        other.import_(exported)
    assert other.count() == 0


def test_a_changed_manifest_is_seen(exported, other):
    file = exported / "manifest.json"
    data = file.read_bytes()
    rng = random.Random(7)
    changed = [data[:-1], data + b"\n", data + b" ", data.replace(b"default", b"defauIt", 1)]
    changed += [data.replace(b'"nodes": 7', b'"nodes": 8'), data.replace(b",\n", b", \n", 1)]
    changed += [data.replace(b'"version": 2', b'"version": 3')]
    # One without the checksum, too.
    changed += [json.dumps(json.loads(data)).encode()]
    for at in [*range(40), *range(len(data) - 110, len(data)), *rng.sample(range(len(data)), 200)]:
        bad = bytearray(data)
        bad[at] ^= 1 << rng.randrange(8)
        changed.append(bytes(bad))
    changed += [data[: rng.randrange(2, len(data))] for _ in range(50)]
    for bad in changed:
        assert bad != data
        file.write_bytes(bad)
        with pytest.raises(Corruption, match=r"manifest\.json"):
            other.import_(exported)
    assert other.count() == 0
    file.write_bytes(data)
    assert other.import_(exported).nodes == 7


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("nodes.jsonl", "{", "line 8: it is not JSON"),
        ("nodes.jsonl", "[]", "line 8: it is \\[\\], not an object"),
        ("nodes.jsonl", '{"id": "z"}', "line 8: it has not the form"),
        ("edges.jsonl", '{"id": "z", "derived": false}', "line 10: it has not the form"),
    ],
)
def test_records_of_another_form(exported, other, name, line, words):
    with (exported / "0000" / name).open("a") as file:
        file.write(line + "\n")
    sign_again(exported)
    with pytest.raises(Corruption, match=words):
        other.import_(exported)


BAD_HISTORY = {
    "a gap": ("history.jsonl", "retracted_at", "2001-01-01T00:00:00Z", "follow each other"),
    "of nobody": ("history.jsonl", "id", "nobody", "whose turn it is not"),
    "no id": ("history.jsonl", "id", None, "follow|turn"),
    "no version": ("edges.jsonl", "version", 0, "version"),
    "half a version": ("edges.jsonl", "version", 1.5, "version"),
    "weightless": ("edges.jsonl", "weight", None, "weight"),
    "from nowhere": ("edges.jsonl", "source", "nowhere", "nowhere"),
    "in the future": ("nodes.jsonl", "updated_at", "2999-01-01T00:00:00Z", "set the clock"),
    "backwards": ("nodes.jsonl", "updated_at", "1999-01-01T00:00:00Z", "updated_at"),
    "due what?": ("nodes.jsonl", "due", ["dinner"], "artefact"),
    "due when?": ("nodes.jsonl", "due", 7, "due"),
    "twice": ("nodes.jsonl", "id", "b/ü 1", "twice"),
    "derived?": ("nodes.jsonl", "derived", "yes", "derived"),
    "no label": ("nodes.jsonl", "labels", [], "label"),
    "part": ("embeddings-0.jsonl", "part", 70_000, "part"),
    "of no node": ("embeddings-0.jsonl", "node_id", "nobody", "nobody"),
}


@pytest.mark.parametrize("case", BAD_HISTORY.values(), ids=BAD_HISTORY)
def test_records_that_cannot_have_been(db, other, tmp_path, case):
    name, field, value, words = case
    fill(db)
    db.update_edge("e1", {"weight": 2.0})
    db.export(tmp_path / "out")
    file = tmp_path / "out" / "0000" / name
    first, rest = file.read_text().split("\n", 1)
    file.write_text(json.dumps({**json.loads(first), field: value}) + "\n" + rest)
    sign_again(tmp_path / "out")
    with pytest.raises((Corruption, InvalidInput, NotFound, Conflict), match=words):
        other.import_(tmp_path / "out")
    assert other.verify()["problems"] == []


def test_nothing_is_waited_for_in_an_export(exported, other):
    """A pipe gives nothing until somebody writes to it."""
    for file in ("0000/edges.jsonl", "manifest.json"):
        (exported / file).unlink()
        os.mkfifo(exported / file)
        with pytest.raises((Corruption, InvalidInput), match="no plain file"):
            other.import_(exported)
    assert other.count() == 0
