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
