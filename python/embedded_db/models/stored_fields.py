"""Fields of users' own models as they are stored: in conditions, and in changes of many at once.

An object is stored as pydantic dumps it. A value that is compared with a field, or set on many
nodes without their objects, goes the same way, so that it meets what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast, get_args
from uuid import UUID

import numpy as np
from pydantic import (
    AwareDatetime,
    FutureDate,
    FutureDatetime,
    PastDate,
    PastDatetime,
    ValidationError,
)
from pydantic_core import (
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
    to_jsonable_python,
)

from ..errors import InvalidInput, InvalidQuery, nearest, shown
from ..fields import DELETE, Expression

if TYPE_CHECKING:
    from .nodes import StoredModel

__all__ = ["FieldExpression", "checked_changes", "reasons", "storable"]

STORABLE: Final = (bool, int, float, str, bytes, datetime, type(None))
ORDERED: Final = ("LessThan", "LessThanOrEqual", "GreaterThan", "GreaterThanOrEqual", "Between")
DATES: Final = (date, PastDate, FutureDate)
TIMES: Final = (datetime, AwareDatetime, PastDatetime, FutureDatetime)

UNSTORABLE: Final = (
    PydanticSerializationError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
)

_ANY: Final = SchemaSerializer(core_schema.any_schema())


class FieldExpression(Expression[Any]):
    """A field of a model on pydantic, or what lies within one; values are compared as stored."""

    __slots__ = ("_field", "_model")

    def __init__(self, name: str, model: type[StoredModel], field: str | None) -> None:
        super().__init__(name)
        self._model = model
        self._field = field

    def __getitem__(self, key: str) -> FieldExpression:
        return FieldExpression(f"{self.name}.{key}", self._model, None)

    def _operand(self, operator: str, value: object) -> object:
        if isinstance(value, np.generic):
            return value
        if self._field is not None:
            self._check_kind(value)
        # An item or a part of a field is none of its values.
        field = None if operator == "Contains" else self._field
        try:
            stored = as_stored(self._model, field, value)
        except UNSTORABLE as error:
            raise InvalidQuery(
                f"{self._called} is compared with {shown(value)}, which cannot be stored: {error}",
                hint="Compare it with a value that it could have",
            ) from error
        if operator in ORDERED and isinstance(stored, str) and not _keeps_order(value):
            raise InvalidQuery(
                f"{self._called} is stored as a text, {shown(stored)}, which has another order "
                f"than {type(value).__name__}",
                hint="Compare it with == or in_, or store a number",
            )
        return stored

    def _check_kind(self, value: object) -> None:
        """Refuse a date for a time and a time for a date: they are stored differently."""
        kinds = _kinds(self._model.model_fields[cast("str", self._field)].annotation)
        dates, times = kinds & set(DATES), kinds & set(TIMES)
        if isinstance(value, datetime) and dates and not times:
            raise InvalidQuery(
                f"{self._called} is a date and is compared with the time {shown(value)}",
                hint="Give a date: value.date()",
            )
        if type(value) is date and times and not dates:
            raise InvalidQuery(
                f"{self._called} is a time and is compared with the date {shown(value)}",
                hint="Give a datetime with a time zone",
            )

    @property
    def _called(self) -> str:
        return f"{self._model.__name__}.{self.name}"


def _keeps_order(value: object) -> bool:
    """Tell whether the texts that such values are stored as have the order of the values."""
    if isinstance(value, time):
        return value.tzinfo is None
    return isinstance(value, str | Enum | date | UUID)


def _kinds(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    if not inner:
        return {annotation} if isinstance(annotation, type) else set()
    return {kind for each in inner for kind in _kinds(each)}


def as_stored(model: type[StoredModel], field: str | None, value: object) -> object:
    """Give a value of a field as storing an object does; with None, one of no certain field."""
    if field is None or field not in model.model_fields:
        return storable(_ANY.to_python(value))
    held = model.__new__(model)
    object.__setattr__(held, "__dict__", {field: value})
    object.__setattr__(held, "__pydantic_fields_set__", {field})
    object.__setattr__(held, "__pydantic_extra__", None)
    object.__setattr__(held, "__pydantic_private__", None)
    dumped = held.model_dump(include={field}, warnings=False)
    return storable(next(iter(dumped.values()), value))


def checked_changes(model: type[StoredModel], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Take changes of many nodes of a model, each value as it is stored.

    Raises:
        InvalidInput: a field does not exist, its value does not fit, or it cannot go.
    """
    return {name: _checked(model, name, value) for name, value in changes.items()}


def _checked(model: type[StoredModel], name: str, value: object) -> object:
    called = f"{model.__name__}.{name}"
    if name in model.own_fields:
        raise InvalidInput(f"{called} is kept by the database", hint="Leave it as it is")
    field = model.model_fields.get(name)
    if field is None:
        if model.model_config.get("extra") == "allow":
            return value if value is DELETE else as_stored(model, None, value)
        known = model.model_fields.keys() - model.own_fields
        raise InvalidInput(
            f"{model.__name__} has no field {name!r}",
            hint=f"{nearest(name, known)}. Properties that the class does not declare are changed "
            "with db.update_matching(selection.to_query(), {…})",
        )
    if value is DELETE:
        if field.is_required():
            raise InvalidInput(
                f"{called} cannot be deleted: objects without it could not be read",
                hint="Give a value, or give the field a default",
            )
        return value
    try:
        valid = _validator(model, name).validate_python(value)
    except ValidationError as error:
        raise InvalidInput(
            f"{called} cannot be {shown(value)}: {reasons(error)}",
            hint=f"It has to be {_described(field.annotation)}",
        ) from error
    return as_stored(model, name, valid)


def _validator(model: type[StoredModel], name: str) -> SchemaValidator:
    """Give what checks one field: its type, its constraints and its own validators."""
    model.model_rebuild()  # names of classes may be known only now
    schema: Any = model.__pydantic_core_schema__
    config: Any = None
    definitions: list[Any] = []
    while schema["type"] != "model-fields":
        if schema["type"] == "definition-ref":
            [schema] = [one for one in definitions if one["ref"] == schema["schema_ref"]]
            continue
        definitions = schema.get("definitions", definitions)
        config = schema.get("config", config)
        schema = schema["schema"]
    field = schema["fields"][name]["schema"]
    if definitions:
        field = core_schema.definitions_schema(field, definitions)
    return SchemaValidator(field, config)


def _described(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__name__ if plain else str(annotation).replace("typing.", "")


def reasons(error: ValidationError) -> str:
    """Say what pydantic found, in one line; the first three of it."""
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, detail["loc"])), detail["msg"])))
        for detail in error.errors()[:3]
    )


def storable(value: Any) -> Any:
    """Give a value as the database stores it; what it does not know, as JSON has it."""
    if isinstance(value, STORABLE) and type(value) in STORABLE:
        return value
    if isinstance(value, dict):
        return {_storable_key(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return to_jsonable_python(value)


def _storable_key(key: Any) -> str:
    """Give a key of a dict as text."""
    return key if type(key) is str else str(to_jsonable_python(key))
