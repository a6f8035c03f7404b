"""Images, sound and files among texts: what stands for them where only text can be shown, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dspy
from dspy.adapters.types.base_type import CUSTOM_TYPE_END_IDENTIFIER, CUSTOM_TYPE_START_IDENTIFIER

__all__ = ["PART_TOKENS", "parts", "shown"]

PART_TOKENS = 1000
"""What an image, a sound or a file in a prompt is taken to cost: providers that say so count 85 to 1,600 an image."""

_CUSTOM = re.compile(f"{CUSTOM_TYPE_START_IDENTIFIER}(.*?){CUSTOM_TYPE_END_IDENTIFIER}", re.DOTALL)
_DATA = re.compile(r"data:(image|audio|video|[\w.+-]+)/[\w.+-]+;base64,[\w+/=]+")
# By the type of a part as OpenAI's API names it.
_NAMES = {"image_url": "[image]", "input_image": "[image]", "image": "[image]", "input_audio": "[audio]"}
_TYPE = re.compile(r'\\?"type\\?":\s*\\?"(\w+)')


def shown(value: Any) -> str:
    """Returns a value as a text to be read, in which an image, a sound or a file is a short placeholder.

    Example:
        >>> import dspy
        >>> shown(dspy.Image(url="data:image/png;base64,AAAA")), shown(3)
        ('[image]', '3')
    """
    return _DATA.sub(_data_name, _CUSTOM.sub(_custom_name, str(_told(value))))


def parts(content: str | Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """Returns the text of a message's content, and how many images, sounds and files are in it."""
    if isinstance(content, str):
        return _CUSTOM.sub("", content), sum(_name(found[1]) is not None for found in _CUSTOM.finditer(content))
    texts = [str(part["text"]) for part in content if "text" in part]
    return "".join(texts), len(content) - len(texts)


def _told(value: Any) -> Any:
    """A value in whose lists and mappings DSPy's own types are the texts that they are sent as, not their `repr`."""
    if isinstance(value, dspy.Type):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _told(part) for name, part in value.items()}
    return type(value)(map(_told, value)) if type(value) in (list, tuple) else value


def _custom_name(found: re.Match[str]) -> str:
    return _name(found[1]) or found[1]


def _name(payload: str) -> str | None:
    """What stands for a value of one of DSPy's own types; None where it is a text."""
    kind = _TYPE.search(payload)
    return None if kind is None or kind[1] == "text" else _NAMES.get(kind[1], "[file]")


def _data_name(found: re.Match[str]) -> str:
    return {"image": "[image]", "audio": "[audio]", "video": "[video]"}.get(found[1], "[file]")
