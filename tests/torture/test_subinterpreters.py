"""A second interpreter of one process is refused by an ImportError, and nothing crashes."""

import pytest

from embedded_db import EmbeddedDB

IN_ANOTHER = """
try:
    from embedded_db import EmbeddedDB
except ImportError as error:
    open(told, "w").write(f"{type(error).__name__}: {error}")
else:
    open(told, "w").write("imported")
"""


@pytest.mark.parametrize("native_only", [False, True], ids=["package", "native module"])
def test_a_second_interpreter(path, tmp_path, nursery, native_only):
    told = tmp_path / "told"
    code = f"told = {str(told)!r}\n{IN_ANOTHER}"
    if native_only:
        code = code.replace("from embedded_db import EmbeddedDB", "import embedded_db._native")
    child = nursery.alone()
    child.open(path)
    child.run(
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        another = interpreters.create()
        run = getattr(interpreters, "exec", None) or interpreters.run_string
        run(another, program)
        interpreters.destroy(another)
        """,
        program=code,
    )
    assert told.read_text().startswith("ImportError: "), told.read_text()
    child.run("db.create_node({'id': 'n', 'label': 'X'})")
    child.must("close")
    assert child.end() == 0
    with EmbeddedDB(path, ml=None) as db:
        assert db.exists("n")
