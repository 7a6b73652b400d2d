"""Promise: a token is exactly 64 bytes, and the same ones in every form it takes.

A batch is one piece of memory that NumPy shares: what one writes the other reads. What is no token
is refused with a clear error, and nothing has changed then.
"""

import copy
import math
import pickle
import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_db import InvalidInput, Token, TokenArray
from embedded_db.tokens import AXES, TOKEN_DTYPE

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(
    lambda time: time.replace(tzinfo=UTC)
)
FIELDS = st.fixed_dictionaries(
    {"id": st.integers(0, 2**64 - 1)},
    optional={
        **dict.fromkeys([*AXES, "weight"], FLOATS),
        "flags": st.integers(0, 2**16 - 1),
        "created_at": TIMES,
        "updated_at": TIMES,
    },
)
LAYOUT = struct.Struct("<Q8ffHHqq")


def of(fields):
    return Token(fields["id"], **{name: fields[name] for name in fields if name != "id"})


def rss():
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError


# --- one token ------------------------------------------------------------------------------------


@given(FIELDS)
def test_a_token_has_what_it_was_given_in_the_documented_layout(fields):
    token = of(fields)
    for name, value in fields.items():
        assert getattr(token, name) == value
    assert token.coordinates == tuple(fields.get(axis, 0.0) for axis in AXES)
    assert token.weight == fields.get("weight", 1.0)
    data = token.to_bytes()
    assert len(data) == 64 == LAYOUT.size
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    times = [(getattr(token, f"{which}_at") - epoch) for which in ("created", "updated")]
    assert LAYOUT.unpack(data) == (
        token.id,
        *token.coordinates,
        token.weight,
        token.flags,
        1,
        *(time // timedelta(microseconds=1) for time in times),
    )


@given(FIELDS, FIELDS)
def test_every_form_of_a_token_gives_it_back(one, other):
    token, other = of(one), of(other)
    array = TokenArray.from_bytes(token.to_bytes() + other.to_bytes())
    assert Token.from_bytes(token.to_bytes()) == token == array[0]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(token, protocol)) == token
        assert pickle.loads(pickle.dumps(array, protocol)) == array
        assert pickle.loads(pickle.dumps(array[::-1], protocol)) == array[::-1]
    assert copy.copy(token) == copy.deepcopy(token) == token.clone() == token
    assert hash(token.clone()) == hash(token)
    assert TokenArray.from_numpy(array.to_numpy()) == array
    assert TokenArray.from_numpy(array.to_numpy().copy())[1] == other
    assert TokenArray.from_arrow(array.to_arrow()) == array
    assert TokenArray.from_bytes(array.to_bytes()) == array == array.clone()
    assert (token == array[1]) == (token.to_bytes() == array[1].to_bytes())


def test_a_token_never_changes_and_a_clone_may_differ():
    token = Token(42, emotional=0.5)
    with pytest.raises(AttributeError):
        token.emotional = 1.0
    other = token.clone(id=7, emotional=-1, weight=2)
    assert (other.id, other.emotional, other.weight, token.emotional) == (7, -1.0, 2.0, 0.5)
    assert other.created_at == token.created_at
    assert other.updated_at >= token.updated_at
    assert other != token != "a token"
    assert token.clone() is not token
    assert len({token, token.clone(), other}) == 2
    assert repr(other) == "Token(7, emotional=-1.0, weight=2.0)"
    begun = datetime.now(UTC)
    assert begun - timedelta(seconds=1) < Token(1).created_at < begun + timedelta(seconds=60)
    day = datetime(2020, 1, 1, tzinfo=UTC)
    assert Token(1, created_at=day).updated_at == day
    assert Token(1, created_at=day).clone().updated_at == day
    assert Token(1, created_at=day).clone(flags=1).updated_at > day


