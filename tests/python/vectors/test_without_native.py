"""Promise: without the native module the package is there, and says what it cannot do and why."""

import pytest

PROGRAM = """
    import os, sys
    {prepare}
    import embedded_db
    from embedded_db import NATIVE_AVAILABLE, Corruption, DbError
    from embedded_db.vectors import HnswIndex, VectorOps, quantize, top_k

    assert not NATIVE_AVAILABLE
    assert "embedded_db._native" not in sys.modules
    assert VectorOps.cosine_similarity([1, 0], [3, 4]) == 0.6000000238418579
    assert top_k([1, 0], quantize([[0, 1], [2, 0]]), 1)[0].tolist() == [1]
    index = HnswIndex(2)
    index.add_batch([[1, 0], [0, 1]])
    index.save("saved")
    assert HnswIndex.load("saved").search([0, 1], 1)[0].tolist() == [1]
    assert embedded_db.__version__

    for name in ("EmbeddedDB", "AsyncEmbeddedDB", "Node", "NodeModel"):
        try:
            getattr(embedded_db, name)
        except ImportError as error:
            assert name in str(error) and "{reason}" in str(error), error
        else:
            raise AssertionError(name)
    try:
        from embedded_db import EmbeddedDB
    except ImportError as error:
        assert "{reason}" in str(error)
    else:
        raise AssertionError
    try:
        embedded_db.nothing
    except AttributeError:
        pass
    else:
        raise AssertionError
    print("done")
"""


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        ("os.environ['EMBEDDED_DB_PURE'] = '1'", "EMBEDDED_DB_PURE is set"),
        ("sys.modules['embedded_db._native'] = None", "cannot be loaded here"),
    ],
    ids=["forced", "missing"],
)
def test_the_package_works_without(run_python, prepare, reason):
    program = PROGRAM.format(prepare=prepare, reason=reason)
    if "sys.modules" in prepare:
        program = program.replace('assert "embedded_db._native" not in sys.modules', "pass")
    run = run_python(program)
    assert run.stdout == "done\n", run.stderr


@pytest.mark.parametrize("value", ["0", ""])
def test_the_native_module_is_used_otherwise(run_python, value):
    run = run_python(
        f"""
        import os
        os.environ["EMBEDDED_DB_PURE"] = {value!r}
        import embedded_db
        assert embedded_db.NATIVE_AVAILABLE
        assert embedded_db.EmbeddedDB
        from embedded_db.vectors import backend
        assert backend.compare.__module__ == "embedded_db._native"
        """
    )
    assert run.returncode == 0, run.stderr
