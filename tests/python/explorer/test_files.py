"""Promise: the page is small, asks nobody but its server, and may do nothing that it need not."""

import gzip
import http.client
import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from embedded_db.server import Server, explorer_files

from .conftest import ROOT, TOKENS, built

BUDGET = 500_000
NAMES = ["app.css", "app.js", "icon.svg", "index.html", "layout.js", "licences.md"]


def got(server: Server, path: str, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    headers = {} if host is None else {"Host": host}
    with closing(http.client.HTTPConnection(*server.address, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read(),
        )


@built
def test_the_files_are_small() -> None:
    files = explorer_files()
    assert sorted(files) == NAMES
    assert sum(len(gzip.compress(data)) for data in files.values()) < BUDGET


@built
def test_the_files_name_no_other_host() -> None:
    known = ("http://www.w3.org/",)  # names of namespaces of XML, which nobody asks for
    files = explorer_files()
    del files["licences.md"]
    for name, data in files.items():
        named = re.findall(r"\b(?:https?|wss?)://[\w.]+[^\s\"'`]*", data.decode())
        assert [it for it in named if not it.startswith(known)] == [], name
        assert "sourceMappingURL" not in data.decode()


@built
def test_the_page_may_do_little(db, server: Server) -> None:
    types = {
        "app.css": "text/css",
        "app.js": "text/javascript",
        "layout.js": "text/javascript",
        "icon.svg": "image/svg+xml",
        "licences.md": "text/plain",
    }
    for path, kind in {
        "/": "text/html",
        **{f"/explorer/{name}": kind for name, kind in types.items()},
    }.items():
        status, headers, data = got(server, path)
        assert status == 200
        assert headers["content-type"].split(";")[0] == kind
        policy = dict(
            part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
        )
        assert (
            policy["default-src"]
            == policy["base-uri"]
            == policy["frame-ancestors"]
            == policy["form-action"]
            == "'none'"
        )
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        if path == "/":
            assert b"<style" not in data
            assert re.findall(rb"<script(?![^>]* src=)", data) == []
            assert re.search(rb"\son\w+=", data) is None
    assert "script-src" not in got(server, "/v1/stats")[1]["content-security-policy"]


@built
def test_a_name_is_no_path(db, server: Server) -> None:
    for name in (
        "..%2f..%2fserver.py",
        "%2e%2e%2fserver.py",
        "..\\server.py",
        "%2Fetc%2Fpasswd",
        "app.js%00.css",
        ".npmrc",
        "x.js",
    ):
        status, _, data = got(server, f"/explorer/{name}")
        assert (status, json.loads(data)["code"]) in [(404, "NoSuchPath"), (422, "InvalidInput")]
    assert got(server, "/explorer/")[0] == got(server, "/explorer/../explorer/app.js")[0] == 404


@built
def test_the_page_is_for_everybody_and_the_data_is_not(db) -> None:
    with Server(db, port=0, tokens=TOKENS) as guarded:
        assert got(guarded, "/")[0] == got(guarded, "/explorer/app.js")[0] == 200
        assert (
            got(guarded, "/v1/stats")[0]
            == got(guarded, "/v1/access")[0]
            == got(guarded, "/v1/tokens")[0]
            == 401
        )
        assert got(guarded, "/", host="evil.example")[0] == 421


def test_without_its_files_the_server_says_what_to_do(db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded_db.server.explorer_files", dict)
    with Server(db, port=0) as bare:
        status, _, data = got(bare, "/")
        assert (status, json.loads(data)["code"]) == (404, "NoSuchPath")
        assert "make explorer" in json.loads(data)["hint"]
        assert got(bare, "/v1/stats")[0] == 200


def test_what_is_installed_comes_from_the_public_registry() -> None:
    lock = json.loads((ROOT / "explorer" / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in lock["packages"].items():
        assert package.get("resolved", "https://registry.npmjs.org/").startswith(
            "https://registry.npmjs.org/"
        ), name
        assert not name or "integrity" in package, name
    pinned = json.loads(Path(ROOT / "explorer" / "package.json").read_text(encoding="utf-8"))
    versions = {**pinned["dependencies"], **pinned["devDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values())
