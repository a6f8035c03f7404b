r"""The forms in which models write a number, as graders and their users meet them, and how each is read.

Sources are repositories with the number of the issue or pull request, or the file, in which the form is met. The
wording and the numbers are ours.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import dspy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anytime_dspy.programs import aime, word_problems
from anytime_dspy.programs.numbers.forms import canonical
from anytime_dspy.programs.numbers.reader import read_number

HARNESS = "EleutherAI/lm-evaluation-harness"
INSPECT = "UKGovernmentBEIS/inspect_ai"
VERIFY = "huggingface/Math-Verify"
VERIFY_TESTS = f"{VERIFY} tests/test_all.py"
VERIFY_MIXED = f"{VERIFY} tests/test_mixed_number_extraction.py"
COMPASS = "open-compass/opencompass"
MINERVA = f"{HARNESS} lm_eval/tasks/minerva_math/utils.py"
PRM = "openai/prm800k prm800k/grading/grader.py"
QWEN = "QwenLM/Qwen2.5-Math evaluation/parser.py"

# text, what it says, where the form is met
FORMS: tuple[tuple[str, str | None, str], ...] = (
    # Boxes.
    (r"\boxed{18} dollars every day for 7 days", "18", f"{HARNESS}#1204"),
    (r"The total is \boxed{42}.", "42", f"{HARNESS}#3827"),
    (r"\fbox{42}", "42", f"{HARNESS}#3116, THUDM/slime#2150"),
    (r"So it is $\boxed 42$.", "42", "allenai/open-instruct#1764"),
    (r"<boxed{70}\).</answer>", "70", "skylight-org/skylight-research#34"),
    (r"\boxed{\frac{1}{2}}", "0.5", "bojieli/ai-agent-book#173, AI-Hypercomputer/maxtext#4150"),
    (r"\boxed{2} no, wait: \boxed{3}", "3", "EvolvingLMMs-Lab/lmms-eval#1512"),
    (r"\boxed{004}. The sum is 2,552,004, so \boxed{004} it is.", "4", f"{VERIFY}#44"),
    (r"\boxed{35 cm} ++++ \boxed{4}", "4", f"{VERIFY}#57"),
    (r"\boxed{\text{460}}", "460", "modelscope/evalscope#903"),
    (r"\boxed{\text{The answer is 460}}", "460", "modelscope/evalscope#906"),
    (r"\boxed{204 \text{ cm}^2}", "204", f"{MINERVA}, hendrycks/math modeling/math_equivalence.py"),
    (r"\boxed{12\text{ and }13}", None, VERIFY_TESTS),
    (r"\boxed{5, 7}", None, f"{PRM} (tuples)"),
    (r"\boxed{\text{no solution}} though x = 5 was tried", None, "databricks/officeqa#41"),
    (r"It is 16 * 7 = 112. Put it in \boxed{}.", "112", f"{HARNESS}#3600"),
    (r"work \boxed{2}, final answer: 3", "2", "promptfoo/promptfoo#9142 (there 3: here the box decides)"),
    ("So \\boxed{\\$9{,}500\nis the answer", "9500", f"{COMPASS}#2647 (and never closed)"),
    (r"It is 120 + 8280 = 8400, so \boxed{8", "8400", "jundot/omlx#3772 (cut short: the box may lack digits)"),
    (r"\boxed{18 dollars", "18", "jundot/omlx#3772 (cut short after the number)"),
    (r"\boxed{1", None, "jundot/omlx#3772 (cut short: the box may lack digits)"),
    # Thousands, as countries and LaTeX group them.
    (r"\boxed{57{,}500}", "57500", f"{COMPASS}#2647"),
    (r"\boxed{8,000}", "8000", f"{COMPASS}#2648"),
    (r"The profit is $14 {, }916$.", "14916", VERIFY_TESTS),
    (r"57,\!500", "57500", PRM),
    (r"57\,500", "57500", "cambridge/thesis#10"),
    (r"57\ 500 people", "57500", f"{MINERVA}"),
    ("57\u202f500", "57500", "numworks/epsilon#184"),
    ("57\u00a0500 €", "57500", "numworks/epsilon#184"),
    ("1 000", "1000", VERIFY_TESTS),
    ("1 234 567", "1234567", "FormulasQuestion/moodle-qtype_formulas#228"),
    ("1'234'567", "1234567", "Doenet/DoenetML#1528"),
    ("12,34,567", "1234567", "Doenet/DoenetML#1528"),
    ("1.234.567", "1234567", "Doenet/DoenetML#1528"),
    ("1.234,56", "1234.56", "ospfranco/sol#331"),
    ("1,234.56", "1234.56", "jsboige/CoursIA#12505"),
    ("100,000", "100000", "zjunlp/TRICE#2"),
    ("12,345,67", None, "dotnet/coreclr#2285"),
    # Decimals.
    ("1000,99", "1000.99", VERIFY_TESTS),
    ("2,74 $", "2.74", VERIFY_TESTS),
    ("0,001", "0.001", "handsontable/handsontable#12114"),
    ("the point (3,5)", None, f"{PRM} (tuples)"),
    (".4", "0.4", VERIFY_TESTS),
    ("1000.0", "1000", VERIFY_TESTS),
    ("8.5", "8.5", "meta-math/MetaMath#23"),
    # Currency, percent, units, sentence marks.
    ("The order costs $29.00.", "29", f"{HARNESS}#3214"),
    (r"\text{ANSWER: } \$460", "460", f"{INSPECT}#4646"),
    ("1,000.99€", "1000.99", VERIFY_TESTS),
    ("US$20", "20", "stanfordnlp/dspy dspy/datasets/gsm8k.py (any digits of the token)"),
    ("The answer is 60%", "60", f"{INSPECT}#838, {INSPECT}#1622"),
    (r"\boxed{28\%}", "28", f"{VERIFY}#67"),
    ("80 per cent", "80", "nielstron/quantulum3#198"),
    ("The final value is 13.20%", "13.2", "mbzuai-nlp/finchain#3"),
    ("18cm", "18", "Khan/khan-exercises#123187"),
    ("4 m^2", "4", "Khan/khan-exercises#131705"),
    ("about 1,000.99m²", "1000.99", VERIFY_TESTS),
    ("20 kg of CO2", "20", "dylanwal/unit_parse#10 (units with digits)"),
    ("CO2", None, "dylanwal/unit_parse#10 (units with digits)"),
    ("AZYUK2A", None, VERIFY_TESTS),
    (r"336^{\circ}", "336", QWEN),
    ("The answer is 42!", "42", f"{INSPECT}#4742"),
    ("The answer is (42).", "42", f"{INSPECT}#4742"),
    ("The answer is [42]", "42", f"{INSPECT}#5016"),
    ("The total is 72 clips, altogether.", "72", "jundot/omlx#3484"),
    ("The answer is 72, in total, so that is what she earns.", "72", "stanford-crfm/helm#4337"),
    ("The answer is **18**", "18", f"{HARNESS}#2278"),
    # Signs.
    ("#### -3", "-3", "google-deepmind/proeval#19"),
    (r"\boxed{-7}", "-7", "allenai/open-instruct#1530"),
    ("The change is −7 degrees", "-7", "allenai/open-instruct#1530 (the sign of typesetters)"),
    ("-\\$1,234.50", "-1234.5", "google-deepmind/proeval#19"),
    ("minus 7", "-7", "microsoft/Recognizers-Text#736 (numbers in words)"),
    ("16 - 7", None, f"{COMPASS}#1818 (an operator taken for a sign)"),
    ("+/- 0.5", None, "EdisonScientific/labbench2#33"),
    # Fractions, powers, words.
    ("1/2", "0.5", "greynewell/matchspec#306"),
    ("½", "0.5", f"{INSPECT}#1716"),
    ("2½ cups", "2.5", f"{INSPECT}#1716"),
    (r"\frac13", "1/3", VERIFY_TESTS),
    (r"-\dfrac{10}{9}", "-10/9", VERIFY_TESTS),
    ("The answer is 4 4/9.", "40/9", VERIFY_MIXED),
    ("11 7/6", None, VERIFY_MIXED),
    ("4 4/0", None, VERIFY_MIXED),
    (r"7\frac{3}{4}", "7.75", PRM),
    ("Reward: 1e-1", "0.1", "modelscope/ms-swift#10163"),
    (r"1.2 \times 10^{4}", "12000", f"{PRM} (10^6 for a million)"),
    ("1.2 × 10⁴", "12000", f"{PRM} (10^6 for a million)"),
    ("$1.5 million", "1500000", PRM),
    (r"5\sqrt{2}", None, "EuroEval/EuroEval#2167"),
    (r"\boxed{2\pi}", None, "EuroEval/EuroEval#2167"),
    (r"\boxed{3 \cdot 4}", None, "EuroEval/EuroEval#2167 (there worked out: here it is for the model to do)"),
    ("eighteen", "18", QWEN),
    ("The answer is twenty-five dollars.", "25", QWEN),
    ("none", None, "databricks/officeqa#41"),
    # What is no single number.
    ("at 3:30", None, "microsoft/Recognizers-Text#606"),
    ("12:00-17:30", None, "yagays/ja-timex#60"),
    ("5/6/2024", None, "microsoft/Recognizers-Text#226"),
    ("10-12", None, "microsoft/Recognizers-Text#227"),
    ("5 or 6", None, "databricks/officeqa#41"),
    # Statements, and which of them counts.
    ("2 + 40 = 42\n#### 42\nThe reasoning above confirms this in 3 ways.", "42", "verl-project/verl#7274"),
    ("#### 18\n\nQuestion: Tom has 3 pens.\nAnswer: #### 7", "18", f"sgl-project/sglang#29933, {COMPASS}#1818"),
    ("I think the answer: 5 is wrong.\nAnswer: 10", "10", "PrimeIntellect-ai/verifiers#1336"),
    ("The answer is 5. It took 3 steps.", "5", "PrimeIntellect-ai/verifiers#1336"),
    ("Final Answer: The final answer is $28$. I hope it is correct.", "28", MINERVA),
    ("<think>9 or 12</think><answer> 48480 </answer>", "48480", "dhcode-cpp/X-R1#53"),
    ("The sum of 9 and 1 is ten.\n\nAnswer \\[ 9 \\]", "9", VERIFY_TESTS),
    ("**Final Answer:**\n\n$$\n460\n$$", "460", f"{INSPECT}#4646"),
    ("Antwort: 18", "18", "openai/simple-evals mgsm_eval.py"),
    ("18\n\nShe has 16 eggs and eats 7, for 5 days.", "18", "stanfordnlp/dspy#651"),
    ("18. She has 16 eggs and eats 7.", "18", "stanfordnlp/dspy#651"),
    (
        "42 eggs (6 a day, 7 days long)",
        "42",
        "stanfordnlp/dspy dspy/datasets/gsm8k.py (its last token with a digit: 7)",
    ),
    ("She has 16 eggs.\nSo she makes 18 dollars.", "18", "stanfordnlp/dspy#363"),
    ("She makes $18 by selling 9 eggs at $2.", "18", f"{COMPASS}#1818 (the last number is not meant)"),
    ("Kylar pays $8.00 for 16 glasses.", "8", f"{COMPASS}#1818 (the last number is not meant)"),
    ("1. Count the eggs.\n2. Sell the eggs.", None, f"{COMPASS}#2343 (numbers of steps)"),
    ("1. 12.0 miles per hour", "12", f"{COMPASS}#2343 (numbers of steps)"),
    (r"N = \frac{9}{8", None, "jundot/omlx#3772 (cut short)"),
    ("Kenji can fill 9 boxes with 7 mugs each.", "9", f"{COMPASS}#1818 (the last number is not meant)"),
    ("2 rows of 6 roses", "2", f"{COMPASS}#1818 (the last number is not meant)"),
    ("She makes 40 dollars, 20% of the price.", "40", f"{INSPECT}#838 (a percentage beside the answer)"),
    # Equations.
    ("15x + 3 = 48", None, "Khan/khan-exercises#118798 (not solved)"),
    ("3 * 4 = 12 pens for 2 friends", "12", QWEN),
    ("-8 = x", "-8", "Khan/khan-exercises#146570"),
    ("x = 42", "42", QWEN),
    ("204 = 12 * 17", "204", "Khan/khan-exercises#146570"),
    ("12 * 17 = 204", "204", QWEN),
    ("$160 + $80 + $20 = $260", "260", f"{COMPASS}#2426"),
    ("5 * 10=<<5*10=50>>50 minutes", "50", f"{HARNESS}#1204"),
    (r"k = \frac{1}{3}", "1/3", VERIFY_TESTS),
    ("The total is 3 * 4 =", None, f"{COMPASS}#2343 (cut before the result)"),
)


@pytest.mark.parametrize(("text", "number", "source"), FORMS)
def test_numbers_are_read_in_whatever_form_the_field_writes_them(text: str, number: str | None, source: str) -> None:
    assert read_number(text) == number, source
    assert word_problems.answer_key(dspy.Prediction(answer=text)) == number


def test_the_table_is_as_large_as_it_has_to_be_and_repeats_nothing() -> None:
    assert len(FORMS) == len({text for text, _, _ in FORMS}) >= 60
    assert all(source.count("/") for _, _, source in FORMS)


@pytest.mark.parametrize(("text", "number", "source"), FORMS)
def test_aime_reads_by_the_same_reader_and_takes_integers_of_its_range(
    text: str, number: str | None, source: str
) -> None:
    integer = number if number is not None and number.isdigit() and int(number) <= 999 else None
    assert aime.read_integer(text) == integer, source


def test_numbers_of_kinds_3_and_18() -> None:
    """The examples of kinds 3 and 18 of the field's cases, word for word."""
    assert read_number(r"\boxed{57{,}500}") == "57500"
    assert read_number(r"\boxed{18} dollars every day for 7 days") == "18"
    assert read_number("1/2") == "0.5"
    assert read_number("20 kg of CO2") == "20"
    assert aime.read_integer(r"\boxed{204 \text{ cm}^2}") == "204"
    assert aime.read_integer("204 = 12 * 17") == "204"


