"""What mkdocs is told when it builds the site: where the reference's code lies, and how the notebook is a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.notebook import as_markdown

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "build" / "reference"


class NotebookFile(File):
    """A notebook that is a page, so that links to it lead to that page."""

    def is_documentation_page(self) -> bool:
        """Says that it is one."""
        return True


def on_startup(**_: Any) -> None:
    """Lays the package out as it is installed: programs/ and optimizers/ are inside it."""
    shutil.rmtree(REFERENCE, ignore_errors=True)
    package = REFERENCE / "anytime_dspy"
    python = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "anytime_dspy", package, ignore=python)
    for inside in ("programs", "optimizers"):
        shutil.copytree(ROOT / inside, package / inside, ignore=python)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Makes pages of notebooks."""
    return Files(list(_with_notebooks(files, config)))


def _with_notebooks(files: Files, config: MkDocsConfig) -> Iterator[File]:
    for file in files:
        if file.src_uri.endswith(".ipynb"):
            file = NotebookFile(file.src_uri, config.docs_dir, config.site_dir, config.use_directory_urls)
        yield file


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """Reads a notebook as Markdown; other pages are read as they are."""
    if not isinstance(page.file, NotebookFile):
        return None
    return as_markdown(Path(page.file.abs_src_path or ""))


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Puts the notebooks beside their pages, for those who want to run them."""
    for notebook in Path(config.docs_dir).glob("*.ipynb"):
        shutil.copy(notebook, config.site_dir)
