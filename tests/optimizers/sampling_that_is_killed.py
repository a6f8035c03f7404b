"""Run by test_killed_sampling in processes of its own: samples traces, and tells of each LM call as it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dspy

import anytime_dspy as ad
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.trace_file import TraceLog
from anytime_dspy.storage.jsonl import content_hash
from anytime_dspy.testing import ScriptedEngine, chat, prefill_of, question_of, words


def main(folder: Path) -> None:
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class TellingEngine(ScriptedEngine):
        def complete(self, request):
            time.sleep(0.005)
            response = super().complete(request)
            os.write(told, f"{content_hash(repr(request))}\n".encode())
            return response

    def reply(request):
        begun = prefill_of(request)
        seen = f"{question_of(request)}{request.config.seed}"
        return chat(reasoning=words(20, content_hash(seen)), answer="late") if begun is None else content_hash(begun)

    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 8, 16), answer_tokens=16)
    trainset = [dspy.Example(question=f"question {n}").with_inputs("question") for n in range(4)]
    with dspy.context(lm=dspy.LM("telling/engine", engine=TellingEngine(reply), cache=False)):
        traces = sample_traces(student, trainset, Sampling(samples=4), log=TraceLog(folder / "log" / "traces.jsonl"))
    (folder / "result").write_text(
        content_hash([[call.outputs for p in t.checkpoints for call in p.calls] for t in traces])
    )
