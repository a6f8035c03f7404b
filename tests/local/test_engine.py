from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from dspy.lm15 import Config, Message, Request, TextPart
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.errors import ModelError
from anytime_dspy.local import LlamaEngine
from anytime_dspy.local.server import LlamaServer, ServerSettings

pytestmark = pytest.mark.local_lm

STORY = Message.user("Tell a story about a fox.")


def ask(lm: dspy.LM, *messages: Message, **config: object) -> dspy.lm15.Response:
    request = Request(model=lm.model, messages=messages or (STORY,), config=Config(**{"max_tokens": 12, **config}))
    return lm.engine.complete(request)


def test_predict_answers_in_dspys_format(lm: dspy.LM) -> None:
    program = dspy.Predict("question -> answer")
    program.demos = [
        dspy.Example(question="What is the capital of Italy?", answer="Rome"),
        dspy.Example(question="What is the capital of Spain?", answer="Madrid"),
    ]
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)):
        prediction = program(question="What is the capital of France?")
    assert prediction.answer == "Paris"


def test_usage_counts_what_was_read_and_written(lm: dspy.LM) -> None:
    response = ask(lm, max_tokens=17)
    prompt = lm.engine.server.render([{"role": "user", "content": STORY.text}])
    counter = counter_for(lm)
    assert response.finish_reason == "length"
    assert response.usage.input_tokens == counter.count(prompt)
    assert response.usage.output_tokens == counter.count(response.text) == 17


def test_a_finished_reply_counts_the_token_that_ended_it(lm: dspy.LM) -> None:
    response = ask(lm, Message.user("Say hello."), max_tokens=60)
    assert response.finish_reason == "stop"
    assert response.usage.output_tokens == lm.engine.counter.count(response.text) + 1


def test_a_grammar_binds_the_reply(lm: dspy.LM) -> None:
    assert ask(lm, extensions={"grammar": 'root ::= "yes" | "no"'}).text in {"yes", "no"}


def test_a_last_assistant_message_is_continued_with_new_text_only(lm: dspy.LM) -> None:
    whole = ask(lm, max_tokens=16).text
    begun = lm.engine.counter.cut(whole, 8)
    rest = ask(lm, STORY, Message.assistant(begun), max_tokens=8).text
    assert 0 < len(begun) < len(whole)
    assert begun + rest == whole


def test_continuing_reads_only_what_is_new(lm: dspy.LM) -> None:
    whole = ask(lm, max_tokens=40)
    begun = lm.engine.counter.cut(whole.text, 32)
    response = ask(lm, STORY, Message.assistant(begun + "\n\nThe end:"), max_tokens=1)
    read = response.usage.input_tokens - response.usage.cache_read_tokens
    assert response.usage.cache_read_tokens >= whole.usage.input_tokens + 30
    assert read <= 8


def test_a_long_prompt_with_another_tail_is_mostly_held(lm: dspy.LM) -> None:
    story = "Once upon a time there was a fox who counted his many winters. " * 45
    ask(lm, Message.user(story + "What did he count?"), max_tokens=1)
    usage = ask(lm, Message.user(story + "Who counted?"), max_tokens=1).usage
    assert usage.input_tokens > 600
    assert usage.input_tokens - usage.cache_read_tokens < 16


def test_greedy_unless_told_and_seeds_repeat(lm: dspy.LM) -> None:
    ask(lm)  # a cold and a warm cache may round differently
    assert ask(lm).text == ask(lm, temperature=0.0).text
    seeded = [ask(lm, temperature=1.0, seed=seed).text for seed in (7, 7, 8, 9)]
    assert seeded[0] == seeded[1]
    assert len(set(seeded)) > 1


def test_without_a_seed_every_sample_is_drawn_anew(lm: dspy.LM) -> None:
    assert len({ask(lm, temperature=1.5).text for _ in range(4)}) > 1


def test_stop_ends_the_reply_before_the_word(lm: dspy.LM) -> None:
    whole = ask(lm, max_tokens=16).text
    word = whole.split()[4]
    response = ask(lm, max_tokens=16, stop=(word,))
    assert response.text == whole[: whole.index(word)]
    assert response.finish_reason == "stop"


def test_json_schema_binds_the_reply(lm: dspy.LM) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "nights": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "nights"],
        "additionalProperties": False,
    }
    response = ask(lm, max_tokens=60, response_format={"type": "json_schema", "schema": schema})
    answer = json.loads(response.text)
    assert answer["city"] in {"Paris", "Rome"}
    assert 1 <= answer["nights"] <= 9


def test_json_adapter_uses_the_schema(lm: dspy.LM) -> None:
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        prediction = dspy.Predict("question -> number: int")(
            question="How many legs has a dog?", config={"max_tokens": 40}
        )
    assert isinstance(prediction.number, int)
    assert lm.history[-1]["kwargs"]["response_format"] is not None


def test_logprobs_hold_the_chosen_token_and_the_alternatives(lm: dspy.LM) -> None:
    response = ask(lm, max_tokens=5, logprobs=3)
    assert "".join(token.token for token in response.logprobs) == response.text
    for token in response.logprobs:
        assert len(token.top) == 3
        assert token.logprob == max(alternative.logprob for alternative in token.top) <= 0
    assert ask(lm, max_tokens=5).logprobs is None


