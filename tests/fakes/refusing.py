"""Servers with opinions: what each of them refuses, in its own words, before its model writes anything."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.fakes.http_server import Fault, Received, Reply

Script = Callable[[Received], Reply | Fault]


def refused(message: str, **more: object) -> Fault:
    """Returns a bad request as OpenAI's API puts it."""
    return Fault(400, json.dumps({"error": {"message": message, "type": "invalid_request_error", **more}}))


def temperature(received: Received) -> Fault | None:
    """Takes the temperature 1 alone, as the o-series does."""
    sent = received.body.get("temperature", 1)
    if sent == 1:
        return None
    return refused(
        f"Unsupported value: 'temperature' does not support {sent} with this model. "
        "Only the default (1) value is supported.",
        param="temperature",
        code="unsupported_value",
    )


def short_caps(received: Received) -> Fault | None:
    """Takes no cap under 16, as the Responses API does."""
    if received.cap >= 16:
        return None
    return refused(
        "Invalid 'max_output_tokens': integer below minimum value. "
        f"Expected a value >= 16, but got {received.cap} instead.",
        param="max_output_tokens",
        code="integer_below_min_value",
    )


def stop(received: Received) -> Fault | None:
    """Takes no stop strings."""
    if not received.body.get("stop"):
        return None
    return refused("Unsupported parameter: 'stop' is not supported with this model.", param="stop")


def prefill(received: Received) -> Fault | None:
    """Takes no last message of the assistant, as Anthropic's newer models."""
    if received.prefill is None:
        return None
    return refused(
        "This model does not support assistant message prefill. The conversation must end with a user message."
    )


def continued_thinking(received: Received) -> Fault | None:
    """Deletes thinking from messages by its chat template, and so cannot continue one that holds some, as vLLM says."""
    if "<think>" not in (received.prefill or ""):
        return None
    return refused(
        "continue_final_message is set but the final message does not appear in the chat after applying the chat "
        "template!"
    )


def refusing(script: Script, *opinions: Callable[[Received], Fault | None]) -> Script:
    """Returns a script that refuses by these opinions, and else replies as it would."""

    def answered(received: Received) -> Reply | Fault:
        faults = (opinion(received) for opinion in opinions)
        return next((fault for fault in faults if fault), None) or script(received)

    return answered
