"""Is the Explorer quick? From opening its address to the first view, and how long a walk through
ten thousand nodes keeps the page from answering.

usage: python benches/explorer.py   (after make explorer and scripts/install-test-tools)
"""

import gzip
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from embedded_db import EmbeddedDB
from embedded_db.server import Server, explorer_files

LEAVES = 10_000
# Tasks of 50 ms and longer: what a browser calls long.
WATCH = """
window.long = [];
const seen = list => { for (const it of list.getEntries()) window.long.push(it.duration); };
new PerformanceObserver(seen).observe({entryTypes: ['longtask']});
"""


def first_view(page: Page, url: str) -> float:
    begun = time.perf_counter()
    page.goto(url)
    page.locator(".card").first.wait_for()
    return time.perf_counter() - begun


def main() -> None:
    files = explorer_files()
    compressed = sum(len(gzip.compress(data)) for data in files.values())
    print(f"{platform.machine()}, {os.cpu_count()} cores; drawn by the processor (SwiftShader)")
    print(
        f"files: {sum(map(len, files.values())) / 1e3:.0f} kB, {compressed / 1e3:.0f} kB compressed"
    )
    with tempfile.TemporaryDirectory() as folder, EmbeddedDB(Path(folder) / "db", ml=None) as db:
        db.create_node({"id": "hub", "label": "Hub", "properties": {"name": "The hub"}})
        ids = db.create_nodes(
            [{"label": "Leaf", "properties": {"name": f"{n}"}} for n in range(LEAVES)]
        )
        db.create_edges([{"source": "hub", "target": leaf, "type": "HAS"} for leaf in ids])
        with Server(db, port=0) as server, sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=arguments
            )
            views = [first_view(browser.new_page(), server.url) for _ in range(7)]
            median, longest = statistics.median(views) * 1e3, max(views) * 1e3
            print(f"first view: median {median:.0f} ms, longest {longest:.0f} ms")
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.add_init_script(WATCH)
            page.set_default_timeout(120_000)
            begun = time.perf_counter()
            page.goto(f"{server.url}/#graph?id=hub")
            for shown in range(50, LEAVES, 1_000):
                page.get_by_text(f"{shown:,} edges of").wait_for()
                page.get_by_role("button", name="1,000 more").click()
            page.get_by_text(f"{LEAVES + 1:,} nodes").wait_for()
            shown = time.perf_counter() - begun
            page.get_by_role("button", name="Arrange", exact=True).wait_for()
            arranged = time.perf_counter() - begun
            long = page.evaluate("window.long")
            print(
                f"{LEAVES + 1:,} nodes: shown after {shown:.1f} s, arranged after {arranged:.1f} s"
            )
            median, longest = statistics.median(long), max(long)
            print(f"long tasks: {len(long)}, median {median:.0f} ms, longest {longest:.0f} ms")
            browser.close()


if __name__ == "__main__":
    main()