def test_every_gold_answer_of_gsm8k_and_aime_is_read(shared_data: Path, whole: bool) -> None:
    gsm8k = word_problems.load(shared_data / "gsm8k" / "test.jsonl")
    assert len(gsm8k) == (1_319 if whole else 40)
    assert all(
        word_problems.quality(item, dspy.Prediction(answer=f"\\boxed{{{item.answer}}}")) == 1.0 for item in gsm8k
    )
    problems = aime.load(shared_data / "aime" / "aime24_test.jsonl")
    assert len(problems) == (30 if whole else 12)
    assert all(aime.quality(item, dspy.Prediction(answer=f"It is {item.answer} = x.")) == 1.0 for item in problems)


NUMBERS = st.one_of(
    st.integers(-(10**15), 10**15).map(Fraction),
    st.decimals(-(10**9), 10**9, places=3).map(Fraction),
    st.fractions(max_denominator=999),
)


def _grouped(number: Fraction, comma: str, point: str = ".") -> str:
    whole, _, decimals = canonical(abs(number)).partition(".")
    sign = "-" if number < 0 else ""
    return f"{sign}{int(whole):,}".replace(",", comma) + (f"{point}{decimals}" if decimals else "")


@given(NUMBERS)
@example(Fraction(0))
@example(Fraction(1, 3))
def test_the_canonical_form_reads_back(number: Fraction) -> None:
    assert read_number(canonical(number)) == canonical(number)


