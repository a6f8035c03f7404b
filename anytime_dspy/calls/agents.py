"""Ends an agent whose budget is used up: it answers from what it has observed."""

from __future__ import annotations

from typing import Any, get_args

import dspy

__all__ = ["last_step"]

TOOL, FINISH = "next_tool_name", "finish"


def last_step(signature: type[dspy.Signature]) -> dict[str, Any] | None:
    """Returns the step that ends the loop of a dspy.ReAct, None if `signature` is not that of such a step.

    Without it, an agent without budget would force a paid answer at every step until its `max_iters`.

    Example:
        >>> last_step(dspy.ReAct("question -> answer", tools=[]).react.signature)
        {'next_thought': '', 'next_tool_name': 'finish', 'next_tool_args': {}}
        >>> last_step(dspy.Signature("question -> answer"))
    """
    tool = signature.output_fields.get(TOOL)
    if tool is None or FINISH not in get_args(tool.annotation):
        return None
    return {"next_thought": "", TOOL: FINISH, "next_tool_args": {}}
