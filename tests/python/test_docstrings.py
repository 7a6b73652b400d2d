"""Every example of a docstring gives what it says it gives.

An example finds an empty database as ``db`` and an empty directory around it; what its module
defines and exports is there too; those of ``embedded_db.bridges`` an empty Redis, as ``broker`` and
``url``. Those of asynchronous classes await, on an event loop of theirs.
"""

import ast
import asyncio
import builtins
import doctest
import importlib
import inspect
import types
from pathlib import Path

import pytest

import embedded_db
from embedded_db import AsyncEmbeddedDB
from embedded_db.bridges import connect

NATIVE = ("Edge", "Embedding", "Node", "Token", "TokenArray")  # what the finder does not look at
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules():
    root = Path(embedded_db.__file__).parent
    for file in sorted(root.rglob("*.py")):
        if ">>> " in file.read_text(encoding="utf-8"):
            parts = ("embedded_db", *file.relative_to(root).with_suffix("").parts)
            yield importlib.import_module(".".join(parts))


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in modules():
        for test in finder.find(module):
            if test.examples:
                yield pytest.param(test, id=test.name)
    for name in NATIVE:
        kind = getattr(embedded_db, name)
        test = doctest.DocTestParser().get_doctest(
            inspect.cleandoc(kind.__doc__), {}, f"{kind.__module__}.{name}", None, None
        )
        yield pytest.param(test, id=test.name)


def is_asynchronous(example):
    return example.name.startswith("embedded_db.aio.")


def run(example, db, flags=0, **names):
    report = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    example.globs = {**example.globs, "db": db, "__name__": "example", **names}
    runner.run(example, out=report.append, compileflags=flags)
    assert not runner.failures, "".join(report)


SYNCHRONOUS = [each for each in examples() if not is_asynchronous(each.values[0])]
ASYNCHRONOUS = [each for each in examples() if is_asynchronous(each.values[0])]


@pytest.mark.usefixtures("real_models")
@pytest.mark.parametrize("example", SYNCHRONOUS)
def test_the_example_of_a_docstring(example, db, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    names = {}
    if example.name.startswith("embedded_db.bridges."):
        names["url"] = request.getfixturevalue("redis_url")
        names["broker"] = connect(names["url"])
    run(example, db, **names)
    if names:
        names["broker"].close()


@pytest.mark.usefixtures("real_models")
@pytest.mark.parametrize("example", ASYNCHRONOUS)
def test_the_example_of_an_asynchronous_docstring(example, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with asyncio.Runner() as loop:

        def execute(code, names):
            if code.co_flags & inspect.CO_COROUTINE:
                loop.run(types.FunctionType(code, names)())
            else:
                builtins.exec(code, names)

        monkeypatch.setattr(doctest, "exec", execute, raising=False)
        db = loop.run(AsyncEmbeddedDB.open(path, ml=None))
        try:
            example.globs = {**vars(embedded_db), **example.globs}
            run(example, db, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        finally:
            loop.run(db.close())


def test_what_users_of_models_call_has_an_example():
    found = {parameter.id for parameter in examples()}
    for name in (
        "memory.Memory.add_document",
        "memory.Memory.remember",
        "forgetting.Forgetting.forget",
    ):
        assert f"embedded_db.{name}" in found


def test_the_site_shows_every_example_as_one():
    root = Path(embedded_db.__file__).parent
    for file in sorted(root.rglob("*.py*")):
        if file.suffix in (".py", ".pyi"):
            lines = map(str.strip, file.read_text(encoding="utf-8").splitlines())
            assert "Example:" not in lines, f"{file}: the site knows a section 'Examples:' only"
