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


def test_repair(run, path, filled, tmp_path):
    done = run("repair", path, "--to", "again.db", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["complete"], report["state"], report["saved"]["nodes"]) == (True, "newest", 21)
    assert held(tmp_path / "again.db") == filled
    refused = run("repair", path, "--to", "again.db")
    assert (refused.exit_code, "is not empty" in refused.stderr) == (13, True)
    with EmbeddedDB(path, ml=None):
        used = run("repair", path, "--to", "third.db", "--json")
    assert json.loads(used.stderr)["error"]["code"] == "DatabaseLocked"
    assert not (tmp_path / "third.db").exists()


def test_a_repair_that_loses_something_says_what(run, path, filled, tmp_path):
    data = path / "gen-0000000001" / "data.mdb"
    sound = data.read_bytes()
    for page in range(len(sound) // 4096 - 1, 2, -1):
        if b"Message 7" not in sound[page * 4096 : (page + 1) * 4096]:
            continue
        data.write_bytes(sound[: page * 4096] + bytes(4096) + sound[(page + 1) * 4096 :])
        done = run("repair", path, "--to", f"repaired-{page}.db")
        if done.exit_code == 1:
            break
    else:
        pytest.fail("no page was missed")
    assert "lost: node default/m7: " in done.stderr
    lost = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if "nodes" in line)
    saved, missed = map(int, lost["nodes"].split())
    assert (saved + missed, missed > 0) == (21, True)
    with EmbeddedDB(tmp_path / f"repaired-{page}.db", ml=None) as db:
        assert db.verify(deep=True)["ok"]
        assert db.stats()["nodes"] == saved
    for file in path.glob("gen-*/*"):
        file.write_bytes(b"")
    nothing = run("repair", path, "--to", "nothing.db", "--json")
    assert nothing.exit_code == CORRUPTION
    assert json.loads(nothing.stderr)["error"]["code"] == "Corruption"
    assert not (tmp_path / "nothing.db").exists()


def test_doctor(run, path, filled, tmp_path):
    found = run("doctor", path, "--json")
    facts = json.loads(found.stdout)
    levels = {finding["about"]: finding["level"] for finding in facts["findings"]}
    assert found.exit_code == ["ok", "warning", "error"].index(facts["level"])
    assert {levels[about] for about in ("database", "data", "sums", "lock", "readers")} == {"ok"}
    heads = run("doctor", path).stdout.splitlines()[0].split()
    assert heads == ["level", "about", "found", "what", "to", "do"]
    next(path.glob("gen-*/data.sums")).unlink()
    found = run("doctor", path)
    assert found.exit_code == 1
    assert "open the database once for writing, which makes it anew" in found.stdout
    (path / "CURRENT").write_bytes(b"garbage")
    found = run("doctor", path)
    assert found.exit_code == 2
    assert "restore a backup that is whole, or save what reads with" in found.stdout
    missing = run("doctor", tmp_path / "no.db", "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["level"]) == (2, "error")


PROGRAM = """
import os, signal
from embedded_db.cli import app, main, upkeep

class Bar(upkeep.ProgressBar):
    def update(self, *how_far):
        os.kill(os.getpid(), signal.SIGINT)

upkeep.ProgressBar = Bar
main()
"""


@pytest.mark.parametrize(
    "command", [("backup", "part", "--db"), ("repair", "--to", "part")], ids=lambda it: it[0]
)
def test_ctrl_c_while_rows_are_copied(path, filled, tmp_path, command):
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command, path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
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
