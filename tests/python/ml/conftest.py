"""What the model tests share: the default functions, loaded once for all of them."""

import pytest

from embedded_db.ml import Functions, MLConfig, load_functions


@pytest.fixture(scope="session")
def loaded() -> Functions:
    return load_functions(MLConfig())


@pytest.fixture
def functions(real_models: None, loaded: Functions) -> Functions:
    """The default models; the test is skipped, visibly, where they are not installed."""
    return loaded
