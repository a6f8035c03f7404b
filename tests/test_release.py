"""What has to agree before a version is published."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import anytime_dspy as ad

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_one_version_stands_everywhere():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    changed = re.search(r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert cited
    assert changed, "the newest section of the change log has a version and a date"
    assert {PROJECT["version"], ad.__version__, cited[1], changed[1]} == {ad.__version__}


def test_every_python_that_is_allowed_is_tested():
    matrix = re.search(r"python: \[(.+)\]", (ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert matrix
    tested = re.findall(r"3\.\d+", matrix[1])
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert named == tested
    least, beyond = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert named == [f"3.{minor}" for minor in range(int(least), int(beyond))]
