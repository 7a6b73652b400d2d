"""Promise: whoever follows a database gets every change, in order and once, and delays nobody."""

import base64
import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from embedded_db import EmbeddedDB
from embedded_db.server import Server
from embedded_db.testing import FakeModel

from .conftest import ANNS, READ, TOKENS, Asking
from .websockets import PING, PONG, TEXT, WebSocket

STREAM = "/v1/changes/stream"


def followed(stream: WebSocket, wanted: int) -> list[dict]:
    changes: list[dict] = []
    while len(changes) < wanted:
        changes += stream.text()["changes"]
    return changes


def test_every_change_comes_once_and_in_order(db: EmbeddedDB, ask: Asking) -> None:
    early = [db.create_node({"label": "Thing"}) for _ in range(300)]
    first = next(db.changes()).lsn
    with closing(WebSocket(ask, f"{STREAM}?since={first}")) as stream:
        assert stream.status == 101
        late: list[str] = []
        writers = [
            threading.Thread(
                target=lambda: late.extend(db.create_node({"label": "Thing"}) for _ in range(100))
            )
            for _ in range(4)
        ]
        for writer in writers:
            writer.start()
        changes = followed(stream, 299 + 400)
        for writer in writers:
            writer.join()
    lsns = [change["lsn"] for change in changes]
    assert lsns == sorted(set(lsns))
    assert {change["id"] for change in changes} == {*early[1:], *late}
    told = [dataclasses.asdict(change) for change in db.changes(first)]
    assert changes == [{**change, "labels": list(change["labels"])} for change in told]


def test_labels_pick_and_now_is_where_it_begins(db: EmbeddedDB, ask: Asking) -> None:
    db.create_node({"label": "Wanted"})
    with (
        closing(WebSocket(ask, f"{STREAM}?label=Wanted")) as picky,
        closing(WebSocket(ask, STREAM)) as all_of_it,
    ):
        other = db.create_node({"label": "Other"})
        wanted = db.create_node({"labels": ["Wanted", "More"]})
        assert [change["id"] for change in followed(picky, 1)] == [wanted]
        assert [change["id"] for change in followed(all_of_it, 2)] == [other, wanted]


def test_a_namespace_is_followed_by_itself(db: EmbeddedDB) -> None:
    ann = db.namespace("ann")
    with Server(db, port=0, tokens=TOKENS) as server:
        guarded = Asking(*server.address)
        for path, token in ((STREAM, None), (STREAM, ANNS), ("/v1/weaver/stream", ANNS)):
            with closing(WebSocket(guarded, path, token)) as refused:
                assert refused.status in (401, 403)
        with (
            closing(WebSocket(guarded, f"{STREAM}?namespace=ann", ANNS)) as hers,
            closing(WebSocket(guarded, STREAM, READ)) as others,
        ):
            assert (hers.status, others.status) == (101, 101)
            mine = ann.create_node({"label": "Thing"})
            theirs = db.create_node({"label": "Thing"})
            assert [change["id"] for change in followed(hers, 1)] == [mine]
            assert [change["id"] for change in followed(others, 1)] == [theirs]


def test_where_it_cannot_begin_is_told_before_it_does(ask: Asking) -> None:
    for query, status in (("since=99999", 422), ("since=-1", 422), ("namespace=no", 404)):
        with closing(WebSocket(ask, f"{STREAM}?{query}")) as stream:
            assert stream.status == status
    plain = ask("GET", STREAM)
    assert (plain.status, plain.headers["Upgrade"]) == (426, "websocket")


@pytest.fixture
def impatient(db: EmbeddedDB) -> Iterator[Asking]:
    with Server(db, port=0, ping_interval=0.2, max_websockets=3) as server:
        yield Asking(*server.address)


def test_pings_keep_it_alive_and_silence_ends_it(db: EmbeddedDB, impatient: Asking) -> None:
    with (
        closing(WebSocket(impatient, STREAM)) as silent,
        closing(WebSocket(impatient, STREAM)) as lively,
    ):
        for _ in range(5):
            kind, data = lively.frame()
            assert kind == PING
            lively.send(PONG, data)
        assert silent.closed() == 1008
        node = db.create_node({"label": "Thing"})
        kind, data = lively.frame()
        while kind == PING:
            kind, data = lively.frame()
        assert node.encode() in data


