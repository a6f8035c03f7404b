"""Converts DSPy's requests and responses to those of llama.cpp and back; pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from anytime_dspy._dspy import lm15

__all__ = [
    "EXTENSIONS",
    "SUPPORTED_PARAMS",
    "Chat",
    "body_of",
    "chat_of",
    "refuse",
    "refuse_not_carried",
    "response_of",
]

EXTENSIONS = frozenset({"grammar", "id_slot", "min_p", "repeat_penalty"})
"""What `Config.extensions` of an explicit request may hold, in llama.cpp's words; `grammar` is GBNF."""

SUPPORTED_PARAMS = frozenset(
    {
        *("max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "response_format"),
        *("logprobs", "top_logprobs", "frequency_penalty", "presence_penalty"),
    }
)
"""The keyword arguments of a call that reach the model."""

_NOT_CARRIED = ("tool_choice", "reasoning", "cache", "service_tier", "user_id", "store", "probabilities")
# Unconstrained, small models fill the reply with white space between the parts of a JSON document.
_JSON_LAYOUT = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}
_SEEDS = 2**32 - 1  # llama.cpp reads the number after the last seed as "no seed"


class Chat(NamedTuple):
    """The messages for a chat template, and the beginning of the reply."""

    messages: list[dict[str, str]]
    prefill: str


def chat_of(request: lm15.Request) -> Chat:
    """Returns the request's messages; a last one by the assistant becomes the beginning of the reply.

    Raises:
        UnsupportedFeatureError: The request has tools, or parts that are not text.
    """
    if request.tools:
        refuse("tools", "calling tools")
    messages = [{"role": "system", "content": _system_text(request)}] if request.system is not None else []
    messages += [{"role": _role(message), "content": _text(message)} for message in request.messages]
    prefill = messages.pop()["content"] if request.messages[-1].role == "assistant" else ""
    return Chat(messages, prefill)


def body_of(config: lm15.Config) -> dict[str, Any]:
    """Returns the generation options of llama.cpp's completion request.

    Without a temperature decoding is greedy, so that measurements are reproducible; with one and without a seed every
    call gives another reply. Other options have llama.cpp's defaults (top_k 40, top_p 0.95, min_p 0.05).

    Raises:
        UnsupportedFeatureError: The request needs a feature that the embedded models lack.

    >>> body_of(lm15.Config(max_tokens=8, seed=1, temperature=0.7))
    {'temperature': 0.7, 'cache_prompt': True, 'n_predict': 8, 'seed': 1}
    """
    refuse_not_carried(config)
    extensions = dict(config.extensions or {})
    for name in extensions.keys() - EXTENSIONS:
        refuse(f"config.extensions.{name}", name)
    fields = {
        "n_predict": config.max_tokens,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "seed": None if config.seed is None else config.seed % _SEEDS,
        "stop": list(config.stop) or None,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
        # llama.cpp counts the chosen token among the alternatives, and gives no log-probability without one.
        "n_probs": None if config.logprobs is None else max(1, config.logprobs),
        "json_schema": _schema(config),
        **extensions,
    }
    asked = {name: value for name, value in fields.items() if value is not None}
    return {"temperature": config.temperature or 0.0, "cache_prompt": True, **asked}


def refuse_not_carried(config: lm15.Config) -> None:
    """Checks that a request needs no feature that all embedded engines lack.

    Raises:
        UnsupportedFeatureError: It needs one.
    """
    for name in _NOT_CARRIED:
        if getattr(config, name) is not None:
            refuse(f"config.{name}", name)


def response_of(model: str, reply: dict[str, Any]) -> lm15.Response:
    """Returns llama.cpp's reply as DSPy's.

    Usage is exact: `input_tokens` is the whole prompt, `cache_read_tokens` what of it the slot still held,
    `output_tokens` what was decoded, with the token that ended the reply or began a stop string. `provider_data`
    holds the server's own timings, in milliseconds.

    Raises:
        ContextLengthError: The prompt is longer than a slot's context.
        InvalidRequestError: The request is invalid, for example its grammar.
        ServerError: Decoding failed.
    """
    if "error" in reply:
        _raise(reply["error"])
    [choice] = reply["choices"]
    usage, timings = reply["usage"], reply["timings"]
    scored = (choice.get("logprobs") or {}).get("content")
    return lm15.Response(
        id=reply["id"],
        model=model,
        message=lm15.Message.assistant(choice["text"]),
        finish_reason="length" if choice["finish_reason"] == "length" else "stop",
        usage=lm15.Usage(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            cache_read_tokens=timings["cache_n"],
        ),
        logprobs=None if scored is None else tuple(map(_token_logprob, scored)),
        provider_data={"timings": timings},
    )


def _schema(config: lm15.Config) -> dict[str, Any] | None:
    if config.response_format is None:
        return None
    return {**_JSON_LAYOUT, **config.response_format.get("schema", {"type": "object"})}


def _system_text(request: lm15.Request) -> str:
    if isinstance(request.system, str):
        return request.system
    return _text(lm15.Message.user(request.system))


def _role(message: lm15.Message) -> str:
    return "system" if message.role == "developer" else str(message.role)


def _text(message: lm15.Message) -> str:
    if message.text is None or message.role == "tool":
        refuse("messages", "message parts other than text")
    return str(message.text)


def _token_logprob(token: dict[str, Any]) -> lm15.TokenLogprob:
    top = tuple(lm15.TopLogprob(**_scored(alternative)) for alternative in token["top_logprobs"])
    return lm15.TokenLogprob(**_scored(token), top=top)


def _scored(token: dict[str, Any]) -> dict[str, Any]:
    return {
        "token": token["token"],
        "logprob": float(token["logprob"]),
        "bytes": tuple(token["bytes"]),
        "token_id": token["id"],
    }


def refuse(feature: str, what: str) -> NoReturn:
    """Raises the error for a feature that is not supported.

    Args:
        feature: Its place in the request.
        what: What to leave out, in words.
    """
    raise lm15.UnsupportedFeatureError(f"the embedded models do not support {what}; leave it out", feature=feature)


def _raise(error: dict[str, Any]) -> NoReturn:
    if error["type"] == "exceed_context_size_error":
        raise lm15.ContextLengthError(
            f"the prompt has {error['n_prompt_tokens']} tokens and a slot of the embedded model holds "
            f"{error['n_ctx']}: give local_lm a larger context, or shorten the prompt"
        )
    if error["code"] < 500:
        raise lm15.InvalidRequestError(f"llama.cpp refused the request: {error['message']}")
    raise lm15.ServerError(f"llama.cpp failed: {error['message']}")
