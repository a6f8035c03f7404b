"""What `settle` promises in so many words, each with an example that fails where it does not hold."""

from __future__ import annotations

import dspy
import pytest

from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.formats import CHAT_END
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.truncation import Truncated, truncate
from anytime_dspy.testing import WordCounter, chat, words

COT = dspy.ChainOfThought("question -> answer").predict.signature
REASONING = "[[ ## reasoning ## ]]\n"


def cut_to(text: str, reasoning: int, answer: int = 20, **options: object) -> Truncated:
    completion = Completion(text, **{"truncated": False, **options})
    return truncate(dspy.ChatAdapter(), COT, completion, Allowance(reasoning, answer), WordCounter())


def whole(reasoning: int, answer: int = 2) -> str:
    return chat(reasoning=words(reasoning), answer=words(answer, "say"))


AS_READ = {"reasoning": words(10), "answer": "as the adapter read it"}


@pytest.mark.parametrize("end", [f"\n\n{CHAT_END}", f"\n\n{CHAT_END}\n", "", "\n"], ids=repr)
def test_what_the_adapter_read_of_a_whole_completion_is_kept(end):
    text = chat("", reasoning=words(10), answer=words(2, "say")) + end
    assert cut_to(text, 10, values=AS_READ).values == AS_READ


@pytest.mark.parametrize("text", [f"{whole(10)}\n\nand so on", f"{whole(10)} {whole(10)}"])
def test_what_stands_behind_the_mark_is_no_part_of_it_and_all_is_read_anew(text):
    assert cut_to(text, 60, 60, values=AS_READ).values["answer"] == words(2, "say")


def test_an_answer_that_had_less_room_than_its_allowance_is_asked_for_again():
    text = whole(10, answer=40)
    short = cut_to(text, 12, 28)
    assert (short.values, short.reasoning, short.cut) == (None, words(10), True)
    # Of an answer that had all its room as much is kept as was written.
    full = cut_to(text, 15 + 12, 13)
    assert (full.values["answer"], full.cut) == (words(20, "say"), True)


def test_thinking_that_is_cut_at_its_very_end_is_closed_and_nothing_after_it_begun():
    text = f"<think>\n{words(8, 'hm')}\n</think>\n\n{whole(10)}"
    result = cut_to(text, 8)
    assert (result.reasoning, result.reasoning_tokens) == (words(8, "hm"), 8)
    assert result.begun == f"<think>\n{words(8, 'hm')}\n</think>"


def test_without_thinking_there_is_none_to_close():
    assert cut_to(whole(10), 0).begun == REASONING
    assert cut_to(whole(10), 3).begun == REASONING + words(3)


def test_a_message_that_needs_no_forcing_is_not_begun():
    assert cut_to(whole(10), 10).begun == ""


@pytest.mark.parametrize(("shown", "charged"), [("", 6 + 4), (words(6, "hm"), 6 + 4)])
def test_thinking_is_charged_once_be_it_shown_or_hidden(shown, charged):
    result = cut_to(whole(4), 30, thinking=shown, hidden_tokens=6)
    assert result.reasoning_tokens == charged
    assert result.answer_tokens == WordCounter().count(whole(4)) + 6 - charged


def test_hidden_thinking_leaves_that_much_less_reasoning():
    result = cut_to(whole(40), 30, hidden_tokens=12)
    assert (result.reasoning, result.reasoning_tokens) == (words(18), 30)
    shown = cut_to(whole(40), 30, thinking=words(12, "hm"), hidden_tokens=12)
    assert (shown.reasoning, shown.reasoning_tokens) == (f"{words(12, 'hm')}\n\n{words(18)}", 30)


def test_an_answer_alone_is_whole_where_thinking_was_shown_and_unreadable_where_not():
    alone = chat(answer="yes")
    thought = cut_to(alone, 30, thinking=words(6, "hm"), hidden_tokens=6)
    assert thought.values == {"reasoning": words(6, "hm"), "answer": "yes"}
    assert cut_to(alone, 30).values is None


def test_a_completion_that_ended_by_itself_is_cut_only_where_reasoning_was_left_out():
    ended = cut_to(f"{REASONING}{words(10)}\n\n{CHAT_END}", 30)
    assert (ended.values, ended.reasoning, ended.cut) == (None, words(10), False)
    assert cut_to(f"{REASONING}{words(10)}\n\n{CHAT_END}", 9).cut
    assert cut_to(f"{REASONING}{words(10)}", 30, truncated=True).cut


def test_what_is_charged_and_what_is_not_come_to_all_that_was_written():
    for reasoning in (0, 5, 10, 30):
        result = cut_to(whole(10, answer=5), reasoning)
        written = min(WordCounter().count(whole(10, answer=5)), reasoning + 20)
        assert result.reasoning_tokens + result.answer_tokens == written


def test_thinking_that_was_billed_for_less_than_is_shown_leaves_no_debt():
    shown = words(30, "hm")
    assert cut_to(chat(answer="yes"), 40, thinking=shown, hidden_tokens=6).answer_tokens == 0
    assert cut_to("", 40, thinking=shown, hidden_tokens=6).answer_tokens == 0
