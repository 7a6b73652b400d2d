"""Promise: dependencies point one way, and each door to the outside stands in one place.

The crates depend on each other as ``ALLOWED`` says, only two crates know Python, only one touches
files, and only the package's own modules import its native module. Every rule is also shown a
planted violation, so that a rule which no longer sees anything fails here.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "embedded-db-"

# crate -> the crates it may depend on. `common` is open to all, `testing` to every crate's tests.
ALLOWED: dict[str, set[str]] = {
    "common": set(),
    "activation": set(),
    "storage": set(),
    "indexing": {"storage"},
    "bus": {"storage"},
    "query": {"storage", "indexing"},
    "weaver": {"storage", "indexing"},
    "ml-bridge": {"weaver"},
    "engine": {"storage", "indexing", "query", "reflex", "weaver"},
    "reflex": set(),
    "server": {"engine"},
    "bindings": {"activation", "bus", "engine", "ml-bridge", "reflex", "server"},
    "testing": {"weaver"},
    "simulator": {"engine", "testing"},
}
PYTHON_CRATES = {"ml-bridge", "bindings"}
PYTHON_LIBRARY = re.compile(r"^(pyo3|numpy)(-|$)")
# what only the fuzzers are built with counts as what only tests are
FUZZERS = "cfg(fuzzing)"
# libraries which open, lock, map or sync files
FILE_LIBRARIES = {"heed", "libc", "lmdb-master-sys", "memmap2", "rustix", "tempfile", "windows-sys"}
FILE_CRATES = {"storage", "testing", "simulator"}
FILE_CALL = re.compile(r"\b(std|tokio)::fs\b|\bfs::\w+\(|\bFile::|\bOpenOptions\b|\bmemmap2?::")


@dataclass
class Package:
    """A package of the graph; dependencies are names of packages."""

    normal: set[str] = field(default_factory=set)
    dev: set[str] = field(default_factory=set)


Graph = dict[str, Package]


# --- rules: each yields one line per violation ----------------------------------------------------


def wrong_arrows(graph: Graph) -> Iterator[str]:
    for name in ours(graph):
        if name not in ALLOWED:
            yield f"{name}: a new crate needs its line in ALLOWED and in CONTRIBUTING.md"
            continue
        allowed = ALLOWED[name] | {"common"} - {name}
        package = graph[PREFIX + name]
        yield from (f"{name} -> {to}" for to in sorted(local(package.normal) - allowed))
        in_tests = local(package.dev) - allowed - {"testing"}
        yield from (f"{name} -> {to} (tests)" for to in sorted(in_tests))


def python_outside(graph: Graph) -> Iterator[str]:
    for name in ours(graph):
        if name not in PYTHON_CRATES:
            reached = filter(PYTHON_LIBRARY.match, reachable(graph, PREFIX + name))
            yield from (f"{name} reaches {library}" for library in sorted(reached))


def file_libraries_outside(graph: Graph) -> Iterator[str]:
    for name in ours(graph):
        if name not in FILE_CRATES:
            direct = graph[PREFIX + name].normal & FILE_LIBRARIES
            yield from (f"{name} -> {library}" for library in sorted(direct))


def file_calls(source: str) -> Iterator[str]:
    """Lines of Rust that touch files, unit tests and comments left out."""
    code = re.split(r"^#\[cfg\(test\)\]\s*mod \w+ \{", source, maxsplit=1, flags=re.MULTILINE)[0]
    for line in code.splitlines():
        if FILE_CALL.search(line.partition("//")[0]):
            yield line.strip()


def native_imports(source: str) -> Iterator[str]:
    """Import statements of a Python file that name ``embedded_db._native``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            case _:
                continue
        if any(f"{name}.".startswith("embedded_db._native.") for name in names):
            yield ast.unparse(node)


# --- the graph ------------------------------------------------------------------------------------


def ours(graph: Graph) -> list[str]:
    return sorted(local(set(graph)))


def local(names: set[str]) -> set[str]:
    return {name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}


def reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    todo = {start}
    while todo:
        name = todo.pop()
        seen.add(name)
        package = graph.get(name, Package())
        # the tests of a crate count only for the crate itself
        todo |= (package.normal | (package.dev if name == start else set())) - seen
    return seen


def cargo_graph() -> Graph:
    host = re.search(r"^host: (.+)$", run("rustc", "-vV"), re.MULTILINE)
    assert host is not None
    command = ["cargo", "metadata", "--format-version=1", "--locked"]
    metadata = json.loads(run(*command, f"--filter-platform={host[1]}"))
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    graph: Graph = {}
    for node in metadata["resolve"]["nodes"]:
        package = graph.setdefault(names[node["id"]], Package())
        for dependency in node["deps"]:
            for kind in dependency["dep_kinds"]:
                is_dev = kind["kind"] == "dev" or kind["target"] == FUZZERS
                kinds = package.dev if is_dev else package.normal
                kinds.add(names[dependency["pkg"]])
    return graph


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def graph() -> Graph:
    return cargo_graph()


def python_files() -> list[Path]:
    folders = ["python", "tests", "examples", "benches", "models", "scripts"]
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


# --- the project keeps the rules ------------------------------------------------------------------


