"""The options that an LM rejects: learned from its first error, logged once, and not sent to it again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anytime_dspy._dspy import lm15
from anytime_dspy.calls.refusals import OptionName, SentOptions, refusal_in

__all__ = [
    "Acceptance",
    "acceptance",
    "cap_key",
    "accepted_options",
    "accepted_request",
    "options_of_request",
    "options_of_call",
]

logger = logging.getLogger(__name__)

_KEPT_AS = "_anytime_acceptance"


class Acceptance:
    """What is known of the options that one LM accepts; safe to use from several threads.

    Attributes:
        thinks: Whether it has been seen to think outside of its text.
        prefills: Whether it continues a prefilled assistant message, as far as is known.
        least_cap: The lowest cap that it accepts.
    """

    def __init__(self, model: str) -> None:
        self.thinks = False
        self.prefills = True
        self.least_cap = 0
        self._model = model
        self._stops = True
        self._temperatures: set[float] = set()
        self._logged: set[OptionName] = set()
        self._lock = threading.Lock()

    @property
    def has_refused(self) -> bool:
        """Whether it has rejected anything yet."""
        return bool(self._logged)

    def takes_temperature(self, temperature: float) -> bool:
        """Whether it accepts this temperature, as far as is known: some LMs accept one value, some none."""
        return temperature not in self._temperatures

    def fitted(self, sent: SentOptions) -> SentOptions:
        """Returns the options without those that it rejects, and with a cap that it accepts."""
        is_taken = sent.temperature is None or self.takes_temperature(sent.temperature)
        return replace(
            sent,
            temperature=sent.temperature if is_taken else None,
            stop=sent.stop if self._stops else (),
            cap=None if sent.cap is None else max(sent.cap, self.least_cap),
        )

    def learns_from(self, error: Exception, sent: SentOptions) -> bool:
        """Whether an error rejects one of the options that were sent, which is then not sent again.

        What the run does instead is logged as a warning, once per option.
        """
        refusal = refusal_in(error, sent)
        if refusal is None:
            return False
        with self._lock:
            if refusal.option == "temperature" and sent.temperature is not None:
                self._temperatures.add(sent.temperature)
            elif refusal.option == "stop":
                self._stops = False
            elif refusal.option == "cap":
                self.least_cap = max(self.least_cap, refusal.least_cap)
            elif refusal.option == "prefill":
                self.prefills = False
            is_new = refusal.option not in self._logged
            self._logged.add(refusal.option)
        if is_new:
            logger.warning("%s %s", self._model, self._note(refusal.option, sent))
        return True

    def _note(self, option: OptionName, sent: SentOptions) -> str:
        return {
            "temperature": f"refuses temperature={sent.temperature}: it is called without, at its own default.",
            "stop": "refuses stop strings: it is called without.",
            "cap": f"takes no cap under {self.least_cap} tokens: a lower one is raised to that, what is written beyond "
            "it is cut off, and charged.",
            "prefill": "does not go on with a message of its own: its reasoning is restated to it instead.",
        }[option]


class _Acceptances(dict[Any, Acceptance]):
    """What is known of an LM, by its model and address.

    An attribute of the LM, shared by its copies. In a pickled program it is an empty dict, which loads without this
    library.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> _Acceptances:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, ())


def acceptance(lm: Any) -> Acceptance:
    """Returns what is known of an LM; a copy with another model or address counts as another LM."""
    known = vars(lm).get(_KEPT_AS)
    if known is None:
        known = vars(lm).setdefault(_KEPT_AS, _Acceptances())
    if not isinstance(known, _Acceptances):
        known = vars(lm)[_KEPT_AS] = _Acceptances()
    model = str(lm.model)
    address = lm.kwargs.get("api_base") or lm.kwargs.get("base_url")
    key = model, getattr(lm, "model_type", None), address
    return known.get(key) or known.setdefault(key, Acceptance(model))  # several times in every call


def cap_key(options: Mapping[str, Any]) -> str:
    """Returns the name of the option that caps an LM's replies."""
    return "max_completion_tokens" if options.get("max_completion_tokens") is not None else "max_tokens"


def options_of_call(lm: Any, options: Mapping[str, Any]) -> SentOptions:
    """Returns the options that a call sends, those of the LM itself included."""
    whole = {**lm.kwargs, **options}
    stop = whole.get("stop") or ()
    return SentOptions(
        temperature=whole.get("temperature"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        cap=whole.get(cap_key(whole)),
    )


def accepted_options(lm: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a call's options without those that the LM rejects; None overrides an option of the LM itself."""
    sent = options_of_call(lm, options)
    fitted = acceptance(lm).fitted(sent)
    changed: dict[str, Any] = {}
    if fitted.temperature != sent.temperature:
        changed["temperature"] = None
    if fitted.stop != sent.stop:
        changed["stop"] = None
    if fitted.cap != sent.cap:
        changed[cap_key({**lm.kwargs, **options})] = fitted.cap
    return {**options, **changed}


def options_of_request(request: lm15.Request) -> SentOptions:
    """Returns the options that a request sends."""
    config = request.config
    return SentOptions(
        config.temperature, tuple(config.stop), config.max_tokens, request.messages[-1].role == "assistant"
    )


def accepted_request(lm: Any, request: lm15.Request) -> lm15.Request | None:
    """Returns a request without the options that the LM rejects; None if it rejects prefilled messages."""
    sent, known = options_of_request(request), acceptance(lm)
    if sent.prefills and not known.prefills:
        return None
    fitted = known.fitted(sent)
    if fitted == sent:
        return request
    config = replace(request.config, temperature=fitted.temperature, stop=fitted.stop, max_tokens=fitted.cap)
    return replace(request, config=config)
