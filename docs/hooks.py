"""Makes the pages of the site out of the documents, which stay readable where they are.

The README is the first page, each section of the guide is a page, and the decisions get a list.
"""

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
DATA: Final = ["importing.md", "export.md", "arrow.md", "command-line.md"]
RUNNING: Final = [
    "server.md",
    "container.md",
    "explorer.md",
    "mcp.md",
    "repl.md",
    "operations.md",
    "safety.md",
    "reliability.md",
]
INSIDE: Final = ["architecture.md", "file-format.md", "performance.md"]
LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
ELSEWHERE: Final = re.compile(
    rb"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*"
)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and put all of them in order."""
    made = {"index.md": _readme(), **_guide(), "decisions/index.md": _decisions()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    known = {file.src_uri for file in files.documentation_pages()}
    guide = sorted(name for name in made if name.startswith("guide/"))
    reference = sorted(name for name in known if name.startswith("reference/"))
    reference.sort(key=lambda name: name != "reference/database.md")
    decisions = sorted(name for name in known if name.startswith("decisions/0"))
    listed = {*made, *DATA, *RUNNING, *INSIDE, *reference, *decisions}
    sections: list[tuple[str, list[str]]] = [
        ("Guide", guide),
        ("Data in and out", DATA),
        ("Running it", RUNNING),
        ("More", sorted(known - listed)),
        ("Reference", reference),
        ("Inside", [*INSIDE, "decisions/index.md", *decisions]),
    ]
    config.nav = ["index.md", *({title: pages} for title, pages in sections if pages)]
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Lead links to where they lead on the site."""
    uri = page.file.src_uri
    folder = (DOCS / uri).parent

    def led(found: re.Match[str]) -> str:
        text, target = found.groups()
        path = target.partition("#")[0]
        if "://" in target or not path:
            return found[0]
        if path == "decisions":
            return f"[{text}](decisions/index.md)"
        if path == "guide.md":
            return f"[{text}](guide/01-open.md)"
        full = (folder / path).resolve()
        if full.is_relative_to(DOCS):
            return found[0]
        # What is not on the site is named instead.
        name = full.relative_to(ROOT).as_posix()
        return f"`{name}`" if text in (name, full.stem) else f"{text} (`{name}`)"

    return LINK.sub(led, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Drop the marks that announce a literal block in docstrings."""
    return html.replace("<p>::</p>", "")


def on_post_build(*, config: MkDocsConfig) -> None:
    """Refuse a site that would fetch something from elsewhere."""
    for file in sorted(Path(config.site_dir).rglob("*.html")):
        found = ELSEWHERE.search(file.read_bytes())
        if found is not None:
            raise PluginError(f"{file}: it fetches from elsewhere: {found[0].decode()}")


def _readme() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.replace("](docs/", "](").replace("](LICENSE)", "](../LICENSE)")


def _guide() -> dict[str, str]:
    """Cut the guide into a page for each section; the first has its introduction."""
    text = (DOCS / "guide.md").read_text(encoding="utf-8")
    introduction, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    titles = [section.partition("\n")[0] for section in sections]
    slugs = [re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in titles]
    names = {slug: f"{number:02}-{slug}.md" for number, slug in enumerate(slugs, 1)}
    pages: dict[str, str] = {}
    for number, section in enumerate(sections, 1):
        title, _, body = section.partition("\n")
        name = f"guide/{names[slugs[number - 1]]}"
        body = re.sub(r"\]\((?!#|\w+://)", "](../", body)
        # What is a place in the guide is a page of the site.
        body = re.sub(
            r"\]\(#([\w-]+)\)", lambda found: f"]({names.get(found[1], '#' + found[1])})", body
        )
        if number == 1:
            welcome = introduction.partition("\n")[2].strip()
            body = f"\n*The guide is one program, told in {len(sections)} parts.* {welcome}\n{body}"
        pages[name] = f"# {title}\n{body}"
    return pages


def _decisions() -> str:
    lines = ["# Decisions", "", "Choices between real alternatives, with what was measured.", ""]
    for file in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        if not file.name.startswith("0000"):
            title = file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
            lines.append(f"- [{title}]({file.name})")
    return "\n".join(lines) + "\n"
