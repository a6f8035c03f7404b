"""Messages as models write them: marks quoted, cut in half or indented, and text where no field is."""

from __future__ import annotations

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls import formats
from anytime_dspy.calls.formats import CHAT_END
from anytime_dspy.optimizers.traces.chat_prompt import Prompt
from anytime_dspy.testing import chat, prefill_of, prompt_of, scripted_lm, words

COT = dspy.ChainOfThought("question -> answer").predict.signature
CHAT = dspy.ChatAdapter()

QUOTED = f"I end with {CHAT_END} then. 6*7 is 42."
QUOTED_ON_A_LINE = f"The last line is\n{CHAT_END}\nand 6*7 is 42."
HEADER_QUOTED = "Then [[ ## answer ## ]] follows: 6*7 is 42."


@pytest.mark.parametrize("reasoning", [QUOTED, QUOTED_ON_A_LINE, HEADER_QUOTED])
def test_a_mark_quoted_inside_the_reasoning_ends_nothing(reasoning):
    lm, program = scripted_lm([chat(reasoning=reasoning, answer="42")]), dspy.ChainOfThought("question -> answer")
    with dspy.context(lm=lm), ad.budget(256) as spent:
        prediction = program(question="?")
    with dspy.context(lm=scripted_lm([chat(reasoning=reasoning, answer="42")])):
        assert prediction.toDict() == program(question="?").toDict()
    assert prediction.answer == "42"
    assert (spent.forced, spent.calls[0].reasoning) == (False, reasoning)


@pytest.mark.parametrize("continues", [True, False])
def test_a_quoted_mark_is_in_the_reasoning_that_is_cut(continues):
    lm = scripted_lm([chat(reasoning=f"{QUOTED} {words(60)}", answer="42"), chat(answer="7")], can_continue=continues)
    with dspy.context(lm=lm), ad.budget(16) as spent:
        assert dspy.ChainOfThought("question -> answer")(question="?").answer == "7"
    assert spent.calls[0].reasoning == f"{QUOTED} {words(4)}"
    assert spent.reasoning == 16
    assert f"{QUOTED} {words(4)}" in prompt_of(lm.engine.requests[-1])


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"  {CHAT_END}", "  "),
        (f"42\n\n  \t{CHAT_END}\n\nand more", "42\n\n  \t"),
        (f"42\r\n{CHAT_END}\r\nand more", "42\r\n"),
        (f"42 {CHAT_END}", "42 "),
        (f"42 {CHAT_END}\n\nQuestion: another", "42 "),
        (f"Write {CHAT_END} last.", f"Write {CHAT_END} last."),
        (f"Write {CHAT_END}\nlast.\n\n{CHAT_END}", f"Write {CHAT_END}\nlast.\n\n"),
        (f"[[ ## reasoning ## ]]\nI write {CHAT_END}", f"[[ ## reasoning ## ]]\nI write {CHAT_END}"),
        (f"[[ ## reasoning ## ]]\nso\n{CHAT_END}\nmore", "[[ ## reasoning ## ]]\nso\n"),
        ("[[ ## reasoning ## ]]\nI write [[ ##", "[[ ## reasoning ## ]]\nI write [[ ##"),
        (
            "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n42\n\n[[ ## com",
            "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n42\n\n",
        ),
    ],
)
def test_the_end_mark_counts_where_it_opens_a_line_or_closes_an_answer(text, rest):
    assert text[: formats.completion_end(CHAT, COT, text)] == rest


def test_a_field_named_completed_is_a_field():
    signature = dspy.ChainOfThought("question -> answer, completed: bool").predict.signature
    text = chat(reasoning="so", answer="42", completed="True")
    assert text[: formats.completion_end(CHAT, signature, text)].endswith("[[ ## completed ## ]]\nTrue\n\n")


@pytest.mark.parametrize("half", ["[[", "[[ ## ans", "[[ ## answer ##", "[[ ## compl", "  [[ ## answer"])
def test_half_a_header_is_no_reasoning(half):
    assert formats.split(CHAT, COT, f"[[ ## reasoning ## ]]\nso it is\n\n{half}").reasoning == "so it is"
    assert formats.split(CHAT, COT, f"[[ ## reasoning ## ]]\nso it is {half}").reasoning == f"so it is {half}".rstrip()


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("Write [[ ## answer ## ]] first.", "Write [[ ## answer ## ]] first."),
        (f"Write {CHAT_END} last.", f"Write {CHAT_END} last."),
        (f"42 {CHAT_END}\nand more", "42"),
        ("[[ ## answer ## ]]\n42", "42"),
    ],
)
def test_a_forced_answer_may_quote_the_marks_too(answer, read):
    lm = scripted_lm(lambda request: answer if prefill_of(request) else chat(reasoning=words(40), answer="no"))
    with dspy.context(lm=lm), ad.budget(16, answer_tokens=16):
        assert dspy.ChainOfThought("question -> answer")(question="?").answer == read


BEFORE = "Let me see: 6*7 is 42, less 5 is 37."
AFTER = "Now I check it: 37 + 5 is 42."


