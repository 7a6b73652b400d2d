"""The commands that keep a database whole do what the library does, and say what they found."""

import json
import os
import subprocess
import sys

import pytest

from embedded_db import EmbeddedDB

pytest.importorskip("rich")
CliRunner = pytest.importorskip("typer.testing").CliRunner


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in this process, beside the databases of the test."""
    from embedded_db.cli.app import app

    monkeypatch.chdir(tmp_path)

    def call(*args):
        return CliRunner().invoke(app, [str(arg) for arg in args])

    return call


@pytest.fixture
def filled(path):
    with EmbeddedDB(path, ml=None, durability="memory") as db:
        chat = db.create_chat(id="trip")
        chat.add_messages([{"content": f"Message {n}", "id": f"m{n}"} for n in range(20)])
        return db.logical_hash()


def held(path):
    with EmbeddedDB(path, read_only=True, ml=None) as db:
        return db.logical_hash()


def rows(output):
    return dict(line.split(maxsplit=1) for line in output.splitlines() if line.strip())


def test_backup_and_restore(run, path, filled, tmp_path):
    done = run("backup", "monday", "--db", path, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["nodes"] == 21
    again = run("backup", "monday", "--db", path)
    assert (again.exit_code, again.stdout) == (13, "")
    assert "holds a backup" in again.stderr
    done = run("restore", "monday", "again.db")
    assert done.exit_code == 0, done.output
    assert rows(done.stdout)["nodes"] == "21"
    assert rows(done.stdout)["bytes"].endswith("kB")
    assert held(tmp_path / "again.db") == filled
    refused = run("restore", "monday", path)
    assert (refused.exit_code, "is not empty" in refused.stderr) == (13, True)
    (tmp_path / "monday" / "data.mdb").write_bytes(b"x")
    damaged = run("restore", "monday", "third.db", "--json")
    assert damaged.exit_code == 25
    assert json.loads(damaged.stderr)["error"]["code"] == "Corruption"
    assert not (tmp_path / "third.db").exists()


PROGRAM = """
import os, signal
from embedded_db.cli import app, main, upkeep

class Bar(upkeep.ProgressBar):
    def update(self, *how_far):
        os.kill(os.getpid(), signal.SIGINT)

upkeep.ProgressBar = Bar
main()
"""


def test_ctrl_c_while_rows_are_copied(path, filled, tmp_path):
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, "backup", "part", "--db", path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert (child.returncode, child.stdout) == (130, "")
    assert child.stderr == "interrupted; what was begun is removed\n"
    assert os.listdir(tmp_path) == ["memory.db"]
    assert held(path) == filled


CORRUPTION = 25


def test_a_deep_verification(run, path, filled):
    assert "pages" not in rows(run("verify", "--db", path).stdout)
    done = run("verify", "--db", path, "--deep", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["ok"], facts["nodes"]) == (True, 21)
    data = path / "gen-0000000001" / "data.mdb"
    sound = data.read_bytes()
    codes = set()
    for page in range(2, facts["pages"]):
        # Every page has its number; who reads nothing of the page does not see it.
        damaged = bytearray(sound)
        damaged[page * 4096] ^= 1
        data.write_bytes(damaged)
        found = run("verify", "--db", path, "--deep")
        codes.add(found.exit_code)
        if found.exit_code == 1:
            assert f"page {page} has the number of another" in found.stderr
            assert run("verify", "--db", path).exit_code in (0, CORRUPTION)
            break
    assert 1 in codes


def test_compact_and_scrub(run, path, filled):
    for n, command in enumerate(("compact", "scrub"), start=2):
        done = run(command, "--db", path, "--json")
        assert done.exit_code == 0, done.output
        facts = json.loads(done.stdout)
        assert facts["bytes_after"] <= facts["bytes_before"]
        assert held(path) == filled
        assert [name for name in os.listdir(path) if name.startswith("gen-")] == [
            f"gen-{2 * n - 2:010}"
        ]
        assert rows(run(command, "--db", path).stdout)["bytes_after"].endswith("kB")
        path_now = sorted(os.listdir(path))
        missing = run(command, "--db", path.parent / "no.db")
        assert (missing.exit_code, "is no database" in missing.stderr) == (13, True)
        assert not (path.parent / "no.db").exists()
        assert sorted(os.listdir(path)) == path_now
