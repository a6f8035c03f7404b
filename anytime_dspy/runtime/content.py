"""A key of a value's content, which does not rely on its `repr`."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from pydantic import BaseModel

__all__ = ["content_key"]

_PLAIN = (str, int, float, complex, bool, bytes, type(None))
_LONG = 1000  # characters; a longer text, such as an image's data, is replaced by its hash


def content_key(value: Any) -> str:
    """Returns a text that is equal for two values of the same type and content, within this process.

    `repr` is not enough: it shows the length of audio and images, the ends of a long array, the address of many
    objects. Objects are taken apart as by `pickle`; for those that cannot be, the key is their identity.

    Example:
        >>> content_key({"b": 1, "a": [2.0, "x"]}) == content_key({"a": [2.0, "x"], "b": 1})
        True
        >>> content_key(1) == content_key(True)
        False
    """
    content = _content(value, ())
    return content if len(content) <= _LONG else hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


def _content(value: Any, inside: tuple[int, ...]) -> str:
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if id(value) in inside:
        return f"<{inside.index(id(value))}>"  # the value contains itself
    inside = (*inside, id(value))
    if kind in (list, tuple):
        return f"{kind.__name__}({', '.join(_content(item, inside) for item in value)})"
    if kind in (set, frozenset):
        return f"{kind.__name__}({', '.join(sorted(_content(item, inside) for item in value))})"
    if kind is dict:
        return f"dict({_items(value, inside)})"
    if isinstance(value, (type, BuiltinFunctionType, ModuleType)):
        return repr(value)
    if isinstance(value, FunctionType):
        holds = inspect.getclosurevars(value).nonlocals
        parts = (value.__module__, value.__qualname__, value.__defaults__, value.__kwdefaults__, holds)
        return f"function({_content(parts, inside)}, {hash(value.__code__)})"
    if isinstance(value, MethodType):
        return f"method({_content((value.__func__, value.__self__), inside)})"
    if isinstance(value, BaseModel):
        return f"{_named(kind)}({_items({**vars(value), **(value.__pydantic_extra__ or {})}, inside)})"
    try:
        made = value.__reduce_ex__(4)
    except Exception:  # classes may raise anything to say that they cannot be pickled
        return f"{_named(kind)} at {id(value)}"
    if isinstance(made, str):  # a constant, by its name
        return f"{_named(kind)}.{made}"
    how, arguments, state, items, pairs = (*made, None, None, None, None)[:5]
    held = how, arguments, state, None if items is None else list(items), None if pairs is None else dict(pairs)
    return f"{_named(kind)}({_content(held, inside)})"


def _items(value: Mapping[Any, Any], inside: tuple[int, ...]) -> str:
    return ", ".join(sorted(f"{_content(name, inside)}: {_content(item, inside)}" for name, item in value.items()))


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