def whole(format: str) -> str:
    if format == "json":
        return f'{BEFORE}\n```json\n{{"reasoning": "{AFTER}", "answer": "37"}}\n```'
    if format == "xml":
        return f"{BEFORE}\n<reasoning>{AFTER}</reasoning>\n<answer>37</answer>"
    return f"{BEFORE}\n\n{chat(reasoning=AFTER, answer='37')}"


ADAPTERS = {"chat": dspy.ChatAdapter(), "json": dspy.JSONAdapter(), "xml": dspy.XMLAdapter()}


@pytest.mark.parametrize("format", ADAPTERS)
def test_text_before_the_first_header_is_in_the_trace(format):
    with dspy.context(lm=scripted_lm([whole(format)] * 2), adapter=ADAPTERS[format]):
        plain = dspy.ChainOfThought("question -> answer")(question="?")
        with ad.budget(64) as spent:
            prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert prediction.toDict() == plain.toDict() == {"reasoning": AFTER, "answer": "37"}
    [call] = spent.calls
    assert call.reasoning == f"{BEFORE}\n\n{AFTER}"
    assert call.reasoning_tokens == spent.reasoning == len(BEFORE.split()) + len(AFTER.split())


@pytest.mark.parametrize("format", ADAPTERS)
@pytest.mark.parametrize("continues", [True, False])
@pytest.mark.parametrize("tokens", [4, 10, 14])
def test_text_before_the_first_header_is_in_the_forced_question(format, continues, tokens):
    def reply(request):
        if prefill_of(request) is not None:
            return "36"
        forms = {"chat": chat(answer="36"), "json": '{"answer": "36"}', "xml": "<answer>36</answer>"}
        return forms[format] if "partial_reasoning" in prompt_of(request) else whole(format)

    lm = scripted_lm(reply, can_continue=continues)
    kept = " ".join(f"{BEFORE} {AFTER}".split()[:tokens])
    with dspy.context(lm=lm, adapter=ADAPTERS[format]), ad.budget(tokens, answer_tokens=20) as spent:
        prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert (prediction.answer, spent.reasoning) == ("36", tokens)
    assert " ".join(spent.calls[0].reasoning.split()) == " ".join(prediction.reasoning.split()) == kept
    asked = prefill_of(lm.engine.requests[-1])
    if asked is None:
        assert prediction.reasoning in prompt_of(lm.engine.requests[-1])
    else:
        assert whole(format).startswith(asked.removesuffix("\n\n[[ ## answer ## ]]\n"))
        assert asked.split()[-6] == kept.split()[-1]  # before the answer's header of five words


def test_a_sweep_of_text_before_the_first_header_sees_what_live_runs_see():
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 10, 14, 40), answer_tokens=20)
    lm = scripted_lm(lambda request: "36" if prefill_of(request) else whole("chat"))
    with dspy.context(lm=lm):
        for checkpoint in program(question="?").checkpoints:
            with ad.budget(checkpoint.budget, answer_tokens=20) as spent:
                live = program.program(question="?")
            assert checkpoint.prediction.toDict() == live.toDict()
            assert [call.reasoning for call in checkpoint.calls] == [call.reasoning for call in spent.calls]
            assert checkpoint.reasoning_tokens == spent.reasoning


def test_an_answer_is_not_given_up_for_a_remark_before_it():
    text = f"{words(30)}\n\n{chat(answer='42')}"
    lm = scripted_lm([text])
    with dspy.context(lm=lm), ad.budget(8, answer_tokens=60) as spent:
        assert dspy.Predict("question -> answer")(question="?").answer == "42"
    assert (spent.calls[0].reasoning, spent.reasoning, spent.forced) == (words(8), 8, False)


def test_text_before_the_first_header_is_exported():
    from anytime_dspy.curve import AnytimeCurve
    from anytime_dspy.optimizers.pairs.export import trl_rows
    from anytime_dspy.optimizers.pairs.pair import PreferencePair, Side

    lm = scripted_lm([whole("chat"), chat(reasoning="a guess", answer="1")])
    sides = []
    with dspy.context(lm=lm):
        for sample in range(2):
            with ad.budget(64, names={}) as spent:
                prediction = dspy.ChainOfThought("question -> answer")(question="?")
            calls = tuple(spent.calls)
            curve = AnytimeCurve((64,), (1.0 - sample,))
            sides.append(
                Side(sample, "plain", calls, prediction.toDict(), 1.0 - sample, curve, 15, True, True, worked_out=True)
            )
    name = sides[0].calls[0].predictor
    prompts = {name: Prompt(({"role": "user", "content": "?"},), "[[ ## reasoning ## ]]\n")}
    pair = PreferencePair(0, {"question": "?"}, 64, *sides, "judge", prompts=prompts)
    assert sides[0].well_formed
    assert pair.chosen.reasoning == f"{BEFORE}\n\n{AFTER}"
    [row] = trl_rows([pair])
    assert f"{BEFORE}\n\n{AFTER}" in row["chosen"][0]["content"]
