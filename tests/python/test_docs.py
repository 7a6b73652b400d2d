"""Every Python example of the documents runs as it is printed, and every link leads on.

The blocks of one document run in order in one program, in an empty directory, with the default
models.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import embedded_db

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", *sorted(str(f.relative_to(ROOT)) for f in ROOT.glob("docs/**/*.md"))]
REDIS = "redis://127.0.0.1:6379/0"  # of what the documents show; a Redis of its own stands for it
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(document):
    return BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


def test_the_documents_have_examples():
    """So that a pattern which no longer finds any does not pass for success."""
    found = {document for document in DOCUMENTS if examples(document)}
    assert {"README.md", "docs/guide.md", "docs/importing.md", "docs/export.md"} <= found
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        assert len(examples(document)) == len(re.findall(r"^ *```py", text, re.MULTILINE)), document


@pytest.mark.usefixtures("real_models")
@pytest.mark.parametrize("document", [each for each in DOCUMENTS if examples(each)])
def test_the_examples_run(document, tmp_path, request):
    text = "\n".join(examples(document))
    if REDIS in text:
        text = text.replace(REDIS, request.getfixturevalue("redis_url"))
    program = tmp_path / "program.py"
    program.write_text(text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, program.name],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr


LINKING = [
    *DOCUMENTS,
    *(
        str(file.relative_to(ROOT))
        for folder in (".", "examples", "models")
        for file in sorted((ROOT / folder).glob("**/*.md" if folder != "." else "*.md"))
        if file.name != "README.md" or folder != "."
    ),
]


@pytest.mark.parametrize("document", LINKING)
def test_links_lead_somewhere(document):
    file = ROOT / document
    text = BLOCK.sub("", file.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (file.parent / target).exists(), target


def described():
    """Paths of what the reference describes; those of modules with their members."""
    paths = set()
    for file in (ROOT / "docs" / "reference").glob("*.md"):
        directives = re.split(r"^::: ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for directive in directives[1:]:
            path = directive.split()[0]
            members = re.search(r"members: \[(.*)\]", directive)
            if members is None:
                paths.add(path)
            else:
                paths |= {f"{path}.{name.strip()}" for name in members[1].split(",")}
    return paths


def test_the_reference_describes_everything_public():
    paths = described()
    missing = []
    for name in embedded_db.__all__:
        public = getattr(embedded_db, name)
        if inspect.isclass(public):
            module = public.__module__
            if not {module, f"{module}.{name}"} & paths:
                missing.append(f"{module}.{name}")
    assert missing == []
    assert {"embedded_db.importers.registry.import_file", "embedded_db.fields"} <= paths
