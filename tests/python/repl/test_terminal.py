"""Promise: on a terminal one asks, judges, completes, and Ctrl-C stops a command only."""

import stat
import sys

import pytest

from embedded_db import EmbeddedDB

from .conftest import Terminal

pytest.importorskip("prompt_toolkit")
if sys.platform == "win32":
    pytest.skip("terminals of POSIX", allow_module_level=True)

PROMPT = "memory.db> "
CORRECT = "By bus, at nine"


def asked(terminal: Terminal, line: str) -> str:
    """What a line is answered."""
    terminal.type(line + "\r")
    terminal.wait_for(f"{PROMPT}{line}\n")
    return terminal.wait_for(PROMPT)


def test_a_conversation(terminal, stored):
    it = terminal()
    it.wait_for(PROMPT)
    shown = asked(it, "Oslo")
    assert "We go to Oslo" in shown
    assert "NEXT" in shown
    [place] = [line.split()[0] for line in shown.splitlines() if "By train" in line]
    assert "sure of it: 0.90" in asked(it, f"y {place}")
    assert "known" in asked(it, "Oslo")
    it.type("c\r")
    it.wait_for("right answer> ")
    it.type(CORRECT + "\r")
    it.wait_for("sure of it: 1.00")
    it.wait_for(PROMPT)
    assert CORRECT in asked(it, "Oslo")
    assert "no command /nod" in asked(it, "/nod")
    it.type("/quit\r")
    assert it.ended() == 0
    with EmbeddedDB(stored, ml=None) as db:
        assert db.strengths(), "what led to the result is strengthened"
        [fact] = db.nodes("Fact")
        assert (fact.content, fact["source"], fact["answers"]) == (CORRECT, "repl", "oslo")


def test_stored_text_does_not_steer_the_terminal(terminal):
    it = terminal()
    it.wait_for(PROMPT)
    for line in ("cold", "/node evil", "/query cold"):
        assert "\\x1b]0;owned\\x07" in asked(it, line)
    assert b"\x1b]0;" not in it.raw
    assert b"\x07" not in it.raw


def test_commands_ids_and_labels_are_completed(terminal):
    it = terminal()
    it.wait_for(PROMPT)
    it.type("/sta\t")
    it.wait_for("/stats")
    for typed, shown in (("\x15/no\t", "de"), (" tr\t", "ip"), ("\r", f"{PROMPT}/node trip\n")):
        it.type(typed)
        it.wait_for(shown)
    it.wait_for(PROMPT)
    whole = f"{PROMPT}/query oslo --label Message\n"
    for typed, shown in (("/query oslo --la\t", "bel"), (" Mes\t", "sage"), ("\r", whole)):
        it.type(typed)
        it.wait_for(shown)
    it.wait_for("We go to Oslo")


def test_what_was_typed_comes_back_and_is_private(terminal, tmp_path):
    it = terminal()
    it.wait_for(PROMPT)
    asked(it, "train to nowhere")
    it.type("\x04")
    assert it.ended() == 0
    file = tmp_path / "state" / "embedded-db" / "history"
    assert "train to nowhere" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = terminal()
    again.wait_for(PROMPT)
    again.type("\x1b[A")
    again.wait_for("train to nowhere")
    again.type("\x15\x04")
    assert again.ended() == 0
    kept = file.read_text()
    silent = terminal("--no-history")
    silent.wait_for(PROMPT)
    asked(silent, "a secret")
    silent.type("\x04")
    assert silent.ended() == 0
    assert file.read_text() == kept


def test_ctrl_c_stops_the_command_and_ctrl_d_the_program(terminal, stored):
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from embedded_db import EmbeddedDB, MLConfig\n"
        "from embedded_db.cli.repl.session import Session\n"
        "from embedded_db.cli.repl.terminal import converse\n"
        "def embed(texts):\n"
        "    if any('slow' in text for text in texts):\n"
        "        print('it takes long', flush=True); time.sleep(600)\n"
        "    return [[1.0, 0.0]] * len(texts)\n"
        "ml = MLConfig(embedding=embed, entities=None, summary=None)\n"
        "with EmbeddedDB(sys.argv[1], ml=ml) as db:\n"
        "    session = Session(db, by_words=False, limit=10)\n"
        "    converse(session, Path(sys.argv[1]), keep_history=False)\n"
    )
    it = terminal(program=["-c", program, str(stored)])
    it.wait_for(PROMPT)
    it.type("half a line\x03")
    it.wait_for(PROMPT)
    it.type("something slow\r")
    it.wait_for("it takes long")
    it.type("\x03")
    it.wait_for("interrupted", seconds=20)
    it.wait_for(PROMPT)
    assert "We go to Oslo" in asked(it, "Oslo")
    it.type("\x04")
    assert it.ended() == 0
