"""Arrow tables as rows of Python values, with the place of each in errors."""

from __future__ import annotations  # pyarrow is named in annotations, and need not be installed

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..arrays import float32
from ..errors import (
    DbError,
    DimensionMismatch,
    InvalidInput,
    NonFiniteVector,
    nearest,
)
from ..libraries import ARROW, library

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Batch", "Rows", "Vectors"]


MOST_ROWS: Final = 1 << 31


class Rows:
    """A table, read batch by batch.

    Args:
        what: nodes or edges, for errors.
        table: what is given.
        known: the columns that are no properties.
        size: most rows of a batch.
    """

    def __init__(self, what: str, table: object, known: Sequence[str], size: int) -> None:
        self.what = what
        self._known = known
        self._size = min(size, MOST_ROWS)
        self._reader = _reader(what, table)
        self.names: list[str] = self._reader.schema.names
        for name, count in Counter(self.names).items():
            if count > 1:
                raise InvalidInput(
                    f"the {what} have two columns {name!r}", hint="Rename or drop one of them"
                )
        self._convert = {
            field.name: _conversion(what, field.name, field.type)
            for field in self._reader.schema
            if field.name != "vector" or what != "nodes"
        }

    def require(self, *names: str) -> None:
        """Check that columns are there."""
        for name in names:
            if name not in self.names:
                raise InvalidInput(
                    f"the {self.what} have no column {name!r}", hint=nearest(name, self.names)
                )

    def batches(self) -> Iterator[Batch]:
        """Iterate over the rows, at most ``size`` at a time."""
        first = 0
        for whole in self._read():
            for begin in range(0, whole.num_rows, self._size):
                part = whole.slice(begin, self._size)
                yield self._batch(part, first + begin)
            first += whole.num_rows

    def _read(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        try:
            yield from self._reader
        except pa.ArrowException as error:
            raise InvalidInput(
                f"the {self.what} broke off: {error!s:.500}",
                hint="Give a table that can be read",
            ) from error

    def _batch(self, part: pa.RecordBatch, first: int) -> Batch:
        arrays = dict(zip(self.names, part.columns, strict=True))
        batch = Batch(self.what, first, part.num_rows, {}, arrays, self._known)
        for name, array in arrays.items():
            if name in self._convert:
                batch.columns[name] = _values(batch, name, array, self._convert[name])
            else:
                batch.columns[name] = []
        return batch


def _reader(what: str, table: object) -> pa.RecordBatchReader:
    pa = library("pyarrow", "load_arrow", ARROW)
    try:
        if hasattr(table, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(table)
        if hasattr(table, "__arrow_c_array__"):
            batch = pa.record_batch(table)
            return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidInput(
            f"{what} is no table of columns: {error}", hint="Give a table, not a single column"
        ) from error
    raise InvalidInput(
        f"{what} is {type(table).__name__}, which is no Arrow table",
        hint="Give a pyarrow Table or RecordBatch, a Polars or pandas DataFrame, or anything else "
        "with __arrow_c_stream__",
    )


@dataclass
class Batch:
    """Rows as Python values, by column."""

    what: str
    first: int
    size: int
    columns: dict[str, list[Any]]
    arrays: dict[str, pa.Array]
    known: Sequence[str]

    def value(self, name: str, at: int) -> Any:
        """Give a value; None when it is null or there is no such column."""
        column = self.columns.get(name)
        return None if column is None else column[at]

    def text(self, name: str, at: int) -> str:
        """Give a text, which must be there."""
        value = self.value(name, at)
        if not isinstance(value, str):
            raise self.problem(name, at, f"it is {value!r:.60}", "It has to be a text")
        return value

    def properties(self, at: int) -> dict[str, Any]:
        """Give the properties: of the column of that name, or all columns that are left.

        A null in a column or a field of a struct is a property that is not there.
        """
        if "properties" in self.columns:
            given = self.columns["properties"][at]
            if given is None:
                return {}
            if isinstance(given, dict):
                return given
            raise self.problem(
                "properties", at, f"it is {given!r:.60}", "It has to be a struct or a map"
            )
        return {
            name: column[at]
            for name, column in self.columns.items()
            if name not in self.known and column[at] is not None
        }

    def problem(self, column: str, at: int, what: str, hint: str) -> InvalidInput:
        """Build the error for a value; ``row`` counts from 0 over the whole table."""
        row = self.first + at
        return InvalidInput(
            f"column {column!r} of {self.what}, row {row}: {what}",
            hint=hint,
            column=column,
            row=row,
        )

    def located(self, error: DbError, column: str | None, at: int | None) -> DbError:
        """Give an error of the database with the place it is about."""
        if at is None:
            place, row = f"rows {self.first} to {self.first + self.size - 1}", None
        else:
            row = self.first + at
            place = f"row {row}"
        of = self.what if column is None else f"column {column!r} of {self.what}"
        fields = {**error._fields, "column": column, "row": row}
        fields.pop("item", None)
        what = error.message.removeprefix(f"item {error.item}: ")
        return type(error)(f"{of}, {place}: {what}", hint=error.hint, **fields)


# ---------------------------------------------------------------------- values


def _conversion(what: str, name: str, kind: pa.DataType) -> pa.DataType:
    """Give the type whose Python values can be stored.

    Raises:
        InvalidInput: there is none; the column is named.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _conversion(what, name, kind.value_type)
    if types.is_timestamp(kind):
        if kind.tz is None:
            raise _unfit(what, name, kind, "its times have no time zone; cast it to one with UTC")
        return pa.timestamp("us", "UTC")
    if types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        inner = [
            (each.name, _conversion(what, f"{name}.{each.name}", each.type)) for each in fields
        ]
        return pa.struct(inner)
    if types.is_map(kind):
        if not _is_text(kind.key_type):
            raise _unfit(what, name, kind, "the keys of a map have to be texts")
        return pa.map_(pa.string(), _conversion(what, name, kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_conversion(what, name, kind.value_type))
    plain = (
        types.is_null(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or _is_text(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    )
    if plain:
        return kind
    remedy = "cast it to a timestamp with a time zone" if types.is_date(kind) else "cast it"
    raise _unfit(what, name, kind, f"no property has this type; {remedy} or drop it")


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    views = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or views(kind))


def _unfit(what: str, name: str, kind: pa.DataType, remedy: str) -> InvalidInput:
    return InvalidInput(
        f"column {name!r} of {what} has the type {kind}",
        hint=remedy[0].upper() + remedy[1:],
        column=name.partition(".")[0],
        row=None,
    )


def _values(batch: Batch, name: str, array: pa.Array, kind: pa.DataType) -> list[Any]:
    import pyarrow as pa

    try:
        listed = _listed(array, kind)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        at, why = _first_bad(array, kind) or (0, error)
        raise batch.problem(name, at, f"{why!s:.500}", "Round or cast the column first") from error
    return [_plain(value, kind) for value in listed] if _has_map(kind) or _nested(kind) else listed


def _listed(array: pa.Array, kind: pa.DataType) -> list[Any]:
    """Give the values of an array as those of a type.

    Raises:
        ArrowException: one of them is none.
        ValueError: one is no text, or cannot be a dict.
        OverflowError: one is a time outside of the years 1 to 9999.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        return _listed(array.dictionary_decode(), kind)
    if pa.types.is_run_end_encoded(array.type):
        return _listed(pc.run_end_decode(array), kind)
    values: list[Any] = (array if array.type == kind else array.cast(kind)).to_pylist()
    return values


def _first_bad(array: pa.Array, kind: pa.DataType) -> tuple[int, Exception] | None:
    import pyarrow as pa

    for at in range(len(array)):
        try:
            _listed(array.slice(at, 1), kind)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            return at, error
    return None


def _nested(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind) or pa.types.is_list(kind))


def _has_map(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_map(kind))


def _plain(value: Any, kind: pa.DataType) -> Any:
    """Make dicts of maps, which come as pairs, and leave out the null fields of structs."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_map(kind):
        return {key: _plain(item, kind.item_type) for key, item in value}
    if pa.types.is_list(kind):
        return [_plain(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {
            field.name: _plain(value[field.name], field.type)
            for field in (kind.field(at) for at in range(kind.num_fields))
            if value[field.name] is not None
        }
    return value


class Vectors:
    """The vectors of a batch, checked.

    Attributes:
        rows: the rows that have one.
        matrix: float32[len(rows), dim].
    """

    def __init__(self, batch: Batch) -> None:
        import pyarrow as pa

        array = batch.arrays["vector"]
        kind, types = array.type, pa.types
        lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if not lists or not (
            types.is_floating(kind.value_type) or types.is_integer(kind.value_type)
        ):
            raise _unfit("nodes", "vector", kind, "it has to hold lists of numbers")
        self.rows = [at for at, valid in enumerate(array.is_valid().to_pylist()) if valid]
        found = [self._vector(batch, array[at].values, at) for at in self.rows]
        lengths = {len(vector) for vector in found}
        if len(lengths) > 1:
            expected = len(found[0])
            odd = next(at for at, vector in enumerate(found) if len(vector) != expected)
            raise DimensionMismatch(
                f"column 'vector' of nodes, row {batch.first + self.rows[odd]}: it has "
                f"{len(found[odd])} numbers, the rows before it {expected}",
                hint="Give vectors of one length",
                column="vector",
                row=batch.first + self.rows[odd],
                expected=expected,
                got=len(found[odd]),
            )
        self.matrix: npt.NDArray[np.float32] = (
            np.ascontiguousarray(np.stack(found)) if found else np.empty((0, 0), np.float32)
        )

    @staticmethod
    def _vector(batch: Batch, numbers: pa.Array, at: int) -> npt.NDArray[np.float32]:
        if numbers.null_count:
            raise batch.problem("vector", at, "it holds a null", "Fill in or drop the row")
        vector = float32(numbers.to_numpy(zero_copy_only=False))
        finite = np.isfinite(vector)
        if not finite.all():
            index = int(np.argmin(finite))
            raise NonFiniteVector(
                f"column 'vector' of nodes, row {batch.first + at}: number {index} is "
                f"{vector[index]}",
                hint="Vectors have finite numbers only",
                column="vector",
                row=batch.first + at,
                index=index,
            )
        return vector