def test_who_talks_or_sends_too_much_is_closed(db: EmbeddedDB, ask: Asking) -> None:
    with closing(WebSocket(ask, STREAM)) as talker:
        for _ in range(101):
            talker.send(TEXT, b"x")
        assert talker.closed() == 1008
    with closing(WebSocket(ask, STREAM)) as huge:
        # A frame that says it has a gigabyte: it is not waited for.
        huge.socket.sendall(b"\x81\xff" + (1 << 30).to_bytes(8, "big") + b"mask" + b"x" * 1000)
        assert huge.ended() in (None, 1009)
    with closing(WebSocket(ask, STREAM)) as next_one:
        node = db.create_node({"label": "Thing"})
        assert followed(next_one, 1)[0]["id"] == node


def test_more_than_may_be_there_are_refused(impatient: Asking) -> None:
    streams = [WebSocket(impatient, STREAM) for _ in range(3)]
    with closing(WebSocket(impatient, STREAM)) as fourth:
        assert fourth.status == 503
    for stream in streams:
        stream.close()
    until = time.monotonic() + 10
    while True:
        with closing(WebSocket(impatient, STREAM)) as again:
            if again.status == 101:
                break
        assert time.monotonic() < until


def test_nobody_waits_for_a_slow_reader(db: EmbeddedDB, ask: Asking) -> None:
    """One that reads nothing is dropped, or told to come again; meanwhile others get everything."""
    names = [f"{'long' * 60}{number}" for number in range(2)]
    with (
        closing(WebSocket(ask, STREAM, buffer=4096)) as slow,
        closing(WebSocket(ask, STREAM)) as quick,
    ):
        for _ in range(30):
            ids = db.create_nodes([{"labels": names} for _ in range(1000)])
            begun = time.monotonic()
            changes = followed(quick, 1000)
            assert changes[-1]["id"] == ids[-1]
            assert time.monotonic() - begun < 20
        eventually_gone(ask)
        assert slow.ended() in (None, 1013)


def eventually_gone(ask: Asking) -> None:
    until = time.monotonic() + 30
    while "edb_ws_connections 1" not in ask("GET", "/metrics").data.decode():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_weaver_tells_what_it_does(tmp_path) -> None:
    with EmbeddedDB(tmp_path / "woven.db", ml=FakeModel()) as db, Server(db, port=0) as server:
        ask = Asking(*server.address)
        with closing(WebSocket(ask, "/v1/weaver/stream")) as stream:
            assert stream.text()["per_job"]["embedding"]["done"] == 0
            db.create_chat().add_message("Alice went to Paris")
            while stream.text()["per_job"]["embedding"]["done"] == 0:
                pass


def test_the_end_of_the_server_is_told(db: EmbeddedDB) -> None:
    with Server(db, port=0) as server:
        ask = Asking(*server.address)
        streams = [WebSocket(ask, STREAM) for _ in range(3)]
        db.create_node({"label": "Thing"})
        assert [len(followed(stream, 1)) for stream in streams] == [1, 1, 1]
        server.stop()
        assert [stream.closed() for stream in streams] == [1001] * 3
        for stream in streams:
            stream.close()


def encoded(token: str) -> str:
    return "token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def test_a_page_gives_its_token_as_a_protocol(db: EmbeddedDB) -> None:
    # A browser lets a page give a WebSocket no header but this one.
    node = db.create_node({"label": "Thing"})
    with Server(db, port=0, tokens=TOKENS) as server:
        ask = Asking(*server.address)
        offered = f"embedded-db, {encoded(READ)}"
        with closing(WebSocket(ask, f"{STREAM}?since=0", protocols=offered)) as stream:
            assert stream.status == 101
            assert "sec-websocket-protocol: embedded-db\r\n" in stream.head.lower() + "\r\n"
            assert READ not in stream.head
            assert encoded(READ) not in stream.head
            assert followed(stream, 1)[0]["id"] == node
        for protocols, status in (
            (None, 401),
            ("embedded-db", 401),
            (f"embedded-db, {encoded(READ[:-1])}", 401),
            ("embedded-db, token.", 401),
            ("embedded-db, token.%%%", 401),
            (f"embedded-db, {READ}", 401),
            (f"embedded-db, {encoded(ANNS)}", 403),
        ):
            with closing(WebSocket(ask, STREAM, protocols=protocols)) as refused:
                assert refused.status == status, protocols
        # Another header is the one that counts, and for what is no WebSocket it counts alone.
        with closing(WebSocket(ask, STREAM, token="x" * 32, protocols=offered)) as refused:
            assert refused.status == 401
        headers = {"Sec-WebSocket-Protocol": offered}
        assert ask("GET", f"/v1/nodes/{node}", headers=headers).status == 401
