"""Panics are counted in their process, and its health tells of them: they have one alone."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).with_name("panicking.py")


def test_panics_in_a_process_of_their_own():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, TESTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
