from __future__ import annotations

import json

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.call_cache import keeping_calls
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.squeeze import SqueezedTrace, Squeezing, squeeze_traces
from anytime_dspy.optimizers.traces.units import WordsOf, shortest
from anytime_dspy.runtime.forced_call import forced_call
from anytime_dspy.testing import chat, prefill_of, prompt_of, question_of, scripted_lm
from tests.fakes.programs import Pipeline

PROBLEMS = [
    dspy.Example(question=f"Ann has {n} bags of {n + 1} nuts. How many?", answer=str(n * (n + 1))).with_inputs(
        "question"
    )
    for n in (3, 5, 8)
]
ADAPTERS = [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()]


def rambling(request):
    """Rambles, and knows the answer where its product is in the reasoning, or where it is easy (3 bags)."""
    text = question_of(request)
    n = int(text.split("Ann has ")[1].split()[0])
    product = f"{n} * {n + 1} = {n * (n + 1)}"
    begun = prefill_of(request)
    restated = "partial_reasoning" in prompt_of(request)
    if begun is not None or restated:
        knows = f"= {n * (n + 1)}" in (begun or text) or n == 3
        answer = str(n * (n + 1)) if knows else "0"
        return answer if begun is not None else chat(answer=answer)
    thought = f"First we look at the bags and the nuts.\n{product}. That was easy, and so we are done."
    return chat(reasoning=thought, answer=n * (n + 1))


def student(program=None):
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), (8, 16, 32), answer_tokens=16)


def squeezed(lm, tmp_path=None, program=None, **options):
    program = program or student()
    with dspy.context(lm=lm):
        traces = sample_traces(program, PROBLEMS, Sampling(samples=2, threads=2))
        before = len(lm.engine.requests)
        words = WordsOf(example.inputs().toDict() for example in PROBLEMS)
        path = tmp_path / "squeezed.jsonl" if tmp_path else None
        made = squeeze_traces(traces, Squeezing(program, words, threads=2, **options), path=path)
    return made, len(lm.engine.requests) - before


@pytest.mark.parametrize("continues", [True, False])
def test_only_what_the_answer_needs_is_left(continues):
    made, _ = squeezed(scripted_lm(rambling, can_continue=continues))
    assert {one.calls[0].reasoning for one in made} == {"3 * 4 = 12.", "5 * 6 = 30.", "8 * 9 = 72."}
    assert all((one.states_answer, one.uses_input) == (1.0, 1.0) for one in made)
    assert all(one.reasoning_tokens == 5 for one in made)


def test_what_the_program_knows_without_reasoning_is_not_earned_and_ranks_last():
    made, _ = squeezed(scripted_lm(rambling))
    assert [one.earned for one in made] == [True] * 4 + [False] * 2
    assert {one.example_index for one in made[-2:]} == {0}
    assert made[0].merit == 1.0
    assert made[-1].merit == 0.8


def test_what_the_answer_works_out_is_reasoning_too():
    def late(request):
        n = int(question_of(request).split("Ann has ")[1].split()[0])
        product = f"{n} * {n + 1} = {n * (n + 1)}."
        begun = prefill_of(request)
        if begun is not None:
            return str(n * (n + 1)) if product in begun else "0"
        return chat(reasoning="First we look at all of the bags.", answer=f"{product}")

    def last_number(prediction):
        return prediction.answer.rstrip(".").split()[-1]

    made, _ = squeezed(scripted_lm(late), answer_key=last_number)
    assert {one.calls[0].reasoning for one in made} == {"3 * 4 = 12.", "5 * 6 = 30.", "8 * 9 = 72."}
    assert {one.calls[0].outputs["answer"] for one in made} == {"12", "30", "72"}


def test_a_long_trace_ranks_below_a_short_one():
    made, _ = squeezed(scripted_lm(rambling), keeps=lambda place, own, other: False)
    assert made == []
    short, long = (SqueezedTrace(0, 0, "plain", (), 1.0, 1.0, earned=False, brevity=brevity) for brevity in (1.0, 0.5))
    assert short.merit > long.merit


