"""Markers that stand for something other than a property value."""

from typing import Final, final

__all__ = ["DELETE"]


@final
class _Delete:
    """The type of `DELETE`; it has one instance."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DELETE"

    def __bool__(self) -> bool:
        return False

    def __copy__(self) -> "_Delete":
        return self

    def __deepcopy__(self, memo: object) -> "_Delete":
        return self

    def __reduce__(self) -> str:
        return "DELETE"


DELETE: Final = _Delete()
"""As a value of an update: remove this property. Recognised by identity."""
