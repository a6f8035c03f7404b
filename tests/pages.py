"""The pages of the documentation, and the code on them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        language: Of it.
        title: The file that it is to be, if any.
        code: Its text.
        line: Where it begins.
    """

    language: str
    title: str | None
    code: str
    line: int


def pages() -> list[str]:
    """The pages' paths, from the root of the clone."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", *docs]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    text = text_of(page)
    return [
        Block(found["language"], found["title"], found["code"], text.count("\n", 0, found.start("code")) + 1)
        for found in FENCE.finditer(text)
    ]


def commands(code: str) -> Iterator[list[str]]:
    """Yields the arguments of each `anytime-dspy` in a block of shell."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "anytime-dspy" in words and not line.lstrip().startswith("pip"):
            after = words[words.index("anytime-dspy") + 1 :]
            yield [word for word in after if word != "&"]