def test_a_file_of_squeezed_traces_is_gone_on_with(tmp_path):
    lm = scripted_lm(rambling)
    first, asked = squeezed(lm, tmp_path)
    assert asked > 0
    again, more = squeezed(lm, tmp_path)
    assert more == 0
    assert [one.calls for one in again] == [one.calls for one in first]


def test_values_are_what_their_fields_say_after_they_were_in_the_file(tmp_path):
    def listing(request):
        product = "It has a and b, so two."
        return "[1, 2]" if prefill_of(request) is not None else chat(reasoning=product, items="[1, 2]")

    program = ad.Anytime(dspy.ChainOfThought("question -> items: set[int]"), (8, 16, 32), answer_tokens=16)
    lm = scripted_lm(listing)
    first, _ = squeezed(lm, tmp_path, program=program)
    again, _ = squeezed(lm, tmp_path, program=program)
    assert [one.calls for one in again] == [one.calls for one in first]
    assert {type(one.calls[0].outputs["items"]) for one in again} == {set}


def test_answers_that_a_log_holds_are_not_asked_for_twice(tmp_path):
    lm = scripted_lm(rambling)
    counts = []
    for _ in range(2):
        with keeping_calls(tmp_path / "calls.jsonl"):
            counts.append(squeezed(lm)[1])
    assert counts[0] > 0
    assert counts[1] == 0


def test_a_step_stays_whose_result_a_later_one_uses():
    """The model gives the answer as soon as that stands there, so it does not show which steps are needed."""

    def two_steps(request):
        n = int(question_of(request).split("Ann has ")[1].split()[0])
        nuts = n * (n + 1)
        begun = prefill_of(request)
        if begun is not None:
            return str(nuts + n) if f"= {nuts + n}" in begun else "0"
        thought = f"{n} of {n + 1}. So we have {n} * {n + 1} = {nuts} nuts. {nuts} + {n} = {nuts + n}. So {nuts + n}."
        return chat(reasoning=thought, answer=nuts + n)

    made, _ = squeezed(scripted_lm(two_steps))
    steps = {f"{n} * {n + 1} = {n * (n + 1)} nuts. {n * (n + 1)} + {n} = {n * (n + 2)}." for n in (3, 5, 8)}
    assert {one.calls[0].reasoning for one in made} == steps
    assert {one.explained for one in made} == {1.0}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("3 * 4 = 12. 12 * 2 = 24.", set()),
        ("12 * 2 = 24.", {"12", "24"}),
        ("3 bags of 4. 12 nuts.", {"12"}),
        ("Half of the 4 is 5. Then 3 + 5 = 8.", set()),
        ("It is 12. 3 * 4 = 12.", {"12"}),
        ("They are red.", set()),
        ("step7: 3 * 4 = 12", set()),
    ],
)
def test_numbers_that_come_from_nowhere_are_unexplained(text, missing):
    inputs = {"question": "Ann has 3 bags of 4 nuts for 2 dollars each."}
    assert WordsOf.unexplained(text, inputs) == missing
    own = {"12", "24", "5", "8"} & set(text.replace(".", "").split())
    assert WordsOf.explained(text, inputs) == (1 - len(missing) / len(own) if own else 1.0)


def test_a_trace_whose_numbers_come_from_nowhere_ranks_below_one_that_works_them_out():
    works, guesses = (
        SqueezedTrace(0, 0, "plain", (), 1.0, 1.0, earned=False, brevity=1.0, explained=share) for share in (1.0, 0.0)
    )
    assert works.merit > guesses.merit > 0


def test_words_inside_a_sentence_stay():
    def keeps(text):
        return "20" in text

    text = "Zoe saves 2 dollars in each of 10 weeks: 2 * 10 = 20"
    assert shortest(text, keeps, frozenset({"2", "10"})) == "2 * 10 = 20"
    assert shortest("In all she saves 2 dollars on each of 10 days, so 20", lambda text: "10" in text, frozenset()) == (
        "2 dollars on each of 10 days,"
    )


def test_another_answer_may_stand_in_where_it_is_as_good():
    """Graded quality: any answer above 10 is as good, so all that must stay is what the answer rests on."""
    made, _ = squeezed(scripted_lm(rambling), keeps=lambda place, own, other: int(other["answer"]) > 10)
    assert {one.calls[0].reasoning for one in made} == {"3 * 4 = 12.", "5 * 6 = 30.", "8 * 9 = 72."}


