"""Promise: what is published arrives as it was, as MessagePack that others read, or is refused."""

import importlib.util
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from types import ModuleType
from typing import Any
from uuid import UUID

import msgpack
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import fallback

from embedded_db.errors import BadText, InvalidInput, ValueTooLarge
from embedded_db.messaging import codec

MOMENTS = st.datetimes(timezones=st.just(UTC))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=300)
    | MOMENTS
)
KEYS = st.text(max_size=5) | st.integers(-100, 100) | st.booleans() | st.none()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(KEYS, inner, max_size=20),
    max_leaves=30,
)


def in_python() -> ModuleType:
    """The codec over what msgpack is where it has no C extension."""
    found = importlib.util.find_spec("embedded_db.messaging.codec")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.packb = lambda value, **options: fallback.Packer(**options).pack(value)
    module.unpackb = fallback.unpackb
    return module


BOTH = (codec, in_python())


@given(VALUES)
def test_values_come_back(value):
    packed = [one.pack(value) for one in BOTH]
    assert packed[0] == packed[1]
    assert all(one.unpack(packed[0]) == value for one in BOTH)


@given(VALUES)
def test_others_read_and_write_the_same(value):
    data = codec.pack(value)
    assert data == msgpack.packb(value, datetime=True)
    assert msgpack.unpackb(data, timestamp=3, strict_map_key=False) == value


@given(VALUES, st.data())
def test_damaged_bytes_are_read_or_refused(value, data):
    damaged = bytearray(codec.pack(value))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(1, len(damaged))) :]
    check_unpacking(bytes(damaged))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    check_unpacking(data)


def check_unpacking(data):
    told = []
    for one in BOTH:
        try:
            told.append(repr(one.unpack(data)))
        except InvalidInput as error:
            told.append("refused" if error.hint else error)
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xa2a",
        b"\xa1\xff",
        b"\xd4\x05x",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\x90\x01",
        b"\xd6\xff\x00",
        b"\xd5\xff\x00\x00",
        b"\xc7\x0c\xff" + bytes(4) + b"\x7f" + bytes(7),
        b"\xd7\xff" + b"\xff" * 8,
        b"\x91" * 100_000,
    ],
    ids="empty unknown more short text extension count key early odd late nanos deep".split(),
)
def test_what_is_none_is_refused(data):
    for one in BOTH:
        with pytest.raises(InvalidInput):
            one.unpack(data)


