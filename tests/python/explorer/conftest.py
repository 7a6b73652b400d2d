"""A database that is served, and a browser that looks at it.

Chromium is that of the system; `scripts/install-test-tools` installs it on Debian. Every page is
watched: what it writes as an error, what the policy of the page forbids and what it asks of anybody
else fails its test. What each test has come to see is kept as a picture in build/explorer.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_db import EmbeddedDB
from embedded_db.server import Server, explorer_files
from embedded_db.testing import FakeModel

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / "build" / "explorer"
READ = "read-0123456789abcdef01234567"
WRITE = "write-0123456789abcdef01234567"
TOKENS = f"read {READ}\nwrite {WRITE}\n"
# Requests that fail are shown by the page; the browser writes them down as well.
EXPECTED = re.compile(r"Failed to load resource|WebSocket connection to")

built = pytest.mark.skipif(
    not explorer_files(), reason="make explorer (which needs Node.js) was not run"
)


def chromium() -> str | None:
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # Of a module: while Playwright runs, other tests of the process cannot begin an event loop.
    playwright = pytest.importorskip("playwright.sync_api")
    program = chromium()
    if program is None:
        pytest.skip("there is no chromium; scripts/install-test-tools installs it")
    # Drawn by the processor; root has no sandbox.
    arguments = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[EmbeddedDB]:
    with EmbeddedDB(tmp_path / "shown.db", ml=FakeModel()) as db:
        yield db


@pytest.fixture
def server(db: EmbeddedDB) -> Iterator[Server]:
    with Server(db, port=0) as server:
        yield server


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; what goes wrong in one of them is told at the end."""
    wrong: list[str] = []
    contexts = []

    def open(url: str, script: str = "", **options: Any) -> Any:
        options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
        context = browser.new_context(timezone_id="UTC", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.add_init_script(script)
        origin = "/".join(url.split("/")[:3])

        def asked(request: Any) -> None:
            if not request.url.startswith((origin + "/", "data:,")):
                wrong.append(f"it asks {request.url}")

        def said(message: Any) -> None:
            if message.type == "error" and not EXPECTED.search(message.text):
                wrong.append(message.text)

        page.on("request", asked)
        page.on("console", said)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        return page

    yield open
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keeps what a page shows, under the name of the test."""

    def keep(page: Any, suffix: str = "") -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        name = request.node.name.removeprefix("test_")
        page.screenshot(path=PICTURES / f"{name}{suffix}.png")

    return keep
