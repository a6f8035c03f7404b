"""One OpenVINO pipeline for each model file, shared within the process."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from anytime_dspy._dspy import lm15
from anytime_dspy.errors import ModelError
from anytime_dspy.local.models import file_digest
from anytime_dspy.local.server import ServerSettings, SharedServer
from anytime_dspy.local.shared_prefixes import SharedPrefixes, block_keys
from anytime_dspy.local.transcode import readable_by_openvino
from anytime_dspy.local.wire import refuse, refuse_not_carried

__all__ = ["SUPPORTED_PARAMS", "OpenVinoServer", "is_available"]

logger = logging.getLogger(__name__)

SUPPORTED_PARAMS = frozenset(
    {
        *("max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "response_format"),
        *("frequency_penalty", "presence_penalty"),
    }
)
"""The keyword arguments of a call that reach the model; it gives no log-probabilities of alternatives."""

# Everything in 32-bit floats, and activations as they are: then what is decoded together changes the rounding so
# little that greedy text is the same alone and in a batch, read from the cache or anew, but for near ties.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
# What llama.cpp takes where a call does not say it, so that both engines sample alike.
_TOP_K, _TOP_P, _MIN_P = 40, 0.95, 0.05
_BATCH_TOKENS = 512
_BLOCK_TOKENS = 32  # in which OpenVINO keeps keys and values on CPUs
_LOOK_SECONDS, _STALL_SECONDS = 5.0, 120.0  # a step takes a second or two
# How long the next step waits for one more request to arrive, and for all of them.
_NEXT_SECONDS, _GATHER_SECONDS = 0.01, 0.2
_STOP_TOKENS = 24  # the last ones, among which a stop string is looked for
# Slots whose whole context has room in the cache at once: most requests are short, and the others take turns.
_FULL_SLOTS = 4


def is_available() -> bool:
    """Whether OpenVINO's packages are installed; they are not imported."""
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("openvino_genai", "gguf"))


@dataclass(frozen=True)
class Completed:
    """A reply of the pipeline."""

    tokens: list[int]
    truncated: bool


@dataclass(frozen=True)
class _Job:
    """A request that waits for the pipeline or runs in it."""

    tokens: Sequence[int]
    config: Any
    stops: tuple[str, ...] = ()
    done: Future[Completed] = field(default_factory=Future)
    written: list[int] = field(default_factory=list)
    reasons: list[Any] = field(default_factory=list)

    @cached_property
    def blocks(self) -> tuple[int, ...]:
        """The keys of the prompt's blocks."""
        return block_keys(self.tokens, _BLOCK_TOKENS)


