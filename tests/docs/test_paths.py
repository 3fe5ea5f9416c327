"""The documentation names files that exist, and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "docs/images/*.dot", "deploy/**/*.md", "models/*.md")
    for page in ROOT.glob(pattern)
)
ABSENT = {
    "app/types.py",  # docs/decisions/0003 explains why
}
HISTORY = "CHANGELOG.md"  # tells of files that were moved since

_PATH = re.compile(r"(?<![\w/.~…-])(?:app|docs|scripts|tests)/[\w./*-]*[\w*/]")
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def paths_in(page: Path) -> Iterator[str]:
    for match in _PATH.finditer(page.read_text()):
        if match[0].rstrip("/") not in ABSENT:
            yield match[0]


def exists(path: str) -> bool:
    return any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = _HEADING.findall(_CODE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(page: Path, target: str, anchor: str) -> bool:
    path = page.parent / target if target else page
    return not path.exists() or bool(anchor and anchor not in anchors_of(path))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_is_named_exists(page: Path) -> None:
    if page.name != HISTORY:
        assert [path for path in paths_in(page) if not exists(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    links = _LINK.findall(_CODE.sub("", page.read_text()))
    assert [link for link in links if leads_nowhere(page, *link)] == []


def test_the_pages_are_found() -> None:
    assert {"README.md", "architecture.md", "processes.dot"} <= {page.name for page in PAGES}
