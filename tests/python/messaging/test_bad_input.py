"""Promise: what is wrong is said, with the name of the parameter, and nothing is published."""

import pytest

from embedded_db.errors import InvalidInput

WRONG = {
    "channel": [
        "",
        ".",
        "a.",
        "a..b",
        "a b",
        "a\n",
        "_a",
        "a.*",
        "x" * 1025,
        "\ud800",
        None,
        5,
        b"a",
    ],
    "priority": [-1, 10, 1.0, "1", None, True],
    "ttl": [0, -1, float("nan"), float("inf"), 10**400, "1", True],
    "key": ["", "x" * 1025, 5, "\ud800"],
    "timeout": [-1, float("nan"), "1", True],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_publishing(messaging, field, value):
    arguments = {"channel": "c", "message": 1} | {field: value}
    with messaging.MessageBus() as bus:
        if value is not None or field != "key":
            with pytest.raises(InvalidInput) as caught:
                bus.publish(**arguments)
            assert caught.value.field == field
            assert caught.value.hint
        assert bus.unclaimed == 0


@pytest.mark.parametrize("pattern", ["", "a.**.b", "a*", "***", "a..*", "_a", None])
def test_patterns(messaging, pattern):
    with messaging.MessageBus() as bus:
        for use in (bus.subscribe, bus.consume, bus.unsubscribe, bus.dead_letters):
            with pytest.raises(InvalidInput) as caught:
                use(pattern)
            assert caught.value.field == "channel"
        assert bus.stats() == []


def test_batches(messaging):
    with messaging.MessageBus() as bus:
        for messages in ("abc", b"abc", {"a": 1}, 5, None):
            with pytest.raises(InvalidInput) as caught:
                bus.publish_batch("c", messages)
            assert caught.value.field == "messages"
        for key in (["a"], ["a", 5], 5, {"a", "b"}):
            with pytest.raises(InvalidInput) as caught:
                bus.publish_batch("c", [1, 2], key=key)
            assert caught.value.field == "key"
        assert bus.publish_batch("c", []) == []
        assert bus.unclaimed == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity", 0),
        ("capacity", 1.5),
        ("capacity", True),
        ("overflow", "drop"),
        ("overflow", 5),
        ("ageing", 0),
        ("ack_deadline", -1),
        ("max_attempts", 0),
        ("durability", "memory"),
    ],
)
def test_options(messaging, field, value):
    with pytest.raises(InvalidInput) as caught:
        messaging.MessageBus(**{field: value})
    assert caught.value.field == field


def test_consuming(messaging):
    with messaging.MessageBus() as bus:
        for field, value in [("group", ""), ("group", 5), ("prefetch", 0), ("timeout", -1)]:
            with pytest.raises(InvalidInput) as caught:
                bus.consume("c", **{field: value})
            assert caught.value.field == field
        consumer = bus.consume("c")
        for arguments in ((0,), (1, -1), ("1",)):
            with pytest.raises(InvalidInput):
                consumer.receive(*arguments)
        bus.publish("c", 1)
        [message] = consumer.receive()
        for delay in (-1, "1", float("nan")):
            with pytest.raises(InvalidInput):
                message.nack(delay)
        with pytest.raises(InvalidInput):
            message.nack(reason="")
        assert message.ack()
        with pytest.raises(InvalidInput):
            bus.subscribe("c", callback="no function")
        with pytest.raises(InvalidInput):
            bus.request("c", 1, timeout=0)
        with pytest.raises(InvalidInput):
            messaging.unpack("text")
