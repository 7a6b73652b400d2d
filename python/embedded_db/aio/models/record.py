"""What the asynchronous twins of all stored nodes share."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..twin import Twin

if TYPE_CHECKING:
    from ...models.base import Model
    from ..pool import Pool

__all__ = ["Record"]


class Record(Twin):
    """Stands for a node that was read: what it holds is there, what has to be asked is awaited."""

    __slots__ = ("__weakref__",)

    def __init__(self, model: Model, pool: Pool) -> None:
        self._sync = model
        self._pool = pool

    # Else Python would iterate by __getitem__ with numbers.
    __iter__: ClassVar[None] = None

    def __getitem__(self, key: str) -> Any:
        return self._sync[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._sync[key] = value

    def __delitem__(self, key: str) -> None:
        del self._sync[key]

    def __contains__(self, key: str) -> bool:
        return key in self._sync

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return type(self._sync).__getattr__(self._sync, name)

    def __copy__(self) -> Self:
        return type(self)(copy(self._sync), self._pool)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(deepcopy(self._sync, memo), self._pool)

    def __reduce__(self) -> Any:
        return self._sync.__reduce__()

    def __eq__(self, other: object) -> bool:
        return self._sync == other._sync if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._sync)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        shown: Iterator[tuple[str, Any]] = self._sync._shown()
        return shown

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"

    def _repr_html_(self) -> str:
        table: str = self._sync._repr_html_()
        return table
