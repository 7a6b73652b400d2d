"""The mistakes that the simulator is to see still fit to the code that they would be made in."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((ROOT / "crates/simulator/planted").glob("*.patch"))


def test_there_are_enough():
    assert len(PATCHES) >= 15


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_it_can_be_made(patch):
    command = ["git", "apply", "--check", str(patch)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