@given(
    NUMBERS.filter(lambda number: "/" not in canonical(number)),
    st.sampled_from([",", "{,}", "\\,", "\u202f", "\u00a0", "\u2009", " ", "'"]),
    st.sampled_from(
        [
            "{}",
            "${}",
            "{} dollars for 7 days",
            "\\boxed{{{}}} of 12",
            "x = {}",
            "#### {}",
            "**Answer:** {}",
            "The answer is {}.",
            "3 pens. So the total is {}!",
            "\\[ 2 \\times 3 = {} \\]",
        ]
    ),
)
def test_any_grouping_in_any_dress_reads_back(number: Fraction, comma: str, dress: str) -> None:
    assert read_number(dress.format(_grouped(number, comma))) == canonical(number)


@given(NUMBERS.filter(lambda number: abs(number) >= 10**6 and "/" not in canonical(number)))
def test_points_for_thousands_read_back(number: Fraction) -> None:
    assert read_number(_grouped(number, ".", ",")) == canonical(number)


@given(st.integers(-999, 999), st.integers(1, 999))
def test_fractions_read_back(over: int, under: int) -> None:
    number = canonical(Fraction(over, under))
    sign = "-" if over < 0 else ""
    for form in (
        f"{over}/{under}",
        rf"\frac{{{over}}}{{{under}}}",
        rf"\boxed{{{sign}\dfrac{{{abs(over)}}}{{{under}}}}}",
    ):
        assert read_number(form) == number
