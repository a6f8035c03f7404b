"""`anytime-dspy doctor`: what a bug report says of a machine, and what it never says."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import anytime_dspy as ad
from anytime_dspy.cli.doctor import examine
from tests.test_cli import cli

SECRET = "sk-not-to-be-shown"


def test_versions_are_those_of_the_installed_package():
    found = examine()
    assert found.version == ad.__version__
    needed = {one.name: one for one in found.packages}
    assert needed["dspy"].version == metadata.version("dspy")
    assert "<3.5" in needed["dspy"].wanted
    assert (needed["dspy"].extra, needed["ray"].extra) == (None, "ray")
    assert all(one.suits for one in found.packages), "this environment is as pyproject.toml asks"
    assert "pytest" not in needed, "tools of development are no matter of a user's"


def test_a_version_that_is_not_allowed_is_told(monkeypatch, capsys):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "3.5.0" if name == "dspy" else real(name))
    wrong = [one for one in examine().packages if not one.suits]
    assert [(one.name, one.version) for one in wrong] == [("dspy", "3.5.0")]
    from anytime_dspy.cli.doctor import doctor

    doctor()
    shown = capsys.readouterr().out
    assert "3.5.0, needs <3.5,>=3.4.1" in shown
    assert "pip install 'dspy<3.5,>=3.4.1'" in shown


def test_the_home_folder_is_not_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANYTIME_DSPY_HOME", str(tmp_path / "kept"))
    models = examine().folders[0]
    assert models.path == str(Path("~/kept/models"))
    assert models.free_bytes > 0, "of the disk that it will lie on"


@pytest.mark.slow
def test_keys_are_set_or_not_and_never_shown(tmp_path):
    keys = {"OPENAI_API_KEY": SECRET, "https_proxy": f"http://me:{SECRET}@proxy", "ANTHROPIC_API_KEY": ""}
    keys["ANYTIME_DSPY_HOME"] = str(tmp_path)
    asked = cli("doctor", "--json", cwd=tmp_path, **keys)
    assert (asked.returncode, asked.stderr) == (0, "")
    found = json.loads(asked.stdout)
    environment = found["environment"]
    assert (environment["OPENAI_API_KEY"], environment["HTTPS_PROXY"], environment["ANTHROPIC_API_KEY"]) == (1, 1, 0)
    assert [one["installed"] for one in found["models"]] == [False] * 3
    shown = cli("doctor", cwd=tmp_path, COLUMNS="80", **keys)
    assert shown.returncode == 0
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    for words in ("OPENAI_API_KEY", "qwen2.5-coder-0.5b-instruct", "GB free", ad.__version__):
        assert words in shown.stdout
    assert SECRET not in asked.stdout + shown.stdout + shown.stderr
    assert not any(tmp_path.iterdir()), "nothing is fetched or left"


def test_it_loads_no_engine():
    code = (
        "import sys; from anytime_dspy.cli.doctor import examine; examine();"
        "print([m for m in ('xllamacpp', 'openvino_genai', 'ray', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