def test_a_token_takes_little_more_than_its_64_bytes():
    assert sys.getsizeof(Token(1)) <= 64 + 48
    assert TOKEN_DTYPE.itemsize == 64


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda: Token("42"), TypeError, None),
        (lambda: Token(None), TypeError, None),
        (lambda: Token(4.2), TypeError, None),
        (lambda: Token(), TypeError, None),
        (lambda: Token(-1), InvalidInput, "id is -1"),
        (lambda: Token(2**64), InvalidInput, "id is 18446744073709551616"),
        (lambda: Token(True), InvalidInput, "id is True"),
        (lambda: Token(1, social="x"), TypeError, None),
        (lambda: Token(1, social=math.nan), InvalidInput, "social is nan"),
        (lambda: Token(1, weight=math.inf), InvalidInput, "weight is inf"),
        (lambda: Token(1, motor=1e39), InvalidInput, "motor is 1e"),
        (lambda: Token(1, motor=10**400), InvalidInput, "motor is"),
        (lambda: Token(1, flags=-1), InvalidInput, "flags is -1"),
        (lambda: Token(1, flags=2**16), InvalidInput, "flags is 65536"),
        (lambda: Token(1, colour=1), TypeError, 'no field "colour"'),
        (lambda: Token(1, created_at=datetime(2020, 1, 1)), InvalidInput, "created_at"),
        (lambda: Token(1, updated_at=7), InvalidInput, "updated_at is 7"),
        (lambda: Token(1).clone(colour=1), TypeError, "colour"),
        (lambda: Token(1).clone(social=math.nan), InvalidInput, "social"),
        (lambda: Token.from_bytes(b"x" * 63), InvalidInput, "63 bytes"),
        (lambda: Token.from_bytes("x" * 64), TypeError, None),
        (lambda: Token.from_bytes(bytes(64)), InvalidInput, "version 0"),
        (lambda: TokenArray.from_bytes(bytes(65)), InvalidInput, "65 bytes"),
        (lambda: TokenArray.from_bytes(bytes(128)), InvalidInput, "version 0"),
        (lambda: TokenArray.from_bytes(None), TypeError, None),
        (lambda: TokenArray(), TypeError, None),
        (lambda: Token.create_batch(-1), InvalidInput, "count is -1"),
        (lambda: Token.create_batch(10**12), InvalidInput, "count is 1000000000000"),
        (lambda: Token.create_batch(2**64), InvalidInput, "count is"),
        (
            lambda: Token.create_batch(2, 2**64 - 1),
            InvalidInput,
            "first_id is 18446744073709551615",
        ),
        (lambda: Token.create_batch("7"), TypeError, None),
        (lambda: TokenArray.from_numpy(np.zeros(3)), InvalidInput, "dtype float64"),
        (lambda: TokenArray.from_numpy([Token(1)]), TypeError, None),
        (lambda: TokenArray.from_numpy(np.zeros(3, TOKEN_DTYPE)), InvalidInput, "version 0"),
        (
            lambda: TokenArray.from_numpy(np.zeros((2, 2), TOKEN_DTYPE)),
            InvalidInput,
            "2 dimensions",
        ),
        (
            lambda: TokenArray.from_numpy(np.zeros(3, TOKEN_DTYPE.newbyteorder(">"))),
            InvalidInput,
            "dtype",
        ),
        (lambda: TokenArray.from_arrow([1]), TypeError, "list"),
        (lambda: TokenArray.from_arrow(pa.table({"id": [1]})), InvalidInput, "no column physical"),
    ],
)
def test_what_is_no_token_is_refused(wrong, error, says):
    with pytest.raises(error) as raised:
        wrong()
    assert says is None or says in str(raised.value)


def test_a_table_that_does_not_fit_is_refused_by_its_column():
    table = Token.create_batch(2).to_arrow()
    at = table.column_names.index("flags")
    for values, says in [([1, None], "flags holds a null"), ([1, 2**16], "flags is of the type")]:
        with pytest.raises(InvalidInput, match=says):
            TokenArray.from_arrow(table.set_column(at, "flags", pa.array(values)))
    nan = pa.array([1.0, math.nan], pa.float32())
    with pytest.raises(InvalidInput, match="weight of the token 1 is NaN"):
        TokenArray.from_arrow(table.set_column(table.column_names.index("weight"), "weight", nan))
    doubled = pa.concat_tables([table, table])
    assert [token.id for token in TokenArray.from_arrow(doubled)] == [0, 1, 0, 1]


# --- many -----------------------------------------------------------------------------------------


def address(array):
    return array.__array_interface__["data"][0]


