"""Whether the native module is there, and may be used.

Without it the package has `embedded_db.vectors`, `embedded_db.embedding`, `embedded_db.messaging`,
`embedded_db.bridges` and the errors; everything else raises an ImportError that says why.
"""

import os
from typing import Final

__all__ = ["NATIVE_AVAILABLE", "PURE", "REASON"]

PURE: Final = os.environ.get("EMBEDDED_DB_PURE", "0") not in ("", "0")
"""Whether the user wants no native code of ours or of ONNX Runtime."""


def _reason() -> str | None:
    if PURE:
        return "EMBEDDED_DB_PURE is set in the environment; unset it to use the native module"
    try:
        from . import _native  # noqa: F401
    except ImportError as error:
        return (
            f"the native module of embedded_db cannot be loaded here ({error}); install a wheel "
            "of embedded-db that is made for this platform"
        )
    return None


REASON: Final = _reason()
"""Why the native module is not used; None when it is."""

NATIVE_AVAILABLE: Final = REASON is None
"""Whether the native module is used. Without it `embedded_db.vectors` calculates with NumPy alone,
`embedded_db.messaging` has no path, `embedded_db.embedding` and `embedded_db.bridges` are there;
`EmbeddedDB` raises an ImportError with the reason. The environment variable
``EMBEDDED_DB_PURE=1``, set before the package is imported, makes it False."""
