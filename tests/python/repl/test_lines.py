"""Promise: from a pipe each line has its answer, in tables or JSON; exit codes tell of errors."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded_db import EmbeddedDB

Run = Callable[..., subprocess.CompletedProcess[bytes]]

BAD = [
    "/nothing",
    "/",
    "/node",
    "/node nobody",
    "/node a b",
    '/node "a',
    "/path trip",
    "/path trip nobody",
    "/query",
    "/query --limit 0 oslo",
    "/query --limit x oslo",
    "/query --what oslo",
    "/query --where nonsense",
    "/query --from nobody",
    "/query --hops -1 --from trip",
    "/query --hops 99999999999999999999999 --from trip",
    "/query oslo --limit " + "9" * 5000,
    "/query -x",
    "/query {",
    '/query {"what": 1}',
    '/query {"text_query": {"text": "a"}, "limit": 100000}',
    "/explain",
    "y",
    "n 1",
    "c",
]


@pytest.fixture
def run(command: list[str], tmp_path: Path) -> Run:
    def call(lines: str | bytes, *options: str, **environment: str):
        return subprocess.run(
            [sys.executable, *command, *options],
            input=lines.encode() if isinstance(lines, str) else lines,
            capture_output=True,
            timeout=300,
            check=False,
            env={**os.environ, **environment},
        )

    return call


def answers(run: Run, lines: str | bytes, *options: str) -> list[Any]:
    done = run(lines, "--json", *options)
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_text_recalls(run: Run):
    [found] = answers(run, "Oslo\n")
    assert (found["command"], found["by"]) == ("recall", "words")
    by_id = {each["id"]: each for each in found["results"]}
    assert by_id["m0"]["text"] == "Ann: We go to Oslo"
    assert not any(each["by_reflex"] for each in found["results"])
    assert "trip" not in by_id, "a chat is no answer"
    assert by_id["m1"]["path"] == ["m0", "m1"]
    [found] = answers(run, "Oslo\n", "--label", "Chat")
    assert [each["id"] for each in found["results"]] == ["trip"]
    [found] = answers(run, "Oslo\n", "--limit", "1")
    assert len(found["results"]) == 1


def test_tables_and_the_same_as_json(run: Run):
    lines = (
        "Oslo\n/query train --label Message\n/node trip\n/path m0 m1\n/explain\n/stats\n/status\n"
    )
    done = run(lines)
    assert done.returncode == 0
    text = done.stdout.decode()
    for part in ("We go to Oslo", "By train", "CONTAINS", "activation", "messages", "recalls_by"):
        assert part in text
    assert "\x1b" not in text
    given = answers(run, lines)
    commands = ["recall", "query", "node", "path", "explain", "stats", "status"]
    assert [each["command"] for each in given] == commands
    assert given[1]["results"][0]["id"] == "m1"
    assert given[3]["path"]["nodes"] == ["m0", "m1"]
    assert [each["type"] for each in given[3]["path"]["edges"]] == ["NEXT"]
    assert given[4]["plan"]["steps"][-1]["step"] == "activation"
    assert (given[5]["messages"], given[5]["chats"]) == (4, 1)


def test_help_names_every_command(run: Run):
    [found] = answers(run, "/help\n")
    names = {line.split()[0] for line in found["help"]}
    assert names >= {"/help", "/status", "/stats", "/query", "/node", "/path", "/explain", "/quit"}


def test_each_bad_line_has_an_error_and_the_next_is_answered(run: Run):
    found = answers(run, "".join(f"{line}\n/help\n" for line in BAD))
    for line, answer, after in zip(BAD, found[::2], found[1::2], strict=True):
        assert [set(answer), after["command"]] == [{"error"}, "help"], (line, answer)
        assert answer["error"]["code"] not in {"InternalError", "DbError"}, line
        assert answer["error"]["hint"], line
    plain = run("".join(f"{line}\n" for line in BAD))
    assert b"Traceback" not in plain.stderr
    assert plain.returncode == 13, "that of the first error"
    assert run("/node nobody\n/nothing\n").returncode == 10
    assert run("/node nobody\n", "--json").returncode == 10


def test_odd_bytes(run: Run):
    lines = b"\xff\xfe\n\0\n" + b"x" * 2_000_000 + b"\n\n   \n\xf0\x9f\xa6\x80\r\n/status"
    found = answers(run, lines)
    assert "error" in found[0]
    assert found[0]["error"]["code"] == "BadText"
    assert found[-1]["command"] == "status", "the last line needs no end"
    assert answers(run, b"") == []


def test_quit_ends(run: Run):
    found = answers(run, "/quit\n/status\n")
    assert found == [{"command": "quit"}]


def test_feedback_trains_the_reflexes(run: Run, stored: Path):
    [before] = answers(run, "Oslo\n")
    place = [each["id"] for each in before["results"]].index("m1") + 1
    lines = ["Oslo", f"y {place}", "oslo", "y", "oslo", "n", "oslo", "c 3", "oslo"]
    found = answers(run, "\n".join(lines))
    second = found[2]["results"]
    assert (second[0]["id"], second[0]["by_reflex"]) == ("m1", True)
    assert [each["confidence"] for each in found[1::2]] == pytest.approx([0.9, 0.92, 0.46, 1.0])
    assert not any(each["by_reflex"] for each in found[6]["results"]), "too unsure after n"
    assert found[8]["results"][0]["id"] == found[6]["results"][2]["id"]
    assert found[1]["strengthened"] > 0
    with EmbeddedDB(stored, ml=None) as db:
        assert db.strengths()


def test_a_reflex_never_shows_what_is_gone(run: Run, stored: Path, command: list[str]):
    """What it leads to is read anew, from what other processes wrote too."""
    process = subprocess.Popen(
        [sys.executable, *command, "--json", "--read-only"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(line: str) -> Any:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    top = ask("Oslo")["results"][0]
    assert top["labels"] == ["Message"]
    assert ask("y")["strengthened"] == 0, "a reader strengthens nothing"
    assert ask("Oslo")["results"][0]["by_reflex"]
    with EmbeddedDB(stored, ml=None) as db:
        db.delete_node(top["id"])
    assert top["id"] not in [each["id"] for each in ask("Oslo")["results"]]
    assert ask("cake")["results"]
    ask("c")
    assert ask("a new fact")["error"]["code"] == "ReadOnly"
    process.stdin.close()
    assert process.wait(60) == 29
    process.stdout.close()


def test_a_verdict_is_about_the_last_question(run: Run):
    found = answers(run, "Oslo\n\0\ny\nOslo\n/query {\ny\ny " + "9" * 5000)
    assert [each.get("command", "error") for each in found] == [
        *("recall", "recall", "error", "recall", "error", "error", "recall"),
    ]


def test_words_stand_anywhere_in_a_query(run: Run):
    [found] = answers(run, "/query by --label Message train\n")
    assert found["results"][0]["id"] == "m1"


def test_a_query_is_judged_by_its_own_reflex(run: Run):
    lines = ["/query oslo", "n", "/query oslo", "y", "c"]
    found = answers(run, "\n".join(lines))
    assert found[1]["confidence"] == pytest.approx(0.45)
    assert found[4]["error"]["code"] == "InvalidInput"


def test_a_correction_is_never_taken_by_mistake(run: Run, stored: Path):
    found = answers(run, "Oslo\nc\n/status\ntrain\nc\ny\ncake\nc\n\nOslo\n")
    assert [each.get("command") for each in found] == [
        *("recall", "feedback", "status", "recall", "feedback", "feedback"),
        *("recall", "feedback", "feedback", "recall"),
    ]
    with EmbeddedDB(stored, ml=None, read_only=True) as db:
        assert db.count("Fact") == 0


def test_stored_control_characters_are_escaped(run: Run):
    done = run("cold\n/node evil\n/query cold\n")
    assert b"\x1b" not in done.stdout
    assert b"\\x1b]0;owned\\x07" in done.stdout
    machine = run("cold\n/node evil\n", "--json")
    assert b"\x1b" not in machine.stdout
    assert "\u202e" not in machine.stdout.decode()
    assert "\x1b" in json.loads(machine.stdout.splitlines()[1])["properties"]["sender"]


def test_without_the_extras_pipes_work(run: Run, tmp_path: Path):
    """Neither prompt_toolkit nor mcp is imported where it is not needed."""
    for name in ("prompt_toolkit", "mcp"):
        (tmp_path / "missing" / name).mkdir(parents=True)
        (tmp_path / "missing" / name / "__init__.py").write_text("raise ImportError('absent')\n")
    paths = [str(tmp_path / "missing"), os.environ.get("PYTHONPATH", "")]
    done = run("Oslo\n", "--json", PYTHONPATH=os.pathsep.join(filter(None, paths)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["command"] == "recall"


def test_a_database_that_is_not_there(tmp_path: Path):
    command = [sys.executable, "-m", "embedded_db.cli", "repl", str(tmp_path / "typo.db")]
    done = subprocess.run(command, input=b"Oslo\n", capture_output=True, check=False)
    assert done.returncode == 13
    assert not (tmp_path / "typo.db").exists()
