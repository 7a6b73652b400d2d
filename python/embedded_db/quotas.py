"""How much may be stored: `Quota` of a database, `NamespaceQuota` of one of its namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from .errors import InvalidInput, nearest, shown

__all__ = ["NamespaceQuota", "Quota"]

MOST: Final = 1 << 62


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespaceQuota:
    """Most of what may be stored in one namespace; None is no limit.

    Attributes:
        max_nodes: nodes, with those that the weaver makes: entities, summaries, topics.
        max_edges: edges, with those that are kept automatically, and those that were retracted.
        max_embeddings: embeddings; a long text has one for each part.
        max_bytes: bytes of the records of all these. Files are larger: they have indexes, too.

    Raises:
        InvalidInput: a limit is no whole number of 0 or more.

    Examples:
        >>> from embedded_db import NamespaceQuota
        >>> NamespaceQuota(max_nodes=1000).max_edges is None
        True
    """

    max_nodes: int | None = None
    max_edges: int | None = None
    max_embeddings: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        for option in fields(self):
            _check_limit(f"quota.{option.name}", getattr(self, option.name))

    def _to_native(self) -> dict[str, Any]:
        return {option.name: getattr(self, option.name) for option in fields(self)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """Most of what may be stored in a database; None is no limit.

    A write is checked in its own transaction: exactly as much as a limit says is stored, by however
    many writers, and what would pass it raises `QuotaExceeded` and stores nothing. Deleting, and
    what takes no more than before, is always allowed. What is deleted gives its room back with the
    same commit. Work of the weaver that would pass a limit waits, and is done once there is room.

    Attributes:
        max_nodes: nodes of all namespaces, with those that the weaver makes.
        max_edges: edges, with those that are kept automatically, and those that were retracted.
        max_embeddings: embeddings; a long text has one for each part.
        max_bytes: bytes of the records of all these. Files are larger: they have indexes, too.
        max_memory: bytes that indexes take in memory beside their files, as `EmbeddedDB.stats`
            tells by ``view_bytes``. It is looked at ten times a second, not for every write.
        disk_reserve: bytes that are to stay free on the disk, looked at as often.
        per_namespace: the quota of each namespace that ``namespaces`` does not name.
        namespaces: quotas of single namespaces by their names.

    Raises:
        InvalidInput: a limit is no whole number of 0 or more.

    Examples:
        >>> from embedded_db import EmbeddedDB, NamespaceQuota, Quota, QuotaExceeded
        >>> quota = Quota(max_nodes=3, namespaces={"guest": NamespaceQuota(max_nodes=1)})
        >>> with EmbeddedDB(":memory:", ml=None, quota=quota) as scratch:
        ...     ids = scratch.create_nodes([{"label": "Thing"}] * 3)
        ...     try:
        ...         scratch.create_node({"label": "Thing"})
        ...     except QuotaExceeded as error:
        ...         print(error.resource, error.used, error.limit)
        ...     scratch.delete_node(ids[0])
        ...     _ = scratch.namespace("guest").create_node({"label": "Thing"})
        ...     scratch.stats()["quota"]["nodes"]["used"]
        nodes 4 3
        3
    """

    max_nodes: int | None = 10_000_000
    max_edges: int | None = None
    max_embeddings: int | None = None
    max_bytes: int | None = None
    max_memory: int | None = 1 << 30
    disk_reserve: int = 0
    per_namespace: NamespaceQuota | None = None
    namespaces: Mapping[str, NamespaceQuota] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("max_nodes", "max_edges", "max_embeddings", "max_bytes", "max_memory"):
            _check_limit(f"quota.{name}", getattr(self, name))
        if self.disk_reserve is None:
            raise InvalidInput("quota.disk_reserve is None", hint="Give 0 to keep nothing free")
        _check_limit("quota.disk_reserve", self.disk_reserve)
        given = self.per_namespace
        own = None if given is None else _of_namespace("quota.per_namespace", given)
        object.__setattr__(self, "per_namespace", own)
        if not isinstance(self.namespaces, Mapping):
            raise InvalidInput(
                f"quota.namespaces is {shown(self.namespaces)}",
                hint="Give a dict of names and NamespaceQuota(…)",
            )
        named = {
            name: _of_namespace(f"quota.namespaces[{shown(name)}]", quota)
            for name, quota in self.namespaces.items()
        }
        object.__setattr__(self, "namespaces", named)

    def _to_native(self) -> dict[str, Any]:
        """Give the limits in the form the native module takes."""
        out: dict[str, Any] = {option.name: getattr(self, option.name) for option in fields(self)}
        if self.per_namespace is not None:
            out["per_namespace"] = self.per_namespace._to_native()
        named = self.namespaces.items()
        return {**out, "namespaces": {name: quota._to_native() for name, quota in named}}


def _check_limit(name: str, value: object) -> None:
    if value is not None and not (type(value) is int and 0 <= value <= MOST):
        raise InvalidInput(
            f"{name} is {shown(value)}", hint=f"It has to be a whole number from 0 to {MOST}"
        )


def _of_namespace(name: str, given: object) -> NamespaceQuota:
    if isinstance(given, NamespaceQuota):
        return given
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{name} is {shown(given)}", hint="Give a NamespaceQuota(…)")
    known = [option.name for option in fields(NamespaceQuota)]
    for key in given:
        if key not in known:
            raise InvalidInput(f"{name} has no limit {shown(key)}", hint=nearest(str(key), known))
    return NamespaceQuota(**given)
