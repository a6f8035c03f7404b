"""An image is priced as one and shown as a word; its base64 is no text anywhere."""

from __future__ import annotations

import json
import random

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.media import PART_TOKENS, parts, shown
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers import LEAP, PDP
from anytime_dspy.optimizers.pairs.export import pairs_dataset, trl_rows
from anytime_dspy.optimizers.pairs.pair import read_pairs
from anytime_dspy.report.examples import fields
from anytime_dspy.storage.jsonl import json_line
from anytime_dspy.testing import asked_for, chat, scripted_lm, words

IMAGES = [dspy.Image(url=f"data:image/png;base64,{random.Random(n).randbytes(30_000).hex()}") for n in range(4)]


class Seen(dspy.Signature):
    """Count the cats."""

    picture: dspy.Image = dspy.InputField()
    question: str = dspy.InputField()
    cats: str = dspy.OutputField()


class Album(dspy.Signature):
    """Count the cats."""

    pictures: list[dspy.Image] = dspy.InputField()
    cats: str = dspy.OutputField()


def sampled(request):
    if "better" in asked_for(request):
        return chat(better="A")
    n = (request.config.seed or 0) % 3
    return chat(reasoning=words(3 + n), cats=str(n))


@pytest.fixture
def priced(monkeypatch):
    """A price for every scripted model: a dollar for a million tokens."""
    from anytime_dspy.runtime.allowance import Price

    monkeypatch.setattr("anytime_dspy.runtime.generation.price_of", lambda model: Price(1e-6, 1e-6))


@pytest.mark.parametrize(
    ("signature", "inputs", "images"),
    [(Seen, {"picture": IMAGES[0], "question": "how many?"}, 1), (Album, {"pictures": IMAGES[:3]}, 3)],
)
def test_an_image_is_priced_as_an_image(priced, signature, inputs, images):
    def reply(request):
        asked_for_an_answer_alone = request.config.max_tokens <= 20
        return chat(cats="2") if asked_for_an_answer_alone else chat(reasoning=words(5000), cats="2")

    lm = scripted_lm(reply, can_continue=False)
    with dspy.context(lm=lm), ad.budget(ad.Budget(dollars=0.01), answer_tokens=20) as spent:
        assert dspy.ChainOfThought(signature)(**inputs).cats == "2"
    # $0.01 is 10,000 tokens; a token of reasoning is written and read, and the images are read twice.
    at_most = (10_000 - 2 * images * PART_TOKENS) / 2
    assert at_most - 400 < spent.reasoning <= at_most


METRIC = ad.AnytimeIndex(lambda example, prediction: float(prediction.cats == example.cats))
TRAIN = [
    dspy.Example(picture=image, question=f"how many, {n}?", cats="0").with_inputs("picture", "question")
    for n, image in enumerate(IMAGES)
]


def student():
    return ad.Anytime(dspy.ChainOfThought(Seen), (4, 8), answer_tokens=16)


def compiled(folder):
    with dspy.context(lm=scripted_lm(sampled, can_continue=False)):
        return PDP(METRIC, samples=3, judge="metric", trials=0, log_dir=folder).compile(student(), trainset=TRAIN)


def test_instructions_say_image_where_one_stood(tmp_path):
    predictor = compiled(tmp_path).predictors()[0]
    told = predictor.signature.instructions
    assert "Task: picture: [image]; question: how many" in told
    assert "CUSTOM-TYPE" not in told
    assert "base64" not in told
    assert isinstance(predictor.demos[0]["picture"], dspy.Image)


def test_a_judge_and_leap_see_the_image_itself():
    lm = scripted_lm(sampled, can_continue=False)
    with dspy.context(lm=lm):
        LEAP(METRIC, samples=2).compile(student(), trainset=TRAIN)
        with pytest.raises(AnytimeError, match="no difference"):  # this one always says the first is better
            PDP(METRIC, samples=3, judge="pairwise", trials=0).compile(student(), trainset=TRAIN)
    for asked in ("Two candidate answers", "right_answer"):
        requests = [str(request) for request in lm.engine.requests if asked in str(request)]
        assert requests
        for request in requests:
            assert "CUSTOM-TYPE" not in request
            assert "ImagePart" in request


def test_pairs_with_images_are_a_dataset_of_one_form(tmp_path):
    compiled(tmp_path)
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    rows = trl_rows(pairs)
    assert all(isinstance(one["content"], list) for row in rows for column in row.values() for one in column)
    dataset = pairs_dataset(pairs)
    assert len(dataset) == len(rows) > 0
    user = dataset[0]["prompt"][-1]
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]
    assert user["content"][1]["image_url"]["url"] in {image.url for image in IMAGES}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (IMAGES[0], "[image]"),
        (str(IMAGES[0]), "[image]"),
        ([IMAGES[0], IMAGES[1]], "['[image]', '[image]']"),
        (dspy.Audio(data="AAAA", audio_format="wav"), "[audio]"),
        (dspy.Image(url="https://example.com/a.png"), "[image]"),
        (f"see {IMAGES[0].url} there", "see [image] there"),
        ("plain << text >>", "plain << text >>"),
        ({"a": 1}, "{'a': 1}"),
        (3, "3"),
    ],
)
def test_what_cannot_be_read_is_shown_as_a_word(value, text):
    assert shown(value) == text
    kept = json.loads(json_line({"x": value}))  # as a run keeps it, and a report shows it
    assert "base64" not in fields(kept)[0].text


def test_the_parts_of_a_message_are_told_apart():
    content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]
    assert parts(content) == ("a", 1)
    assert parts(f"a{IMAGES[0]}b") == ("ab", 1)
