"""What the tests share: databases, child processes, data that may be absent."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from embedded_db import EmbeddedDB
from embedded_db.testing import FakeModel

from .bridges.brokers import RedisServer

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EMBEDDED_DB_DATA", ROOT.parent / "shared" / "data"))

THOROUGH = os.environ.get("EMBEDDED_DB_THOROUGH", "0") != "0"

settings.register_profile(
    "tests",
    max_examples=100 if THOROUGH else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("tests")

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def thorough() -> bool:
    """Whether the longest tests run at full length, as in continuous integration."""
    return THOROUGH


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test may put a database."""
    return tmp_path / "memory.db"


@pytest.fixture
def db(path: Path) -> Iterator[EmbeddedDB]:
    """An empty durable database that enriches nothing."""
    with EmbeddedDB(path, ml=None) as opened:
        yield opened


@pytest.fixture
def model() -> Iterator[FakeModel]:
    fake = FakeModel()
    yield fake
    fake.recover()


@pytest.fixture
def woven(path: Path, model: FakeModel) -> Iterator[EmbeddedDB]:
    """An empty database enriched by `model`, whose retries are quick."""
    weaver = {"max_attempts": 3, "first_delay": 0.01, "max_delay": 0.02}
    with EmbeddedDB(path, ml=model, weaver=weaver) as opened:
        yield opened
        model.recover()


class Clock:
    """The clock of this process, as its databases see it."""

    def __init__(self) -> None:
        self.moved = 0

    def move(self, seconds: int) -> None:
        """Set it forward, or back."""
        sys.modules["embedded_db._native"]._shift_clock(seconds * 1_000_000)
        self.moved += seconds


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that a test may set; it is right again afterwards."""
    clock = Clock()
    yield clock
    clock.move(-clock.moved)


@pytest.fixture
def in_threads() -> Callable[..., None]:
    """Run functions in threads of their own; the first error of any is raised."""

    def run(*targets: Callable[[], object]) -> None:
        errors: list[BaseException] = []

        def guarded(target: Callable[[], object]) -> None:
            try:
                target()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=300)
            assert not thread.is_alive(), "no thread waits for ever"
        if errors:
            raise errors[0]

    return run


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start Python programs whose output is read line by line; ended with the test."""
    children: list[subprocess.Popen[str]] = []

    def start(code: str, *args: object) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a Python program to its end; one that crashes tells where its threads stood."""

    def run(code: str, *args: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code), *map(str, args)],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            check=False,
        )

    return run


@pytest.fixture
def real_models() -> None:
    """Skip, visibly, where the default models are not installed."""
    for package in ("embedded_db_minilm", "onnxruntime", "tokenizers"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make build, or embedded-db[local]")


@pytest.fixture
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty Redis of its own; skipped, visibly, where there is none."""
    pytest.importorskip("redis", reason='redis is not installed: pip install "embedded-db[redis]"')
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Find a file of the measurement data; skip, visibly, where it is absent."""

    def find(name: str) -> Path:
        file = DATA / name
        if not file.exists():
            pytest.skip(f"the measurement data {name} is not on this machine")
        return file

    return find
