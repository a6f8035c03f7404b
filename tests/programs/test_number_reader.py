"""The order in which statements count, and what is no number, one part of the reader at a time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.programs.numbers.forms import canonical
from anytime_dspy.programs.numbers.reader import read_number


@pytest.mark.parametrize(
    "cue",
    [
        *("The answer is", "The answers are", "So my answer was", "The answer equals", "the answer would be"),
        *("The answer should be", "The answer must be", "The answer comes to", "The answer to problem 3 is"),
        *("Answer:", "Final Answer:", "answer =", "Final answer -", "Final answer —", "####", "### ", "<answer>"),
        *(
            "The answer is (B)",
            "The answer is about",
            "The answer is exactly",
            "The answer is x =",
            "The answer is:\n\n$$",
        ),
        "The answer is that she has",
    ],
)
def test_what_is_called_the_answer_counts_before_what_follows(cue: str) -> None:
    assert read_number(f"There are 2 boxes. {cue} 42 \nIt took 3 steps.") == "42"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 5. We can say 7.", "5"),
        ("The answer is not 5, it is 7.\nThe answer is 8.", "8"),
        ("The answer is 8.\nThat is our answer.", "8"),
        ("The answer is near.\n8 pens", "8"),
        ("The answer is 12 * 17 = 204.", "204"),
        ("The answer is 5 or 6.", None),
        (r"The answer is \alpha.", None),
        ("The answer is twelve. 3 * 4 is 12.", "12"),
        ("Answer: There are 3 boxes. Each has 4 pens. So there are 12 pens.", "12"),
        ("Final answer: She makes 18 dollars. It takes 9 eggs.", "18"),
        ("I answered in 3 steps: 7 pens.", "7"),
    ],
)
def test_statements_of_the_answer(text: str, number: str | None) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\boxed {5}", "5"),
        (r"\boxed{{5}}", "5"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed5", "5"),
        (r"a \boxed{7} and the answer is 8", "7"),
        (r"\boxed{ } The answer is 8", "8"),
        (r"\boxed{m + n = 113}", "113"),
        (r"\boxed{18 for 7 days}", "18"),
        (r"\boxed{7 apples, 3 pears}", None),
        (r"\boxed{7 \text{ or } 8}", None),
        (r"\boxed{7!}", None),
        ("\\boxed{18 dollars\nfor 7 days", "18"),
        (r"It is 8. \boxed{1", "8"),
        (r"It is 8. \fbox{1", "8"),
        (r"It is 8. \boxed{\frac{1}{2", "8"),
        (r"unboxed{5} 6", "6"),
    ],
)
def test_boxes(text: str, number: str | None) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    "rest",
    [
        *(f"{word} 7 days" for word in ("for", "in", "with", "per", "at", "after", "from", "over", "among", "within")),
        *("during 7 days", "every 7 days", "than 7", "for the next 7 days", "in all 7 boxes", "for about 7 days"),
        *("> 7", "on the 7th", "20% of it", "20 percent of it", "(7 a day)", "by selling 7 eggs", "after selling 7"),
        *(
            "because 2 + 7 is that",
            ", since she had 7",
            ", as 2 + 7 is 9",
            "for $2 each",
            "for $2 per pen",
            "in $2 a day",
        ),
        *(
            "for $2 apiece",
            "before selling 7",
            "when selling 7",
            "while selling 7",
            "from selling 7",
            "given that she had 7",
        ),
        *(f"for {word} 7 days" for word in ("a", "the", "another", "these", "those", "last", "first", "only", "just")),
        *(f"for {word} 7 days" for word in ("its", "his", "her", "their")),
    ],
)
def test_circumstances_and_reasons_do_not_count(rest: str) -> None:
    assert read_number(f"She has 18 pens {rest}.") == "18"
    assert read_number(f"So \\boxed{{18 pens {rest}}}.") == "18"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It lasts for 7 days.", "7"),
        ("She finished on the 7th.", "7"),
        *((f"She has 18 pens on the {day}.", "18") for day in ("1st", "2nd", "3rd", "4th")),
        ("They need 20% of it.", "20"),
        ("She has 5 pens. She did this for 7 days.", "5"),
        ("She sells 9 eggs for $18.", "18"),
        ("She is left with 18 after 7 days.", "18"),
        ("She ends up with 18 after 7 days.", "18"),
        ("This results in 18 for 7 days.", "18"),
        ("He has 3 apples and 4 pears.", None),
        ("She has 3 or 4.", None),
        ("First 5, then 9.", "9"),
        ("18 pens. She had 9.", "9"),
        ("18\n\nShe had 9.", "18"),
        ("18 more pens\n\nShe had 9.", "18"),
        ("She has exactly 18 pens\n\nShe had 9.", "9"),
        ("3 + 4\n\nIt is 9.", "9"),
        ("18. She had 9.", "18"),
        ("= 18. She had 9.", "9"),
        ("3. She had 9.", "9"),
        ("Sure.\n12) Count 9 eggs.", "9"),
        ("### 12. Count the 9 eggs", "9"),
        ("Step 3", None),
        ("Q: 4?\nQ: 5?", "4"),
        ("Question: what?\n8 pens\n\nProblem 2: 9 pens", "8"),
        ("</think>5", "5"),
    ],
)
def test_sentences(text: str, number: str | None) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("So 204 = 12 * 17", "204"),
        ("Therefore, $204 = 12 * 17", "204"),
        ("The 3 boxes = 12 * 17", None),
        ("5 + 3 = 4 + 4", None),
        ("x = 5 + 3", None),
        ("2x = 8", None),
        ("x + 3 = 8", None),
        ("m + n = 8", "8"),
        ("5 = x", "5"),
        ("9 = 3 * 3 = 3 + 6", "9"),
        ("1 + 1 = 2, 2 + 2 = 4", "4"),
        ("12 = many", "12"),
        ("12 pens = many, I think", "12"),
        ("1/3 ≈ 0.33", "0.33"),
        (r"1/3 \approx 0.33", "0.33"),
        ("3 <= 4", "4"),
        ("3 != 4", "4"),
        ("a == 4", "4"),
        (r"x &= 3 \\ &= 4", "4"),
        (r"3x = 12 \Rightarrow x = 4", "4"),
        ("3 boxes * 4 pens = 12 pens * 1", None),
        ("= - 5", "-5"),
    ],
)
def test_equations(text: str, number: str | None) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *("12 + 4", "12 * 4", "12 - 4", "12 ÷ 4", "12 plus 4", "12 minus 4", "12 times 4", "12 divided by 4"),
        *("12 multiplied by 4", "12 ± 4", r"12 \pm 4", r"12 \times 4", r"12 \cdot 4", r"12 \div 4", "3 boxes * 4 pens"),
        *("12 boxes of the big pens * 4", "(12) * (4)", "12 x 4", "$12 + $4", "x * 4", "4 * x", "12 pens + 4 pens"),
        *(r"\sqrt{16}", r"\sqrt[3]{8}", "√16", "2√3", r"3\pi", "3π", "5!", "2^5", "2^{10}", "2**5", "5²", "3x", "2n"),
        *(r"\frac{x}{2}", r"\frac{6 \text{ km}}{2}", r"\frac{1}{0}", "1/0", "2 3/2", "5k", "±5"),
        *("3:30", "3:4", "1:02:03", "2024-05-01", "5/6/2024", "12.05.2024", "1,2,3", "(1,2)", "[3,5]", "12,345,67"),
        *("3-5", "3–5", "3 – 5", "3 to 5", "between 3 and 5", "$3 to $5", "x_1", "x^2", "H2O", "m^{2}", "CO_2"),
        *("one half", "two thirds", "two three", "a hundred", "the other one", "many", "", "9" * 301, "1e100"),
    ],
)
def test_what_is_no_single_number(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((f"{sign}5", "5") for sign in "$€£¥₹"),
        *((f"5 {unit}", "5") for unit in ("€", "dollars", "%", r"\%", "km/h", "°", r"^\circ", "cm³", "days.")),
        *(("USD 5", "5"), ("EUR5", "5"), ("Rs. 500", "500"), ("US$5", "5"), (r"\$5", "5"), (r"\text{5 km}", "5")),
        *(("$57.5k", "57500"), ("2 hundred", "200"), ("2 thousand", "2000"), ("2 billion", "2000000000")),
        *(("2 trillion", "2000000000000"), ("2 hundred thousand", "200000"), ("$2 million", "2000000")),
        *(("-5", "-5"), ("–5", "-5"), ("(-5)", "-5"), ("$-5", "-5"), ("negative 5", "-5"), ("Minus 5", "-5")),
        *(("- 5 pens", "5"), ("6) -5", "-5"), ("-0", "0"), ("-1/2", "-0.5"), ("- 1/2", "-0.5"), ("-½", "-0.5")),
        *(("1½", "1.5"), ("1 and 1/2", "1.5"), ("⅓", "1/3"), ("⅞", "0.875"), ("3 / 4", "0.75"), ("1,000/8", "125")),
        *(("10^3", "1000"), ("10^{-2}", "0.01"), ("10³", "1000"), ("10⁻²", "0.01"), ("3e2", "300"), ("3E-2", "0.03")),
        *((r"3 \cdot 10^{2}", "300"), ("3 x 10^2", "300"), ("3*10^2", "300"), ("1e99", "1" + "0" * 99)),
        *(("１２", "12"), ("1’234", "1234"), ("1 234,5", "1234.5"), ("1.234,5", "1234.5"), ("0,125", "0.125")),
        *(("1,23,456.5", "123456.5"), ("1.234.567,8", "1234567.8"), ("12345,678", "12345.678"), ("1.234", "1.234")),
        *(("12 345.5", "12345.5"), ("0.50", "0.5"), ("007", "7"), (".5", "0.5"), ("5.", "5"), ("[5]", "5")),
        *(("zero", "0"), ("one pen", "1"), ("Seventy", "70"), ("ninety-nine", "99"), ("one hundred and five", "105")),
        *(("three thousand two hundred", "3200"), ("two million", "2000000"), ("nineteen hundred", "1900")),
        *(
            ("The pens are fifty-one.", "51"),
            (r"\boxed{\text{forty}}", "40"),
            ("two hundred thousand and one", "200001"),
        ),
    ],
)
def test_ways_to_write_one_number(text: str, number: str) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((Fraction(0), "0"), (Fraction(100), "100"), (Fraction(-7), "-7"), (Fraction(1, 8), "0.125")),
        *((Fraction(-1, 40), "-0.025"), (Fraction(12_345, 100), "123.45"), (Fraction(-22, 7), "-22/7")),
        *((Fraction(1, 6), "1/6"), (Fraction(1, 2**200), canonical(Fraction(1, 2**200)))),
        (Fraction(1, 2**201), f"1/{2**201}"),
    ],
)
def test_the_canonical_form(value: Fraction, text: str) -> None:
    assert canonical(value) == text
    assert Fraction(text) == value


UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spelt(number: int) -> str:
    """Spells a number below a billion out."""
    for name, value in (("million", 10**6), ("thousand", 1_000), ("hundred", 100)):
        if number >= value:
            rest = f" {spelt(number % value)}" if number % value else ""
            return f"{spelt(number // value)} {name}{rest}"
    if number < 20:
        return UNITS[number]
    return TENS[number // 10 - 2] + (f"-{UNITS[number % 10]}" if number % 10 else "")


@given(st.integers(2, 10**9 - 1))
def test_numbers_in_words_read_back(number: int) -> None:
    assert read_number(f"She has {spelt(number)} pens.") == str(number)


@pytest.mark.parametrize("number", [*range(120), 200, 999, 1_001, 21_000, 10**6 + 1, 999_999_999])
def test_each_number_word_reads_back(number: int) -> None:
    assert read_number(spelt(number)) == str(number)


@pytest.mark.parametrize(
    "words",
    [
        *(f"one {part}" for part in ("half", "third", "quarter", "fourth", "fifth", "sixth", "eighth", "tenth")),
        *("two halves", "three quarters", "three and a half", "ten two", "twenty twelve", "twenty thirty", "zero five"),
        *("hundred", "thousand", "two hundred hundred", "five hundred three hundred", "no one", "she is one"),
    ],
)
def test_words_that_make_no_number(words: str) -> None:
    assert read_number(words) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(
            (rf"\{command}{{42}}", "42")
            for command in ("text", "textbf", "textit", "mathrm", "mathbf", "mathit", "mbox")
        ),
        *(
            (rf"5 \{command}{{km}}^2", "5")
            for command in ("text", "textbf", "textit", "mathrm", "mathit", "operatorname")
        ),
        *((rf"42 \{command} 6 * 7", "42") for command in ("approx", "simeq", "cong", "doteq", "quad =", "qquad =")),
        *((rf"42 \{command} 6 * 7", "42") for command in ("Rightarrow", "rightarrow", "implies", "to")),
        *((f"42 {arrow} 6 * 7", "42") for arrow in "→⇒⟹≃≅≈＝"),
        *(("1，234", "1234"), ("1．5", "1.5"), ("60％", "60"), ("＄5", "5"), ("3⁄4", "0.75"), ("答：42", "42")),
        *((f"12 {sign} 4", None) for sign in "×·⋅∙✕−"),
        *((f"{code} 5", "5") for code in ("USD", "EUR", "GBP", "CAD", "AUD", "CHF", "INR", "Rs.", "Rs")),
        *((rf"\left( {size} 42 \right)", "42") for size in (r"\big", r"\Bigl", r"\displaystyle", r"\;", r"\!")),
    ],
)
def test_latex_and_unicode_around_a_number(text: str, number: str | None) -> None:
    assert read_number(text) == number
