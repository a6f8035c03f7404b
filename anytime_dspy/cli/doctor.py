"""`anytime-dspy doctor`: what a bug report should say of the machine, gathered in one place."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import anytime_dspy
from anytime_dspy._dspy import cache_folder
from anytime_dspy.cli.options import Json

__all__ = ["doctor"]

EXAMPLE = "Example: [cyan]anytime-dspy doctor --json[/cyan]"

EXTRAS = ("local", "openvino", "plot", "ray", "postgres")
KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "AZURE_API_KEY",
    "OPENROUTER_API_KEY",
    "GROQ_API_KEY",
    "TOGETHERAI_API_KEY",
    "DEEPSEEK_API_KEY",
    "MISTRAL_API_KEY",
    "HF_TOKEN",
)
# What else of the environment decides where calls and downloads go.
SETTINGS = ("OPENAI_API_BASE", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Package:
    """A package that this one uses.

    Attributes:
        name: Its name.
        version: What is installed; None where nothing is.
        wanted: The versions that are allowed.
        extra: The extra that brings it; None for one that is always needed.
        suits: Whether the installed version is allowed; a missing one suits if it comes with an extra.
    """

    name: str
    version: str | None
    wanted: str
    extra: str | None
    suits: bool


@dataclass(frozen=True)
class Model:
    """An embedded model: whether it is here, and what would run it."""

    name: str
    installed: bool
    engine: str | None = None
    calls_at_a_time: int | None = None


@dataclass(frozen=True)
class Folder:
    """A folder that grows with use, the user's home written as ~."""

    name: str
    path: str
    free_bytes: int | None


@dataclass(frozen=True)
class Examination:
    """All that `doctor` found.

    Attributes:
        version: Of anytime-dspy.
        python: Python's version and kind.
        system: The operating system.
        cpus: That this process may use, and so an embedded engine's threads.
        packages: Those that are needed, then those of extras.
        models: The embedded models.
        environment: Whether each key and setting is set. Never its value.
        folders: Where models and DSPy's cache are kept.
    """

    version: str
    python: str
    system: str
    cpus: int
    packages: list[Package]
    models: list[Model]
    environment: dict[str, bool]
    folders: list[Folder]


def doctor(as_json: Json = False) -> None:
    """Tells what a bug report needs: versions, engines, models, keys (set or not, never their values) and folders."""
    found = examine()
    if as_json:
        print(json.dumps(asdict(found)))  # noqa: T201 - the result, alone on stdout
    else:
        _show(found)


def examine() -> Examination:
    """Looks at this environment. No model is loaded and nothing is sent."""
    from anytime_dspy.local import models_folder
    from anytime_dspy.local.server import usable_cpus

    return Examination(
        version=anytime_dspy.__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpus=usable_cpus(),
        packages=list(_packages()),
        models=list(_models()),
        environment={name: _is_set(name) for name in (*KEYS, *SETTINGS)},
        folders=[_folder("models", models_folder()), _folder("DSPy's cache", cache_folder())],
    )


def _is_set(name: str) -> bool:
    return any(os.environ.get(spelling) for spelling in (name, name.lower()))  # proxies are often written small


def _packages() -> Iterator[Package]:
    """Yields what the installed package's own metadata ask for, so that there is no second list to keep."""
    for requirement in map(Requirement, metadata.requires("anytime-dspy") or ()):
        marker = requirement.marker
        extra = None
        if marker is not None and not marker.evaluate({"extra": ""}):
            extra = next((name for name in EXTRAS if marker.evaluate({"extra": name})), None)
            if extra is None:
                continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = None
        suits = extra is not None if version is None else requirement.specifier.contains(version, prereleases=True)
        yield Package(requirement.name, version, str(requirement.specifier), extra, suits)


def _models() -> Iterator[Model]:
    from anytime_dspy.local import MODELS, OpenVinoEngine, installed, model_path
    from anytime_dspy.local.lm import engine_for

    for name in MODELS:
        if installed(name):
            kind = engine_for(model_path(name))
            yield Model(name, True, "openvino" if kind is OpenVinoEngine else "llama.cpp", kind.best_slots)
        else:
            yield Model(name, False)


def _folder(name: str, path: Path) -> Folder:
    path = path.expanduser().absolute()
    there = next((one for one in (path, *path.parents) if one.exists()), None)
    try:
        free = None if there is None else shutil.disk_usage(there).free
        shown = f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
    except (OSError, RuntimeError):  # a disk that does not answer, or a user without a home
        free, shown = None, str(path)
    return Folder(name, shown, free)


def _show(found: Examination) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)

    def section(title: str, rows: Iterator[tuple[str, str]]) -> None:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(min_width=30, no_wrap=True)
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(f"[bold]{title}[/bold]")
        console.print(table)

    section(
        "This machine",
        iter(
            (
                ("anytime-dspy", found.version),
                ("Python", found.python),
                ("System", found.system),
                ("CPUs for this process", str(found.cpus)),
            )
        ),
    )
    section("Packages", ((one.name, _state(one)) for one in found.packages))
    section("Embedded models", ((one.name, _where(one)) for one in found.models))
    names = {state: [name for name, on in found.environment.items() if on is state] for state in (True, False)}
    section(
        "Keys and settings, values not shown",
        ((word, ", ".join(names[state]) or "none") for word, state in (("set", True), ("not set", False))),
    )
    section("Folders", ((one.name, f"{one.path}, {_free(one)}") for one in found.folders))
    if wrong := [f"'{one.name}{one.wanted}'" for one in found.packages if not one.suits]:
        console.print(f"\nSome packages are not as needed: pip install {' '.join(wrong)}", markup=False, soft_wrap=True)


def _state(package: Package) -> str:
    if package.version is None:
        return f"not here: pip install 'anytime-dspy\\[{package.extra}]'" if package.extra else "missing"
    return package.version if package.suits else f"[red]{package.version}[/red], needs {package.wanted}"


def _where(model: Model) -> str:
    if not model.installed:
        return "not here"
    return f"here, run by {model.engine}, {model.calls_at_a_time} calls at a time"


def _free(folder: Folder) -> str:
    return "free space unknown" if folder.free_bytes is None else f"{folder.free_bytes / 1e9:.1f} GB free"
