"""Promise: somebody who has never seen the Explorer does ten things with it, in a browser."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from embedded_db import EmbeddedDB
from embedded_db.server import Server

from .conftest import READ, TOKENS, WRITE, built

pytestmark = built

STORY = [
    ("Ann", "We should open the bakery in Lisbon in May"),
    ("Bob", "Lisbon is lovely, and Carol knows a baker there"),
    ("Carol", "The oven of the bakery is too old, I saw it"),
    ("Ann", "Then we buy a new oven before the opening"),
]
# Where names begin on the canvas that they are drawn on: what has nothing to its left.
NAMES = """
() => {
  const canvas = document.querySelector('.sigma-labels');
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const inked = (x, y) => x >= 0 && y >= 0 && y < height && data[(y * width + x) * 4 + 3] > 0;
  const found = [];
  for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) {
    const known = () => found.some(([a, b]) => x - a < 80 && Math.abs(y - b) < 20);
    if (inked(x, y) && !known()) found.push([x, y]);
  }
  return found;
}
"""
Opening = Callable[..., Any]
Keeping = Callable[..., None]


@pytest.fixture
def told(db: EmbeddedDB) -> EmbeddedDB:
    """A chat of a few messages and another one of many."""
    chat = db.create_chat(id="bakery", title="The bakery", topic="Opening in Lisbon")
    chat.add_messages(
        [{"id": f"m{n}", "sender": who, "content": what} for n, (who, what) in enumerate(STORY)]
    )
    long = db.create_chat(id="long", title="A long talk")
    long.add_messages([{"content": f"Message number {n}", "sender": "Dave"} for n in range(150)])
    db.flush(timeout=60)
    return db


def hub(db: EmbeddedDB, leaves: int) -> None:
    """A node with many edges."""
    db.create_node({"id": "hub", "label": "Hub", "properties": {"name": "The hub"}})
    ids = db.create_nodes(
        [{"label": "Leaf", "properties": {"name": f"leaf {n}"}} for n in range(leaves)]
    )
    db.create_edges([{"source": "hub", "target": leaf, "type": "HAS"} for leaf in ids])


def until(page: Any, condition: str, arg: Any = None) -> None:
    """Waits for a condition. The policy of the page forbids what Playwright would have for it."""
    end = time.monotonic() + 120
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def search(page: Any, text: str) -> None:
    page.get_by_role("searchbox").fill(text)
    page.keyboard.press("Enter")
    page.get_by_text("found in").wait_for()


def test_01_see_what_there_is(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(server.url)
    nodes = told.stats()["nodes"]
    page.locator(".card", has_text="nodes").get_by_text(str(nodes), exact=True).wait_for()
    assert page.get_by_role("navigation", name="Views").get_by_role("link").all_inner_texts() == [
        "Search", "Graph", "Chats", "Map", "Weaver",
    ]  # fmt: skip
    picture(page)


def test_02_ask_and_see_why(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(server.url)
    search(page, "who knows a baker in Lisbon?")
    first = page.locator(".hits li").first
    assert "Bob" in first.inner_text()
    assert "BM25" in first.inner_text()
    assert "cosine" in first.inner_text()
    [best] = told.search("who knows a baker in Lisbon?", limit=1)
    assert f"{best.score:.3f}" == first.locator(".score").inner_text()
    picture(page)


def test_03_look_at_the_plan(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(f"{server.url}/#search?q=oven&mode=query")
    page.get_by_text("Plan", exact=True).click()
    plan = page.locator(".plan table")
    assert {"vectors", "text", "fuse"} <= set(plan.locator("tbody th").all_inner_texts())
    picture(page)


def test_04_narrow_a_query(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(server.url)
    page.get_by_label("Query").check()
    page.get_by_label("meaning").uncheck()
    page.get_by_label("label", exact=True).fill("Message")
    page.get_by_label("around node").fill("bakery")
    search(page, "oven")
    hits = page.locator(".hits li")
    assert set(hits.evaluate_all("all => all.map(it => it.dataset.id)")) == {"m2", "m3"}
    assert "cosine" not in page.locator(".hits").inner_text()
    page.reload()  # the address says all of it
    page.get_by_text("2 found in").wait_for()
    picture(page)


def test_05_read_a_chat(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(f"{server.url}/#search?q=oven")
    page.locator(".hits button.open").first.click()
    page.get_by_role("button", name="Chat", exact=True).click()
    bubbles = page.locator(".bubble")
    bubbles.first.wait_for()
    assert [it.split("\n")[-1] for it in bubbles.all_inner_texts()] == [what for _, what in STORY]
    assert page.locator(".bubble.selected").get_attribute("data-id") in ("m2", "m3")
    picture(page)
    page.get_by_role("navigation", name="Chats").get_by_text("A long talk").click()
    page.get_by_text("Message number 99", exact=True).wait_for()
    assert bubbles.count() == 100
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_text("Message number 149", exact=True).wait_for()
    page.get_by_role("button", name="Newest first").click()
    page.get_by_role("button", name="Oldest first").wait_for()
    until(page, "document.querySelector('.bubble')?.innerText.includes('number 149')")


def test_06_walk_the_graph(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    hub(told, 120)
    told.create_edge({"source": "m0", "target": "hub", "type": "SEES"})
    page = opened(f"{server.url}/#graph?id=m0")
    panel = page.get_by_role("complementary", name="Node")
    panel.get_by_role("button", name="The hub").click()
    # A page of the hub's edges, and no more.
    page.get_by_text("50 edges of").wait_for()
    page.get_by_role("button", name="50 more", exact=True).click()
    page.get_by_text("100 edges of").wait_for()
    page.get_by_role("button", name="1,000 more").click()
    until(page, "document.querySelector('.actions')?.innerText.includes('edges of') === false")
    until(page, "!document.querySelector('.told')?.innerText.includes('…')")
    shown = page.locator("main.graph .told").inner_text()
    assert int(shown.split()[0]) >= 123
    picture(page)


def test_06b_a_click_expands(told: EmbeddedDB, server: Server, opened: Opening) -> None:
    told.create_node({"id": "a", "label": "Thing", "properties": {"name": "first"}})
    told.create_node({"id": "b", "label": "Thing", "properties": {"name": "second"}})
    told.create_node({"id": "c", "label": "Thing", "properties": {"name": "third"}})
    told.create_edge({"source": "a", "target": "b", "type": "LEADS_TO"})
    told.create_edge({"source": "b", "target": "c", "type": "LEADS_TO"})
    page = opened(f"{server.url}/#graph?id=a")
    until(page, "document.querySelector('.told')?.innerText === '2 nodes, 1 edge'")
    page.get_by_role("button", name="Arrange", exact=True).wait_for()
    # A node lies before its name, as soon as the last picture is drawn.
    tried = 0
    while "second" not in page.locator(".panel h2").inner_text():
        assert tried < 100, "no click has met the node"
        box = page.locator(".canvas").bounding_box()
        names = page.evaluate(NAMES)
        if names:
            x, y = names[tried % len(names)]
            page.mouse.click(box["x"] + x - 9, box["y"] + y)
        page.wait_for_timeout(400)  # two clicks at once are a double one
        tried += 1
    until(page, "document.querySelector('.told')?.innerText.startsWith('3 nodes, 2 edges')")


def test_07_look_at_the_map(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(f"{server.url}/#map")
    page.get_by_text("154 nodes", exact=True).wait_for()
    page.get_by_label("Across").select_option("temporal")
    page.get_by_role("heading", name="Most temporal").wait_for()
    tokens = told.tokens()
    at = int(tokens.to_numpy()["temporal"].argmax())
    [far] = told.token_ids(tokens[at : at + 1])
    most = page.locator(".ends section", has_text="Most temporal").locator("button").first
    assert most.get_attribute("data-id") == far
    most.click()
    content = told.get_node(far)["content"]
    page.get_by_role("complementary", name="Node").get_by_text(content).first.wait_for()
    picture(page)


def test_08_watch_the_weaver(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(f"{server.url}/#weaver")
    page.get_by_text("live", exact=True).wait_for()
    row = page.locator("tr", has=page.locator("th", has_text="embedding")).first
    done = int(row.locator("td").nth(3).inner_text())
    page.get_by_text("Nothing has changed").wait_for()
    [message] = told.create_chat(id="new").add_messages([{"content": "Eve has come", "id": "eve"}])
    page.locator(".feed").get_by_role("button", name=message.id).wait_for()
    until(
        page,
        "n => { const row = it => it.cells[0].innerText === 'embedding';"
        "return Number([...document.querySelectorAll('tr')].find(row).cells[4].innerText) > n }",
        arg=done,
    )
    picture(page)


def test_09_change_a_node(told: EmbeddedDB, opened: Opening, picture: Keeping) -> None:
    told.create_node(
        {"id": "ann", "label": "Person", "properties": {"name": "Ann", "age": 7, "old": True}}
    )
    with Server(told, port=0, tokens=TOKENS) as guarded:
        page = opened(guarded.url)
        page.get_by_text("This server asks for a token").wait_for()
        token = page.get_by_role("dialog").get_by_label("Token")
        token.fill(READ)
        page.get_by_role("button", name="Use it").click()
        page.get_by_text("Token: read only").wait_for()
        page.evaluate("location.hash = '#search?node=ann'")
        page.get_by_role("button", name="Edit…").click()
        page.get_by_text("Changes need a token that may write").wait_for()
        token.fill(WRITE)
        page.get_by_role("button", name="Use it").click()
        page.get_by_text("Token: may write").wait_for()
        page.get_by_role("button", name="Edit", exact=True).click()
        page.get_by_label("Value of name").fill("Anna")
        page.get_by_label("Value of age").fill("8")
        page.get_by_label("Remove old").click()
        page.get_by_role("button", name="Add a property").click()
        page.get_by_label("Name of the property").last.fill("tags")
        page.get_by_label("Kind of the value").last.select_option("JSON")
        page.get_by_label("Value of the property").fill('["x", {"$time": "2024-05-01T07:30:00Z"}]')
        picture(page, "-editor")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("heading", name="Anna").wait_for()
        assert told.get_node("ann").properties.keys() == {"name", "age", "tags"}
        assert told.get_node("ann")["age"] == 8
        # Somebody else was quicker.
        page.get_by_role("button", name="Edit", exact=True).click()
        told.update_node("ann", {"age": 9})
        page.get_by_label("Value of age").fill("10")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("alert").get_by_text("Conflict").wait_for()
        assert told.get_node("ann")["age"] == 9
        picture(page)
        page.get_by_role("button", name="Read it anew").click()
        page.get_by_text("9", exact=True).wait_for()
        # The token is in no address and outlives no tab.
        assert WRITE not in page.url
        assert page.evaluate("localStorage.length") == 0


def test_10_with_the_keyboard_alone(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    page = opened(server.url, color_scheme="dark")
    page.get_by_text("look at the").wait_for()
    press = page.keyboard.press
    press("Escape")  # the field of the search has the keys at first
    press("5")
    page.get_by_text("live", exact=True).wait_for()
    press("/")
    page.get_by_role("searchbox").wait_for()
    page.keyboard.type("oven")
    press("Enter")
    page.get_by_text("found in").wait_for()
    page.locator("button.open").first.focus()
    press("ArrowDown")
    press("Enter")
    panel = page.get_by_role("complementary", name="Node")
    panel.wait_for()
    second = page.locator(".hits li").nth(1)
    assert "selected" in second.get_attribute("class")
    picture(page)
    press("Escape")
    panel.wait_for(state="hidden")
    press("?")
    page.get_by_role("dialog").get_by_text("from hit to hit").wait_for()
    press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) < 60
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_make_and_delete_a_node(told: EmbeddedDB, server: Server, opened: Opening) -> None:
    page = opened(server.url)
    page.get_by_role("button", name="New node").click()
    page.get_by_label("Labels").fill("Person, Friend")
    page.get_by_label("Value of name").fill("Eve")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="Eve").wait_for()
    [eve] = told.nodes(label="Friend")
    assert eve["name"] == "Eve"
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Keep it").click()
    assert told.exists(eve.id)
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("complementary", name="Node").wait_for(state="hidden")
    assert not told.exists(eve.id)


def test_ten_thousand_nodes_leave_the_page_usable(
    told: EmbeddedDB, server: Server, opened: Opening, picture: Keeping
) -> None:
    hub(told, 10_000)
    page = opened(f"{server.url}/#graph?id=hub")
    page.set_default_timeout(60_000)
    buttons = "[...document.querySelectorAll('main.graph button')]"
    more = f"{buttons}.find(it => it.innerText === '1,000 more')"
    until(
        page,
        f"({more})?.click(), document.querySelector('.told')?.innerText.startsWith('10,001 nodes')",
    )
    # It is arranged in a thread of its own: keys and clicks are answered meanwhile.
    page.get_by_role("button", name="Stop arranging").wait_for()
    page.get_by_role("link", name="Search").click()
    search(page, "oven")
    page.get_by_role("link", name="Graph").click()
    page.get_by_text("10,001 nodes").wait_for()
    picture(page)


def test_an_empty_database_says_so(server: Server, opened: Opening, picture: Keeping) -> None:
    page = opened(server.url)
    for view, said in [
        ("search", "Nothing is stored here yet"),
        ("chats", "There are no chats"),
        ("map", "Nothing is embedded yet"),
        ("graph", "Where to begin?"),
        ("weaver", "Nothing has changed"),
    ]:
        page.evaluate(f"location.hash = '#{view}'")
        page.get_by_text(said).wait_for()
    page.evaluate("location.hash = '#search?q=nothing'")
    page.get_by_text("Nothing was found").wait_for()
    picture(page)


def test_what_fails_is_told(told: EmbeddedDB, opened: Opening, picture: Keeping) -> None:
    server = Server(told, port=0, tokens=TOKENS)
    page = opened(f"{server.url}/#search?node=nobody")
    token = page.get_by_role("dialog").get_by_label("Token")
    token.fill("wrong")
    page.get_by_role("button", name="Use it").click()
    page.get_by_text("the token is not known").wait_for()
    page.get_by_role("dialog").get_by_label("Token").fill(WRITE)
    page.get_by_role("button", name="Use it").click()
    page.get_by_text("There is no such node").wait_for()
    page.evaluate("location.hash = '#graph?id=nobody'")
    page.get_by_role("alert").get_by_text("NotFound").wait_for()
    page.evaluate("location.hash = '#weaver'")
    page.get_by_text("live", exact=True).wait_for()  # a WebSocket with a token
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    page.get_by_text("not connected").wait_for()
    stopping.join()
    page.evaluate("location.hash = '#search?q=oven'")
    page.get_by_text("The server does not answer").wait_for()
    picture(page)


def test_without_webgl_the_nodes_are_listed(
    told: EmbeddedDB, server: Server, opened: Opening
) -> None:
    no_webgl = """
    const given = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
        return kind.startsWith("webgl") ? null : given.call(this, kind, ...more);
    };
    """
    page = opened(f"{server.url}/#graph?id=m0", script=no_webgl)
    page.get_by_text("This browser does not draw graphs").wait_for()
    panel = page.get_by_role("complementary", name="Node")
    panel.get_by_role("button", name="The bakery").click()
    panel.get_by_role("heading", name="The bakery").wait_for()
    page.get_by_role("link", name="Map").click()
    page.get_by_text("This browser does not draw maps").wait_for()
    page.get_by_role("heading", name="Most social").wait_for()
