"""The tables of faults and of bad input in docs/reliability.md name tests that exist."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROW = re.compile(r"\| (\d+) \| ([^|]+) \| ([^|]+) \|")


def rows(heading: str) -> dict[int, list[str]]:
    """The names of the tests of each row of a table."""
    text = (ROOT / "docs" / "reliability.md").read_text().partition(f"## {heading}\n")[2]
    text = text.partition("\n## ")[0]
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    found: dict[int, list[str]] = {}
    for line in table:
        match = ROW.fullmatch(line)
        assert match is not None, line
        number, _, names = match.groups()
        assert int(number) not in found, f"row {number} stands twice"
        found[int(number)] = re.findall(r"`([^`]+)`", names)
    return found


def names_in(file: Path) -> set[str]:
    """The tests that a file has, in Python or in Rust."""
    text = file.read_text()
    if file.suffix == ".rs":
        return set(re.findall(r"#\[test\]\s+(?:#\[[^\]]*\]\s+)*fn (\w+)", text))
    functions = [each for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)]
    return {each.name for each in functions if each.name.startswith("test_")}


@pytest.mark.parametrize(
    ("heading", "least"),
    [("Faults and tests", 40), ("Bad input to the server", 23), ("Watching and limits", 9)],
)
def test_every_test_of_the_table_exists(heading, least):
    table = rows(heading)
    assert len(table) >= least, "the table was read"
    for number, names in table.items():
        assert names, f"row {number} has a test"
        for name in names:
            path, _, test = name.partition("::")
            file = ROOT / path if "/" in path else HERE / path
            assert file.is_file(), f"row {number}: there is no file {path}"
            assert test in names_in(file), f"row {number}: {path} has no test {test}"


def test_a_test_that_does_not_exist_is_noticed():
    assert "test_every_test_of_the_table_exists" in names_in(Path(__file__))
    assert "test_that_nobody_wrote" not in names_in(Path(__file__))
    opening = names_in(ROOT / "crates" / "storage" / "tests" / "opening.rs")
    assert "a_later_format_is_refused_and_left_as_it_is" in opening
    assert "another" not in opening
