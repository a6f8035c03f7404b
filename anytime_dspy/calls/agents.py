"""What an agent does when nothing is left to think with: it stops, and answers with what it has seen."""

from __future__ import annotations

from typing import Any, get_args

import dspy

__all__ = ["last_step"]

TOOL, FINISH = "next_tool_name", "finish"


def last_step(signature: type[dspy.Signature]) -> dict[str, Any] | None:
    """Returns the step with which a dspy.ReAct ends its loop, or None where `signature` is no step of such an agent.

    Without it an agent whose budget is gone would force one step after another until its `max_iters`, each one paid.

    Example:
        >>> last_step(dspy.ReAct("question -> answer", tools=[]).react.signature)
        {'next_thought': '', 'next_tool_name': 'finish', 'next_tool_args': {}}
        >>> last_step(dspy.Signature("question -> answer"))
    """
    tool = signature.output_fields.get(TOOL)
    if tool is None or FINISH not in get_args(tool.annotation):
        return None
    return {"next_thought": "", TOOL: FINISH, "next_tool_args": {}}
