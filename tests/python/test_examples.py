"""The example programs do what they say, as a user would start them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def assistant(*args, **options):
    return subprocess.run(
        [sys.executable, "-m", "examples.assistant", *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
        **options,
    )


def program(name, *args):
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "python" / name, *args],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_tokens_are_measured():
    printed = program("token_batch_performance.py", "--tokens", "20000")
    assert printed.startswith("20,000 tokens, 64 bytes each, 1.3 MB in one piece\n")
    for row in ("Token.create_batch ", "Token(id)", "clone()", "read in order", "read at random"):
        assert row in printed
    assert "share one memory" in printed


def test_an_assistant_answers_by_reflex_and_is_corrected():
    printed = program("intuition_simple.py")
    first, corrected, put_off = printed.split("\n\n")[:3]
    assert [first.count("thought out"), first.count("reflex")] == [3, 3]
    assert "who leads kestrel?     Priya          reflex" in corrected
    assert "sure of the key: 0.88" in corrected
    assert "sure of Friday: 0.21" in put_off
    assert "on Monday      thought out" in put_off
    assert "on Monday      reflex" in put_off
    assert "total_reflexes           3" in printed


@pytest.mark.usefixtures("real_models")
def test_the_assistant_remembers_and_forgets():
    run = assistant("--script")
    assert run.returncode == 0, run.stderr
    before, after = run.stdout.split("Ann has 2 chats")
    assert "the launch of Kestrel is on Friday (from Ann)" in before
    assert "written by Tomek" in before
    assert "Priya leads the design of Kestrel (from Ann)" in after, "known on another day"
    assert "Forgotten: 2 nodes" in after
    assert after.rstrip().endswith("I do not know.")


@pytest.mark.usefixtures("real_models")
def test_the_assistant_goes_on_where_it_was(tmp_path):
    folder = str(tmp_path / "memory.db")
    first = assistant(folder, input="Remember that the key is under the mat\n")
    assert first.stdout == "I will remember: the key is under the mat\n", first.stderr
    second = assistant(folder, input="Where is the key?\n")
    assert second.stdout == "the key is under the mat (from you)\n", second.stderr
