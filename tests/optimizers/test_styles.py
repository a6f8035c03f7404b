from __future__ import annotations

from anytime_dspy.optimizers.traces.styles import STYLES


def test_the_plain_style_leaves_the_instructions_alone():
    assert STYLES[0].render("Solve it.", (16, 32)) == "Solve it."


def test_every_other_style_adds_to_the_instructions_and_no_two_add_the_same():
    rendered = [style.render("Solve it.", (16, 32, 64)) for style in STYLES]
    assert all(text.startswith("Solve it.") for text in rendered)
    assert len(set(rendered)) == len(STYLES)


def test_the_brief_style_names_the_middle_budget_and_the_lower_one_of_two():
    brief = next(style for style in STYLES if style.name == "brief")
    assert "32 tokens" in brief.render("", (16, 32, 64))
    assert "32 tokens" in brief.render("", (16, 32, 64, 96))
    assert "16 tokens" in brief.render("", (16,))
