"""What is said when an object of a database cannot do what is asked of it."""

from ..errors import InvalidInput, NotFound

__all__ = ["gone", "not_pickled"]


def gone(called: str, id: str, remedy: str = "drop this object") -> NotFound:
    """Make the error of an object whose record was deleted.

    Args:
        called: what the object is called.
        id: its id.
        remedy: what to do.
    """
    return NotFound(
        f"{called} {id!r} does not exist any more", hint=f"It was deleted; {remedy}", id=id
    )


def not_pickled(called: str, id: str, plain: str) -> InvalidInput:
    """Make the error of pickling an object, which means nothing in another process.

    Args:
        called: what the object is called.
        id: its id.
        plain: the call that gives plain values instead.
    """
    return InvalidInput(
        f"{called} {id!r} cannot be pickled: it belongs to an open database",
        hint=f"Pickle its id, or what {plain} gives",
    )