def test_crates_depend_one_way(graph: Graph) -> None:
    assert {"common", "storage", "bindings"} <= set(ours(graph))
    assert list(wrong_arrows(graph)) == []


def test_python_is_known_to_two_crates_only(graph: Graph) -> None:
    assert "pyo3" in reachable(graph, PREFIX + "bindings")
    assert list(python_outside(graph)) == []


def test_crates_that_know_python_hold_no_rust_tests() -> None:
    """`make test` runs cargo without them, so a test in there would never run."""
    for name in sorted(PYTHON_CRATES):
        for path in sorted((ROOT / "crates" / name).rglob("*.rs")):
            assert "#[test]" not in path.read_text(encoding="utf-8"), path


def test_file_libraries_are_used_by_storage_only(graph: Graph) -> None:
    assert "heed" in graph[PREFIX + "storage"].normal
    assert list(file_libraries_outside(graph)) == []


def test_only_storage_touches_files() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in sorted((ROOT / "crates").glob("*/src/**/*.rs"))
        if path.relative_to(ROOT / "crates").parts[0] not in FILE_CRATES
        if "fuzzing" not in path.parts  # built for them only, as tests are for tests
        for line in file_calls(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_only_the_package_imports_its_native_module() -> None:
    package = ROOT / "python" / "embedded_db"
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in python_files()
        if not path.is_relative_to(package)
        for line in native_imports(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_contributing_says_the_same_of_every_crate(graph: Graph) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = {
        name: set(re.findall(r"`([\w-]+)`", arrows))
        for name, arrows in re.findall(r"^\| `([\w-]+)` \|([^|]*)\|", text, re.MULTILINE)
    }
    assert told == ALLOWED
    assert set(ours(graph)) == set(ALLOWED)


# --- each rule sees a planted violation -----------------------------------------------------------


def planted(**dependencies: str) -> Graph:
    """A small right graph; each keyword adds one dependency (``dev_x`` to the tests of ``x``)."""
    graph = {
        "heed": Package(),
        "pyo3": Package(),
        PREFIX + "common": Package(),
        PREFIX + "storage": Package(normal={PREFIX + "common", "heed"}),
        PREFIX + "indexing": Package(normal={PREFIX + "storage"}, dev={PREFIX + "testing"}),
        PREFIX + "weaver": Package(normal={PREFIX + "storage"}),
        PREFIX + "ml-bridge": Package(normal={PREFIX + "weaver", "pyo3"}),
        PREFIX + "testing": Package(normal={PREFIX + "weaver"}),
    }
    for name, dependency in dependencies.items():
        package = graph.setdefault(PREFIX + name.removeprefix("dev_"), Package())
        (package.dev if name.startswith("dev_") else package.normal).add(dependency)
    return graph


def test_a_right_graph_passes() -> None:
    graph = planted()
    assert [*wrong_arrows(graph), *python_outside(graph), *file_libraries_outside(graph)] == []


@pytest.mark.parametrize(
    ("name", "dependency", "line"),
    [
        ("common", PREFIX + "storage", "common -> storage"),
        ("storage", PREFIX + "indexing", "storage -> indexing"),
        ("weaver", PREFIX + "ml-bridge", "weaver -> ml-bridge"),
        ("storage", PREFIX + "testing", "storage -> testing"),
        ("dev_storage", PREFIX + "weaver", "storage -> weaver (tests)"),
        ("extra", PREFIX + "common", "extra: a new crate"),
    ],
)
def test_a_wrong_arrow_is_seen(name: str, dependency: str, line: str) -> None:
    [found] = wrong_arrows(planted(**{name: dependency}))
    assert found.startswith(line)


def test_python_behind_another_crate_is_seen() -> None:
    assert list(python_outside(planted(indexing="pyo3"))) == ["indexing reaches pyo3"]
    assert "storage reaches pyo3" in python_outside(planted(dev_storage=PREFIX + "ml-bridge"))
    assert "weaver reaches numpy" in python_outside(planted(weaver="numpy"))


def test_a_file_library_in_another_crate_is_seen() -> None:
    assert list(file_libraries_outside(planted(weaver="heed"))) == ["weaver -> heed"]


@pytest.mark.parametrize(
    "line",
    [
        "use std::fs;",
        "use std::{fs, io}; fs::read(path)",
        "let f = File::open(path)?;",
        "OpenOptions::new()",
        "tokio::fs::read(path).await",
        "memmap2::Mmap::map(&f)",
    ],
)
def test_a_file_call_is_seen(line: str) -> None:
    assert list(file_calls(line)) == [line]


def test_file_calls_in_comments_and_unit_tests_are_allowed() -> None:
    tests = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"
    assert list(file_calls("/// like File::open\nlet x = 1; // std::fs\n" + tests)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import embedded_db._native",
        "import embedded_db._native as native",
        "from embedded_db import _native",
        "from embedded_db._native import Store",
    ],
)
def test_an_import_of_the_native_module_is_seen(line: str) -> None:
    assert list(native_imports(f"import json\ndef f():\n    {line}\n")) == [line]
    assert list(native_imports("from embedded_db import EmbeddedDB\nimport embedded_db")) == []
