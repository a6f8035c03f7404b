"""What providers say when they refuse something of a call, as users have reported it, and what is read in it."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from dspy.utils.exceptions import (
    ContextWindowExceededError,
    LMAuthError,
    LMInvalidRequestError,
    LMProviderError,
    LMRateLimitError,
    LMServerError,
    LMUnsupportedFeatureError,
)

from anytime_dspy.calls.refusals import Refusal, SentOptions, refusal_in

EVERYTHING = SentOptions(temperature=0.0, stop=("END",), cap=4, prefills=True)


class Said(NamedTuple):
    """A provider's words, who reported them, and the least cap that they name."""

    source: str
    text: str
    least_cap: int = 0


TEMPERATURE = [
    Said(
        "gabrii/Cursor-Azure-GPT-5 #33",
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
    ),
    Said(
        "OpenHands/OpenHands #4131",
        "Error code: 400 - {'error': {'message': \"Unsupported value: 'temperature' does not support 0.0 with this "
        "model. Only the default (1) value is supported.\", 'param': 'temperature', 'code': 'unsupported_value'}}",
    ),
    Said("livekit/agents #1470", "Unsupported parameter: 'temperature' is not supported with this model."),
    Said(
        "OpenHands/software-agent-sdk #1837",
        'litellm.BadRequestError: OpenAIException - { "error": { "message": "Unsupported parameter: \'temperature\' is '
        'not supported with this model.", "param": "temperature", "code": null } }',
    ),
    Said(
        "MartialBE/one-hub #529", "`temperature` may only be set to 1 when thinking is enabled. Please consult our docs"
    ),
    Said("danny-avila/LibreChat #11949", "temperature is not supported when thinking is enabled"),
    Said("promptfoo/promptfoo #10307", "ValidationException: `temperature` is deprecated for this model."),
    Said("opencyvis/opencyvis-phone #12", "invalid temperature: only 1 is allowed for this model"),
    Said("arcsin1/oh-my-ppt #45", "invalid temperature: only 0.6 is allowed for this model"),
    Said(
        "langmanus/langmanus #93",
        "litellm.UnsupportedParamsError: O-series models don't support temperature=0.0. Only temperature=1 is "
        "supported. To drop unsupported openai params from the call, set `litellm.drop_params = True`",
    ),
    Said(
        "HKUDS/nanobot #370",
        "litellm.UnsupportedParamsError: gpt-5 models (including gpt-5-codex) don't support temperature=0.7. Only "
        "temperature=1 is supported. For gpt-5.1, temperature is supported when reasoning_effort='none'",
    ),
    Said("nashsu/llm_wiki #49", 'Invalid JSON payload received. Unknown name "temperature": Cannot find field.'),
    Said("ai-forever/gigachain #237", "Invalid params: temperature must be in range (0, +inf)"),
    Said("anthropics/anthropic-sdk-python #893", "temperature: range: 0..1"),
    Said(
        "huggingface/text-generation-inference #1236", "Input validation error: `temperature` must be strictly positive"
    ),
    Said("vibrantlabsai/ragas #264", "text_generation.errors.ValidationError: temperature must be strictly positive"),
    Said(
        "microsoft/graphrag #416",
        "ValueError: `temperature` (=0.0) has to be a strictly positive float, otherwise your next token scores will "
        "be invalid.",
    ),
    Said("songquanpeng/one-api #1141", "temperature参数非法。请检查文档。"),
    Said(
        "aws-samples/bedrock-access-gateway #191",
        "The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model.",
    ),
    Said("JohnnyZ93/oai-compatible-copilot #42", "temperature and top_p cannot both be specified for this model."),
    Said(
        "nomtek/mistralai_client_dart #44",  # of another field; the form is that of any server built on pydantic
        '{"detail":[{"type":"extra_forbidden","loc":["body","temperature"],"msg":"Extra inputs are not permitted"}]}',
    ),
]
STOP = [
    Said("FlowiseAI/Flowise #5046", "400 Unsupported parameter: 'stop' is not supported with this model."),
    Said(
        "crewAIInc/crewAI #1908",
        "litellm.BadRequestError: AzureException BadRequestError - Error code: 400 - {'error': {'message': "
        "\"Unsupported parameter: 'stop' is not supported with this model.\", 'code': 'unsupported_parameter'}}",
    ),
    Said("huggingface/smolagents #1765", "Argument not supported on this model: stop"),
    Said("lidge-jun/opencodex #5278", "Model grok-4.6 does not support parameter stop."),
    Said(
        "langgenius/dify-official-plugins #1767",
        "ValidationException: This model doesn't support the stopSequences field. Remove stopSequences and try again.",
    ),
    Said(
        "GoogleCloudPlatform/vertex-ai-samples #3515",
        "Unable to submit request because the model does not support the stopSequences parameter. Remove it and try "
        "again.",
    ),
    Said(
        "langchain-ai/langchain-aws #62",
        "Malformed input request: extraneous key [stop_sequences] is not permitted, please reformat your input",
    ),
]
CAP = [
    Said(
        "vectorize-io/hindsight #58",
        "{'error': {'message': 'Provider returned error', 'code': 400, 'metadata': {'raw': '{\\n  \"error\": {\\n    "
        '"message": "Invalid \\\'max_output_tokens\\\': integer below minimum value. Expected a value >= 16, but got 4 '
        "instead.\"}}'}}}",
        16,
    ),
    Said(
        "earendil-works/pi #6265",
        "OpenAI API error (400): Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but "
        "got 1 instead.",
        16,
    ),
    Said(
        "wm94i/Work-Review #41",
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >=16, but got 5 instead.",
        16,
    ),
    Said("ZenMux/zenmux-doc #189", "Invalid 'max_tokens': integer below minimum value.", 16),
    Said("modelscope/ms-agent #497, with another floor", "max_tokens must be at least 8, got 4.", 8),
    Said("betalgo/openai #360, with another floor", "4 is less than the minimum of 8 - 'max_tokens'", 8),
    Said("a floor that is left out", "max_tokens must be greater than 7", 8),
]
PREFILL = [
    Said(
        "langchain-ai/deepagents #1585",
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    Said(
        "agentjido/req_llm #642",
        "Your API request included an `assistant` message in the final position, which would pre-fill the `assistant` "
        "response. When using output format, pre-filling the `assistant` response is not supported.",
    ),
    Said(
        "Aider-AI/aider #3820",
        "Expected `thinking` or `redacted_thinking`, but found `text`. When `thinking` is enabled, a final `assistant` "
        "message must start with a thinking block.",
    ),
    Said("anomalyco/opencode #1295", "messages: final assistant content cannot end with trailing whitespace"),
    Said(
        "PrimeIntellect-ai/verifiers #179",
        "continue_final_message is set but the final message does not appear in the chat after applying the chat "
        "template! This can happen if the chat template deletes portions of the final message.",
    ),
    Said("vllm-project/vllm #8942", "Cannot set both `continue_final_message` and `add_generation_prompt` to True."),
    Said("ggml-org/llama.cpp #20861", "Assistant response prefill is incompatible with enable_thinking."),
    Said(
        "huggingface/smolagents #757",
        "litellm.BadRequestError: MistralException - Error code: 400 - {'message': 'Expected last role User or Tool "
        "(or Assistant with prefix True) for serving but got assistant', 'type': 'invalid_request_error'}",
    ),
    Said(
        "BerriAI/litellm #8090",
        "The last message of deepseek-reasoner must be a user message, or an assistant message with prefix mode on",
    ),
    Said(
        "songquanpeng/one-api #836",
        "Please ensure that multiturn requests ends with a user role or a function response.",
    ),
    Said("vectorize-io/hindsight #58, through DSPy's own engine", "Provider returned error (400)"),
    Said("vllm-project/vllm before its errors had an envelope, through DSPy's own engine", ""),
    Said(
        "any of these through an SDK that found no message",
        "litellm.BadRequestError: OpenAIException - Error code: 400",
    ),
]
OTHERS = [
    Said("a key", "Incorrect API key provided."),
    Said("a model", "The model `o9` does not exist or you do not have access to it."),
    Said("a filter", "Invalid prompt: your prompt was flagged. It asks for the temperature at which to stop."),
    Said("another option", "Unsupported parameter: 'top_p' is not supported with this model."),
    Said("another option", "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model."),
    Said("another option", "Unrecognized request argument supplied: reasoning_effort"),
    Said("modelscope/ms-agent #497", "max_tokens must be at least 1, got -160"),
    Said("anomalyco/opencode #1000", "`max_tokens` must be less than or equal to `16384`"),
    Said("a cap that thinking needs", "`max_tokens` must be greater than `thinking.budget_tokens`."),
    Said("a floor that would be a surprise on the bill", "max_tokens must be at least 1024"),
    Said(
        "nickscamara/open-deep-research #19",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192], got 0",
    ),
    Said("messages of the middle", "deepseek-reasoner does not support successive user or assistant messages"),
    Said("a stop string of the user's", "stop_sequences: each stop sequence must contain non-whitespace"),
    Said("a schema", "Invalid schema for response_format: 'temperature_reading' is missing a type."),
]