def test_each_predictors_call_is_squeezed_by_itself():
    def steps(request):
        if prefill_of(request) is None:
            return chat(reasoning="We think about it for a while. It must be seven then.", answer="seven")
        return "seven" if "seven" in (prefill_of(request) or "") else "none"

    made, _ = squeezed(scripted_lm(steps), program=student(Pipeline(2)))
    assert made
    for one in made:
        assert len(one.calls) == 2
        assert {call.reasoning for call in one.calls} == {"It must be seven"}


def test_a_trace_whose_texts_hold_a_header_is_left_out():
    def marked(request):
        if prefill_of(request) is not None:
            return "1"
        return chat(reasoning="See [[ ## answer ## ]] above, then 1.", answer="1")

    made, _ = squeezed(scripted_lm(marked))
    assert made == []


def test_where_every_forced_answer_fails_that_is_an_error():
    def failing(request):
        if prefill_of(request) is not None and failing.down:
            raise dspy.lm15.ServerError("overloaded")
        return rambling(request)

    failing.down = False
    lm = scripted_lm(failing, num_retries=0)
    program = student()
    with dspy.context(lm=lm):
        traces = sample_traces(program, PROBLEMS, Sampling(samples=2))
        failing.down = True
        with pytest.raises(AnytimeError, match="overloaded"):
            squeeze_traces(traces, Squeezing(program, WordsOf([])))


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "squeezed.jsonl").write_text(json.dumps({"holds": "LM calls"}) + "\n")
    with pytest.raises(ad.errors.RunError):
        squeezed(scripted_lm(rambling), tmp_path)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: type(adapter).__name__)
def test_a_forced_call_answers_from_the_reasoning_that_it_is_given(adapter):
    seen = []

    def reply(request):
        seen.append(prompt_of(request) + str(prefill_of(request)))
        fields = {"answer": "12"}
        if isinstance(adapter, dspy.JSONAdapter):
            return json.dumps(fields)
        return "<answer>12</answer>" if isinstance(adapter, dspy.XMLAdapter) else chat(**fields)

    program = student()
    [(name, predictor)] = program.named_predictors()
    with dspy.context(lm=scripted_lm(reply), adapter=adapter), ad.budget(8) as spent:
        call = forced_call(predictor, {"question": "3 * 4?"}, 'It is "3 < 4".', name=name, answer_tokens=8)
    assert (call.predictor, call.outputs["answer"], call.forced) == ("predict", "12", True)
    assert call.reasoning == call.outputs["reasoning"] == 'It is "3 < 4".'
    assert 'It is "3 < 4".' in seen[0]
    assert (spent.reasoning, spent.usage.reasoning_tokens, spent.usage.calls) == (0, 0, 1)


def test_units_that_use_nothing_of_the_input_go_first():
    tried = []

    def keeps(text):
        tried.append(text)
        return "7" in text

    text = "Let us begin with a word. 3 + 4 = 7. The answer is 7."
    assert shortest(text, keeps, frozenset("34")) == "3 + 4 = 7."
    assert tried[0] == "3 + 4 = 7. The answer is 7."


def test_words_that_few_inputs_have_distinguish_where_there_are_no_numbers():
    words = WordsOf([{"text": f"the city of {name} is a place"} for name in ("Rome", "Bonn", "Oslo", "Lima", "Bern")])
    assert words.in_inputs({"text": "the city of Rome is a place"}) == {"rome"}
    assert WordsOf.share(frozenset({"rome"}), "In Rome, say.") == 1.0


def test_a_word_of_the_input_that_is_the_answer_too_counts_where_it_is_said_twice():
    assert WordsOf.share(frozenset({"9", "3"}), "(9) (3).", beside=frozenset({"3"})) == 0.5
    assert WordsOf.share(frozenset({"9", "3"}), "9 / 3 = 3", beside=frozenset({"3"})) == 1.0


def test_traces_of_more_steps_have_more_substance():
    words = WordsOf([{"q": "Add 3 and 4."}, {"q": "Add 5 and 6."}])
    one, two = (len(words.in_text(text)) for text in ("3 + 4 = 7", "3 + 4 = 7, 7 * 5 = 35"))
    assert one < two
