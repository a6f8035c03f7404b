"""Asking for an answer at once: the two ways to do it, and nothing else.

*continue* sends the same prompt and an assistant message that ends in the cut reasoning and the answer's header: a
server that keeps its prefix cache then reads a handful of new tokens. *restate* sends a signature of its own, in which
the cut reasoning is the last input: it works wherever a chat works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import dspy
from dspy.lm15 import Message, Request, request_from_openai_chat

from anytime_dspy.calls import formats
from anytime_dspy.calls.acceptance import acceptance, cap_key
from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.thinking import least_effort
from anytime_dspy.calls.tokens import counter_for

__all__ = [
    "PARTIAL_REASONING",
    "PredictorCall",
    "answer_signature",
    "can_continue",
    "effective_cap",
    "capped_options",
    "continue_request",
    "with_answer_options",
    "opened_request",
    "message_opening",
    "restated_call",
    "resume_request",
]

PARTIAL_REASONING = "partial_reasoning"
RESTATED_INSTRUCTIONS = (
    "The reasoning was stopped early: `partial_reasoning` holds all there is of it. "
    "Give the best answer that can be given now, without reasoning any further."
)
NOT_SENT = frozenset(
    {"rollout_id", "cache", "prompt_cache", "n", "num_generations", "api_key", "api_base", "base_url", "timeout"}
)

VLLM_CONTINUES = {"add_generation_prompt": False, "continue_final_message": True}


@dataclass(frozen=True)
class PredictorCall:
    """What a predictor asks: the arguments that DSPy calls an adapter with."""

    lm: Any
    lm_kwargs: Mapping[str, Any]
    signature: type[dspy.Signature]
    demos: Sequence[Any]
    inputs: Mapping[str, Any]


def capped_options(call: PredictorCall, tokens: int) -> dict[str, Any]:
    """Returns the question's LM options with its completion capped; a lower cap of the user's own stays."""
    key, own = _own_cap(call)
    return {**call.lm_kwargs, key: tokens if own is None else min(own, tokens)}


def effective_cap(call: PredictorCall, tokens: int) -> int:
    """Returns the cap that is sent where `tokens` are allowed: these, or a lower cap of the user's own."""
    own = _own_cap(call)[1]
    return tokens if own is None else min(own, tokens)


def _own_cap(call: PredictorCall) -> tuple[str, int | None]:
    options = {**call.lm.kwargs, **call.lm_kwargs}
    key = cap_key(options)
    return key, options.get(key)


def with_answer_options(call: PredictorCall, tokens: int, completion: Completion | None) -> PredictorCall:
    """Returns the question with options for an answer that is asked for: capped, and greedy where it was not.

    Samples are to differ in their reasoning; what a given reasoning comes to is no place for luck. A model that is
    known to think, or has just been seen to, is told to do so as little as it can, lest that takes the tokens of the
    answer; others might be set thinking by the same words. It keeps its temperature, since most refuse any other, as do
    those that know their cap as max_completion_tokens: they think, too. So does any that may think, where nothing has
    been written yet that would show it.

    Args:
        call: The call.
        tokens: What the answer may take.
        completion: What came of it, if it was asked at all.
    """
    options, known = capped_options(call, tokens), acceptance(call.lm)
    thinks = bool(completion.hidden_tokens) if completion else known.thinks or "max_completion_tokens" in options
    if thinks:
        options.update(least_effort(call.lm))
    temperature = {**call.lm.kwargs, **options}.get("temperature")
    if not temperature or thinks or "max_completion_tokens" in options or not known.takes_temperature(0.0):
        return replace(call, lm_kwargs=options)
    if completion is None and getattr(call.lm, "supports_reasoning", False):
        return replace(call, lm_kwargs=options)
    return replace(call, lm_kwargs={**options, "temperature": 0.0, "rollout_id": None})


def can_continue(adapter: dspy.Adapter, call: PredictorCall, completion: Completion | None) -> bool:
    """Whether a cut-off message of the assistant can be continued: the engine and the format must both allow it.

    Thinking that is shown apart from the text has no place in such a message. Whether a model that vLLM serves
    thinks so is seen by its completion alone, so that one must be there. Tools that are called natively are no part of
    the text either. A server that has refused such a message is not asked again.
    """
    if (completion is not None and completion.hidden_tokens) or _calls_tools(adapter, call.signature):
        return False
    if not acceptance(call.lm).prefills:
        return False
    engine = getattr(call.lm, "engine", None)
    able = completion is not None if _is_vllm(call.lm) else bool(getattr(engine, "can_continue", False))
    return able and formats.opening(adapter, formats.answer_fields(call.signature)[0]) is not None