def test_too_long_a_prompt_names_both_lengths(lm: dspy.LM) -> None:
    with pytest.raises(dspy.ContextWindowExceededError, match=r"the prompt has 9\d+ tokens .* holds 8192") as caught:
        lm("fox " * 9000)
    assert "larger context" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"extensions": {"mirostat": 2}}, "do not support mirostat"),
        ({"reasoning": dspy.lm15.Reasoning(effort="low")}, "do not support reasoning"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(lm: dspy.LM, config: dict[str, object], what: str) -> None:
    with pytest.raises(dspy.lm15.UnsupportedFeatureError, match=what):
        ask(lm, **config)


@pytest.mark.parametrize("extensions", [{"grammar": "root ::= ("}, {"id_slot": 1}, {"id_slot": -1}])
def test_a_request_with_a_mistake_is_refused(lm: dspy.LM, extensions: dict[str, object]) -> None:
    with pytest.raises(dspy.lm15.InvalidRequestError):
        ask(lm, extensions=extensions)


def test_pictures_and_tools_are_refused(lm: dspy.LM) -> None:
    picture = dspy.lm15.ImagePart(url="https://example.org/fox.png")
    with pytest.raises(dspy.lm15.UnsupportedFeatureError, match="other than text"):
        ask(lm, Message.user([TextPart("What is this?"), picture]))
    tool = dspy.lm15.FunctionTool(name="search", parameters={"type": "object", "properties": {}})
    with pytest.raises(dspy.lm15.UnsupportedFeatureError, match="calling tools"):
        lm.engine.complete(Request(model=lm.model, messages=(STORY,), tools=(tool,)))


def test_copies_share_the_engine(lm: dspy.LM) -> None:
    assert copy.deepcopy(lm).engine is lm.engine
    assert lm.copy(temperature=0.5).engine is lm.engine
    assert pickle.loads(pickle.dumps(lm.engine)).server is lm.engine.server


def test_a_saved_program_finds_its_model_again(lm: dspy.LM, tmp_path: object) -> None:
    program = dspy.ChainOfThought("question -> answer")
    program.set_lm(lm)
    program.save(tmp_path / "program.json")
    loaded = dspy.ChainOfThought("question -> answer")
    loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    found = loaded.predict.lm
    assert found.model == lm.model
    assert found.engine.server is lm.engine.server
    assert found.kwargs["max_tokens"] == lm.kwargs["max_tokens"]


def test_await_gives_the_same_text(lm: dspy.LM) -> None:
    lm("Say hello.")
    assert asyncio.run(lm.acall("Say hello.")) == lm("Say hello.")


def test_threads_share_the_slots_and_one_load(lm: dspy.LM) -> None:
    engine = LlamaEngine("smollm2-135m-instruct", slots=4, context=256)
    assert LlamaEngine("smollm2-135m-instruct", slots=4, context=256).server is engine.server
    requests = [
        Request(model="m", messages=(Message.user(f"Count from {n}."),), config=Config(max_tokens=12)) for n in range(6)
    ]
    with ThreadPoolExecutor(len(requests)) as pool:
        responses = list(pool.map(engine.complete, requests))
    assert [response.usage.output_tokens for response in responses] == [12] * len(requests)
    with pytest.raises(dspy.lm15.ContextLengthError, match="holds 256"):
        engine.complete(Request(model="m", messages=(Message.user("fox " * 300),)))


def test_a_server_that_nobody_holds_is_let_go(lm: dspy.LM) -> None:
    engine = LlamaEngine("smollm2-135m-instruct", context=128)
    server = weakref.ref(engine.server)
    assert LlamaServer.shared(engine.server.settings) is server()
    del engine
    assert server() is None


@given(text=st.text(max_size=80), tokens=st.integers(0, 40))
def test_a_cut_is_a_prefix_within_its_tokens(lm: dspy.LM, text: str, tokens: int) -> None:
    counter = lm.engine.counter
    assert isinstance(counter, TokenCounter)
    cut = counter.cut(text, tokens)
    assert text.startswith(cut)
    assert counter.count(cut) <= tokens
    if counter.count(text) <= tokens:
        assert cut == text


def test_a_damaged_file_is_reported_in_one_line(tmp_path: object) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(64))
    engine = LlamaEngine(damaged)
    with pytest.raises(ModelError, match=r"cannot load .*damaged\.gguf") as caught:
        engine.counter.count("fox")
    assert "\n" not in str(caught.value)
    with pytest.raises(dspy.lm15.ConfigurationError, match="cannot load"):
        engine.complete(Request(model="m", messages=(STORY,)))


def test_without_the_extra_the_error_says_what_to_install(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ModelError, match=r"pip install 'anytime-dspy\[local\]'"):
        LlamaServer(ServerSettings(tmp_path / "any.gguf", 1, 64, 1)).tokenize("fox")


def test_importing_loads_no_engine() -> None:
    code = "import sys, anytime_dspy.local; print({'xllamacpp', 'litellm', 'huggingface_hub'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
