"""The two ways to ask for an answer at once.

*continue* sends the same prompt and an assistant message that ends in the cut reasoning and the answer's header: a
server that keeps its prefix cache then reads only a few new tokens. *restate* sends a derived signature with the cut
reasoning as its last input: it works with every chat API.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import dspy

from anytime_dspy._dspy import lm15
from anytime_dspy.calls import formats
from anytime_dspy.calls.acceptance import acceptance
from anytime_dspy.calls.answer_fields import unread
from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.parsing import parsed
from anytime_dspy.calls.predictor_call import NOT_SENT, PredictorCall
from anytime_dspy.calls.thinking import least_effort, split_thinking
from anytime_dspy.calls.tokens import counter_for

__all__ = [
    "Answer",
    "PARTIAL_REASONING",
    "answer_signature",
    "can_continue",
    "continue_request",
    "message_opening",
    "opened_request",
    "read_answer",
    "restated_call",
    "resume_request",
    "with_answer_options",
]

PARTIAL_REASONING = "partial_reasoning"
RESTATED_INSTRUCTIONS = (
    "The reasoning was stopped early: `partial_reasoning` holds all there is of it. "
    "Give the best answer that can be given now, without reasoning any further."
)
VLLM_CONTINUES = {"add_generation_prompt": False, "continue_final_message": True}


@dataclass(frozen=True)
class Answer:
    """The answer of a predictor's call.

    Attributes:
        values: The output fields; those that could not be read are None or empty.
        tokens: The answer's tokens.
        unread: The names of the fields that could not be read.
        censored: Whether it was truncated before it was complete.
    """

    values: dict[str, Any]
    tokens: int
    unread: tuple[str, ...] = ()
    censored: bool = False


def with_answer_options(call: PredictorCall, tokens: int, completion: Completion | None) -> PredictorCall:
    """Returns the call with the LM options of a forced answer: capped, and greedy.

    Forced answers are greedy, so only the reasoning is random. Reasoning models get their lowest effort, so that hidden
    thinking does not use up the answer's tokens, and keep their temperature, since most reject any other. A model
    counts as one where it has been seen to think, where its cap is called max_completion_tokens or, before its first
    completion, where DSPy knows that it may think. In that last case no effort is sent, since it might switch thinking
    on.

    Args:
        call: The call.
        tokens: The most tokens of the answer.
        completion: What the call has given so far; None if it was never made.
    """
    call, known = call.capped(tokens), acceptance(call.lm)
    options = dict(call.lm_kwargs)
    has_other_cap = "max_completion_tokens" in options
    thinks = bool(completion.hidden_tokens) if completion else known.thinks or has_other_cap
    if thinks:
        options.update(least_effort(call.lm))
    may_think = thinks or has_other_cap or (completion is None and getattr(call.lm, "supports_reasoning", False))
    temperature = {**call.lm.kwargs, **options}.get("temperature")
    if temperature and not may_think and known.takes_temperature(0.0):
        options.update(temperature=0.0, rollout_id=None)
    return replace(call, lm_kwargs=options)


def can_continue(adapter: dspy.Adapter, call: PredictorCall, completion: Completion | None) -> bool:
    """Whether a truncated assistant message can be continued: the engine and the prompt format must both allow it.

    Thinking that is shown apart from the text cannot be put into such a message, nor can native tool calls. Whether a
    model served by vLLM thinks is known only once there is a completion. A server that has rejected such a message is
    not asked again.
    """
    if (completion is not None and completion.hidden_tokens) or _calls_tools(adapter, call.signature):
        return False
    if not acceptance(call.lm).prefills:
        return False
    engine = getattr(call.lm, "engine", None)
    able = completion is not None if _is_vllm(call.lm) else bool(getattr(engine, "can_continue", False))
    return able and formats.opening(adapter, formats.answer_fields(call.signature)[0]) is not None


def continue_request(
    adapter: dspy.Adapter, call: PredictorCall, begun: str, like: lm15.Request | None = None
) -> lm15.Request:
    """Returns the request in which the LM's cut reasoning is followed by the answer's header, for the LM to continue.

    Args:
        adapter: The inner adapter; its format can be continued.
        call: The call, with the options of a forced answer.
        begun: The reasoning that fits the budget, word for word as the LM wrote it, so that a prefix cache holds it.
        like: The same request after another cut: all of it but the reasoning is reused.
    """
    signature = call.signature
    answer = formats.opening(adapter, formats.answer_fields(signature)[0])
    names = formats.reasoning_fields(signature)
    prefix = f"{begun or formats.opening(adapter, names[0])}\n\n{answer}" if names else str(answer)
    if like is not None:
        return replace(like, messages=(*like.messages[:-1], lm15.Message.assistant(prefix)))
    request = resume_request(adapter, call, prefix)
    stop = (*request.config.stop, *formats.answer_stops(signature, at_any_header=_opens_messages(call.lm)))
    return replace(request, config=replace(request.config, stop=stop))


def resume_request(adapter: dspy.Adapter, call: PredictorCall, prefix: str) -> lm15.Request:
    """Returns the request that has the LM continue its own message after `prefix`."""
    messages = [*call.messages(adapter), {"role": "assistant", "content": prefix}]
    body = {name: value for name, value in call.options.items() if name not in NOT_SENT and value is not None}
    extensions = {**body.pop("extra_body", {}), **(VLLM_CONTINUES if _is_vllm(call.lm) else {})}
    request = lm15.request_from_openai_chat({"model": call.lm.model, "messages": messages, **body})
    return replace(request, config=replace(request.config, extensions=extensions)) if extensions else request


def message_opening(adapter: dspy.Adapter, call: PredictorCall) -> str:
    """Returns the header that a message is opened with for an LM that does better so; "" for every other LM."""
    names = formats.reasoning_fields(call.signature)
    if not names or not _opens_messages(call.lm):
        return ""
    return (formats.opening(adapter, names[0]) or "") if can_continue(adapter, call, None) else ""


def opened_request(adapter: dspy.Adapter, call: PredictorCall, header: str) -> lm15.Request:
    """Returns the request that has the LM write its message after the header, up to the end mark.

    Args:
        adapter: The inner adapter.
        call: The call; its cap covers the header too, which is a part of the message.
        header: From `message_opening`.
    """
    request = resume_request(adapter, call, header)
    cap = request.config.max_tokens
    if cap is not None:
        cap = max(cap - counter_for(call.lm).count(header), 1)
    stop = (*request.config.stop, formats.MESSAGE_STOP)
    return replace(request, config=replace(request.config, stop=stop, max_tokens=cap))


def restated_call(call: PredictorCall, reasoning: str) -> PredictorCall:
    """Returns the call that shows the LM its cut reasoning and asks for the answer alone."""
    names = formats.reasoning_fields(call.signature)
    signature = answer_signature(call.signature, restated=bool(reasoning))
    inputs = {**call.inputs, PARTIAL_REASONING: reasoning} if reasoning else call.inputs
    demos = [
        {**dict(demo), PARTIAL_REASONING: str(demo.get(names[0]) or "")} if names else dict(demo) for demo in call.demos
    ]
    return replace(call, signature=signature, demos=demos, inputs=inputs)


def answer_signature(signature: type[dspy.Signature], *, restated: bool = False) -> type[dspy.Signature]:
    """Returns `signature` with its answer fields alone and, if `restated`, the cut reasoning as its last input."""
    return _derived(cast(Any, signature), restated)


def read_answer(
    adapter: dspy.Adapter, call: PredictorCall, reasoning: str, completion: Completion, *, continued: bool
) -> Answer:
    """Parses a forced answer.

    Args:
        adapter: The inner adapter.
        call: The predictor's call.
        reasoning: Its cut reasoning.
        completion: The forced answer, as the LM wrote it.
        continued: Whether it was asked for by continuing the message.
    """
    values, signature = completion.values, answer_signature(call.signature)
    said = split_thinking(completion.text)
    text = said.rest
    if continued or said.thinking or completion.truncated:  # a truncated text may end in half an end mark
        first = formats.answer_fields(signature)[0]
        header = formats.opening(adapter, first)
        # Some servers start a new reply and repeat the header, and some LMs answer in JSON.
        is_whole = formats.begins_field(adapter, signature, first, text) or _is_json(signature, text)
        if continued and header and not is_whole:
            text = f"{header}{text}"
        try:
            values = parsed(adapter, signature, text[: formats.completion_end(adapter, signature, text)])
        except dspy.AdapterParseError:
            values = None
    cut = completion.truncated and not formats.is_complete(adapter, signature, text)
    text = text[: formats.completion_end(adapter, signature, text)]
    known = {**formats.reasoning_value(call.signature, reasoning), **(values or {})}
    written = completion.text[: formats.completion_end(adapter, signature, completion.text)]
    return Answer(
        values={name: known.get(name) for name in call.signature.output_fields},
        tokens=counter_for(call.lm).count(written),
        unread=unread(adapter, call.signature, values or {}, text, cut=cut),
        censored=cut,
    )


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


def _is_json(signature: type[dspy.Signature], text: str) -> bool:
    """Whether a text looks like a JSON object of the output fields, and not like the value of one of them."""
    return text.lstrip().startswith("{") and all(f'"{name}"' in text for name in signature.output_fields)


def _calls_tools(adapter: dspy.Adapter, signature: type[dspy.Signature]) -> bool:
    if not adapter.use_native_function_calling:
        return False
    return any(field.annotation is dspy.ToolCalls for field in signature.output_fields.values())


def _opens_messages(lm: Any) -> bool:
    return bool(getattr(getattr(lm, "engine", None), "opens_messages", False))


def _is_vllm(lm: Any) -> bool:
    return isinstance(getattr(lm, "engine", None), str) and str(lm.model).startswith("hosted_vllm/")
