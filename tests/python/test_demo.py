"""The demo imports a conversation set, waits for the weaver and shows what came of it."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("real_models")


def demo(tmp_path, *args):
    return subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )


def test_on_our_conversations(tmp_path):
    run = demo(tmp_path)
    assert run.returncode == 0, run.stderr
    words = ("418 messages", "score", "hops", "I carved that bird", "mentions", "lies in")
    for each in words:
        assert each in " ".join(run.stdout.split()), run.stdout
    path = run.stdout.partition("The shortest path")[2].partition("What the largest chat")[0]
    people = re.findall(r"^  (\w+)$", path, re.MULTILINE)
    assert people == ["Kenji", "Priya", "Nairobi", "Ollie"], path
    assert "#kelpline-migration" in run.stdout, "the largest chat"
    shown = run.stdout.partition("The database lies")[0]
    assert max(map(len, shown.splitlines())) <= 100
    look = shlex.split(run.stdout.rpartition("Look around: ")[2])
    assert Path(tmp_path, look[0]).exists()


def test_on_a_file_of_the_user(tmp_path):
    file = tmp_path / "my talk.jsonl"
    texts = ["Alice met Bob in Paris.", "Bob wrote to Carol.", "Carol lives in London."]
    file.write_text(
        "".join(json.dumps({"content": text, "sender": "Dan"}) + "\n" for text in texts)
    )
    run = demo(tmp_path, file)
    assert run.returncode == 0, run.stderr
    assert "3 messages in 1 chat:" in run.stdout
    assert "What about" in run.stdout


def test_on_a_file_that_is_none(tmp_path):
    run = demo(tmp_path, "missing.jsonl")
    assert run.returncode == 1
    assert "missing.jsonl" in run.stderr
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == [], "no database is made for it"
