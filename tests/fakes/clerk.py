"""What a model says to the examples of the documentation: support tickets and word problems.

It is right where its reasoning was not cut before the answer, and unsure otherwise.
"""

from __future__ import annotations

import re
from functools import cache

from anytime_dspy.programs import get_task
from anytime_dspy.testing import asked_for, chat, is_forced, prefill_of, question_of, words
from tests.fakes.http_server import Received, Reply

TOPICS = {
    "billing": ("charged", "fee", "refund", "invoice", "payment", "bill", "money"),
    "delivery": ("parcel", "courier", "delivery", "box", "arrive"),
    "account": ("password", "log in", "account", "e-mail"),
}
EGGS = "19"


@cache
def solutions() -> dict[str, str]:
    """The answers of the word problems that the pages make."""
    task = get_task("word_problems")
    return {example.problem: str(example.answer) for seed in (0, 1) for example in task.generate(16, seed=seed)}


def knows(question: str) -> dict[str, str]:
    """The values of all fields that a page may ask for."""
    said = [(word, topic) for topic, named in TOPICS.items() for word in named if word in question.lower()]
    word, topic = said[0] if said else ("nothing", "account")
    number = next((answer for problem, answer in solutions().items() if problem in question), EGGS)
    return {"topic": topic, "summary": f"it is about a {word}", "answer": number, "word": word}


def written(asked: tuple[str, ...], question: str) -> str:
    """A whole reply to a request for a reasoned answer."""
    known = knows(question)
    wanted = {name: known.get(name, "Say it briefly.") for name in asked if name != "reasoning"}
    # Some need more than the smallest budgets, so that there is a better and a worse trace.
    thought = f"{words(len(question) % 11)} It says {known['word']}. So it is {next(iter(wanted.values()))}."
    return chat(**({"reasoning": thought} if "reasoning" in asked else {}), **wanted)


def forced(asked: tuple[str, ...], question: str, reasoning: str) -> dict[str, str]:
    """The values of an answer that is asked for alone."""
    known = knows(question)
    return {name: known[name] if known[name] in reasoning else "unsure" for name in asked}


def clerk(request) -> str:
    """A reply for `scripted_lm`."""
    question = question_of(request)
    begun = prefill_of(request)
    if begun is not None:
        field = re.findall(r"\[\[ ## (\w+) ## \]\]", begun)[-1]
        if field != "reasoning":
            return forced((field,), question, begun)[field]
        whole = written(("reasoning", *asked_for(request)), question)
        return whole[len(begun) :] if whole.startswith(begun) else whole
    if is_forced(request) and "partial_reasoning" in question:
        return chat(**forced(asked_for(request), question, question))
    return written(asked_for(request), question)


def served(received: Received) -> Reply:
    """The same for a server; a model called gpt-5 thinks, and hides it."""
    question = received.messages[-1]["content"]
    asked = fields_asked(question)
    if "partial_reasoning" in question:
        return Reply(chat(**forced(asked, question, question)))
    hides = received.body["model"].startswith("gpt-5")
    thinking = words(90, "hm") if hides and "reasoning" in asked else ""
    return Reply(written(asked, question), thinking=thinking, shown=None)


def fields_asked(question: str) -> tuple[str, ...]:
    """The output fields that a prompt of the chat adapter asks for."""
    names = re.findall(r"`\[\[ ## (\w+) ## \]\]`", question.rsplit("Respond with", 1)[-1])
    return tuple(name for name in dict.fromkeys(names) if name != "completed")
