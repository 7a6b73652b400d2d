"""What scripts rely on: exit codes, JSON, escapes, silence where nobody looks."""

import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import embedded_db
from embedded_db import DbError, EmbeddedDB, errors

pytest.importorskip("rich")
CliRunner = pytest.importorskip("typer.testing").CliRunner

ROOT = Path(__file__).resolve().parents[2]
NASTY = "\x1b[31mred\x07\nTORN\u202eline\x9b0m \u200e[bold]no[/bold] 👩‍🚀"


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('ml = "none"\n')
    return file


@pytest.fixture
def run(path, config):
    """Run a command in this process."""
    from embedded_db.cli.app import app

    def call(command, *args):
        where = ["--db", str(path), "--config", str(config)]
        return CliRunner().invoke(app, [command, *where, *map(str, args)])

    return call


@pytest.fixture
def child(path, config, tmp_path):
    """Run a command in a process of its own."""

    def call(command, *args, **options):
        where = ["--db", str(path), "--config", str(config)]
        return subprocess.run(
            [sys.executable, "-m", "embedded_db.cli", command, *where, *map(str, args)],
            **{"capture_output": True, "cwd": tmp_path, "timeout": 60, "check": False, **options},
        )

    return call


@pytest.fixture
def filled(path):
    with EmbeddedDB(path, ml=None) as db:
        chat = db.create_chat(NASTY, id="chat")
        chat.add_message(NASTY, sender=NASTY, id="m1", role="user")
        db.create_node(
            {
                "id": "odd",
                "label": "Odd",
                "properties": {
                    "nan": float("nan"),
                    "inf": [float("inf")],
                    "bytes": b"\x00",
                    "time": datetime(2026, 1, 1, tzinfo=UTC),
                    NASTY: {"x": NASTY},
                },
            }
        )
        db.create_edge({"id": "edge", "source": "m1", "target": "odd", "type": "ABOUT"})
        db.namespace("second").create_node({"id": "one", "label": "X"})
    return path


def test_every_error_has_an_exit_code_of_its_own():
    from embedded_db.cli import exit_codes

    assert set(exit_codes.ERRORS) == set(errors.__all__)
    codes = [*exit_codes.ERRORS.values(), 0, 1, 2, 130, 141]
    assert len(set(codes)) == len(codes)
    assert max(exit_codes.ERRORS.values()) < 126
    for name in errors.__all__:
        assert exit_codes.of(getattr(embedded_db, name)("x")) == exit_codes.ERRORS[name]

    class Later(errors.NotFound):
        pass

    assert exit_codes.of(Later("x")) == exit_codes.ERRORS["NotFound"]
    assert exit_codes.of(type("Other", (DbError,), {})("x")) == 3


def test_the_document_lists_them():
    from embedded_db.cli import exit_codes

    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    listed = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| `(\w+)`", text, re.M)}
    assert listed == exit_codes.ERRORS


