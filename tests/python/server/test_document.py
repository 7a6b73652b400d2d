"""Promise: the server does what its document says, to requests of every kind.

schemathesis makes requests of the document, right ones and wrong ones, and looks at the answers: no
defect, no status or form that is not described, nothing accepted that the document excludes.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded_db import EmbeddedDB
from embedded_db.server import Server
from embedded_db.testing import FakeModel

from .conftest import TOKENS, WRITE

pytest.importorskip("schemathesis")

THOROUGH = os.environ.get("EMBEDDED_DB_THOROUGH", "0") != "0"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection,"
    "unsupported_method"
)


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    with (
        EmbeddedDB(tmp_path / "served.db", ml=FakeModel()) as db,
        Server(db, port=0, tokens=TOKENS) as server,
    ):
        asked(server.url, tmp_path)


def asked(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    command += ["--checks", CHECKS, "--header", f"Authorization: Bearer {WRITE}"]
    command += ["--seed", "1", "--no-color", "--generation-database", "none"]
    if THOROUGH:
        command += ["--max-examples", "8", "--phases", "coverage,fuzzing"]
    else:
        command += ["--max-examples", "5", "--phases", "fuzzing"]
    # What waits and what is a WebSocket has tests of its own.
    command += ["--exclude-operation-id", "changes", "--exclude-operation-id", "changes_stream"]
    command += ["--exclude-operation-id", "weaver_stream"]
    run = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=550, check=False
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
