"""The embedded engines side by side: load, reading, writing at several requests, memory, and whether text repeats."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import dspy
from dspy.lm15 import Config, Message, Request, Response

import anytime_dspy as ad
from anytime_dspy.programs import get_task

ENGINES = ("llama.cpp", "openvino")
TOGETHER = (1, 4, 8, 16)
WRITTEN = 64
PROBLEMS = 16


@dataclass(frozen=True)
class EngineFigures:
    """One engine, in a process of its own, with 16 slots of 2,048 tokens.

    Attributes:
        load_seconds: Until the first token of a short prompt.
        prefill_tokens_per_second: Of a prompt of some 1,000 tokens that the engine has not seen.
        decode_tokens_per_second: At so many requests at a time, reading left out.
        megabytes: Peak memory of the process.
        same_again: Share of 16 greedy replies of 64 tokens, one at a time, that are the same again with the prompt in
            the engine's cache.
        same_together: The same for all 16 at a time.
        shared_prefill_seconds: 16 requests at a time whose prompts share their first 1,000 tokens.
    """

    load_seconds: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: dict[int, float]
    megabytes: float
    same_again: float
    same_together: float
    shared_prefill_seconds: float


@dataclass(frozen=True)
class Engines:
    """All engines on one model.

    Attributes:
        model: The model's name.
        engines: Figures by the engine's name.
    """

    model: str
    engines: dict[str, EngineFigures]


def measure(model: str) -> Engines:
    """Measures every engine, one after the other."""
    found = {}
    for engine in ENGINES:
        ran = subprocess.run([sys.executable, __file__, engine, model], capture_output=True, text=True, check=True)
        found[engine] = EngineFigures(**json.loads(ran.stdout.splitlines()[-1]))
    return Engines(model, found)


def _figures(engine: str, model: str) -> EngineFigures:
    lm = ad.local_lm(model, engine=engine, slots=max(TOGETHER), context=2048, cache=False)

    def ask(text: str, tokens: int) -> Response:
        return lm.engine.complete(
            Request(model=lm.model, messages=(Message.user(text),), config=Config(max_tokens=tokens))
        )

    def together(texts: list[str], tokens: int) -> tuple[float, list[Response]]:
        begun = time.perf_counter()
        with ThreadPoolExecutor(len(texts)) as pool:
            replies = list(pool.map(lambda text: ask(text, tokens), texts))
        return time.perf_counter() - begun, replies

    load, _ = together(["Hello."], 1)
    story = _story(1)
    reading, [reply] = together([story], 1)
    rates = {}
    for count in TOGETHER:
        texts = [f"Count from {count}{number} on, for ever, in words." for number in range(count)]
        together(texts, 1)  # what is timed then is writing
        seconds, replies = together(texts, WRITTEN)
        rates[count] = sum((one.usage.output_tokens or 0) - 1 for one in replies) / seconds
    shared = _story(2)
    sharing, _ = together([f"{shared} Question {number}: who was it?" for number in range(PROBLEMS)], 1)
    prompts = _prompts()
    alone = [ask(text, WRITTEN).text for text in prompts]
    again = [ask(text, WRITTEN).text for text in prompts]
    _, batch = together(prompts, WRITTEN)
    return EngineFigures(
        load_seconds=load,
        prefill_tokens_per_second=(reply.usage.input_tokens or 0) / reading,
        decode_tokens_per_second=rates,
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        same_again=sum(one == two for one, two in zip(alone, again, strict=True)) / PROBLEMS,
        same_together=sum(one == two.text for one, two in zip(alone, batch, strict=True)) / PROBLEMS,
        shared_prefill_seconds=sharing,
    )


def _story(number: int) -> str:
    return f"This is story {number}. " + " ".join(f"Fox {n} met hen {n * number}." for n in range(130))


def _prompts() -> list[str]:
    task = get_task("word_problems")
    adapter, signature = dspy.ChatAdapter(), task.program().predictors()[0].signature
    asked = [adapter.format(signature, [], example.inputs()) for example in task.generate(PROBLEMS, seed=77)]
    return ["\n\n".join(str(message["content"]) for message in messages) for messages in asked]


if __name__ == "__main__":
    print(json.dumps(asdict(_figures(sys.argv[1], sys.argv[2]))))
