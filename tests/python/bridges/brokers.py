"""A real Redis on a loopback port, and a way to it that can be cut."""

import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

REDIS = shutil.which("redis-server")
JAVA = shutil.which("java")
KAFKA = Path(__file__).resolve().parents[3] / "build" / "kafka"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(condition, timeout=20.0, what="it") -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {timeout} s"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(0.5)
        return tried.connect_ex(("127.0.0.1", port)) == 0


class RedisServer:
    """It has on its disk what it confirmed; `kill` ends it as a crash does."""

    def __init__(self, folder: Path, *options: str) -> None:
        if REDIS is None:
            pytest.skip("redis-server is not installed: scripts/install-test-tools")
        self.port, self._folder, self._options = free_port(), folder, options
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.kills = 0
        self.start()

    def start(self) -> None:
        command = [REDIS, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        command += ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)
        until(lambda: listens(self.port), what="starting Redis")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(20) == -signal.SIGKILL
        self.kills += 1

    def lose_everything(self) -> None:
        """Come back with nothing, as a Redis without persistence does."""
        self.kill()
        shutil.rmtree(self._folder / "appendonlydir")
        self.start()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)


class Proxy:
    """A way to a port on which connections can be cut, refused, or swallowed without a word."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_open = True
        self.cuts = 0
        self.swallowed = 0
        self._swallows = False
        self._cut_after: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End the connections that there are."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self.cuts += 1
            for end in pair:
                close(end)

    def cut_after(self, answers: int) -> None:
        """Cut instead of giving back so many answers from now on: it was done, and nobody knows."""
        self._cut_after = answers

    def swallow(self, swallows: bool) -> None:
        """Take what is sent, and neither pass it on nor say so."""
        self._swallows = swallows

    def refuse(self, refuses: bool) -> None:
        self._is_open = not refuses
        if refuses:
            self.cut()

    def close(self) -> None:
        close(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._is_open:
                self.cuts += 1
                close(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 2)
            except OSError:
                close(near)
                continue
            far.settimeout(None)
            with self._lock:
                self._pairs.append((near, far))
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self._swallows:
                    self.swallowed += 1
                    continue
                if answers and self._cut_after is not None:
                    if self._cut_after == 0:
                        self._cut_after = None
                        self.cuts += 1
                        break
                    self._cut_after -= 1
                to.sendall(data)
        close(source)
        close(to)


def close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


class KafkaServer:
    """A broker that tells its clients to come through a proxy."""

    def __init__(self, folder: Path) -> None:
        if JAVA is None or not (KAFKA / "pom.xml").exists():
            pytest.skip(
                "there is no Kafka: scripts/install-test-tools, which needs Java 17 and mvn"
            )
        self._folder, self.kills = folder, 0
        shutil.copytree(KAFKA / "data", folder / "data")
        port, controller = free_port(), free_port()
        self._port = port
        self.proxy = Proxy(port)
        self.url = f"kafka://127.0.0.1:{self.proxy.port}"
        settings = (KAFKA / "server.properties").read_text()
        settings = settings.replace(":9092", f":{port}").replace(":9093", f":{controller}")
        settings += f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.proxy.port}\n"
        (folder / "server.properties").write_text(settings)
        self.start()

    def start(self) -> None:
        command = [JAVA, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        command += ["-cp", f"{KAFKA / 'jars'}/*", "kafka.Kafka", "server.properties"]
        with (self._folder / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        until(lambda: listens(self._port), 60, "starting Kafka")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(20) == -signal.SIGKILL
        self.kills += 1

    def stop(self) -> None:
        self.proxy.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)