def test_numpy_and_the_tokens_are_one_memory():
    tokens = Token.create_batch(1000, first_id=10)
    array = tokens.to_numpy()
    assert address(array) == address(tokens.to_numpy()) == address(np.asarray(tokens))
    assert address(tokens.coordinates) == address(array) + 8
    assert address(tokens[7:].to_numpy()) == address(array) + 7 * 64
    assert address(TokenArray.from_numpy(array).to_numpy()) == address(array)
    assert address(tokens.clone().to_numpy()) != address(array)
    assert array.strides == (64,)
    array["social"][3] = 0.25
    assert tokens[3].social == tokens.coordinates[3, 5] == 0.25
    tokens.coordinates[4] = range(8)
    assert tokens[4].coordinates == tuple(range(8))
    tokens[5] = Token(77, abstract=1)
    assert (array["id"][5], array["abstract"][5]) == (77, 1.0)
    part = tokens[::-3]
    part[0] = Token(78)
    assert tokens[999].id == 78
    assert [token.id for token in part[1:3]] == [10 + 996, 10 + 993]
    taken = np.array(tokens)
    assert address(taken) != address(array)
    assert taken.dtype == TOKEN_DTYPE


@given(st.integers(0, 20), st.slices(20), st.integers(-25, 25))
def test_indices_and_slices_are_those_of_a_list(count, cut, at):
    tokens, model = Token.create_batch(count), list(range(count))
    assert len(tokens) == count
    assert [token.id for token in tokens] == model
    assert [token.id for token in tokens[cut]] == model[cut]
    try:
        expected = model[at]
    except IndexError:
        with pytest.raises(IndexError):
            tokens[at]
        with pytest.raises(IndexError):
            tokens[at] = Token(1)
    else:
        assert tokens[at].id == tokens[np.int64(at)].id == expected


def test_a_batch_is_whole():
    tokens = Token.create_batch(1_000_000)
    array = tokens.to_numpy()
    assert (array["id"] == np.arange(1_000_000, dtype="u8")).all()
    assert (array["weight"] == 1).all()
    assert (array["version"] == 1).all()
    assert not tokens.coordinates.any()
    assert len(set(array["created_at"].tolist())) == 1
    assert tokens[-1] == Token(999_999, created_at=tokens[0].created_at)
    assert Token.create_batch(1, 2**64 - 1)[0].id == 2**64 - 1


def test_wrong_uses_of_an_array_change_nothing():
    tokens = Token.create_batch(3)
    before = tokens.to_bytes()
    for wrong in ("1", None, 1.5, (0, 1)):
        with pytest.raises(TypeError):
            tokens[wrong]
        with pytest.raises(TypeError):
            tokens[wrong] = Token(1)
    with pytest.raises(TypeError):
        tokens[0] = 7
    with pytest.raises(TypeError, match="to_numpy"):
        tokens[0:2] = Token(9)
    with pytest.raises(NotImplementedError):
        del tokens[0]
    with pytest.raises(TypeError):
        hash(tokens)
    with pytest.raises(IndexError):
        tokens[2**70]
    assert tokens.to_bytes() == before
    fixed = tokens.to_numpy().copy()
    fixed.setflags(write=False)
    shared = TokenArray.from_numpy(fixed)
    with pytest.raises(InvalidInput, match="clone"):
        shared[0] = Token(9)
    assert shared == tokens != [Token(0)]


def test_the_shape_of_an_array_that_was_given_out_is_nobody_elses():
    tokens = Token.create_batch(6)
    array = tokens.to_numpy()
    array.shape = (2, 3)
    with pytest.raises(ValueError, match="resize"):
        array.base.resize(1)
    assert [token.id for token in tokens] == list(range(6))
    foreign = np.frombuffer(b"x" + tokens.to_bytes(), TOKEN_DTYPE, offset=1)
    assert TokenArray.from_numpy(foreign) == tokens
    del tokens
    assert array["id"].sum() == 15


def test_memory_is_given_back():
    """A million tokens made and dropped, one by one and together, leave nothing behind."""
    for _ in range(10_000):
        Token(1)
    Token.create_batch(1_000_000)
    before = rss()
    for number in range(1_000_000):
        Token(number)
    for _ in range(5):
        tokens = Token.create_batch(1_000_000)
        del tokens
    assert rss() - before < 4 << 20
