"""The site builds without a warning, and takes nothing from the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("mkdocs", reason="the site's packages are not installed: make docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_page_takes_anything_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        html = page.read_text()
        taken = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="([^"]+)"', html)
        taken += re.findall(r'<link[^>]*rel="(?:stylesheet|preload|icon)"[^>]*href="([^"]+)"', html)
        assert not [one for one in taken if "//" in one], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//", style.read_text()), style


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tutorial_is_a_page_with_its_outputs_beside_the_notebook(site):
    html = (site / "tutorial.html").read_text()
    assert "demonstrations in the program that was returned" in html
    assert "The student is returned" in html or "squeezed" in html
    assert (site / "tutorial.ipynb").is_file()