def continue_request(adapter: dspy.Adapter, call: PredictorCall, begun: str, like: Request | None = None) -> Request:
    """Returns the request that has the LM go on from its cut reasoning with the answer's header.

    Args:
        adapter: The inner adapter; its format can be continued.
        call: The call, with the options of a forced answer.
        begun: The reasoning that fits the budget, as the LM wrote it: word for word, since a server holds just that.
        like: Such a request of the same question after another cut, from which all but the reasoning is taken.
    """
    signature = call.signature
    answer = formats.opening(adapter, formats.answer_fields(signature)[0])
    names = formats.reasoning_fields(signature)
    prefix = f"{begun or formats.opening(adapter, names[0])}\n\n{answer}" if names else str(answer)
    if like is not None:
        return replace(like, messages=(*like.messages[:-1], Message.assistant(prefix)))
    request = resume_request(adapter, call, prefix)
    stop = (*request.config.stop, *formats.answer_stops(signature, at_any_header=_opens_messages(call.lm)))
    return replace(request, config=replace(request.config, stop=stop))


def resume_request(adapter: dspy.Adapter, call: PredictorCall, prefix: str) -> Request:
    """Returns the request that has the LM go on with its own message after `prefix`."""
    messages = [
        *adapter.format(call.signature, list(call.demos), dict(call.inputs)),
        {"role": "assistant", "content": prefix},
    ]
    options = {**call.lm.kwargs, **call.lm_kwargs}
    body = {name: value for name, value in options.items() if name not in NOT_SENT and value is not None}
    extensions = {**body.pop("extra_body", {}), **(VLLM_CONTINUES if _is_vllm(call.lm) else {})}
    request = request_from_openai_chat({"model": call.lm.model, "messages": messages, **body})
    return replace(request, config=replace(request.config, extensions=extensions)) if extensions else request


def message_opening(adapter: dspy.Adapter, call: PredictorCall) -> str:
    """Returns the header with which a message is opened for an LM that is better off so, "" for any other."""
    names = formats.reasoning_fields(call.signature)
    if not names or not _opens_messages(call.lm):
        return ""
    return (formats.opening(adapter, names[0]) or "") if can_continue(adapter, call, None) else ""


def opened_request(adapter: dspy.Adapter, call: PredictorCall, header: str) -> Request:
    """Returns the request that has the LM write its message after the header, up to the end mark.

    Args:
        adapter: The inner adapter.
        call: The call; its cap counts the header too, which is a part of the message.
        header: As `message_opening` has it.
    """
    request = resume_request(adapter, call, header)
    cap = request.config.max_tokens
    if cap is not None:
        cap = max(cap - counter_for(call.lm).count(header), 1)
    stop = (*request.config.stop, formats.MESSAGE_STOP)
    return replace(request, config=replace(request.config, stop=stop, max_tokens=cap))


def restated_call(call: PredictorCall, reasoning: str) -> PredictorCall:
    """Returns the question that shows the LM its cut reasoning and asks for the answer alone."""
    names = formats.reasoning_fields(call.signature)
    signature = answer_signature(call.signature, restated=bool(reasoning))
    inputs = {**call.inputs, PARTIAL_REASONING: reasoning} if reasoning else call.inputs
    demos = [
        {**dict(demo), PARTIAL_REASONING: str(demo.get(names[0]) or "")} if names else dict(demo) for demo in call.demos
    ]
    return replace(call, signature=signature, demos=demos, inputs=inputs)


def _calls_tools(adapter: dspy.Adapter, signature: type[dspy.Signature]) -> bool:
    if not adapter.use_native_function_calling:
        return False
    return any(field.annotation is dspy.ToolCalls for field in signature.output_fields.values())


def _opens_messages(lm: Any) -> bool:
    return bool(getattr(getattr(lm, "engine", None), "opens_messages", False))


def _is_vllm(lm: Any) -> bool:
    return isinstance(getattr(lm, "engine", None), str) and str(lm.model).startswith("hosted_vllm/")


def answer_signature(signature: type[dspy.Signature], *, restated: bool = False) -> type[dspy.Signature]:
    """Returns `signature` with its answer fields alone, and with the cut reasoning as its last input if `restated`."""
    return _derived(cast(Any, signature), restated)


@lru_cache(maxsize=256)  # deriving a signature costs more than the rest of a call's bookkeeping
def _derived(signature: Any, restated: bool) -> type[dspy.Signature]:
    derived: type[dspy.Signature] = signature
    for name in formats.reasoning_fields(signature):
        derived = derived.delete(name)
    if restated:
        field = dspy.InputField(desc="reasoning that was stopped early")
        instructions = f"{signature.instructions}\n\n{RESTATED_INSTRUCTIONS}"
        derived = derived.append(PARTIAL_REASONING, field, str).with_instructions(instructions)
    return derived