def refused(text: str) -> LMInvalidRequestError:
    return LMInvalidRequestError(text, model="m", status=400)


@pytest.mark.parametrize(
    ("said", "thing"),
    [(said, thing) for thing, table in [("temperature", TEMPERATURE), ("stop", STOP), ("cap", CAP)] for said in table]
    + [(said, "prefill") for said in PREFILL],
    ids=lambda value: value.source if isinstance(value, Said) else None,
)
def test_what_a_provider_refuses_is_read_in_its_words(said, thing):
    assert refusal_in(refused(said.text), EVERYTHING) == Refusal(thing, said.least_cap)


@pytest.mark.parametrize("said", OTHERS, ids=lambda said: said.text[:40])
def test_any_other_error_is_no_refusal(said):
    assert refusal_in(refused(said.text), EVERYTHING) is None


@pytest.mark.parametrize("said", [*TEMPERATURE, *STOP, *CAP, *PREFILL], ids=lambda said: said.source)
def test_what_was_not_sent_is_not_refused(said):
    assert refusal_in(refused(said.text), SentOptions(cap=64)) is None


def test_only_a_bad_request_is_a_refusal():
    text = TEMPERATURE[0].text
    for kind, status in [(LMAuthError, 401), (LMRateLimitError, 429), (LMServerError, 500), (LMProviderError, 404)]:
        assert refusal_in(kind(text, status=status), EVERYTHING) is None
    assert refusal_in(ContextWindowExceededError(message=text), EVERYTHING) is None
    assert refusal_in(ValueError(text), EVERYTHING) is None
    for kind, status in [(LMProviderError, 422), (LMInvalidRequestError, None), (LMUnsupportedFeatureError, None)]:
        assert refusal_in(kind(text, status=status), EVERYTHING) == Refusal("temperature")
