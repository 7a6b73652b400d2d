"""``python -m embedded_db.cli``, the same as ``embedded-db``."""

from . import main

main()