@pytest.mark.parametrize("length", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_every_form_of_a_length(length):
    for value in ("x" * length, b"x" * length, [None] * length, {at: at for at in range(length)}):
        for one in BOTH:
            assert one.unpack(one.pack(value)) == value


@pytest.mark.parametrize(
    "number", [sign * 2**bits + off for sign in (1, -1) for bits in range(65) for off in (-1, 0, 1)]
)
def test_every_form_of_a_number(number):
    for one in BOTH:
        if -(2**63) <= number < 2**64:
            assert one.unpack(one.pack(number)) == number
        else:
            with pytest.raises(InvalidInput, match="64 bits"):
                one.pack([number])


class Moment(datetime):
    """As other packages have them."""


@pytest.mark.parametrize("kind", [datetime, Moment])
@pytest.mark.parametrize(
    "parts", [(1, 1, 1), (1969, 12, 31, 23, 59, 59, 999_999), (9999, 12, 31, 23, 59, 59, 999_999)]
)
def test_times_keep_their_microseconds_at_the_edges(kind, parts):
    west = timezone(timedelta(hours=-5))
    for one in BOTH:
        moment = kind(*parts, tzinfo=UTC)
        came = one.unpack(one.pack({"at": moment}))["at"]
        assert came == moment
        assert came.tzinfo is UTC
        assert type(came) is datetime
        if parts[0] == 9999:
            with pytest.raises(InvalidInput, match="9999"):
                one.pack(kind(*parts, tzinfo=west))


def through(messaging, value, model=None):
    with messaging.MessageBus() as bus:
        bus.publish("c", value)
        [message] = bus.consume("c", model=model).receive(timeout=0)
        return message.payload


def test_bytes_are_not_touched(messaging):
    data = bytes(range(256))
    with messaging.MessageBus() as bus:
        for value in (data, bytearray(data), memoryview(data)):
            bus.publish("c", value)
            [message] = bus.consume("c").receive(timeout=0)
            assert message.payload == message.body == data
            assert type(message.payload) is bytes
            message.ack()
    packed = messaging.pack([1])
    assert through(messaging, packed) == packed


def test_a_message_is_a_copy(messaging):
    value = {"list": [1]}
    with messaging.MessageBus() as bus:
        bus.publish("c", value)
        value["list"].append(2)
        [message] = bus.consume("c").receive(timeout=0)
        assert message.payload == {"list": [1]}


class Colour(StrEnum):
    RED = "red"


class Part(pydantic.BaseModel):
    id: UUID
    price: Decimal
    data: bytes
    colour: Colour
    made: datetime
    tags: set[str]
    local: datetime


class Order(pydantic.BaseModel):
    parts: list[Part]
    rate: float = math.inf


def test_pydantic_models_come_back_as_models(messaging):
    part = Part(
        id=UUID(int=5),
        price=Decimal("1.10"),
        data=b"\xff\x00",
        colour=Colour.RED,
        made=datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        tags={"a"},
        local=datetime(2026, 1, 1),
    )
    order = Order(parts=[part])
    assert through(messaging, order, Order) == order
    plain = through(messaging, order)
    assert plain["parts"][0]["data"] == b"\xff\x00"
    assert plain["parts"][0]["price"] == "1.10"


def test_what_is_no_such_model_is_said_when_it_is_read(messaging):
    with messaging.MessageBus() as bus:
        bus.publish("c", {"parts": 5})
        [message] = bus.consume("c", model=Order).receive(timeout=0)
        with pytest.raises(InvalidInput, match="no Order") as caught:
            _ = message.payload
        assert isinstance(caught.value.__cause__, pydantic.ValidationError)
        assert message.ack()


def test_models_are_published_in_batches_and_answered(messaging):
    order = Order(parts=[])
    with messaging.MessageBus() as bus:
        bus.publish_batch("c", [order, {"parts": []}])
        got = [one.payload for one in bus.consume("c", model=Order, timeout=0)]
        assert got == [order, order]
        with bus.subscribe("ask", callback=lambda one: one.reply(one.payload), model=Order):
            assert bus.request("ask", order, model=Order, timeout=30) == order


class Broken:
    def __repr__(self):
        raise RuntimeError


LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, 2**64, -(2**63) - 1, 1j, Broken(), LOOP, datetime(2026, 1, 1), UUID(int=1)],
    ids=["object", "set", "large", "small", "complex", "broken", "loop", "naive", "uuid"],
)
def test_what_has_no_form_is_refused(messaging, value):
    with messaging.MessageBus() as bus:
        with pytest.raises(InvalidInput):
            bus.publish("c", value)
        with pytest.raises(InvalidInput) as caught:
            bus.publish_batch("c", [1, value])
        assert caught.value.item == 1
        assert bus.unclaimed == 0


def test_text_that_is_none_and_what_is_too_large_is_refused(messaging):
    with messaging.MessageBus() as bus:
        with pytest.raises(BadText):
            bus.publish("c", {"a": "\ud800"})
        with pytest.raises(ValueTooLarge) as caught:
            bus.publish("c", bytes((16 << 20) + 1))
        assert caught.value.limit == 16 << 20
        bus.publish("c", bytes(16 << 20))


@pytest.mark.parametrize("wrapped", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_levels_are_bounded(wrapped):
    value = None
    for level in range(10_000):
        value = wrapped(value)
        if level == 200:
            for one in BOTH:
                assert one.unpack(one.pack(value)) == value
    for one in BOTH:
        with pytest.raises(InvalidInput, match="deep"):
            one.pack(value)
    while value:  # Freeing it at once would be as deep.
        value = value[0] if isinstance(value, list) else value["a"]


def test_memoryviews_with_gaps_are_refused_inside_and_copied_alone(messaging):
    gaps = memoryview(b"abcdef")[::2]
    assert through(messaging, gaps) == b"ace"
    with pytest.raises(InvalidInput, match="contiguous"):
        messaging.pack([gaps])


class Odd(pydantic.BaseModel, arbitrary_types_allowed=True):
    value: Any


def test_models_with_what_has_no_form_are_refused(messaging):
    for value in (2**64, {2**64}, object()):
        with pytest.raises(InvalidInput):
            messaging.pack(Odd(value=value))
