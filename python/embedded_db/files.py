"""Files that appear whole or not at all, and are on the disk when a call returns."""

import contextlib
import os
from collections.abc import Iterable
from itertools import count
from typing import Final

__all__ = ["replace_file", "sync_directory"]

COUNT: Final = count()


def replace_file(path: str, parts: Iterable[bytes]) -> None:
    """Write a file in the place of what was there.

    Args:
        path: the file; its directory is there.
        parts: what it is to hold, in this order.

    Raises:
        OSError: what was there is still there, unless only the name could not be synced.
    """
    temporary = f"{path}.{os.getpid()}-{next(COUNT)}.new"
    try:
        with open(temporary, "xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        # What failed says why it cannot be removed either.
        with contextlib.suppress(OSError, ValueError):
            os.remove(temporary)
        raise
    # Elsewhere the names in a directory cannot be synced by themselves.
    if os.name == "posix":
        sync_directory(os.path.dirname(path) or ".")


def sync_directory(path: str) -> None:
    """Put the names in a directory on the disk.

    Args:
        path: the directory.

    Raises:
        OSError: it cannot be opened, or not be synced.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