class OpenVinoServer(SharedServer):
    """An OpenVINO pipeline inside this process, loaded when it is first used.

    Get one by `OpenVinoServer.shared`: equal settings give the same server as long as it is referenced, and
    its memory is freed afterwards. Every method may be called from several threads: requests are decoded
    together, and share the cached prefixes of their prompts.
    """

    _first_array: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._waiting: list[_Job] = []
        self._is_working = False
        self._numbers = itertools.count()
        self._loaded: Any = None
        self._steps = 0  # that were begun
        self._prefixes = SharedPrefixes(self._cache_blocks)

    @property
    def counter_name(self) -> str:
        """The name that token counts are stored under."""
        return f"openvino:{file_digest(self.settings.path)[:8]}"

    def complete(self, model: str, prompt: str, config: lm15.Config) -> lm15.Response:
        """Runs one completion, in a batch with the others that are running.

        Raises:
            ContextLengthError: The prompt is longer than the context.
            UnsupportedFeatureError: The request needs a feature that this engine lacks.
        """
        tokens, context = self.tokenize(prompt), self.settings.context
        if len(tokens) >= context:
            raise lm15.ContextLengthError(
                f"the prompt has {len(tokens)} tokens and the embedded model holds {context}: give local_lm a larger "
                "context, or shorten the prompt"
            )
        job = _Job(tokens, self._generation_config(config, context - len(tokens)), tuple(config.stop))
        with self._lock:
            self._waiting.append(job)
            self._arrived.notify()
            if not self._is_working:
                self._is_working = True
                threading.Thread(target=self._work, name="openvino", daemon=True).start()
        completed = self._wait_for(job)
        written = str(self._tokenizer.decode(completed.tokens)) if completed.tokens else ""
        text, is_stopped = _cut_at_stop(written, config.stop)
        return lm15.Response(
            id=None,
            model=model,
            message=lm15.Message.assistant(text),
            finish_reason="length" if completed.truncated and not is_stopped else "stop",
            usage=lm15.Usage(input_tokens=len(tokens), output_tokens=len(completed.tokens)),
        )

    def _wait_for(self, job: _Job) -> Completed:
        """Waits as long as the pipeline makes progress.

        Time in which the whole process was suspended does not count, so looks are counted and not seconds.

        Raises:
            ModelError: It has stalled.
        """
        seen, looks = 0, 0
        while True:
            try:
                return job.done.result(timeout=_LOOK_SECONDS)
            except TimeoutError:
                if job.done.done():
                    continue
                seen, looks = self._steps, looks + 1 if seen == self._steps else 0
                if seen and looks * _LOOK_SECONDS > _STALL_SECONDS:
                    raise ModelError(
                        f"OpenVINO has not gone on for {_STALL_SECONDS:.0f} seconds: start again (what was done is "
                        'kept), or take the other engine with local_lm(..., engine="llama.cpp")'
                    ) from None

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """Returns the prompt that the model's chat template makes of the messages, up to the model's turn.

        Raises:
            ModelError: The template rejects these messages.
        """
        try:
            return str(self._tokenizer.apply_chat_template(list(messages), add_generation_prompt=True))
        except RuntimeError as error:
            raise ModelError(f"the chat template of {self.settings.path} refused the messages: {error}") from error

    def tokenize(self, text: str) -> list[int]:
        """Returns the token ids of a text; special tokens are recognised, and none is added."""
        if not text:
            return []
        ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids
        return [int(token) for token in ids.data[0]]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Returns the text of token ids."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False)) if tokens else ""

    @property
    def _tokenizer(self) -> Any:
        return self._pipeline().get_tokenizer()

    def _generation_config(self, config: lm15.Config, room: int) -> Any:
        import openvino_genai

        refuse_not_carried(config)
        if config.logprobs is not None:
            refuse("config.logprobs", "log-probabilities under OpenVINO")
        for name in config.extensions or {}:
            refuse(f"config.extensions.{name}", f"{name} under OpenVINO")
        made = openvino_genai.GenerationConfig()
        made.max_new_tokens = room if config.max_tokens is None else min(config.max_tokens, room)
        made.presence_penalty = config.presence_penalty or 0.0
        made.frequency_penalty = config.frequency_penalty or 0.0
        if config.response_format is not None:
            schema = json.dumps(config.response_format.get("schema", {"type": "object"}))
            made.structured_output_config = openvino_genai.StructuredOutputConfig(json_schema=schema)
        made.do_sample = bool(config.temperature)
        if config.temperature:
            made.temperature = config.temperature
            made.top_k = _TOP_K if config.top_k is None else config.top_k
            made.top_p = _TOP_P if config.top_p is None else config.top_p
            made.min_p = _MIN_P
            made.rng_seed = next(self._numbers) if config.seed is None else config.seed
        return made

    def _work(self) -> None:
        """Steps the pipeline until it is idle; the next request starts another such thread."""
        pipeline, waiting, running, finished = self._pipeline(), list[_Job](), list[tuple[_Job, Any]](), 0
        while True:
            with self._arrived:
                self._gather(len(waiting) + len(running), finished)
                new, self._waiting = self._waiting, []
                # A step is also what frees the memory of requests that were stopped.
                if not new and not waiting and not running and not pipeline.has_non_finished_requests():
                    self._is_working = False
                    return
            waiting = self._add(pipeline, [*waiting, *new], running)
            self._steps += 1
            try:
                pipeline.step()
            except RuntimeError as error:
                for job, _ in running:
                    job.done.set_exception(lm15.InvalidRequestError(f"OpenVINO failed: {error}"))
                running.clear()
            stepped = len(running)
            running = [(job, handle) for job, handle in running if not self._finish(job, handle)]
            finished = stepped - len(running)

    def _gather(self, present: int, finished: int) -> None:
        """Waits for requests that are about to arrive, so that they share the next step.

        No other Python thread runs during a step, so callers can read their replies and ask again only between steps.

        Args:
            present: The requests that run, or wait for a prefix.
            finished: Those that ended in the last step.
        """
        end = time.monotonic() + _GATHER_SECONDS
        while present + max(finished, len(self._waiting)) > 1 and (finished or self._waiting):
            if not self._arrived.wait(_NEXT_SECONDS) or time.monotonic() > end:
                return

    def _add(self, pipeline: Any, jobs: Sequence[_Job], running: list[tuple[_Job, Any]]) -> list[_Job]:
        """Gives requests to the pipeline; returns those that wait for another one to read a prefix that they share."""
        import openvino

        waiting = []
        reading = {key for job, _ in running if not job.written for key in job.blocks}
        for job in jobs:
            if self._prefixes.should_wait(job.blocks, reading):
                waiting.append(job)
                continue
            ids = openvino.Tensor(np.array([job.tokens], dtype=np.int64))
            try:
                running.append((job, pipeline.add_request(next(self._numbers), ids, job.config)))
                reading.update(job.blocks)
            except RuntimeError as error:
                job.done.set_exception(lm15.InvalidRequestError(f"OpenVINO refused the request: {error}"))
        return waiting

    def _finish(self, job: _Job, handle: Any) -> bool:
        """Reads what a request has generated so far; True once it has ended.

        Stop strings are looked for here: OpenVINO's own search for them decodes in its sampler's threads, beside which
        a call of the tokenizer from another thread was seen to hang for ever.
        """
        from openvino_genai import GenerationFinishReason, GenerationStatus

        was_reading = not job.written
        while handle.can_read():
            for output in handle.read().values():
                job.written.extend(int(token) for token in output.generated_ids)
                job.reasons.append(output.finish_reason)
        if was_reading and job.written:
            self._prefixes.add(job.blocks)
        is_running = handle.get_status() == GenerationStatus.RUNNING
        if is_running and not (job.stops and _holds(self.detokenize(job.written[-_STOP_TOKENS:]), job.stops)):
            return False
        if is_running:
            handle.stop()
        self._prefixes.add(block_keys([*job.tokens, *job.written], _BLOCK_TOKENS))
        truncated = not is_running and job.reasons[-1:] == [GenerationFinishReason.LENGTH]
        job.done.set_result(Completed(job.written, truncated))
        return True

    @property
    def _cache_blocks(self) -> int:
        slots, context = self.settings.slots, self.settings.context
        return -(-min(slots, _FULL_SLOTS) * context // _BLOCK_TOKENS)

    def _pipeline(self) -> Any:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> Any:
        import openvino_genai

        path, slots, context, threads = self.settings
        readable = readable_by_openvino(path, file_digest(path))
        scheduling = openvino_genai.SchedulerConfig()
        scheduling.max_num_seqs = slots
        scheduling.max_num_batched_tokens = _BATCH_TOKENS
        scheduling.enable_prefix_caching = True
        scheduling.num_kv_blocks = self._cache_blocks
        properties = {**_EXACT, "INFERENCE_NUM_THREADS": threads}
        try:
            pipeline = openvino_genai.ContinuousBatchingPipeline(readable, scheduling, "CPU", properties)
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO cannot load {path} ({' '.join(str(error).split())[:200]}): fetch it again, use less "
                'context, or take the other engine with local_lm(..., engine="llama.cpp")'
            ) from error
        # The first tensor that is read as an array sets up OpenVINO's access to NumPy, and two threads that do so at
        # the same time wait for each other for ever.
        with self._first_array:
            _ = pipeline.get_tokenizer().encode("1").input_ids.data
        logger.debug("loaded %s: %d slots of %d tokens, %d threads", path, slots, context, threads)
        return pipeline


def _holds(text: str, stops: Sequence[str]) -> bool:
    return any(stop in text for stop in stops)


def _cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    ends = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    return (text[: min(ends)], True) if ends else (text, False)
