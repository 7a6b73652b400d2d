"""Of whom asynchronous selections are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ...errors import InvalidInput, shown
from ..handles import Handle, OpenSnapshot, OpenTransaction, only_open
from ..twin import Twin

if TYPE_CHECKING:
    from ...models.selection import Selection
    from ..pool import Pool

__all__ = ["Asking"]

M = TypeVar("M")


class Asking(Twin, Generic[M]):
    """A selection, and the handle, snapshot or transaction that it is asked of."""

    __slots__ = ("_of",)

    _sync: Selection[Any]

    def __init__(self, selection: Selection[Any], of: Twin | None = None) -> None:
        self._sync = selection
        self._of = of

    def _with(self, selection: Selection[Any]) -> Self:
        return type(self)(selection, self._of)

    def _asked_of(self, owner: object) -> Self:
        if not isinstance(owner, Handle | OpenSnapshot | OpenTransaction):
            raise InvalidInput(
                f"{shown(owner)} cannot be queried",
                hint="Give an asynchronous database, snapshot or transaction",
            )
        return type(self)(self._sync, owner)

    def _asked(self) -> Twin:
        return only_open() if self._of is None else self._of

    @property
    def _pool(self) -> Pool:  # type: ignore[override]
        return self._asked()._pool

    def _ready(self) -> Selection[Any]:
        return self._sync.on(self._asked()._ready())

    def __repr__(self) -> str:
        return f"<Async{repr(self._sync)[1:]}"
