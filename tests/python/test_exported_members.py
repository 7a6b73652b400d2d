"""What the package promises by name is there, documented, and nothing else is."""

import importlib
import inspect
import pkgutil
import re

import pytest

import embedded_db


def test_the_package_exports_what_it_says():
    assert embedded_db.__all__ == sorted(
        embedded_db.__all__,
        key=lambda name: (not name.isupper(), name.startswith("_"), name),
    )
    for name in embedded_db.__all__:
        assert getattr(embedded_db, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        embedded_db.nothing  # noqa: B018


def test_completion_offers_what_is_public_and_nothing_else():
    assert dir(embedded_db) == sorted(embedded_db.__all__)


def test_about():
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", embedded_db.__version__)
    assert embedded_db.__author__
    assert embedded_db.__license__ == "Apache-2.0"


def test_every_error_is_exported():
    for name in embedded_db.errors.__all__:
        assert name in embedded_db.__all__
        assert getattr(embedded_db, name) is getattr(embedded_db.errors, name)


def test_every_module_says_what_it_exports():
    found = {module.name for module in pkgutil.iter_modules(embedded_db.__path__)}
    assert {"_native", "config", "database", "ml"} <= found
    for name in found - {"_native"}:
        module = importlib.import_module(f"embedded_db.{name}")
        assert module.__doc__, name
        assert module.__all__, name
        for exported in module.__all__:
            assert hasattr(module, exported), f"{name}.{exported}"


@pytest.mark.parametrize(
    "name", [name for name in embedded_db.__all__ if inspect.isclass(getattr(embedded_db, name))]
)
def test_every_public_class_is_documented_and_typed(name):
    kind = getattr(embedded_db, name)
    assert kind.__doc__
    if kind.__module__.endswith("_native"):
        return
    for member, function in inspect.getmembers(kind, inspect.isfunction):
        if member.startswith("_") or function.__module__.split(".")[0] != "embedded_db":
            continue
        assert function.__doc__, f"{name}.{member} has no docstring"
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, f"{name}.{member}"
        for parameter in list(signature.parameters.values())[1:]:
            assert parameter.annotation is not parameter.empty, f"{name}.{member}({parameter})"
    for member, property_ in inspect.getmembers(kind, lambda value: isinstance(value, property)):
        if not member.startswith("_"):
            assert property_.__doc__, f"{name}.{member} has no docstring"