COMMANDS = [
    ["stats"],
    ["health"],
    ["metrics"],
    ["namespaces"],
    ["verify"],
    ["show", "m1"],
    ["show", "chat"],
    ["show", "odd"],
    ["show", "edge"],
    ["query", "--label", "Message"],
    ["query", "torn", "--legs", "text"],
    ["search", "torn", "--legs", "text"],
    ["export", "out"],
    ["import", "talk.jsonl"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_speaks_json_and_prose(run, filled, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("talk.jsonl").write_text('{"content": "x"}\n')
    for args in ([*command, "--json"], command):
        result = run(*args)
        assert result.exit_code == 0, result.output
        if "--json" in args:
            json.loads(
                result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
            )
        # Nothing of what is stored reaches the terminal raw, and no row is torn.
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u202e]", result.output)
        assert "\nTORN" not in result.output
        if command[0] == "export":
            [each.unlink() for each in Path("out").rglob("*") if each.is_file()]
            [each.rmdir() for each in Path("out").iterdir()]


def test_what_is_escaped_can_be_read(run, filled):
    shown = run("show", "m1").stdout
    assert "\\x1b[31mred\\x07\\nTORN\\u202eline\\x9b0m \\u200e[bold]no[/bold] 👩‍🚀" in shown
    facts = json.loads(run("show", "m1", "--json").stdout)
    assert facts["properties"]["content"] == NASTY
    odd = json.loads(run("show", "odd", "--json").stdout)["properties"]
    assert (odd["nan"], odd["inf"], odd["bytes"]) == ("NaN", ["Infinity"], "AA==")
    assert odd[NASTY] == {"x": NASTY}


def test_an_edge_can_be_shown(run, filled):
    facts = json.loads(run("show", "edge", "--json").stdout)
    assert (facts["type"], facts["source"], facts["weight"]) == ("ABOUT", "m1", 1.0)
    assert "ABOUT" in run("show", "edge").stdout


def test_namespaces(run, filled):
    rows = json.loads(run("namespaces", "--json").stdout)
    assert [(row["name"], row["nodes"], row["messages"]) for row in rows] == [
        ("default", 3, 1),
        ("second", 1, 0),
    ]
    lines = run("namespaces").stdout.splitlines()
    assert lines[0].split() == ["name", "messages", "chats", "nodes", "edges", "embeddings"]
    assert lines[2].split() == ["second", "0", "0", "1", "0", "0"]


def test_export_and_back(run, filled, tmp_path, config):
    exported = run("export", tmp_path / "out", "--json")
    assert exported.exit_code == 0, exported.output
    assert json.loads(exported.stdout)["namespaces"] == ["default", "second"]
    again = run("import", tmp_path / "out", "--json")
    assert again.exit_code == 11
    error = json.loads(again.stderr)["error"]
    assert (error["code"], error["retryable"]) == ("AlreadyExists", False)
    assert "chat" in error["message"]
    skipped = json.loads(run("import", tmp_path / "out", "--on-conflict", "skip", "--json").stdout)
    assert (skipped["nodes"], skipped["skipped"]) == (0, 6)
    with EmbeddedDB(filled, read_only=True, ml=None) as db, EmbeddedDB(":memory:", ml=None) as copy:
        copy.import_(tmp_path / "out")
        assert copy.get_node("m1").content == db.get_node("m1").content == NASTY
    (tmp_path / "out" / "manifest.json").write_text("{")
    damaged = run("import", tmp_path / "out")
    assert (damaged.exit_code, "manifest.json: it is not JSON" in damaged.stderr) == (25, True)
    one = run("export", tmp_path / "one", "--namespace", "second", "--json")
    assert json.loads(one.stdout)["namespaces"] == ["second"]


def test_bad_records_are_findings(run, tmp_path):
    file = tmp_path / "talk.jsonl"
    file.write_text('{"content": "good"}\n' + "".join(f"bad\x1b {n}\n" for n in range(12)))
    refused = run("import", file)
    assert refused.exit_code == 13
    assert "line 2" in refused.stderr
    kept = run("import", file, "--skip-bad")
    assert kept.exit_code == 1
    assert "line 2: it is not JSON" in kept.stderr
    assert "and 2 more" in kept.stderr
    assert "\x1b" not in kept.output
    facts = json.loads(run("import", file, "--skip-bad", "--json").stdout)
    assert (facts["messages"], facts["skipped"], facts["bad"]) == (0, 1, 12)
    assert facts["problems"][0] == {
        "record": "line 2",
        "reason": "it is not JSON: Expecting value: line 1 column 1 (char 0)",
    }


def test_damage_is_a_finding(run, filled, monkeypatch):
    found = {"ok": False, "problems": ["default: a \x1b[2J label"], "nodes": 1}
    monkeypatch.setattr(EmbeddedDB, "verify", lambda self, deep: found)
    result = run("verify")
    assert result.exit_code == 1
    assert "default: a \\x1b[2J label" in result.stderr
    machine = run("verify", "--json")
    assert machine.exit_code == 1
    assert json.loads(machine.stdout) == found


def test_whatsapp_options_reach_the_reader(run, tmp_path):
    file = tmp_path / "WhatsApp Chat with Ann.txt"
    file.write_text("1/2/24, 10:00 - Ann: a\n")
    assert run("import", file).exit_code == 13
    done = run("import", file, "--date-order", "mdy", "--time-zone", "Europe/Berlin")
    assert done.exit_code == 0, done.output
    shown = json.loads(run("show", "whatsapp-Ann", "--json").stdout)
    assert shown["messages"][0]["properties"]["timestamp"].startswith("2024-01-02T09:00:00")


def test_nobody_reads_the_output(child, filled):
    read, write = os.pipe()
    os.close(read)
    result = child("show", "chat", stdout=write, stderr=subprocess.PIPE, capture_output=False)
    os.close(write)
    assert result.returncode == 141
    assert result.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_the_output_does_not_fit(child, filled):
    with open("/dev/full", "wb") as full:
        result = child("show", "chat", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert result.returncode == 24
    assert b"No space left" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_terminal_of_few_characters(child, filled):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for command in (["show", "m1"], ["show", "m1", "--json"]):
        result = child(*command, env=environment)
        assert result.returncode == 0, result.stderr
        assert "\\U0001f469" in result.stdout.decode("ascii")


def test_bars_are_drawn_on_terminals_only(child, tmp_path):
    (tmp_path / "talk.jsonl").write_text('{"content": "x"}\n' * 3)
    assert child("import", "talk.jsonl").stderr.count(b"importing") == 0
    ours, theirs = pty.openpty()
    result = child(
        "import", "talk.jsonl", stderr=theirs, stdout=subprocess.PIPE, capture_output=False
    )
    os.close(theirs)
    drawn = os.read(ours, 10_000).decode()
    os.close(ours)
    assert result.returncode == 0
    assert "importing [" in drawn
    assert b"importing [" not in result.stdout


def test_an_interrupt_ends_quietly(run, filled, monkeypatch):
    def interrupted(self, deep):
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedDB, "verify", interrupted)
    result = run("verify")
    assert result.exit_code == 130
    assert result.stderr == "interrupted; what was stored stays\n"
