"""Promise: whatever is stored is shown as text in every view: ids, labels, names, values, types.

Were it markup, or a program, a title of the page would change, a dialog would open, or an element
would be there that the page has never made. What the policy of the page would stop is not even
tried: then the browser would say so, and the fixture `opened` would hear it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from embedded_db import EmbeddedDB
from embedded_db.server import Server

from .conftest import built

pytestmark = built

MARKUP = (
    '"\'><img src=x onerror="document.title=1"><script>document.title=2</script>'
    "<svg onload=alert(3)>"
)
TEMPLATES = "${alert(1)} {{7*7}} javascript:alert(1) </textarea></style></title><!--"
ODD = "\u202egpj.exe \u0007\x1b[31m\u2028 \U000e0041 \ufeff" + "Ⓩ" * 3
HOSTILE = [MARKUP, TEMPLATES, ODD]
# Elements that the page makes nowhere, or never with such an attribute.
FOREIGN = (
    "img:not(.brand img), script:not([src='/explorer/app.js']), iframe, object, embed,"
    "svg:not(.curve), [onerror], [onload], a[href^='javascript']"
)


@pytest.fixture
def hostile(db: EmbeddedDB) -> EmbeddedDB:
    chat = db.create_chat(id=f"chat {MARKUP}", title=MARKUP, topic=TEMPLATES)
    chat.add_messages(
        [
            {"id": f"{n} {text}", "content": f"hostile {text}", "sender": text}
            for n, text in enumerate(HOSTILE)
        ]
    )
    for n, text in enumerate(HOSTILE):
        properties = {
            "name": f"hostile {text}",
            text: text,
            "list": [text, {text: text}],
            "bytes": b"<b>",
        }
        db.create_node({"id": f"node {n} {text}", "label": text, "properties": properties})
        db.create_edge({"source": f"0 {MARKUP}", "target": f"node {n} {text}", "type": text})
    db.flush(timeout=60)
    return db


def test_in_every_view_a_text_is_a_text(
    hostile: EmbeddedDB, server: Server, opened: Callable[..., Any], picture: Callable[..., None]
) -> None:
    page = opened(server.url)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    def go(view: str, **parameters: str) -> None:
        page.evaluate(
            "([view, given]) => { location.hash = `#${view}?${new URLSearchParams(given)}` }",
            [view, parameters],
        )

    def harmless() -> None:
        assert page.locator(FOREIGN).count() == 0
        assert "Explorer" in page.title()
        assert dialogs == []

    def says(text: str) -> None:
        page.get_by_text(text).filter(visible=True).first.wait_for()
        harmless()

    thing = f"node 0 {MARKUP}"
    for mode in ("ask", "query", "recall"):
        go("search", q="hostile", mode=mode)
        says("<script>document.title=2</script>")
    picture(page, "-search")
    go("search", q=MARKUP, mode="query", label=MARKUP, node=thing)
    page.get_by_role("complementary", name="Node").get_by_text(
        "<svg onload=alert(3)>"
    ).first.wait_for()
    harmless()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Save").wait_for()
    assert page.get_by_label("Value of name").input_value() == f"hostile {MARKUP}"
    harmless()
    picture(page, "-editor")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Delete…").click()
    says("Delete this node?")
    page.get_by_role("button", name="Keep it").click()
    go("chats", id=f"chat {MARKUP}")
    says("hostile ${alert(1)} {{7*7}}")
    picture(page, "-chats")
    go("graph", id=f"0 {MARKUP}")
    says("6 nodes")
    picture(page, "-graph")
    go("graph")
    says(MARKUP[:30])
    go("map", x="social", y="abstract")
    page.get_by_role("heading", name="Most social").wait_for()
    says("hostile ${alert(1)}")
    picture(page, "-map")
    go("weaver")
    page.get_by_text("live", exact=True).wait_for()
    hostile.create_node({"id": f"new {MARKUP}", "label": TEMPLATES, "properties": {"name": MARKUP}})
    page.locator(".feed").get_by_text("new \"'><img").wait_for()
    harmless()
    picture(page, "-weaver")
    # In the address, too.
    go("search", q=MARKUP, near=MARKUP, node=MARKUP)
    says("There is no such node")


def test_namespaces_have_names_of_others_too(
    hostile: EmbeddedDB, server: Server, opened: Callable[..., Any]
) -> None:
    inner = hostile.namespace(MARKUP[:200])
    inner.create_node({"id": "inside", "label": "Thing", "properties": {"name": "inside"}})
    page = opened(server.url)
    page.get_by_label("Namespace").select_option(MARKUP[:200])
    page.locator(".card", has_text="nodes").get_by_text("1", exact=True).wait_for()
    page.reload()  # it is in the address
    page.locator(".card", has_text="nodes").get_by_text("1", exact=True).wait_for()
    assert page.locator(FOREIGN).count() == 0


def test_what_was_not_touched_stays_what_it_is(
    db: EmbeddedDB, server: Server, opened: Callable[..., Any]
) -> None:
    big = 2**63 - 1
    kept = {"list": [big, 1.5, -0.0, 1.0], "lines": "a\r\nb\rc\n", "one": 1.0, " name ": b"\0"}
    db.create_node({"id": "n", "label": "Thing", "properties": {"name": "n", "big": big, **kept}})
    page = opened(f"{server.url}/#search?node=n")
    page.get_by_text(str(big), exact=True).wait_for()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Value of big").fill(str(big - 1))
    page.get_by_role("button", name="Save").click()
    page.get_by_text(str(big - 1), exact=True).wait_for()
    node = db.get_node("n")
    assert repr(node.properties) == repr({"name": "n", "big": big - 1, **kept})
    # A whole number with a point is a float, and stays one when it is changed.
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Value of one").fill("2.0")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("2.0", exact=True).wait_for()
    assert repr(db.get_node("n")["one"]) == "2.0"


def test_an_address_with_a_namespace_that_is_not_there(
    hostile: EmbeddedDB, server: Server, opened: Callable[..., Any]
) -> None:
    page = opened(f"{server.url}/#chats?ns=nowhere")
    page.get_by_text("Choose a chat").wait_for()
    assert "nowhere" not in page.url
