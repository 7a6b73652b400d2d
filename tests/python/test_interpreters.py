"""One native module serves every interpreter from 3.11 on; one without the global lock refuses it.

It keeps to the stable part of CPython's interface (abi3), which interpreters without the lock do
not have: they say so instead of running it. Those that are not on this machine are skipped.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SPEC = find_spec("embedded_db._native")
assert SPEC is not None
FILE = Path(str(SPEC.origin))
PACKAGES = FILE.parents[1]
PROGRAM = """
import importlib.util, sys
if importlib.util.find_spec("numpy") is None or importlib.util.find_spec("pydantic") is None:
    sys.exit(77)
import embedded_db
with embedded_db.EmbeddedDB(":memory:", ml=None) as db:
    db.create_message("chat", "Hello")
    print(db.count("Message"))
"""
SKIPPED = 77


def run(name: str, program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with an interpreter, if there is one of this name."""
    interpreter = sys.executable if name == "this one" else shutil.which(name)
    if interpreter is None or subprocess.run([interpreter, "-V"], check=False).returncode != 0:
        pytest.skip(f"there is no {name}")
    program = f"import sys; sys.path.append({str(PACKAGES)!r})\n{program}"
    command = [interpreter, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if run.returncode == SKIPPED:
        pytest.skip(f"{name} has no NumPy or no pydantic")
    return run


def test_it_is_one_file_for_all() -> None:
    assert FILE.name in {"_native.abi3.so", "_native.pyd"}
    if sys.platform == "linux":
        # Names that begin so belong to one version of the interpreter.
        assert b"_PyRuntime\0" not in FILE.read_bytes()


@pytest.mark.parametrize(
    "name", ["this one", "python3.11", "python3.12", "python3.13", "python3.14", "python3.15"]
)
def test_it_works(name: str) -> None:
    done = run(name, PROGRAM)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize("name", ["python3.13t", "python3.14t"])
def test_without_the_global_lock_it_is_refused(name: str) -> None:
    spec = f"u.spec_from_file_location('_native', {str(FILE)!r})"
    load = f"import importlib.util as u; u.module_from_spec({spec})"
    done = run(name, load)
    assert done.returncode == 1, "it was loaded"
    assert "ImportError" in done.stderr
