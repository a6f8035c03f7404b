"""Images, sound and files in prompts: their placeholders where only text can be shown, and their cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from anytime_dspy._dspy import CUSTOM_TYPE

__all__ = ["PART_TOKENS", "parts", "shown"]

PART_TOKENS = 1000
"""The assumed tokens of an image, a sound or a file in a prompt: providers that document it count 85 to 1,600."""

_CUSTOM = re.compile("(.*?)".join(CUSTOM_TYPE), re.DOTALL)
_DATA = re.compile(r"data:(image|audio|video|[\w.+-]+)/[\w.+-]+;base64,[\w+/=]+")
# By the type of a message's part in OpenAI's API.
_NAMES = {"image_url": "[image]", "input_image": "[image]", "image": "[image]", "input_audio": "[audio]"}
_TYPE = re.compile(r'\\?"type\\?":\s*\\?"(\w+)')


def shown(value: Any) -> str:
    """Returns a value as readable text, with short placeholders for images, sound and files.

    Example:
        >>> import dspy
        >>> shown(dspy.Image(url="data:image/png;base64,AAAA")), shown(3)
        ('[image]', '3')
    """
    return _DATA.sub(_data_name, _CUSTOM.sub(_custom_name, str(_told(value))))


def parts(content: str | Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """Returns the text of a message's content, and the number of its images, sounds and files."""
    if isinstance(content, str):
        return _CUSTOM.sub("", content), sum(_name(found[1]) is not None for found in _CUSTOM.finditer(content))
    texts = [str(part["text"]) for part in content if "text" in part]
    return "".join(texts), len(content) - len(texts)


def _told(value: Any) -> Any:
    """Returns a value with DSPy's own types replaced by the texts that they are sent as."""
    if isinstance(value, dspy.Type):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _told(part) for name, part in value.items()}
    return type(value)(map(_told, value)) if type(value) in (list, tuple) else value


def _custom_name(found: re.Match[str]) -> str:
    return _name(found[1]) or found[1]


def _name(payload: str) -> str | None:
    """Returns the placeholder of a value of DSPy's own types; None if it is text."""
    kind = _TYPE.search(payload)
    return None if kind is None or kind[1] == "text" else _NAMES.get(kind[1], "[file]")


def _data_name(found: re.Match[str]) -> str:
    return {"image": "[image]", "audio": "[audio]", "video": "[video]"}.get(found[1], "[file]")
