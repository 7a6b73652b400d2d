"""What docs/file-format.md says is what lies on the disk.

A reader written from that document alone finds the columns of a database: it walks the pages of
LMDB, checks the seals and decodes the rows with nothing of ours, and compares them with the nodes.
"""

import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from embedded_db import EmbeddedDB

START = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# ---------------------------------------------------------------------- LMDB, data version 1

BRANCH, LEAF, OVERFLOW_VALUE, SUBTREE = 0x01, 0x02, 0x01, 0x02
MAGIC = 0xBEEFC0DE


class Lmdb:
    """The newest state of a `data.mdb`, on a little-endian machine of 64 bits."""

    def __init__(self, file: Path) -> None:
        self.data = file.read_bytes()
        self.size = struct.unpack_from("<I", self.data, 16 + 24)[0]
        metas = [self._meta(0), self._meta(self.size)]
        self.root = max(metas)[1]

    def _meta(self, at: int) -> tuple[int, int]:
        """Transaction and root page of the directory of tables."""
        magic, version = struct.unpack_from("<II", self.data, at + 16)
        assert (magic, version) == (MAGIC, 1)
        # Two records of 48 bytes, that of free pages and that of tables; each ends with its root.
        (root,) = struct.unpack_from("<Q", self.data, at + 40 + 48 + 40)
        (transaction,) = struct.unpack_from("<Q", self.data, at + 40 + 96 + 8)
        return transaction, root

    def rows(self, root: int) -> Iterator[tuple[bytes, bytes, int]]:
        """Keys and values below a page, in the order of their keys."""
        if root == 2**64 - 1:
            return
        at = root * self.size
        kind, lower = struct.unpack_from("<HH", self.data, at + 10)
        for node in struct.unpack_from(f"<{(lower - 16) // 2}H", self.data, at + 16):
            low, high, flags, key_size = struct.unpack_from("<HHHH", self.data, at + node)
            key = self.data[at + node + 8 : at + node + 8 + key_size]
            if kind & BRANCH:
                yield from self.rows(low | high << 16 | flags << 32)
                continue
            assert kind & LEAF
            size, begin = low | high << 16, at + node + 8 + key_size
            if flags & OVERFLOW_VALUE:
                (page,) = struct.unpack_from("<Q", self.data, begin)
                begin = page * self.size + 16
            yield key, self.data[begin : begin + size], flags

    def table(self, name: str) -> dict[bytes, bytes]:
        for key, value, flags in self.rows(self.root):
            if flags & SUBTREE and key == name.encode():
                (root,) = struct.unpack_from("<Q", value, 40)
                return {key: value for key, value, _ in self.rows(root)}
        raise AssertionError(f"no table {name}")


# ---------------------------------------------------------------------- sealed values

CRC = [0] * 256
for byte in range(256):
    register = byte
    for _ in range(8):
        register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    CRC[byte] = register


def unsealed(table: int, key: bytes, value: bytes) -> bytes:
    payload, seal = value[:-4], struct.unpack("<I", value[-4:])[0]
    register = 0xFFFFFFFF ^ table
    for byte in key + payload:
        register = register >> 8 ^ CRC[(register ^ byte) & 255]
    assert register ^ 0xFFFFFFFF == seal, key.hex()
    return payload


def test_the_example_of_the_document() -> None:
    assert unsealed(3, b"key", bytes.fromhex("76616c7565 2d0e4433")) == b"value"


# ---------------------------------------------------------------------- columns

COLUMNS, TIMESTAMP, FIRST_ON_DEMAND, DEFAULT_NAMESPACE = 11, 20, 256, 1
MUST_BE_READ = object()


def value_of(type: int, raw: bytes) -> Any:
    number: int = struct.unpack("<q", raw)[0]
    match type:
        case 1:
            assert number == 0
            return None
        case 2 | 3:
            assert number == type - 2
            return bool(number)
        case 4:
            return number
        case 5:
            return struct.unpack("<d", raw)[0]
        case 6:
            return EPOCH + timedelta(microseconds=number)
        case 8 | 9 | 10:
            assert number == 0
            return MUST_BE_READ
        case _:
            raise AssertionError(type)


def columns(path: Path) -> dict[int, dict[int, Any]]:
    """For each index, what its column has of each slot of the default namespace."""
    found: dict[int, dict[int, Any]] = {}
    generation = next(path.glob("gen-*"))
    for key, value in Lmdb(generation / "data.mdb").table("columns").items():
        namespace, index, number = struct.unpack(">III", key)
        assert namespace == DEFAULT_NAMESPACE
        payload = unsealed(COLUMNS, key, value)
        count = payload[0]
        assert 1 <= count <= 128
        assert len(payload) == 1 + count + 8 * count
        assert payload[count] != 0, "a row ends with a value"
        for at in range(count):
            type, raw = payload[1 + at], payload[1 + count + 8 * at :][:8]
            if type == 0:
                assert raw == bytes(8)
            else:
                found.setdefault(index, {})[number * 128 + at] = value_of(type, raw)
    return found


VALUES: list[Any] = [
    7,
    -(2**63),
    2**53 + 1,
    0.5,
    -0.0,
    math.inf,
    None,
    True,
    False,
    START,
    datetime(1, 1, 1, tzinfo=UTC),
    b"bytes",
    [1],
    {"a": 1},
]


def same(found: object, stored: object) -> bool:
    if isinstance(stored, bytes | list | dict):
        return found is MUST_BE_READ
    return (type(found), repr(found)) == (type(stored), repr(stored))


def test_columns_are_as_the_document_says(path: Path) -> None:
    stored: dict[int, Any] = {}  # by slot: slots are given in order
    with EmbeddedDB(path, ml=None) as db:
        db.create_index("N", "deep.v")
        made = []
        for slot in range(700):
            value = "a text" if slot % 3 == 0 else VALUES[slot % len(VALUES)]
            properties = {"deep": {"v": value}, "timestamp": value} if slot % 5 else {}
            made.append({"label": "N", "properties": properties})
            if slot % 3 and slot % 5:
                stored[slot] = value
        ids = db.create_nodes(made)
        for slot in range(500, 700):
            db.delete_node(ids[slot])
            stored.pop(slot, None)
        db.update_node(ids[3], {"deep": {"v": 1.5}, "timestamp": 1.5})
        stored[3] = 1.5
        db.update_node(ids[4], {"deep": {"v": "now a text"}, "timestamp": "now a text"})
        stored.pop(4)
    read = columns(path)
    assert set(read) == {TIMESTAMP, FIRST_ON_DEMAND}
    for index in (TIMESTAMP, FIRST_ON_DEMAND):
        assert set(read[index]) == set(stored)
        assert all(same(read[index][slot], value) for slot, value in stored.items())
