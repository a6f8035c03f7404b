"""The forms in which models give the letter of an option, as graders and their users met them, and what each means.

Each row names where such a form was met: a repository and an issue, a pull request or a grader of it. The texts are
ours, and so are the forms without another source.
"""

from __future__ import annotations

from typing import NamedTuple

import dspy
import pytest

from anytime_dspy.programs import gpqa
from anytime_dspy.programs.letters import read_letter


class Form(NamedTuple):
    """A text, the letter that it gives, and where the form was met."""

    text: str
    letter: str | None
    source: str


# A letter, and its dress.
PLAIN = [
    Form("C", "C", "EleutherAI/lm-evaluation-harness#4187"),
    Form("C.", "C", "EleutherAI/lm-evaluation-harness#4187"),
    Form("c", "C", "EleutherAI/lm-evaluation-harness#4188"),
    Form("(C)", "C", "EleutherAI/lm-evaluation-harness#2502"),
    Form("(C)\nbecause spin is conserved", "C", "EleutherAI/lm-evaluation-harness#2502"),
    Form("[C]", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("**C**", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("__C__", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("C. 12", "C", "stanford-crfm/helm#2939"),
    Form(r"C. \(3x^2 + 1\)", "C", "EleutherAI/lm-evaluation-harness#4187"),
    Form("**C) 12 eV**", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("C - 12 eV", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("Ｃ", "C", "openai/simple-evals#41"),
    Form("（Ｃ）", "C", "ours"),
    Form("The two sensors agree, so the bearing is worn.\n\nC", "C", "IBM/AssetOpsBench#475"),
    Form("Therefore, C", "C", "ours"),
]
# "Answer:" and its kin.
LABELLED = [
    Form("Answer: C", "C", "openai/simple-evals#38"),
    Form("Answer:\nC", "C", "openai/simple-evals#38"),
    Form("answer: c", "C", "UKGovernmentBEIS/inspect_ai#3910"),
    Form("ANSWER: $C$", "C", "UKGovernmentBEIS/inspect_ai#5145"),
    Form("Answer: $C", "C", "open-compass/VLMEvalKit#1591"),
    Form("ANSWER: **C**", "C", "UKGovernmentBEIS/inspect_ai#5055"),
    Form("ANSWER: (C)", "C", "UKGovernmentBEIS/inspect_ai#5145"),
    Form("**Answer**: **C**", "C", "Azure/azureml-assets#5274"),
    Form("***ANSWER***: ***C***", "C", "Azure/azureml-assets#5274"),
    Form("**Correct Answer: C. 12 eV**", "C", "EvolvingLMMs-Lab/lmms-eval#1434"),
    Form("Final answer - C", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("*Answers* – C", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("## Final Answer\n\n**C) 12 eV**", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("Final answer: ANSWER: C", "C", "modelscope/evalscope#1597"),
    Form("Choice: C", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form("Answer choice: (C)", "C", "EleutherAI/lm-evaluation-harness#4188"),
    Form("<answer>C</answer>", "C", "verl-project/verl#6793"),
    Form("<final_answer>\n(C) 12 eV\n</final_answer>", "C", "databricks/officeqa#39"),
    Form('{"answer": "C"}', "C", "kaiko-ai/eva#932"),
    Form("[[ ## answer ## ]]\nC", "C", "stanfordnlp/dspy, its chat adapter's header"),
    Form("Answer: I think it is C", "C", "antirez/ds4#319"),
]
# In a sentence.
SAID = [
    Form("The answer is C.", "C", "EleutherAI/lm-evaluation-harness#2237"),
    Form("After all four are compared, the answer is (C).", "C", "EvolvingLMMs-Lab/lmms-eval#1434"),
    Form("The correct answer is c.", "C", "aniri15/OPD-V#2"),
    Form("The best choice is C.", "C", "MatthewCYM/VoiceBench#10"),
    Form("The answer to the multiple-choice question is: **C**", "C", "MatthewCYM/VoiceBench#10"),
    Form("I would choose option C", "C", "MatthewCYM/VoiceBench#10"),
    Form("I would pick C — a careful choice.", "C", "EleutherAI/lm-evaluation-harness#4188"),
    Form("The answer is C because a charge moves.", "C", "EleutherAI/lm-evaluation-harness#4188"),
    Form("C is the best answer", "C", "MatthewCYM/VoiceBench#10"),
    Form("Option C is correct because the field is uniform.", "C", "open-compass/VLMEvalKit#1552"),
    Form("Antwort: C", "C", "openai/simple-evals#41"),
    Form("Antwort:\n\nAntwort: C", "C", "openai/simple-evals#33"),
    Form("Die richtige Antwort ist C.", "C", "openai/simple-evals#41"),
    Form("Réponse : C", "C", "openai/simple-evals#41"),
    Form("La respuesta correcta es la C", "C", "openai/simple-evals#41"),
    Form("答案：Ｃ", "C", "open-compass/opencompass#1688"),
    Form("正确答案为 C", "C", "ai-twinkle/Eval#156"),
    Form("我選擇 C", "C", "ai-twinkle/Eval#156"),
    Form("只有选项C正确", "C", "open-compass/opencompass#2600"),
    Form("정답: C", "C", "EleutherAI/lm-evaluation-harness#3842"),
]
# In LaTeX: a box around a letter is an answer, one around a formula is none.
LATEX = [
    Form(r"\boxed{C}", "C", "huggingface/lighteval#998"),
    Form(r"\boxed { C }", "C", "MakazhanAlpamys/Soup#396"),
    Form(r"The final answer is: $\boxed{C}$. I hope that it is correct.", "C", "huggingface/lighteval#998"),
    Form(r"\boxed{\text{C}}", "C", "NVIDIA-NeMo/Gym#1790"),
    Form(r"\boxed{\text{(C)}}", "C", "NVIDIA-NeMo/Gym#1790"),
    Form(r"\boxed{\text{C: the heavier one}}", "C", "NVIDIA-NeMo/Gym#1844"),
    Form(r"\boxed{\textbf{(C)}~12}", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form(r"\boxed{\text{A } 2.5\times10^{-6}\,\mathrm{m}}", "A", "openai/gpt-oss, evals/abcd_grader.py"),
    Form(r"$\mathbf{C}$", "C", "openai/gpt-oss, evals/abcd_grader.py"),
    Form(r"\boxed{B} holds at first sight. Corrected: \boxed{C}", "C", "NVIDIA-NeMo/Gym#1844"),
    Form("\\boxed{C}\nAs a check, 3 A flow through part D", "C", "marin-community/marin#7527"),
    Form("\\boxed{B = \\mu_0 I / 2 \\pi r}\n\nAnswer: D", "D", "NVIDIA-NeMo/Skills#1511"),
    Form("**Answer: D**\n\n\\boxed{\\langle C\\rangle \\ll \\Delta B}", "D", "NVIDIA-NeMo/Skills#1526"),
    Form(r"\boxed{B = \mu_0 I / 2 \pi r}", None, "NVIDIA-NeMo/Skills#1511"),
    Form(r"\boxed{4}", None, "MakazhanAlpamys/Soup#396"),
]
# Several letters: the order decides.
ORDER = [
    Form("The answer is B. Option A ignores spin and option D has the wrong sign.", "B", "jundot/omlx#3668"),
    Form("ANSWER IS D. A is incorrect.", "D", "jundot/omlx#3668"),
    Form("Answer: D. (Choice A would hold for bosons.)", "D", "open-compass/VLMEvalKit#1552"),
    Form("Answer: A\nOption B is incorrect, as it leaves out the mass.", "A", "openai/gpt-oss#255"),
    Form("Answer: A\nNow I check this, and correct it.\nAnswer: B", "B", "openai/frontier-evals#125"),
    Form("ANSWER: A ... no, ANSWER: B", "B", "openai/evals#1767"),
    Form("Answer seems to be A.\n\nAnswer: C", "C", "groq/openbench#348"),
    Form("Conclusion: (B). Eliminated: (A), (C), (D).", "B", "EleutherAI/lm-evaluation-harness#3879"),
    Form("I looked at (A), but it is incorrect. Final answer: D.", "D", "aniri15/OPD-V#2"),
    Form("Roots (A), stems (B), leaves (C): the answer is (C)", "C", "EleutherAI/lm-evaluation-harness#2237"),
    Form("A: Let's think step by step. The answer is (C).", "C", "open-compass/opencompass#1462"),
    Form("<think>Answer: A</think>Answer: B", "B", "vllm-project/tpu-inference#3518"),
    Form("Answer: It is not B, the answer is D", "D", "antirez/ds4#321"),
    Form("Answer: rules out C, leaving D", "D", "antirez/ds4#321"),
    Form("Answer: D, not B", "D", "antirez/ds4#321"),
    Form("not A but C", "C", "MedARC-AI/medmarks#63"),
    Form("A) 1 eV\nB) 2 eV\nC) 3 eV\nD) 4 eV\n\nC", "C", "UKGovernmentBEIS/inspect_ai#721"),
    Form("The answer is C. Without spin the answer would be A.", "C", "openai/gpt-oss#254"),
    Form("If spin is conserved, the answer is B.", "B", "ours"),
    Form("The answer is B. If the answer is A, spin is lost.", "B", "ours"),
    Form("Answer: B. D is correct only for bosons.", "B", "ours"),
    Form("C) 12 eV, because (A) and (B) violate parity", "C", "ours"),
    Form("The answer is B. No: B is wrong, the answer is C.", "C", "ours"),
]
# Nothing that decides.
NONE = [
    Form("option B is wrong", None, "openai/gpt-oss#255"),
    Form("The answer is B. Wait, B is wrong.", None, "openai/gpt-oss#254"),
    Form("A and B are both correct", None, "UKGovernmentBEIS/inspect_ai#3910"),
    Form("ANSWER: A, B", None, "UKGovernmentBEIS/inspect_ai#2217"),
    Form("The answer is A or B.", None, "UKGovernmentBEIS/inspect_ai#2217"),
    Form(r"\boxed{B, D}", None, "open-compass/opencompass#1413"),
    Form("ANSWER: AB", None, "openai/evals#1767"),
    Form("ANSWER: $LETTER", None, "UKGovernmentBEIS/inspect_ai#5145"),
    Form("ANSWER: None of the above", None, "UKGovernmentBEIS/inspect_ai#2216"),
    Form("ANSWER: Don't know", None, "UKGovernmentBEIS/inspect_ai#2216"),
    Form("Answer: Let's think step by step.", None, "open-compass/opencompass#1933"),
    Form("Based on the mass, a charge decays.", None, "EvolvingLMMs-Lab/lmms-eval#1434"),
    Form("A perfect answer cannot be found.", None, "TIGER-AI-Lab/MMLU-Pro#7"),
    Form("The answer is a photon.", None, "EleutherAI/lm-evaluation-harness#4188"),
    Form("Answer: A photon is emitted", None, "openai/simple-evals#118"),
    Form("Answer: C atoms", None, "ours"),
    Form("A) 1 eV\nB) 2 eV\nC) 3 eV\nD) 4 eV", None, "UKGovernmentBEIS/inspect_ai#721"),
    Form("A\nB\nC\nD", None, "UKGovernmentBEIS/inspect_ai#721"),
    Form("Vitamin C is the best antioxidant", None, "ours"),
    Form("Vitamin A", None, "ours"),
    Form("The answer is B = 3 T", None, "NVIDIA-NeMo/Skills#1511"),
    Form("P(A) = 0.3", None, "NVIDIA-NeMo/Skills#1511"),
    Form("The current is 5 A.", None, "marin-community/marin#7527"),
    Form("We select A as the starting material.", None, "ours"),
    Form("12 eV", None, "NVIDIA-NeMo/Gym#1844"),
]
# Found by changing the reader on purpose: each of these is read by one part of it alone.
PARTS = [
    Form("Vitamin C is right.", None, "ours"),
    Form("We know that C is right.", "C", "ours"),
    Form("Option A is odd. Option C is even.", None, "ours"),
    Form("f(C) and f(D)", None, "ours"),
    Form("Only option (C) holds", "C", "ours"),
    Form("We weigh all four.\nC) 12 eV is left.", "C", "ours"),
    Form("<answer>C</answer>\n(A) was close", "C", "ours"),
    Form("I take <answer>C</answer> here, and A there", "C", "ours"),
    Form("I pick C because the field is odd", "C", "ours"),
    Form("I pick C since the field is odd", "C", "ours"),
    Form("I pick C as my answer, for the field is odd", "C", "ours"),
    Form("I pick C as the final choice for now", "C", "ours"),
    Form("The answer is letter C (12 eV)", "C", "ours"),
    Form("The answer is choice C (12 eV)", "C", "ours"),
    *(
        Form(text, "C", "ours")
        for text in ("Answer seems to be C.", "The answer might be (C)", "Answer: C, A is wrong")
    ),
    *(
        Form(text, "C", "ours")
        for text in (r"\boxed{\boxed{C}}", r"\boxed{\boxed{B}}, no, \boxed{C}", r"\boxed{\text{C}")
    ),
    *(
        Form(text, "C", "ours")
        for text in ("\\boxed{C\nso B is wrong", "C) 12 eV, (B) is too small", "Answer: ... C", "(C) correct")
    ),
    *(
        Form(text, "A", "ours")
        for text in ("Answer: A The spin is conserved", "Answer: A since it is odd", "A since it is odd")
    ),
    *(
        Form(text, None, "ours")
        for text in ("a) 1 eV\nb) 2 eV\nc) 3 eV", "A) 1 eV\nB) 2 eV", "(A) 1 eV (B) 2 eV (C) 3 eV")
    ),
    *(
        Form(text, None, "ours")
        for text in ("Answer: B-field", "Answer: c4", "Answer: C's charge", "Answer: a 12 eV photon")
    ),
    *(
        Form(f"The answer is B{joint}D.", None, "ours")
        for joint in (" and ", " or ", ", ", "/", " & ", " und ", ", and ", " oder ")
    ),
    *(Form(f"Answer: B and D {word}", None, "ours") for word in ("are right", "both", "together", "apply")),
]
FORMS = [*PLAIN, *LABELLED, *SAID, *LATEX, *ORDER, *NONE, *PARTS]


@pytest.mark.parametrize("form", FORMS, ids=[f"{form.text[:30]!r}" for form in FORMS])
def test_letters_are_read_as_a_careful_grader_reads_them(form: Form) -> None:
    assert read_letter(form.text) == form.letter, form.source


SENTENCES = {
    "{}: C (12 eV)": (
        "answer|answers|answer(s)|antwort|lösung|réponse|respuesta|risposta|resposta|ответ|odpowiedź|odpowiedz|svar|antwoord"
        "|cevap|jawaban|答案|答え|回答|解答|正解|정답|답변|option|choice|letter|alternative|conclusion|solution|result|verdict|选项"
    ),
    "The {} is C": "answer|choice|option|letter|solution|conclusion|result|verdict|alternative",
    "La respuesta es {} C (12 eV)": "la|le|el|die|correcta|correcte|corretta|opción|opção|letra|lettre|la letra",
    "My {} is C (12 eV)": "choice|final choice|answer",
    "The {} one is C": "correct|right|best|final",
    "The answer {} C": (
        "is|was|must be|should be|will be|has to be|would be|could be|might be|may be|seems|seems to be|appears to be"
        "|looks like|is therefore|is clearly|is option|is most likely|is simply|is actually|is definitely|is probably"
        "|is, I think,|is, I believe,|to this question is|for the second problem is|here is|ist|est|es|è|é|to|является"
        "|->|=|→|is thus|is then|is indeed"
    ),
    "Answer: {} C": "it is|it's|that is|I'd say|I would say|I believe it is|the answer is|indeed",
    "{} C.": (
        "I choose|We chose|I have chosen|Choosing|I pick|I picked|I select|Selecting|I go with|I opt for|I settle on"
        "|This leaves|leaving only|We are left with|So it is|Hence|Thus,|So|It must be|Therefore, it's|选|選擇|我选择"
    ),
    "C {}": (
        "is correct|is right|is true|is the best|is the answer|is the correct answer|must be right|is clearly correct"
        "|is the most accurate choice|is the only correct option|because it is odd|since it is odd|as it is odd|- 12 eV"
    ),
    "It is odd {} C is right.": "and|but|hence|only|so|that|therefore|thus|while|:|;",
    "We say that C is right {} it is odd": "because|since|as|and",
    "We say that C is {} right.": "clearly|therefore|the",
    "We say that (C) {}, for it is odd": "correct|right|is true|- correct|: right",
    "We pick {} C, for it is odd": "option|choice|answer|letter|only|just",
    "{}, C. It is odd.\nTherefore C": "Thus|So|Hence",
    r"So \boxed{{{} C}} in all": "answer|final answer|the final answer is|correct answer:|the answer is|option|letter",
    r"So \{}{{C}} in all": "boxed|fbox|boxed |fbox ",
    r"Answer: \{}{{C}} 12 eV": "text|textbf|textrm|mathrm|mathbf|rm|bf|quad|,|;|!",
    "<{0}>C</{0}> 12 eV": "answer|Answer|final_answer|final answer|final-answer|finalanswer|choice|option",
    "It is {0}C{0} in all": "*|**|***|_|__|`",
    "Answer: {0}C{0} 12 eV": "'|\"|**|$|`",
    "Look at option C, {} option A": (
        "not|rather than|instead of|unlike|except|except for|excluding|eliminating|eliminate|ruling out"
        "|rule out|ruled out|rules out|rejecting|reject|discarding"
        "|dismissing|discard|dismiss|excludes|wrong:|incorrect:|wrong one:|isn't|wasn't|not the|neither option B nor"
    ),
    "The answer is C. {} the answer is A, spin is lost.": (
        "If|Whether|Unless|Suppose|Supposing|Assume|Assumes|Assumed|Assuming|Even if"
    ),
    "Option A {}. Option C": (
        "is wrong|is incorrect|is not it|isn't it|is false|is impossible|is ruled out|is eliminated|cannot be|can't be"
        "|fails|violates parity|ignores spin|contradicts it|has the wrong sign|seems wrong|would be wrong|was invalid"
        "|is excluded|is clearly wrong|does not fit"
    ),
    "Option A and option B {}. Option C": (
        "are wrong|are both wrong|fail|violate parity|have the wrong sign|do not fit|were out"
    ),
}


@pytest.mark.parametrize(("sentence", "words"), SENTENCES.items(), ids=SENTENCES.keys())
def test_every_word_that_says_so_is_known(sentence: str, words: str) -> None:
    texts = [sentence.format(word) for word in words.split("|")]
    assert {text: read_letter(text) for text in texts} == dict.fromkeys(texts, "C")


def test_the_table_is_worth_its_name() -> None:
    assert len({form.text for form in FORMS}) == len(FORMS) >= 100
    assert len({form.source for form in FORMS}) >= 40


@pytest.mark.parametrize("form", [form for form in FORMS if form.letter], ids=lambda form: f"{form.text[:30]!r}")
def test_the_reading_of_a_letter_is_that_letter(form: Form) -> None:
    # A private run keeps the letter alone, and it is read again.
    assert gpqa.answer_key(dspy.Prediction(answer=gpqa.answer_key(dspy.Prediction(answer=form.text)))) == form.letter


def test_gpqa_letters_that_were_silently_wrong_or_lost() -> None:
    """Kind 2: of several letters the declared answer counts, and no form that says it clearly is lost."""
    example = gpqa.with_options(
        gpqa.GpqaRecord.model_validate(
            {"Record ID": "made-up", "Question": "How much?", "Correct Answer": "12 eV"}
            | {f"Incorrect Answer {n}": f"{n} eV" for n in (1, 2, 3)}
        ),
        (1, 0, 2, 3),
    )
    answers = {
        "The answer is B. Option A ignores spin and option D has the wrong sign.": 1.0,
        "Answer: B. (Choice A would hold for bosons.)": 1.0,
        "\\boxed{A = \\mu_0 I / 2 \\pi r}\n\nAnswer: B": 1.0,
        "Final answer - B": 1.0,
        "<answer>B</answer>": 1.0,
        "Answer: A. Option B has the wrong sign.": 0.0,
        "The answer is A or B.": 0.0,
    }
    assert {answer: gpqa.quality(example, dspy.Prediction(answer=answer)) for answer in answers} == answers


def test_the_text_of_an_option_alone_is_no_letter() -> None:
    record = {"Record ID": "made-up", "Question": "How much?", "Correct Answer": "12 eV"}
    record |= {f"Incorrect Answer {n}": f"{n} eV" for n in (1, 2, 3)}
    example = gpqa.with_options(gpqa.GpqaRecord.model_validate(record), (0, 1, 2, 3))
    assert gpqa.quality(example, dspy.Prediction(answer="12 eV")) == 0.0
    assert gpqa.answer_key(dspy.Prediction(answer="12 eV")) is None
    assert gpqa.quality(example, dspy.Prediction(answer="A) 12 eV")) == 1.0
