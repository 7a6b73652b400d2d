"""The container: what it holds runs by itself, its parts fit together, its dashboard shows all.

Where there is no engine for containers, the tree that the container would have is run in it.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedded_db import EmbeddedDB
from embedded_db.client import Client
from embedded_db.server import Server

from .conftest import READ, TOKENS, WRITE, Asking
from .test_ends import BINARY, ROOT, SERVING

CONTAINER = ROOT / "container"
PAGE = ROOT / "python" / "embedded_db" / "explorer" / "index.html"
USER = 65532

needs_program = pytest.mark.skipif(
    not BINARY.exists() or not PAGE.exists(),
    reason="make explorer and cargo build --release -p embedded-db-server make what it holds",
)


def read(name: str) -> Any:
    return yaml.safe_load((CONTAINER / name).read_text(encoding="utf-8"))


def probe(address: str) -> subprocess.CompletedProcess[str]:
    command = [str(BINARY), "--probe", address]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


# --- the program ---


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The tree, and what making it has told."""
    place = tmp_path_factory.mktemp("container") / "staged"
    command = [str(ROOT / "scripts" / "stage-container"), str(BINARY), str(place)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return place, told


@needs_program
def test_it_is_small_and_has_its_licences(staged: tuple[Path, str]) -> None:
    place, told = staged
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    assert f"{size} bytes" in told
    assert size < 50_000_000
    assert {"LICENSE", "NOTICE", "THIRD-PARTY.txt"} <= {
        file.name for file in place.glob("licences/*")
    }
    assert (place / "explorer" / "index.html").exists()


@needs_program
def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "program"
    shutil.copy(BINARY, large)
    os.chmod(large, 0o755)
    script = (ROOT / "scripts" / "stage-container").read_text(encoding="utf-8")
    assert "most=$((50 * 1000 * 1000))" in script
    smaller = tmp_path / "scripts" / "stage-container"
    smaller.parent.mkdir()
    smaller.write_text(script.replace("most=$((50 * 1000 * 1000))", "most=1000000"))
    for name in ("LICENSE", "NOTICE", "THIRD-PARTY.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(PAGE.parent, tmp_path / "python" / "embedded_db" / "explorer")
    run = subprocess.run(
        ["bash", str(smaller), str(large), str(tmp_path / "staged")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    assert "bytes" in run.stdout


def inside(place: Path, *command: str) -> list[str]:
    """A command that runs another one with this tree as all files, as a user who is not root."""
    script = (
        f"mkdir -p {place}/proc && mount -t proc proc {place}/proc && "
        f'exec chroot --userspec={USER}:{USER} {place} "$@"'
    )
    return [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        "-c",
        script,
        "-",
        *command,
    ]


@needs_program
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_it_runs_with_nothing_else_as_nobody_in_particular(
    staged: tuple[Path, str], tmp_path: Path
) -> None:
    place = tmp_path / "root"
    shutil.copytree(staged[0], place)
    os.chown(place / "data", USER, USER)
    (place / "tokens").write_text(TOKENS)
    usable = subprocess.run(inside(place, "/embedded-db-server"), capture_output=True, check=False)
    if b"unshare" in usable.stderr or b"mount" in usable.stderr:
        pytest.skip("this machine gives no namespaces of mounts")
    assert usable.returncode == 2, usable.stderr  # how it is used
    command = ["/embedded-db-server", "/data/memory.db", "--port", "0", "--tokens", "/tokens"]
    for number in range(2):
        process = subprocess.Popen(
            inside(place, *command, "--explorer", "/explorer"), stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = SERVING.search(line)
            assert found is not None, line + process.stderr.read()
            address = found[1].removeprefix("http://")
            checked = subprocess.run(
                inside(place, "/embedded-db-server", "--probe", address),
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert checked.returncode == 0, checked.stderr
            with Client(found[1], token=WRITE) as client:
                assert client.count("X") == number
                client.create_node({"label": "X"})
            with urllib.request.urlopen(found[1], timeout=20) as page:
                assert b"<html" in page.read()
            stop(process)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
    owners = {file.stat().st_uid for file in (place / "data").rglob("*")}
    assert owners == {USER}
    with EmbeddedDB(place / "data" / "memory.db", ml=None) as db:
        assert db.count("X") == 2


def stop(process: subprocess.Popen[str]) -> None:
    """Ask the program, which is the child of `unshare`, to end."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), 15)


# --- the health check ---


@needs_program
def test_the_health_check_asks_whether_it_is_ready(tmp_path: Path) -> None:
    with (
        EmbeddedDB(tmp_path / "served.db", ml=None) as db,
        Server(db, port=0, tokens=TOKENS) as server,
    ):
        host, port = server.address
        assert probe(f"{host}:{port}").returncode == 0
    gone = probe(f"{host}:{port}")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert f"{host}:{port}: " in gone.stderr


@needs_program
@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\nthe server stops\n", b"", b"SSH-2.0-x\r\n"]
)
def test_the_health_check_takes_nothing_else_for_ready(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        told = probe(f"127.0.0.1:{listener.getsockname()[1]}")
        serving.join()
    assert told.returncode == 1
    assert answer.decode().strip().rpartition("\n")[2] in told.stderr


@needs_program
@pytest.mark.parametrize("text", ["", "# nobody yet\n"])
def test_a_file_without_tokens_is_no_open_door(tmp_path: Path, text: str) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(text)
    for command in ([str(BINARY)], [sys.executable, "-m", "embedded_db.cli", "serve"]):
        command += [str(tmp_path / "x.db"), "--port", "0", "--tokens", str(tokens)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert run.returncode != 0
        assert "read TOKEN" in run.stderr
    assert not (tmp_path / "x.db").exists()


# --- the files of the container ---


def test_the_container_is_limited_and_not_root() -> None:
    lines = (CONTAINER / "Containerfile").read_text(encoding="utf-8").splitlines()
    last = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert last[0] == "FROM scratch"
    assert f"USER {USER}:{USER}" in last
    assert any(line.startswith("HEALTHCHECK") for line in last)
    pinned = re.search(r'channel = "(\d+\.\d+)', (ROOT / "rust-toolchain.toml").read_text())
    assert pinned is not None
    assert any(line.startswith(f"FROM rust:{pinned[1]}") for line in lines), "the pinned compiler"
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line


def test_the_parts_of_the_composition_fit_together() -> None:
    compose = read("compose.yaml")
    for name, service in compose["services"].items():
        assert {"mem_limit", "cpus", "cap_drop", "security_opt"} <= set(service), name
        assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", service["image"]), "of a version that is said"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (CONTAINER / source).exists(), volume
            else:
                assert source in compose["volumes"], volume
    memory = compose["services"]["memory"]
    assert (ROOT / "container" / memory["build"]["context"]).resolve() == ROOT
    [scrape] = read("prometheus.yml")["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": ["memory:8080"]}]
    assert "memory" in memory["command"], "the server answers to the name by which it is asked"
    # What a secret is called is where it lies.
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/metrics_token"
    assert "/run/secrets/tokens" in memory["command"]
    [source] = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["uid"] == "prometheus"
    [provider] = read("grafana/provisioning/dashboards/embedded-db.yaml")["providers"]
    mounted = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    assert mounted["./grafana/dashboards"] == provider["options"]["path"]


# --- the dashboard ---


def panels() -> list[dict[str, Any]]:
    board = json.loads((CONTAINER / "grafana" / "dashboards" / "embedded-db.json").read_text())
    assert board["uid"] == "embedded-db"
    return board["panels"]


def asked() -> Iterator[tuple[str, str]]:
    """Each title, and what its panel asks, of all instances and the last minute."""
    for panel in panels():
        for target in panel.get("targets", []):
            text = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")
            assert "$" not in text
            yield panel["title"], text


def test_panels_do_not_overlap() -> None:
    seen: dict[tuple[int, int], str] = {}
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert seen.setdefault((x, y), panel["title"]) == panel["title"]


def use(db: EmbeddedDB, ask: Asking) -> None:
    """Do some of everything, so that every family has a sample."""
    db.create_chat(id="c").add_messages(
        [{"content": f"Ann met Bob in Oslo, {n}"} for n in range(20)]
    )
    db.flush()
    db.query(text_query={"text": "oslo"})
    with pytest.raises(Exception, match="ghost"):
        db.neighbors("ghost").__next__()
    ask("GET", "/v1/nodes/c", token=READ)


def test_every_panel_asks_for_what_there_is(tmp_path: Path) -> None:
    with EmbeddedDB(tmp_path / "served.db") as db, Server(db, port=0, tokens=TOKENS) as server:
        ask = Asking(*server.address)
        use(db, ask)
        text = ask("GET", "/metrics", token=READ).data.decode()
    samples = {re.split(r"[{ ]", line, maxsplit=1)[0] for line in text.splitlines() if line}
    for title, expression in asked():
        names = set(re.findall(r"\b(?:edb|process)_[a-z_]+", expression))
        assert names, title
        assert names <= samples, title


def test_prometheus_answers_every_panel(tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: scripts/install-test-tools")
    with EmbeddedDB(tmp_path / "served.db") as db, Server(db, port=0, tokens=TOKENS) as server:
        ask = Asking(*server.address)
        use(db, ask)
        db.backup(tmp_path / "copy.db")
        config = read("prometheus.yml")
        [scrape] = config["scrape_configs"]
        (tmp_path / "token").write_text(READ)
        config["global"]["scrape_interval"] = "1s"
        scrape["authorization"]["credentials_file"] = str(tmp_path / "token")
        scrape["static_configs"] = [{"targets": [f"{ask.host}:{ask.port}"]}]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = [
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        process = subprocess.Popen([program, *options], stderr=subprocess.DEVNULL)
        try:
            answers = {}
            until = time.monotonic() + 60
            open_ones = dict.fromkeys(asked())
            while open_ones and time.monotonic() < until:
                use_again(db, ask)
                for each in list(open_ones):
                    answers[each] = evaluate(port, each[1])
                    if answers[each]:
                        del open_ones[each]
                time.sleep(0.5)
            assert not open_ones, open_ones
        finally:
            process.terminate()
            process.wait(30)


def use_again(db: EmbeddedDB, ask: Asking) -> None:
    db.create_message("c", "once more")
    db.query(text_query={"text": "oslo"})
    with pytest.raises(Exception, match="ghost"):
        db.neighbors("ghost").__next__()
    ask("GET", "/v1/nodes/c", token=READ)


def evaluate(port: int, expression: str) -> Any:
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=20
        ) as it:
            told = json.load(it)
    except urllib.error.HTTPError as error:
        pytest.fail(f"{expression}: {error.read().decode()}")
    except OSError:  # it does not listen yet
        return None
    assert told["status"] == "success"
    return told["data"]["result"]
