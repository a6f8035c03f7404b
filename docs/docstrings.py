"""What the reference's parser is told of this library's docstrings."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_HEADING = re.compile(r"^Example:$", re.MULTILINE)
_BARE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Puts doctests into a section "Examples", under whatever heading or none."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called with each object that was read."""
        if obj.docstring:
            text = _HEADING.sub("Examples:", obj.docstring.value)
            obj.docstring.value = _BARE.sub(lambda found: f"Examples:\n{textwrap.indent(found[0], '    ')}", text)
