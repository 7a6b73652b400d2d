"""What compares beside the tests tells a difference as they do."""

import pytest

for name in ("comparison", "history", "space", "writes"):
    pytest.register_assert_rewrite(f"{__package__}.{name}")
