"""Promise: the wheel without the native module has all that is written in Python, and says why.

`make wheel` installs it into an empty environment, too; here it is unpacked before everything else.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import importlib.util, sys
import embedded_db
assert embedded_db.__file__.startswith(sys.argv[1]), embedded_db.__file__
assert importlib.util.find_spec("embedded_db._native") is None
assert not embedded_db.NATIVE_AVAILABLE
from embedded_db.messaging import MessageBus
from embedded_db.vectors import HnswIndex, cosine_similarity
import embedded_db.bridges, embedded_db.embedding
assert round(cosine_similarity([1, 0], [1, 1]), 3) == 0.707
index = HnswIndex(2)
[one] = index.add_batch([[1, 0]])
assert index.search([1, 1], 1)[0].tolist() == [one]
bus = MessageBus()
bus.publish("c", 1)
assert next(bus.consume("c")).payload == 1
for name in ("EmbeddedDB", "AsyncEmbeddedDB", "Token"):
    try:
        getattr(embedded_db, name)
    except ImportError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    command = [sys.executable, ROOT / "scripts" / "pure-wheel", dist]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"maturin or cargo is missing: {error}")
    [made] = dist.iterdir()
    return made


def test_it_has_every_module_and_nothing_native(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as opened:
        assert opened.testzip() is None
        names = set(opened.namelist())
        [tags] = [opened.read(name).decode() for name in names if name.endswith("/WHEEL")]
        [told] = [opened.read(name).decode() for name in names if name.endswith("/METADATA")]
        [record] = [opened.read(name).decode() for name in names if name.endswith("/RECORD")]
    source = ROOT / "python"
    assert {str(one.relative_to(source)) for one in source.rglob("*.py")} <= names
    assert not [name for name in names if name.endswith((".so", ".pyd", ".pyc"))]
    assert "Root-Is-Purelib: true\nTag: py3-none-any\n" in tags
    assert "Name: embedded-db\n" in told
    assert "Requires-Dist: numpy" in told
    assert {line.partition(",")[0] for line in record.splitlines()} == names


def test_it_works_and_says_why_there_is_no_database(wheel: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(room)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(room)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(room)},
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["EmbeddedDB", "AsyncEmbeddedDB", "Token"]
    for line in lines:
        assert "needs the native module" in line
        assert "install a wheel of embedded-db that is made for this platform" in line
