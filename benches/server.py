"""What the server answers in a second, and how long 10,000 followers wait for a change.

    python benches/server.py                          # the command, in Python
    python benches/server.py --binary target/release/embedded-db-server
    python benches/server.py --only streams --seconds 120

Reads and writes are asked with `wrk` (https://github.com/wg/wrk), which has to be installed; it
takes its own share of the processors. The server is a process of its own.
"""

import argparse
import json
import os
import platform
import re
import resource
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded_db.client import Client

PING = b"\x89\x00"
SERVING = re.compile(r"serving .* on http://([\d.]+):(\d+)")
WRITES = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"labels": ["Message"], "properties": {"content": "We should use Rust", "number": 7}}'
"""


@contextmanager
def served(binary: str | None, directory: Path) -> Iterator[tuple[int, str, int]]:
    """Start a server; give its process, its host and its port."""
    config = directory / "config.toml"
    config.write_text('ml = "none"\n')
    path = str(directory / "served.db")
    command = [sys.executable, "-m", "embedded_db.cli", "serve", path, "--config", str(config)]
    if binary is not None:
        command = [binary, path]
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = SERVING.search(process.stderr.readline())
        assert found is not None
        yield process.pid, found[1], int(found[2])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def rate(url: str, seconds: int, connections: int, script: Path | None = None) -> str:
    """Requests in a second, and the latencies, as wrk tells them."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    if script is not None:
        command += ["-s", str(script)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s*([\d.]+)", told)
    assert found is not None, told
    errors = "".join(re.findall(r"^  (?:Socket|Non-2xx).*$", told, re.MULTILINE))
    latencies = dict(re.findall(r"(50|99)%\s+(\S+)", told))
    return (
        f"{float(found[1]):>9,.0f}/s   p50 {latencies['50']:>8}   p99 {latencies['99']:>8} {errors}"
    )


def resident(process: int) -> int:
    """Bytes of memory of a process."""
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s*(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


def processor(process: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Followers:
    """WebSockets that read what comes, in this process."""

    def __init__(self, host: str, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets = []
        lines = (
            *("GET /v1/changes/stream HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket"),
            *("Connection: Upgrade", "Sec-WebSocket-Version: 13"),
            *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""),
        )
        upgrade = "\r\n".join(lines).encode()
        for _ in range(count):
            made = socket.create_connection((host, port))
            made.sendall(upgrade)
            head = b""
            while b"\r\n\r\n" not in head:
                head += made.recv(1024)
            assert head.startswith(b"HTTP/1.1 101"), head
            made.setblocking(False)
            self._selector.register(made, selectors.EVENT_READ)
            self._sockets.append(made)

    def await_all(self, sent: float, seconds: float = 30.0) -> list[float]:
        """Milliseconds until each got something."""
        waiting, taken = set(self._sockets), []
        until = time.perf_counter() + seconds
        while waiting and time.perf_counter() < until:
            for key, _ in self._selector.select(1):
                data = key.fileobj.recv(65536)
                assert data, "a follower was dropped"
                if data.startswith(PING) or data.endswith(PING):
                    key.fileobj.send(b"\x8a\x80\x00\x00\x00\x00")  # masked with zeros
                if data != PING and key.fileobj in waiting:
                    waiting.discard(key.fileobj)
                    taken.append((time.perf_counter() - sent) * 1000)
        assert not waiting, f"{len(waiting)} followers got nothing"
        return taken


def streams(process: int, host: str, port: int, count: int, seconds: int) -> Iterator[str]:
    """Follow, write now and then, and look how long each of them takes."""
    client = Client(f"http://{host}:{port}")
    client.create_node({"label": "Thing"})
    before = resident(process)
    begun = time.perf_counter()
    followers = Followers(host, port, count)
    yield f"{count:,} WebSockets connected in {time.perf_counter() - begun:.1f} s"
    medians, late, worst, rounds, busy = [], [], 0.0, 0, processor(process)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sent = time.perf_counter()
        client.create_node({"label": "Thing"})
        taken = sorted(followers.await_all(sent))
        rounds += 1
        medians.append(statistics.median(taken))
        late.append(taken[int(len(taken) * 0.99)])
        worst = max(worst, taken[-1])
        time.sleep(0.5)
    each = (resident(process) - before) / count / 1000
    spent = (processor(process) - busy) / rounds * 1000
    yield f"{rounds} changes in {seconds} s; from the write to the follower:"
    yield f"  median {statistics.median(medians):.0f} ms, p99 {statistics.median(late):.0f} ms"
    yield f"  of the worst change p99 {max(late):.0f} ms, longest {worst:.0f} ms"
    yield f"{each:.1f} kB of memory each; {spent:.0f} ms of processor time of the server a change"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", help="the plain program; the command in Python when left out")
    parser.add_argument("--only", choices=["requests", "streams"])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--streams", type=int, default=10_000)
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    print(load, json.dumps(vars(given)))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as scratch:
        directory = Path(scratch)
        script = directory / "writes.lua"
        script.write_text(WRITES)
        with served(given.binary, directory) as (process, host, port):
            url = f"http://{host}:{port}"
            if given.only != "streams":
                Client(url).create_node(
                    {"id": "a", "label": "Thing", "properties": {"name": "Ann", "age": 7}}
                )
                for name, path in (("get_node", "/v1/nodes/a"), ("livez", "/livez")):
                    print(f"{name:<24}", rate(url + path, given.seconds, 32))
                for connections in (8, 64):
                    told = rate(f"{url}/v1/nodes", given.seconds, connections, script)
                    print(f"{f'create_node, {connections} at once':<24}", told)
            if given.only != "requests":
                for line in streams(process, host, port, given.streams, given.seconds):
                    print(line)


if __name__ == "__main__":
    main()
