"""Options from files of TOML."""

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from .errors import InvalidInput

__all__ = ["read_toml", "without_none"]


def read_toml(what: str, path: str | PathLike[str]) -> dict[str, Any]:
    """Read a file.

    Args:
        what: how messages call it.
        path: the file.

    Raises:
        InvalidInput: the file cannot be read, or is not TOML.
    """
    import tomllib  # here, for few programs read a file

    name = fspath(path)
    try:
        with open(name, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{what} file {name!r} does not exist", hint="Check the path", path=name
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"{what} file {name!r} cannot be read: {error.strerror}",
            hint="Check the path and the permissions",
            path=name,
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{what} file {name!r} is not TOML: {error}", hint="Mend the line named", path=name
        ) from error


def without_none(options: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Give options in whose table ``"none"``, which TOML has no word for, has become None."""
    out = dict(options)
    if isinstance(out.get(table), dict):
        out[table] = {
            name: None if value == "none" else value for name, value in out[table].items()
        }
    return out
